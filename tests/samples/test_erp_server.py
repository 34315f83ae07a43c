"""The sample ERP: a program of its own, judged from outside by bare zeep and bare HTTP."""

import http.client
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import zeep
import zeep.exceptions

from samples.shop.erp.books import FILE_NAME
from samples.shop.erp.mischief import Mischief, Mode
from samples.shop.erp.server import ErpServer, running

_SOAP_11 = b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>%s</e:Body></e:Envelope>'


@pytest.fixture
def erp(tmp_path: Path) -> Iterator[ErpServer]:
    """A running ERP with empty books."""
    with running(tmp_path) as server:
        yield server


def _ask(url: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    connection.request(method, path, body)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def _control(url: str, **wanted: Any) -> tuple[int, Any]:
    status, body = _ask(url, "POST", "/control", json.dumps(wanted).encode())
    return status, json.loads(body)


def _client(erp: ErpServer, port: str = "Soap11") -> Any:
    return _foreign(erp.url, port)


def _foreign(url: str, port: str) -> Any:
    client: Any = zeep.Client  # it has no annotations
    return client(f"{url}?wsdl", port_name=port).service


@pytest.mark.parametrize("port", ["Soap11", "Soap12"])
def test_a_foreign_client_can_use_it_by_its_published_wsdl(erp: ErpServer, port: str) -> None:
    """zeep as it comes reads the WSDL from the server and books, finds and misses an order."""
    service = _client(erp, port)
    answer = service.CreateOrder(OrderNo="A-1", Customer="ACME", Total=Decimal("9.90"))
    assert answer.Number == "ERP-000001"
    assert service.FindOrder("A-1").Number == "ERP-000001"
    assert service.FindOrder("A-2") is None


@pytest.mark.parametrize(("port", "code"), [("Soap11", "soap:Server"), ("Soap12", "soap:Receiver")])
def test_an_order_above_the_limit_is_refused_with_the_declared_fault(erp: ErpServer, port: str, code: str) -> None:
    """The fault has code Server, as many servers have it, and the declared detail; nothing is booked."""
    with pytest.raises(zeep.exceptions.Fault) as caught:
        _client(erp, port).CreateOrder(OrderNo="A-1", Customer="ACME", Total=Decimal("10000.01"))
    assert caught.value.code == code
    assert caught.value.detail[0].tag == "{urn:erp}OrderRefused"
    assert erp.erp.books.all() == []


def test_one_order_number_can_be_booked_twice_and_an_outsider_can_count_it(erp: ErpServer, tmp_path: Path) -> None:
    """It does what old systems do, and its books tell."""
    service = _client(erp)
    for _ in range(2):
        service.CreateOrder(OrderNo="A-1", Customer="ACME", Total=Decimal("9.90"))
    rows = sqlite3.connect(tmp_path / FILE_NAME)
    assert rows.execute("SELECT COUNT(*) FROM orders WHERE order_no = 'A-1'").fetchone() == (2,)
    rows.close()
    assert [order["number"] for order in json.loads(_ask(erp.url, "GET", "/orders")[1])] == ["ERP-000001", "ERP-000002"]


@pytest.mark.parametrize(
    ("request_body", "says"),
    [
        (b"oops", b"not XML"),
        (b"<!DOCTYPE x><x/>", b"DOCTYPE"),
        (b"<x/>", b"VersionMismatch"),
        (b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>', b"Body"),
        (_SOAP_11 % b'<CreateOrder xmlns="urn:erp"><OrderNo/></CreateOrder>', b"not what the schema"),
        (
            _SOAP_11 % b'<OrderRefused xmlns="urn:erp"><Reason/><CreditLimit>1</CreditLimit></OrderRefused>',
            b"no operation OrderRefused",
        ),
    ],
)
def test_bad_requests_get_a_client_fault_and_book_nothing(erp: ErpServer, request_body: bytes, says: bytes) -> None:
    """Requests are validated by the WSDL's own schema."""
    status, body = _ask(erp.url, "POST", "/soap", request_body)
    assert status == 500
    assert says in body
    assert erp.erp.books.all() == []


@pytest.mark.parametrize(
    ("mode", "booked"),
    [
        (Mode.WELL, 1), (Mode.DOWN, 0), (Mode.SLOW, 1), (Mode.LOSE, 1), (Mode.GARBAGE, 1), (Mode.REDIRECT, 0),
        (Mode.ODD, 1), (Mode.TRUNCATE, 1), (Mode.DRIP, 1),
    ],
)  # fmt: skip
def test_each_mischief_acts_or_does_not_act_as_it_says(erp: ErpServer, mode: Mode, booked: int) -> None:
    """What the caller sees and what is in the books differ in the way that the mode promises."""
    service = _client(erp)
    assert _control(erp.url, mode=mode, seconds=0.0005)[0] == 200
    if mode in (Mode.WELL, Mode.SLOW, Mode.DRIP):
        service.CreateOrder(OrderNo="A-1", Customer="ACME", Total=Decimal("9.90"))
    elif mode is Mode.REDIRECT:
        assert _ask(erp.url, "POST", "/soap", b"x")[0] == 302
    else:
        with pytest.raises(Exception, match=r".*"):
            service.CreateOrder(OrderNo="A-1", Customer="ACME", Total=Decimal("9.90"))
    assert len(erp.erp.books.all()) == booked


def test_mischief_can_hit_one_call_in_n(erp: ErpServer) -> None:
    """`every` counts calls from when it was set."""
    _control(erp.url, mode="down", every=3, retry_after=4)
    assert [_ask(erp.url, "POST", "/soap", b"x")[0] for _ in range(6)] == [500, 500, 503, 500, 500, 503]


def test_the_port_can_be_closed_for_a_while(erp: ErpServer) -> None:
    """Closed means that connections are refused; afterwards the same port answers again."""
    _control(erp.url, mode="closed", seconds=0.3)
    seen: set[str | int] = set()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and seen != {"refused", 404}:
        try:
            answer = _ask(erp.url, "GET", "/nothing")[0]
        except ConnectionRefusedError:
            seen.add("refused")
        except ConnectionError:
            pass  # it was waiting in line when the port closed
        else:
            seen |= {answer} if "refused" in seen else set()
        time.sleep(0.02)
    assert seen == {"refused", 404}


@pytest.mark.parametrize(
    "wanted", [{"mode": "evil"}, {"mood": "bad"}, {"every": 0}, {"seconds": -1}, {"seconds": "long"}]
)
def test_wrong_wishes_are_refused(erp: ErpServer, wanted: dict[str, Any]) -> None:
    """The control door says what is wrong and changes nothing."""
    status, answer = _control(erp.url, **wanted)
    assert status == 400
    assert answer["error"]
    assert erp.erp.turns.mischief == Mischief()


def test_it_runs_as_a_program_of_its_own(tmp_path: Path) -> None:
    """It says where it is in one line of JSON, books, and ends on SIGTERM with its books in the folder."""
    command = [sys.executable, "-m", "samples.shop.erp.server", "--data", str(tmp_path), "--credit-limit", "5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(30, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        service = _foreign(url, "Soap12")
        assert service.CreateOrder(OrderNo="A-1", Customer="ACME", Total=Decimal(5)).Number == "ERP-000001"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert (tmp_path / FILE_NAME).exists()
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def test_it_knows_nothing_of_the_toolkit() -> None:
    """The legacy system imports neither the toolkit nor a family, nor zeep."""
    code = "import sys, samples.shop.erp.server; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(found.stdout.split())
    assert "samples.shop.erp.server" in modules
    assert modules.isdisjoint({"adapter_sdk", "adaptors", "zeep"})
