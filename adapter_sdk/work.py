"""One event on its way through the pipeline, and what log lines say of it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from adapter_sdk.envelopes import Opened
from adapter_sdk.events import Event, Key
from adapter_sdk.family import Claim
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import Entry, Record
from adapter_sdk.retry import RetryPolicy
from adapter_sdk.transport.base import Delivery, Message


@dataclass(frozen=True, slots=True)
class FromLedger:
    """The receipt of a delivery that the ledger gave out in its turn; the broker knows nothing of it.

    `token` is that of the row as it was then.
    """

    key: Key
    token: str


@dataclass(slots=True, eq=False)
class Work:
    """One readable event on its way through the pipeline.

    `event` is the event with its data, None if that is not valid; `order_key` whose line it stands in, None for none;
    `gathered` that it waits in the ledger for others;
    `refusal` is why it is not worked on; `claim` what the family is given; `entry` the row that the ledger showed;
    `end` what is to be recorded; `outbox` what is to be published; `released` that its delivery goes back;
    `comes_back` that a copy of it does, after so many seconds, whatever the ledger says; `held_anew` that the ledger
    holds it now, and did not before.
    """

    delivery: Delivery
    opened: Opened
    handler: HandlerSpec | None
    policy: RetryPolicy
    event: Event[Any] | None = None
    order_key: str | None = None
    gathered: bool = False
    refusal: Exception | None = None
    claim: Claim | None = None
    entry: Entry | None = None
    outbox: list[Message] = field(default_factory=list)
    end: Record | None = None
    released: bool = False
    comes_back: float | None = None
    held_anew: bool = False

    @property
    def waits_in_ledger(self) -> bool:
        """Whether the ledger is to keep its message, should it have to wait."""
        return self.gathered or (self.order_key is not None and self.refusal is None)

    def facts(self) -> dict[str, Any]:
        """What every log line of this event carries; `attempt` counts from 1."""
        return {**facts_of(self.opened), "attempt": self.entry.attempts if self.entry else None}


class InHand:
    """The keys that some worker of this process works on. A second delivery of one waits until the first has ended."""

    def __init__(self) -> None:
        self._keys: set[Key] = set()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, keys: Sequence[Key]) -> Iterator[None]:
        """Take all keys at once, so that two workers never wait for each other."""
        with self._changed:
            self._changed.wait_for(lambda: self._keys.isdisjoint(keys))
            self._keys.update(keys)
        try:
            yield
        finally:
            with self._changed:
                self._keys.difference_update(keys)
                self._changed.notify_all()


def first_of_each_key(works: Sequence[Work]) -> tuple[list[Work], list[Work]]:
    """The first work of each event and of each order key, and the others, which meet the ledger after it."""
    first: list[Work] = []
    again: list[Work] = []
    seen: set[Key | str] = set()
    for work in works:
        keys: list[Key | str] = [work.opened.key]
        if work.order_key is not None:
            keys.append(work.order_key)
        (first if seen.isdisjoint(keys) else again).append(work)
        seen.update(keys)
    return first, again


def correlation_of(opened: Opened) -> str | None:
    """The correlation id of an event, if it has one that is text."""
    value = opened.extensions.get("correlationid")
    return value if isinstance(value, str) else None


def facts_of(opened: Opened) -> dict[str, Any]:
    """What identifies an event in a log line."""
    return {
        "event_id": opened.id,
        "event_type": opened.type,
        "event_source": opened.source,
        "correlation_id": correlation_of(opened),
    }


def facts_of_entry(entry: Entry) -> dict[str, Any]:
    """As `facts_of`, for an event that the ledger remembers."""
    return {
        "event_id": entry.key.id,
        "event_type": entry.type,
        "event_source": entry.key.source,
        "correlation_id": entry.correlation_id,
    }
