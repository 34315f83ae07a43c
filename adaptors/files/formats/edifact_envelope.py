"""The envelope of EDIFACT interchanges: messages, functional groups, and the service segments that count them."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from adaptors.files.errors import FormatError
from adaptors.files.formats.edi import Element, Elements, Segment, plain, runs, trimmed
from adaptors.files.formats.record import STRICT, explain, shown

_SERVICE = ("UNA", "UNB", "UNG", "UNH", "UNT", "UNE", "UNZ")


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


class EdifactGroup(BaseModel):
    """A functional group: what UNG says, and its messages, which UNE counts.

    `identification` is that of its messages, such as "ORDERS"; `more` are further elements of UNG: the agency, the
    version of the messages and a password.
    """

    model_config = STRICT

    identification: str = ""
    sender: Annotated[Element, AfterValidator(plain)] = ""
    recipient: Annotated[Element, AfterValidator(plain)] = ""
    date: Annotated[str, Field(pattern=r"^(([0-9]{2})?[0-9]{6})?$")] = ""
    time: Annotated[str, Field(pattern=r"^([0-9]{4})?$")] = ""
    reference: str
    more: Annotated[Elements, AfterValidator(trimmed)] = ()
    messages: tuple[EdifactMessage, ...]


def segments_of(where: str, record: Any) -> list[Segment]:
    """The whole interchange, with its service segments. Raises FormatError if they cannot be written."""
    if record.groups and record.messages:
        raise FormatError(f"{where}: there are messages in groups and messages outside of them")
    try:
        head = (record.syntax, record.sender, record.recipient, (record.date, record.time), record.reference)
        written = [Segment.of("UNB", *head, *record.more), *_written(where, record.messages)]
        for one in record.groups:
            head = (one.identification, one.sender, one.recipient, (one.date, one.time), one.reference)
            written += [Segment.of("UNG", *head, *one.more), *_written(where, one.messages)]
            written.append(Segment.of("UNE", str(len(one.messages)), one.reference))
        written.append(Segment.of("UNZ", str(len(record.groups or record.messages)), record.reference))
    except ValidationError as error:
        raise FormatError(f"{where}: {explain(error)}") from error
    return written


def _written(where: str, messages: Sequence[EdifactMessage]) -> Iterator[Segment]:
    for message in messages:
        yield Segment.of("UNH", message.reference, message.identifier, *message.more)
        for segment in message.segments:
            if segment.tag in _SERVICE:
                raise FormatError(f"{where}: a segment {segment.tag} in a message")
            yield segment
        yield Segment.of("UNT", str(len(message.segments) + 2), message.reference)


def interchanges(where: str, segments: Iterator[Segment]) -> Iterator[list[Segment]]:
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


def values_of(where: str, segments: Sequence[Segment]) -> dict[str, Any]:
    """What a record is made of. Raises FormatError where UNT, UNE and UNZ do not agree with what is there."""
    head, *body, tail = segments
    where = f"{where} (interchange {head.value(5)!r})"
    grouped = any(segment.tag == "UNG" for segment in body)
    found = tuple(_groups(where, body) if grouped else _messages(where, body))
    _hold(where, tail, len(found), "groups" if grouped else "messages", head.value(5))
    syntax = head.elements[0] if head.elements else ""
    return {
        "syntax": (syntax,) if isinstance(syntax, str) else syntax,
        "sender": _element(head, 2),
        "recipient": _element(head, 3),
        "date": head.value(4),
        "time": head.value(4, 2),
        "reference": head.value(5),
        "more": head.elements[5:],
        "groups" if grouped else "messages": found,
    }


def _groups(where: str, body: Sequence[Segment]) -> Iterator[dict[str, Any]]:
    for head, *inner, tail in runs(where, body, "UNG", "UNE"):
        here = f"{where}, group {head.value(5)!r}"
        messages = tuple(_messages(here, inner))
        _hold(here, tail, len(messages), "messages", head.value(5))
        yield {
            "identification": head.value(1),
            "sender": _element(head, 2),
            "recipient": _element(head, 3),
            "date": head.value(4),
            "time": head.value(4, 2),
            "reference": head.value(5),
            "more": head.elements[5:],
            "messages": messages,
        }


def _messages(where: str, body: Sequence[Segment]) -> Iterator[dict[str, Any]]:
    for head, *inner, tail in runs(where, body, "UNH", "UNT"):
        _hold(f"{where}, message {head.value(1)!r}", tail, len(inner) + 2, "segments", head.value(1))
        identifier = _element(head, 2)
        yield {
            "reference": head.value(1),
            "identifier": (identifier,) if isinstance(identifier, str) else identifier,
            "more": head.elements[2:],
            "segments": tuple(inner),
        }


def _element(segment: Segment, number: int) -> Element:
    return segment.elements[number - 1] if number <= len(segment.elements) else ""


def _hold(where: str, trailer: Segment, count: int, what: str, reference: str) -> None:
    said, named = trailer.value(1), trailer.value(2)
    if (said, named) != (str(count), reference):
        raise FormatError(
            f"{where}: {trailer.tag} says {shown(said)} {what} and reference {shown(named)}, "
            f"and there are {count} {what} under reference {shown(reference)}"
        )
