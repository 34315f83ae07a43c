"""The collector: looks every few seconds for answers, and for replies that are overdue, on a thread of its own."""

import threading
from collections.abc import Callable
from typing import Any

import structlog

from adapter_sdk.answering import AnswerDesk
from adapter_sdk.errors import AdaptorError, BackendUnavailable, BrokerError, LedgerError
from adapter_sdk.family import Family
from adapter_sdk.ledger.base import Ledger
from adapter_sdk.outbox import Outbox, Publish
from adapter_sdk.overdue import Overdue
from adapter_sdk.settings import Settings

log = structlog.get_logger("adaptor")


class Collector:
    """Has the family look for answers, `every` so many seconds, where a handler's reply can come later.

    What is wrong with backend, broker or ledger goes to `on_trouble` and ends it: the session begins anew. Anything
    else, such as a statement that the database does not understand, is logged, and the next look comes all the same.
    """

    def __init__(
        self,
        family: Family[Any],
        desk: AnswerDesk,
        overdue: Overdue,
        *,
        every: float,
        on_trouble: Callable[[Exception], None],
    ) -> None:
        self._family = family
        self._desk = desk
        self._overdue = overdue
        self._every = every
        self._on_trouble = on_trouble
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look, if there can be anything."""
        adaptor = self._family.adaptor
        if any(handler.answers for handler in adaptor._handlers.values()):
            self._stopping = threading.Event()  # its own: a look that hangs is not to go on with the next session
            name = f"{adaptor.name}-collector"
            self._thread = threading.Thread(target=self._run, args=(self._stopping,), name=name, daemon=True)
            self._thread.start()

    def stop(self, timeout: float) -> None:
        """Look no more; returns when the present look has ended, or after `timeout` seconds."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                name = self._family.adaptor.name
                log.error("still looking for answers after drain_timeout", adaptor=name)
            self._thread = None

    def _run(self, stopping: threading.Event) -> None:
        structlog.contextvars.bind_contextvars(adaptor=self._family.adaptor.name)
        while not stopping.is_set():
            try:
                self._look(lambda: self._family.collect(self._desk))
                self._look(self._overdue.look)
            except (BackendUnavailable, BrokerError, LedgerError) as trouble:
                if not stopping.is_set():
                    self._on_trouble(trouble)
                return
            stopping.wait(self._every)

    def _look(self, look: Callable[[], None]) -> None:
        try:
            look()
        except (BackendUnavailable, BrokerError, LedgerError):
            raise
        except AdaptorError as error:
            log.error("answers not collected", error=str(error))  # noqa: TRY400 - foreseen: its sentence says it all
        except Exception as error:
            log.exception("answers not collected", error=f"{type(error).__name__}: {error}")


def collector_of(
    family: Family[Any],
    ledger: Ledger,
    outbox: Outbox,
    publish: Publish,
    settings: Settings,
    on_trouble: Callable[[Exception], None],
) -> Collector:
    """The collector of an adaptor, as its settings have it."""
    adaptor, runner = family.adaptor, settings.runner
    return Collector(
        family,
        AnswerDesk(adaptor, ledger, outbox, unmatched_after=runner.unmatched_after),
        Overdue(adaptor.name, ledger, publish, settings.broker.exchange),
        every=runner.answers_every,
        on_trouble=on_trouble,
    )
