"""File names from templates: `"PICK{sequence:06d}.DAT"`, filled from the event and nothing else.

A name is the same at every attempt: its parts come from the event and, for `sequence`, from the ledger, never from a
clock. Values reach a name only as safe components, so that no event can choose a folder.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from string import Formatter
from typing import Any

from pydantic import BaseModel

from adapter_sdk.errors import ConfigError
from adapter_sdk.events import Event, EventData, Key
from adaptors.files.business_day import BusinessDay
from adaptors.files.errors import FormatError
from adaptors.files.formats.record import shown
from adaptors.files.formats.scalars import reader_of, to_text, unwrap
from adaptors.files.name_forms import FORBIDDEN, NAME_FORMS, NameForm, fitted

_ATTRIBUTES = ("id", "source", "type", "subject", "time")
_TIMES = ("time", "business_date")
_KNOWN = (*_ATTRIBUTES, "business_date", "key", "sequence", "data.<field>")
_SAFE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?=[A-Za-z0-9_-]))*")
_UNSAFE_RUN = re.compile(r"[^A-Za-z0-9_-]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONGEST_VALUE = 80  # characters of one value in a name
_DAYS_OF_UTC = BusinessDay()
_SAMPLE_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_SAMPLES: dict[type, Any] = {
    str: "x",
    int: 1,
    Decimal: Decimal(1),
    float: 1.0,
    datetime: _SAMPLE_TIME,
    date: date(2000, 1, 1),
    time: time(0, 0),
}


@dataclass(frozen=True, slots=True)
class FileName:
    """How files are named, where a template alone does not say it.

    `form` is what a whole name may look like: "upper" is in upper case, "8.3" a DOS name, "dsn" a mainframe's data set
    name of at most 44 characters. In these a value is written in upper case, so that ids which differ in case alone
    meet in one name. `day` says which day `{business_date:...}` is.
    """

    template: str
    form: NameForm = "any"
    day: BusinessDay = _DAYS_OF_UTC


@dataclass(frozen=True, slots=True)
class _Part:
    """A literal, and the field that follows it. `field` is "" where the template ends in a literal."""

    literal: str
    field: str
    spec: str


class NameTemplate:
    """A template of file names in `str.format` syntax, checked when it is made.

    Fields: `id`, `source`, `type`, `subject`, `time` of the event (in UTC, with a strftime format after the colon),
    `business_date` (the day of that time by the calendar of a `FileName`, with such a format), `key` (16 hex digits of
    the event's identity), `data.<field>` and `sequence` (gap-free, from 1). A format such as `06d` follows a colon; a
    number that outgrows it is refused. Raises ConfigError that lists every fault, where `where` says whose template it
    is.
    """

    def __init__(
        self, name: str | FileName, data_types: Iterable[type[EventData]] = (), where: str = "file_name"
    ) -> None:
        declared = FileName(name) if isinstance(name, str) else name
        self.template, self.form, self._day = declared.template, declared.form, declared.day
        faults: list[str] = []
        self._parts = _parsed(self.template, where, faults)
        for part in self._parts:
            faults += _field_faults(part, list(data_types))
        literal = "".join(part.literal for part in self._parts)
        if bad := sorted(set(FORBIDDEN.findall(literal))):
            faults.append(f"{''.join(bad)!r} cannot stand in a file name")
        if self.template.startswith(".") or self.template.endswith((".", " ")) or not self.template:
            faults.append("a file name neither begins with a dot nor ends in a dot or a space, nor is it empty")
        if self.form not in NAME_FORMS:
            faults.append(f"the form is {self.form!r}; give one of {', '.join(NAME_FORMS)}")
        if not faults:
            faults += self._form_faults()
        if faults:
            raise ConfigError(*(f"{where} {self.template!r}: {fault}" for fault in faults))

    @property
    def fields(self) -> frozenset[str]:
        """The fields in it."""
        return frozenset(part.field for part in self._parts if part.field)

    @property
    def uses_sequence(self) -> bool:
        """Whether a number is needed to fill it."""
        return "sequence" in self.fields

    def of(self, event: Event[Any], sequence: int | None = None) -> str:
        """The name for this event. Raises FormatError where the event lacks a value or the name would be unusable."""
        name = "".join(part.literal + self._filled(part, event, sequence) for part in self._parts)
        return fitted(name, self.form)

    def sample(self) -> str:
        """A name as short as any can be, for looking at its form."""
        return "".join(part.literal + _sample(part) for part in self._parts)

    def _form_faults(self) -> list[str]:
        try:
            fitted(self.sample(), self.form)
        except FormatError as error:
            return [f"{error}, however short its values are"]
        return []

    def _filled(self, part: _Part, event: Event[Any], sequence: int | None) -> str:
        if not part.field:
            return ""
        if part.field == "sequence":
            return self._number(sequence, part.spec)
        if part.field == "key":
            return key_hash(event.key)[:16]
        value = self._value(part.field, event)
        return safe_component(format(value, part.spec) if part.spec else to_text(value), part.field)

    def _value(self, field: str, event: Event[Any]) -> Any:
        value: Any = event
        for step in ("time",) if field == "business_date" else field.split("."):
            value = getattr(value, step)
            if value is None:
                raise FormatError(f"the file name {self.template!r} needs {field}, which this event does not have")
        if field == "business_date":
            return self._day.of(value)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        return value

    def _number(self, sequence: int | None, spec: str) -> str:
        if sequence is None:
            raise FormatError(f"the file name {self.template!r} needs a sequence number")
        text = format(sequence, spec)
        if len(text) > len(format(0, spec)) > 1:
            # A reader that looks for PICK??????.DAT would pass over a seventh digit in silence.
            raise FormatError(f"sequence number {sequence} is longer than {self.template!r} has room for")
        return text


def key_hash(key: Key) -> str:
    """64 hex digits that stand for an event's identity where its source and id cannot be used."""
    return hashlib.sha256(f"{key.source}\n{key.id}".encode("utf-8", "surrogatepass")).hexdigest()


def safe_component(value: str, field: str) -> str:
    """A value as part of a file name: letters, digits and ._- only, unique and the same every time.

    A value that is not so by itself (an id such as `a:b/c`, a source, "..", more than 80 characters) keeps its safe
    parts and gets 8 hex digits of its SHA-256 after them: `a-b-c-a1b2c3d4`. Raises FormatError for an empty value and
    for control characters, which no honest value has.
    """
    if not value:
        raise FormatError(f"{field} is empty and cannot be part of a file name")
    if _CONTROL.search(value):
        raise FormatError(f"{field} {shown(value)} has a control character and cannot be part of a file name")
    if _SAFE.fullmatch(value) and len(value) <= _LONGEST_VALUE:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()[:8]
    kept = _UNSAFE_RUN.sub("-", value).strip("-_")[:_LONGEST_VALUE]
    return f"{kept}-{digest}" if kept else digest


def _parsed(template: str, where: str, faults: list[str]) -> list[_Part]:
    parts = []
    for literal, field, spec, conversion in split_template(template, where):
        parts.append(_Part(literal, field or "", spec or ""))
        if field == "":
            faults.append("{} names no field; known fields: " + ", ".join(_KNOWN))
        if conversion or "{" in (spec or ""):
            faults.append(f"{{{field}}}: conversions and nested fields are not possible")
    return parts


def split_template(template: str, where: str) -> list[tuple[str, str | None, str | None, str | None]]:
    """Literals, fields, formats and conversions of a template. Raises ConfigError where it is none."""
    try:
        return list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"{where} {template!r}: {error}") from error


