"""Typed services at work: models over HTTP and back, in both directions, behind a handler and by hand."""

import datetime as dt
import importlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapter_sdk.errors import ConfigError, InDoubt, InvalidData, PermanentError
from adapter_sdk.ledger.base import State
from adapter_sdk.testing import AdaptorHarness, event_of
from adaptors.soap import SoapSettings, UnknownOperation, connect, typed_view
from tests.wsdl import DEPOT, DEPOT_ADAPTOR, RPC, Peer, asking, echo, fault, importable, models_of, peer, write_models

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_SOLD_OUT = '<SoldOut xmlns="urn:depot"><Sku>AB-1234</Sku></SoldOut>'


@pytest.fixture
def depot() -> Iterator[Peer]:
    """A depot that answers with what it was asked for."""
    with peer() as running:
        yield running


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Any]:
    """The module made of the depot's WSDL."""
    with models_of(DEPOT, tmp_path) as module:
        yield module


@pytest.fixture
def service(depot: Peer, models: Any) -> Iterator[Any]:
    """The depot's typed service."""
    settings = SoapSettings(wsdl=DEPOT, port="Soap", endpoint=depot.url)
    with connect(settings, faults=models.FAULTS, queries=("Find-Lines",)) as untyped:
        yield typed_view(untyped, models.DepotService)


def _order(models: Any, **values: Any) -> Any:
    line = models.LineType(Sku="AB-1234", Quantity=2, no=1)
    given = {
        "order_no": "1",
        "class_": 1,
        "date": dt.date(2026, 1, 2),
        "Buyer": models.Person(Name="Ada", Born=dt.date(1815, 12, 10)),
        "Line": [line],
        "Paid": False,
        "Mode": "rail",
        "At": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        **values,
    }
    return models.OrderType(**given)


def _requested(depot: Peer, name: str) -> list[Any]:
    return list(depot.requests[-1].iter(f"{{urn:depot}}{name}"))


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Weight": 0.1, "Paid": True, "Label": b"\x00\xff", "Codes": (1, -2), "From": dt.time(1, 2)},
        {"Hint": ("a", None, "c")},
        {"class_": 2, "Mode": "air & sea"},
    ],
    ids=["little", "simple types", "nil in the middle", "enumerations"],
)
def test_what_is_sent_and_echoed_is_the_same_model(service: Any, models: Any, sent: dict[str, Any]) -> None:
    """A model that goes out and comes back is equal to itself, whatever it holds."""
    order = _order(models, **sent)
    answer = service.PlaceOrder(Order=order, from_="me")
    assert isinstance(answer, models.PlaceOrderResponse)
    assert answer.Order == order
    assert answer.from_ == "me"


def test_nested_and_recursive_types_come_back_as_they_were(service: Any, models: Any) -> None:
    """Lines within lines, a choice within them, and money with its currency."""
    part = models.LineType(Sku="AB-0002", Quantity=1, no=2, Batch=7, Unit="2-pack")
    price = models.Money(value=Decimal("1.50"), currency="EUR")
    line = models.LineType(Sku="AB-0001", Quantity=1, no=1, Price=price, Part=[part, part], Serial="S")
    assert service.Find_Lines(Line=[line, part]) == (line, part)
    assert service.Find_Lines() == ()


def test_a_derived_type_is_sent_with_its_type_and_read_by_it(depot: Peer, service: Any, models: Any) -> None:
    """What stands where an abstract type is declared says by xsi:type what it is, two levels deep."""
    address = models.AddressType(Street="Main", Country="AT", kind="kilo", default=True, attr__Street=5)
    buyer = models.Company(Name="ACME", Address=address, Parent=models.Person(Name="Ada", Born=None))
    answer = service.PlaceOrder(Order=_order(models, Buyer=buyer))
    assert answer.Order.Buyer == buyer
    (sent,) = _requested(depot, "Buyer")
    assert sent.get(f"{_XSI}type").endswith(":Company")
    (born,) = _requested(depot, "Born")
    assert born.get(f"{_XSI}nil") == "true"


