"""Typed services before PHP's SoapServer, which reads the WSDL and both messages with its own eyes."""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adaptors.soap import SoapSettings, connect, typed_view
from tests.wsdl import DEPOT, models_of

_PHP = """<?php
class Depot {
    function __call($operation, $arguments) { return $arguments[0]; }
}
$server = new SoapServer(getenv("WSDL"), ["soap_version" => SOAP_1_1]);
$server->setObject(new Depot());
$server->handle();
"""


@pytest.fixture
def depot(php_soap_server: Callable[..., str], tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """The module of the depot's models, and its typed service, which answers with what PHP has understood."""
    (tmp_path / "depot.php").write_text(_PHP)
    wsdl = tmp_path / "depot.wsdl"
    # PHP takes one port of a WSDL.
    wsdl.write_text(re.sub(r'<port name="(Soap12|Get)".*?</port>', "", DEPOT.read_text()))
    url = php_soap_server(tmp_path / "depot.php", WSDL=str(wsdl))
    settings = SoapSettings(wsdl=DEPOT, port="Soap", endpoint=url, timeout=10)
    with models_of(DEPOT, tmp_path) as models, connect(settings) as untyped:
        yield models, typed_view(untyped, models.DepotService)


def test_php_understands_models_and_sends_them_back(depot: tuple[Any, Any]) -> None:
    """Nested and repeated elements, attributes, a decimal with a currency: what PHP has read is what was said."""
    models, service = depot
    part = models.LineType(Sku="AB-0002", Quantity=1, no=2, Unit="2-pack")
    price = models.Money(value=Decimal("1.50"), currency="EUR")
    line = models.LineType(Sku="AB-0001", Quantity=1, no=1, Price=price, Part=[part, part], Serial="Zoë & <Söhne>")
    assert service.Find_Lines(Line=[line, part]) == (line, part)


def test_php_understands_simple_types(depot: tuple[Any, Any]) -> None:
    """Dates, times, booleans, doubles, bytes, lists and enumerations survive PHP's reading and writing of them."""
    models, service = depot
    order = models.OrderType(
        order_no="1",
        class_=2,
        date=dt.date(2026, 1, 2),
        Buyer=models.Company(Name="ACME", VatId="DE1"),
        Line=[models.LineType(Sku="AB-0001", Quantity=1, no=1)],
        Paid=True,
        Weight=2.5,
        Label=b"\x00\xff",
        Codes=[1, 2],
        Mode="air & sea",
        At=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        From=dt.time(1, 2),
    )
    answer = service.PlaceOrder(Order=order, from_="me")
    assert answer.from_ == "me"
    # PHP forgets which derived type it was given.
    assert type(answer.Order.Buyer) is models.Party
    assert answer.Order.Buyer.Name == "ACME"
    assert answer.Order.model_copy(update={"Buyer": order.Buyer}) == order
