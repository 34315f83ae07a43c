"""Control totals: what the trailer of a file says of the records before it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from adaptors.files.errors import FormatError
from adaptors.files.formats.record import Record, shown


class Totals:
    """Count and sums over the records between header and trailer. A field may be one of a group: `address.zip`."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    @property
    def count(self) -> int:
        """How many records there are, header and trailer not among them."""
        return len(self._records)

    def sum(self, field: str) -> Decimal:
        """The sum of a number field; a None counts as nothing. Raises FormatError where there is no number."""
        total = Decimal(0)
        for value in self._values(field):
            if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
                raise FormatError(f"{field} holds {shown(value)}, of which there is no exact sum")
            total += value
        return total

    def hash_total(self, field: str, digits: int) -> int:
        """The last `digits` digits of the sum of a field's digits read as one number, whatever else is in it.

        It sums what is no amount, such as account numbers, and tells whether one of them was lost or changed.
        """
        numbers = (int("0" + "".join(filter(_is_digit, str(value)))) for value in self._values(field))
        return sum(numbers) % int(10**digits)

    def _values(self, field: str) -> list[Any]:
        found = []
        for record in self._records:
            value: Any = record
            for step in field.split("."):
                if not hasattr(value, step):
                    raise FormatError(f"{type(record).__name__} has no field {field}")
                value = getattr(value, step)
            if value is not None:
                found.append(value)
        return found


def _is_digit(character: str) -> bool:
    return character in "0123456789"
