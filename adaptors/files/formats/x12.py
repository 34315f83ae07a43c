"""X12 interchanges, on pyx12: the envelope is typed, the segments of a transaction set are as its guide has them."""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError
from adaptors.files.formats.declared import DeclaredRecord
from adaptors.files.formats.edi import Elements, Interchanges, Segment, library, refuse, runs, texts_of, trimmed
from adaptors.files.formats.record import STRICT, BadRecord, RecordT, explain, hexed, label, shown

# ASCII without control characters: the basic and the extended character set of X12.5.
_OUTSIDE = re.compile(r"[^ -~]")
_ISA_WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1)  # of ISA01 to ISA15, in characters
_VERSION = slice(84, 89)  # ISA12
_ENVELOPE = ("ISA", "GS", "ST", "SE", "GE", "IEA")
_NAMED = ("authorization", "security", "sender", "receiver")  # ISA01 to ISA08, in pairs
_SINGLE = ("date", "time", "standard", "version", "control", "acknowledge", "usage")  # ISA09 to ISA15
_GROUP = ("functional", "sender", "receiver", "date", "time", "control", "agency", "version")  # GS01 to GS08

Qualified = tuple[Annotated[str, Field(max_length=2)], Annotated[str, Field(max_length=15)]]
"""A qualifier of two characters, and what it qualifies."""


class X12Transaction(BaseModel):
    """One transaction set: what ST says, and the segments between ST and SE, which is counted.

    `code` is the number of the set, such as "850"; `more` are further elements of ST.
    """

    model_config = STRICT

    code: Annotated[str, Field(pattern=r"^[0-9A-Z]{3}$")]
    control: Annotated[str, Field(min_length=4, max_length=9)]
    more: Annotated[Elements, AfterValidator(trimmed)] = ()
    segments: tuple[Segment, ...]


class X12Group(BaseModel):
    """A functional group: what GS says, and its transaction sets. `date` and `time` are as in the file."""

    model_config = STRICT

    functional: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    sender: str
    receiver: str
    date: Annotated[str, Field(pattern=r"^([0-9]{2})?[0-9]{6}$")]
    time: Annotated[str, Field(pattern=r"^[0-9]{4,8}$")]
    control: Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]
    agency: str = "X"
    version: str
    transactions: tuple[X12Transaction, ...]


@dataclass(frozen=True)
class _Options:
    separators: str = "*:~"
    line_end: str = ""


@dataclass(frozen=True, slots=True)
class _Interchanges(Interchanges):
    options: _Options

    def encoded(self, where: str, number: int, record: Any) -> bytes:
        element, component, end = (*self.options.separators,)
        reserved = re.compile(f"[{re.escape(self.options.separators)}]")
        out = io.StringIO()
        line_end = self.options.line_end
        writer = library("pyx12.x12file", "x12").X12Writer(out, end, element, component, line_end, record.standard)
        native = library("pyx12.segment", "x12").Segment
        for segment in _segments(where, record):
            joined = "".join(texts_of(segment))
            outside, separator = _OUTSIDE.search(joined), reserved.search(joined)
            refuse(where, segment, outside[0] if outside else None, "is not in the characters of X12")
            refuse(where, segment, separator[0] if separator else None, "is a separator, and X12 has no escape")
            parts = [one if isinstance(one, str) else component.join(one) for one in segment.elements]
            if segment.tag == "ISA":
                parts.append(component)
            writer.Write(native(element.join([segment.tag, *parts]), end, element, component))
        writer.close()
        if faults := [message for _, _, message, _, _ in writer.pop_errors()]:
            raise FormatError(f"{where}: {'; '.join(faults)}")
        return out.getvalue().encode("ascii")

    def read(self, cls: type[RecordT], data: bytes) -> Iterator[RecordT | BadRecord]:
        try:
            text = data.decode("ascii")
        except UnicodeDecodeError as error:
            bad = hexed(data[error.start : error.end])
            raise FormatError(f"{cls.__name__}: {bad} at byte {error.start} is not in the characters of X12") from error
        for number, found in enumerate(_interchanges(cls.__name__, text), 1):
            where = f"{cls.__name__} record {number} (interchange {found.segments[0].value(13)})"
            if found.faults:
                yield BadRecord(number, None, found.raw, FormatError(f"{where}: {'; '.join(found.faults)}"))
                continue
            try:
                yield cls.model_validate(_values(where, found.segments))
            except ValidationError as error:
                yield BadRecord(number, None, found.raw, FormatError(f"{where}: {explain(error)}"))
            except FormatError as error:
                yield BadRecord(number, None, found.raw, error)


@dataclass(slots=True)
class _Found:
    """The segments of an interchange as far as they have been read, and what pyx12 finds wrong with them."""

    segments: list[Segment] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    raw: bytes = b""


def _segments(where: str, record: Any) -> Iterator[Segment]:
    """The whole interchange without the component separator in ISA16. pyx12 writes the trailers with its own counts."""
    try:
        yield Segment.of("ISA", *_head(record))
        for group in record.groups:
            yield Segment.of("GS", *(getattr(group, name) for name in _GROUP))
            for transaction in group.transactions:
                yield Segment.of("ST", transaction.code, transaction.control, *transaction.more)
                for segment in transaction.segments:
                    if segment.tag in _ENVELOPE or not segment.elements:
                        elements = f"{len(segment.elements)} elements"
                        raise FormatError(f"{where}: a segment {segment.tag} of {elements} in a transaction set")
                    yield segment
                yield Segment.of("SE", "", transaction.control)
            yield Segment.of("GE", "", group.control)
        yield Segment.of("IEA", "", record.control)
    except ValidationError as error:
        raise FormatError(f"{where}: {explain(error)}") from error


