"""EDIFACT interchanges, on pydifact: the envelope is typed, the segments of a message are as its guide has them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError
from adaptors.files.formats.declared import DeclaredRecord
from adaptors.files.formats.edi import (
    Element,
    Elements,
    Interchanges,
    Segment,
    library,
    plain,
    refuse,
    texts_of,
    trimmed,
)
from adaptors.files.formats.record import STRICT, BadRecord, RecordT, explain, hexed, label, shown

# ISO 9735-1, data element 0001; UNOA and UNOB are subsets of ASCII.
_ENCODINGS = {
    "UNOA": "ascii",
    "UNOB": "ascii",
    "UNOC": "iso8859-1",
    "UNOD": "iso8859-2",
    "UNOE": "iso8859-5",
    "UNOF": "iso8859-7",
    "UNOG": "iso8859-3",
    "UNOH": "iso8859-4",
    "UNOI": "iso8859-6",
    "UNOJ": "iso8859-8",
    "UNOK": "iso8859-9",
    "UNOW": "utf-8",
}
_OUTSIDE = {
    "UNOA": re.compile(r"""[^A-Z0-9 .,\-()/='+:?!"%&*;<>]"""),
    "UNOB": re.compile(r"""[^A-Za-z0-9 .,\-()/='+:?!"%&*;<>]"""),
}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_STANDARD = ":+.? '"


class EdifactMessage(BaseModel):
    """One message: what UNH says, and the segments between UNH and UNT, which is counted.

    `identifier` is ("ORDERS", "D", "96A", "UN"), with the association assigned code as a fifth where there is one;
    `more` are further elements of UNH.
    """

    model_config = STRICT

    reference: str
    identifier: tuple[str, ...]
    more: Annotated[Elements, AfterValidator(trimmed)] = ()
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class _Options:
    encoding: str | None = None
    una: bool = False
    characters: str = _STANDARD
    line_end: str = ""


@dataclass(frozen=True, slots=True)
class _Interchanges(Interchanges):
    options: _Options

    def encoded(self, where: str, number: int, record: Any) -> bytes:
        written = self._segments(where, record)
        encoding = self._encoding(where, record.syntax[0])
        for segment in written:
            joined = "".join(texts_of(segment))
            outside = _OUTSIDE.get(record.syntax[0], _CONTROLS).search(joined) or _CONTROLS.search(joined)
            refuse(where, segment, outside[0] if outside else None, f"is not in {record.syntax[0]}")
            if record.syntax[1:2] == ("4",):
                refuse(where, segment, "*" if "*" in joined else None, "separates repetitions in syntax version 4")
            try:
                joined.encode(encoding)
            except UnicodeEncodeError as error:
                refuse(where, segment, joined[error.start], f"is not in {encoding}")
        text = _serialized(written, self.options.characters, self.options.una and number == 1, self.options.line_end)
        return text.encode(encoding)

    def _segments(self, where: str, record: Any) -> list[Segment]:
        """The whole interchange, with its service segments."""
        try:
            head = (record.syntax, record.sender, record.recipient, (record.date, record.time), record.reference)
            written = [Segment.of("UNB", *head, *record.more)]
            for message in record.messages:
                written.append(Segment.of("UNH", message.reference, message.identifier, *message.more))
                written += message.segments
                written.append(Segment.of("UNT", str(len(message.segments) + 2), message.reference))
            written.append(Segment.of("UNZ", str(len(record.messages)), record.reference))
        except ValidationError as error:
            raise FormatError(f"{where}: {explain(error)}") from error
        for segment in record.messages and (one for message in record.messages for one in message.segments):
            if segment.tag in ("UNA", "UNB", "UNH", "UNT", "UNZ", "UNG", "UNE") or not segment.elements:
                raise FormatError(f"{where}: a segment {segment.tag} of {len(segment.elements)} elements in a message")
        return written

    def _encoding(self, where: str, syntax: str) -> str:
        encoding = self.options.encoding or _ENCODINGS.get(syntax)
        if encoding is None:
            raise FormatError(f"{where}: the syntax {syntax!r} is not one of {', '.join(_ENCODINGS)}; see encoding=")
        return encoding

    def read(self, cls: type[RecordT], data: bytes) -> Iterator[RecordT | BadRecord]:
        where = cls.__name__
        found = re.match(rb"(?:UNA.{6}\s*)?UNB.([A-Z]{4})", data, re.DOTALL)
        if found is None:
            raise FormatError(f"{where}: the file begins with {hexed(data[:16])}, and not with UNA and UNB, or UNB")
        syntax = found[1].decode()
        encoding = self._encoding(where, syntax)
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            bad = hexed(data[error.start : error.end])
            raise FormatError(f"{where}: {bad} at byte {error.start} is not {encoding}, as {syntax} has it") from error
        characters = text[3:9] if text.startswith("UNA") else _STANDARD
        for number, segments in enumerate(_interchanges(where, _parsed(where, text, characters)), 1):
            try:
                yield cls.model_validate(_values(f"{where} record {number}", segments))
            except (FormatError, ValidationError) as error:
                why = f"{where} record {number}: {explain(error)}" if isinstance(error, ValidationError) else str(error)
                raw = _serialized(segments, characters, False, "").encode(encoding)
                yield BadRecord(number, None, raw, FormatError(why))


