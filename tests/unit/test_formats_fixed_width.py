"""Fixed-width records: what is written, what is refused, and that reading gives back what was written."""

import codecs
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_sdk.errors import ConfigError, PermanentError
from adaptors.files import FixedWidth, FormatError, Kind, Number, Packed, Text, Zoned
from adaptors.files.formats.charset import Charset

EBCDIC = Charset("cp037")
ASCII = Charset("ascii")


class PickLine(FixedWidth, encoding="cp037"):
    sku: Annotated[str, Text(12)]
    quantity: Annotated[int, Zoned(5)]


class Everything(FixedWidth, encoding="cp500", line_end=b"\r\n"):
    text: Annotated[str, Text(6)]
    right: Annotated[str, Text(6, align="right")]
    number: Annotated[Decimal, Number(8, decimals=2, sign="leading", point=".")]
    zoned: Annotated[Decimal, Zoned(6, decimals=2)]
    packed: Annotated[Decimal, Packed(6, decimals=3)]
    maybe: Annotated[int, Number(4)] | None


def amounts(digits: int, decimals: int) -> st.SearchStrategy[Decimal]:
    """Every amount that a field of so many digits holds."""
    return st.integers(-(10**digits) + 1, 10**digits - 1).map(lambda n: Decimal(n).scaleb(-decimals))


words = st.text("ABCxyz09-_ .", max_size=6).map(str.strip)


@given(
    st.builds(
        Everything,
        text=words,
        right=words,
        number=amounts(6, 2),
        zoned=amounts(6, 2),
        packed=amounts(6, 3),
        maybe=st.none() | st.integers(0, 9999),
    )
)
def test_every_kind_reads_back_what_it_wrote_and_writes_the_same_bytes_again(record: Everything) -> None:
    """Encoding, decoding and encoding again gives the record and the bytes of the first time, for every kind."""
    data = Everything.encode_all([record])
    assert len(data) == Everything.record_length() + 2 == 36
    again = list(Everything.decode_all(data))
    assert again == [record]
    assert Everything.encode_all(again) == data


def test_the_record_of_the_design_is_written_in_ebcdic_with_an_overpunched_sign() -> None:
    """Text is padded with EBCDIC spaces and the last digit of a zoned number carries C for plus and D for minus."""
    data = PickLine.encode_all(PickLine(sku="A-1", quantity=quantity) for quantity in (3, -12))
    assert data.hex() == "c160f1" + "40" * 9 + "f0f0f0f0c3" + "c160f1" + "40" * 9 + "f0f0f0f1d2"


