"""A server process that dies with the test run, even if that one is killed with SIGKILL."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.services import supervisor
from tests.services.waiting import wait_until

T = TypeVar("T")


class StartFailed(Exception):
    """The server did not come up; the message holds the end of its log."""


def start_on_free_ports(start: Callable[[], T], tries: int = 3) -> T:
    """Calls `start` until it raises no StartFailed: between choosing a port and using it, somebody else may take it."""
    for _ in range(tries - 1):
        with suppress(StartFailed):
            return start()
    return start()


class Supervised:
    """One server under a supervisor of its own, in a private directory that is removed with it.

    It lives until `end` is called or the process `watch` ends. `log` is kept, for a look after a failure.
    """

    def __init__(self, name: str, log: Path, *, watch: int | None = None, user: str | None = None) -> None:
        self.log = log
        self.user = user
        self.watch = os.getpid() if watch is None else watch
        # Directly in the temporary folder: a socket's path holds 107 bytes, and pytest's folders are closed to others.
        self.directory = Path(tempfile.mkdtemp(prefix=f"adaptor-test-{name}-"))
        if user:
            shutil.chown(self.directory, user)
        self._process: subprocess.Popen[str] | None = None

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        prepare: Sequence[Sequence[str]] = (),
        end_signal: int = signal.SIGKILL,
    ) -> None:
        """Starts the supervisor, which runs `prepare` to its end and then `command`. Returns at once."""
        watch_fd = os.pidfd_open(self.watch)
        try:
            spec = supervisor.Spec(
                command=list(command),
                directory=str(self.directory),
                log=str(self.log),
                watch_fd=watch_fd,
                environment=dict(environment),
                prepare=[list(one) for one in prepare],
                user=self.user,
                end_signal=end_signal,
            )
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, supervisor.__file__, json.dumps(asdict(spec))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    pass_fds=[watch_fd],
                    start_new_session=True,  # Ctrl-C at the terminal reaches pytest alone
                )
        finally:
            os.close(watch_fd)

    def wait_ready(self, ready: Callable[[], object], timeout: float = 60.0, *, failure: str = "\0") -> None:
        """Waits until `ready`. Raises StartFailed when the server exits, logs `failure`, or `timeout` seconds pass.

        It is ended then.
        """

        def ready_or_failed() -> object:
            if self._exited() or failure in self.log.read_text(errors="replace"):
                raise StartFailed(f"{self._describe()} failed to start:\n{self.log_tail()}")
            return ready()

        try:
            wait_until(ready_or_failed, timeout, interval=0.05)
        except TimeoutError:
            self.end()
            raise StartFailed(f"{self._describe()} was not ready in {timeout:g} s:\n{self.log_tail()}") from None
        except StartFailed:
            self.end()
            raise

    def tell(self, command: str) -> None:
        """Gives one command to the supervisor ("kill", "stop", "start") and waits until it is done."""
        process = self._process
        assert process is not None, "start comes first"
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{command}\n")
        process.stdin.flush()
        if process.stdout.readline() != "done\n":
            raise RuntimeError(f"{self._describe()} had exited by itself before {command!r}:\n{self.log_tail()}")

    def end(self) -> None:
        """Ends the server and removes its directory. Calling it twice does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate(None if process.poll() is not None else "end\n")
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _exited(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _describe(self) -> str:
        return f"the server with the log {self.log}"
