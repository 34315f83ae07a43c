"""EDIFACT interchanges, on pydifact: the envelope is typed, the segments of a message are as its guide has them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationError

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
from adaptors.files.formats.edifact_envelope import (
    EdifactGroup,
    EdifactMessage,
    interchanges,
    segments_of,
    values_of,
)
from adaptors.files.formats.record import BadRecord, RecordT, explain, hexed, label

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
_REPEATED = "separates repetitions in syntax version 4, and they are not understood"


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
        written = segments_of(where, record)
        encoding = self._encoding(where, record.syntax[0])
        repeated = _repetition(written[0], self.options.characters if self.options.una else None)
        for segment in written:
            joined = "".join(texts_of(segment))
            outside = _OUTSIDE.get(record.syntax[0], _CONTROLS).search(joined) or _CONTROLS.search(joined)
            refuse(where, segment, outside[0] if outside else None, f"is not in {record.syntax[0]}")
            refuse(where, segment, repeated if repeated and repeated in joined else None, _REPEATED)
            try:
                joined.encode(encoding)
            except UnicodeEncodeError as error:
                refuse(where, segment, joined[error.start], f"is not in {encoding}")
        text = _serialized(written, self.options.characters, self.options.una and number == 1, self.options.line_end)
        return text.encode(encoding)

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
        advice = text[3:9] if text.startswith("UNA") else None
        characters = advice or _STANDARD
        for number, segments in enumerate(interchanges(where, _parsed(where, text, characters)), 1):
            try:
                here, repeated = f"{where} record {number}", _repetition(segments[0], advice)
                for segment in segments if repeated else ():
                    repeats = any(repeated in one for one in texts_of(segment))
                    refuse(here, segment, repeated if repeats else None, _REPEATED)
                yield cls.model_validate(values_of(here, segments))
            except (FormatError, ValidationError) as error:
                why = f"{where} record {number}: {explain(error)}" if isinstance(error, ValidationError) else str(error)
                raw = _serialized(segments, characters, False, "").encode(encoding)
                yield BadRecord(number, None, raw, FormatError(why))


def _repetition(head: Segment, advice: str | None) -> str:
    """What separates repetitions: in syntax version 4 an asterisk, or what the advice has, where a space is none."""
    if head.value(1, 2) != "4":
        return ""
    return "*" if advice is None else advice[4].strip()


def _serialized(segments: Sequence[Segment], characters: str, una: bool, line_end: str) -> str:
    control = library("pydifact.control", "edifact").Characters.from_str(f"UNA{characters}")
    serializer = library("pydifact.serializer", "edifact").Serializer(control)
    # Not pydifact's own segments, which warn of those that are a tag alone.
    made = [
        SimpleNamespace(tag=one.tag, elements=[part if isinstance(part, str) else [*part] for part in one.elements])
        for one in segments
    ]
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


class EdifactInterchange(DeclaredRecord):
    r"""An interchange of EDIFACT messages, with `pip install 'legacy-event-adaptor-toolkit[edifact]'`.

    What stands in UNB: `syntax`, such as ("UNOC", "3"), whose first part says the encoding; `sender` and `recipient`,
    with their qualifiers; `date` and `time` of preparation as in the file; `reference`; `more`, further elements. Then
    it has `messages`, or `groups` of them. UNT, UNE and UNZ are counted when it is written. When it is read, a wrong
    count or reference in them is an error.

    Class options: `una=True` writes a service string advice, with the six `characters` if they are not the standard
    ones; `line_end`, "\n" or "\r\n" after each segment, when writing; `encoding`, in place of the one that `syntax`
    says. Repetitions of syntax version 4 are refused.
    """

    syntax: tuple[str, ...]
    sender: Annotated[Element, AfterValidator(plain)]
    recipient: Annotated[Element, AfterValidator(plain)]
    date: Annotated[str, Field(pattern=r"^([0-9]{2})?[0-9]{6}$")]
    time: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    reference: str
    more: Annotated[Elements, AfterValidator(trimmed)] = ()
    messages: tuple[EdifactMessage, ...] = ()
    groups: tuple[EdifactGroup, ...] = ()

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
