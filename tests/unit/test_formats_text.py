"""Delimited files and JSON lines."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from adapter_sdk.errors import ConfigError
from adaptors.files import Delimited, FormatError, JsonLines


class Size(StrEnum):
    SMALL = "S"
    LARGE = "L"


class Row(Delimited, encoding="utf-8", delimiter=";", decimal_point=","):
    name: str
    amount: Decimal
    count: int | None
    day: date = date(2026, 11, 20)
    at: datetime = datetime(2026, 11, 20, 20, 15, tzinfo=UTC)
    size: Size = Size.SMALL
    kind: Literal["a", "b"] = "a"
    open_: bool = Field(default=True, serialization_alias="open")
    rate: float = 0.5


class AllQuoted(Row, quoting="all", line_end="\n", header=False):
    pass


class Utf16(Row, encoding="utf-16", line_end="\r"):
    pass


class WithBom(Row, bom=True):
    pass


values = st.fixed_dictionaries(
    {
        "name": st.text(),
        "amount": st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12),
        "count": st.none() | st.integers(),
        "day": st.dates(),
        "at": st.datetimes(timezones=st.just(UTC)),
        "size": st.sampled_from(Size),
        "kind": st.sampled_from(["a", "b"]),
        "open_": st.booleans(),
        "rate": st.floats(allow_nan=False, allow_infinity=False),
    }
)


@pytest.mark.parametrize("form", [Row, AllQuoted, Utf16, WithBom])
@given(rows=st.lists(values, max_size=3))
def test_rows_read_back_as_written_or_are_refused(form: type[Row], rows: list[dict[str, Any]]) -> None:
    """Whatever the dialect, a row is either refused when it is written or read back with the same values."""
    records = [form(**row) for row in rows]
    try:
        data = form.encode_all(records)
    except FormatError:
        assert any(not char.isprintable() for row in rows for char in row["name"])
        return
    again = list(form.decode_all(data))
    assert again == records
    assert form.encode_all(again) == data


def test_a_row_is_written_as_its_dialect_says() -> None:
    """Header by external names, quotes where needed, decimal comma, nothing for None, ISO times and plain decimals."""
    row = Row(name='a;"b"', amount=Decimal("1E+2"), count=None, rate=1e21)
    assert Row.encode_all([row]) == (
        b"name;amount;count;day;at;size;kind;open;rate\r\n"
        b'"a;""b""";100;;2026-11-20;2026-11-20T20:15:00+00:00;S;a;true;1000000000000000000000\r\n'
    )


class Pair(Delimited, encoding="cp1252", line_end="\n"):
    a: str
    b: int


class Bare(Pair, quoting="none"):
    pass


def test_a_bare_carriage_return_is_quoted_even_where_lines_end_in_a_line_feed() -> None:
    """A value with a carriage return does not break its row in two for a reader that takes either line end."""
    data = Pair.encode_all([Pair(a="x\ry", b=1)])
    assert data == b'a,b\n"x\ry",1\n'
    assert [pair.a for pair in Pair.decode_all(data)] == ["x\ry"]


@pytest.mark.parametrize("text", ["a,b", "a\nb", "a\rb"])
def test_without_quotes_a_value_that_needs_them_is_refused(text: str) -> None:
    """With quoting="none" nothing is escaped or cut: the value is an error with its record."""
    with pytest.raises(FormatError, match=r"Bare record 1: .*cannot be written"):
        Bare.encode_all([Bare(a=text, b=1)])


def test_without_quotes_a_quote_is_a_character_like_any_other() -> None:
    """With quoting="none" a quotation mark is written and read as it is."""
    data = Bare.encode_all([Bare(a='6" pipe', b=1)])
    assert data == b'a,b\n6" pipe,1\n'
    assert next(Bare.decode_all(data)).a == '6" pipe'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\x00", r"record 2, field a \(column 1\): control character '\\x00'"),
        ("Ж", r"record 2, field a \(column 1\): 'Ж' \(U\+0416\) in 'Ж' is not in cp1252"),
    ],
)
def test_characters_that_the_file_cannot_hold_are_refused_with_their_record(text: str, reason: str) -> None:
    """Control characters and characters outside the encoding are errors, never replaced."""
    with pytest.raises(FormatError, match=reason):
        Pair.encode_all([Pair(a="x", b=1), Pair(a=text, b=2)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "header is"),
        (b"b,a\n", r"header is \['b', 'a'\], and \['a', 'b'\] is declared"),
        (b"a,b\nx,1\ny\n", r"record 2 \(line 3, at byte 8\) has 1 columns, and 2 are declared"),
        (b"a,b\nx,1,2\n", "has 3 columns"),
        (b"a,b\n\nx,1\n", "has 0 columns"),
        (b'a,b\n"x"y,1\n', "line 2: "),
        (b'a,b\n"x,1\n', "line 2: unexpected end"),
        (
            b"a,b\nx,one\n",
            r"record 1 \(line 2, at byte 4\), field b \(column 2\): 0x6f6e65 \(3 bytes\): .*integer, got 'one'",
        ),
        (b"a,b\nx,1_0\n", "got '1_0'"),
        (b"a,b\nx, 1\n", "got ' 1'"),
        (b"a,b\nx,1.0\n", "got '1.0'"),
        (b"a,b\nx,\n", "got ''"),
        (b"a,b\n\x81,1\n", r"record 1 \(line 2, at byte 4\), field a \(column 1\): 0x81 \(1 bytes\) is not cp1252"),
    ],
)
def test_a_file_that_is_not_as_declared_is_an_error_with_its_line(data: bytes, reason: str) -> None:
    """Wrong header, column count, quoting, type or encoding: each is an error that names the line, never a guess."""
    with pytest.raises(FormatError, match=reason):
        list(Pair.decode_all(data))


