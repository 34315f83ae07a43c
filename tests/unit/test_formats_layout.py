"""Groups, tables and redefinitions of fixed-width records: where each field stands, and what is said if it does not."""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from adapter_sdk.errors import ConfigError
from adaptors.files import (
    BadRecord,
    Bytes,
    FixedWidth,
    FormatError,
    Group,
    Number,
    Occurs,
    Packed,
    Redefines,
    Text,
    Zoned,
)


class Line(Group):
    sku: Annotated[str, Text(4)]
    quantity: Annotated[int, Packed(3)]


class Head(Group):
    kind: Annotated[str, Text(1)]
    count: Annotated[int, Number(2)]


class Parcel(Group):
    weight: Annotated[Decimal, Packed(5, decimals=2)]
    filler: Annotated[bytes, Bytes(3)] = b"\x40" * 3


class Pallet(Group):
    licence: Annotated[str, Text(6)]


class Order(FixedWidth, encoding="cp037", prefix="rdw"):
    head: Head
    sizes: Annotated[list[Annotated[int, Zoned(2)]], Occurs(3)]
    detail: Annotated[Parcel | Pallet, Redefines("head.kind", {"P": Parcel, "L": Pallet, "M": Pallet})]
    lines: Annotated[tuple[Line, ...], Occurs(0, 4, depending_on="head.count")]
    tail: Annotated[str, Text(2)]


def order(kind: str = "P", *lines: Line, count: int | None = None, tail: str = "ZZ") -> Order:
    """An order of that kind, whose count is that of its lines unless it is said to be another."""
    detail = Parcel(weight=Decimal("1.25")) if kind == "P" else Pallet(licence="L-1")
    head = Head(kind=kind, count=len(lines) if count is None else count)
    return Order(head=head, sizes=[1, -2, 3], detail=detail, lines=lines, tail=tail)


lines = st.builds(Line, sku=st.text("ABC19", max_size=4), quantity=st.integers(-999, 999))
orders = st.lists(lines, max_size=4).flatmap(
    lambda found: st.builds(
        Order,
        head=st.builds(Head, kind=st.just("P"), count=st.just(len(found))),
        sizes=st.lists(st.integers(-99, 99), min_size=3, max_size=3),
        detail=st.builds(
            Parcel,
            weight=st.integers(-99999, 99999).map(lambda n: Decimal(n).scaleb(-2)),
            filler=st.binary(min_size=3, max_size=3),
        ),
        lines=st.just(tuple(found)),
        tail=st.text("XYZ", max_size=2),
    )
)


@given(st.lists(orders, max_size=3))
def test_nested_records_of_varying_length_read_back_as_written(records: list[Order]) -> None:
    """Groups, tables and redefinitions give back the records, and the same bytes when they are written again."""
    data = Order.encode_all(records)
    again = list(Order.decode_all(data))
    assert again == records
    assert Order.encode_all(again) == data


def test_what_follows_a_table_moves_up() -> None:
    """A record is as long as its items make it: the field behind the table stands right behind the last item."""
    data = Order.encode_all([order("L", Line(sku="A", quantity=5)), order("M")])
    first = "001b0000" + "d3f0f1" + "f0c1f0d2f0c3" + "d360f1404040" + "c1404040005c" + "e9e9"
    second = "00150000" + "d4f0f0" + "f0c1f0d2f0c3" + "d360f1404040" + "e9e9"
    assert data.hex() == first + second
    assert [len(record.lines) for record in Order.decode_all(data)] == [1, 0]


def test_a_table_without_count_holds_exactly_its_items() -> None:
    """Too few or too many items are refused: a table is never filled up or cut."""
    with pytest.raises(FormatError, match=r"field sizes \(offset 3, length 6\): 2 items, and the table holds 3"):
        Order.encode_all([order().model_copy(update={"sizes": [1, 2]})])


def test_a_count_that_does_not_agree_with_its_table_is_refused_before_anything_is_written() -> None:
    """DEPENDING ON names the count, and what it says is held against the number of items."""
    with pytest.raises(FormatError, match=r"field lines \(offset 15, length 24\): 1 items, and head.count says 2"):
        Order.encode_all([order("P", Line(sku="A", quantity=1), count=2)])


def test_the_layout_that_the_discriminator_names_is_the_only_one_taken() -> None:
    """A group that is not the one for the value of the field is refused, and so is a value without a layout."""
    wrong = order("P").model_copy(update={"detail": Pallet(licence="x")})
    with pytest.raises(FormatError, match=r"field detail .*: it is a Pallet, and head\.kind is 'P': Parcel"):
        Order.encode_all([wrong])
    with pytest.raises(FormatError, match=r"head\.kind is 'X', and there is a layout for 'P', 'L', 'M' only"):
        Order.encode_all([order("X")])


