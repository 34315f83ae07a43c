"""DeclaredRecord: what the formats share that are declared by options in the class line."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

from adapter_sdk.errors import ConfigError
from adaptors.files.formats.record import BadRecord, Record, RecordT, declared_fields, label


class Form(ABC):
    """What is known of a class of records once it is made, so that each record costs little."""

    @abstractmethod
    def encode(self, cls: type[RecordT], records: Iterable[RecordT]) -> bytes:
        """As `Record.encode_all`."""

    @abstractmethod
    def read(self, cls: type[RecordT], data: bytes) -> Iterator[RecordT | BadRecord]:
        """As `Record.decode_each`."""


@dataclass(frozen=True)
class _NoOptions:
    """Those of the base of all formats."""


class DeclaredRecord(Record):
    """A record whose class line holds options; a subclass has those of its base and may give them anew.

    A format has a dataclass of options as `_options`, an `__init_subclass__` with the same names as its keywords, so
    that a type checker knows them, and `_compile`.
    """

    _options: ClassVar[Any] = _NoOptions()
    _form: ClassVar[Form | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        given = {one.name: kwargs.pop(one.name) for one in fields(cls._options) if one.name in kwargs}
        super().__pydantic_init_subclass__(**kwargs)
        cls._options = replace(cls._options, **given)
        cls._form = cls._compile(cls._options) if declared_fields(cls) else None

    @classmethod
    @abstractmethod
    def _compile(cls, options: Any) -> Form | None:
        """The form of this class, None where it is only a part of others. Raises ConfigError with every fault."""

    @classmethod
    def encode_all(cls, records: Iterable[Self]) -> bytes:
        return cls._ready().encode(cls, records)

    @classmethod
    def decode_each(cls, data: bytes) -> Iterator[Self | BadRecord]:
        return cls._ready().read(cls, data)

    @classmethod
    def _ready(cls) -> Form:
        if cls._form is None:
            what = "has no root in its class line, and is a part of others" if cls.model_fields else "has no fields"
            raise ConfigError(f"{label(cls)} {what}, so it is no file of its own")
        return cls._form
