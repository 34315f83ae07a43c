"""JSON lines: one JSON object per line in UTF-8, each line ended by one line feed."""

from collections.abc import Iterable, Iterator
from typing import Self

import pydantic_core
from pydantic import ValidationError

from adapter_sdk.errors import MalformedEvent
from adapter_sdk.strict_json import parse_json
from adaptors.files.errors import FormatError
from adaptors.files.formats.record import BadRecord, Record, explain, hexed, numbered, place_of

_MAX_DEPTH = 100


class JsonLines(Record):
    """A record as one line of JSON, as pydantic writes and reads it: decimals as strings, times in ISO 8601.

    Names are pydantic's aliases: a field that the file calls otherwise has a `validation_alias` as well. A name that
    stands twice in an object is refused, and so is a number that its field could not hold to the last digit.
    """

    @classmethod
    def encode_all(cls, records: Iterable[Self]) -> bytes:
        return b"".join([_line(cls, number, record) for number, record in numbered(cls, records)])

    @classmethod
    def decode_each(cls, data: bytes) -> Iterator[Self | BadRecord]:
        start = 0
        # Only b"\n" ends a line: str.splitlines() would also break a record at U+2028, which JSON allows in a string.
        for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
            where = f"{cls.__name__} line {number} (at byte {start}, {len(line)} bytes)"
            try:
                # pydantic's own parser would take the last of two equal names, and make a float of each fraction.
                yield cls.model_validate_json(pydantic_core.to_json(parse_json(line, _MAX_DEPTH)))
            except ValidationError as error:
                yield BadRecord(
                    number, start, line, FormatError(f"{where}: {explain(error)} ({hexed(line)})", place_of(error))
                )
            except MalformedEvent as error:
                why = str(error).replace("the body", "it")
                yield BadRecord(number, start, line, FormatError(f"{where}: {why} ({hexed(line)})"))
            start += len(line) + 1


def _line(cls: type[JsonLines], number: int, record: JsonLines) -> bytes:
    try:
        return record.model_dump_json(by_alias=True).encode() + b"\n"
    except ValueError as error:  # a lone surrogate, or a value that pydantic cannot serialize
        raise FormatError(f"{cls.__name__} record {number}: {error}") from error
