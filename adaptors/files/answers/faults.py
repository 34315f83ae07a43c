"""Faults of an answer file, one JSON line each, so that the report is read by people and by programs alike.

A line says where and what; it needs no rules of its own for text that holds quotes or line ends, and `Fault` reads it.
"""

from typing import Literal

from adaptors.files.errors import FormatError
from adaptors.files.formats.json_lines import JsonLines
from adaptors.files.formats.record import BadRecord, hexed

REPORT = ".report.jsonl"
"""What follows the name of a bad file in the name of its report."""


class Fault(JsonLines):
    """One thing that is wrong with an answer file, and what to do about it.

    `record` counts from 1, header and trailer not among them. `offset` is the byte of the file at which the field
    begins, or where that is not known the record, with as many bytes as `length`, whose hex is `hex`; None where the
    format does not tell. `file` is the name that the file, or the record's own file, has beside the report.
    """

    file: str
    part: Literal["file", "marker", "header", "record", "trailer"]
    record: int | None = None
    field: str | None = None
    offset: int | None = None
    length: int | None = None
    hex: str | None = None
    error: str
    action: str = ""


def fault_of(file: str, bad: BadRecord, part: Literal["header", "record", "trailer"], start: int) -> Fault:
    """The fault of a record in a part of a file that begins at the byte `start`."""
    place, raw = bad.error.place, bad.raw
    at, length = 0, len(raw)
    if place is not None and place.offset is not None and place.length is not None:
        at, length = place.offset, min(place.length, len(raw) - place.offset)
    return Fault(
        file=file,
        part=part,
        record=bad.number if part == "record" else None,
        field=place.field if place is not None else None,
        offset=None if bad.offset is None else start + bad.offset + at,
        length=length,
        hex=hexed(raw[at : at + length]),
        error=_said(bad.error, start),
    )


def fault_of_file(file: str, part: Literal["file", "marker", "header", "trailer"], error: FormatError | str) -> Fault:
    """A fault that is not in one record."""
    return Fault(file=file, part=part, error=str(error))


def _said(error: FormatError, start: int) -> str:
    """The formats count bytes from the beginning of what they are given."""
    return f"{error} (bytes counted from byte {start} of the file)" if start else str(error)
