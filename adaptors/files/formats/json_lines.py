"""JSON lines: one JSON object per line in UTF-8, each line ended by one line feed."""

from collections.abc import Iterable, Iterator
from typing import Self

from pydantic import ValidationError

from adaptors.files.errors import FormatError
from adaptors.files.formats.record import Record, explain, numbered


class JsonLines(Record):
    """A record as one line of JSON, as pydantic writes and reads it: decimals as strings, times in ISO 8601.

    Names are pydantic's aliases: a field that the file calls otherwise has a `validation_alias` as well.
    """

    @classmethod
    def encode_all(cls, records: Iterable[Self]) -> bytes:
        return b"".join([_line(cls, number, record) for number, record in numbered(cls, records)])

    @classmethod
    def decode_all(cls, data: bytes) -> Iterator[Self]:
        # Only b"\n" ends a line: str.splitlines() would also break a record at U+2028, which JSON allows in a string.
        for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
            try:
                yield cls.model_validate_json(line)
            except ValidationError as error:
                raise FormatError(f"{cls.__name__} line {number}: {explain(error)}") from error


def _line(cls: type[JsonLines], number: int, record: JsonLines) -> bytes:
    try:
        return record.model_dump_json(by_alias=True).encode() + b"\n"
    except ValueError as error:  # a lone surrogate, or a value that pydantic cannot serialize
        raise FormatError(f"{cls.__name__} record {number}: {error}") from error
