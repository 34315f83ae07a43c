"""Opened: a readable envelope, before and while its data meets a schema."""

import builtins
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, cast

import pydantic_core
from pydantic import ValidationError, create_model

from adapter_sdk.errors import InvalidData
from adapter_sdk.events import DataT_co, Event, EventData, ExtensionValue, Key

# Schemas of pydantic that say the same of a JSON value whether it comes as text or already read.
_READ_ALIKE = frozenset(
    {
        "model",
        "model-fields",
        "model-field",
        "nullable",
        "default",
        "definitions",
        "definition-ref",
        "any",
        "literal",
        "enum",
        "list",
        "tuple",
        "set",
        "frozenset",
        "dict",
        "str",
        "int",
        "float",
        "bool",
        "decimal",
        "datetime",
        "date",
        "time",
        "uuid",
        "url",
    }
)
# What was read from JSON holds no circle to look for.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for each event, at half the price
class Opened:
    """A readable envelope around data that no schema has seen yet. `data` is a JSON value.

    `body` is the JSON that holds the data in its member `member`, or is the data where that is empty. It is None where
    another parser could read those bytes otherwise, and the data has been read so that no digit is lost.
    """

    id: str
    source: str
    type: str
    data: Any
    subject: str | None = None
    time: datetime | None = None
    dataschema: str | None = None
    extensions: Mapping[str, ExtensionValue]
    body: bytes | None = None
    member: str = ""
    key: Key

    def digest(self) -> str:
        """SHA-256 over type, subject and data, the same for every JSON spelling of equal data."""
        data = _canonical(self.data)
        return hashlib.sha256("\n".join((self.type, self.subject or "", data)).encode()).hexdigest()

    def fields(self) -> dict[str, Any]:
        """The event as event patterns see it."""
        time = None if self.time is None else format_time(self.time)
        known = {"id": self.id, "source": self.source, "type": self.type, "subject": self.subject, "time": time}
        resources = self.extensions.get("resources")
        lists = {"resources": list(resources)} if isinstance(resources, tuple) else {}
        present = {name: value for name, value in known.items() if value is not None}
        return {**self.extensions, **lists, **present, "data": self.data}

    def validate(self, data_type: builtins.type[DataT_co]) -> Event[DataT_co]:
        """The typed event. Raises InvalidData, naming each field that breaks the schema and why."""
        try:
            data = self._data(data_type)
        except ValidationError as error:
            raise InvalidData(describe(error, f"data of {self.type}")) from error
        return Event(
            source=self.source,
            id=self.id,
            type=self.type,
            data=data,
            subject=self.subject,
            time=self.time,
            dataschema=self.dataschema,
            extensions=self.extensions,
        )

    def _data(self, data_type: builtins.type[DataT_co]) -> DataT_co:
        """The data, as if from JSON: a strict model accepts dates and decimals in the form that JSON has for them."""
        try:
            if _reads_alike(data_type):
                return data_type.model_validate(self.data)
            if self.body is not None:
                return cast("DataT_co", _validator(data_type, self.member)(self.body))
        except ValidationError:
            pass  # said below, in terms of the data alone
        return data_type.model_validate_json(pydantic_core.to_json(self.data))


@cache
def _reads_alike(data_type: type[EventData]) -> bool:
    """Whether values that were read from JSON need not be JSON again to be validated: most schemas are so plain."""
    waiting: list[Any] = [data_type.__pydantic_core_schema__]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            kind = part.get("type")
            if (isinstance(kind, str) and kind not in _READ_ALIKE) or part.get("strict"):
                return False
            waiting.extend(value for name, value in part.items() if name not in ("metadata", "serialization"))
        elif isinstance(part, list):
            waiting.extend(part)
    return True


@cache
def _validator(data_type: type[EventData], member: str) -> Callable[[bytes], Any]:
    """What validates the data from the bytes of a whole envelope, in one pass."""
    if not member:
        return data_type.model_validate_json
    envelope = create_model("Envelope", **{member: (data_type, ...)})  # type: ignore[call-overload]
    read, value_of = envelope.model_validate_json, attrgetter(member)
    return lambda body: value_of(read(body))


def describe(error: ValidationError, what: str) -> str:
    """A pydantic error in one line: each field and why, never the value, which may be a secret."""
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'the whole'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return f"{what}: " + "; ".join(faults)


@lru_cache(maxsize=128)
def format_time(time: datetime) -> str:
    """RFC 3339 in UTC with a Z, as CloudEvents writes times."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
