"""PHP's SoapServer as an independent peer: its own reading of SOAP 1.1 and 1.2, and its own habits with faults."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk.errors import InDoubt
from adaptors.soap import Reject, Retry, SoapService, SoapSettings, connect
from samples.shop.erp.soap import WSDL_FILE

_PHP = """<?php
class Erp {
    function CreateOrder($order) {
        switch ($order->OrderNo) {
            case "refused":
                $detail = new SoapVar(
                    '<erp:OrderRefused xmlns:erp="urn:erp"><erp:Reason>limit</erp:Reason>'
                    . '<erp:CreditLimit>100.00</erp:CreditLimit></erp:OrderRefused>', XSD_ANYXML);
                throw new SoapFault("Server", "order refused", null, $detail, "OrderRefused");
            case "busy": throw new SoapFault("Server.Busy", "the books are closed");
            case "server": throw new SoapFault("Server", "something went wrong");
            case "client": throw new SoapFault("Client", "no such customer");
            case "dies": http_response_code(500); exit();
        }
        return ["Number" => "PHP-" . $order->OrderNo . "-" . $order->Total, "BookedAt" => "2026-11-20T10:00:00Z"];
    }
    function FindOrder($order) {
        if ($order->OrderNo === "none") { return new stdClass(); }
        return ["Order" => ["Number" => "PHP-1", "Customer" => "Zoë & Söhne <GmbH>", "Total" => "1.50"]];
    }
}
$version = (int) getenv("SOAP_VERSION");
$server = new SoapServer(getenv("WSDL"), ["soap_version" => $version == 12 ? SOAP_1_2 : SOAP_1_1]);
$server->setClass("Erp");
$server->handle();
"""


@pytest.fixture(params=["Soap11", "Soap12"])
def php_erp(request: pytest.FixtureRequest, php_soap_server: Callable[..., str], tmp_path: Path) -> tuple[str, str]:
    """The port's name and the URL of the ERP's WSDL served by PHP, in SOAP 1.1 and in 1.2."""
    router = tmp_path / "erp.php"
    router.write_text(_PHP)
    # PHP takes one port of a WSDL, so that the other version's must not come first.
    wsdl = tmp_path / "erp.wsdl"
    other = {"Soap11": "12", "Soap12": "11"}[request.param]
    text = WSDL_FILE.read_text()
    start = text.index(f'<wsdl:port name="Soap{other}"')
    end = text.index("</wsdl:port>", start) + len("</wsdl:port>")
    wsdl.write_text(text[:start] + text[end:])
    return request.param, php_soap_server(router, SOAP_VERSION=request.param[-2:], WSDL=str(wsdl))


@contextmanager
def _erp(php_erp: tuple[str, str], **options: Any) -> Iterator[SoapService]:
    port, url = php_erp
    with connect(SoapSettings(wsdl=WSDL_FILE, port=port, endpoint=url, timeout=10), **options) as erp:
        yield erp


def _create(erp: SoapService, order_no: str) -> Any:
    return erp.CreateOrder(OrderNo=order_no, Customer="ACME", Total=Decimal("9.90"))


def test_php_understands_our_requests_and_we_its_answers(php_erp: tuple[str, str]) -> None:
    """A call, a lookup that finds, and one that finds nothing, with characters that need escaping."""
    with _erp(php_erp) as erp:
        assert _create(erp, "4711").Number == "PHP-4711-9.90"
        found = erp.FindOrder(OrderNo="1")
        assert (found.Number, found.Customer, found.Total) == ("PHP-1", "Zoë & Söhne <GmbH>", Decimal("1.50"))
        assert erp.FindOrder(OrderNo="none") is None


def test_a_declared_fault_of_php_has_its_typed_detail(php_erp: tuple[str, str]) -> None:
    """PHP sends business faults with code Server or Receiver: the detail's name says that it is a refusal."""
    with _erp(php_erp) as erp, pytest.raises(Reject) as caught:
        _create(erp, "refused")
    assert caught.value.fault is not None
    assert caught.value.fault.declared
    assert (caught.value.detail.Reason, caught.value.detail.CreditLimit) == ("limit", Decimal("100.00"))


def test_a_server_fault_of_php_is_in_doubt_until_it_is_mapped(php_erp: tuple[str, str]) -> None:
    """A bare Server fault proves nothing, although PHP puts an empty detail of the declared name into it."""
    with _erp(php_erp) as erp, pytest.raises(InDoubt, match="something went wrong"):
        _create(erp, "server")
    with _erp(php_erp, faults={"Server": Retry, "Receiver": Retry}) as erp, pytest.raises(Retry):
        _create(erp, "server")


def test_a_code_of_php_is_mapped_by_its_own_name(php_erp: tuple[str, str]) -> None:
    """The dotted code arrives whole, whatever prefix PHP gives it."""
    with _erp(php_erp, faults={"Server.Busy": Retry}) as erp, pytest.raises(Retry) as caught:
        _create(erp, "busy")
    assert caught.value.code == "Server.Busy"


def test_a_client_fault_of_php_is_a_refusal(php_erp: tuple[str, str]) -> None:
    """Client in 1.1 and Sender in 1.2 are the same verdict."""
    with _erp(php_erp) as erp, pytest.raises(Reject, match="no such customer"):
        _create(erp, "client")


def test_an_uncaught_error_in_php_is_in_doubt(php_erp: tuple[str, str]) -> None:
    """An HTTP 500 with an empty body says nothing about how far the server came."""
    with _erp(php_erp) as erp, pytest.raises(InDoubt, match="HTTP 500 and no fault"):
        _create(erp, "dies")
