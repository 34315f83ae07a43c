"""What else is measured in a contender's process, by the name that a task gives."""

import ctypes
import itertools
import os
import resource
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.watch import Figures, Sent, Watch

_PAGE = resource.getpagesize()
_TICK = os.sysconf("SC_CLK_TCK")


class BacklogWatch(Watch):
    """Throughput, and the memory that the process held after `_EARLY` events and at the end, in MB."""

    _EARLY = 10_000

    def __init__(self, events: int) -> None:
        super().__init__(events)
        self._counted = itertools.count(1)
        self._early = 0.0

    def handled(self, order: Sent) -> None:
        if next(self._counted) == min(self._EARLY, self.events // 2):
            self._early = _resident()
        super().handled(order)

    def figures(self, rest: float) -> Figures:
        at_end = _resident()
        growth = at_end - self._early
        return {**super().figures(rest), "memory_early": self._early, "memory_end": at_end, "memory_growth": growth}


class LatencyWatch(Watch):
    """From publication to handler, in milliseconds."""

    def __init__(self, events: int) -> None:
        super().__init__(events)
        self._taken: list[float] = []

    def handled(self, order: Sent) -> None:
        self._taken.append((time.monotonic_ns() - order.sent_at) / 1e6)
        super().handled(order)

    def figures(self, rest: float) -> Figures:
        return {**super().figures(rest), **percentiles("handled", self._taken)}


class FirstWatch(Watch):
    """When the first event was handled, in seconds of the monotonic clock."""

    def handled(self, order: Sent) -> None:
        self._first = time.monotonic()
        self.finished.set()

    def figures(self, rest: float) -> Figures:
        return {"first": self._first}


class ThreadsWatch(Watch):
    """Throughput, and the CPU of each kind of thread: µs per event in user mode and in the kernel.

    Threads whose names differ in their numbers alone are one kind.
    """

    def __init__(self, events: int) -> None:
        super().__init__(events)
        self._first = itertools.count(1)
        self._before: Counter[str] = Counter()

    def handled(self, order: Sent) -> None:
        if next(self._first) == 1:
            self._before = _cpu_by_thread()
        super().handled(order)

    def figures(self, rest: float) -> Figures:
        figures = super().figures(rest)
        spent = _cpu_by_thread()
        spent.subtract(self._before)
        return {**figures, **{name: ticks / _TICK / self.events * 1e6 for name, ticks in spent.items()}}


class HeldWatch(Watch):
    """Held up at the first event until the file `go` says that the profiler looks at this process."""

    FIRST, GO = "first", "go"
    _PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)  # linux/prctl.h: else only our parent may look

    def __init__(self, events: int) -> None:
        super().__init__(events)
        self._first = itertools.count(1)
        ctypes.CDLL(None).prctl(self._PR_SET_PTRACER, self._ANY)

    def handled(self, order: Sent) -> None:
        if next(self._first) == 1:
            Path(self.FIRST).touch()
            while not Path(self.GO).exists():
                time.sleep(0.005)
        super().handled(order)


WATCHES: dict[str, type[Watch]] = {
    "throughput": Watch,
    "backlog": BacklogWatch,
    "latency": LatencyWatch,
    "first": FirstWatch,
    "threads": ThreadsWatch,
    "held": HeldWatch,
}


def kind_of(thread: str) -> str:
    """The name of a thread without its number."""
    return thread.rstrip("0123456789").rstrip("-_ ")


def percentiles(name: str, values: Sequence[float]) -> Figures:
    """The 50th and 99th of the values, by nearest rank."""
    ordered = sorted(values)
    return {f"{name}_p{rank}": ordered[min(len(ordered) * rank // 100, len(ordered) - 1)] for rank in (50, 99)}


def _resident() -> float:
    """MB of memory that the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6


def _cpu_by_thread() -> Counter[str]:
    """Ticks of the clock so far, as `user:<kind of thread>` and `kernel:<kind of thread>`."""
    spent: Counter[str] = Counter()
    for thread in threading.enumerate():
        fields = Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(")")[2].split()
        spent[f"user:{kind_of(thread.name)}"] += int(fields[11])  # utime and stime of proc(5)
        spent[f"kernel:{kind_of(thread.name)}"] += int(fields[12])
    return spent
