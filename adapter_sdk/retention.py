"""Forgetting events that ended long ago, in small steps between which the ledger is free for the work."""

import time
from collections.abc import Callable

import structlog

from adapter_sdk.ledger.base import Ledger

log = structlog.get_logger("adaptor")

_STEP = 1000
_DAY = 86_400.0
# Seconds between two steps, so that no worker waits for more than one.
_PAUSE = 0.05


class Retention:
    """Keeps what a ledger remembers of ended events to the last `days`."""

    def __init__(self, adaptor: str, ledger: Ledger, days: float, clock: Callable[[], float] = time.time) -> None:
        self._adaptor = adaptor
        self._ledger = ledger
        self._days = days
        self._clock = clock

    def sweep(self, pause: Callable[[float], bool]) -> int:
        """Forget all that is too old; how many events that were. Raises LedgerError.

        `pause` waits so many seconds between two steps, or says at once, by a true answer, that it is time to end.
        """
        forgotten = 0
        while step := self._ledger.purge(self._clock() - self._days * _DAY, _STEP):
            forgotten += step
            if step < _STEP or pause(_PAUSE):
                break
        if forgotten:
            log.info("ended events forgotten", adaptor=self._adaptor, count=forgotten, older_than_days=self._days)
        return forgotten
