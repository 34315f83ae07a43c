"""The handle that a file drop's handler is given."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import Field

from adaptors.files import Drop, FixedWidth, FormatError, Group, JsonLines, Number, Text, Totals, XmlRecord, Zoned


class PickLine(FixedWidth, encoding="cp037"):
    sku: Annotated[str, Text(3)]
    quantity: Annotated[int, Zoned(2)]


class Small(JsonLines):
    n: Annotated[int, Field(le=5)]


def test_records_are_kept_in_the_form_of_their_class() -> None:
    """What a handler writes is the whole file, from a generator as the design shows it."""
    drop = Drop()
    drop.write(PickLine(sku=sku, quantity=1) for sku in ("A", "B"))
    assert drop.content == bytes.fromhex("c14040f0c1c24040f0c1")


def test_a_single_record_is_a_file_of_one() -> None:
    """A record is not taken for an iterable of its own fields."""
    drop = Drop()
    drop.write(Small(n=1))
    assert drop.content == b'{"n":1}\n'


def test_text_and_bytes_are_kept_as_given() -> None:
    """Text needs its encoding said; bytes are the file."""
    text, raw = Drop(), Drop()
    text.write_text("Zürich\r\n", encoding="cp850")
    raw.write_bytes(b"")
    assert (text.content, raw.content) == (b"Z\x81rich\r\n", b"")


def test_an_untouched_drop_has_no_content() -> None:
    """A handler that writes nothing drops nothing, which is not the same as an empty file."""
    assert Drop().content is None


def test_a_second_write_is_an_error() -> None:
    """One file at a time: what a second write would do is not guessed."""
    drop = Drop()
    drop.write_bytes(b"one")
    with pytest.raises(FormatError, match="a drop takes one"):
        drop.write_bytes(b"two")
    assert drop.content == b"one"


def test_a_failed_write_keeps_nothing() -> None:
    """A record that does not fit leaves no half of a file behind."""
    drop = Drop()
    with pytest.raises(FormatError, match="record 2, field sku"):
        drop.write([PickLine(sku="A", quantity=1), PickLine(sku="ABCD", quantity=1)])
    assert drop.content is None


def test_a_record_that_its_model_refuses_is_a_format_error() -> None:
    """A value against the model, raised while the drop takes the records, can never be written: no retry will help."""

    def records() -> Iterator[Small]:
        yield Small(n=1)
        yield Small(n=6)

    with pytest.raises(FormatError, match=r"Small: n: .*less than or equal to 5, got 6"):
        Drop().write(records())


def test_no_records_and_no_records_at_all_are_errors() -> None:
    """An empty list has no form that it could be written in, and a string is not a record."""
    with pytest.raises(FormatError, match="no records to write"):
        Drop().write([])
    with pytest.raises(FormatError, match="for a str see write_bytes and write_text"):
        Drop().write("text")  # type: ignore[arg-type]


def test_text_outside_its_encoding_is_an_error() -> None:
    """No character is replaced."""
    with pytest.raises(FormatError, match="character 1 of the text, '€', is not in latin-1"):
        Drop().write_text("a€", encoding="latin-1")


class Head(FixedWidth, encoding="ascii", line_end=b"\n"):
    kind: Annotated[str, Text(1)] = "H"
    number: Annotated[int, Number(3)]


class Party(Group):
    account: Annotated[str, Text(6)]


class Payment(FixedWidth, encoding="ascii", line_end=b"\n"):
    kind: Annotated[str, Text(1)] = "D"
    party: Party
    amount: Annotated[Decimal, Number(5, decimals=2)]
    fee: Annotated[int | None, Number(1)] = None


class Tail(FixedWidth, encoding="ascii", line_end=b"\n"):
    kind: Annotated[str, Text(1)] = "T"
    count: Annotated[int, Number(3)]
    amount: Annotated[Decimal, Number(6, decimals=2)]
    accounts: Annotated[int, Number(4)]


def payments(*of: tuple[str, str]) -> list[Payment]:
    """Payments of these amounts to these accounts."""
    return [Payment(party=Party(account=account), amount=Decimal(amount)) for account, amount in of]


def tail(totals: Totals) -> Tail:
    """What the bank checks."""
    accounts = totals.hash_total("party.account", digits=4)
    return Tail(count=totals.count, amount=totals.sum("amount"), accounts=accounts)


def test_a_file_may_have_a_header_and_a_trailer_with_its_totals() -> None:
    """The trailer is made of the records as they were written; header and trailer are not counted."""
    drop = Drop(number=7)
    paid = payments(("CH9999", "1.25"), ("DE0002", "10.00"))
    drop.write((one for one in paid), header=Head(number=drop.number), trailer=tail)
    assert drop.content == b"H007\nDCH999900125 \nDDE000201000 \nT0020011250001\n"
    assert drop.records == 2


def test_a_file_of_no_records_may_have_a_header_and_a_trailer() -> None:
    """Nothing happened today, and the reader wants to be told: an empty day has sums of nought."""
    drop = Drop()
    drop.write([], header=Head(number=1), trailer=tail)
    assert (drop.content, drop.records) == (b"H001\nT0000000000000\n", 0)


def test_a_trailer_that_does_not_fit_leaves_nothing_behind() -> None:
    """A sum that outgrows its field is an error, as it is everywhere."""
    drop = Drop()
    with pytest.raises(FormatError, match="field amount"):
        drop.write(payments(*[("A", "999.99")] * 11), trailer=tail)
    assert drop.content is None


def test_a_format_that_is_a_whole_file_takes_no_header() -> None:
    """Two XML documents one after the other are none."""

    class Order(XmlRecord, root="Orders", record="Order"):
        number: str

    with pytest.raises(FormatError, match="header and trailer go with FixedWidth, Delimited, JsonLines; a Order"):
        Drop().write([Order(number="1")], header=Order(number="0"))


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda totals: totals.sum("party.account"), "party.account holds 'A'"),
        (lambda totals: totals.sum("total"), "Payment has no field total"),
        (lambda totals: totals.hash_total("party.total", 3), r"Payment has no field party\.total"),
    ],
)
def test_a_total_of_what_is_no_number_is_an_error(ask: Callable[[Totals], object], reason: str) -> None:
    """A control total that is wrong would be worse than none."""
    with pytest.raises(FormatError, match=reason):
        ask(Totals(payments(("A", "1.00"))))


def test_totals_are_exact_and_pass_over_what_is_not_there() -> None:
    """Sums of decimals have no rounding in them, and a None is nothing."""
    totals = Totals(payments(*[("A", "0.10")] * 30))
    assert (totals.sum("amount"), totals.sum("fee"), totals.count) == (Decimal("3.00"), Decimal(0), 30)


def test_a_drop_without_a_number_says_so() -> None:
    """In a unit test the number is given; in an adaptor the ledger has it."""
    with pytest.raises(FormatError, match="Drop\\(number=7\\)"):
        _ = Drop().number