def test_a_repeated_choice_keeps_its_order(depot: Peer, service: Any, models: Any) -> None:
    """Parts of different names that may follow one another in any order come back in that order."""
    line = models.LineType(Sku="AB-1234", Quantity=2, no=1)
    items = tuple(models.OrderTypeItem(**one) for one in ({"Text": "a"}, {"Line2": line}, {"Text": "b"}))
    assert service.PlaceOrder(Order=_order(models, items=items)).Order.items == items


def test_soap_headers_of_the_wsdl_are_models_too(depot: Peer, service: Any, models: Any) -> None:
    """A header that the WSDL declares is a keyword of the operation."""
    headers = models.Find_LinesHeaders(session=models.Session(Token="t-1"))
    service.Find_Lines(soap_headers=headers)
    (token,) = _requested(depot, "Token")
    assert token.text == "t-1"


def test_dicts_and_lists_do_as_well_as_models(service: Any, models: Any) -> None:
    """At run time plain values are taken where a type checker wants a model."""
    (line,) = service.Find_Lines(Line=[{"Sku": "AB-1234", "Quantity": 2, "no": 1}])
    assert line == models.LineType(Sku="AB-1234", Quantity=2, no=1)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"Line": [{"Sku": "ab", "Quantity": 1, "no": 1}]}, "Line.0.Sku: String should match pattern"),
        ({"Line": [{"Sku": "AB-1234", "no": 1}]}, "Line.0.Quantity: Field required"),
        ({"Line": [{"Sku": "AB-1234", "Quantity": 1.5, "no": 1}]}, "Line.0.Quantity: Input should be a valid int"),
        ({"Line": [{"Sku": "AB-1234", "Quantity": 1, "no": 1, "Color": "red"}]}, "Line.0.Color: Extra inputs"),
        ({"Lines": []}, "Lines: Extra inputs are not permitted"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_leaves(
    depot: Peer, service: Any, values: dict[str, Any], sentence: str
) -> None:
    """The error names field and rule, and not the value."""
    with pytest.raises(InvalidData, match=sentence) as caught:
        service.Find_Lines(**values)
    assert "nothing was sent" in str(caught.value)
    assert "ab" not in str(caught.value).replace("unable", "")
    assert depot.requests == []


def test_what_no_model_can_say_is_refused_by_the_schema(depot: Peer, service: Any, models: Any) -> None:
    """Both branches of a choice, or a bound of an int, are still held against the WSDL's schema."""
    line = models.LineType(Sku="AB-1234", Quantity=2**40, no=1)
    with pytest.raises(InvalidData, match="Quantity"):
        service.Find_Lines(Line=[line])
    with pytest.raises(PermanentError, match="keyword arguments only"):
        service.Find_Lines([line])
    assert depot.requests == []


def test_a_float_is_no_decimal(models: Any) -> None:
    """0.1 + 0.2 would be sent as 0.30000000000000004."""
    with pytest.raises(ValueError, match="instance of Decimal"):
        models.Money(value=0.3, currency="EUR")


def test_a_model_cannot_be_changed(models: Any) -> None:
    """Neither a field nor the list that it was made of."""
    lines = [models.LineType(Sku="AB-1234", Quantity=2, no=1)]
    order = _order(models, Line=lines)
    lines.clear()
    assert len(order.Line) == 1
    with pytest.raises(ValueError, match="frozen"):
        order.Paid = True


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("<Quantity>many</Quantity>", "not of the type"),
        ("<Quantity/>", "0.Quantity: Input should be a valid integer"),
        ("<Quantity>1</Quantity><Unit>stone</Unit>", "0.Unit: Input should be 'piece', 'kilo' or '2-pack'"),
    ],
)
def test_an_answer_that_breaks_its_type_is_in_doubt(depot: Peer, models: Any, answer: str, sentence: str) -> None:
    """The effect has happened and its answer cannot be read: that is for a person or for `verify`, with the field."""
    depot.answers = lambda _: (
        f'<FindLinesResponse xmlns="urn:depot"><Line no="1"><Sku>AB-1234</Sku>{answer}</Line></FindLinesResponse>'
    )
    settings = SoapSettings(wsdl=DEPOT, port="Soap", endpoint=depot.url)
    with connect(settings) as untyped, pytest.raises(InDoubt, match=sentence):
        typed_view(untyped, models.DepotService).Find_Lines()


