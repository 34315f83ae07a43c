"""What a contender's process measures of itself: from the first event handled to the last one settled."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import Protocol

_STEP, _PATIENCE = 0.05, 10.0
"""Seconds: how often the CPU is looked at while a process comes to rest, and the longest wait for that."""
_IDLE = 0.002
"""Seconds of CPU in a step that are nothing: timers, and the look itself."""

Figures = dict[str, float]


class Sent(Protocol):
    """Of an order, all that a watch may want to know."""

    @property
    def sent_at(self) -> int:
        """When it was published, on the monotonic clock in nanoseconds."""
        ...


class Watch:
    """Throughput. Contenders call `handled` once per event, from any thread, and `settled` where they can tell."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.finished = threading.Event()
        self._numbers = itertools.count(1)  # its next() is atomic
        self._by_settlement = False
        self._settled = 0
        self._lock = threading.Lock()
        self._began = self._ended = self._cpu = 0.0

    def expect_settlements(self) -> None:
        """The last event ends the trial when it is settled, not when it is handled."""
        self._by_settlement = True

    def handled(self, order: Sent) -> None:
        """The handler has been called with this order."""
        number = next(self._numbers)
        if number == 1:
            self._began, self._cpu = time.perf_counter(), time.process_time()
        if number == self.events and not self._by_settlement:
            self._end()

    def settled(self, count: int) -> None:
        """So many more deliveries have been acked."""
        with self._lock:
            self._settled += count
            if self._settled >= self.events:
                self._end()

    def _end(self) -> None:
        self._ended = time.perf_counter()
        self.finished.set()

    def figures(self, rest: float) -> Figures:
        """To be asked when the trial is finished: waits until the process has done nothing for `rest` seconds."""
        cpu = cpu_at_rest(rest) - self._cpu
        seconds = self._ended - self._began
        return {
            "seconds": seconds,
            "events_per_second": self.events / seconds,
            "cpu_us": cpu / self.events * 1e6,
            "handled": next(self._numbers) - 1,
        }


def cpu_at_rest(rest: float, clock: Callable[[], float] = time.process_time) -> float:
    """The CPU so far, once nothing has happened for `rest` seconds: frameworks ack when they find the time."""
    quiet_since, spent = time.monotonic(), clock()
    deadline = quiet_since + _PATIENCE
    while (now := time.monotonic()) < min(quiet_since + rest, deadline):
        before = clock()
        time.sleep(_STEP)
        if clock() - before > _IDLE:
            quiet_since, spent = now + _STEP, clock()
    return spent
