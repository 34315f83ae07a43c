"""Adaptor processes, started as an operator starts them, and started again when they die."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.services import wait_until
from tests.torture import leash
from tests.torture.backends import ADAPTOR

_GRACE = 45.0  # seconds that an adaptor has to end by itself: more than its drain_timeout


class Process:
    """One adaptor process at a time. It dies with the thread that called `start`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self._command = command
        self._environment = environment
        self._folder = folder
        self._log = log
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.own_ends: list[int] = []
        """Exit statuses of processes that ended without being told to."""
        self.largest = 0
        """MiB that the largest of them held in memory when it was killed or ended."""

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def status(self) -> int | None:
        """The exit status of a process that has ended by itself, None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start, or start again if the process has ended."""
        with self._lock:
            if self._process is not None:
                if self._process.poll() is None:
                    return
                self.own_ends.append(self._process.returncode)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    leashed(self._command),
                    cwd=self._folder,
                    env=dict(self._environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def kill(self) -> None:
        """SIGKILL, and start again."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._measure()
                self._process.kill()
                self._process.wait()
                self._process = None
        self.start()

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after `seconds`."""
        with self._lock:
            process = self._process
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGSTOP)
                # Killed meanwhile, the number may be another's: Popen sends to a process that it has not reaped alone.
                resume = threading.Timer(seconds, process.send_signal, [signal.SIGCONT])
                resume.daemon = True
                resume.start()

    def end(self) -> None:
        """SIGTERM, and SIGKILL if it does not end by itself; its exit status is kept if it is not 0."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        self._measure(process)
        process.send_signal(signal.SIGCONT)
        with suppress(TimeoutError):  # one that has just been started does not listen yet
            wait_until(lambda: process.poll() is not None or listens(process.pid))
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        process.kill()
        if process.wait() != 0:
            self.own_ends.append(process.returncode)

    def _measure(self, process: subprocess.Popen[bytes] | None = None) -> None:
        process = process or self._process
        with suppress(OSError, ValueError, IndexError, AttributeError):
            status = Path(f"/proc/{process.pid}/status").read_text()  # type: ignore[union-attr]  # None is suppressed
            self.largest = max(self.largest, int(status.split("VmRSS:")[1].split()[0]) // 1024)


def listens(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM: proc(5), SigCgt."""
    with suppress(OSError):
        caught = Path(f"/proc/{pid}/status").read_text().split("SigCgt:")[1].split()[0]
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
    return False


def leashed(command: Sequence[str]) -> list[str]:
    """The command that runs `command` and dies with the thread that starts it."""
    return [sys.executable, "-S", "-E", leash.__file__, str(os.getpid()), *command]


class Crew:
    """The processes of one adaptor."""

    def __init__(self, count: int, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.processes = [
            Process(command, environment, folder, folder / f"adaptor-{number}.log") for number in range(1, count + 1)
        ]
        self._lock_file = Path(environment.get("ADAPTOR_LEDGER_PATH", "/nonexistent") + ".lock")

    def start(self) -> None:
        """Start those that do not run."""
        for process in self.processes:
            process.start()

    def pick(self, aim: float) -> Process:
        """The process that `aim`, from 0 to 1, hits: four times in five the one on duty, where only one is."""
        if aim < 0.8 and (owner := self._owner()) is not None:
            return owner
        return self.processes[int(aim * 997) % len(self.processes)]

    def end(self) -> None:
        """End them all at the same time, in good order."""
        threads = [threading.Thread(target=process.end) for process in self.processes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def kill(self) -> None:
        """Kill them all for good."""
        for process in self.processes:
            if (pid := process.pid) is not None:
                os.kill(pid, signal.SIGKILL)

    def _owner(self) -> Process | None:
        """Who holds the lock of the local ledger, as the kernel lists it; None where the ledger is shared."""
        if not self._lock_file.exists():
            return None
        inode = str(self._lock_file.stat().st_ino)

        def holder() -> Process | None:
            locks = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "FLOCK" in line]
            pids = {int(lock[4]) for lock in locks if lock[5].endswith(f":{inode}")}
            return next((process for process in self.processes if process.pid in pids), None)

        with suppress(TimeoutError):
            return wait_until(holder, 5.0)
        return None


def command_for(app: str, broken: str | None) -> list[str]:
    """How an adaptor is started: by the command, or broken on purpose."""
    if broken is None:
        return [str(ADAPTOR), "run", app]
    return [sys.executable, "-m", "tests.torture.broken", broken, "run", app]