def test_what_an_answer_leaves_out_is_not_made_up(depot: Peer, service: Any, models: Any) -> None:
    """An answer without the part that must be there is unreadable, and no model full of nothing."""
    depot.answers = lambda _: '<PlaceOrderResponse xmlns="urn:depot"/>'
    with pytest.raises(InDoubt, match="Order"):
        service.PlaceOrder(Order=_order(models))


def test_headers_of_an_answer_come_with_its_body(depot: Peer, tmp_path: Path) -> None:
    """Where the WSDL declares headers for an answer, it has them beside its body, or None if they were left out."""
    wsdl = tmp_path / "headers.wsdl"
    start = (text := DEPOT.read_text()).index('<operation name="Ping"><soap:operation')
    header = '<output><soap:header message="d:Session" part="session" use="literal"/>'
    wsdl.write_text(text[:start] + text[start:].replace("<output>", header, 1))
    settings = SoapSettings(wsdl=wsdl, port="Soap", endpoint=depot.url)
    depot.answers = lambda _: '<PingResponse xmlns="urn:depot"><Said><Word>hi</Word></Said></PingResponse>'
    with models_of(wsdl, tmp_path) as models, connect(settings) as untyped:
        ping = typed_view(untyped, models.DepotService).Ping
        answer = ping()
        assert (answer.header, answer.body.Said.Word) == (None, "hi")
        depot.header = '<Session xmlns="urn:depot"><Token>t</Token></Session>'
        assert ping().header.session == models.Session(Token="t")


def test_an_empty_element_is_empty_text_and_not_none(depot: Peer, service: Any, models: Any) -> None:
    """A text that must be there and is empty is "", as its annotation says."""
    order = _order(models, Buyer=models.Company(Name=""), Hint=("", None))
    answer = service.PlaceOrder(Order=order)
    assert answer.Order.Buyer == models.Company(Name="")


def test_the_default_of_an_attribute_has_its_type(depot: Peer, service: Any, models: Any) -> None:
    """An attribute that an answer leaves out has the default of the schema, as a bool and not as text."""
    depot.answers = lambda content: echo(content).replace('default="false" ', "").replace(' default="false"', "")
    buyer = models.Company(Name="A", Address=models.AddressType(Street="Main", Country="AT"))
    assert service.PlaceOrder(Order=_order(models, Buyer=buyer)).Order.Buyer.Address.default is False


def test_a_declared_fault_is_raised_as_its_class_with_a_typed_detail(depot: Peer, service: Any, models: Any) -> None:
    """The detail of a fault is a model, or the value of a simple type."""
    depot.answers = fault(_SOLD_OUT)
    with pytest.raises(models.SoldOutError) as sold_out:
        service.PlaceOrder(Order=_order(models))
    assert sold_out.value.detail == models.SoldOut(Sku="AB-1234")
    depot.answers = fault('<Closed xmlns="urn:depot">on Sundays</Closed>')
    with pytest.raises(models.ClosedError) as closed:
        service.PlaceOrder(Order=_order(models))
    assert closed.value.detail == "on Sundays"
    assert closed.value.code == "Server"


def test_a_fault_whose_detail_breaks_its_type_says_so(depot: Peer, service: Any, models: Any) -> None:
    """The refusal stands; who asks for the detail is told what is wrong with it."""
    depot.answers = fault('<SoldOut xmlns="urn:depot"><Sku>nonsense</Sku></SoldOut>')
    with pytest.raises(models.SoldOutError) as caught:
        service.PlaceOrder(Order=_order(models))
    with pytest.raises(PermanentError, match="does not fit SoldOutError: Sku: String should match"):
        _ = caught.value.detail


