"""What EDIFACT and X12 have in common: segments of elements, some of which have components."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError
from adaptors.files.formats.charset import named
from adaptors.files.formats.declared import Form
from adaptors.files.formats.record import STRICT, RecordT, numbered, shown

Element = str | tuple[str, ...]
Elements = tuple[Element, ...]


def plain(element: Element) -> Element:
    """An element in the one form that it is compared in: nothing empty at its end, no composite of a single text."""
    if isinstance(element, str):
        return element
    parts = _without_empty_end(element)
    return parts if len(parts) > 1 else "".join(parts)


def trimmed(elements: Elements) -> Elements:
    """Elements in their plain form, without the empty ones at the end, which mean nothing."""
    return _without_empty_end(tuple(map(plain, elements)))


def _without_empty_end(values: tuple[Any, ...]) -> tuple[Any, ...]:
    end = len(values)
    while end and not values[end - 1]:
        end -= 1
    return values[:end]


class Segment(BaseModel):
    """A segment of an EDI message: a tag and elements, each a text or, where it has components, several texts.

    `Segment.of("QTY", ("21", "5"))` is a short way to write one. Empty elements and components at the end mean nothing,
    and are left out.
    """

    model_config = STRICT

    tag: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,2}$")]
    elements: Annotated[Elements, AfterValidator(trimmed)] = ()

    @classmethod
    def of(cls, tag: str, *elements: Element) -> "Segment":
        """A segment of these elements. Raises pydantic's ValidationError if the tag is none."""
        return cls(tag=tag, elements=elements)

    def value(self, element: int, component: int = 1) -> str:
        """The text at a place, both counted from 1 as in the standards; empty if the segment is shorter."""
        found = self.elements[element - 1] if 0 < element <= len(self.elements) else ""
        parts = (found,) if isinstance(found, str) else found
        return parts[component - 1] if 0 < component <= len(parts) else ""


class Interchanges(Form):
    """A file of interchanges, one after the other."""

    def encode(self, cls: type[RecordT], records: Iterable[RecordT]) -> bytes:
        written = numbered(cls, records)
        return b"".join([self.encoded(f"{cls.__name__} record {number}", number, one) for number, one in written])

    @abstractmethod
    def encoded(self, where: str, number: int, record: Any) -> bytes:
        """One interchange, counted from 1. Raises FormatError, which begins with `where`."""


def library(name: str, extra: str) -> Any:
    """An optional library. Raises ConfigError, which says how to install it, if it is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = "legacy-event-adaptor-toolkit"
        raise ConfigError(f"{name.partition('.')[0]} is not installed: pip install '{package}[{extra}]'") from error


def refuse(where: str, segment: Segment, character: str | None, why: str) -> None:
    """Raises FormatError for a character of a segment that cannot be written, unless it is None."""
    if character is not None:
        text = next(text for text in texts_of(segment) if character in text)
        raise FormatError(f"{where}, segment {segment.tag}: {named(character)} in {shown(text)} {why}")


def texts_of(segment: Segment) -> list[str]:
    """All texts of a segment."""
    return [text for one in segment.elements for text in ((one,) if isinstance(one, str) else one)]


def runs(where: str, segments: Sequence[Segment], first: str, last: str) -> Iterator[list[Segment]]:
    """The segments of each part, from `first` to `last`. Raises FormatError at one that stands outside or within."""
    run: list[Segment] = []
    for segment in segments:
        if (segment.tag == first) == bool(run):
            place = "within" if run else "outside of"
            raise FormatError(f"{where}: a segment {segment.tag} stands {place} {first} to {last}")
        run.append(segment)
        if segment.tag == last:
            yield run
            run = []
    if run:
        raise FormatError(f"{where}: there is no {last} after {first}")
