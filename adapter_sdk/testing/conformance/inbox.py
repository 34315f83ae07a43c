"""Waiting for what happens on other threads, always with a deadline and never by a fixed sleep."""

import threading
import time
from collections.abc import Callable

from adapter_sdk.transport.base import Delivery

DEADLINE = 15.0
"""Seconds to wait for something that must happen. Long, because a test machine may be busy; it is seldom used up."""


class Inbox:
    """Collects what a consumer is given: pass `on_deliveries` and `on_lost` to `consume`."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.losses: list[Exception] = []
        self._changed = threading.Condition()

    @property
    def bodies(self) -> list[bytes]:
        """The bodies of all that came so far, in order."""
        with self._changed:
            return [delivery.message.body for delivery in self.deliveries]

    def on_deliveries(self, deliveries: list[Delivery]) -> None:
        """Keep what came."""
        with self._changed:
            self.deliveries.extend(deliveries)
            self._changed.notify_all()

    def on_lost(self, error: Exception) -> None:
        """Keep why consuming ended."""
        with self._changed:
            self.losses.append(error)
            self._changed.notify_all()

    def wait(self, count: int) -> list[Delivery]:
        """The first `count` deliveries; an AssertionError says what came if they do not come in time."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.deliveries) >= count, DEADLINE)
            assert came, f"{len(self.deliveries)} of {count} deliveries came within {DEADLINE} s"
            return self.deliveries[:count]

    def wait_lost(self) -> Exception:
        """Why consuming ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.losses), DEADLINE), "consuming did not end"
            return self.losses[0]


def eventually(check: Callable[[], bool], what: str) -> None:
    """Wait until `check` is true; `what` is said in the AssertionError if it never is."""
    deadline = time.monotonic() + DEADLINE
    while not check():
        assert time.monotonic() < deadline, f"not within {DEADLINE} s: {what}"
        time.sleep(0.01)