def _head(record: Any) -> Iterator[str]:
    """ISA01 to ISA15; the names have a fixed length each."""
    for name, width in zip(_NAMED, (10, 10, 15, 15), strict=True):
        qualifier, text = getattr(record, name)
        yield from (qualifier.ljust(2), text.ljust(width))
    yield from (getattr(record, name) for name in _SINGLE)


def _interchanges(where: str, text: str) -> Iterator[_Found]:
    """Each interchange, from ISA to IEA."""
    version = _version(where, text)
    # pyx12 takes two versions of the envelope; the others do not differ in what it reads.
    taken = version if version in ("", "00501") else "00401"
    stream = io.StringIO(text[: _VERSION.start] + taken + text[_VERSION.start + len(taken) :], newline="")
    found = _Found()
    number = 0
    try:
        reader = library("pyx12.x12file", "x12").X12Reader(stream)
        for number, native in enumerate(reader, 1):
            if number == 1:
                native.set("ISA12", version)
            parts = [[component.get_value() for component in one.elements] for one in native.elements]
            found.segments.append(Segment.of(native.get_seg_id() or "", *map(tuple, parts)))
            found.faults += [f"segment {number}: {message}" for _, _, message, _, _ in reader.pop_errors()]
            found.raw += str(native.format()).encode("ascii")
            if found.segments[-1].tag == "IEA":
                yield found
                found = _Found()
    except ValidationError as error:
        raise FormatError(f"{where}: near segment {number}: {explain(error)}") from error
    except (library("pyx12.errors", "x12").X12Error, ValueError, LookupError) as error:
        raise FormatError(f"{where}: near segment {number}: {error}") from error
    # pyx12 stops without a word at an empty segment, and at one that is longer than its buffer.
    rest = (reader.raw.buffer + stream.read()).strip()
    if rest or found.segments:
        what = f"goes on with {shown(rest)}, which is no segment" if rest else "ends within an interchange"
        raise FormatError(f"{where}: after segment {number} the file {what}")


def _version(where: str, text: str) -> str:
    """ISA12 of the first ISA; empty if there is none. Raises FormatError if ISA lacks its fixed lengths."""
    if len(text) < _VERSION.stop or not text.startswith("ISA"):
        return ""
    for n, (found, width) in enumerate(zip(text[4:].split(text[3]), _ISA_WIDTHS, strict=False), 1):
        if len(found) != width:
            raise FormatError(f"{where}: ISA{n:02} is {shown(found)}, and has to be {width} characters long")
    return text[_VERSION]


def _values(where: str, segments: Sequence[Segment]) -> dict[str, Any]:
    """What a record is made of. Raises FormatError at a segment outside of the groups and transaction sets."""
    head = segments[0]
    named = {name: (head.value(n), head.value(n + 1).rstrip(" ")) for n, name in zip((1, 3, 5, 7), _NAMED, strict=True)}
    single = {name: head.value(n) for n, name in enumerate(_SINGLE, 9)}
    return {**named, **single, "groups": tuple(_group(where, run) for run in runs(where, segments[1:-1], "GS", "GE"))}


def _group(where: str, run: Sequence[Segment]) -> dict[str, Any]:
    sets = [
        {"code": one.value(1), "control": one.value(2), "more": one.elements[2:], "segments": tuple(inner)}
        for one, *inner, _ in runs(where, run[1:-1], "ST", "SE")
    ]
    return {**{name: run[0].value(n) for n, name in enumerate(_GROUP, 1)}, "transactions": tuple(sets)}


class X12Interchange(DeclaredRecord):
    r"""An interchange of X12 transaction sets, with `pip install 'legacy-event-adaptor-toolkit[x12]'`.

    What stands in ISA: `sender` and `receiver` with their qualifiers, such as ("ZZ", "ACME"); `date` and `time` as in
    the file; `control`, the number of nine digits; `version`, such as "00400"; `standard`, "U" up to 00401, and in
    later versions the repetition separator, which stays within the texts; `usage`, "P" or "T"; `authorization`,
    `security`, `acknowledge`. SE, GE and IEA are counted when it is written. When it is read, a wrong count or control
    number in them is an error.

    Class options: `separators` of elements and components and the end of a segment; `line_end`, "\n" or "\r\n" after
    each segment, when writing. X12 has no escape: a text that holds a separator is refused.
    """

    authorization: Qualified = ("00", "")
    security: Qualified = ("00", "")
    sender: Qualified
    receiver: Qualified
    date: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    time: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    standard: Annotated[str, Field(min_length=1, max_length=1)] = "U"
    version: Annotated[str, Field(pattern=r"^00[0-9]{3}$")] = "00401"
    control: Annotated[str, Field(pattern=r"^[0-9]{9}$")]
    acknowledge: Literal["0", "1"] = "0"
    usage: Literal["P", "T"] = "P"
    groups: tuple[X12Group, ...]

    _options: ClassVar[_Options] = _Options()

    def __init_subclass__(
        cls, *, separators: str | None = None, line_end: Literal["", "\n", "\r\n"] | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def _compile(cls, options: _Options) -> "_Interchanges":
        if len({*options.separators}) != 3 or any(one.isalnum() or one == " " for one in options.separators):
            raise ConfigError(f"{label(cls)}: separators {options.separators!r} are not three different signs")
        return _Interchanges(options)
