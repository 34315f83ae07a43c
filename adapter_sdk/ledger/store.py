"""The ledger in any SQL database: one table, plain SQL that SQLite and PostgreSQL share.

What differs between databases (connecting, the name of the binary type) is behind `Database`; see sqlite.py for the
standard library's SQLite and shared.py for SQLAlchemy.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from operator import itemgetter
from typing import Any, Protocol

from adapter_sdk.errors import ConfigError, LedgerError
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import ClaimLost, ClaimRequest, Decision, Entry, Record, Reply, State, Verdict, decide
from adapter_sdk.ledger.codec import (
    pack_decisions,
    pack_json,
    pack_message,
    pack_replies,
    unpack_decisions,
    unpack_json,
    unpack_message,
    unpack_replies,
)

SCHEMA_VERSION = 1

# As it stands in an index, so that a query that says the same finds its rows there.
_ENDED = "(state = 'applied' OR state = 'discarded')"

TABLES = (
    """CREATE TABLE IF NOT EXISTS adaptor_ledger (
  adaptor VARCHAR(60) NOT NULL,
  event_hash CHAR(64) NOT NULL,
  source VARCHAR(2048) NOT NULL,
  id VARCHAR(2048) NOT NULL,
  type VARCHAR(2048) NOT NULL,
  subject VARCHAR(2048),
  correlation_id VARCHAR(2048),
  digest CHAR(64) NOT NULL,
  state VARCHAR(12) NOT NULL,
  attempts INTEGER NOT NULL,
  token CHAR(32) NOT NULL,
  owner BIGINT NOT NULL,
  unsent SMALLINT NOT NULL,
  replies {blob},
  evidence {blob},
  message {blob},
  reason VARCHAR(255),
  error TEXT,
  received_at DOUBLE PRECISION NOT NULL,
  updated_at DOUBLE PRECISION NOT NULL,
  due_at DOUBLE PRECISION,
  decisions {blob},
  PRIMARY KEY (adaptor, event_hash)
)""",
    (
        "CREATE INDEX IF NOT EXISTS adaptor_ledger_open ON adaptor_ledger (adaptor, state, updated_at) "
        "WHERE state <> 'applied' AND state <> 'claimed'"
    ),
    f"CREATE INDEX IF NOT EXISTS adaptor_ledger_ended ON adaptor_ledger (adaptor, updated_at) WHERE {_ENDED}",
    "CREATE INDEX IF NOT EXISTS adaptor_ledger_unsent ON adaptor_ledger (adaptor, updated_at) WHERE unsent = 1",
    """CREATE TABLE IF NOT EXISTS adaptor_sequence (
  adaptor VARCHAR(60) NOT NULL,
  name VARCHAR(255) NOT NULL,
  last BIGINT NOT NULL,
  PRIMARY KEY (adaptor, name)
)""",
)

_COLUMNS = (
    "source, id, type, subject, correlation_id, digest, state, attempts, token, owner, unsent, replies, evidence, "
    "message, reason, error, received_at, updated_at, due_at, decisions"
)
_ROW = "adaptor = :adaptor AND event_hash = :event_hash"
_INSERT = (
    f"INSERT INTO adaptor_ledger (adaptor, event_hash, {_COLUMNS}) VALUES (:adaptor, :event_hash, "
    + ", ".join(f":{name.strip()}" for name in _COLUMNS.split(","))
    + ") ON CONFLICT DO NOTHING"
)
_TAKE_OVER = (
    "UPDATE adaptor_ledger SET token = :token, owner = :owner, attempts = :attempts, state = :state, "
    f"unsent = 0, due_at = NULL, updated_at = :updated_at WHERE {_ROW} AND token = :found AND state = :found_state"
)
_RECORD = (
    "UPDATE adaptor_ledger SET state = :state, owner = 0, replies = COALESCE(:replies, replies), unsent = :unsent, "
    "reason = :reason, error = :error, "
    "message = CASE WHEN :applied = 1 THEN NULL ELSE COALESCE(message, :message) END, due_at = :due_at, "
    f"attempts = COALESCE(:attempts, attempts), updated_at = :updated_at WHERE {_ROW} AND token = :token "
    # A COMMIT whose answer was lost may still be under way and end the row before this statement sees it.
    "AND state NOT IN ('applied', 'dead', 'discarded')"
)
_NOTE = (
    "UPDATE adaptor_ledger SET state = :state, evidence = :evidence, replies = COALESCE(:replies, replies), "
    f"updated_at = :updated_at WHERE {_ROW} AND token = :token"
)
_BACK_TO_DEAD = (
    "UPDATE adaptor_ledger SET state = 'dead', unsent = 0, reason = :reason, error = :error, updated_at = :updated_at "
    f"WHERE {_ROW} AND state = 'waiting'"
)
_INTERVENE = (
    "UPDATE adaptor_ledger SET state = :state, attempts = :attempts, unsent = :unsent, replies = :replies, "
    "evidence = :evidence, due_at = :due_at, decisions = :decisions, updated_at = :updated_at "
    f"WHERE {_ROW} AND state = :seen_state AND token = :seen_token"
)
_LONGEST_ERROR = 8000
# Where the state goes that is found when a claim is taken over: a planned attempt has begun, a doubt stays a doubt.
_TAKEN_OVER = {State.WAITING: State.CLAIMED, State.IN_DOUBT: State.CALLING}


class Rows(Protocol):
    """Statements inside one transaction, with `:name` parameters."""

    def run(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once per row of parameters; how many table rows it changed."""
        ...

    def fetch(self, statement: str, values: Mapping[str, Any]) -> list[Sequence[Any]]:
        """The rows that a query finds."""
        ...


