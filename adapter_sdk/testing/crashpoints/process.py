"""The adaptor as a process of its own, which can be told where to die.

Processes are forked from a server that has imported everything already, so that one starts in hundredths of a second.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from adapter_sdk import crashpoints
from adapter_sdk.adaptor import Adaptor
from adapter_sdk.errors import TransientError
from adapter_sdk.family import Claim, Failed, Family, Outcome
from adapter_sdk.ledger.base import Journal
from adapter_sdk.runner import Runner
from adapter_sdk.settings import Settings
from adapter_sdk.telemetry.logs import configure_logs
from adapter_sdk.transport.connect import transport_for

_CONTEXT = multiprocessing.get_context("forkserver")
_ALWAYS = (__name__, "adapter_sdk.transport.rabbitmq", "adapter_sdk.ledger.shared")


class AdaptorProcess:
    """One run of an adaptor, from its start to its end. Standard error and logs go to the file `log`.

    It dies at crash point `point`, if one is given, when it comes there for the `times`-th time. With `fails_first` the
    first attempt of each event fails with a TransientError before the family has seen it.
    """

    def __init__(
        self,
        adaptor: type[Adaptor],
        settings: Settings,
        log: Path,
        point: str | None = None,
        times: int = 1,
        *,
        fails_first: bool = False,
    ) -> None:
        self.point = point
        self._log = log
        self._written = log.stat().st_size if log.exists() else 0
        self._process = _CONTEXT.Process(
            target=_run, args=(adaptor, settings, log, point, times, fails_first), name=adaptor.name, daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    @property
    def died_as_told(self) -> bool:
        """Whether it was killed by SIGKILL at its crash point and not by anything else."""
        # Not the very last line: other threads may come in between it and the end.
        told = self.point is not None and crashpoints.last_words(self.point) in self.said()
        return told and self._process.exitcode == -signal.SIGKILL

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended; False if it has not within `timeout` seconds."""
        self._process.join(timeout)
        return not self.running

    def stop(self, timeout: float = 10.0) -> None:
        """Ask it to finish what it works on and to end; kill it if it has not within `timeout` seconds."""
        self._process.terminate()
        if not self.wait(timeout):
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()

    def said(self) -> str:
        """What it has written so far."""
        with self._log.open("rb") as log:
            log.seek(self._written)
            return log.read().decode("utf-8", "replace")

    def ending(self) -> str:
        """How it stands or ended, for a message."""
        return "still runs" if self.running else f"ended with status {self._process.exitcode}"


def preload(modules: Iterable[str]) -> None:
    """Import these modules once for all processes to come. Has no effect after the first process has started."""
    _CONTEXT.set_forkserver_preload([*_ALWAYS, *sorted(modules)])


def _run(
    adaptor: type[Adaptor], settings: Settings, log: Path, point: str | None, times: int, fails_first: bool
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    configure_logs("info", "json")
    if point is not None:
        crashpoints.arm(point, times)
    broker = settings.broker
    runner = Runner(adaptor, settings, transport_for(broker.url.get_secret_value(), heartbeat=broker.heartbeat))
    if fails_first:
        _fail_first(runner._family)
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    runner.run()


def _end_with_parent() -> None:
    """No adaptor is left behind when the test run is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _fail_first(family: Family[Any]) -> None:
    apply = family.apply

    def fail_first(claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        later = iter(apply([claim for claim in claims if claim.attempt > 1], journal))
        failure = TransientError("the crash point suite lets each first attempt fail")
        return [Failed(failure) if claim.attempt == 1 else next(later) for claim in claims]

    family.apply = fail_first  # type: ignore[method-assign]
