"""What a ledger remembers of each event, and the one decision it takes: may this delivery be worked on?

The decision is pure and stands in `decide`; where the rows live is the business of the stores beside this file.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from adapter_sdk.errors import AdaptorError
from adapter_sdk.events import Key
from adapter_sdk.ledger.owing import OwedLedger, Owing
from adapter_sdk.transport.base import Message


class State(StrEnum):
    """Where an event stands. Only APPLIED, DEAD, DISCARDED and IN_DOUBT without a due time are final."""

    CLAIMED = "claimed"
    """Somebody works on it, or died while working on it; nothing has left for the backend."""
    STAGED = "staged"
    """The effect is prepared durably; the evidence tells whether its last step happened."""
    CALLING = "calling"
    """A call may have left for the backend and no answer is recorded: found again, it is in doubt."""
    WAITING = "waiting"
    """A later attempt is planned. The broker holds the event until then; if it is ordered, the ledger does."""
    HELD = "held"
    """An earlier event of its order key has not ended, or it is gathered with others; the ledger keeps the message."""
    APPLIED = "applied"
    DEAD = "dead"
    IN_DOUBT = "in doubt"
    """With a due time: `verify` will be asked. Without: a person decides."""
    DISCARDED = "discarded"
    """A dead letter that a person has closed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A sealed reply event: the id, type and bytes that every publication of it has in common.

    One that is `owed` has its id and its place among the others; type and body come with the answer.
    """

    id: str
    type: str
    body: bytes
    owed: Owing | None = None


def to_send(replies: Iterable[Reply]) -> tuple[Reply, ...]:
    """The replies that can be published: those that are not owed."""
    return tuple(reply for reply in replies if reply.owed is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided about an event. `at` is in seconds since the epoch."""

    what: str
    who: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where an ordered event stands: after all events with the same `order_key` and a smaller number of `arrival`."""

    order_key: str
    arrival: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is gathered of one event type and may be worked on: how many events, since when, bytes of their messages."""

    count: int
    oldest: float
    bytes: int


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for each event, at half the price
class Entry:
    """One event as the ledger knows it. Times are seconds since the epoch.

    `token` is the claim that may change the row; `owner` the process that made it, 0 for none. `place` is where an
    ordered event stands in the line of its order key. `unsent` says that
    messages that belong to the state (the replies, or the copy for a later attempt) are not confirmed by the broker
    yet. `message` is the original, as it was received.
    """

    key: Key
    state: State
    type: str = ""
    subject: str | None = None
    correlation_id: str | None = None
    digest: str = ""
    attempts: int = 0
    token: str = ""
    owner: int = 0
    unsent: bool = False
    place: "Place | None" = None
    replies: tuple[Reply, ...] = ()
    evidence: Mapping[str, Any] | None = None
    message: Message | None = None
    reason: str | None = None
    error: str | None = None
    received_at: float = 0.0
    updated_at: float = 0.0
    due_at: float | None = None
    decisions: tuple[Decision, ...] = ()


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for each event, at half the price
class ClaimRequest:
    """A delivery that asks to be worked on. `attempts` is how many were made before it, by its header.

    With an `order_key` the event waits in line behind earlier ones with the same key: behind all that have not ended,
    and, unless `past_dead`, behind dead letters. `message` is what the ledger keeps if it has to wait; without one it
    takes its place and need not wait. One that is `gathered` waits whatever stands before it.
    """

    key: Key
    digest: str
    type: str
    subject: str | None = None
    correlation_id: str | None = None
    attempts: int = 0
    order_key: str | None = None
    past_dead: bool = False
    gathered: bool = False
    message: Message | None = None


class Verdict(StrEnum):
    """What a claim was answered with."""

    GRANTED = "granted"
    """Work on it; the entry holds this claim's token and counts this attempt."""
    DUPLICATE = "duplicate"
    """It has reached a final state: publish what is unsent and settle."""
    STALE = "stale"
    """A newer copy of it is with the broker: settle."""
    BUSY = "busy"
    """A living process works on it: come back later."""
    HELD = "held"
    """The ledger keeps it, and gives it out in its turn or with those that it is gathered with: settle."""
    CONFLICT = "conflict"
    """The same identity with other data: set it aside."""


