"""XML records."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from adapter_sdk.errors import ConfigError
from adaptors.files import Attribute, BadRecord, Content, FormatError, XmlRecord

SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="stock"><xs:complexType><xs:sequence>
    <xs:element name="item" maxOccurs="unbounded"><xs:complexType><xs:sequence>
      <xs:element name="sku"><xs:simpleType><xs:restriction base="xs:string"><xs:maxLength value="5"/>
      </xs:restriction></xs:simpleType></xs:element>
    </xs:sequence></xs:complexType></xs:element>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>"""


class Price(XmlRecord):
    currency: Annotated[str, Attribute()]
    amount: Annotated[Decimal, Content()]


class Line(XmlRecord):
    sku: Annotated[str, Attribute()]
    quantity: int
    price: Price | None = None


class Order(XmlRecord, root="order", xmlns="urn:x"):
    number: str
    day: date | None = None
    lines: list[Line] = Field(serialization_alias="line", default_factory=list)
    notes: Annotated[tuple[str, ...], Field(serialization_alias="note")] = ()


class Many(XmlRecord, root="orders", record="order", xmlns="urn:x", qualified=False, encoding="iso-8859-1"):
    number: str
    total: Annotated[Decimal, Attribute()] | None = None


lines = st.builds(
    Line,
    sku=st.text(),
    quantity=st.integers(),
    price=st.none() | st.builds(Price, currency=st.text(), amount=st.decimals(-(10**9), 10**9)),
)
orders = st.builds(
    Order,
    number=st.text(),
    day=st.none() | st.dates(),
    lines=st.lists(lines, max_size=2),
    notes=st.lists(st.text(), max_size=2).map(tuple),
)


@given(orders)
def test_a_document_reads_back_as_written_or_is_refused(order: Order) -> None:
    """Any text that XML allows survives, white space and markup included; the rest is refused, never dropped."""
    try:
        data = Order.encode_all([order])
    except FormatError:
        texts = [order.number, *order.notes, *(line.sku for line in order.lines)]
        texts += [line.price.currency for line in order.lines if line.price]
        assert not all(char.isprintable() for text in texts for char in text)
        return
    again = list(Order.decode_all(data))
    assert again == [order]
    assert Order.encode_all(again) == data


def test_fields_become_elements_attributes_and_content() -> None:
    """The shape of the document is that of the declaration, in its order, within its namespace; None is left out."""
    line = Line(sku="A&1", quantity=2, price=Price(currency="EUR", amount=Decimal("1.50")))
    assert Order.encode_all([Order(number="7", lines=[line], notes=("a", ""))]) == (
        b"<?xml version='1.0' encoding='UTF-8'?>\n"
        b'<order xmlns="urn:x"><number>7</number><line sku="A&amp;1"><quantity>2</quantity>'
        b'<price currency="EUR">1.50</price></line><note>a</note><note/></order>'
    )


def test_many_records_stand_within_one_root() -> None:
    """With `record` the root wraps one element per record; what the encoding lacks becomes a character reference."""
    records = [Many(number="1€"), Many(number="2", total=Decimal(3))]
    data = Many.encode_all(records)
    assert data == (
        b"<?xml version='1.0' encoding='iso-8859-1'?>\n"
        b'<n:orders xmlns:n="urn:x"><order><number>1&#8364;</number></order>'
        b'<order total="3"><number>2</number></order></n:orders>'
    )
    assert list(Many.decode_all(data)) == records
    assert list(Many.decode_all(Many.encode_all([]))) == []


@pytest.mark.parametrize("text", ["\x00", "a\x0b", "\ufffe", "\ud800"])
def test_a_character_that_xml_forbids_is_refused_with_its_field(text: str) -> None:
    """Illegal characters are an error that names record, field and character."""
    with pytest.raises(FormatError, match=r"Order record 1, field lines, field sku: .*U\+.* is not allowed in XML"):
        Order.encode_all([Order(number="1", lines=[Line(sku=text, quantity=1)])])


@pytest.mark.parametrize("count", [0, 2])
def test_a_document_that_is_one_record_takes_exactly_one(count: int) -> None:
    """Without `record` there is no place for none or for several."""
    with pytest.raises(FormatError, match="the document is one record"):
        Order.encode_all([Order(number="1")] * count)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<order xmlns='urn:x'><number>1</order>", "not well-formed"),
        ("<order><number>1</number></order>", "document element is order, and {urn:x}order is declared"),
        ("<order xmlns='urn:x'/>", "number: Field required"),
        ("<order xmlns='urn:x'><number>1</number><number>2</number></order>", "stands there again"),
        ("<order xmlns='urn:x'><number>1</number><extra/></order>", "has no place for {urn:x}extra"),
        ("<order xmlns='urn:x' a='1'><number>1</number></order>", "has no place for a"),
        ("<order xmlns='urn:x'>text<number>1</number></order>", "has no place for the text 'text'"),
        ("<order xmlns='urn:x'><number>1<b/></number></order>", "holds more than a single value"),
        ("<order xmlns='urn:x'><number>1</number><line sku='a'><quantity>x</quantity></line></order>", "got 'x'"),
        ("<order xmlns='urn:x'><number>1</number><day>20261120</day></order>", "got '20261120'"),
        ("<!DOCTYPE order><order xmlns='urn:x'><number>1</number></order>", "has a DTD, which is refused"),
    ],
)
def test_a_document_that_is_not_as_declared_is_an_error(body: str, reason: str) -> None:
    """Whatever the shape has no place for is an error that names element and line, never skipped."""
    with pytest.raises(FormatError) as caught:
        list(Order.decode_all(body.encode()))
    assert reason in str(caught.value)


