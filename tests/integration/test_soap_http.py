"""One call against a server that misbehaves in each way that is known, on real sockets."""

import gzip
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk.errors import AdaptorError, BackendUnavailable, ConfigError, InDoubt, Refused, TransientError
from adaptors.soap import Reject, SoapService, SoapSettings, connect
from adaptors.soap.http import HttpEndpoint
from adaptors.soap.record import CallRecord
from adaptors.soap.tls import tls_of
from samples.shop.erp.soap import WSDL_FILE
from tests.services.waiting import wait_until
from tests.soap_peer import Behave, Peer, http_message, say, xml_message

_ENVELOPE = '<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{}</e:Body></e:Envelope>'
_ANSWER = _ENVELOPE.format(
    '<CreateOrderResponse xmlns="urn:erp"><Number>17</Number><BookedAt>2026-11-20T10:00:00Z</BookedAt>'
    "</CreateOrderResponse>"
).encode()
_FAULT = _ENVELOPE.format(
    "<e:Fault><faultcode>e:{}</faultcode><faultstring>no</faultstring><detail>{}</detail></e:Fault>"
)


@contextmanager
def _erp(url: str, **values: Any) -> Iterator[SoapService]:
    given = {"wsdl": WSDL_FILE, "port": "Soap11", "endpoint": url, "timeout": 2.0, **values}
    with connect(SoapSettings.model_validate(given)) as erp:
        yield erp