def _serialized(segments: Sequence[Segment], characters: str, una: bool, line_end: str) -> str:
    native = library("pydifact.segments", "edifact").Segment
    control = library("pydifact.control", "edifact").Characters.from_str(f"UNA{characters}")
    serializer = library("pydifact.serializer", "edifact").Serializer(control)
    made = [native(one.tag, *[part if isinstance(part, str) else [*part] for part in one.elements]) for one in segments]
    text: str = serializer.serialize(made, una, bool(line_end))
    # pydifact knows one line end only; no text holds another, since control characters are refused.
    return text.replace("\n", line_end) if line_end else text


def _parsed(where: str, text: str, characters: str) -> Iterator[Segment]:
    """The segments of a text, in the order in which they stand."""
    parser = library("pydifact.parser", "edifact").Parser(factory=_Factory())
    # Without a service string advice pydifact looks for one behind every apostrophe, and would find it in L?'UNA.
    advised = text if text.startswith("UNA") else f"UNA{_STANDARD}{text}"
    number = 0
    try:
        for number, segment in enumerate(parser.parse(advised)):
            if number:
                yield segment
    except ValidationError as error:
        raise FormatError(f"{where}: near segment {number}: {explain(error)}") from error
    except (library("pydifact.exceptions", "edifact").EDISyntaxError, ValueError, LookupError) as error:
        raise FormatError(f"{where}: near segment {number}: {error}") from error


class _Factory:
    """In place of pydifact's own, which warns of definitions that its package lacks."""

    def create_segment(self, name: str, *elements: Any, **options: Any) -> Segment:
        """A segment of ours; anything that is no tag is pydantic's ValidationError, which is a ValueError."""
        return Segment.of(name, *[one if isinstance(one, str) else tuple(one) for one in elements])


def _interchanges(where: str, segments: Iterator[Segment]) -> Iterator[list[Segment]]:
    """The segments of each interchange, from UNB to UNZ."""
    inside: list[Segment] = []
    for number, segment in enumerate(segments, 1):
        if (segment.tag == "UNB") == bool(inside):
            raise FormatError(
                f"{where}: segment {number} is {segment.tag}, {'in' if inside else 'out'}side of UNB to UNZ"
            )
        inside.append(segment)
        if segment.tag == "UNZ":
            yield inside
            inside = []
    if inside:
        raise FormatError(f"{where}: the file ends without the UNZ of interchange {inside[0].value(5)!r}")


