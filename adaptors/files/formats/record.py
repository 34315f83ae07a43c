"""Record: the base of every format. A class of records knows how a whole file of them is written and read."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError

RecordT = TypeVar("RecordT", bound="Record")

_SHOWN = 60  # characters of a value that an error message shows


class Record(BaseModel, ABC):
    """One record of a file: a frozen pydantic model. Its class is the form of the whole file.

    Records are strict, because what they are written for cannot complain: no True for a 1, no float for a Decimal, no
    unknown field, no NaN. A field that the file calls otherwise has `Field(serialization_alias="...")`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )

    @classmethod
    @abstractmethod
    def encode_all(cls, records: Iterable[Self]) -> bytes:
        """The whole file that holds these records. Raises FormatError, naming record and field, if one does not fit."""

    @classmethod
    @abstractmethod
    def decode_all(cls, data: bytes) -> Iterator[Self]:
        """The records of a whole file, one after another. Raises FormatError where the file is not as declared."""


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
        raise FormatError(f"{where}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """Each field at fault with the reason and the value, in one line."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'record'}: {fault['msg']}, got {shown(fault['input'])}"
        for fault in error.errors(include_url=False, include_context=False)
    )


def shown(value: object) -> str:
    """A value as an error message shows it: its repr, cut to a length that a log line bears."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def declared_fields(cls: type[Record]) -> dict[str, FieldInfo]:
    """The fields of a class that has just been made. Raises ConfigError where an annotation names no known type yet."""
    if not cls.__pydantic_complete__:
        raise ConfigError(f"{label(cls)}: a field names a type that is not defined yet; define that type first")
    return cls.model_fields


def external_name(name: str, field: FieldInfo) -> str:
    """What the file calls the field."""
    return field.serialization_alias or name


def label(cls: type[Record], field: str | None = None) -> str:
    """A class, or a field of it, as errors at class creation name it."""
    return f"{cls.__module__}.{cls.__qualname__}" + (f".{field}" if field else "")
