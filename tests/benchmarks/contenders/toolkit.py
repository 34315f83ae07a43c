"""The toolkit: real adaptors, run by the real runner on the real transport, settings as they come but the prefetch."""

import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapter_sdk.transport.base import Delivery, Transport

_ADAPTORS = "tests.benchmarks.adaptors"


def run(adaptor: str, task: Task, watch: Watch, *, needs_tables: bool = False) -> None:
    """Run `module:Class` of `tests.benchmarks.adaptors` as `adaptor run` does, after `adaptor sql install` if asked."""
    from adapter_sdk.runner import Runner
    from adapter_sdk.settings import load_settings
    from adapter_sdk.telemetry.logs import configure_logs
    from adapter_sdk.transport.connect import transport_for

    environ = environment(task)
    if needs_tables:
        install(f"{_ADAPTORS}.{adaptor}", environ)
    module, _, name = adaptor.partition(":")
    kind = getattr(import_module(f"{_ADAPTORS}.{module}"), name)
    kind.watch = watch
    settings = load_settings(kind, environ=environ)
    with Path("adaptor.log").open("w") as log:
        configure_logs(settings.log.level, "json", log)
        transport = transport_for(task.url, heartbeat=settings.broker.heartbeat)
        _watch_acks(transport, watch)
        Runner(kind, settings, transport).run()


def install(adaptor: str, environ: "Mapping[str, str]") -> None:
    """`adaptor sql install`: the tables of a ledger that is in a database."""
    command = [str(Path(sys.executable).with_name("adaptor")), "sql", "install", adaptor]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)


def environment(task: Task) -> dict[str, str]:
    """The settings of a task; the ledger, where it is a file, is in the folder of the trial."""
    return {
        "ADAPTOR_BROKER_URL": task.url,
        "ADAPTOR_BROKER_PREFETCH": str(task.prefetch),
        "ADAPTOR_LEDGER_PATH": str(Path(task.folder) / "bench.ledger"),
        **task.settings,
    }


def _watch_acks(transport: "Transport", watch: Watch) -> None:
    """A trial ends with the last ack; to count them costs one call per batch."""
    ack = transport.ack

    def counted(deliveries: "Sequence[Delivery]") -> None:
        ack(deliveries)
        watch.settled(len(deliveries))

    watch.expect_settlements()
    setattr(transport, "ack", counted)  # noqa: B010 - mypy lets nobody assign to a method


def _contender(name: str, adaptor: str, configuration: str, *, needs_tables: bool = False) -> Contender:
    return Contender(name, configuration, partial(run, adaptor, needs_tables=needs_tables))


_NO_LEDGER, _LEDGER = "handler marked idempotent: no ledger needed", "SQLite ledger, synchronous FULL"
IDEMPOTENT = _contender("toolkit, idempotent", "plain:Idempotent", _NO_LEDGER)
LEDGER = _contender("toolkit, ledger", "plain:WithLedger", _LEDGER)
REPLYING_IDEMPOTENT = _contender("toolkit, idempotent", "plain:ReplyingIdempotent", _NO_LEDGER)
REPLYING_LEDGER = _contender("toolkit, ledger", "plain:ReplyingWithLedger", _LEDGER)
SQL = _contender("toolkit", "sql:OneByOne", "effect once, one handler call per event", needs_tables=True)
SQL_LIST = _contender(
    "toolkit, list[Event]", "sql:AsList", "effect once, executemany in the handler", needs_tables=True
)
FILES = _contender("toolkit", "files:Dropping", "one whole file per event, SQLite ledger")
SOAP = _contender("toolkit, adaptor", "soap:Calling", "on RabbitMQ, SQLite ledger: at most one unverified attempt")
STARTING = _contender("toolkit", "plain:WithLedger", "`adaptor run`, SQLite ledger")
_SEVERAL = "`adaptor run --processes`, concurrency as it comes (4), PostgreSQL ledger"
PROCESSES = {
    count: _contender(f"toolkit, {count} process{'es' if count > 1 else ''}", "plain:Remote", _SEVERAL)
    for count in (1, 2, 4)
}