def _field_faults(part: _Part, data_types: list[type[EventData]]) -> list[str]:
    """What is wrong with one field, judged by a value such as it will have."""
    root, _, path = part.field.partition(".")
    if root == "data" and path:
        found = [_data_fault(part, path, data_type) for data_type in data_types]
        return [fault for fault in found if fault]
    if not part.field:
        return []
    if part.field not in (*_ATTRIBUTES, "business_date", "key", "sequence"):
        return [f"unknown field {part.field}; known fields: {', '.join(_KNOWN)}"]
    if part.field == "key" and part.spec:
        return ["{key} takes no format"]
    if part.field in _TIMES:
        fault = None if part.spec else f"say how to write it, such as {{{part.field}:%Y%m%d}}"
    else:
        fault = _format_fault(part, 1 if part.field == "sequence" else "x")
    return [fault] if fault else []


def _data_fault(part: _Part, path: str, data_type: type[EventData]) -> str | None:
    model: Any = data_type
    for step in path.split("."):
        fields = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
        if step not in fields:
            known = ", ".join(fields) or "none"
            return f"{data_type.__name__} has no field {path}; {getattr(model, '__name__', model)} has: {known}"
        model = unwrap(fields[step].annotation)[0]
    if reader_of(model) is None:
        return f"{part.field} of {data_type.__name__} is not a single value"
    samples = (value for kind, value in _SAMPLES.items() if isinstance(model, type) and issubclass(model, kind))
    sample = next(samples, None)
    return None if sample is None else _format_fault(part, sample)


def _sample(part: _Part) -> str:
    """What a field is at its shortest, as far as that can be told."""
    if part.field in _TIMES:
        return format(_SAMPLE_TIME, part.spec)
    if part.field == "key":
        return "0" * 16
    if part.field == "sequence":
        return format(1, part.spec)
    return "X" if part.field else ""


def _format_fault(part: _Part, sample: object) -> str | None:
    try:
        format(sample, part.spec)
    except ValueError as error:
        return f"{{{part.field}:{part.spec}}}: {error}"
    return None
