"""Delimited files: CSV and its relatives, one record per row, on the standard library's csv."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self

from pydantic.fields import FieldInfo

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError
from adaptors.files.formats.charset import named
from adaptors.files.formats.record import Record, declared_fields, external_name, label, numbered, shown, validated
from adaptors.files.formats.scalars import Reader, reader_of, to_text, unwrap

_QUOTING = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL, "none": csv.QUOTE_NONE}
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # all but tab, line feed, carriage return


@dataclass(frozen=True)
class _Options:
    encoding: str | None = None
    delimiter: str = ","
    header: bool = True
    quoting: str = "minimal"
    quote: str = '"'
    line_end: str = "\r\n"
    decimal_point: str = "."
    bom: bool = False


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    title: str
    read: Reader
    optional: bool
    decimal: bool


class Delimited(Record):
    r"""A record as a row of values, in the order of declaration.

    Class options: `encoding`, required; `delimiter`, one character; `header`, whether the first row names the columns;
    `quoting` "minimal" (where needed), "all" or "none" (what would need quotes is refused); `quote`, a quote within a
    value is doubled; `line_end`; `decimal_point`; `bom=True` writes a byte order mark and takes one off (UTF-8 only).
    A field declared `| None` is empty for None. Times are written in ISO 8601, booleans as true and false.
    """

    _options: ClassVar[_Options] = _Options()
    _form: ClassVar["_Form | None"] = None

    def __init_subclass__(
        cls,
        *,
        encoding: str | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
        quoting: Literal["minimal", "all", "none"] | None = None,
        quote: str | None = None,
        line_end: Literal["\r\n", "\n", "\r"] | None = None,
        decimal_point: Literal[".", ","] | None = None,
        bom: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name) for name in _Options.__dataclass_fields__ if name in kwargs}
        super().__pydantic_init_subclass__(**kwargs)
        cls._options = replace(cls._options, **given)
        fields = declared_fields(cls)
        cls._form = _compiled(cls, fields, cls._options) if fields else None

    @classmethod
    def encode_all(cls, records: Iterable[Self]) -> bytes:
        return cls._ready().encode(cls, records)

    @classmethod
    def decode_all(cls, data: bytes) -> Iterator[Self]:
        form = cls._ready()
        for number, (line, row) in enumerate(form.rows(cls, data), 1):
            where = f"{cls.__name__} record {number} (line {line})"
            yield validated(cls, form.values(where, row), where)

    @classmethod
    def _ready(cls) -> "_Form":
        if cls._form is None:
            raise ConfigError(f"{label(cls)} has no fields, so there is nothing to write or read")
        return cls._form


@dataclass(frozen=True, slots=True)
class _Form:
    """What is known of a class of rows once it is made, so that each row costs little."""

    columns: tuple[_Column, ...]
    options: _Options
    encoding: str

    @property
    def titles(self) -> list[str]:
        return [column.title for column in self.columns]

    def _dialect(self) -> dict[str, Any]:
        bare = self.options.quoting == "none"
        return {
            "delimiter": self.options.delimiter,
            "quoting": _QUOTING[self.options.quoting],
            "quotechar": None if bare else self.options.quote,
            "strict": True,
        }

    def encode(self, cls: type[Record], records: Iterable[Record]) -> bytes:
        lines: list[str] = []
        # csv quotes what the line end it was given contains, so it is given both characters; a value with the other
        # one would else go out bare and break its row.
        writer = csv.writer(_Lines(lines, self.options.line_end), lineterminator="\r\n", **self._dialect())
        if self.options.header:
            self._write(writer, "header", self.titles)
        for number, record in numbered(cls, records):
            where = f"{cls.__name__} record {number}"
            self._write(writer, where, self._texts(where, record.model_dump()))
        return (codecs.BOM_UTF8 if self.options.bom else b"") + self._encoded(cls, lines)

    def _texts(self, where: str, values: dict[str, Any]) -> list[str]:
        texts = []
        for column in self.columns:
            value = values[column.name]
            try:
                text = "" if value is None else to_text(value)
            except ValueError as error:
                raise FormatError(f"{where}, field {column.name}: {error}") from error
            if found := _CONTROLS.search(text):
                raise FormatError(f"{where}, field {column.name}: control character {named(found[0])} in {shown(text)}")
            is_number = isinstance(value, (Decimal, float))
            texts.append(text.replace(".", self.options.decimal_point) if is_number else text)
        return texts

    def _write(self, writer: Any, where: str, texts: list[str]) -> None:
        try:
            writer.writerow(texts)
        except csv.Error as error:
            raise FormatError(f'{where}: {texts!r} cannot be written with quoting="none" ({error})') from error

    def _encoded(self, cls: type[Record], lines: list[str]) -> bytes:
        try:
            return "".join(lines).encode(self.encoding)
        except UnicodeEncodeError as error:
            number = 1 - self.options.header
            end = 0
            for line in lines:
                end += len(line)
                if error.start < end:
                    break
                number += 1
            raise FormatError(
                f"{cls.__name__} record {number}: {named(error.object[error.start])} is not in {self.encoding}"
            ) from error

    def rows(self, cls: type[Record], data: bytes) -> Iterator[tuple[int, list[str]]]:
        """Each record's values with the line of the file that its row ends in."""
        reader = csv.reader(io.StringIO(self._decoded(cls, data), newline=""), **self._dialect())
        try:
            if self.options.header and (titles := next(reader, [])) != self.titles:
                raise FormatError(f"{cls.__name__}: the header is {titles}, and {self.titles} is declared")
            for row in reader:
                if len(row) != len(self.columns):
                    raise FormatError(
                        f"{cls.__name__}: line {reader.line_num} has {len(row)} columns, "
                        f"and {len(self.columns)} are declared"
                    )
                yield reader.line_num, row
        except csv.Error as error:
            raise FormatError(f"{cls.__name__}: line {reader.line_num}: {error}") from error

    def _decoded(self, cls: type[Record], data: bytes) -> str:
        if data.startswith(codecs.BOM_UTF8) and self.encoding == "utf-8":
            if not self.options.bom:
                raise FormatError(f"{cls.__name__}: the file begins with a byte order mark; bom=True would allow it")
            data = data.removeprefix(codecs.BOM_UTF8)
        try:
            return data.decode(self.encoding)
        except UnicodeDecodeError as error:
            bad = data[error.start : error.end].hex()
            raise FormatError(f"{cls.__name__}: byte {error.start}: 0x{bad} is not {self.encoding}") from error

    def values(self, where: str, row: list[str]) -> dict[str, object]:
        values: dict[str, object] = {}
        for column, text in zip(self.columns, row, strict=True):
            if column.optional and not text:
                values[column.name] = None
            elif column.decimal and self.options.decimal_point != ".":
                if "." in text:
                    raise FormatError(f"{where}, field {column.name}: {text!r} has a point in place of a comma")
                values[column.name] = column.read(text.replace(self.options.decimal_point, "."))
            else:
                values[column.name] = column.read(text)
        return values