def test_a_date_without_dashes_is_not_taken_for_seconds_since_1970() -> None:
    """The text 20261120 is no ISO date of this format and is refused, where lax parsing would read a timestamp."""

    class Day(Delimited, encoding="ascii", header=False):
        at: datetime

    with pytest.raises(FormatError, match="got '20261120'"):
        list(Day.decode_all(b"20261120\r\n"))


def test_an_unexpected_byte_order_mark_is_named() -> None:
    """A byte order mark is an error that says so where the class does not allow it, and comes off where it does."""
    data = WithBom.encode_all([WithBom(name="é", amount=Decimal(1), count=1)])
    assert data.startswith(b"\xef\xbb\xbfname;")
    assert next(WithBom.decode_all(data)).name == "é"
    with pytest.raises(FormatError, match="byte order mark; bom=True"):
        list(Row.decode_all(data))


def _declared(**options: Any) -> Callable[[], object]:
    return lambda: type("R", (Delimited,), {"__annotations__": {"a": str}}, **options)


def _nested() -> None:
    class R(Delimited, encoding="utf-8"):
        rows: list[str]


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (_declared(), "say the encoding"),
        (_declared(encoding="nope"), "knows an encoding 'nope'"),
        (_declared(encoding="cp1252", bom=True), "bom=True needs"),
        (_declared(encoding="utf-8", delimiter=";;"), "delimiter ';;'"),
        (_declared(encoding="utf-8", quote=","), "are not different"),
        (_declared(encoding="utf-8", quoting="some"), "quoting 'some'"),
        (_nested, r"R\.rows: a column holds one value"),
    ],
)
def test_a_dialect_that_cannot_work_is_refused_when_the_class_is_made(
    declare: Callable[[], object], reason: str
) -> None:
    """A wrong option or a field that no column can hold is a ConfigError, before any event arrives."""
    with pytest.raises(ConfigError, match=reason):
        declare()


class Item(JsonLines):
    sku: str
    price: Decimal = Field(serialization_alias="unitPrice", validation_alias="unitPrice")
    tags: tuple[str, ...] = ()


@given(
    st.lists(st.builds(Item, sku=st.text(), unitPrice=st.decimals(allow_nan=False, allow_infinity=False)), max_size=3)
)
def test_json_lines_read_back_as_written(items: list[Item]) -> None:
    """Any text, line separators included, stays within its line; the bytes are the same the second time."""
    try:
        data = Item.encode_all(items)
    except FormatError:
        assert any("\ud800" <= char <= "\udfff" for item in items for char in item.sku)
        return
    assert data.count(b"\n") == len(items)
    again = list(Item.decode_all(data))
    assert again == items
    assert Item.encode_all(again) == data


def test_json_lines_are_written_by_their_external_names() -> None:
    """One object per line, in UTF-8, decimals as strings so that no reader makes floats of them."""
    data = Item.encode_all([Item(sku="é\u2028", price=Decimal("1.50"))])
    assert data == '{"sku":"é\u2028","unitPrice":"1.50","tags":[]}\n'.encode()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{",
        b'{"sku":"a"}',
        b'{"sku":"a","unitPrice":"1","x":1}',
        b'{"sku":1,"unitPrice":"1"}',
        b'{"sku":"a","unitPrice":"1","unitPrice":"2"}',
        b"\xff",
    ],
)
def test_a_line_that_is_no_record_is_an_error_with_its_number(line: bytes) -> None:
    """An empty, broken, incomplete or surplus line is named by its number."""
    with pytest.raises(FormatError, match=r"Item line 2 \(at byte 28, \d+ bytes\): .*0x"):
        list(Item.decode_all(b'{"sku":"a","unitPrice":"1"}\n' + line + b"\n"))


def test_a_record_takes_no_value_of_a_neighbouring_type() -> None:
    """True is no 1, a float is no Decimal and a misspelt field is no field: records are strict."""
    for wrong in ({"a": "x", "b": True}, {"a": "x", "b": "1"}, {"a": "x", "b": 1, "c": 2}):
        with pytest.raises(ValidationError):
            Pair(**wrong)
