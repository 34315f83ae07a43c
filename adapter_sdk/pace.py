"""Pace: how quick the events of an adaptor are, and so how they are shared among its workers."""

import math
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Seconds of work that one worker takes at a time where events are quick: shared among threads they would cost more.
_TURN = 0.02
# Seconds that a batch of slow events may take, by the pace of the last ones: none of it is recorded before its end.
# Where quick events turn slow, a worker that has not met one yet may take as many once more as it did of the quick.
_LONGEST = 1.0
# Events in a turn that are quick: they are computed more than waited for.
_QUICK = 20
# Seconds after which it is tried again how many workers have a use.
_TRIED_EVERY = 1.0

_here = threading.local()


def shared(step: Callable[P, R]) -> Callable[P, R]:
    """A step that takes a whole batch about as long as one event, as a commit does: what it takes slows none of them.

    Such steps do not stand within each other.
    """

    @wraps(step)
    def timed(*args: P.args, **kwargs: P.kwargs) -> R:
        began = time.monotonic()
        try:
            return step(*args, **kwargs)
        finally:
            _here.seconds = getattr(_here, "seconds", 0.0) + time.monotonic() - began

    return timed


def seconds_shared() -> float:
    """What this thread has spent in such steps since it was last asked."""
    seconds: float = getattr(_here, "seconds", 0.0)
    _here.seconds = 0.0
    return seconds


class Pace:
    """What the last batches say of the next ones. No thread, no clock.

    A worker takes its fair share of what has arrived, so that slow events are worked on by all at once; and more, as
    long as what it takes is done within a moment. Of quick events no more are worked on at once than has a use: one
    thread at a time has the interpreter, so that more workers than it takes to fill each other's waits are only in the
    way. How many that is, is seen from one that works by itself.
    """

    def __init__(self, workers: int, batch_size: int) -> None:
        self._workers = workers
        self._batch_size = batch_size
        self._in_a_turn = 0.0  # events that one worker does within a turn, by the last batches
        self._without_shared = 0.0  # the same, if there were none of the waits that the events of a batch share
        self._tried = -math.inf
        self.most_running = workers
        """How many workers are to have a batch in hand at once."""

    def share(self, waiting: int) -> int:
        """How many of the waiting events a worker takes."""
        fair = max(math.ceil(waiting / self._workers), int(self._without_shared))
        soon = max(1, int(self._without_shared * _LONGEST / _TURN)) if self._without_shared else self._batch_size
        return min(self._batch_size, fair, soon, waiting)

    def learn(self, events: int, took: float, computed: float, *, alone: bool, now: float, shared: float = 0.0) -> None:
        """A batch is done: it took so many seconds, and so many of the processor; `alone`: no other was in hand.

        `shared` are the seconds of it that went into shared steps.
        """
        took = max(took, 1e-6)
        self._in_a_turn += (events * _TURN / took - self._in_a_turn) / 4
        own = events * _TURN / max(took - shared, 1e-6)
        # Quick is learned by and by, slow at once: nobody is to take as many again.
        self._without_shared = min(own, self._without_shared + (own - self._without_shared) / 4)
        if self._in_a_turn < _QUICK:
            self.most_running = self._workers
        elif self.most_running == 1 and alone:
            self._let_run(round(took / max(computed, 1e-6)), now)
        elif now > self._tried + _TRIED_EVERY:
            self._let_run(1, now)

    def overdue(self, now: float) -> None:
        """Those who work have not come back in a while: the others are of use."""
        self._let_run(self._workers, now)

    def _let_run(self, workers: int, now: float) -> None:
        self.most_running = min(max(workers, 1), self._workers)
        self._tried = now
