"""Waits: how long events that the ledger holds have yet to wait for what is planned, whatever the clock does."""

import time
from collections.abc import Callable, Sequence

from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Entry, State


class Waits:
    """Times each planned attempt from when it is first seen. `clock` may jump; `monotonic` does not."""

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._due: dict[tuple[Key, str], float] = {}

    def only(self, entries: Sequence[Entry]) -> None:
        """Forget all plans but those of these events."""
        marks = {_mark(entry) for entry in entries}
        self._due = {mark: due for mark, due in self._due.items() if mark in marks}

    def left(self, entry: Entry) -> float:
        """Seconds until an event is due. The clock is asked once, and a clock that was put back cannot delay it.

        Nor can one that was put forward have a doubt asked for too early: that waits its time from the first look.
        """
        if entry.due_at is None:
            return 0.0
        planned = max(0.0, entry.due_at - entry.updated_at)
        left = planned if entry.state is State.IN_DOUBT else min(max(0.0, entry.due_at - self._clock()), planned)
        now = self._monotonic()
        return self._due.setdefault(_mark(entry), now + left) - now


def _mark(entry: Entry) -> tuple[Key, str]:
    """A plan for a later attempt, which the next plan of the same event is not."""
    return entry.key, entry.token