def test_entities_are_neither_fetched_nor_expanded(tmp_path: Path) -> None:
    """External entities and entity bombs end in an error before they cost anything."""
    secret = tmp_path / "secret"
    secret.write_text("canary")
    external = (
        f"<!DOCTYPE order [<!ENTITY x SYSTEM '{secret.as_uri()}'>]><order xmlns='urn:x'><number>&x;</number></order>"
    )
    entities = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
    bomb = f"<!DOCTYPE order [<!ENTITY a0 'x'>{entities}]><order xmlns='urn:x' a='&a11;'><number>1</number></order>"
    for document in (external, bomb):
        with pytest.raises(FormatError) as caught:
            list(Order.decode_all(document.encode()))
        assert "canary" not in str(caught.value)


def test_white_space_around_numbers_and_hints_for_validators_mean_nothing() -> None:
    """An indented document with a schema location reads like a plain one, and text keeps its spaces."""
    document = b"""<order xmlns="urn:x" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
        xsi:schemaLocation="urn:x o.xsd">
        <!-- a comment --><number> 1 </number>
        <line sku="a"><quantity> 5 </quantity></line>
    </order>"""
    assert list(Order.decode_all(document)) == [Order(number=" 1 ", lines=[Line(sku="a", quantity=5)])]


def test_a_schema_is_held_in_both_directions(tmp_path: Path) -> None:
    """With `xsd` a file that breaks the schema is neither written nor read."""
    path = tmp_path / "stock.xsd"
    path.write_text(SCHEMA)

    class Stock(XmlRecord, root="stock", record="item", xsd=path):
        sku: str

    good = Stock.encode_all([Stock(sku="A-1")])
    assert [item.sku for item in Stock.decode_all(good)] == ["A-1"]
    with pytest.raises(FormatError, match=r"breaks its schema.*maximum length of '5'"):
        Stock.encode_all([Stock(sku="A-1-2-3")])
    with pytest.raises(FormatError, match=r"Stock record 1 \(line 2\) breaks its schema: line 2, /stock/item/sku: "):
        list(Stock.decode_all(good.replace(b"A-1", b"A-1-2-3")))


def test_what_breaks_a_schema_or_a_shape_costs_its_record_only(tmp_path: Path) -> None:
    """A schema's fault is that of the record that it stands in; one of the document itself ends the reading."""
    path = tmp_path / "stock.xsd"
    path.write_text(SCHEMA)

    class Stock(XmlRecord, root="stock", record="item", xsd=path):
        sku: str

    item = "<item><sku>{}</sku></item>"
    document = f"<stock>{item.format('A')}\n{item.format('TOO-LONG')}{item.format('B')}<item/></stock>"
    first, long, last, empty = Stock.decode_each(document.encode())
    assert (first, last) == (Stock(sku="A"), Stock(sku="B"))
    assert isinstance(long, BadRecord)
    assert isinstance(empty, BadRecord)
    assert (long.number, long.raw) == (2, item.format("TOO-LONG").encode())
    assert "Stock record 2 (line 2) breaks its schema: line 2, /stock/item[2]/sku: " in str(long.error)
    assert "/stock/item[4]: Element 'item': Missing child element(s)" in str(empty.error)
    with pytest.raises(FormatError, match=r"Stock breaks its schema: line 1, /stock: .*Missing child"):
        list(Stock.decode_each(b"<stock/>"))
    with pytest.raises(FormatError, match=r"Stock record 2 breaks its schema: /stock/item\[2\]/sku: "):
        Stock.encode_all([Stock(sku="A"), Stock(sku="TOO-LONG")])


def test_an_element_that_is_no_record_is_one_bad_record() -> None:
    """Elements of another name, or with a value of another type, are named; those beside them are read."""
    document = (
        b"<n:orders xmlns:n='urn:x'><order><number>1</number></order><x/><order total='a'><number>2</number></order>"
    )
    first, other, typed = Many.decode_each(document + b"</n:orders>")
    assert first == Many(number="1")
    assert isinstance(other, BadRecord)
    assert isinstance(typed, BadRecord)
    assert "x in place of order" in str(other.error)
    assert "Many record 3 (line 1): total: Input should be" in str(typed.error)


def test_a_part_cannot_be_a_file_of_its_own() -> None:
    """A class without a root can be nested only, and says so."""
    with pytest.raises(ConfigError, match="no root in its class line"):
        Line.encode_all([Line(sku="a", quantity=1)])


def _bad_name() -> None:
    class R(XmlRecord, root="no name"):
        a: str


def _bad_encoding() -> None:
    class R(XmlRecord, root="r", encoding="unicode"):
        a: str


def _bad_schema() -> None:
    class R(XmlRecord, root="r", xsd="missing.xsd"):
        a: str


def _mapping() -> None:
    class R(XmlRecord, root="r"):
        a: dict[str, str]


def _content_and_children() -> None:
    class R(XmlRecord, root="r"):
        a: Annotated[str, Content()]
        b: str


def _list_as_attribute() -> None:
    class R(XmlRecord, root="r"):
        a: Annotated[list[str], Attribute()]


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (_bad_name, "Invalid tag name 'no name'"),
        (_bad_encoding, "encoding 'unicode'"),
        (_bad_schema, r"missing\.xsd cannot be used"),
        (_mapping, r"R\.a: give it a single value"),
        (_content_and_children, "Content has no child elements"),
        (_list_as_attribute, "is a single value"),
    ],
)
def test_a_shape_that_cannot_work_is_refused_when_the_class_is_made(declare: Callable[[], None], reason: str) -> None:
    """A wrong name, encoding, schema or field type is a ConfigError, before any event arrives."""
    with pytest.raises(ConfigError, match=reason):
        declare()