def _order(erp: SoapService) -> Any:
    return erp.CreateOrder(OrderNo="1", Customer="ACME", Total=5)


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Start a Peer; it is closed when the test ends."""
    peers: list[Peer] = []

    def start(behave: Behave, **options: Any) -> Peer:
        peers.append(Peer(behave, **options))
        return peers[-1]

    yield start
    for each in peers:
        each.close()


def _outcome(url: str, **values: Any) -> AdaptorError:
    with _erp(url, **values) as erp, pytest.raises(AdaptorError) as caught:
        _order(erp)
    return caught.value


def _reset(connection: socket.socket, _: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def _silence(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)  # until the client hangs up


def _drip(message: bytes) -> Behave:
    def behave(connection: socket.socket, _: bytes) -> None:
        for number in range(len(message)):
            connection.sendall(message[number : number + 1])
            time.sleep(0.05)

    return behave


_TRICKLE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 500


@pytest.mark.parametrize(
    ("behave", "kind", "says"),
    [
        (say(b""), InDoubt, "hung up without an answer"),
        (_reset, InDoubt, "reset"),
        (say(http_message("200 OK", _ANSWER[:90], length=len(_ANSWER))), InDoubt, "breaks off"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Le"), InDoubt, "breaks off"),
        (say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc"), InDoubt, "breaks off"),
        (say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), InDoubt, "size of a chunk"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nabcde"), InDoubt, "Content-Length"),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabcde"), InDoubt, "Content-Length"),
        (say(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), InDoubt, "no colon"),
        (say(b"x" * 100_000), InDoubt, "not HTTP"),
        (say(b"SSH-2.0-OpenSSH_9.2\r\n"), InDoubt, "not HTTP"),
        (say(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), InDoubt, "not HTTP"),
        (say(http_message("302 Found", b"", "Location: /page")), InDoubt, "endpoint"),
        (say(http_message("307 Temporary Redirect", b"", "Location: https://erp/")), Refused, "moved"),
        (say(http_message("401 Unauthorized", b"<html/>", "WWW-Authenticate: Basic")), Refused, "password"),
        (say(http_message("404 Not Found", b"<html/>", "Content-Type: text/html")), Refused, "path"),
        (say(http_message("429 Too Many Requests", b"", "Retry-After: 5")), TransientError, "wait 5 s"),
        (say(http_message("502 Bad Gateway", b"<html/>")), InDoubt, "HTTP 502"),
        (say(http_message("503 Service Unavailable")), InDoubt, "HTTP 503"),
        (say(http_message("503 Service Unavailable", b"", "Retry-After: 9")), BackendUnavailable, "wait 9 s"),
        (say(http_message("503 X", b"", "Retry-After: Fri, 20 Nov 1998 10:00:00 GMT")), BackendUnavailable, "wait 0 s"),
        (say(http_message("503 X", b"", "Retry-After: soon")), InDoubt, "HTTP 503"),
        (say(http_message("504 Gateway Timeout")), InDoubt, "HTTP 504"),
        (say(http_message("500 Internal Server Error")), InDoubt, "empty"),
        (say(xml_message(_ANSWER, "500 Internal Server Error")), InDoubt, "normal answer"),
        (say(http_message("200 OK")), InDoubt, "empty"),
        (say(http_message("204 No Content")), InDoubt, "empty"),
        (say(xml_message(b"<html><body/></html>")), InDoubt, "no SOAP envelope"),
        (say(xml_message(_ENVELOPE.format("").encode())), InDoubt, "cannot be read"),
        (say(xml_message(_ANSWER.replace(b"Number>", b"Nummer>"))), InDoubt, "WSDL's types"),
        (say(xml_message(_ANSWER.replace(b"2026-11-20T10:00:00Z", b"soon"))), InDoubt, "not of the type"),
        (say(xml_message(_ANSWER.replace(b"</CreateOrderR", b"<Extra/></CreateOrderR"))), InDoubt, "Extra"),
        (say(xml_message(b"<!DOCTYPE x>" + _ANSWER.partition(b"?>")[2])), InDoubt, "DOCTYPE"),
        (say(http_message("200 OK", b"--x", "Content-Type: multipart/related; boundary=x")), InDoubt, "multipart"),
        (say(http_message("200 OK", _ANSWER, "Content-Encoding: br")), InDoubt, "encoded as br"),
        (say(http_message("200 OK", _ANSWER, "Content-Encoding: gzip")), InDoubt, "decompressed"),
        (say(http_message("200 OK", gzip.compress(_ANSWER)[:-20], "Content-Encoding: gzip")), InDoubt, "breaks off"),
        (say(xml_message(_FAULT.format("Client", "").encode(), "500 X")), Reject, "fault Client"),
        (say(xml_message(_FAULT.format("Client", "").encode())), Reject, "fault Client"),
        (say(xml_message(_FAULT.format("Server", "").encode(), "500 X")), InDoubt, "fault Server"),
        (say(xml_message(_FAULT.format("Server", "<x/>").encode(), "500 X")), InDoubt, "fault Server x"),
    ],
)  # fmt: skip
def test_each_misbehaviour_has_one_outcome(
    peer: Callable[..., Peer], behave: Behave, kind: type[AdaptorError], says: str
) -> None:
    """What a real server does on the wire comes out as the row of the table that stands for it."""
    error = _outcome(peer(behave).url)
    assert isinstance(error, kind)
    assert says in str(error)


@pytest.mark.parametrize(
    "behave",
    [
        _silence,
        _drip(xml_message(_ANSWER)),
        _drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 90),
        say(_TRICKLE),
        _drip(_TRICKLE),
    ],
    ids=["silence", "body byte by byte", "headers byte by byte", "chunks without an end", "chunks byte by byte"],
)
def test_one_deadline_holds_for_the_whole_call(peer: Callable[..., Peer], behave: Behave) -> None:
    """A server that keeps sending a little cannot hold a call: the limit is for all of it, not for each read."""
    started = time.monotonic()
    error = _outcome(peer(behave).url, timeout=0.4)
    assert isinstance(error, InDoubt)
    assert time.monotonic() - started < 15


def test_a_server_that_reads_nothing_cannot_hold_a_call() -> None:
    """Sending is under the same deadline as reading."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/soap"
        started = time.monotonic()
        with _erp(url, timeout=0.4, validate_requests=False) as erp, pytest.raises(InDoubt, match="phase send"):
            erp.CreateOrder(OrderNo="1" * 20_000_000, Customer="ACME", Total=5)
        assert time.monotonic() - started < 15


