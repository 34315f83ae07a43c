"""Dialects of delimited files: quotes, escapes, what stands for None, byte order marks; rows that are no records."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_sdk.errors import ConfigError
from adaptors.files import BadRecord, Delimited, FormatError, JsonLines


class Plain(Delimited, encoding="utf-8"):
    name: str
    note: str | None
    amount: Decimal | None


class Escaped(Plain, escape="\\", quoting="all", line_end="\n"):
    pass


class Unquoted(Plain, escape="\\", quoting="none", delimiter="|", line_end="\n", null="NULL"):
    pass


class TextQuoted(Plain, quoting="text", delimiter=";", decimal_point=",", header=False):
    pass


class Tabbed(Plain, delimiter="\t", quote="'", null="-", encoding="utf-16-le", bom=True, line_end="\r"):
    pass


class Separated(Plain, delimiter=" ", encoding="cp500", quoting="minimal"):
    """Spaces between the values, in EBCDIC."""


tricky = st.text("ab \"'\\|;,\t\r\n-NUL", max_size=8) | st.text(max_size=5)


@pytest.mark.parametrize("form", [Plain, Escaped, Unquoted, TextQuoted, Tabbed, Separated])
@given(
    rows=st.lists(st.tuples(tricky, st.none() | tricky, st.none() | st.decimals(-(10**6), 10**6, places=2)), max_size=3)
)
def test_in_every_dialect_a_row_is_refused_or_reads_back_as_written(form: type[Plain], rows: list[Any]) -> None:
    """Quotes, escapes, delimiters and line ends within values change none of them, and the bytes are stable."""
    records = [form(name=name, note=note, amount=amount) for name, note, amount in rows]
    try:
        data = form.encode_all(records)
    except FormatError as error:
        assert any(word in str(error) for word in ("control character", "read as None", "is not in cp500"))  # noqa: PT017
        return
    again = list(form.decode_all(data))
    assert again == records
    assert form.encode_all(again) == data


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Plain, 'name,note,amount\r\n"a""b, c",,-1.50\r\n'),
        (Escaped, '"name","note","amount"\n"a\\"b, c","","-1.50"\n'),
        (Unquoted, 'name|note|amount\na"b, c|NULL|-1.50\n'),
        (TextQuoted, '"a""b, c";;-1,50\r\n'),
        (Tabbed, '\ufeffname\tnote\tamount\ra"b, c\t-\t-1.50\r'),
    ],
)
def test_a_dialect_is_written_as_it_says(form: type[Plain], expected: str) -> None:
    """Each option of the class line shows in the bytes, and only there."""
    encoding = "utf-16-le" if form is Tabbed else "utf-8"
    data = form.encode_all([form(name='a"b, c', note=None, amount=Decimal("-1.50"))])
    assert data.decode(encoding) == expected


def test_a_text_that_would_be_read_as_none_is_refused() -> None:
    """An empty text and None look the same in a file, so the text is refused where None is allowed, and only there."""
    with pytest.raises(FormatError, match=r"record 2, field note \(column 2\): '' would be read as None; see null="):
        Plain.encode_all([Plain(name="", note="x", amount=None), Plain(name="", note="", amount=None)])
    with pytest.raises(FormatError, match="'NULL' would be read as None"):
        Unquoted.encode_all([Unquoted(name="NULL", note="NULL", amount=None)])


def test_a_bad_row_does_not_hide_its_neighbours() -> None:
    """Wrong columns, wrong types and foreign bytes cost one record; its bytes are kept as they came."""
    data = b'name,note,amount\r\na,b,1\r\n"two\r\nlines",x,one\r\nshort\r\n\xff,x,1\r\nz,,2\r\n'
    first, typed, short, foreign, last = Plain.decode_each(data)
    assert (first, last) == (
        Plain(name="a", note="b", amount=Decimal(1)),
        Plain(name="z", note=None, amount=Decimal(2)),
    )
    bad = [one for one in (typed, short, foreign) if isinstance(one, BadRecord)]
    assert [(one.number, one.raw) for one in bad] == [
        (2, b'"two\r\nlines",x,one\r\n'),
        (3, b"short\r\n"),
        (4, b"\xff,x,1\r\n"),
    ]
    assert [data[one.offset or 0 :][: len(one.raw)] for one in bad] == [one.raw for one in bad]
    assert [str(one.error).partition(": ")[0] for one in bad] == [
        "Plain record 2 (line 4, at byte 25), field amount (column 3)",
        "Plain record 3 (line 5, at byte 45) has 1 columns, and 3 are declared",
        "Plain record 4 (line 6, at byte 52), field name (column 1)",
    ]
    assert "0x6f6e65 (3 bytes)" in str(bad[0].error)
    assert "0xff (1 bytes) is not utf-8" in str(bad[2].error)


def test_the_place_of_a_bad_row_counts_the_byte_order_mark() -> None:
    """Offsets are those of the file, mark and wide characters included."""
    data = Tabbed.encode_all([Tabbed(name="ä", note="x", amount=None)]) + "b\tx\tone\r".encode("utf-16-le")
    good, bad = Tabbed.decode_each(data)
    assert isinstance(good, Tabbed)
    assert isinstance(bad, BadRecord)
    assert data[bad.offset or 0 :] == bad.raw == "b\tx\tone\r".encode("utf-16-le")


def test_a_quote_that_is_never_closed_ends_the_reading() -> None:
    """What comes after an open quote cannot be told apart, so nothing after it is guessed."""
    rows = Plain.decode_each(b'name,note,amount\r\na,b,1\r\n"open,x,1\r\nz,,2\r\n')
    assert isinstance(next(rows), Plain)
    with pytest.raises(FormatError, match="line 4: unexpected end of data"):
        next(rows)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"escape": '"'}, "delimiter, quote and escape are not different"),
        ({"escape": "\\\\"}, "the escape '.*' is not one character"),
        ({"null": '"'}, "null '\"' holds a delimiter, quote, escape or line end"),
        ({"encoding": "utf-16", "bom": True}, "bom=True needs an encoding of utf-8, utf-16-le"),
        ({"encoding": "ascii", "decimal_point": "'"}, "is neither"),
        ({"line_end": "\0"}, "line_end"),
    ],
)
def test_a_dialect_that_contradicts_itself_is_refused_when_the_class_is_made(
    options: dict[str, Any], reason: str
) -> None:
    """What could not be read back is a ConfigError, before any event arrives."""
    declare: Callable[..., object] = type
    with pytest.raises(ConfigError, match=reason):
        declare("R", (Plain,), {"__module__": __name__}, **options)


class Price(JsonLines):
    amount: Decimal


def test_a_number_in_json_keeps_every_digit_or_is_refused() -> None:
    """A parser that makes a float of each number would lose digits of these two in silence."""
    long = "12345678901234567890.123456789012345678"
    assert [price.amount for price in Price.decode_all(f'{{"amount":{long}}}\n'.encode())] == [Decimal(long)]

    class Rate(JsonLines):
        rate: float

    with pytest.raises(FormatError, match=f"rate: Input should be a valid number, got '{long}'"):
        list(Rate.decode_all(f'{{"rate":{long}}}'.encode()))


def test_a_name_that_stands_twice_in_json_is_refused() -> None:
    """Which of two values is meant is not known, and taking the last one is a guess."""
    (bad,) = Price.decode_each(b'{"amount":"1","amount":"2"}\n')
    assert isinstance(bad, BadRecord)
    assert "the name 'amount' stands twice in one object" in str(bad.error)
