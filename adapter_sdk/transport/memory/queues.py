"""One queue of the embedded broker: its messages in order, and what time does to them. Holds no lock and no thread."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from adapter_sdk.transport.base import Message
from adapter_sdk.transport.memory.arguments import queue_rules

if TYPE_CHECKING:
    from adapter_sdk.transport.memory.sessions import Consumer, Session

FIRST_REST = 0.01
"""Seconds a message rests when it is given back for the second time. Doubles with each further return."""

LONGEST_REST = 1.0
"""Seconds a message rests at most between two deliveries."""


@dataclass(slots=True, eq=False)
class Entry:
    """A message in one queue and what that queue remembers about it. `expires_at` is on the broker's clock."""

    message: Message
    sequence: int
    expires_at: float | None
    returns: int = 0

    def __lt__(self, other: Entry) -> bool:
        return self.sequence < other.sequence


class MemoryQueue:
    """Messages leave in the order they came; one that is given back returns to its old place."""

    def __init__(self, name: str, arguments: Mapping[str, str | int]) -> None:
        self.name = name
        self.arguments = dict(arguments)
        self.rules = queue_rules(name, arguments)
        self.consumers: list[Consumer] = []
        self.owner: Session | None = None
        self._ready: list[Entry] = []
        self._resting: list[tuple[float, Entry]] = []
        self._sequence = count()

    def __len__(self) -> int:
        return len(self._ready) + len(self._resting)

    @property
    def full(self) -> bool:
        """Whether it holds as many messages as `x-max-length` allows."""
        return self.rules.max_length is not None and len(self) >= self.rules.max_length

    def put(self, message: Message, now: float) -> None:
        """Add at the end. The shorter of the queue's TTL and the message's own expiration counts."""
        limits = [self.rules.ttl] if self.rules.ttl is not None else []
        if message.expiration is not None:
            limits.append(int(message.expiration) / 1000)
        heapq.heappush(self._ready, Entry(message, next(self._sequence), now + min(limits) if limits else None))

    def take(self) -> Entry:
        """Remove and return the first message that is ready. Raises IndexError when there is none."""
        return heapq.heappop(self._ready)

    @property
    def has_ready(self) -> bool:
        return bool(self._ready)

    def undo_take(self, entry: Entry) -> None:
        """Put back a message that never reached its consumer; this counts as nothing."""
        heapq.heappush(self._ready, entry)

    def give_back(self, entry: Entry, now: float, *, rest: bool = True) -> bool:
        """Take back a message for another delivery; False if that is more often than `x-delivery-limit` allows.

        One that comes back again and again waits a little before it is given out, unless it is not to `rest`.
        """
        entry.returns += 1
        if self.rules.delivery_limit is not None and entry.returns > self.rules.delivery_limit:
            return False
        if entry.returns == 1 or not rest:
            heapq.heappush(self._ready, entry)
        else:
            # The exponent is bounded because a float would overflow long before a patient test gives up.
            rest = min(FIRST_REST * 2 ** min(entry.returns - 2, 32), LONGEST_REST)
            heapq.heappush(self._resting, (now + rest, entry))
        return True

    def wake(self, now: float) -> None:
        """Make ready what has rested long enough."""
        while self._resting and self._resting[0][0] <= now:
            heapq.heappush(self._ready, heapq.heappop(self._resting)[1])

    def expired(self, now: float) -> list[Entry]:
        """Remove what has outlived its TTL. As on RabbitMQ only the head expires, so a long TTL blocks a short one."""
        gone = []
        while self._ready and (deadline := self._ready[0].expires_at) is not None and deadline <= now:
            gone.append(heapq.heappop(self._ready))
        return gone

    def next_due(self) -> float | None:
        """When time will change something here, on the broker's clock."""
        dues = [self._resting[0][0]] if self._resting else []
        if self._ready and (deadline := self._ready[0].expires_at) is not None:
            dues.append(deadline)
        return min(dues, default=None)
