"""Fixed-width records: each field at its place, in an encoding that is always said."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar, Self, get_args, get_origin

from pydantic.fields import FieldInfo

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError
from adaptors.files.formats.charset import Charset
from adaptors.files.formats.kinds import Kind, Packed
from adaptors.files.formats.record import Record, declared_fields, label, numbered, validated
from adaptors.files.formats.scalars import unwrap


@dataclass(frozen=True)
class _Options:
    encoding: str | None = None
    line_end: bytes = b""
    short_lines: bool = False


@dataclass(frozen=True, slots=True)
class _Slot:
    """One field at its place; `offset` is in bytes from the start of the record."""

    name: str
    kind: Kind
    offset: int
    optional: bool
    decimal: bool

    def place(self) -> str:
        return f"field {self.name} (offset {self.offset}, length {self.kind.length})"


class FixedWidth(Record):
    r"""A record of fields with a kind each, in the order of declaration: `sku: Annotated[str, Text(12)]`.

    Class options: `encoding`, required; `line_end`, the bytes after each record, such as b"\r\n" (by default none:
    records follow one another, as a mainframe's fixed record format has it); `short_lines=True` reads lines whose
    trailing spaces were stripped, as LINE SEQUENTIAL files have them. A field declared `| None` is all spaces for None.
    """

    _options: ClassVar[_Options] = _Options()
    _layout: ClassVar["_Layout | None"] = None

    def __init_subclass__(
        cls,
        *,
        encoding: str | None = None,
        line_end: bytes | None = None,
        short_lines: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name) for name in ("encoding", "line_end", "short_lines") if name in kwargs}
        super().__pydantic_init_subclass__(**kwargs)
        cls._options = replace(cls._options, **given)
        fields = declared_fields(cls)
        cls._layout = _compiled(cls, fields, cls._options) if fields else None

    @classmethod
    def encode_all(cls, records: Iterable[Self]) -> bytes:
        layout = cls._ready()
        return b"".join([layout.encode(cls, number, record) for number, record in numbered(cls, records)])

    @classmethod
    def decode_all(cls, data: bytes) -> Iterator[Self]:
        layout = cls._ready()
        for number, (start, line) in enumerate(layout.lines(cls, data), 1):
            where = f"{cls.__name__} record {number} (at byte {start})"
            yield validated(cls, layout.decode(where, line), where)

    @classmethod
    def record_length(cls) -> int:
        """Bytes of one record, without its line end."""
        return cls._ready().length

    @classmethod
    def _ready(cls) -> "_Layout":
        if cls._layout is None:
            raise ConfigError(f"{label(cls)} has no fields, so there is nothing to write or read")
        return cls._layout


@dataclass(frozen=True, slots=True)
class _Layout:
    """What is known of a class of records once it is made, so that each record costs little."""

    slots: tuple[_Slot, ...]
    charset: Charset
    line_end: bytes
    short_lines: bool
    length: int

    def encode(self, cls: type[Record], number: int, record: Record) -> bytes:
        parts = []
        for slot in self.slots:
            value = getattr(record, slot.name)
            try:
                if value is None and slot.optional:
                    parts.append(self.charset.space * slot.kind.length)
                else:
                    parts.append(slot.kind.encode(value, self.charset))
            except ValueError as error:
                raise FormatError(f"{cls.__name__} record {number}, {slot.place()}: {error}") from error
        parts.append(self.line_end)
        return b"".join(parts)

    def lines(self, cls: type[Record], data: bytes) -> Iterator[tuple[int, bytes]]:
        """Each record's bytes, without its line end and at full length, with the byte at which it starts."""
        return self._split(cls, data) if self.short_lines else self._cut(cls, data)

    def _split(self, cls: type[Record], data: bytes) -> Iterator[tuple[int, bytes]]:
        start = 0
        for line in data.removesuffix(self.line_end).split(self.line_end) if data else ():
            if len(line) > self.length:
                raise FormatError(
                    f"{cls.__name__}: the line at byte {start} is {len(line)} bytes long and a record has {self.length}"
                )
            yield start, line + self.charset.space * (self.length - len(line))
            start += len(line) + len(self.line_end)

    def _cut(self, cls: type[Record], data: bytes) -> Iterator[tuple[int, bytes]]:
        for start in range(0, len(data), self.length + len(self.line_end)):
            line = data[start : start + self.length]
            end = data[start + self.length :][: len(self.line_end)]
            if len(line) < self.length:
                raise FormatError(
                    f"{cls.__name__}: the file ends within the record at byte {start}, "
                    f"after {len(line)} of {self.length} bytes: 0x{line.hex()}"
                )
            # The last record may lack its line end: many programs leave it out, and the record itself is whole.
            if end != self.line_end and start + self.length < len(data):
                raise FormatError(
                    f"{cls.__name__}: after the record at byte {start} stands 0x{end.hex()} in place of the line end "
                    f"0x{self.line_end.hex()}; the record is not {self.length} bytes long"
                )
            yield start, line

    def decode(self, where: str, line: bytes) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for slot in self.slots:
            raw = line[slot.offset : slot.offset + slot.kind.length]
            if slot.optional and not raw.strip(self.charset.space):
                values[slot.name] = None
                continue
            try:
                value = slot.kind.decode(raw, self.charset)
            except ValueError as error:
                raise FormatError(f"{where}, {slot.place()}: {error}") from error
            values[slot.name] = Decimal(value) if slot.decimal else value
        return values


def _compiled(cls: type[Record], fields: dict[str, FieldInfo], options: _Options) -> _Layout:
    if options.encoding is None:
        raise ConfigError(f'{label(cls)}: say the encoding in the class line, such as encoding="cp037" or "ascii"')
    try:
        charset = Charset(options.encoding)
    except ValueError as error:
        raise ConfigError(f"{label(cls)}: {error}") from error
    faults: list[str] = []
    slots: list[_Slot] = []
    offset = 0
    for name, field in fields.items():
        bare, optional, extras = unwrap(field.annotation)
        kinds = [extra for extra in (*field.metadata, *extras) if isinstance(extra, Kind)]
        if len(kinds) != 1:
            faults.append(f"{label(cls, name)}: give it one kind, as in Annotated[int, Zoned(5)]; it has {len(kinds)}")
            continue
        faults += [f"{label(cls, name)}: {fault}" for fault in kinds[0].faults(charset, _plain_type(bare))]
        slots.append(_Slot(name, kinds[0], offset, optional, bare is Decimal))
        offset += kinds[0].length
    if options.short_lines and not options.line_end:
        faults.append(f"{label(cls)}: short_lines needs a line_end to tell where a line ends")
    if options.line_end and any(isinstance(slot.kind, Packed) for slot in slots) and options.short_lines:
        faults.append(f"{label(cls)}: a Packed field can hold the bytes of a line end, so short_lines cannot be read")
    if faults:
        raise ConfigError(*faults)
    return _Layout(tuple(slots), charset, options.line_end, options.short_lines, offset)


def _plain_type(bare: Any) -> Any:
    """The type behind a Literal, whose choices are of one type; any other type is itself."""
    return type(get_args(bare)[0]) if get_origin(bare) is not None and get_args(bare) else bare