def test_a_refused_connection_is_not_sent() -> None:
    """Nobody listens: nothing was sent, and waiting costs no attempt."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = _outcome(f"http://127.0.0.1:{port}/soap")
    assert isinstance(error, BackendUnavailable)
    assert "not sent: [Errno 111] Connection refused" in str(error)


def test_an_unknown_host_is_not_sent() -> None:
    """A name that leads nowhere is an unreachable backend, by `probe` as by a call."""
    assert isinstance(_outcome("http://erp.invalid/soap"), BackendUnavailable)
    settings = SoapSettings(wsdl=WSDL_FILE)
    with pytest.raises(BackendUnavailable, match="cannot connect"):
        HttpEndpoint("http://erp.invalid/soap", settings, tls_of(settings)).probe()


def test_connecting_has_a_limit_of_its_own() -> None:
    """A full backlog, like a packet filter that drops, is given up after `connect_timeout`: nothing was sent."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        started = time.monotonic()
        error = _outcome(f"http://127.0.0.1:{listener.getsockname()[1]}/soap", connect_timeout=0.3, timeout=20)
        assert isinstance(error, BackendUnavailable)
        assert time.monotonic() - started < 15


def test_an_answer_above_the_limit_is_in_doubt_and_is_not_read_to_its_end(peer: Callable[..., Peer]) -> None:
    """The limit holds while reading: an endless answer ends at the limit, not at the deadline."""

    def flood(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 65_536)

    started = time.monotonic()
    error = _outcome(peer(flood).url, max_response_bytes=1_000_000, timeout=20)
    assert isinstance(error, InDoubt)
    assert "larger than `max_response_bytes` = 1000000" in str(error)
    assert time.monotonic() - started < 15


def test_a_compressed_bomb_is_stopped_at_the_limit(peer: Callable[..., Peer]) -> None:
    """The limit is of what comes out of the decompression."""
    bomb = gzip.compress(b" " * 50_000_000)
    error = _outcome(peer(say(http_message("200 OK", bomb, "Content-Encoding: gzip"))).url, max_response_bytes=100_000)
    assert "larger than `max_response_bytes`" in str(error)


@pytest.mark.parametrize(
    "message",
    [
        xml_message(_ANSWER),
        http_message("200 OK", gzip.compress(_ANSWER), "Content-Encoding: gzip"),
        b"HTTP/1.0 200 OK\r\n\r\n" + _ANSWER,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(_ANSWER), _ANSWER),
        b"HTTP/1.1 100 Continue\r\n\r\n" + xml_message(_ANSWER),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + xml_message(_ANSWER),
        b"HTTP/1.1 200 OK\nContent-Type: text/xml;\n charset=utf-8\nContent-Length: %d\n\n%s" % (len(_ANSWER), _ANSWER),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;x=y\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n"
        % (len(_ANSWER), _ANSWER),
        xml_message(_ANSWER.replace(b"schemas.xmlsoap.org/soap/envelope/", b"www.w3.org/2003/05/soap-envelope")),
        xml_message(_ANSWER, "202 Accepted"),
    ],
    ids=[
        "plain",
        "gzip",
        "HTTP/1.0",
        "chunked",
        "continue",
        "early hints",
        "bare line feeds",
        "trailer",
        "SOAP 1.2 envelope",
        "202",
    ],
)
def test_every_legal_form_of_an_answer_is_read(peer: Callable[..., Peer], message: bytes) -> None:
    """A good answer is not put in doubt for its wrapping."""
    with _erp(peer(say(message)).url) as erp:
        assert _order(erp).Number == "17"