def test_a_group_of_equal_shape_is_read_as_the_one_that_the_discriminator_names() -> None:
    """Two layouts with the same fields are told apart by the discriminator, not by which of them happens to fit."""

    class Red(Group):
        value: Annotated[str, Text(1)]

    class Blue(Group):
        value: Annotated[str, Text(1)]

    class Flag(FixedWidth, encoding="ascii"):
        number: Annotated[int, Number(1)]
        colour: Annotated[Red | Blue, Redefines("number", {1: Red, 2: Blue})]

    assert [type(flag.colour) for flag in Flag.decode_all(b"1x2x")] == [Red, Blue]


def test_an_error_in_a_table_names_the_item_and_its_place_in_the_record() -> None:
    """Path, offset and length tell which bytes are meant, however deep they are nested; the hex shows them."""
    good, bad = Line(sku="A", quantity=1), Line(sku="B", quantity=1000)
    with pytest.raises(FormatError) as caught:
        Order.encode_all([order(), order("P", good, bad)])
    place = "Order record 2, field lines[1].quantity (offset 25, length 2)"
    assert str(caught.value) == f"{place}: 1000 does not fit: the field holds 3 digits"
    data = bytearray(Order.encode_all([order("P", good, good)]))
    data[4 + 25] = 0xFF
    with pytest.raises(
        FormatError, match=r"record 1 \(at byte 4\), field lines\[1\].quantity \(offset 25, length 2\): 0xff1c"
    ):
        list(Order.decode_all(bytes(data)))


def test_a_value_outside_its_facets_is_named_with_its_bytes() -> None:
    """What the layout allows and the model does not is an error with field, offset, length and hex, nested or not."""

    class Item(Group):
        code: Annotated[Literal["A", "B"], Text(1)]
        amount: Annotated[int, Number(2), Field(le=50)]

    class Either(Group):
        amount: Annotated[int, Number(2), Field(le=20)]

    class Basket(FixedWidth, encoding="ascii"):
        count: Annotated[int, Number(1)]
        items: Annotated[tuple[Item, ...], Occurs(0, 9, depending_on="count")]
        other: Annotated[Either, Redefines("count", {2: Either})]

    with pytest.raises(FormatError, match=r"field items\[1\].amount \(offset 5, length 2\): 0x3939: .* 50, got 99"):
        list(Basket.decode_all(b"2A01B9911"))
    with pytest.raises(
        FormatError, match=r"field items\[0\].code \(offset 1, length 1\): 0x58: .*'A' or 'B', got 'X'; items\[1\]"
    ):
        list(Basket.decode_all(b"2X01B9911"))
    with pytest.raises(FormatError, match=r"field other.amount \(offset 7, length 2\): 0x3231: .* 20, got 21"):
        list(Basket.decode_all(b"2A01B0221"))


def test_a_bad_record_does_not_hide_its_neighbours() -> None:
    """decode_each gives the good records, and of a bad one number, place, bytes and error; decode_all stops there."""
    data = bytearray(Order.encode_all([order(tail=tail) for tail in ("AA", "BB", "CC")]))
    data[21 + 4 + 1] = 0x41
    first, bad, last = Order.decode_each(bytes(data))
    assert isinstance(first, Order)
    assert isinstance(last, Order)
    assert (first.tail, last.tail) == ("AA", "CC")
    assert isinstance(bad, BadRecord)
    assert (bad.number, bad.offset, len(bad.raw)) == (2, 25, 17)
    assert "field head.count (offset 1, length 2): '" in str(bad.error)
    assert "0x41f0" in str(bad.error)
    with pytest.raises(FormatError, match="record 2"):
        list(Order.decode_all(bytes(data)))


def test_a_count_out_of_bounds_or_a_record_that_ends_too_soon_is_an_error() -> None:
    """What a received count says is held against the bounds, and against the bytes that are there."""
    raw = Order.encode_all([order("P", Line(sku="A", quantity=1))])[4:]
    five = b"\0\x1b\0\0" + raw[:1] + "05".encode("cp037") + raw[3:]
    with pytest.raises(FormatError, match=r"head\.count says 5 items, and the table holds 0 to 4"):
        list(Order.decode_all(five))
    two = b"\0\x1b\0\0" + raw[:1] + "02".encode("cp037") + raw[3:]
    with pytest.raises(
        FormatError,
        match=r"field lines\[1\].sku \(offset 21, length 4\): the record ends within the field, after 0xe9e9",
    ):
        list(Order.decode_all(two))
    none = b"\0\x1b\0\0" + raw[:1] + "00".encode("cp037") + raw[3:]
    with pytest.raises(FormatError, match="after the last field, at offset 17, stand 6 bytes: 0x"):
        list(Order.decode_all(none))


