"""Drop: the handle that a file drop's handler is given."""

from collections.abc import Callable, Iterable

from pydantic import ValidationError

from adaptors.files.errors import FormatError
from adaptors.files.formats.parts import JOINED
from adaptors.files.formats.record import Record, explain
from adaptors.files.totals import Totals


class Drop:
    """Takes the one file that a handler wants dropped, and keeps it until the handler has returned.

    Nothing is written to disk by it, so a handler that raises has dropped nothing. `content` is what was given so far,
    None if nothing, and `records` how many records that is, None if nobody said: a unit test gives the handler a
    `Drop()` and looks at it.

    `number` is the sequence number of the file, for a handler that writes it into the file: the same that `{sequence}`
    is in its name. It is the event's from the moment that it is asked for, also if the handler fails then;
    that of a file of many events is the next one until the file is made.
    """

    def __init__(self, number: int | None = None) -> None:
        self.content: bytes | None = None
        self.records: int | None = None
        self._number = number

    @property
    def number(self) -> int:
        """The sequence number of the file."""
        if self._number is None:
            self._number = self._take_number()
        return self._number

    def write(
        self,
        records: Record | Iterable[Record],
        *,
        header: Record | None = None,
        trailer: Record | Callable[[Totals], Record] | None = None,
    ) -> None:
        """Drop a file of records, all of one class, which is the file's format. A single record is a file of one.

        A `header` before them and a `trailer` after them may be of other classes of that format (fixed width, delimited
        or JSON lines); a function is given the `Totals` of the records and makes the trailer. Raises FormatError if a
        record does not fit its form, or there is none and no header or trailer: an empty file is `write_bytes(b"")`.
        """
        try:
            # A record can itself be iterated, as pydantic has it, so it is looked for first.
            details = [records] if isinstance(records, Record) else list(records)
            last = trailer(Totals(details)) if callable(trailer) else trailer
            parts = [[] if header is None else [header], details, [] if last is None else [last]]
            data = b"".join(_encoded(part, joined=header is not None or last is not None) for part in parts if part)
        except ValidationError as error:
            raise FormatError(f"{error.title}: {explain(error)}") from error
        if not any(parts):
            raise FormatError("there are no records to write; return without writing, or write_bytes(b'')")
        self.write_bytes(data, records=len(details))

    def write_text(self, text: str, *, encoding: str, records: int | None = None) -> None:
        """Drop a file of text. Raises FormatError at a character that the encoding does not have."""
        try:
            data = text.encode(encoding)
        except UnicodeEncodeError as error:
            bad = text[error.start]
            raise FormatError(f"character {error.start} of the text, {bad!r}, is not in {encoding}") from error
        self.write_bytes(data, records=records)

    def write_bytes(self, data: bytes, *, records: int | None = None) -> None:
        """Drop a file with exactly this content; `records` is how many a marker says that it has.

        Raises FormatError if the handler has already written one.
        """
        if self.content is not None:
            raise FormatError("the handler has already written its file; a drop takes one")
        self.content = bytes(data)
        self.records = records

    def _take_number(self) -> int:
        raise FormatError("this drop has no number: give a unit test's Drop one, as Drop(number=7)")


def _encoded(records: list[Record], *, joined: bool) -> bytes:
    first = records[0]
    if not isinstance(first, Record):
        raise FormatError(f"write takes records; for a {type(first).__name__} see write_bytes and write_text")
    if joined and not isinstance(first, JOINED):
        names = ", ".join(kind.__name__ for kind in JOINED)
        raise FormatError(f"header and trailer go with {names}; a {type(first).__name__} is a whole file")
    return type(first).encode_all(records)
