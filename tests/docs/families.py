"""What docs/reference.md says of the families: their names, class attributes, record formats, kinds and errors."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import adaptors.files
import adaptors.soap
import adaptors.sql
from adapter_sdk import Event, EventData
from adaptors.files import (
    Attribute,
    BusinessDay,
    Content,
    Delimited,
    Drop,
    EdifactGroup,
    EdifactInterchange,
    EdifactMessage,
    FileDropAdaptor,
    FileName,
    FixedWidth,
    Group,
    JsonLines,
    Kind,
    Marker,
    Occurs,
    Record,
    Redefines,
    Segment,
    X12Group,
    X12Interchange,
    X12Transaction,
    XmlRecord,
)
from adaptors.files.markers import FileContent, Markers
from adaptors.files.name_forms import fitted
from adaptors.files.names import _KNOWN, NameTemplate, safe_component
from adaptors.soap import Reject, SoapAdaptor, SoapFault, outcome
from adaptors.sql import Connection, SqlAdaptor

_FORMATS: Mapping[type[Record], Sequence[type]] = {
    FixedWidth: (Group, Occurs, Redefines),
    Delimited: (),
    JsonLines: (),
    XmlRecord: (Attribute, Content),
    EdifactInterchange: (EdifactMessage, EdifactGroup, Segment),
    X12Interchange: (X12Group, X12Transaction),
}
"""Each format, with what stands within its records."""
_TEMPLATES = ("{id}", "{source}", "{type}", "{subject}", "{time:%Y%m%dT%H%M%SZ}", "{key}", "{sequence:06d}")
_MARKERS = (
    Marker("{stem}.OK"),
    Marker("{name}.sha256", "{sha256}  {name}\n"),
    Marker("{stem}.CTL", "{name};{size:08d};{records}", before=True),
)


class _Placed(EventData, type="com.shop.order.placed"):
    order_id: str


def names(module: ModuleType) -> Iterator[str]:
    """The table of a package's public names, each with the first sentence of its docstring."""
    yield from (f"| `from {module.__name__} import …` | |", "|---|---|")
    for name in module.__all__:
        sentence = re.split(r"(?<=\.)\s", paragraphs(getattr(module, name))[0])[0]
        yield f"| `{name}` | {_cell(sentence)} |"
    yield ""


def paragraphs(of: Any) -> list[str]:
    """The docstring of a class or function, each paragraph on one line."""
    return [" ".join(one.split()) for one in (inspect.getdoc(of) or "").split("\n\n")]


def families() -> Iterator[str]:
    """Everything between the marks of the page."""
    yield from _family("sql", adaptors.sql, SqlAdaptor)
    yield from _methods(Connection)
    yield from _family("files", adaptors.files, FileDropAdaptor)
    yield from _methods(Drop)
    yield from _file_names()
    yield from _formats()
    yield from _kinds()
    yield from _family("soap", adaptors.soap, SoapAdaptor)
    yield from _soap_errors()


def _family(family: str, module: ModuleType, base: type) -> Iterator[str]:
    yield from (f"### adaptors.{family}", "", *names(module))
    yield from (f"#### {base.__name__}", "", *_prose(base))
    attributes = [name for name in inspect.get_annotations(base) if not name.startswith("_")]
    if attributes:
        yield from ("| class attribute | default | |", "|---|---|---|")
        for name in attributes:
            (annotation,) = get_args(inspect.get_annotations(base)[name])
            yield f"| `{name}` | {_code(getattr(base, name))} | {_choices(annotation)} |"
        yield ""


def _methods(cls: type) -> Iterator[str]:
    yield from (f"#### {cls.__name__}", "", *_prose(cls), "| method | |", "|---|---|")
    for name, method in vars(cls).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            parameters = list(inspect.signature(method).parameters.values())[1:]
            yield f"| {_call(name, parameters)} | {_cell(' '.join(paragraphs(method)))} |"
    yield ""


