"""Fixed-width records: each field at its place, in an encoding that is always said."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError, Place
from adaptors.files.formats.charset import Charset, Overpunch
from adaptors.files.formats.composition import Composition, compose
from adaptors.files.formats.declared import DeclaredRecord, Form
from adaptors.files.formats.framing import Blocks, Described, Framing, Lengths, Prefix, ShortLines
from adaptors.files.formats.layout import Fields, Misfit, checked
from adaptors.files.formats.record import BadRecord, RecordT, hexed, label, numbered


@dataclass(frozen=True)
class _Options:
    encoding: str | None = None
    overpunch: Overpunch | None = None
    line_end: bytes = b""
    short_lines: bool = False
    prefix: Prefix | None = None
    block_size: int = 27_998
    blocking_factor: int = 1
    block_fill: bytes = b""


class FixedWidth(DeclaredRecord):
    r"""A record of fields with a kind each, in the order of declaration: `sku: Annotated[str, Text(12)]`.

    Fields may also be groups of their own fields (`Group`), tables (`Occurs`), and groups over the same bytes
    (`Redefines`). A field declared `| None` is all spaces for None. A record whose length varies ends where its last
    field does.

    Class options: `encoding`, required; `overpunch`, how signs are punched over zoned digits (see `Zoned`); `line_end`,
    the bytes after each record, such as b"\r\n" (by default none: records follow one another, as RECFM=F has it);
    `short_lines=True`, lines have lost the spaces at their end, as in LINE SEQUENTIAL files; `prefix`, what stands
    before each record: "rdw" the record descriptor word of RECFM=V, "bdw" that and block descriptor words (RECFM=VB
    with its blocks, of `block_size` bytes at the most), "gnucobol" the length as GnuCOBOL writes it before records of
    varying length; `blocking_factor`, the file is a whole number of blocks of so many records, the last one filled up
    with records of the byte `block_fill`.
    """

    _options: ClassVar[_Options] = _Options()

    def __init_subclass__(
        cls,
        *,
        encoding: str | None = None,
        overpunch: Overpunch | None = None,
        line_end: bytes | None = None,
        short_lines: bool | None = None,
        prefix: Prefix | None = None,
        block_size: int | None = None,
        blocking_factor: int | None = None,
        block_fill: bytes | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def _compile(cls, options: _Options) -> "_Layout":
        if options.encoding is None:
            raise ConfigError(f'{label(cls)}: say the encoding in the class line, such as encoding="cp037" or "ascii"')
        try:
            charset = Charset(options.encoding, options.overpunch)
        except ValueError as error:
            raise ConfigError(f"{label(cls)}: {error}") from error
        composition = compose(cls, charset)
        if faults := [f"{label(cls)}: {fault}" for fault in _faults(options, composition)]:
            raise ConfigError(*faults)
        framing = _framing(cls.__name__, options, composition.fields, charset.space)
        return _Layout(composition.fields, framing, charset.space if options.short_lines else b"")

    @classmethod
    def record_length(cls) -> int:
        """Bytes of the longest record, without line end and descriptor words."""
        form = cls._ready()
        assert isinstance(form, _Layout)
        return form.fields.high

    @classmethod
    def _fixed_length(cls) -> int | None:
        """Bytes of each record, without its line end, None where they vary."""
        form = cls._ready()
        assert isinstance(form, _Layout)
        return form.fields.high if form.fields.low == form.fields.high and not cls._options.short_lines else None

    @classmethod
    def _framed(cls, raw: bytes) -> bytes:
        """The file of one record of these bytes, even if they are none that it could have."""
        form = cls._ready()
        assert isinstance(form, _Layout)
        return raw + cls._options.line_end if cls._options.short_lines else form.framing.join([raw])


@dataclass(frozen=True, slots=True)
class _Layout(Form):
    fields: Fields
    framing: Framing
    slack: bytes
    """The space that the ends of lines have lost, where they have."""

    def encode(self, cls: type[RecordT], records: Iterable[RecordT]) -> bytes:
        return self.framing.join([self._encoded(cls, number, record) for number, record in numbered(cls, records)])

    def _encoded(self, cls: type[RecordT], number: int, record: RecordT) -> bytes:
        parts: list[bytes] = []
        try:
            self.fields.encode(record, None, parts)
        except Misfit as misfit:
            misfit.offset = sum(map(len, parts))
            raise _error(f"{cls.__name__} record {number}", misfit) from misfit.__cause__
        return b"".join(parts)

    def read(self, cls: type[RecordT], data: bytes) -> Iterator[RecordT | BadRecord]:
        for number, (start, raw) in enumerate(self.framing.cut(data), 1):
            where = f"{cls.__name__} record {number} (at byte {start})"
            try:
                yield self._decoded(cls, where, raw)
            except FormatError as error:
                yield BadRecord(number, start, raw, error)

    def _decoded(self, cls: type[RecordT], where: str, raw: bytes) -> RecordT:
        if self.slack:
            raw = raw.ljust(self.fields.high, self.slack)
        try:
            values, end = self.fields.decode(raw, 0, None)
            record = checked(cls, self.fields, values, raw, 0, None)
        except Misfit as misfit:
            raise _error(where, misfit) from misfit.__cause__
        if rest := raw[end:].strip(self.slack) if self.slack else raw[end:]:
            raise FormatError(f"{where}: after the last field, at offset {end}, stand {len(rest)} bytes: {hexed(rest)}")
        return record


def _error(where: str, misfit: Misfit) -> FormatError:
    field = f", field {misfit.path}" if misfit.path else ""
    place = Place(misfit.path, misfit.offset, misfit.length) if misfit.path else None
    return FormatError(f"{where}{field} (offset {misfit.offset}, length {misfit.length}): {misfit}", place)


def _faults(options: _Options, composition: Composition) -> Iterator[str]:
    fixed = composition.fields.low == composition.fields.high
    if options.short_lines and not options.line_end:
        yield "short_lines needs a line_end to tell where a line ends"
    if options.short_lines and composition.binary:
        yield "a packed or binary field can hold the bytes of a line end, so short_lines cannot be read"
    if composition.uneven and options.prefix is None and not options.line_end:
        yield "Redefines has layouts of different lengths; fill up the shorter ones with a Bytes field, or say prefix"
    if options.prefix not in (None, "rdw", "bdw", "gnucobol"):
        yield f"prefix {options.prefix!r} is not one of 'rdw', 'bdw', 'gnucobol'"
    if options.prefix and (options.line_end or options.blocking_factor > 1):
        yield "records with a prefix have neither a line_end nor a blocking_factor"
    if not 16 <= options.block_size <= 32_760:
        yield f"block_size {options.block_size} is not 16 to 32760 bytes"
    if (options.blocking_factor > 1) != (len(options.block_fill) == 1):
        yield "blocking_factor is 2 or more, and block_fill is the one byte that fills up the last block"
    if options.blocking_factor > 1 and (options.short_lines or not fixed):
        yield "a blocking_factor needs records of one length"


def _framing(name: str, options: _Options, fields: Fields, space: bytes) -> Framing:
    if options.prefix is not None:
        described = Described(name, options.prefix != "gnucobol")
        return Blocks(name, options.block_size, described) if options.prefix == "bdw" else described
    if options.short_lines:
        return ShortLines(name, fields.high, options.line_end, space)

    def end_of(data: bytes, start: int) -> int:
        try:
            return fields.decode(data, start, None)[1]
        except Misfit as misfit:
            raise _error(f"{name}: the record at byte {start}", misfit) from misfit.__cause__

    measure = None if fields.low == fields.high else end_of
    return Lengths(name, fields.high, options.line_end, measure, options.blocking_factor, options.block_fill)
