"""Kills from outside that know nothing of our crash points: strace sends SIGKILL at the n-th system call of a kind."""

import random
import shutil
from collections.abc import Sequence

from tests.services.missing import Missing

_DURABLE = ("fsync", "fdatasync", "pwrite64", "write")
_TALKING = ("sendto", "recvfrom")

SYSTEM_CALLS = {
    "sql": _TALKING,
    "files": (*_DURABLE, *_TALKING, "syncfs", "renameat2", "rename", "unlinkat", "unlink"),
    "soap": (*_DURABLE, *_TALKING, "connect"),
}
"""The system calls by which each family and its ledger change something."""

_LATEST = 2000  # counted in each thread by itself; a start alone is some hundred


def find() -> str:
    """The path of strace. Raises Missing."""
    found = shutil.which("strace")
    if found is None:
        raise Missing("strace", "strace")
    return found


def killed_at_a_system_call(command: Sequence[str], calls: Sequence[str], chance: random.Random) -> list[str]:
    """The command under a tracer that kills it at some call of some kind; for its parent it is the process itself."""
    call, number = chance.choice(calls), round(_LATEST ** chance.random())
    kill = f"inject={call}:signal=SIGKILL:when={number}"
    return [find(), "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", kill, *command]
