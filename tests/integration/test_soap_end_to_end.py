"""Events through pipeline, ledger and runner into the sample ERP, counted in the ERP's own books."""

import errno
import re
import socket
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import Event, EventData, NotApplied, handles
from adapter_sdk.ledger.base import State
from adapter_sdk.testing import AdaptorHarness
from adaptors.soap import Reject, SoapAdaptor, SoapService
from samples.shop.erp.mischief import Mischief, Mode
from samples.shop.erp.server import ErpServer, running
from samples.shop.erp.soap import WSDL_FILE
from tests.services.waiting import wait_until
from tests.soap_peer import Peer, xml_message


class OrderPlaced(EventData, type="com.shop.order.placed"):
    order_id: str
    total: Decimal = Decimal("5.00")


class OrderBooked(EventData, type="com.erp.order.booked"):
    order_id: str
    erp_number: str


class Booking(SoapAdaptor):
    name = "booking"
    faults = {"{urn:erp}OrderRefused": Reject}
    queries = {"FindOrder"}

    @handles
    def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
        answer = erp.CreateOrder(OrderNo=event.data.order_id, Customer="ACME", Total=event.data.total)
        return OrderBooked(order_id=event.data.order_id, erp_number=answer.Number)


class Verifying(Booking):
    name = "verifying"

    @handles
    def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
        answer = erp.CreateOrder(OrderNo=event.data.order_id, Customer="ACME", Total=event.data.total)
        return OrderBooked(order_id=event.data.order_id, erp_number=answer.Number)

    @book.verify(settle=1)
    def was_booked(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked | NotApplied:
        found = erp.FindOrder(OrderNo=event.data.order_id)
        return OrderBooked(order_id=event.data.order_id, erp_number=found.Number) if found else NotApplied()


@pytest.fixture
def erp(tmp_path: Path) -> Iterator[ErpServer]:
    """A running ERP with empty books."""
    with running(tmp_path) as server:
        yield server


def _harness(adaptor: type[SoapAdaptor], erp: ErpServer, **values: Any) -> AdaptorHarness:
    soap = {"wsdl": WSDL_FILE, "port": "Soap12", "endpoint": erp.url, "timeout": 2, **values}
    # Attempts enough that no event meets the ERP's mischief with every one of them, whatever the order of the calls.
    return AdaptorHarness(adaptor, {"soap": soap, "retry": {"delays": [0.1] * 12}})


def _order(number: int, **data: Any) -> Event[OrderPlaced]:
    placed = OrderPlaced(order_id=f"A-{number}", **data)
    return Event(source="/shop", id=str(number), type="com.shop.order.placed", data=placed)


def _is_refused(erp: ErpServer) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", erp.port)) == errno.ECONNREFUSED


def _books(erp: ErpServer) -> Counter[str]:
    return Counter(order.order_no for order in erp.erp.books.all())


def test_an_order_is_booked_once_and_answered(erp: ErpServer) -> None:
    """An event and its duplicate become one order and one reply; the row keeps no doubt."""
    with _harness(Booking, erp) as shop:
        shop.publish(_order(1), _order(1))
        shop.wait_until_settled()
        replies = {reply.id: reply.data for reply in shop.replies(1)}
        entry = shop.entry(_order(1))
    assert _books(erp) == {"A-1": 1}
    assert [data.erp_number for data in replies.values()] == ["ERP-000001"]
    assert entry is not None
    assert entry.state is State.APPLIED


def test_a_refused_order_is_a_dead_letter_with_the_erps_words(erp: ErpServer) -> None:
    """A declared fault ends the event at once, with what the ERP said."""
    with _harness(Booking, erp) as shop:
        shop.publish(_order(1, total=Decimal("99999.00")))
        shop.wait_until_settled()
        entry = shop.entry(_order(1))
    assert entry is not None
    assert (entry.state, entry.reason, entry.attempts) == (State.DEAD, "reject", 1)
    assert "{urn:erp}OrderRefused: order refused" in (entry.error or "")


def test_what_was_said_in_a_failed_call_stays_with_the_event_without_its_secrets(erp: ErpServer) -> None:
    """Request and answer of a refusal are there byte for byte, but for what is named in `redact`, errors included."""
    with _harness(Booking, erp, redact=["{urn:erp}Customer", "{urn:erp}Reason"]) as shop:
        shop.publish(_order(1, total=Decimal("99999.00")), _order(2, total=Decimal("1.005")))
        shop.wait_until_settled()
        refused, invalid = shop.entry(_order(1)), shop.entry(_order(2))
    assert refused is not None
    assert invalid is not None
    said = (refused.evidence or {})["failed_call"]
    assert (said["operation"], said["status"], said["phase"]) == ("CreateOrder", 500, "parse")
    assert ":OrderNo>A-1</ns" in said["request"]
    assert ":Customer>***</ns" in said["request"]
    assert "<erp:Reason>***</erp:Reason><erp:CreditLimit>10000.00</erp:CreditLimit>" in said["answer"]
    assert "ACME" not in str(refused.evidence)
    assert "1.005" in str(invalid.error)


def test_a_value_that_is_never_shown_is_not_shown_by_the_schema_either(erp: ErpServer) -> None:
    """The error of an invalid request names the element, not its value."""
    with _harness(Booking, erp, redact=["{urn:erp}Total"]) as shop:
        shop.publish(_order(1, total=Decimal("1.005")))
        shop.wait_until_settled()
        entry = shop.entry(_order(1))
    assert entry is not None
    assert "Element '{urn:erp}Total': breaks its type; its value is not shown" in str(entry.error)
    assert "1.005" not in str(entry.error)


@pytest.mark.parametrize(("mode", "answer"), [(Mode.LOSE, ""), (Mode.GARBAGE, "<"), (Mode.TRUNCATE, "<?xml")])
def test_what_was_said_in_a_doubtful_call_stays_with_the_doubt(erp: ErpServer, mode: Mode, answer: str) -> None:
    """The request that left is there, and as much of an answer as came."""
    erp.erp.turns.set(Mischief(mode))
    with _harness(Booking, erp) as shop:
        shop.publish(_order(1))
        shop.wait_until_settled()
        entry = shop.entry(_order(1))
    assert entry is not None
    assert entry.state is State.IN_DOUBT
    said = (entry.evidence or {})["failed_call"]
    assert ":OrderNo>A-1</ns" in said["request"]
    assert said["answer"].startswith(answer)
    assert bool(said["answer"]) == bool(answer)


def test_no_secret_is_in_ledger_log_or_error(peer_of_echoes: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that throws all that it was sent into its fault gives nothing away, by value or by name."""
    secrets = {"password": "canary-1", "wss_password": "canary-2"}
    headers = {"http_headers": {"X-Key": "canary-3"}, "soap_headers": {"{urn:gate}Key": "canary-4"}}
    soap = {"wsdl": WSDL_FILE, "port": "Soap11", "endpoint": peer_of_echoes.url, "redact": ["{urn:erp}Customer"]}
    values = {**soap, **secrets, **headers, "username": "jo", "wss_username": "jo", "timeout": 2}
    with AdaptorHarness(Booking, {"soap": values}) as shop:
        shop.publish(_order(1))
        shop.wait_until_settled()
        entry = shop.entry(_order(1))
    said = peer_of_echoes.requests[0].decode()
    assert all(f"canary-{number}" in said for number in (2, 3, 4))
    assert entry is not None
    assert entry.state is State.IN_DOUBT
    evidence = entry.evidence or {}
    assert "***</wsse:Security>" in evidence["failed_call"]["request"]
    assert "***</wsse:Security>" in evidence["failed_call"]["answer"]
    captured = capsys.readouterr()
    for text in (repr(evidence), str(entry.error), captured.out, captured.err):
        assert "canary" not in text
        assert b64encode(b"jo:canary-1").decode() not in text
        assert "ACME" not in text


def _echo(connection: socket.socket, request: bytes) -> None:
    body = request.partition(b"\r\n\r\n")[2].partition(b"?>")[2]
    text = b"you said " + request.replace(b"&", b"&amp;").replace(b"<", b"&lt;")
    fault = b"<e:Fault><faultcode>e:Server</faultcode><faultstring>%s</faultstring><detail>%s</detail></e:Fault>"
    envelope = b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>%s</e:Body></e:Envelope>'
    connection.sendall(xml_message(envelope % (fault % (text, body)), "500 Internal Server Error"))


@pytest.fixture
def peer_of_echoes() -> Iterator[Peer]:
    """A server whose every answer is a fault with the whole request in it, as text and as XML."""
    with Peer(_echo) as peer:
        yield peer


class Repeatable(Booking):
    name = "repeatable"

    @handles(idempotent=True)
    def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
        return super().book(event, erp)


def test_a_request_that_is_sent_again_has_the_same_message_id_and_bytes() -> None:
    """What the server may have done already it can tell from what is new: the event decides, not the attempt."""
    answers = iter([b"", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"])
    done = "<Number>1</Number><BookedAt>2026-01-02T03:04:05Z</BookedAt>"
    body = f'<e:Body><CreateOrderResponse xmlns="urn:erp">{done}</CreateOrderResponse></e:Body>'
    envelope = f'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/">{body}</e:Envelope>'.encode()

    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(next(answers, xml_message(envelope)))

    with Peer(behave) as peer:
        soap = {"wsdl": WSDL_FILE, "port": "Soap11", "endpoint": peer.url, "message_id_header": True}
        with AdaptorHarness(Repeatable, {"soap": soap, "retry": {"delays": [0.1] * 5}}) as shop:
            shop.publish(_order(1))
            shop.wait_until_settled(30)
            shop.publish(_order(2))
            shop.wait_until_settled(30)
    bodies = [request.partition(b"\r\n\r\n")[2] for request in peer.requests]
    assert len(bodies) == 4
    assert bodies[0] == bodies[1] == bodies[2] != bodies[3]
    assert re.search(rb"<wsa:MessageID [^>]*>urn:uuid:[0-9a-f-]{36}</wsa:MessageID>", bodies[0])


def test_a_lost_answer_without_verify_is_set_aside_in_doubt(erp: ErpServer) -> None:
    """Nothing is guessed: the event waits for a person, and the order was not sent twice."""
    erp.erp.turns.set(Mischief(Mode.LOSE))
    with _harness(Booking, erp) as shop:
        shop.publish(_order(1))
        shop.wait_until_settled()
        entry = shop.entry(_order(1))
    assert entry is not None
    assert (entry.state, entry.due_at) == (State.IN_DOUBT, None)
    assert _books(erp) == {"A-1": 1}


@pytest.mark.parametrize("mode", [Mode.LOSE, Mode.DOWN, Mode.GARBAGE, Mode.ODD, Mode.TRUNCATE])
def test_verify_makes_every_order_booked_once(erp: ErpServer, mode: Mode) -> None:
    """Whatever goes wrong with every third call, each order is in the books once and has its reply."""
    erp.erp.turns.set(Mischief(mode, every=3))
    with _harness(Verifying, erp) as shop:
        shop.publish(*(_order(number) for number in range(12)))
        shop.wait_until_settled(60)
        replies = {reply.data.order_id: reply.data.erp_number for reply in shop.replies(12)}
    assert _books(erp) == {f"A-{number}": 1 for number in range(12)}
    assert replies == {order.order_no: order.number for order in erp.erp.books.all()}


def test_orders_wait_while_the_erp_is_away(erp: ErpServer) -> None:
    """Refused connections pause the consuming and cost no attempt; afterwards everything is booked once."""
    with _harness(Booking, erp) as shop:
        shop.publish(_order(0))
        shop.wait_until_settled()
        erp.close_for(0.5)
        wait_until(lambda: _is_refused(erp))
        shop.publish(*(_order(number) for number in range(1, 6)))
        shop.wait_until_settled(30)
        entries = [shop.entry(_order(number)) for number in range(6)]
    assert _books(erp) == {f"A-{number}": 1 for number in range(6)}
    assert {entry.attempts for entry in entries if entry} == {1}
