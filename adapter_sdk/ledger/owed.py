"""Replies that are owed, in the ledger's own tables: written with the end of an event, completed with an answer."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from adapter_sdk.errors import LedgerError
from adapter_sdk.events import Key
from adapter_sdk.ledger import schema
from adapter_sdk.ledger.base import Decision, Entry, Reply, State
from adapter_sdk.ledger.codec import pack_replies
from adapter_sdk.ledger.database import Rows
from adapter_sdk.ledger.owing import Owed
from adapter_sdk.ledger.rows import event_hash, row_of
from adapter_sdk.ledger.table import Table

_OWED, _TURNS = "owed", "answers"
_OPEN = f"FROM adaptor_owed WHERE adaptor = :adaptor AND {schema.OPEN}"
_WITH_EVENT = (
    "FROM adaptor_owed JOIN adaptor_ledger ON adaptor_ledger.adaptor = adaptor_owed.adaptor "
    "AND adaptor_ledger.event_hash = adaptor_owed.event_hash "
    f"WHERE adaptor_owed.adaptor = :adaptor AND {schema.OPEN}"
)


def owe(table: Table, ends: Iterable[tuple[Key, Sequence[Reply]]], now: float) -> None:
    """Write down what these events are owed, in their order, in the transaction that ends them."""
    waiting = [(key, reply) for key, replies in ends for reply in replies if reply.owed is not None]
    if not waiting:
        return
    last = table.take_numbers(_OWED, len(waiting))
    rows = []
    for number, (key, reply) in enumerate(waiting, last - len(waiting) + 1):
        assert reply.owed is not None  # only those were chosen
        within = reply.owed.within
        rows.append(
            {
                **table.id(key),
                "reply_id": reply.id,
                "answer_key": reply.owed.key,
                "number": number,
                "since": now,
                "overdue_at": None if within is None else now + within,
            }
        )
    table.rows.run(schema.OWE, rows)


class AnsweringTable:
    """One transaction in which answers meet what is owed. Processes that share the ledger take turns."""

    def __init__(self, table: Table, adaptor: str, clock: Callable[[], float]) -> None:
        self.rows = table.rows
        self._table = table
        self._adaptor = adaptor
        self._clock = clock
        table.next_number(_TURNS)  # whoever has changed this row has it until the commit

    def completed_by(self, answer: Key) -> Entry | None:
        """The event that this answer has completed."""
        completed = (
            "event_hash = (SELECT event_hash FROM adaptor_owed WHERE adaptor = :adaptor AND answered_by = :answered_by)"
        )
        found = self._table.select(completed, {"answered_by": event_hash(answer)})
        return found[0] if found else None

    def dead_letter(self, answer: Key) -> Entry | None:
        """What this answer became when it was set aside."""
        return self._table.get(answer)

    def oldest(self, event_type: str, key: str) -> tuple[Entry, Reply] | None:
        """The event of this type that has been owed a reply under this key for longest, and that reply."""
        found = self.rows.fetch(
            f"SELECT adaptor_owed.event_hash, reply_id {_WITH_EVENT} AND answer_key = :answer_key AND type = :type "
            "ORDER BY number LIMIT 1",
            {"adaptor": self._adaptor, "answer_key": key, "type": event_type},
        )
        if not found:
            return None
        ((hash_, reply_id),) = found
        (entry,) = self._table.select("event_hash = :event_hash", {"event_hash": hash_})
        return entry, next(reply for reply in entry.replies if reply.id == reply_id)

    def complete(self, entry: Entry, reply: Reply, answer: Key) -> Entry:
        """Put a sealed reply in the place of the owed one, unsent. The entry as it is now."""
        replies = tuple(reply if known.id == reply.id else known for known in entry.replies)
        # A new token: whoever still publishes the replies of the handler is not to report these as sent.
        token, now = uuid.uuid4().hex, self._clock()
        values = {**self._table.id(entry.key), "found": entry.token, "token": token, "updated_at": now}
        if not self.rows.run(schema.COMPLETE, [{**values, "replies": pack_replies(replies)}]):
            raise LedgerError(f"the row of {entry.key} was changed while an answer was written into it")
        answered = {"adaptor": self._adaptor, "reply_id": reply.id, "answered_by": event_hash(answer)}
        self.rows.run(schema.ANSWERED, [answered])
        return replace(entry, replies=replies, token=token, unsent=True, updated_at=now)

    def set_aside(self, entry: Entry) -> None:
        """Keep an answer as a dead letter."""
        self.rows.run(schema.INSERT, [row_of(entry, self._adaptor)])

    def close(self, answer: Key, decision: Decision) -> None:
        """Close the dead letter that an answer was; nothing if it was none."""
        found = self._table.get(answer)
        if found is not None and found.state is State.DEAD:
            self._decide(found, decision, State.DISCARDED)

    def give_up(self, owed: Owed, decision: Decision) -> bool:
        """No answer is waited for any more. False if nothing is owed there any more."""
        nobody = event_hash(Key("given up", owed.reply_id))
        given_up = {"adaptor": self._adaptor, "reply_id": owed.reply_id, "answered_by": nobody}
        found = self._table.get(owed.event)
        if found is None or not self.rows.run(schema.ANSWERED, [given_up]):
            return False
        self._decide(found, decision, found.state)
        return True

    def _decide(self, found: Entry, decision: Decision, state: State) -> None:
        changed = replace(found, state=state, decisions=(*found.decisions, decision), updated_at=decision.at)
        seen = {"seen_state": found.state, "seen_token": found.token}
        self.rows.run(schema.INTERVENE, [{**row_of(changed, self._adaptor), **seen}])


def listed(rows: Rows, adaptor: str, limit: int, due_before: float, *, unannounced: bool) -> list[Owed]:
    """What is owed, longest first."""
    values: dict[str, Any] = {"adaptor": adaptor, "limit": limit}
    condition = ""
    if due_before != float("inf"):
        condition, values["before"] = " AND overdue_at < :before", due_before
    if unannounced:
        condition += " AND announced = 0"
    found = rows.fetch(
        "SELECT source, id, type, subject, correlation_id, reply_id, answer_key, since, overdue_at "
        f"{_WITH_EVENT}{condition} ORDER BY number LIMIT :limit",
        values,
    )
    return [
        Owed(
            event=Key(source, id_),
            event_type=type_,
            subject=subject,
            correlation_id=correlation,
            reply_id=reply_id.strip(),
            key=key,
            since=since,
            due_at=due,
        )
        for source, id_, type_, subject, correlation, reply_id, key, since, due in found
    ]


def counts(rows: Rows, adaptor: str) -> tuple[int, int]:
    """How many replies are owed, and how many answers are dead letters."""
    values = {"adaptor": adaptor, "answers": answers_of(adaptor)}
    set_aside = (
        "adaptor = :adaptor AND state = 'dead' AND state <> 'applied' AND state <> 'claimed' AND source = :answers"
    )
    owed = rows.fetch(f"SELECT COUNT(*) {_OPEN}", {"adaptor": adaptor})
    dead = rows.fetch(f"SELECT COUNT(*) FROM adaptor_ledger WHERE {set_aside}", values)
    return int(owed[0][0]), int(dead[0][0])


def answers_of(adaptor: str) -> str:
    """The source under which answers are known, as events are under that of their producer."""
    return f"/adaptors/{adaptor}/answers"