def decide(entry: Entry, request: ClaimRequest, in_other_hands: Callable[[int], bool] = lambda _: False) -> Verdict:
    """Whether a delivery may be worked on, given what the ledger knows of its key.

    A claim without an end is taken over, never skipped, unless `in_other_hands` says that its owner lives. An
    original that comes back after its copy was confirmed carries fewer attempts than the row counts, and is stale;
    while the copy is unconfirmed (`unsent`) it may be the only one, and is worked on.
    """
    if entry.digest != request.digest:
        return Verdict.CONFLICT
    if entry.state in (State.APPLIED, State.DEAD, State.DISCARDED):
        return Verdict.DUPLICATE
    if entry.state is State.IN_DOUBT and entry.due_at is None:
        return Verdict.DUPLICATE
    if entry.state in (State.WAITING, State.IN_DOUBT) and not entry.unsent and request.attempts < entry.attempts:
        return Verdict.STALE
    if entry.state in (State.CLAIMED, State.STAGED, State.CALLING) and entry.owner and in_other_hands(entry.owner):
        return Verdict.BUSY
    return Verdict.GRANTED


def may_be_held(entry: Entry) -> bool:
    """Whether an event that could be worked on can wait instead: nothing of it may have left for the backend."""
    return entry.state in (State.CLAIMED, State.WAITING, State.HELD)


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for each event, at half the price
class Record:
    """The end of an attempt, to be written if `token` still owns the row.

    `attempts` other than None corrects the count: an attempt that met an unreachable backend does not count. `message`
    is kept if the row has none yet, so that the first original stays.
    """

    key: Key
    token: str
    state: State
    replies: tuple[Reply, ...] = ()
    unsent: bool = False
    reason: str | None = None
    error: str | None = None
    message: Message | None = None
    due_at: float | None = None
    attempts: int | None = None


class ClaimLost(AdaptorError):
    """Another worker owns the event now. What this one did is not recorded, and its delivery goes back."""


class JournalTransaction(Protocol):
    """Changes that become durable together when the transaction ends."""

    def note(
        self, key: Key, token: str, state: State, evidence: Mapping[str, Any], replies: tuple[Reply, ...] = ()
    ) -> None:
        """Write down how far the effect has come. Raises ClaimLost if `token` no longer owns the row."""
        ...

    def next_number(self, sequence: str) -> int:
        """The next number of a gap-free sequence, from 1; taken only if the transaction commits."""
        ...


class Journal(Protocol):
    """The part of a ledger that a family uses in the middle of an effect."""

    def transaction(self, *, lazy: bool = False) -> AbstractContextManager[JournalTransaction]:
        """One durable commit; a `lazy` one outlives the process, and is on the disk with the next that is not.

        Raises LedgerError if it cannot be made.
        """
        ...


