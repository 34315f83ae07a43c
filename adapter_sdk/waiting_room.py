"""The waiting room: events that the ledger holds, and the thread that gives them out again when their time has come.

There are two: the line, which keeps order, and the gatherer, which makes groups. They differ in what they look for.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from adapter_sdk.ledger.base import Entry, Ledger
from adapter_sdk.topology import copy_to
from adapter_sdk.transport.base import Delivery
from adapter_sdk.work import FromLedger

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the ledger, where a person may have ended what others wait for."""


class WaitingRoom(ABC):
    """Looks at the ledger again and again, on a thread of its own, for events that are to be worked on now.

    `on_trouble` is called when the ledger fails, `on_pressure` when the number of held events reaches `max_held`, or,
    if it had when the room was opened, has fallen below nine tenths of it.
    """

    def __init__(
        self,
        adaptor: str,
        ledger: Ledger,
        *,
        begun: bool,
        max_held: int,
        on_trouble: Callable[[Exception], None],
        on_pressure: Callable[[], None],
    ) -> None:
        self._adaptor = adaptor
        self._ledger = ledger
        self._max_held = max_held
        self._on_trouble = on_trouble
        self._on_pressure = on_pressure
        self.begun = begun
        """Whether something is to be given out first that somebody has begun."""
        self._lock = threading.Lock()
        self._look_now = threading.Event()
        self._stopping = False
        self._held = ledger.held()
        self.full = self._held >= max_held
        """Whether so many events are held that no more are to be consumed."""
        name = f"{adaptor}-{type(self).__name__.lower()}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def done(self, deliveries: Sequence[Delivery], *, held: int, progress: bool) -> None:
        """These are settled; so many are held now that were not before; some may have made room for the next."""

    def stop(self, timeout: float | None = None) -> bool:
        """Give nothing out any more. False if what was given out last is at work after `timeout` seconds."""
        self._stopping = True
        self._look_now.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @abstractmethod
    def _look(self) -> float:
        """Give out what may be worked on now; seconds until the next look."""

    def _run(self) -> None:
        while not self._stopping:
            self._look_now.clear()
            try:
                pause = self._look()
            except Exception as error:  # noqa: BLE001 - without a look events would wait for ever, unseen
                self._on_trouble(error)
                return
            self._look_now.wait(pause)

    def _count(self) -> None:
        """See how many are held in truth: a person may have ended some."""
        with self._lock:
            self._held = self._ledger.held()
        self._press(self._held >= (self._max_held * 0.9 if self.full else self._max_held))

    def _press(self, full: bool) -> None:
        if full is not self.full:
            self._on_pressure()

    def _deliveries(self, entries: Sequence[Entry]) -> list[Delivery]:
        """These events as if the broker had delivered them."""
        return [
            Delivery(
                copy_to(self._adaptor, entry.message, entry.attempts),
                FromLedger(entry.key, entry.token),
                redelivered=True,
            )
            for entry in entries
            if entry.message is not None
        ]
