"""WSDLs for tests: a depot that has everything, a server that echoes, and modules made from WSDLs."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from lxml import etree

from adaptors.soap.wsdl.document import Wsdl
from adaptors.soap.wsdl.generate import generate
from tests.wsdl.web import serving

DEPOT = Path(__file__).with_name("depot.wsdl")
RPC = Path(__file__).with_name("rpc.wsdl")
_SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
_ENVELOPE = '<e:Envelope xmlns:e="{0}">{1}<e:Body>{2}</e:Body></e:Envelope>'


# A WSDL with one operation, Ask, whose request and answer hold the same.
_ASKING = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:t" targetNamespace="urn:t">
  <types><xs:schema targetNamespace="urn:t" elementFormDefault="qualified">{types}
    <xs:element name="Ask"><xs:complexType>{content}</xs:complexType></xs:element>
    <xs:element name="AskResponse"><xs:complexType>{content}</xs:complexType></xs:element>
  </xs:schema>{schemas}</types>
  <message name="In"><part name="p" element="t:Ask"/></message>
  <message name="Out"><part name="p" element="t:AskResponse"/></message>
  <portType name="P"><operation name="Ask"><input message="t:In"/><output message="t:Out"/></operation></portType>
  <binding name="B" type="t:P"><soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="Ask"><soap:operation soapAction=""/>
      <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation>
  </binding>
  <service name="S"><port name="Q" binding="t:B"><soap:address location="http://t.example/"/></port></service>
</definitions>"""


def asking(wsdl: Path, content: str, types: str = "", schemas: str = "") -> Path:
    """Write a WSDL whose operation Ask takes and answers `content`, the content of a complex type."""
    wsdl.write_text(_ASKING.format(content=content, types=types, schemas=schemas))
    return wsdl


# What an engineer writes against the module that is made of the depot's WSDL.
DEPOT_ADAPTOR = """
import datetime as dt
from decimal import Decimal

from adapter_sdk import Event, EventData, NotApplied, handles
from adaptors.soap import SoapAdaptor

from depot_models import FAULTS, Company, DepotService, LineType, Money, OrderType, OrderTypeItem, Person, SoldOutError


class Placed(EventData, type="shop.placed"):
    order_id: str
    total: Decimal


class Booked(EventData, type="depot.booked"):
    order_id: str
    weight: float


class NoMore(EventData, type="depot.no_more"):
    order_id: str
    sku: str


class DepotAdaptor(SoapAdaptor):
    name = "depot"
    faults = FAULTS
    queries = ("Find-Lines",)

    @handles
    def place(self, event: Event[Placed], depot: DepotService) -> Booked | NoMore:
        placed = event.data
        order = OrderType(
            order_no=placed.order_id,
            class_=1,
            date=dt.date(2026, 1, 2),
            Buyer=Company(Name="ACME", Parent=Person(Name="Ada", Born=None)),
            Line=[LineType(Sku="AB-1234", Quantity=2, no=1, Price=Money(value=placed.total, currency="EUR"))],
            Paid=True,
            Mode="air & sea",
            At=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
            Weight=2.5,
            items=[OrderTypeItem(Text="first"), OrderTypeItem(Text="second")],
        )
        try:
            answer = depot.PlaceOrder(Order=order)
        except SoldOutError as fault:
            return NoMore(order_id=placed.order_id, sku=fault.detail.Sku)
        assert answer.Order.Weight is not None
        return Booked(order_id=answer.Order.order_no, weight=answer.Order.Weight)

    @place.verify(settle=60)
    def was_placed(self, event: Event[Placed], depot: DepotService) -> Booked | NotApplied:
        found = depot.Find_Lines()
        return Booked(order_id=event.data.order_id, weight=1.0) if found else NotApplied()
"""


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Modules in `folder` can be imported, and are forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def write_models(wsdl: Path, target: Path, *operations: str) -> str:
    """Write the module that `adaptor wsdl models` makes, and return its text."""
    text = generate(Wsdl(wsdl), operations, None, None)
    target.write_text(text)
    return text


@contextmanager
def models_of(wsdl: Path, folder: Path, *operations: str) -> Iterator[Any]:
    """The module that `adaptor wsdl models` makes, imported."""
    write_models(wsdl, folder / f"{wsdl.stem}_models.py", *operations)
    with importable(folder):
        yield importlib.import_module(f"{wsdl.stem}_models")


class Peer:
    """A SOAP 1.1 server. `answers` makes the body of an answer of that of the request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[etree._Element] = []
        self.answers: Callable[[etree._Element], str] = echo
        self.header = ""


def echo(content: etree._Element) -> str:
    """The element of the request under the name of its answer."""
    content.tag = f"{content.tag}Response"
    return etree.tostring(content, encoding="unicode")


def fault(detail: str) -> Callable[[etree._Element], str]:
    """An answer that is a fault with this detail."""
    body = f"<e:Fault><faultcode>e:Server</faultcode><faultstring>no</faultstring><detail>{detail}</detail></e:Fault>"
    return lambda content: body


@contextmanager
def peer() -> Iterator[Peer]:
    """A running Peer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            root = etree.fromstring(self.rfile.read(int(self.headers["Content-Length"])))
            served.requests.append(root)
            (body,) = root.iterchildren(f"{{{_SOAP_11}}}Body")
            header = f"<e:Header>{served.header}</e:Header>" if served.header else ""
            content = _ENVELOPE.format(_SOAP_11, header, served.answers(body[0])).encode()
            self.send_response(500 if b"<e:Fault>" in content else 200)
            self.send_header("Content-Type", "text/xml; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with serving(Handler) as port:
        served = Peer(f"http://127.0.0.1:{port}/")
        yield served