class Ledger(Journal, OwedLedger, Protocol):
    """The durable record of what happened to each event of one adaptor. All methods may be called from any thread.

    Every method raises LedgerError when the store is full, locked, corrupt or unreachable.
    """

    def open(self) -> None:
        """Connect, and create or check the tables. Calling it again when open does nothing."""
        ...

    def close(self) -> None:
        """Let go of the store. Calling it twice does nothing."""
        ...

    def started(self) -> bool:
        """Note that a process has begun to consume. True if an earlier one may have died since it did."""
        ...

    def stopped(self) -> None:
        """Note that a process has ended in good order."""
        ...

    def disown(self) -> None:
        """Let others take over what this process has claimed. Called when none of its workers is left."""
        ...

    def claim(self, requests: Sequence[ClaimRequest], now: float) -> list[tuple[Verdict, Entry]]:
        """Ask for several keys in one commit, in the order of their arrival; no key and no order key twice.

        Granted entries show the state that was found.
        """
        ...

    def record(self, records: Sequence[Record], now: float) -> list[bool]:
        """Write the ends of attempts in one commit; False where the claim was lost."""
        ...

    def sent(self, claims: Iterable[tuple[Key, str]]) -> None:
        """The broker has confirmed all messages of these events, given with the tokens that their messages belong to.

        A row that has been claimed anew since then has messages of its own, and is left alone.
        """
        ...

    def set_aside(self, entry: Entry) -> None:
        """Keep a message that has no row of its own (unreadable, unknown type, conflicting) as a dead letter."""
        ...

    def unsent(
        self,
        before: float,
        limit: int,
        after: float = math.inf,
        passed_over: int = 0,
        *,
        ended: bool | None = None,
    ) -> list[Entry]:
        """Entries with unconfirmed messages that nothing has changed since `before`, without the first `passed_over`.

        Those that were changed later than `after` belong to them, too: a clock was wrong then, or is now. If `ended`,
        only events that were applied, whose replies are unsent; if not, only those that are to be worked on; both if it
        is not given. Oldest change first.
        """
        ...

    def next_in_line(self, past_dead: bool, limit: int) -> list[Entry]:
        """The first unended event of each order key, if the ledger has its message to give it out.

        Those that somebody has begun come first, then the soonest due. `past_dead`: a dead letter counts as ended.
        """
        ...

    def held_behind(self, place: Place, limit: int) -> list[Entry]:
        """The held events that come after this place, by their order key, in order."""
        ...

    def held(self, behind: Place | None = None) -> int:
        """How many events are held, or how many behind this place."""
        ...

    def gathered(self, now: float) -> dict[str, Gathered]:
        """What is gathered and may be worked on, by event type. A clock that was put back keeps no retry waiting."""
        ...

    def group(self, type: str, before: float, now: float, limit: int) -> list[Entry]:
        """The gathered events of this type that arrived before that time and may be worked on, in order."""
        ...

    def idle_over(self, type: str, cut_off: float) -> bool:
        """Whether the ledger knows events from before a cut-off, and has since applied none of them of this type.

        Then that cut-off came, and there was nothing to be done at it.
        """
        ...

    def at_work_from_before(self, type: str, cut_off: float) -> bool:
        """Whether events of this type from before a cut-off may yet have their effect, or are for a person since.

        As long as that is so it is open whether there is anything to be done at that cut-off.
        """
        ...

    def begun_groups(self) -> list[Entry]:
        """The events that somebody has begun and whose messages are here, in order of arrival."""
        ...

    def gathered_doubts(self) -> list[Entry]:
        """The events in doubt that are to be asked about and whose messages are here, in order of arrival.

        How much of its time each has waited is for the caller to know: the clock may have jumped.
        """
        ...

    def find(self, states: Sequence[State], limit: int = 100) -> list[Entry]:
        """Entries in these states, oldest change first."""
        ...

    def get(self, key: Key) -> Entry | None:
        """The entry of one event."""
        ...

    def lookup(self, id: str) -> list[Entry]:
        """Entries whose event has this id, whatever its source."""
        ...

    def reopen(self, key: Key, decision: Decision) -> Entry | None:
        """Make a dead letter wait for new attempts, from 0; its message is unsent. None if it is not a dead letter."""
        ...

    def discard(self, key: Key, decision: Decision) -> Entry | None:
        """Close a dead letter for good. None if it is not a dead letter."""
        ...

    def settle_applied(self, key: Key, decision: Decision, replies: tuple[Reply, ...]) -> Entry | None:
        """The doubtful effect happened; its replies are unsent. None if the event is not in doubt."""
        ...

    def settle_not_applied(self, key: Key, decision: Decision, evidence: Mapping[str, Any]) -> Entry | None:
        """The doubtful effect did not happen: the event waits for new attempts. None if it is not in doubt."""
        ...

    def purge(self, before: float, limit: int) -> int:
        """Forget at most `limit` events that ended, applied or discarded, before that time. How many there were.

        Dead letters, doubts and events with unsent messages stay, however old.
        """
        ...

    def counts(self) -> dict[State, int]:
        """How many events stand in each state."""
        ...