class Database(Protocol):
    """A place where tables live. Its methods raise LedgerError."""

    blob: str
    passing_over_locked: str
    """What a SELECT ends with that takes rows for itself and passes over those that others have taken, if any can."""
    may_create: bool
    """Whether `open` creates missing tables; false where that takes an install command or a DBA."""

    def open(self) -> None: ...
    def close(self) -> None: ...

    def transaction(self) -> AbstractContextManager[Rows]:
        """Commits when the block ends, rolls back when it raises."""
        ...

    @property
    def place(self) -> str:
        """Where this is, without a password."""
        ...


def create_statements(blob: str) -> list[str]:
    """The SQL that a DBA would run, one statement each. Running it twice changes nothing."""
    version = (
        f"INSERT INTO adaptor_sequence (adaptor, name, last) VALUES ('', 'schema version', {SCHEMA_VERSION}) "
        "ON CONFLICT DO NOTHING"
    )
    return [statement.format(blob=blob) for statement in TABLES] + [version]


def event_hash(key: Key) -> str:
    """SHA-256 of source and id: a primary key of one length, whatever producers choose as ids."""
    return hashlib.sha256(f"{key.source}\n{key.id}".encode()).hexdigest()


class Owner(Protocol):
    """What tells others that this process lives and owns its claims, where several processes share a ledger."""

    def identify(self) -> int:
        """The number under which others see that this process lives, above 0. Raises LedgerError."""
        ...

    def lives(self, rows: Rows, owner: int) -> bool:
        """Whether the process with this number is another one and lives."""
        ...

    def renounce(self) -> None:
        """Be dead to the others under the present number; `identify` takes a new one."""
        ...


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
        schema = "WHERE adaptor = '' AND name = 'schema version'"
        with self.database.transaction() as rows:
            # A write, so that a full disk or a lost right shows here and not with the first event in hand.
            rows.run(f"UPDATE adaptor_sequence SET last = last {schema}", [{}])
            found = rows.fetch(f"SELECT last FROM adaptor_sequence {schema}", {})
        version = found[0][0] if found else None
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"the ledger in {self.database.place} has schema version {version}; this toolkit has {SCHEMA_VERSION}: "
                "run the release of the toolkit that made it, or give the adaptor another ledger"
            )

    def install(self) -> None:
        """Create the tables that are missing."""
        with self.database.transaction() as rows:
            for statement in create_statements(self.database.blob):
                rows.run(statement, [{}])

    def close(self) -> None:
        """Let go of the database."""
        self.disown()
        self.database.close()

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
            if rows.run(_INSERT, [self._row(entry) for entry, _ in pairs]) == len(pairs):
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
        attempts = max(found.attempts, request.attempts) + 1
        changed = rows.run(
            _TAKE_OVER,
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
                "reason": _fitting(record.reason, 255),
                "error": _fitting(record.error, _LONGEST_ERROR),
                "message": pack_message(record.message) if record.message else None,
                "due_at": record.due_at,
                "attempts": record.attempts,
                "updated_at": now,
            }
            for record in sorted(records, key=lambda record: event_hash(record.key))
        ]
        if not values:
            return []
        if rows.run(_RECORD, values) == len(values):
            return [True] * len(values)
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
                rows.run(f"UPDATE adaptor_ledger SET unsent = 0 WHERE {_ROW} AND token = :token", values)

    @contextmanager
    def transaction(self) -> Iterator["_Transaction"]:
        """Notes and sequence numbers that become durable together."""
        with self.database.transaction() as rows:
            yield _Transaction(rows, self)

    def set_aside(self, entry: Entry) -> None:
        """Keep a message that has no row of its own; the same message again changes nothing, a replayed one is back."""
        with self.database.transaction() as rows:
            if not rows.run(_INSERT, [self._row(entry)]):
                rows.run(_BACK_TO_DEAD, [self._row(entry)])

    def unsent(self, before: float, limit: int) -> list[Entry]:
        """Entries with unconfirmed messages that nothing has changed since `before`."""
        with self.database.transaction() as rows:
            return self._select(
                rows,
                "unsent = 1 AND updated_at < :before ORDER BY updated_at LIMIT :limit",
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
            return entry if rows.run(_INTERVENE, [{**self._row(entry), **seen}]) else None

    def purge(self, before: float, limit: int) -> int:
        """Forget at most `limit` events that were applied or discarded before that time."""
        values = {"adaptor": self.adaptor, "before": before, "limit": limit}
        oldest = (
            f"SELECT event_hash FROM adaptor_ledger WHERE adaptor = :adaptor AND {_ENDED} AND unsent = 0 "
            f"AND updated_at < :before ORDER BY updated_at LIMIT :limit{self.database.passing_over_locked}"
        )
        with self.database.transaction() as rows:
            found = [{"adaptor": self.adaptor, "event_hash": row[0]} for row in rows.fetch(oldest, values)]
            if found:
                rows.run(f"DELETE FROM adaptor_ledger WHERE {_ROW}", found)
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

    def _get(self, rows: Rows, key: Key) -> Entry | None:
        found = self._select(rows, "event_hash = :event_hash", {"event_hash": event_hash(key)})
        return found[0] if found else None

    def _select(self, rows: Rows, condition: str, values: Mapping[str, Any]) -> list[Entry]:
        statement = f"SELECT {_COLUMNS} FROM adaptor_ledger WHERE adaptor = :adaptor AND {condition}"
        return [_entry(row) for row in rows.fetch(statement, {**values, "adaptor": self.adaptor})]

    def _row(self, entry: Entry) -> dict[str, Any]:
        return {
            **self._id(entry.key),
            "source": entry.key.source,
            "id": entry.key.id,
            "type": entry.type,
            "subject": entry.subject,
            "correlation_id": _fitting(entry.correlation_id, 2048),
            "digest": entry.digest,
            "state": entry.state,
            "attempts": entry.attempts,
            "token": entry.token,
            "owner": entry.owner,
            "unsent": int(entry.unsent),
            "replies": pack_replies(entry.replies) if entry.replies else None,
            "evidence": None if entry.evidence is None else pack_json(entry.evidence),
            "message": pack_message(entry.message) if entry.message else None,
            "reason": _fitting(entry.reason, 255),
            "error": _fitting(entry.error, _LONGEST_ERROR),
            "received_at": entry.received_at,
            "updated_at": entry.updated_at,
            "due_at": entry.due_at,
            "decisions": pack_decisions(entry.decisions) if entry.decisions else None,
        }


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
        if not self._rows.run(_NOTE, [values]):
            raise ClaimLost(f"another worker has taken over {key}")

    def next_number(self, sequence: str) -> int:
        """The next number of a gap-free sequence; taken only if the transaction commits."""
        values = {"adaptor": self._ledger.adaptor, "name": sequence}
        self._rows.run(
            "INSERT INTO adaptor_sequence (adaptor, name, last) VALUES (:adaptor, :name, 0) ON CONFLICT DO NOTHING",
            [values],
        )
        where = "WHERE adaptor = :adaptor AND name = :name"
        self._rows.run(f"UPDATE adaptor_sequence SET last = last + 1 {where}", [values])
        return int(self._rows.fetch(f"SELECT last FROM adaptor_sequence {where}", values)[0][0])


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
        attempts=request.attempts + 1,
        token=token,
        owner=owner,
        received_at=now,
        updated_at=now,
    )


def _fitting(text: str | None, limit: int) -> str | None:
    """Text as every database takes it: no NUL, no half of a surrogate pair, and columns have a length."""
    if text is None:
        return None
    return text.replace("\x00", "\ufffd").encode("utf-8", "backslashreplace").decode("utf-8")[:limit]


def _entry(row: Sequence[Any]) -> Entry:
    (source, id_, type_, subject, correlation, digest, state, attempts, token, owner, unsent) = row[:11]
    (replies, evidence, message, reason, error, received, updated, due, decisions) = row[11:]
    return Entry(
        key=Key(source, id_),
        state=State(state),
        type=type_,
        subject=subject,
        correlation_id=correlation,
        digest=digest.strip(),
        attempts=attempts,
        token=token.strip(),
        owner=owner,
        unsent=bool(unsent),
        replies=unpack_replies(bytes(replies)) if replies else (),
        evidence=None if evidence is None else unpack_json(bytes(evidence)),
        message=unpack_message(bytes(message)) if message else None,
        reason=reason,
        error=error,
        received_at=received,
        updated_at=updated,
        due_at=due,
        decisions=unpack_decisions(bytes(decisions)) if decisions else (),
    )
