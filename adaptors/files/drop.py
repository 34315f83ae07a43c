"""Drop: the handle that a file drop's handler is given."""

from collections.abc import Iterable
from itertools import chain, count

from pydantic import ValidationError

from adaptors.files.errors import FormatError
from adaptors.files.formats.record import Record, explain


class Drop:
    """Takes the one file that a handler wants dropped for its event, and keeps it until the handler has returned.

    Nothing is written to disk by it, so a handler that raises has dropped nothing. `content` is what was given so far,
    None if nothing, and `records` how many records that is, None if nobody said: a unit test gives the handler a
    `Drop()` and looks at it.
    """

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.records: int | None = None

    def write(self, records: Record | Iterable[Record]) -> None:
        """Drop a file of records, all of one class, which is the file's format. A single record is a file of one.

        Raises FormatError if a record does not fit its form, or there is none: an empty file is `write_bytes(b"")`.
        """
        try:
            # A record can itself be iterated, as pydantic has it, so it is looked for first.
            found = iter((records,) if isinstance(records, Record) else records)
            first = next(found, None)
            if first is None:
                raise FormatError("there are no records to write; return without writing, or write_bytes(b'')")
            if not isinstance(first, Record):
                raise FormatError(f"write takes records; for a {type(first).__name__} see write_bytes and write_text")
            number = count(1)
            # Each record takes a number as it passes, so the next one tells how many there were.
            data = type(first).encode_all(record for record, _ in zip(chain((first,), found), number, strict=False))
        except ValidationError as error:
            raise FormatError(f"{error.title}: {explain(error)}") from error
        self.write_bytes(data, records=next(number) - 1)

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
            raise FormatError("the handler has already written its file; a drop takes one file per event")
        self.content = bytes(data)
        self.records = records
