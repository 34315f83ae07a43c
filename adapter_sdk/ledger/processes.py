"""Which processes of an adaptor have begun to consume and have not ended in good order."""

from typing import Any

from adapter_sdk.ledger import schema
from adapter_sdk.ledger.database import Owner, Rows
from adapter_sdk.ledger.table import Table

_COUNT = "running processes"
_ONE = "process "
_FORGET = f"DELETE FROM adaptor_sequence WHERE {schema.SEQUENCE}"


class Processes:
    """Notes of the beginnings and ends of an adaptor's processes, in the ledger's own table of numbers.

    With an `owner` each process has a note of its own, under the number by which others see that it lives. Without one
    they are only counted, and a process that runs cannot be told from one that died.
    """

    def __init__(self, adaptor: str, owner: Owner | None) -> None:
        self._adaptor = adaptor
        self._owner = owner
        self._number = 0  # of the note of this process, 0 for none

    def started(self, table: Table) -> bool:
        """Note that this process has begun. True if one that has not ended in good order is dead; it is forgotten."""
        if self._owner is None:
            return self._counted(table)
        rows, number = table.rows, self._owner.identify()
        others = f"SELECT last FROM adaptor_sequence WHERE adaptor = :adaptor AND name LIKE '{_ONE}%'"
        numbers = [int(row[0]) for row in rows.fetch(others, {"adaptor": self._adaptor})]
        dead = [other for other in numbers if other != number and not self._owner.lives(rows, other)]
        if dead:
            rows.run(_FORGET, [self._note(other) for other in dead])
        self._move(rows, number)
        return bool(dead)

    def renumbered(self, rows: Rows, number: int) -> None:
        """Note the number that others see now, another one than before once this process has let go of its claims."""
        if self._number and number != self._number:
            self._move(rows, number)

    def stopped(self, rows: Rows) -> None:
        """Note that this process has ended in good order."""
        if self._owner is None:
            less = f"UPDATE adaptor_sequence SET last = last - 1 WHERE {schema.SEQUENCE} AND last > 0"
            rows.run(less, [{"adaptor": self._adaptor, "name": _COUNT}])
        elif self._number:
            rows.run(_FORGET, [self._note(self._number)])
            self._number = 0

    def _move(self, rows: Rows, number: int) -> None:
        if self._number:
            rows.run(_FORGET, [self._note(self._number)])
        new = (
            "INSERT INTO adaptor_sequence (adaptor, name, last) VALUES (:adaptor, :name, :last) ON CONFLICT DO NOTHING"
        )
        rows.run(new, [self._note(number)])
        self._number = number

    def _note(self, number: int) -> dict[str, Any]:
        return {"adaptor": self._adaptor, "name": f"{_ONE}{number}", "last": number}

    def _counted(self, table: Table) -> bool:
        """Count one more. True if there were some; what has died cannot be told apart, and counts no longer."""
        number = table.next_number(_COUNT)
        one = {"adaptor": self._adaptor, "name": _COUNT}
        table.rows.run(f"UPDATE adaptor_sequence SET last = 1 WHERE {schema.SEQUENCE}", [one])
        return number > 1