class _Lines:
    """What csv writes to: it hands over each row whole, here with the line end that the file is to have."""

    def __init__(self, lines: list[str], line_end: str) -> None:
        self._lines = lines
        self._line_end = line_end

    def write(self, row: str, /) -> None:
        self._lines.append(row[:-2] + self._line_end)


def _compiled(cls: type[Record], fields: dict[str, FieldInfo], options: _Options) -> _Form:
    faults = [f"{label(cls)}: {fault}" for fault in _option_faults(options)]
    columns = []
    for name, field in fields.items():
        bare, optional, _ = unwrap(field.annotation)
        read = reader_of(bare)
        if read is None:
            faults.append(f"{label(cls, name)}: a column holds one value, and the field is declared {field.annotation}")
            continue
        decimal = isinstance(bare, type) and issubclass(bare, (Decimal, float))
        columns.append(_Column(name, external_name(name, field), read, optional, decimal))
    if faults:
        raise ConfigError(*faults)
    encoding = codecs.lookup(str(options.encoding)).name
    try:
        "".join(column.title for column in columns).encode(encoding)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{label(cls)}: the names of the columns cannot be written: {error}") from error
    return _Form(tuple(columns), options, encoding)


def _option_faults(options: _Options) -> Iterator[str]:
    if options.encoding is None:
        yield 'say the encoding in the class line, such as encoding="utf-8" or "cp1252"'
    else:
        try:
            name = codecs.lookup(options.encoding).name
        except LookupError:
            yield f"Python knows no encoding {options.encoding!r}"
        else:
            if options.bom and name != "utf-8":
                yield f"bom=True needs the encoding utf-8, not {options.encoding}"
    if len(options.delimiter) != 1 or options.delimiter in "\r\n":
        yield f"the delimiter {options.delimiter!r} is not one character, or is a line end"
    if len(options.quote) != 1 or options.quote in ("\r", "\n", options.delimiter):
        yield f"the quote {options.quote!r} is not one character, or is the delimiter or a line end"
    if options.quoting not in _QUOTING:
        yield f"quoting {options.quoting!r} is not one of {', '.join(_QUOTING)}"
    if options.line_end not in ("\r\n", "\n", "\r"):
        yield f"line_end {options.line_end!r} is not one of '\\r\\n', '\\n', '\\r'"
    if options.decimal_point not in (".", ","):
        yield f"decimal_point {options.decimal_point!r} is neither '.' nor ','"