def test_an_early_refusal_is_read_although_sending_broke(peer: Callable[..., Peer]) -> None:
    """A server that turns a large request away before it has read it is heard."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(http_message("413 Content Too Large"))
            connection.shutdown(socket.SHUT_WR)
            with suppress(OSError):
                while connection.recv(1_000_000):
                    pass
            connection.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/soap"
        with _erp(url, validate_requests=False) as erp, pytest.raises(Refused, match="HTTP 413"):
            erp.CreateOrder(OrderNo="1" * 3_000_000, Customer="ACME", Total=5)
        thread.join()


def test_what_goes_out_is_what_a_server_expects(peer: Callable[..., Peer]) -> None:
    """Action, content type, no compression, basic authentication and the configured headers are on the wire."""
    server = peer(say(xml_message(_ANSWER)))
    with _erp(server.url, username="jo", password="pässword", http_headers={"X-Key": "k"}) as erp:
        _order(erp)
    head = server.requests[0].partition(b"\r\n\r\n")[0]
    for line in (
        b"POST /soap HTTP/1.1",
        b'SOAPAction: "urn:erp:CreateOrder"',
        b"Content-Type: text/xml; charset=utf-8",
        b"Accept-Encoding: identity",
        b"Authorization: Basic am86cMOkc3N3b3Jk",
        b"X-Key: k",
    ):
        assert line in head.split(b"\r\n")


def test_the_action_of_soap_12_is_in_the_content_type(peer: Callable[..., Peer]) -> None:
    """SOAP 1.2 has no SOAPAction header."""
    server = peer(say(xml_message(_ANSWER)))
    with _erp(server.url, port="Soap12") as erp:
        _order(erp)
    assert b'Content-Type: application/soap+xml; charset=utf-8; action="urn:erp:CreateOrder"' in server.requests[0]
    assert b"SOAPAction" not in server.requests[0]


def test_no_proxy_or_credential_comes_from_the_environment(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Proxies and .netrc belong to people; a process in production uses its settings alone."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    server = peer(say(xml_message(_ANSWER)))
    with _erp(server.url) as erp:
        assert _order(erp).Number == "17"
    assert b"Authorization" not in server.requests[0]


def test_a_redirect_is_not_followed(peer: Callable[..., Peer]) -> None:
    """Following would turn the POST into a GET and take some page for the answer."""
    target = peer(say(xml_message(_ANSWER)))
    error = _outcome(peer(say(http_message("302 Found", b"", f"Location: {target.url}"))).url)
    assert isinstance(error, InDoubt)
    assert target.connections == 0


# --- connections ---


def test_a_connection_is_used_again(peer: Callable[..., Peer]) -> None:
    """Calls in a row share a connection, where the server allows it."""
    server = peer(say(xml_message(_ANSWER)), keep_alive=True)
    with _erp(server.url) as erp:
        for _ in range(5):
            _order(erp)
    assert (server.connections, len(server.requests)) == (1, 5)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"keep_alive": 0}, xml_message(_ANSWER)), ({}, http_message("200 OK", _ANSWER, "Connection: close"))],
)
def test_a_connection_is_not_used_again_where_one_side_says_so(
    peer: Callable[..., Peer], values: dict[str, Any], message: bytes
) -> None:
    """`keep_alive = 0` and the server's `Connection: close` both mean one call each."""
    server = peer(say(message), keep_alive=True)
    with _erp(server.url, **values) as erp:
        for _ in range(3):
            _order(erp)
    assert server.connections == 3


def test_a_connection_that_rested_too_long_is_not_used_again(peer: Callable[..., Peer]) -> None:
    """A server may be about to close it, and a request lost to that looks like one that was executed."""
    server = peer(say(xml_message(_ANSWER)), keep_alive=True)
    with _erp(server.url, keep_alive=0.05) as erp:
        _order(erp)
        time.sleep(0.1)
        _order(erp)
    assert server.connections == 2


def test_a_connection_that_the_server_closed_is_noticed_before_sending(peer: Callable[..., Peer]) -> None:
    """A server that closes after each answer, without saying so, causes no doubt."""
    server = peer(say(xml_message(_ANSWER)))
    with _erp(server.url) as erp:
        for _ in range(5):
            assert _order(erp).Number == "17"
            time.sleep(0.02)
    assert server.connections == 5


