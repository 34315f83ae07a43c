"""The ledger's rows of one adaptor inside one transaction: finding them, noting how far an effect has come, numbers."""

from collections.abc import Callable, Mapping
from typing import Any

from adapter_sdk.events import Key
from adapter_sdk.ledger import schema
from adapter_sdk.ledger.base import ClaimLost, Entry, Reply, State
from adapter_sdk.ledger.codec import pack_json, pack_replies
from adapter_sdk.ledger.database import Rows
from adapter_sdk.ledger.rows import entry_of, event_hash


class Table:
    """The rows of `adaptor`. As a JournalTransaction it is what a family uses in the middle of an effect."""

    def __init__(self, rows: Rows, adaptor: str, clock: Callable[[], float]) -> None:
        self.rows = rows
        self._adaptor = adaptor
        self._clock = clock

    def id(self, key: Key) -> dict[str, Any]:
        """The parameters that name the row of an event."""
        return {"adaptor": self._adaptor, "event_hash": event_hash(key)}

    def get(self, key: Key) -> Entry | None:
        """The entry of one event."""
        found = self.select("event_hash = :event_hash", {"event_hash": event_hash(key)})
        return found[0] if found else None

    def select(self, condition: str, values: Mapping[str, Any]) -> list[Entry]:
        """The entries that a condition finds."""
        statement = f"SELECT {schema.COLUMNS} FROM adaptor_ledger WHERE adaptor = :adaptor AND {condition}"
        return [entry_of(row) for row in self.rows.fetch(statement, {**values, "adaptor": self._adaptor})]

    def note(
        self, key: Key, token: str, state: State, evidence: Mapping[str, Any], replies: tuple[Reply, ...] = ()
    ) -> None:
        """Write down how far the effect has come. Raises ClaimLost if `token` no longer owns the row."""
        values = {
            **self.id(key),
            "token": token,
            "state": state,
            "evidence": pack_json(evidence),
            "replies": pack_replies(replies) if replies else None,
            "updated_at": self._clock(),
        }
        if not self.rows.run(schema.NOTE, [values]):
            raise ClaimLost(f"another worker has taken over {key}")

    def next_number(self, sequence: str) -> int:
        """The next number of a gap-free sequence; taken only if the transaction commits."""
        return self.take_numbers(sequence, 1)

    def take_numbers(self, sequence: str, count: int) -> int:
        """Move a sequence on by `count`; the last number of those taken."""
        values = {"adaptor": self._adaptor, "name": sequence, "count": count}
        self.rows.run(
            "INSERT INTO adaptor_sequence (adaptor, name, last) VALUES (:adaptor, :name, 0) ON CONFLICT DO NOTHING",
            [values],
        )
        self.rows.run(f"UPDATE adaptor_sequence SET last = last + :count WHERE {schema.SEQUENCE}", [values])
        return int(self.rows.fetch(f"SELECT last FROM adaptor_sequence WHERE {schema.SEQUENCE}", values)[0][0])
