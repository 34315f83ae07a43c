"""Delimited files: CSV and its relatives, one record per row."""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import ValidationError

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError, Place
from adaptors.files.formats.charset import codec_of, named
from adaptors.files.formats.declared import DeclaredRecord, Form
from adaptors.files.formats.dialect import Bare, Dialect, Row
from adaptors.files.formats.record import (
    BadRecord,
    Record,
    RecordT,
    declared_fields,
    external_name,
    faults_of,
    hexed,
    label,
    numbered,
    place_of,
    shown,
)
from adaptors.files.formats.scalars import Reader, reader_of, to_text, unwrap

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # all but tab, line feed, carriage return
_UNDECODED = re.compile("[\udc80-\udcff]")


class Delimited(DeclaredRecord):
    r"""A record as a row of values, in the order of declaration.

    Class options: `encoding`, required; `delimiter`, one character; `header`, whether the first row names the columns;
    `quoting` "minimal" (where needed), "text" (all but numbers and None), "all" or "none" (what would need quotes is
    refused, or escaped if there is an `escape`); `quote`; `escape`, the character before a quote within a value, which
    without it is doubled; `line_end`, when writing: any line end is read; `decimal_point`; `null`, what stands for None
    in a field declared `| None` (a text that is the same is refused there); `bom=True` writes a byte order mark and
    takes one off. Times are written in ISO 8601, booleans as true and false.
    """

    _options: ClassVar[Dialect] = Dialect()

    def __init_subclass__(
        cls,
        *,
        encoding: str | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
        quoting: Literal["minimal", "text", "all", "none"] | None = None,
        quote: str | None = None,
        escape: str | None = None,
        line_end: Literal["\r\n", "\n", "\r"] | None = None,
        decimal_point: Literal[".", ","] | None = None,
        null: str | None = None,
        bom: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def _compile(cls, options: Dialect) -> "_Table":
        faults = [f"{label(cls)}: {fault}" for fault in options.faults()]
        columns = tuple(_columns(cls, faults))
        if faults:
            raise ConfigError(*faults)
        table = _Table(columns, options, codec_of(str(options.encoding)))
        try:
            "".join(table.titles).encode(table.encoding)
        except UnicodeEncodeError as error:
            raise ConfigError(f"{label(cls)}: the names of the columns cannot be written: {error}") from error
        return table


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    title: str
    place: str
    read: Reader
    optional: bool
    number: bool
    decimal: bool


@dataclass(frozen=True, slots=True)
class _Table(Form):
    columns: tuple[_Column, ...]
    dialect: Dialect
    encoding: str

    @property
    def titles(self) -> list[str]:
        return [column.title for column in self.columns]

    def encode(self, cls: type[RecordT], records: Iterable[RecordT]) -> bytes:
        lines: list[str] = []
        writer = self.dialect.writer(lines)
        encoder = codecs.getincrementalencoder(self.encoding)()
        encoded = [self.dialect.mark] if self.dialect.bom else []
        if self.dialect.header:
            writer.writerow(self.titles)
            encoded.append(encoder.encode(lines.pop()))
        for number, record in numbered(cls, records):
            where = f"{cls.__name__} record {number}"
            values = record.model_dump()
            texts = [self._text(where, column, values[column.name]) for column in self.columns]
            try:
                writer.writerow(texts)
                encoded.append(encoder.encode(lines.pop()))
            except csv.Error as error:
                shown_texts = shown([str(text) for text in texts])
                raise FormatError(f'{where}: {shown_texts} cannot be written with quoting="none" ({error})') from error
            except UnicodeEncodeError as error:
                raise self._unmappable(where, texts) from error
        return b"".join(encoded)

    def _text(self, where: str, column: _Column, value: object) -> str | Bare:
        if value is None:
            return Bare(self.dialect.null)
        try:
            text = to_text(value)
        except ValueError as error:
            raise FormatError(f"{where}, {column.place}: {error}") from error
        if found := _CONTROLS.search(text):
            raise FormatError(f"{where}, {column.place}: control character {named(found[0])} in {shown(text)}")
        if column.decimal:
            text = text.replace(".", self.dialect.decimal_point)
        if column.optional and text == self.dialect.null:
            raise FormatError(f"{where}, {column.place}: {text!r} would be read as None; see null= in the class line")
        return Bare(text) if column.number else text

    def _unmappable(self, where: str, texts: list[str | Bare]) -> FormatError:
        for column, text in zip(self.columns, map(str, texts), strict=True):
            try:
                text.encode(self.encoding)
            except UnicodeEncodeError as error:
                character = named(text[error.start])
                return FormatError(f"{where}, {column.place}: {character} in {shown(text)} is not in {self.encoding}")
        return FormatError(f"{where}: a delimiter, quote or line end is not in {self.encoding}")

    def read(self, cls: type[RecordT], data: bytes) -> Iterator[RecordT | BadRecord]:
        text, clean = self._decoded(cls, data)
        rows = self.dialect.rows(text)
        try:
            if self.dialect.header and (titles := next(rows, Row([], 0, 0, 0)).values) != self.titles:
                raise FormatError(f"{cls.__name__}: the header is {shown(titles)}, and {self.titles} is declared")
            for number, row in enumerate(rows, 1):
                try:
                    yield self._record(cls, row.values, clean)
                except _Unreadable as error:
                    start, end = (self._offset(text[:at], data) for at in (row.start, row.end))
                    where = f"{cls.__name__} record {number} (line {row.line}, at byte {start})"
                    yield BadRecord(number, start, data[start:end], FormatError(f"{where}{error}", error.place))
        except csv.Error as error:
            raise FormatError(f"{cls.__name__}: {error}") from error

    def _decoded(self, cls: type[RecordT], data: bytes) -> tuple[str, bool]:
        """The text of a file, and whether there is nothing in it that is not of its encoding."""
        if self.dialect.mark and data.startswith(self.dialect.mark):
            if not self.dialect.bom:
                raise FormatError(f"{cls.__name__}: the file begins with a byte order mark; bom=True would allow it")
            data = data.removeprefix(self.dialect.mark)
        try:
            return data.decode(self.encoding), True
        except UnicodeDecodeError as error:
            try:
                return data.decode(self.encoding, "surrogateescape"), False
            except UnicodeDecodeError:
                bad = hexed(data[error.start : error.end])
                raise FormatError(f"{cls.__name__}: byte {error.start}: {bad} is not {self.encoding}") from error

    def _offset(self, before: str, data: bytes) -> int:
        """The byte of the file at which the text after this one begins."""
        mark = self.dialect.mark if self.dialect.mark and data.startswith(self.dialect.mark) else b""
        return len(mark) + len(before.encode(self.encoding, "surrogateescape"))

    def _record(self, cls: type[RecordT], texts: list[str], clean: bool) -> RecordT:
        if len(texts) != len(self.columns):
            raise _Unreadable(f" has {len(texts)} columns, and {len(self.columns)} are declared: {shown(texts)}")
        if not clean and (at := next((n for n, text in enumerate(texts) if _UNDECODED.search(text)), None)) is not None:
            raise _Unreadable(f"{self._place(at, texts[at])} is not {self.encoding}", Place(self.columns[at].name))
        values = {column.name: self._value(column, text) for column, text in zip(self.columns, texts, strict=True)}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first, *others = faults_of(error)
            at = next((n for n, column in enumerate(self.columns) if column.name == first.field), None)
            place = ":" if at is None else f"{self._place(at, texts[at])}:"
            raise _Unreadable(f"{place} {'; '.join([first.reason, *map(str, others)])}", place_of(error)) from error

    def _value(self, column: _Column, text: str) -> object:
        if column.optional and text == self.dialect.null:
            return None
        if column.decimal and self.dialect.decimal_point != ".":
            # A point is left to be refused: it would separate thousands here.
            return text if "." in text else column.read(text.replace(self.dialect.decimal_point, "."))
        return column.read(text)

    def _place(self, at: int, text: str) -> str:
        raw = text.encode(self.encoding, "surrogateescape")
        return f", {self.columns[at].place}: {hexed(raw)} ({len(raw)} bytes)"


class _Unreadable(Exception):
    """A row that is no record; the text goes on from where it stands in the file."""

    def __init__(self, text: str, place: Place | None = None) -> None:
        super().__init__(text)
        self.place = place


def _columns(cls: type[Record], faults: list[str]) -> Iterator[_Column]:
    for number, (name, field) in enumerate(declared_fields(cls).items(), 1):
        bare, optional, _ = unwrap(field.annotation)
        read = reader_of(bare)
        if read is None:
            faults.append(f"{label(cls, name)}: a column holds one value, and the field is declared {field.annotation}")
            continue
        plain = bare if isinstance(bare, type) else str
        decimal = issubclass(plain, (Decimal, float))
        number_like = decimal or (issubclass(plain, int) and plain is not bool)
        place = f"field {name} (column {number})"
        yield _Column(name, external_name(name, field), place, read, optional, number_like, decimal)
