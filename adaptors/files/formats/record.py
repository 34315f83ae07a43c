"""Record: the base of every format. A class of records knows how a whole file of them is written and read."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError, Place

RecordT = TypeVar("RecordT", bound="Record")

STRICT = ConfigDict(
    frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
)
_SHOWN = 60  # characters of a value, or bytes of a hex dump, that an error message shows


@dataclass(frozen=True)
class BadRecord:
    """A record of a received file that is not as declared: its number from 1, its bytes as they came, and the error.

    `offset` is the byte of the file at which it starts; XML does not tell it, and its bytes are written anew. The
    records after it can be read.
    """

    number: int
    offset: int | None
    raw: bytes
    error: FormatError


class Record(BaseModel, ABC):
    """One record of a file: a frozen pydantic model. Its class is the form of the whole file.

    Records are strict, because what they are written for cannot complain: no True for a 1, no float for a Decimal, no
    unknown field, no NaN. A field that the file calls otherwise has `Field(serialization_alias="...")`.

    `encode_all(records)` is a file's bytes; `decode_all(data)` gives the records of one and raises FormatError at the
    first that is not as declared; `decode_each(data)` gives a `BadRecord` in the place of each of those.
    """

    model_config = STRICT

    @classmethod
    @abstractmethod
    def encode_all(cls, records: Iterable[Self]) -> bytes:
        """The whole file that holds these records. Raises FormatError, naming record and field, if one does not fit."""

    @classmethod
    @abstractmethod
    def decode_each(cls, data: bytes) -> Iterator[Self | BadRecord]:
        """The records of a whole file, with a BadRecord in the place of each that is not as declared.

        Raises FormatError at a fault after which it cannot be told where the next record begins.
        """

    @classmethod
    def decode_all(cls, data: bytes) -> Iterator[Self]:
        """The records of a whole file, one after another. Raises FormatError where the file is not as declared."""
        for record in cls.decode_each(data):
            if isinstance(record, BadRecord):
                raise record.error
            yield record


def numbered(cls: type[RecordT], records: Iterable[RecordT]) -> Iterator[tuple[int, RecordT]]:
    """Records with their number, from 1. Raises FormatError at one of another class: a file has one form."""
    for number, record in enumerate(records, 1):
        if type(record) is not cls:
            raise FormatError(f"record {number} is a {type(record).__name__}; this file holds {cls.__name__} only")
        yield number, record


def validated(cls: type[RecordT], values: dict[str, Any], where: str) -> RecordT:
    """A record of what was read at `where`. Raises FormatError that names each field at fault."""
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise FormatError(f"{where}: {explain(error)}", place_of(error)) from error


class Fault(NamedTuple):
    """One thing that pydantic finds wrong with a record, and where in it."""

    path: tuple[int | str, ...]
    reason: str

    @property
    def field(self) -> str:
        """The path as an error message shows it: lines[2].quantity, or nothing for the record as a whole."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).lstrip(".")

    def __str__(self) -> str:
        return f"{self.field or 'record'}: {self.reason}"


def faults_of(error: ValidationError) -> list[Fault]:
    """Each field at fault with the reason and the value."""
    found = error.errors(include_url=False, include_context=False)
    return [Fault(fault["loc"], f"{fault['msg']}, got {shown(fault['input'])}") for fault in found]


def explain(error: ValidationError) -> str:
    """Each field at fault with the reason and the value, in one line."""
    return "; ".join(map(str, faults_of(error)))


def place_of(error: ValidationError) -> Place | None:
    """The first field at fault."""
    first = faults_of(error)[0].field
    return Place(first) if first else None


def shown(value: object) -> str:
    """A value as an error message shows it: its repr, cut to a length that a log line bears."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def hexed(raw: bytes) -> str:
    """Bytes as an error message shows them: their hex, cut to a length that a log line bears."""
    return f"0x{raw.hex()}" if len(raw) <= _SHOWN else f"0x{raw[:_SHOWN].hex()}... ({len(raw)} bytes)"


def declared_fields(cls: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a class that has just been made. Raises ConfigError where an annotation names no known type yet."""
    if not cls.__pydantic_complete__:
        raise ConfigError(f"{label(cls)}: a field names a type that is not defined yet; define that type first")
    return cls.model_fields


def external_name(name: str, field: FieldInfo) -> str:
    """What the file calls the field."""
    return field.serialization_alias or name


def label(cls: type[BaseModel], field: str | None = None) -> str:
    """A class, or a field of it, as errors at class creation name it."""
    return f"{cls.__module__}.{cls.__qualname__}" + (f".{field}" if field else "")
