"""The ledger in any SQL database: one table, plain SQL that SQLite and PostgreSQL share.

What differs between databases (connecting, the name of the binary type) is behind `Database`; see sqlite.py for the
standard library's SQLite and shared.py for SQLAlchemy.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from typing import Any

from adapter_sdk.errors import ConfigError, LedgerError
from adapter_sdk.events import Key
from adapter_sdk.ledger import schema
from adapter_sdk.ledger.base import ClaimLost, ClaimRequest, Decision, Entry, Record, Reply, State, Verdict, decide
from adapter_sdk.ledger.codec import pack_json, pack_message, pack_replies
from adapter_sdk.ledger.database import Database, Owner, Rows
from adapter_sdk.ledger.rows import LONGEST_ERROR, entry_of, event_hash, fitting, row_of

_SEQUENCE = "adaptor = :adaptor AND name = :name"
_PROCESSES = "running processes"
# Where the state goes that is found when a claim is taken over: a planned attempt has begun, a doubt stays a doubt.
_TAKEN_OVER = {State.WAITING: State.CLAIMED, State.IN_DOUBT: State.CALLING}


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

    def open(self) -> None:
        """Connect; create the tables where that is ours to do, else raise LedgerError if they are missing."""
        self.database.open()
        if self.database.may_create:
            self.install()
        where = "WHERE adaptor = '' AND name = 'schema version'"
        with self.database.transaction() as rows:
            # A write, so that a full disk or a lost right shows here and not with the first event in hand.
            rows.run(f"UPDATE adaptor_sequence SET last = last {where}", [{}])
            found = rows.fetch(f"SELECT last FROM adaptor_sequence {where}", {})
        version = found[0][0] if found else None
        if version != schema.SCHEMA_VERSION:
            raise ConfigError(
                f"the ledger in {self.database.place} has schema version {version}; "
                f"this toolkit has {schema.SCHEMA_VERSION}: "
                "run the release of the toolkit that made it, or give the adaptor another ledger"
            )

    def install(self) -> None:
        """Create the tables that are missing."""
        with self.database.transaction() as rows:
            for statement in schema.create_statements(self.database.blob):
                rows.run(statement, [{}])

    def close(self) -> None:
        """Let go of the database."""
        self.disown()
        self.database.close()

    def started(self) -> bool:
        """Count one process more. True if there were some; what has died cannot be told apart, and counts no longer."""
        with self.database.transaction() as rows:
            number = _Transaction(rows, self).next_number(_PROCESSES)
            rows.run(f"UPDATE adaptor_sequence SET last = 1 WHERE {_SEQUENCE}", [self._sequence(_PROCESSES)])
        return number > 1

    def stopped(self) -> None:
        """Count one process less."""
        with self.database.transaction() as rows:
            less = f"UPDATE adaptor_sequence SET last = last - 1 WHERE {_SEQUENCE} AND last > 0"
            rows.run(less, [self._sequence(_PROCESSES)])

    def disown(self) -> None:
        """Let others take over what this process has claimed."""
        if self.owner is not None:
            self.owner.renounce()

    def claim(self, requests: Sequence[ClaimRequest], now: float) -> list[tuple[Verdict, Entry]]:
        """Ask for several keys in one commit. New keys are one insert; the others are looked at one by one."""
        token = uuid.uuid4().hex
        owner = self.owner.identify() if self.owner else 0
        # Rows are always changed in one order, so that processes with the same keys in hand wait in no circle.
        pairs = sorted(((_fresh(request, token, owner, now), request) for request in requests), key=_order)
        with self.database.transaction() as rows:
            if rows.run(schema.INSERT, [row_of(entry, self.adaptor) for entry, _ in pairs]) == len(pairs):
                answers = {entry.key: (Verdict.GRANTED, entry) for entry, _ in pairs}
            else:
                answers = {entry.key: self._decide(rows, request, entry) for entry, request in pairs}
        return [answers[request.key] for request in requests]

    def _decide(self, rows: Rows, request: ClaimRequest, fresh: Entry) -> tuple[Verdict, Entry]:
        found = self._get(rows, request.key)
        if found is None:
            raise LedgerError(f"the row of {request.key} vanished from {self.database.place} during a claim")
        if found.token == fresh.token:
            return Verdict.GRANTED, fresh
        verdict = decide(found, request, lambda owner: self.owner is not None and self.owner.lives(rows, owner))
        if verdict is not Verdict.GRANTED:
            return verdict, found
        attempts = found.attempts + 1
        changed = rows.run(
            schema.TAKE_OVER,
            [
                {
                    **self._id(found.key),
                    "token": fresh.token,
                    "owner": fresh.owner,
                    "found": found.token,
                    "found_state": found.state,
                    "attempts": attempts,
                    "state": _TAKEN_OVER.get(found.state, found.state),
                    "updated_at": fresh.updated_at,
                }
            ],
        )
        if not changed:  # another process was quicker, and what it did may decide otherwise
            return self._decide(rows, request, fresh)
        return verdict, replace(found, token=fresh.token, attempts=attempts)

    def record(self, records: Sequence[Record], now: float) -> list[bool]:
        """Write the ends of attempts in one commit; False where the claim was lost."""
        with self.database.transaction() as rows:
            return self.record_in(rows, records, now)

    def record_in(self, rows: Rows, records: Sequence[Record], now: float) -> list[bool]:
        """As `record`, inside a transaction that is already open: with the effect itself, where that is possible."""
        values = [
            {
                **self._id(record.key),
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
        changed = rows.run(schema.RECORD, values)
        if changed in (0, len(values)):
            # None: a row that ended before, though by the same claim, must not let a second effect commit.
            return [changed > 0] * len(values)
        # Rows with another token, or at an end already, were not changed; one look at each tells which.
        found = [self._get(rows, record.key) for record in records]
        return [
            entry is not None and (entry.token, entry.state) == (record.token, record.state)
            for entry, record in zip(found, records, strict=True)
        ]

    def sent(self, claims: Iterable[tuple[Key, str]]) -> None:
        """The broker has confirmed all messages of these events."""
        values = sorted(({**self._id(key), "token": token} for key, token in claims), key=itemgetter("event_hash"))
        if values:
            with self.database.transaction() as rows:
                rows.run(f"UPDATE adaptor_ledger SET unsent = 0 WHERE {schema.ROW} AND token = :token", values)

    @contextmanager
    def transaction(self) -> Iterator["_Transaction"]:
        """Notes and sequence numbers that become durable together."""
        with self.database.transaction() as rows:
            yield _Transaction(rows, self)

    def set_aside(self, entry: Entry) -> None:
        """Keep a message that has no row of its own; the same message again changes nothing, a replayed one is back."""
        with self.database.transaction() as rows:
            if not rows.run(schema.INSERT, [row_of(entry, self.adaptor)]):
                rows.run(schema.BACK_TO_DEAD, [row_of(entry, self.adaptor)])

    def unsent(self, before: float, limit: int) -> list[Entry]:
        """Entries with unconfirmed messages that nothing has changed since `before`."""
        with self.database.transaction() as rows:
            return self._select(
                rows,
                # Replies that nobody takes may stand there for days; what waits to be worked on goes first.
                "unsent = 1 AND updated_at < :before "
                "ORDER BY CASE WHEN state = 'applied' THEN 1 ELSE 0 END, updated_at LIMIT :limit",
                {"before": before, "limit": limit},
            )

    def find(self, states: Sequence[State], limit: int = 100) -> list[Entry]:
        """Entries in these states, oldest change first."""
        names = {f"state{index}": str(state) for index, state in enumerate(states)}
        listed = ", ".join(f":{name}" for name in names)
        with self.database.transaction() as rows:
            return self._select(
                rows, f"state IN ({listed}) ORDER BY updated_at LIMIT :limit", {**names, "limit": limit}
            )

    def get(self, key: Key) -> Entry | None:
        """The entry of one event."""
        with self.database.transaction() as rows:
            return self._get(rows, key)

    def lookup(self, id: str) -> list[Entry]:
        """Entries whose event has this id, whatever its source."""
        with self.database.transaction() as rows:
            return self._select(rows, "id = :id ORDER BY updated_at", {"id": id})

    def reopen(self, key: Key, decision: Decision) -> Entry | None:
        """Make a dead letter wait for new attempts, from 0; its message is unsent."""
        return self._intervene(key, State.DEAD, decision, state=State.WAITING, attempts=0, unsent=True)

    def discard(self, key: Key, decision: Decision) -> Entry | None:
        """Close a dead letter for good."""
        return self._intervene(key, State.DEAD, decision, state=State.DISCARDED)

    def settle_applied(self, key: Key, decision: Decision, replies: tuple[Reply, ...]) -> Entry | None:
        """The doubtful effect happened; its replies are unsent."""
        changes = {"state": State.APPLIED, "replies": replies, "unsent": bool(replies), "due_at": None}
        return self._intervene(key, State.IN_DOUBT, decision, **changes)

    def settle_not_applied(self, key: Key, decision: Decision, evidence: Mapping[str, Any]) -> Entry | None:
        """The doubtful effect did not happen: the event waits for new attempts."""
        changes = {"state": State.WAITING, "attempts": 0, "unsent": True, "evidence": evidence, "due_at": None}
        return self._intervene(key, State.IN_DOUBT, decision, **changes)

    def _intervene(self, key: Key, expected: State, decision: Decision, **changes: Any) -> Entry | None:
        """Change a row as a person decided, unless it is no longer in the state that the person saw."""
        with self.database.transaction() as rows:
            found = self._get(rows, key)
            if found is None or found.state is not expected:
                return None
            decisions = (*found.decisions, decision)
            entry = replace(found, **changes, decisions=decisions, updated_at=decision.at)
            seen = {"seen_state": expected, "seen_token": found.token}
            return entry if rows.run(schema.INTERVENE, [{**row_of(entry, self.adaptor), **seen}]) else None

    def purge(self, before: float, limit: int) -> int:
        """Forget at most `limit` events that were applied or discarded before that time."""
        values = {"adaptor": self.adaptor, "before": before, "limit": limit}
        oldest = (
            f"SELECT event_hash FROM adaptor_ledger WHERE adaptor = :adaptor AND {schema.ENDED} AND unsent = 0 "
            f"AND updated_at < :before ORDER BY updated_at LIMIT :limit{self.database.passing_over_locked}"
        )
        with self.database.transaction() as rows:
            found = [{"adaptor": self.adaptor, "event_hash": row[0]} for row in rows.fetch(oldest, values)]
            if found:
                rows.run(f"DELETE FROM adaptor_ledger WHERE {schema.ROW}", found)
        return len(found)

    def counts(self) -> dict[State, int]:
        """How many events stand in each state."""
        with self.database.transaction() as rows:
            found = rows.fetch(
                "SELECT state, COUNT(*) FROM adaptor_ledger WHERE adaptor = :adaptor GROUP BY state",
                {"adaptor": self.adaptor},
            )
        return {State(state): count for state, count in found}

    def _id(self, key: Key) -> dict[str, Any]:
        return {"adaptor": self.adaptor, "event_hash": event_hash(key)}

    def _sequence(self, name: str) -> dict[str, Any]:
        return {"adaptor": self.adaptor, "name": name}

    def _get(self, rows: Rows, key: Key) -> Entry | None:
        found = self._select(rows, "event_hash = :event_hash", {"event_hash": event_hash(key)})
        return found[0] if found else None

    def _select(self, rows: Rows, condition: str, values: Mapping[str, Any]) -> list[Entry]:
        statement = f"SELECT {schema.COLUMNS} FROM adaptor_ledger WHERE adaptor = :adaptor AND {condition}"
        return [entry_of(row) for row in rows.fetch(statement, {**values, "adaptor": self.adaptor})]


class _Transaction:
    """The notes of one journal transaction."""

    def __init__(self, rows: Rows, ledger: SqlLedger) -> None:
        self._rows = rows
        self._ledger = ledger

    def note(
        self, key: Key, token: str, state: State, evidence: Mapping[str, Any], replies: tuple[Reply, ...] = ()
    ) -> None:
        """Write down how far the effect has come. Raises ClaimLost if `token` no longer owns the row."""
        values = {
            **self._ledger._id(key),
            "token": token,
            "state": state,
            "evidence": pack_json(evidence),
            "replies": pack_replies(replies) if replies else None,
            "updated_at": self._ledger.clock(),
        }
        if not self._rows.run(schema.NOTE, [values]):
            raise ClaimLost(f"another worker has taken over {key}")

    def next_number(self, sequence: str) -> int:
        """The next number of a gap-free sequence; taken only if the transaction commits."""
        values = self._ledger._sequence(sequence)
        self._rows.run(
            "INSERT INTO adaptor_sequence (adaptor, name, last) VALUES (:adaptor, :name, 0) ON CONFLICT DO NOTHING",
            [values],
        )
        self._rows.run(f"UPDATE adaptor_sequence SET last = last + 1 WHERE {_SEQUENCE}", [values])
        return int(self._rows.fetch(f"SELECT last FROM adaptor_sequence WHERE {_SEQUENCE}", values)[0][0])


def _order(pair: tuple[Entry, ClaimRequest]) -> str:
    return event_hash(pair[0].key)


def _fresh(request: ClaimRequest, token: str, owner: int, now: float) -> Entry:
    return Entry(
        key=request.key,
        state=State.CLAIMED,
        type=request.type,
        subject=request.subject,
        correlation_id=request.correlation_id,
        digest=request.digest,
        attempts=1,
        token=token,
        owner=owner,
        received_at=now,
        updated_at=now,
    )