def test_records_whose_length_varies_need_nothing_between_them() -> None:
    """Without prefix and line end the count tells where the next record begins; a bad count ends the reading."""

    class Words(FixedWidth, encoding="ascii", line_end=b""):
        count: Annotated[int, Number(1)]
        words: Annotated[list[Annotated[str, Text(2)]], Occurs(0, 3, depending_on="count")]

    records = [Words(count=2, words=["ab", "cd"]), Words(count=0, words=[]), Words(count=1, words=["e"])]
    data = Words.encode_all(records)
    assert data == b"2abcd01e "
    assert list(Words.decode_all(data)) == records
    with pytest.raises(FormatError, match=r"the record at byte 5, field words .*: count says 9 items"):
        list(Words.decode_all(b"2abcd9ab"))


def test_an_optional_group_or_table_is_all_spaces() -> None:
    """None is written as spaces for the whole of it, and spaces are read as None."""

    class Maybe(FixedWidth, encoding="cp037"):
        line: Line | None
        sizes: Annotated[tuple[Annotated[int, Number(1)], ...], Occurs(2)] | None

    data = Maybe.encode_all([Maybe(line=None, sizes=None), Maybe(line=Line(sku="A", quantity=1), sizes=(1, 2))])
    assert data[:8] == b"\x40" * 8
    assert [(one.line is None, one.sizes) for one in Maybe.decode_all(data)] == [(True, None), (False, (1, 2))]


def test_a_table_may_depend_on_a_count_in_a_group_around_its_own() -> None:
    """The count is looked for in the group of the table first, then in those around it."""

    class Inner(Group):
        words: Annotated[list[Annotated[str, Text(1)]], Occurs(0, 3, depending_on="count")]

    class Outer(FixedWidth, encoding="ascii"):
        count: Annotated[int, Number(1)]
        twice: Annotated[tuple[Inner, ...], Occurs(2)]

    (record,) = Outer.decode_all(b"2abcd")
    assert [inner.words for inner in record.twice] == [["a", "b"], ["c", "d"]]
    assert Outer.encode_all([record]) == b"2abcd"


def _table_of_str() -> None:
    class R(FixedWidth, encoding="ascii"):
        a: Annotated[str, Occurs(2)]


def _count_that_comes_later() -> None:
    class R(FixedWidth, encoding="ascii"):
        a: Annotated[list[Line], Occurs(0, 2, depending_on="n")]
        n: Annotated[int, Number(1)]


def _count_that_is_text() -> None:
    class R(FixedWidth, encoding="ascii"):
        n: Annotated[str, Text(1)]
        a: Annotated[list[Line], Occurs(0, 2, depending_on="n")]


def _no_such_step() -> None:
    class R(FixedWidth, encoding="ascii"):
        head: Head
        a: Annotated[list[Line], Occurs(0, 2, depending_on="head.number")]


def _other_groups() -> None:
    class R(FixedWidth, encoding="ascii"):
        n: Annotated[str, Text(1)]
        a: Annotated[Line | Head, Redefines("n", {"L": Line})]


def _uneven_layouts() -> None:
    class R(FixedWidth, encoding="ascii"):
        n: Annotated[str, Text(1)]
        a: Annotated[Line | Head, Redefines("n", {"L": Line, "H": Head})]


def _optional_that_varies() -> None:
    class R(FixedWidth, encoding="ascii"):
        n: Annotated[int, Number(1)]
        a: Annotated[list[Line], Occurs(0, 2, depending_on="n")] | None


def _empty_group() -> None:
    class Empty(Group):
        pass

    class R(FixedWidth, encoding="ascii"):
        a: Empty


def _two_faults() -> None:
    class R(FixedWidth, encoding="ascii"):
        a: int
        b: Annotated[list[Annotated[str, Number(2)]], Occurs(2)]


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (_table_of_str, r"R\.a: a table is a tuple\[\.\.\., \.\.\.\] or a list"),
        (_count_that_comes_later, r"R\.a: there is no field n before it"),
        (_count_that_is_text, r"R\.a: depending_on names n, which is not declared int"),
        (_no_such_step, r"R\.a: there is no field head.number before it"),
        (_other_groups, r"R\.a: Redefines names the groups Line, and the field is declared"),
        (_uneven_layouts, "layouts of different lengths"),
        (_optional_that_varies, "its length varies, so it cannot be spaces for None"),
        (_empty_group, "the group Empty has no fields"),
        (_two_faults, r"R\.a: give it one kind.*\n.*R\.b: .* holds int or Decimal, and the field is declared str"),
        (lambda: Occurs(0), "at least 1 item"),
        (lambda: Occurs(1, 5), "a range and depending_on"),
        (lambda: Occurs(5, depending_on="n"), "a range and depending_on"),
    ],
)
def test_a_layout_that_cannot_work_is_refused_when_the_class_is_made(
    declare: Callable[[], object], reason: str
) -> None:
    """Wrong tables, counts and redefinitions are ConfigErrors with the field's name, all of a class at once."""
    with pytest.raises(ConfigError, match=reason):
        declare()
