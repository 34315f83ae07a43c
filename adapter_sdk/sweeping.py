"""Sweeping: what a process that died left unsent is published by another, or by itself when it has started again."""

import math
from collections.abc import Callable
from itertools import count

from adapter_sdk.ledger.base import Ledger, State
from adapter_sdk.outbox import Outbox
from adapter_sdk.work import InHand

# An entry that nobody has touched for so long, in seconds, is no longer in the hands that left its messages unsent.
_LEFT_BEHIND = 60.0
_PAGE = 100
_PAGES = 10


class Sweeper:
    """Publishes replies of applied events and copies of waiting ones that the ledger says are unsent.

    What waits to be worked on goes first, each time. A reply that nobody takes stays, and is tried again when all that
    come after it have had their turn.
    """

    def __init__(self, ledger: Ledger, outbox: Outbox, in_hand: InHand, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._in_hand = in_hand
        self._clock = clock
        self._passed_over = 0

    def sweep(self, *, alone: bool = False) -> int:
        """Publish what is left behind; with no other process beside this one (`alone`) that need not be old.

        Returns how many events it was done for. Raises BrokerError or LedgerError.
        """
        waiting, _ = self._publish(0, alone=alone, ended=False)
        replies, self._passed_over = self._publish(0 if alone else self._passed_over, alone=alone, ended=True)
        return waiting + replies

    def _publish(self, passed_over: int, *, alone: bool, ended: bool) -> tuple[int, int]:
        """How many were published, and how many are passed over next time."""
        now = self._clock()
        before = now - (-math.inf if alone else _LEFT_BEHIND)
        published = 0
        for _ in count() if alone else range(_PAGES):
            page = self._ledger.unsent(before, _PAGE, now + _LEFT_BEHIND, passed_over, ended=ended)
            sent = 0
            for entry in page:
                if entry.state is not State.CLAIMED:
                    with self._in_hand.hold([entry.key]):
                        sent += self._outbox.publish_again(entry, now)
            published += sent
            passed_over += len(page) - sent
            if len(page) < _PAGE:
                return published, 0
            if ended and not (sent or alone):
                break
        return published, passed_over
