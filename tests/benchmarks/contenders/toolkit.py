"""The toolkit: real adaptors, run by the real runner on the real transport, settings as they come but the prefetch."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapter_sdk.transport.base import Delivery, Transport


def run(adaptor: str, task: Task, watch: Watch) -> None:
    """Run the class `adaptor` of `toolkit_adaptors` as `adaptor run` does."""
    from adapter_sdk.runner import Runner
    from adapter_sdk.settings import load_settings
    from adapter_sdk.telemetry.logs import configure_logs
    from adapter_sdk.transport.connect import transport_for
    from tests.benchmarks.contenders import toolkit_adaptors

    folder = Path(task.folder)
    kind: type[toolkit_adaptors.Watched] = getattr(toolkit_adaptors, adaptor)
    kind.watch = watch
    environ = {
        "ADAPTOR_BROKER_URL": task.url,
        "ADAPTOR_BROKER_PREFETCH": str(task.prefetch),
        "ADAPTOR_LEDGER_PATH": str(folder / "bench.ledger"),
        **task.settings,
    }
    settings = load_settings(kind, environ=environ)
    with (folder / "adaptor.log").open("w") as log:
        configure_logs(settings.log.level, "json", log)
        transport = transport_for(task.url, heartbeat=settings.broker.heartbeat)
        _watch_acks(transport, watch)
        Runner(kind, settings, transport).run()


def _watch_acks(transport: "Transport", watch: Watch) -> None:
    """A trial ends with the last ack; to count them costs one call per batch."""
    ack = transport.ack

    def counted(deliveries: "Sequence[Delivery]") -> None:
        ack(deliveries)
        watch.settled(len(deliveries))

    watch.expect_settlements()
    setattr(transport, "ack", counted)  # noqa: B010 - mypy lets nobody assign to a method


def contender(name: str, adaptor: str, configuration: str) -> Contender:
    """The toolkit with one of the adaptors."""
    return Contender(name, configuration, partial(run, adaptor))


IDEMPOTENT = contender("toolkit, idempotent", "Idempotent", "handler marked idempotent: no ledger needed")
LEDGER = contender("toolkit, ledger", "WithLedger", "SQLite ledger, synchronous FULL")
REPLYING_IDEMPOTENT = contender("toolkit, idempotent", "ReplyingIdempotent", IDEMPOTENT.configuration)
REPLYING_LEDGER = contender("toolkit, ledger", "ReplyingWithLedger", LEDGER.configuration)