def _values(where: str, segments: list[Segment]) -> dict[str, Any]:
    """What a record is made of. Raises FormatError where UNT and UNZ do not agree with what is there."""
    head, *body, tail = segments
    where = f"{where} (interchange {head.value(5)!r})"
    elements = [*head.elements, *[""] * 5]
    syntax, date = elements[0], elements[3]
    if syntax[1:2] == ("4",) and any("*" in text for one in segments for text in texts_of(one)):
        raise FormatError(f"{where}: repetitions, *, are not understood in syntax version 4")
    messages = list(_messages(where, body))
    if (tail.value(1), tail.value(2)) != (str(len(messages)), head.value(5)):
        raise FormatError(
            f"{where}: UNZ says {shown(tail.value(1))} messages and reference {shown(tail.value(2))}, "
            f"and there are {len(messages)} messages"
        )
    return {
        "syntax": (syntax,) if isinstance(syntax, str) else syntax,
        "sender": elements[1],
        "recipient": elements[2],
        "date": date if isinstance(date, str) else date[0],
        "time": "" if isinstance(date, str) else date[1],
        "reference": head.value(5),
        "more": tuple(elements[5:]),
        "messages": tuple(messages),
    }


def _messages(where: str, body: list[Segment]) -> Iterator[dict[str, Any]]:
    start: int | None = None
    for number, segment in enumerate(body):
        if segment.tag in ("UNG", "UNE"):
            raise FormatError(f"{where}: functional groups ({segment.tag}) are not understood")
        if (segment.tag == "UNH") == (start is not None):
            raise FormatError(f"{where}: segment {number + 2} is {segment.tag}, where a message was to begin or to end")
        if segment.tag == "UNH":
            start = number
        elif segment.tag == "UNT" and start is not None:
            yield _message(where, body[start : number + 1])
            start = None
    if start is not None:
        raise FormatError(f"{where}: message {body[start].value(1)!r} has no UNT")


def _message(where: str, segments: list[Segment]) -> dict[str, Any]:
    head, *inner, tail = segments
    if (tail.value(1), tail.value(2)) != (str(len(segments)), head.value(1)):
        raise FormatError(
            f"{where}, message {head.value(1)!r}: UNT says {shown(tail.value(1))} segments and reference "
            f"{shown(tail.value(2))}, and there are {len(segments)} segments"
        )
    identifier = head.elements[1] if len(head.elements) > 1 else ""
    return {
        "reference": head.value(1),
        "identifier": (identifier,) if isinstance(identifier, str) else identifier,
        "more": head.elements[2:],
        "segments": tuple(inner),
    }


class EdifactInterchange(DeclaredRecord):
    r"""An interchange of EDIFACT messages, with `pip install 'legacy-event-adaptor-toolkit[edifact]'`.

    What stands in UNB: `syntax`, such as ("UNOC", "3"), whose first part says the encoding; `sender` and `recipient`,
    with their qualifiers; `date` and `time` of preparation as in the file; `reference`; `more`, further elements. UNT
    and UNZ are counted when it is written. When it is read, a wrong count or reference in them is an error.

    Class options: `una=True` writes a service string advice, with the six `characters` if they are not the standard
    ones; `line_end`, "\n" or "\r\n" after each segment, when writing; `encoding`, in place of the one that `syntax`
    says. Functional groups (UNG) and repetitions of syntax version 4 are refused.
    """

    syntax: tuple[str, ...]
    sender: Annotated[Element, AfterValidator(plain)]
    recipient: Annotated[Element, AfterValidator(plain)]
    date: Annotated[str, Field(pattern=r"^([0-9]{2})?[0-9]{6}$")]
    time: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    reference: str
    more: Annotated[Elements, AfterValidator(trimmed)] = ()
    messages: tuple[EdifactMessage, ...]

    _options: ClassVar[_Options] = _Options()

    def __init_subclass__(
        cls,
        *,
        encoding: str | None = None,
        una: bool | None = None,
        characters: str | None = None,
        line_end: Literal["", "\n", "\r\n"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def _compile(cls, options: _Options) -> "_Interchanges":
        if len({*options.characters}) != 6:
            raise ConfigError(f"{label(cls)}: characters {options.characters!r} are not six different ones")
        if options.characters != _STANDARD and not options.una:
            raise ConfigError(f"{label(cls)}: other characters than {_STANDARD!r} need una=True, which tells them")
        return _Interchanges(options)