@pytest.mark.parametrize(
    ("kind", "charset", "value", "expected"),
    [
        (Zoned(3), ASCII, 12, b"012"),
        (Zoned(3), ASCII, -12, b"01r"),
        (Zoned(4, decimals=2), EBCDIC, Decimal("-1.5"), bytes.fromhex("f0f1f5d0")),
        (Zoned(2), EBCDIC, Decimal("-0"), bytes.fromhex("f0c0")),
        (Packed(5), EBCDIC, 123, bytes.fromhex("00123c")),
        (Packed(4), EBCDIC, -1234, bytes.fromhex("01234d")),
        (Packed(3, signed=False), ASCII, 7, bytes.fromhex("007f")),
        (Number(5), ASCII, 42, b"00042"),
        (Number(6, decimals=2), ASCII, Decimal("1.5"), b"000150"),
        (Number(7, decimals=2, point=","), ASCII, Decimal("1.5"), b"0001,50"),
        (Number(6, sign="trailing"), ASCII, -42, b"00042-"),
        (Number(6, sign="leading", pad=" "), ASCII, -42, b"   -42"),
        (Number(6, decimals=2, point=".", pad=" "), ASCII, Decimal(0), b"  0.00"),
        (Number(2, decimals=2), ASCII, Decimal("0.07"), b"07"),
        (Text(4, pad="*", align="right"), ASCII, "ab", b"**ab"),
        (Number(3), ASCII, Decimal("1E+2"), b"100"),
    ],
)
def test_a_kind_writes_these_bytes_and_reads_them_back(
    kind: Kind, charset: Charset, value: Any, expected: bytes
) -> None:
    """Each kind writes exactly the bytes that its COBOL counterpart does, and reads the same value from them."""
    assert kind.encode(value, charset) == expected
    assert kind.decode(expected, charset) == value


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Text(3), "abcd", "4 bytes long and the field holds 3"),
        (Text(3), "a\n", r"control character '\\n' \(U\+000A\)"),
        (Text(3), "a\x85", r"U\+0085"),
        (Text(3), "€", r"'€' \(U\+20AC\) in '€' is not in cp037"),
        (Text(3), 5, "not text"),
        (Zoned(2), 100, "100 does not fit: the field holds 2 digits"),
        (Zoned(4, decimals=2), Decimal("1.005"), "more decimals than the 2"),
        (Zoned(2), True, "is a bool"),
        (Zoned(2), 1.0, "is a float"),
        (Packed(3), Decimal("NaN"), "not a number"),
        (Packed(3), Decimal("-Infinity"), "not a number"),
        (Packed(3), Decimal("1E+999999999"), "does not fit"),
        (Packed(3), Decimal("1E-999999999"), "more decimals"),
        (Packed(3, signed=False), -1, "negative"),
        (Number(3), -1, "negative"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_never_cut(kind: Kind, value: Any, reason: str) -> None:
    """Overflow, lost decimals, other types, NaN, control and unmappable characters are each an error with a reason."""
    with pytest.raises(ValueError, match=reason):
        kind.encode(value, EBCDIC)


@pytest.mark.parametrize(
    ("kind", "charset", "raw"),
    [
        (Zoned(3), EBCDIC, "f0fac1"),
        (Zoned(3), EBCDIC, "f0c1c1"),
        (Zoned(3), EBCDIC, "f0f141"),
        (Zoned(3), EBCDIC, "f0f1ca"),
        (Zoned(3), ASCII, "303171"[:4] + "41"),
        (Packed(3), EBCDIC, "1234"),
        (Packed(3), EBCDIC, "1a3c"),
        (Packed(2), EBCDIC, "123c"),
        (Packed(3, signed=False), EBCDIC, "123d"),
        (Number(3), ASCII, "312032"),
        (Number(3, sign="leading"), ASCII, "313233"),
        (Number(4, decimals=1, point="."), ASCII, "31322c33"),
        (Number(4, decimals=1, point="."), ASCII, "312e3233"),
        (Text(3), EBCDIC, "c11500"),
        (Text(2), ASCII, "c3a9"),
    ],
)
def test_bytes_that_no_value_wrote_are_an_error_that_shows_their_hex(kind: Kind, charset: Charset, raw: str) -> None:
    """A field that is not of its layout is never guessed at; the error shows the bytes."""
    with pytest.raises(ValueError, match=f"0x{raw}"):
        kind.decode(bytes.fromhex(raw), charset)


@pytest.mark.parametrize("sign", ["a", "c", "e", "f"])
def test_all_positive_signs_of_a_mainframe_are_read(sign: str) -> None:
    """The sign halves A, C, E and F mean plus in packed and zoned numbers, whoever wrote them."""
    assert Packed(3).decode(bytes.fromhex(f"012{sign}"), EBCDIC) == 12
    assert Zoned(2).decode(bytes.fromhex(f"f1{sign}2"), EBCDIC) == 12


def test_a_negative_zero_reads_as_a_plain_zero() -> None:
    """COBOL knows a zero with a minus; in Python it is the same zero, not Decimal('-0')."""
    assert str(Packed(3, decimals=2).decode(bytes.fromhex("000d"), EBCDIC)) == "0.00"


def test_an_error_names_record_field_offset_and_length() -> None:
    """Whoever is on call finds the place in the file and the value from the message alone."""
    with pytest.raises(FormatError) as caught:
        PickLine.encode_all([PickLine(sku="A", quantity=1), PickLine(sku="B", quantity=123456)])
    assert str(caught.value) == (
        "PickLine record 2, field quantity (offset 12, length 5): 123456 does not fit: the field holds 5 digits"
    )
    assert isinstance(caught.value, PermanentError)


def test_a_file_that_ends_within_a_record_is_an_error() -> None:
    """A cut transfer is noticed, and the whole records before it are still given out."""
    data = PickLine.encode_all([PickLine(sku="A", quantity=1), PickLine(sku="B", quantity=2)])
    records = PickLine.decode_all(data[:-1])
    assert next(records).sku == "A"
    with pytest.raises(FormatError, match="ends within the record at byte 17, after 16 of 17 bytes"):
        next(records)


class Line(FixedWidth, encoding="ascii", line_end=b"\n", short_lines=True):
    name: Annotated[str, Text(5)]
    city: Annotated[str, Text(5)]


class FullLine(Line, short_lines=False):
    pass


def test_lines_with_stripped_spaces_are_read_only_where_declared() -> None:
    """A LINE SEQUENTIAL file has lost its trailing spaces: `short_lines` puts them back, else they are an error."""
    data = b"Ann  Bern\nBob\n\n"
    assert [(line.name, line.city) for line in Line.decode_all(data)] == [("Ann", "Bern"), ("Bob", ""), ("", "")]
    with pytest.raises(FormatError, match="place of the line end"):
        list(FullLine.decode_all(data))


def test_a_line_that_is_too_long_is_an_error() -> None:
    """Nothing behind the last field is dropped in silence."""
    with pytest.raises(FormatError, match="11 bytes long and a record has 10"):
        list(Line.decode_all(b"Ann  Bern  \n"))


def test_the_last_line_end_may_be_missing_and_an_empty_file_has_no_records() -> None:
    """A whole last record without its line end is read; no bytes are no records."""
    assert [line.name for line in FullLine.decode_all(b"Ann  Bern \nBob  Basel")] == ["Ann", "Bob"]
    assert list(FullLine.decode_all(b"")) == list(Line.decode_all(b"")) == []


def test_packed_bytes_that_look_like_line_ends_are_read_by_position() -> None:
    """A packed number may contain 0x0A or 0x0D; a record with a line end is still cut by length."""

    class Amount(FixedWidth, encoding="ascii", line_end=b"\n"):
        value: Annotated[int, Packed(3)]

    records = [Amount(value=value) for value in (0, 100, 7)]
    raw = bytes.fromhex("0a0c") + b"\n"
    assert list(Amount.decode_all(Amount.encode_all(records))) == records
    with pytest.raises(FormatError, match="0x0a0c"):
        list(Amount.decode_all(raw))


def test_none_is_all_spaces_and_only_where_the_field_allows_it() -> None:
    """An optional field is blank for None; blanks in a field that is not optional are an error."""

    class Optional(FixedWidth, encoding="cp037"):
        a: Annotated[int | None, Zoned(2)]
        b: Annotated[str, Text(1)] | None = None

    data = Optional.encode_all([Optional(a=None)])
    assert data == b"\x40\x40\x40"
    assert list(Optional.decode_all(data)) == [Optional(a=None, b=None)]
    with pytest.raises(FormatError, match="field quantity"):
        list(PickLine.decode_all(b"\x40" * 17))


def test_constraints_of_the_model_hold_for_what_is_read() -> None:
    """A value that the layout allows and the model does not is an error with record and field."""
    from pydantic import Field

    class Small(FixedWidth, encoding="ascii"):
        n: Annotated[int, Number(2), Field(le=50)]

    place = r"Small record 2 \(at byte 2\), field n \(offset 0, length 2\): 0x3531: "
    with pytest.raises(FormatError, match=place + "Input should be less than or equal to 50, got 51"):
        list(Small.decode_all(b"5051"))


def test_a_file_holds_records_of_one_class() -> None:
    """Records of different classes in one file are refused before a byte is written."""
    with pytest.raises(FormatError, match="record 2 is a Line; this file holds PickLine only"):
        PickLine.encode_all([PickLine(sku="A", quantity=1), Line(name="x", city="y")])  # type: ignore[list-item]


def _no_encoding() -> None:
    class R(FixedWidth):
        a: Annotated[str, Text(1)]


def _unknown_encoding() -> None:
    class R(FixedWidth, encoding="cp1047x"):
        a: Annotated[str, Text(1)]


def _wide_encoding() -> None:
    class R(FixedWidth, encoding="utf-16-le"):
        a: Annotated[str, Text(2)]


def _no_kind() -> None:
    class R(FixedWidth, encoding="ascii"):
        a: str


def _int_with_decimals() -> None:
    class R(FixedWidth, encoding="ascii"):
        a: Annotated[int, Zoned(5, decimals=2)]


def _text_for_a_number() -> None:
    class R(FixedWidth, encoding="ascii"):
        a: Annotated[int, Text(5)]


def _short_lines_without_line_end() -> None:
    class R(FixedWidth, encoding="ascii", short_lines=True):
        a: Annotated[str, Text(5)]


def _short_lines_with_packed() -> None:
    class R(FixedWidth, encoding="ascii", short_lines=True, line_end=b"\n"):
        a: Annotated[int, Packed(5)]


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (_no_encoding, "say the encoding"),
        (_unknown_encoding, "neither Python nor the package ebcdic knows an encoding 'cp1047x'"),
        (_wide_encoding, "one byte"),
        (_no_kind, r"R\.a: give it one kind"),
        (_int_with_decimals, r"R\.a: .* holds Decimal, and the field is declared int"),
        (_text_for_a_number, r"R\.a: .* holds str, and the field is declared int"),
        (_short_lines_without_line_end, "short_lines needs a line_end"),
        (_short_lines_with_packed, "packed or binary field can hold the bytes of a line end"),
        (lambda: Text(0), "at least 1 byte"),
        (lambda: Packed(0), "at least 1"),
        (lambda: Number(3, decimals=2, sign="leading", point="."), "too short"),
        (lambda: Number(3, point="."), "needs decimals"),
    ],
)
def test_a_wrong_declaration_is_refused_when_the_class_is_made(declare: Callable[[], object], reason: str) -> None:
    """A layout that cannot work is a ConfigError with the field's name, before any event arrives."""
    with pytest.raises(ConfigError, match=reason):
        declare()


@pytest.mark.parametrize("encoding", ["cp037", "cp273", "cp500", "cp1140", "ascii", "cp1252", "utf-8"])
@given(text=st.text(min_size=0, max_size=8))
def test_any_text_is_either_written_so_that_it_reads_back_or_refused(encoding: str, text: str) -> None:
    """No text is altered on its way through a field, whatever the code page; only trailing fill is not part of it."""
    charset, kind = Charset(encoding), Text(8)
    try:
        raw = kind.encode(text, charset)
    except ValueError:
        return
    assert len(raw) == 8
    assert kind.decode(raw, charset) == text.rstrip(" ")
    assert codecs.decode(raw, encoding).rstrip(" ") == text.rstrip(" ")
