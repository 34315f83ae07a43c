"""Several events in one transaction, so that one bad event costs only itself.

When a transaction fails because of one event, those before it are made again and committed without it. The failed one
is not called again: it has seen their rows, and once they are committed its failure is what it would have been alone.
Where it is not sure who is to blame, halves are tried, and an event that fails as the first of its transaction has
nobody before it to blame.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from adapter_sdk.errors import BackendUnavailable
from adapter_sdk.family import Claim, Failed, Outcome

# How often an event is tried again at once that failed, alone, because of another transaction or a lost connection.
_TRIES = 2
# Seconds for which transactions take turns after two of them were in each other's way.
_TURNS = 60.0


class Stopped(Exception):
    """A transaction was rolled back: nothing of it happened.

    The cause is among `count` events, of which the `first` has this position; 0 of them if it was not even begun.
    `again`: a conflict with another transaction, or a lost connection. `sure`: the one event is to blame, unless those
    before it do not commit.
    """

    def __init__(self, error: Exception, first: int, count: int, *, again: bool = False, sure: bool = False) -> None:
        self.error = error
        self.first = first
        self.count = count
        self.again = again
        self.sure = sure


class _Blamed(NamedTuple):
    """The event at this position has failed, if all before it commit."""

    at: int
    error: Exception


class Batches:
    """Runs events in as few transactions as possible.

    `transact` makes the effects of the first of its claims, as many as it likes, and gives their outcomes, or raises
    Stopped; `answers` says whether the backend can be reached. With `alone` set no events share a transaction.
    """

    def __init__(self, transact: Callable[[Sequence[Claim]], list[Outcome]], answers: Callable[[], bool]) -> None:
        self.alone = False
        self._transact = transact
        self._answers = answers
        self._in_turn_until = 0.0

    @property
    def in_turn(self) -> bool:
        """Whether transactions are to wait for each other, because lately they were in each other's way."""
        return time.monotonic() < self._in_turn_until

    def apply(self, claims: Sequence[Claim]) -> list[Outcome]:
        """One outcome per claim, in order."""
        outcomes: list[Outcome] = []
        blamed: _Blamed | None = None
        most, tries = len(claims), 0
        while rest := claims[len(outcomes) :]:
            if blamed is not None and blamed.at == len(outcomes):
                outcomes += self._own_failure(blamed.error, len(rest))
                blamed, most, tries = None, len(claims), 0
                continue
            before = most if blamed is None else blamed.at - len(outcomes)
            try:
                outcomes += self._transact(rest[: 1 if self.alone else min(most, before)])
                most, tries = len(claims), 0
            except Stopped as stopped:
                self._learn(stopped)
                alone = stopped.first + stopped.count <= 1
                tries += alone
                sure = stopped.sure or (alone and not (stopped.again and tries <= _TRIES))
                blamed = _Blamed(len(outcomes) + stopped.first, stopped.error) if sure else None
                most = stopped.first or stopped.count // 2 or 1
        return outcomes

    def _learn(self, stopped: Stopped) -> None:
        if stopped.again and not isinstance(stopped.error, BackendUnavailable):
            self._in_turn_until = time.monotonic() + _TURNS

    def _own_failure(self, error: Exception, left: int) -> list[Outcome]:
        """The outcome of the first event that is left; of all, if the backend is away and would keep each waiting."""
        away = isinstance(error, BackendUnavailable) and left > 1 and not self._answers()
        return [Failed(error)] * (left if away else 1)
