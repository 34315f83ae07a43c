"""Several events in one transaction, so that one bad event costs only itself.

An event has failed on its own account if it was the first of its transaction: nothing that another event did came
before it, and none of its locks were another's. So when a transaction fails, those before the suspect are committed
without it, and it comes first in the next one.
"""

import time
from collections.abc import Callable, Sequence

from adapter_sdk.errors import BackendUnavailable
from adapter_sdk.family import Claim, Failed, Outcome

# How often an event is tried again at once that failed, alone, because of another transaction or a lost connection.
_TRIES = 2
# Seconds for which transactions take turns after two of them were in each other's way.
_TURNS = 60.0


class Stopped(Exception):
    """A transaction was rolled back: nothing of it happened.

    The cause is among `count` events, of which the `first` has this position. `again`: it may not be the event's own.
    """

    def __init__(self, error: Exception, first: int, count: int, *, again: bool = False) -> None:
        self.error = error
        self.first = first
        self.count = count
        self.again = again


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
        size, tries = self._most(claims), 0
        while rest := claims[len(outcomes) :]:
            try:
                outcomes += self._transact(rest[:size])
            except Stopped as stopped:
                if stopped.again and not isinstance(stopped.error, BackendUnavailable):
                    self._in_turn_until = time.monotonic() + _TURNS
                if smaller := stopped.first or stopped.count // 2:
                    size = smaller
                    continue
                if stopped.again and tries < _TRIES:
                    size, tries = 1, tries + 1
                    continue
                outcomes += self._own_failure(stopped.error, len(rest))
            size, tries = self._most(claims), 0
        return outcomes

    def _own_failure(self, error: Exception, left: int) -> list[Outcome]:
        """The outcome of the first event that is left; of all, if the backend is away and would keep each waiting."""
        away = isinstance(error, BackendUnavailable) and left > 1 and not self._answers()
        return [Failed(error)] * (left if away else 1)

    def _most(self, claims: Sequence[Claim]) -> int:
        return 1 if self.alone else len(claims)