def test_an_answer_after_a_doubt_is_never_taken_for_another_calls(peer: Callable[..., Peer]) -> None:
    """The connection of a call that timed out is closed, so that its late answer meets nobody."""

    def late_once(connection: socket.socket, request: bytes) -> None:
        if b">first<" in request:
            time.sleep(0.4)
        connection.sendall(xml_message(_ANSWER.replace(b">17<", b">first<" if b">first<" in request else b">second<")))

    server = peer(late_once, keep_alive=True)
    with _erp(server.url, timeout=0.2) as erp:
        with pytest.raises(InDoubt):
            erp.CreateOrder(OrderNo="first", Customer="ACME", Total=5)
        assert erp.CreateOrder(OrderNo="second", Customer="ACME", Total=5).Number == "second"


def test_threads_share_a_contract_and_never_a_connection(peer: Callable[..., Peer]) -> None:
    """Eight threads at once get eight times their own answers, over no more connections than threads."""

    def echo(connection: socket.socket, request: bytes) -> None:
        number = request.partition(b"OrderNo>")[2].partition(b"<")[0]
        connection.sendall(xml_message(_ANSWER.replace(b">17<", b">" + number + b"<")))

    server = peer(echo, keep_alive=True)
    with _erp(server.url, timeout=10) as erp, ThreadPoolExecutor(8) as pool:
        numbers = [f"N{number}" for number in range(160)]
        answers = pool.map(lambda number: erp.CreateOrder(OrderNo=number, Customer="ACME", Total=5).Number, numbers)
        assert list(answers) == numbers
    assert server.connections <= 8


def test_connections_that_nobody_needs_any_more_are_closed(peer: Callable[..., Peer]) -> None:
    """After a burst, the connections that were only needed for the burst do not stay open for ever."""
    together = threading.Barrier(6)

    def behave(connection: socket.socket, request: bytes) -> None:
        if b">burst<" in request:
            together.wait(60)
        connection.sendall(xml_message(_ANSWER))

    server = peer(behave, keep_alive=True)
    settings = SoapSettings.model_validate({"wsdl": WSDL_FILE, "keep_alive": 0.1})
    endpoint = HttpEndpoint(server.url, settings, tls_of(settings))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: endpoint.post(b"<a>burst</a>", {}, CallRecord("x", "y"), 10), range(6)))
    assert server.connections == 6
    time.sleep(0.15)
    endpoint.post(b"<a/>", {}, CallRecord("x", "y"), 10)
    wait_until(lambda: server.living() == 1)
    endpoint.close()
    wait_until(lambda: server.living() == 0)


# --- TLS ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "both.pem").write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return folder


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "both.pem")
    return context


def test_tls_with_a_private_ca(peer: Callable[..., Peer], certificate: Path) -> None:
    """`ca_file` is trusted, also for a second call on the same connection."""
    server = peer(say(xml_message(_ANSWER)), keep_alive=True, tls=_tls(certificate))
    with _erp(server.url, ca_file=certificate / "cert.pem") as erp:
        assert [_order(erp).Number for _ in range(3)] == ["17"] * 3


def test_an_untrusted_certificate_is_not_sent_to(peer: Callable[..., Peer], certificate: Path) -> None:
    """Nothing is sent to a server that cannot prove who it is, and the error names the setting."""
    server = peer(say(xml_message(_ANSWER)), tls=_tls(certificate))
    error = _outcome(server.url)
    assert isinstance(error, BackendUnavailable)
    assert "ca_file" in str(error)
    assert server.requests == []


def test_a_ca_file_that_is_none_is_a_config_error(tmp_path: Path) -> None:
    """A wrong `ca_file` is noticed before anything connects."""
    for file in (tmp_path / "missing.pem", WSDL_FILE):
        with pytest.raises(ConfigError, match="ca_file"), _erp("https://127.0.0.1:9/", ca_file=file):
            pass
