"""From the bytes of an answer file to its records, or to everything that is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from adaptors.files.answers.faults import Fault, fault_of, fault_of_file
from adaptors.files.answers.form import AnswerForm
from adaptors.files.errors import FormatError
from adaptors.files.formats.parts import alone, parts_of
from adaptors.files.formats.record import BadRecord, Record, shown
from adaptors.files.markers import FileContent
from adaptors.files.totals import Totals


class GoodRecord(NamedTuple):
    """A record with its number, and the bytes of a file that holds just this one."""

    number: int
    record: Record
    data: bytes


class BadOne(NamedTuple):
    """A record that cannot be read, and the bytes of a file that holds just this one, as they came."""

    number: int
    data: bytes
    fault: Fault


@dataclass
class Reading:
    """What is in a file: `good` and `bad` records, and in `faults` what is wrong with the file as a whole."""

    good: list[GoodRecord] = field(default_factory=list)
    bad: list[BadOne] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_file(form: AnswerForm, name: str, data: bytes, markers: Mapping[str, bytes], *, apart: bool) -> Reading:
    """Read a whole file with the contents of its markers, by their names. `apart`: bad records are to be set aside."""
    reading = Reading()
    try:
        header, details, trailer = parts_of(data, form.header, form.trailer)
    except FormatError as error:
        reading.faults.append(fault_of_file(name, "file", error))
        return reading
    _read_part(reading, form.header, name, header, "header", 0)
    try:
        for number, found in enumerate(form.record.decode_each(details), 1):
            if isinstance(found, BadRecord):
                own = header + alone(form.record, found.raw, details) if apart else b""
                reading.bad.append(BadOne(number, own, fault_of(name, found, "record", len(header))))
            else:
                reading.good.append(GoodRecord(number, found, form.record.encode_all([found])))
    except FormatError as error:
        reading.faults.append(fault_of_file(name, "file", error))
    last = _read_part(reading, form.trailer, name, trailer, "trailer", len(header) + len(details))
    if not (reading.faults or reading.bad):
        reading.faults += _wrong_totals(form, name, reading.good, last)
    reading.faults += _wrong_markers(form, name, data, markers, len(reading.good) + len(reading.bad))
    return reading


def _read_part(
    reading: Reading, cls: type[Record] | None, name: str, data: bytes, part: Literal["header", "trailer"], start: int
) -> Record | None:
    if cls is None:
        return None
    try:
        found = list(cls.decode_each(data))
    except FormatError as error:
        reading.faults.append(fault_of_file(name, part, error))
        return None
    if len(found) != 1:
        reading.faults.append(fault_of_file(name, part, f"the {part} is {len(found)} records in place of one"))
        return None
    if isinstance(found[0], BadRecord):
        reading.faults.append(fault_of(name, found[0], part, start))
        return None
    return found[0]


def _wrong_totals(form: AnswerForm, name: str, good: Sequence[GoodRecord], trailer: Record | None) -> list[Fault]:
    if form.totals is None or trailer is None:
        return []
    try:
        counted = form.totals(Totals([one.record for one in good]))
    except FormatError as error:
        return [fault_of_file(name, "trailer", error)]
    return [
        fault_of_file(
            name, "trailer", f"the trailer says {key} {shown(said)}, and the records make {shown(value)}"
        ).model_copy(update={"field": key})
        for key, value in counted.items()
        if (said := getattr(trailer, key)) != value
    ]


def _wrong_markers(form: AnswerForm, name: str, data: bytes, found: Mapping[str, bytes], records: int) -> list[Fault]:
    """Case and space around it are the sender's; a marker that is declared without content may hold anything."""
    wanted = zip(form.markers.names_of(name), form.markers.contents_of(FileContent(data, records), name), strict=True)
    return [
        fault_of_file(name, "marker", f"its marker {marker} says {shown(said)}, and {shown(content)} is the file's")
        for marker, content in wanted
        if content and marker != name and (said := found[marker]).strip().lower() != content.strip().lower()
    ]
