"""Caution: one event at a time, after an unclean end and as long as nothing can be done at all."""

import threading

import structlog

from adapter_sdk.ledger.base import Ledger

log = structlog.get_logger("adaptor")


class Caution:
    """Asks the ledger whether an earlier process died, and counts down the events that it may have had in hand.

    `needed` is set, too, as long as nothing can be done at all: then one event is the probe of a backend that has none.
    """

    def __init__(self, adaptor: str, ledger: Ledger, events: int) -> None:
        self._adaptor = adaptor
        self._ledger = ledger
        self._events = events
        self._begun = False
        self._left = 0
        self._lock = threading.Lock()
        self.probing = False
        """Whether nothing could be done last time, and nothing has been since."""

    @property
    def needed(self) -> bool:
        """Whether events are to be taken one at a time."""
        return self._left > 0

    def begin(self) -> None:
        """Note that this process begins; calling it again does nothing. Raises LedgerError."""
        if self._begun:
            return
        unclean = self._ledger.started()
        self._begun = True
        if unclean:
            self._left = self._events
            log.warning("one event at a time after an unclean end", adaptor=self._adaptor, count=self._events)

    def first_one(self) -> None:
        """Nothing could be done last time: one event is to be tried before others are taken."""
        with self._lock:
            self._left = max(self._left, 1)
            self.probing = True

    def settled(self, count: int) -> bool:
        """So many events are settled. True if with them the danger has passed."""
        with self._lock:
            before, self._left = self._left, max(0, self._left - count)
            self.probing = self.probing and count == 0
            return before > 0 and self._left == 0

    def end(self) -> None:
        """Note that this process ends in good order. Raises LedgerError."""
        if self._begun:
            self._begun = False
            self._ledger.stopped()