def _file_names() -> Iterator[str]:
    event = Event(
        id="order-1007",
        source="/shop",
        type="com.shop.order.placed",
        subject="a:b/c",
        time=datetime(2026, 11, 20, 8, 15, tzinfo=UTC),
        data=_Placed(order_id="1007"),
    )
    templates = (*_TEMPLATES, "{business_date:%Y%m%d}", "{data.order_id}")
    shown = {re.split(r"[{}:.]", template)[1] for template in templates}
    assert shown == {known.partition(".")[0] for known in _KNOWN}, "a field of file names is without an example"
    yield from ("#### FileName and file name templates", "", *_prose(NameTemplate), *_prose(safe_component))
    yield from ("| in `file_name` | for example |", "|---|---|")
    for template in templates:
        yield f"| `{template}` | `{NameTemplate(template, [_Placed]).of(event, 1)}` |"
    yield from ("", f"This event's subject is `{event.subject}`, its source `{event.source}`.", "")
    yield from (*_prose(FileName), *_prose(fitted), "#### BusinessDay", "", *_prose(BusinessDay))
    yield from ("#### Marker", "", *_prose(Marker))
    yield from ("| `marker` | of `PICK000001.DAT` with two records in six bytes |", "|---|---|")
    for marker in _MARKERS:
        one = Markers([marker], "any", "X")
        names = one.names_of("PICK000001.DAT")
        contents = dict(zip(names, one.contents_of(FileContent(b"A\r\nB\r\n", 2), "PICK000001.DAT"), strict=True))
        [name] = set(names) - {"PICK000001.DAT"}
        written = contents[name].decode("ascii")
        yield f"| `{_cell(repr(marker))}` | `{name}`{', `' + repr(written)[1:-1] + '`' if written else ', empty'} |"
    yield ""


def _formats() -> Iterator[str]:
    yield from ("#### Record formats", "", *_prose(Record))
    for cls, parts in _FORMATS.items():
        yield from (f"##### {cls.__name__}", "", *_prose(cls))
        if parts:
            yield from (*(f"- `{part.__name__}`: {' '.join(paragraphs(part))}" for part in parts), "")
        if "__init_subclass__" not in vars(cls):
            yield from ("It has no class options.", "")
            continue
        parameters = inspect.signature(cls.__init_subclass__).parameters.values()
        keywords = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
        yield from ("| class option | default | |", "|---|---|---|")
        for keyword in keywords:
            required = f"`{keyword.name}`, required" in " ".join(paragraphs(cls))
            default = "required" if required else _code(getattr(cls._options, keyword.name))  # type: ignore[attr-defined]
            yield f"| `{keyword.name}` | {default} | {_choices(keyword.annotation)} |"
        yield ""


def _kinds() -> Iterator[str]:
    yield from ("#### Field kinds of FixedWidth", "", *_prose(Kind), "| kind | |", "|---|---|")
    for name in adaptors.files.__all__:
        cls = getattr(adaptors.files, name)
        if issubclass(cls, Kind) and cls is not Kind:
            parameters = list(inspect.signature(cls).parameters.values())
            choices = [f"`{one.name}`: {text}." for one in parameters if (text := _choices(one.annotation))]
            yield f"| {_call(name, parameters)} | {_cell(' '.join([*paragraphs(cls), *choices]))} |"
    yield ""


def _soap_errors() -> Iterator[str]:
    yield from ("#### Reject, Retry, Unavailable", "", "| attribute | |", "|---|---|")
    yield "| `.fault` | The SoapFault, or None where the error was raised by hand. |"
    for name, attribute in inspect.getmembers(Reject, lambda one: isinstance(one, property)):
        yield f"| `.{name}` | {_cell(' '.join(paragraphs(attribute)))} |"
    yield from ("", "#### SoapFault", "", *_prose(SoapFault), "| attribute | type |", "|---|---|")
    for name, annotation in inspect.get_annotations(SoapFault).items():
        yield f"| `.{name}` | `{_cell(inspect.formatannotation(annotation))}` |"
    yield from ("", "#### What an answer means", "", "```text", *(outcome.__doc__ or "").split("\n\n")[1].splitlines())
    yield from ("```", "", (outcome.__doc__ or "").strip().split("\n\n")[-1], "")


def _prose(of: Any) -> Iterator[str]:
    for paragraph in paragraphs(of):
        yield from (paragraph, "")


def _call(name: str, parameters: list[inspect.Parameter]) -> str:
    shown = [
        f"*{one.name}"
        if one.kind is one.VAR_POSITIONAL
        else one.name
        if one.default is one.empty
        else f"{one.name}={one.default!r}"
        for one in parameters
    ]
    first_named = next((n for n, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY), None)
    if first_named is not None:
        shown.insert(first_named, "*")
    return f"`{name}({', '.join(shown)})`"


def _choices(annotation: Any) -> str:
    """The values of a Literal, also of one that may be None."""
    for one in (annotation, *get_args(annotation)):
        if get_origin(one) is Literal:
            return ", ".join(_code(value) for value in get_args(one))
    return ""


def _code(value: Any) -> str:
    return "" if value is None else f"`{_cell(repr(value))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
