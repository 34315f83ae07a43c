"""What the ledger remembers of replies that are owed, and how answers meet them."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from adapter_sdk.events import ExtensionValue, Key
from adapter_sdk.ledger.database import Rows

if TYPE_CHECKING:
    from adapter_sdk.ledger.base import Decision, Entry, Reply


@dataclass(frozen=True, slots=True)
class Owing:
    """What a reply waits for: an answer with this `key`, overdue `within` so many seconds after the effect.

    `extensions` are the context attributes that the reply will have from its event.
    """

    key: str
    within: float | None
    extensions: Mapping[str, ExtensionValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A reply that is owed, for people and for `reply.overdue`. Times are seconds since the epoch."""

    event: Key
    event_type: str
    subject: str | None
    correlation_id: str | None
    reply_id: str
    key: str
    since: float
    due_at: float | None


class Answering(Protocol):
    """One durable commit in which answers meet the replies that are owed."""

    rows: Rows
    """The ledger's transaction, for statements of a family whose ledger is in its backend."""

    def completed_by(self, answer: Key) -> "Entry | None":
        """The event that this answer has completed."""
        ...

    def dead_letter(self, answer: Key) -> "Entry | None":
        """What this answer became when it was set aside."""
        ...

    def oldest(self, event_type: str, key: str) -> "tuple[Entry, Reply] | None":
        """The event of this type that has been owed a reply under this key for longest, and that reply."""
        ...

    def complete(self, entry: "Entry", reply: "Reply", answer: Key) -> "Entry":
        """Put a sealed reply in the place of the owed one, unsent. The entry as it is now."""
        ...

    def set_aside(self, entry: "Entry") -> None:
        """Keep an answer as a dead letter."""
        ...

    def close(self, answer: Key, decision: "Decision") -> None:
        """Close the dead letter that an answer was; nothing if it was none."""
        ...


class OwedLedger(Protocol):
    """The part of a ledger that is asked about replies that are owed."""

    def answering(self) -> AbstractContextManager[Answering]:
        """A commit in which answers are completed; processes that share the ledger take turns."""
        ...

    def owed(self, limit: int, due_before: float = math.inf, *, unannounced: bool = False) -> list[Owed]:
        """Replies that are owed, longest first; with a time, those due before it; or those not yet announced alone."""
        ...

    def give_up(self, reply: Owed, decision: "Decision") -> bool:
        """No answer is waited for any more. False if this reply is not owed any more."""
        ...

    def answer_counts(self) -> tuple[int, int]:
        """How many replies are owed, and how many answers are dead letters. `counts` has events alone."""
        ...

    def announced(self, reply_ids: Sequence[str]) -> None:
        """The broker has confirmed that these replies are overdue."""
        ...