_KINDS = """<xs:sequence>
  <xs:element name="List" type="t:Inner" nillable="true" minOccurs="0" maxOccurs="unbounded"/>
  <xs:element name="Empty"><xs:complexType/></xs:element>
  <xs:element name="Lasts" type="xs:duration" minOccurs="0"/>
  <xs:element name="Year" type="xs:gYear" minOccurs="0"/>
  <xs:element name="Hex" type="xs:hexBinary" minOccurs="0"/>
  <xs:element name="Either" minOccurs="0"><xs:simpleType><xs:union memberTypes="xs:int xs:string"/></xs:simpleType>
  </xs:element>
  <xs:element name="Anything" type="xs:anyType" minOccurs="0"/>
  <xs:sequence minOccurs="0" maxOccurs="3">
    <xs:element name="Key" type="xs:string"/><xs:element name="Number" type="xs:int"/>
  </xs:sequence>
  <xs:any minOccurs="0" maxOccurs="unbounded" processContents="lax" namespace="##other"/>
</xs:sequence><xs:anyAttribute processContents="lax"/>"""
_INNER = (
    '<xs:complexType name="Inner"><xs:sequence><xs:element name="X" type="xs:string"/></xs:sequence></xs:complexType>'
)


@pytest.mark.parametrize(
    "values",
    [
        {"Lasts": dt.timedelta(hours=3), "Year": (2020, None), "Hex": "ff", "Either": "5", "Anything": "text"},
        {"items": ({"Key": "a", "Number": 1}, {"Key": "b", "Number": 2})},
        {"List": ({"X": "a"}, {"X": ""})},
        {"any_attributes": {"{urn:u}at": "x"}},
    ],
    ids=["simple types", "repeated sequence", "list", "any attribute"],
)
def test_what_else_a_schema_may_hold_comes_back_as_it_was(depot: Peer, tmp_path: Path, values: dict[str, Any]) -> None:
    """Durations, years, unions, repeated sequences, wildcards: in and out, they are the same."""
    wsdl = asking(tmp_path / "kinds.wsdl", _KINDS, _INNER)
    with models_of(wsdl, tmp_path) as models, connect(SoapSettings(wsdl=wsdl, endpoint=depot.url)) as untyped:
        answer = typed_view(untyped, models.SService).Ask(Empty={}, **values)
        assert answer == models.AskResponse(Empty=models.AskResponseEmpty(), **values)


def test_an_element_of_any_kind_is_sent_and_read_as_xml(depot: Peer, tmp_path: Path) -> None:
    """What stands for xsd:any is an element of lxml, and what comes before it is not mistaken for more."""
    wsdl = asking(tmp_path / "kinds.wsdl", _KINDS, _INNER)
    with models_of(wsdl, tmp_path) as models, connect(SoapSettings(wsdl=wsdl, endpoint=depot.url)) as untyped:
        given = {"items": ({"Key": "a", "Number": 1},), "any_elements": [etree.fromstring('<q xmlns="urn:q">1</q>')]}
        answer = typed_view(untyped, models.SService).Ask(Empty={}, **given)
        (element,) = answer.any_elements
        assert (element.tag, element.text) == ("{urn:q}q", "1")
        assert len(answer.items) == 1


def test_encoded_rpc_has_typed_parts_and_arrays(depot: Peer, tmp_path: Path) -> None:
    """Parts are parameters, arrays are sequences of models, and several parts of an answer are a model."""
    depot.answers = lambda _: (
        '<r:AddResponse xmlns:r="urn:rpc"><count>2</count><last><Sku>b</Sku><Note id="i1">hello</Note></last>'
        "</r:AddResponse>"
    )
    with models_of(RPC, tmp_path) as models, connect(SoapSettings(wsdl=RPC, endpoint=depot.url)) as untyped:
        rpc = typed_view(untyped, models.RpcService)
        answer = rpc.Add(lines=[models.Line(Sku="a"), models.Line(Sku="b", Note="n")], class_="x")
        assert answer == models.AddAnswer(count=2, last=models.Line(Sku="b", Note="hello"))
        assert [one.text for one in depot.requests[-1].iter("Sku")] == ["a", "b"]
        depot.answers = lambda _: '<r:SumResponse xmlns:r="urn:rpc"><sum>3</sum></r:SumResponse>'
        assert rpc.Sum(numbers=[1, 2]) == 3


