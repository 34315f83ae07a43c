"""Kills from outside that know nothing of our crash points: strace sends SIGKILL at the n-th system call of a kind."""

import random
import shutil
import subprocess
from collections.abc import Sequence

from tests.services.missing import Missing
from tests.services.supervised import StartFailed
from tests.torture.processes import Process, leashed, listens

_DURABLE = ("fsync", "fdatasync", "pwrite64", "write")
_TALKING = ("sendto", "recvfrom")

SYSTEM_CALLS = {
    "sql": _TALKING,
    "files": (*_DURABLE, *_TALKING, "syncfs", "renameat2", "rename", "unlinkat", "unlink"),
    "soap": (*_DURABLE, *_TALKING, "connect"),
}
"""The system calls by which each family and its ledger change something."""

_LATEST = 2000  # counted in each thread by itself, from when the tracer is there


def find() -> str:
    """The path of strace. Raises Missing."""
    found = shutil.which("strace")
    if found is None:
        raise Missing("strace", "strace")
    return found


class Tracers:
    """One tracer for each of these processes, which kills it at some system call of some kind."""

    def __init__(self, processes: Sequence[Process], calls: Sequence[str], chance: random.Random) -> None:
        self._processes = processes
        self._calls = calls
        self._chance = chance
        self._strace = find()
        self._heard: dict[int, int] = {}
        self._tracers: dict[int, subprocess.Popen[bytes]] = {}

    def attach(self, answered: int) -> None:
        """Attach to those since whose readiness events were answered, `answered` by now: by them, or beside a standby.

        Before that a process would be killed at its start again and again, and nothing would ever be done. Raises
        StartFailed where nobody may attach.
        """
        for pid in [pid for process in self._processes if (pid := process.pid) is not None and listens(pid)]:
            tracer = self._tracers.get(pid)
            if tracer is None and answered > self._heard.setdefault(pid, answered):
                self._tracers[pid] = self._attach(pid)
            elif tracer is not None and tracer.poll() == 1 and listens(pid):
                raise StartFailed(f"strace cannot attach to process {pid}")

    def end(self) -> None:
        """Let go of those that live."""
        for tracer in self._tracers.values():
            tracer.terminate()
            tracer.wait()

    def _attach(self, pid: int) -> subprocess.Popen[bytes]:
        call, number = self._chance.choice(self._calls), round(_LATEST ** self._chance.random())
        kill = f"inject={call}:signal=SIGKILL:when={number}"
        command = [self._strace, "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={call}", "-e", kill]
        return subprocess.Popen([*leashed(command)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
