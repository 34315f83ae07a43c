"""The ledger in any SQL database: one table, plain SQL that SQLite and PostgreSQL share.

What differs between databases (connecting, the name of the binary type) is behind `Database`; see sqlite.py for the
standard library's SQLite and shared.py for SQLAlchemy.
"""

import math
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from operator import itemgetter
from typing import Any

from adapter_sdk.errors import ConfigError
from adapter_sdk.events import Key
from adapter_sdk.ledger import groups, owed, schema
from adapter_sdk.ledger.base import (
    ClaimRequest,
    Decision,
    Entry,
    Gathered,
    Place,
    Record,
    Reply,
    State,
    Verdict,
    to_send,
)
from adapter_sdk.ledger.claiming import Claiming
from adapter_sdk.ledger.codec import pack_message, pack_replies
from adapter_sdk.ledger.database import Database, Owner, Rows
from adapter_sdk.ledger.owing import Owed
from adapter_sdk.ledger.processes import Processes
from adapter_sdk.ledger.rows import LONGEST_ERROR, event_hash, fitting, row_of
from adapter_sdk.ledger.table import Table
from adapter_sdk.pace import shared


class SqlLedger:
    """The ledger of one adaptor in a database.

    Without an `owner` every claim without an end may be taken over: for a ledger that one process uses at a time, and
    for effects that commit together with their record, where only one of two claims can.
    """

    def __init__(
        self,
        database: Database,
        adaptor: str,
        *,
        owner: Owner | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.adaptor = adaptor
        self.owner = owner
        self.clock = clock
        self._running = Processes(adaptor, owner)

    def open(self) -> None:
        """Connect; create the tables where that is ours to do, else raise LedgerError if they are missing."""
        self.database.open()
        if self.database.may_create:
            self.install()
        with self.database.transaction() as rows:
            # A write, so that a full disk or a lost right shows here and not with the first event in hand.
            rows.run(f"UPDATE adaptor_sequence SET last = last {schema.WHERE_VERSION}", [{}])
            version = _version(rows)
        if version != schema.SCHEMA_VERSION:
            older = version is not None and version < schema.SCHEMA_VERSION
            raise ConfigError(
                f"the ledger in {self.database.place} has schema version {version}; "
                f"this toolkit has {schema.SCHEMA_VERSION}: "
                + (
                    "bring it up to date with `adaptor sql install`"
                    if older
                    else "run the release of the toolkit that made it, or give the adaptor another ledger"
                )
            )

    def install(self) -> None:
        """Create the tables that are missing, and bring older ones up to date."""
        with self.database.transaction() as rows:
            for statement in schema.create_statements(self.database.blob):
                rows.run(statement, [{}])
            for statement in schema.migration_statements(_version(rows) or 1):
                rows.run(statement, [{}])

    def close(self) -> None:
        """Let go of the database."""
        self.disown()
        self.database.close()

    def started(self) -> bool:
        """Note that this process has begun. True if an earlier one has died since it did."""
        with self._table() as table:
            return self._running.started(table)

    def stopped(self) -> None:
        """Note that this process has ended in good order."""
        with self.database.transaction() as rows:
            self._running.stopped(rows)

    def disown(self) -> None:
        """Let others take over what this process has claimed."""
        if self.owner is not None:
            self.owner.renounce()

    @shared
    def claim(self, requests: Sequence[ClaimRequest], now: float) -> list[tuple[Verdict, Entry]]:
        """Ask for several keys in one commit."""
        number = self.owner.identify() if self.owner else 0
        # A claim that a power cut takes back was followed by nothing: what follows it would have synced it as well. But
        # what has to wait in the ledger has no other place.
        lazy = all(request.order_key is None for request in requests)
        with self._table(lazy=lazy) as table:
            self._running.renumbered(table.rows, number)
            return Claiming(table, self.adaptor, self.owner, number, uuid.uuid4().hex, now).answer(requests)

    @shared
    def record(self, records: Sequence[Record], now: float) -> list[bool]:
        """Write the ends of attempts in one commit; False where the claim was lost."""
        with self.database.transaction() as rows:
            return self.record_in(rows, records, now)

    def record_in(self, rows: Rows, records: Sequence[Record], now: float) -> list[bool]:
        """As `record`, inside a transaction that is already open: with the effect itself, where that is possible."""
        table = Table(rows, self.adaptor, self.clock)
        values = [
            {
                **table.id(record.key),
                "token": record.token,
                "state": record.state,
                "applied": int(record.state is State.APPLIED),
                "replies": pack_replies(record.replies) if record.replies else None,
                "unsent": int(record.unsent),
                "reason": fitting(record.reason, 255),
                "error": fitting(record.error, LONGEST_ERROR),
                "message": pack_message(record.message) if record.message else None,
                "due_at": record.due_at,
                "attempts": record.attempts,
                "updated_at": now,
            }
            for record in sorted(records, key=lambda record: event_hash(record.key))
        ]
        if not values:
            return []
        kept = self._kept(table, rows.run(schema.RECORD, values), records)
        ended = [(record.key, record.replies) for record, is_kept in zip(records, kept, strict=True) if is_kept]
        owed.owe(table, ended, now)
        return kept

    def _kept(self, table: Table, changed: int, records: Sequence[Record]) -> list[bool]:
        if changed in (0, len(records)):
            # None: a row that ended before, though by the same claim, must not let a second effect commit.
            return [changed > 0] * len(records)
        # Rows with another token, or at an end already, were not changed; one look at each tells which.
        found = [table.get(record.key) for record in records]
        return [
            entry is not None and (entry.token, entry.state) == (record.token, record.state)
            for entry, record in zip(found, records, strict=True)
        ]

    def sent(self, claims: Iterable[tuple[Key, str]]) -> None:
        """The broker has confirmed all messages of these events. After a power cut they may be published again."""
        with self._table(lazy=True) as table:
            values = sorted(({**table.id(key), "token": token} for key, token in claims), key=itemgetter("event_hash"))
            if values:
                table.rows.run(f"UPDATE adaptor_ledger SET unsent = 0 WHERE {schema.ROW} AND token = :token", values)

    def transaction(self, *, lazy: bool = False) -> AbstractContextManager[Table]:
        """Notes and sequence numbers that become durable together."""
        return self._table(lazy=lazy)

    def set_aside(self, entry: Entry) -> None:
        """Keep a message that has no row of its own; the same message again changes nothing, a replayed one is back."""
        with self.database.transaction() as rows:
            if not rows.run(schema.INSERT, [row_of(entry, self.adaptor)]):
                rows.run(schema.BACK_TO_DEAD, [row_of(entry, self.adaptor)])

    def unsent(
        self,
        before: float,
        limit: int,
        after: float = math.inf,
        passed_over: int = 0,
        *,
        ended: bool | None = None,
    ) -> list[Entry]:
        """Entries with unconfirmed messages that nothing has changed since `before`."""
        condition = {None: "", True: "AND state = 'applied' ", False: "AND state <> 'applied' "}[ended]
        with self._table() as table:
            return table.select(
                f"unsent = 1 AND (updated_at < :before OR updated_at > :after) {condition}"
                "ORDER BY updated_at, event_hash LIMIT :limit OFFSET :passed_over",
                # MariaDB has no infinity.
                {
                    "before": min(before, sys.float_info.max),
                    "limit": limit,
                    "after": min(after, sys.float_info.max),
                    "passed_over": passed_over,
                },
            )

    def next_in_line(self, past_dead: bool, limit: int) -> list[Entry]:
        """The first unended event of each order key, if the ledger has its message."""
        with self._table() as table:
            return table.select(schema.NEXT_IN_LINE, {"past_dead": int(past_dead), "limit": limit})

    def held_behind(self, place: Place, limit: int) -> list[Entry]:
        """The held events that come after this place, by their order key, in order."""
        values = {"order_key": place.order_key, "arrival": place.arrival, "limit": limit}
        condition = f"{schema.IN_LINE} AND order_key = :order_key AND arrival > :arrival AND state = 'held'"
        with self._table() as table:
            return table.select(f"{condition} ORDER BY arrival LIMIT :limit", values)

    def held(self, behind: Place | None = None) -> int:
        """How many events are held, or how many behind this place."""
        # The state is given three times, as the index has it.
        condition = "state = 'held' AND state <> 'applied' AND state <> 'claimed'"
        values: dict[str, Any] = {"adaptor": self.adaptor}
        if behind is not None:
            condition += f" AND {schema.IN_LINE} AND order_key = :order_key AND arrival > :arrival"
            values |= {"order_key": behind.order_key, "arrival": behind.arrival}
        with self.database.transaction() as rows:
            found = rows.fetch(f"SELECT COUNT(*) FROM adaptor_ledger WHERE adaptor = :adaptor AND {condition}", values)
        return int(found[0][0])

    def gathered(self, now: float) -> dict[str, Gathered]:
        """What is gathered and may be worked on, by event type."""
        with self.database.transaction() as rows:
            return groups.gathered(rows, self.adaptor, now)

    def group(self, type: str, before: float, now: float, limit: int) -> list[Entry]:
        """The gathered events of this type that arrived before that time and may be worked on, in order."""
        with self._table() as table:
            return groups.group(table, type, before, now, limit)

    def begun_groups(self) -> list[Entry]:
        """The events that somebody has begun and whose messages are here, in order of arrival."""
        with self._table() as table:
            return groups.begun(table)

    def gathered_doubts(self) -> list[Entry]:
        """The events in doubt that are to be asked about and whose messages are here, in order of arrival."""
        with self._table() as table:
            return groups.doubts(table)

    def idle_over(self, type: str, cut_off: float) -> bool:
        """Whether the ledger knows events from before a cut-off, and has since applied none of them of this type."""
        with self.database.transaction() as rows:
            return groups.idle_over(rows, self.adaptor, type, cut_off)

    def at_work_from_before(self, type: str, cut_off: float) -> bool:
        """Whether events of this type from before a cut-off may yet have their effect, or are for a person since."""
        with self.database.transaction() as rows:
            return groups.at_work_from_before(rows, self.adaptor, type, cut_off)

    def find(self, states: Sequence[State], limit: int = 100) -> list[Entry]:
        """Entries in these states, oldest change first."""
        names = {f"state{index}": str(state) for index, state in enumerate(states)}
        listed = ", ".join(f":{name}" for name in names)
        with self._table() as table:
            return table.select(f"state IN ({listed}) ORDER BY updated_at LIMIT :limit", {**names, "limit": limit})

    def get(self, key: Key) -> Entry | None:
        """The entry of one event."""
        with self._table() as table:
            return table.get(key)

    def lookup(self, id: str) -> list[Entry]:
        """Entries whose event has this id, whatever its source."""
        with self._table() as table:
            return table.select("id = :id ORDER BY updated_at", {"id": id})

    def reopen(self, key: Key, decision: Decision) -> Entry | None:
        """Make a dead letter wait for new attempts, from 0; its message is unsent."""
        return self._intervene(key, State.DEAD, decision, state=State.WAITING, attempts=0, unsent=True)

    def discard(self, key: Key, decision: Decision) -> Entry | None:
        """Close a dead letter for good."""
        return self._intervene(key, State.DEAD, decision, state=State.DISCARDED)

    def settle_applied(self, key: Key, decision: Decision, replies: tuple[Reply, ...]) -> Entry | None:
        """The doubtful effect happened; its replies are unsent."""
        changes = {"state": State.APPLIED, "replies": replies, "unsent": bool(to_send(replies)), "due_at": None}
        return self._intervene(key, State.IN_DOUBT, decision, **changes)

    def settle_not_applied(self, key: Key, decision: Decision, evidence: Mapping[str, Any]) -> Entry | None:
        """The doubtful effect did not happen: the event waits for new attempts."""
        changes = {"state": State.WAITING, "attempts": 0, "unsent": True, "evidence": evidence, "due_at": None}
        return self._intervene(key, State.IN_DOUBT, decision, **changes)

    def _intervene(self, key: Key, expected: State, decision: Decision, **changes: Any) -> Entry | None:
        """Change a row as a person decided, unless it is no longer in the state that the person saw."""
        with self._table() as table:
            found = table.get(key)
            if found is None or found.state is not expected:
                return None
            decisions = (*found.decisions, decision)
            entry = replace(found, **changes, decisions=decisions, updated_at=decision.at)
            seen = {"seen_state": expected, "seen_token": found.token}
            if not table.rows.run(schema.INTERVENE, [{**row_of(entry, self.adaptor), **seen}]):
                return None
            if entry.state is State.APPLIED:
                owed.owe(table, [(key, entry.replies)], decision.at)
            return entry

    def purge(self, before: float, limit: int) -> int:
        """Forget at most `limit` events that were applied or discarded before that time."""
        values = {"adaptor": self.adaptor, "before": before, "limit": limit}
        oldest = (
            f"SELECT event_hash FROM adaptor_ledger WHERE adaptor = :adaptor AND {schema.ENDED} AND unsent = 0 "
            f"AND updated_at < :before AND {schema.NOT_OWED} "
            f"ORDER BY updated_at LIMIT :limit{self.database.passing_over_locked}"
        )
        with self.database.transaction() as rows:
            found = [{"adaptor": self.adaptor, "event_hash": row[0]} for row in rows.fetch(oldest, values)]
            if found:
                rows.run(f"DELETE FROM adaptor_ledger WHERE {schema.ROW}", found)
                rows.run(f"DELETE FROM adaptor_owed WHERE {schema.ROW}", found)
        return len(found)

    def counts(self) -> dict[State, int]:
        """How many events stand in each state."""
        with self.database.transaction() as rows:
            found = rows.fetch(
                "SELECT state, COUNT(*) FROM adaptor_ledger WHERE adaptor = :adaptor AND source <> :answers "
                "GROUP BY state",
                {"adaptor": self.adaptor, "answers": owed.answers_of(self.adaptor)},
            )
        return {State(state): count for state, count in found}

    @contextmanager
    def answering(self) -> Iterator[owed.AnsweringTable]:
        """A commit in which answers are completed."""
        with self._table() as table:
            yield owed.AnsweringTable(table, self.adaptor, self.clock)

    def owed(self, limit: int, due_before: float = math.inf, *, unannounced: bool = False) -> list[Owed]:
        """Replies that are owed, longest first."""
        with self.database.transaction() as rows:
            return owed.listed(rows, self.adaptor, limit, due_before, unannounced=unannounced)

    def give_up(self, reply: Owed, decision: Decision) -> bool:
        """No answer is waited for any more."""
        with self.answering() as table:
            return table.give_up(reply, decision)

    def answer_counts(self) -> tuple[int, int]:
        """How many replies are owed, and how many answers are dead letters."""
        with self.database.transaction() as rows:
            return owed.counts(rows, self.adaptor)

    def announced(self, reply_ids: Sequence[str]) -> None:
        """The broker has confirmed that these replies are overdue."""
        values = [{"adaptor": self.adaptor, "reply_id": reply_id} for reply_id in reply_ids]
        said = "UPDATE adaptor_owed SET announced = 1 WHERE adaptor = :adaptor AND reply_id = :reply_id"
        with self.database.transaction() as rows:
            rows.run(said, values)

    @contextmanager
    def _table(self, *, lazy: bool = False) -> Iterator[Table]:
        with self.database.transaction(lazy=lazy) as rows:
            yield Table(rows, self.adaptor, self.clock)


def _version(rows: Rows) -> int | None:
    found = rows.fetch(f"SELECT last FROM adaptor_sequence {schema.WHERE_VERSION}", {})
    return int(found[0][0]) if found else None