def test_an_operation_that_was_not_named_is_missed_with_a_hint(depot: Peer, tmp_path: Path) -> None:
    """A module has the operations that it was made for; the error says how to have more."""
    settings = SoapSettings(wsdl=DEPOT, port="Soap", endpoint=depot.url)
    with models_of(DEPOT, tmp_path, "Ping") as models, connect(settings) as untyped:
        typed = typed_view(untyped, models.DepotService)
        assert typed.Ping() is None
        with pytest.raises(UnknownOperation, match="has no operation 'PlaceOrder'; name it when you run"):
            _ = typed.PlaceOrder


@pytest.fixture
def adaptor(tmp_path: Path) -> Iterator[Any]:
    """The module with the depot's adaptor, which handles events with the typed service."""
    write_models(DEPOT, tmp_path / "depot_models.py")
    (tmp_path / "depot_adaptor.py").write_text(DEPOT_ADAPTOR)
    with importable(tmp_path):
        yield importlib.import_module("depot_adaptor")


def _sections(depot: Peer) -> dict[str, dict[str, object]]:
    return {"soap": {"wsdl": str(DEPOT), "port": "Soap", "endpoint": depot.url, "timeout": 5}}


def test_a_handler_works_with_the_typed_service(depot: Peer, adaptor: Any) -> None:
    """An event becomes a typed request, its typed answer a reply, and a typed fault another."""
    with AdaptorHarness(adaptor.DepotAdaptor, _sections(depot)) as harness:
        harness.publish(event_of(adaptor.Placed(order_id="A-1", total=Decimal("9.90"))))
        (booked,) = harness.replies(1)
        depot.answers = fault(_SOLD_OUT)
        harness.publish(event_of(adaptor.Placed(order_id="A-2", total=Decimal(1))))
        _, no_more = harness.replies(2)
    assert booked.data == adaptor.Booked(order_id="A-1", weight=2.5)
    assert no_more.data == adaptor.NoMore(order_id="A-2", sku="AB-1234")


def test_verify_is_asked_with_the_typed_service(depot: Peer, adaptor: Any) -> None:
    """An unreadable answer leaves a doubt, which waits for `verify`."""
    depot.answers = lambda _: "<What/>"
    event = event_of(adaptor.Placed(order_id="A-1", total=Decimal(1)))
    with AdaptorHarness(adaptor.DepotAdaptor, _sections(depot)) as harness:
        harness.publish(event)
        harness.wait_for(event, State.IN_DOUBT)


def test_a_view_that_the_wsdl_has_outgrown_is_found_before_the_start(depot: Peer, adaptor: Any, tmp_path: Path) -> None:
    """`adaptor check` names each method of the Protocol that the WSDL has no operation for."""
    other = tmp_path / "other.wsdl"
    other.write_text(DEPOT.read_text().replace('operation name="Ping"', 'operation name="Pong"'))
    settings = SoapSettings(wsdl=other, port="Soap", endpoint=depot.url)
    family = adaptor.DepotAdaptor._family(settings)
    family.bind(adaptor.DepotAdaptor())
    assert family.check() == [f"DepotService: {other}: no operation 'Ping'; there is Pong"]


def test_an_unmarked_protocol_is_no_handle(adaptor: Any) -> None:
    """Only a Protocol made for it may stand where the family's handle does."""
    source = DEPOT_ADAPTOR.replace("depot: DepotService) -> Booked |", "depot: Wrong) -> Booked |")
    source = source.replace(
        "class DepotAdaptor", "from typing import Protocol\n\nclass Wrong(Protocol): ...\n\nclass D"
    )
    with pytest.raises(ConfigError, match="parameter 'depot' is annotated Wrong; this base gives a SoapService"):
        exec(compile(source, "wrong", "exec"), {"__name__": "wrong"})
