"""A small ERP whose only door is SOAP. A program of its own, which knows nothing of events and adaptors.

`python -m samples.shop.erp.server --port 0 --data FOLDER` prints one line of JSON when it is ready: {"url": "http://…"}.
POST /soap speaks SOAP 1.1 and 1.2; GET /soap?wsdl gives the WSDL; GET /orders the books as JSON; GET or POST /control
the mischief as JSON, such as {"mode": "lose", "every": 3}. SIGTERM ends it.
"""

import argparse
import json
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIEnvironment

from samples.shop.erp.books import Books
from samples.shop.erp.mischief import Mischief, Mode, Turns
from samples.shop.erp.soap import WSDL_FILE, Endpoint

CREDIT_LIMIT = Decimal("10000.00")
_LONGEST_REQUEST = 1_000_000  # bytes
_STATUS = {200: "200 OK", 400: "400 Bad Request", 404: "404 Not Found", 500: "500 Internal Server Error"}


class Erp:
    """The ERP as a WSGI application."""

    def __init__(self, books: Books, *, credit_limit: Decimal = CREDIT_LIMIT, mischief: Mischief | None = None) -> None:
        self.books = books
        self.turns = Turns(mischief or Mischief())
        self.close_port: Any = None
        self._endpoint = Endpoint(books, credit_limit)
        self._awake = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
            case "POST", "/soap":
                return self._soap(environ, start_response)
            case "GET", "/soap":
                return _send(start_response, 200, "text/xml; charset=utf-8", _wsdl(environ))
            case "GET", "/orders":
                orders = [asdict(order) | {"total": str(order.total)} for order in self.books.all()]
                return _send_json(start_response, 200, orders)
            case "GET" | "POST", "/control":
                return self._control(environ, start_response)
        return _send_json(start_response, 404, {"error": "there is /soap, /soap?wsdl, /orders and /control"})

    def wake(self) -> None:
        """End every wait that a mischief has begun."""
        self._awake.set()

    def _soap(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = _read(environ)
        mischief, mode = self.turns.mischief, self.turns.next()
        if mode is Mode.DOWN:
            extra = [] if mischief.retry_after is None else [("Retry-After", str(mischief.retry_after))]
            return _send(start_response, "503 Service Unavailable", "text/plain", b"down", extra)
        if mode is Mode.REDIRECT:
            return _send(start_response, "302 Found", "text/plain", b"", [("Location", "/orders")])
        if mode is Mode.SLOW:
            self._awake.wait(mischief.seconds)
        status, content_type, body = self._endpoint.answer(request)
        match mode:
            case Mode.LOSE:
                _cut(environ)
            case Mode.GARBAGE:
                content_type, body = "text/html", b"<html><body>Have a nice day<br></body></html>"
            case Mode.ODD:
                status = 500
            case Mode.TRUNCATE:
                return self._cut_short(environ, start_response, content_type, body)
            case Mode.DRIP:
                start_response(_STATUS[status], _headers(content_type, body))
                return self._drip(body, mischief.seconds)
        return _send(start_response, status, content_type, body)

    def _control(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            try:
                mischief = Mischief.of(json.loads(_read(environ)))
            except (ValueError, TypeError, AttributeError) as error:
                return _send_json(start_response, 400, {"error": str(error)})
            if mischief.mode is Mode.CLOSED:
                if self.close_port is None:
                    return _send_json(start_response, 400, {"error": "this server cannot close its port"})
                self.close_port(mischief.seconds)
            else:
                self.turns.set(mischief)
        return _send_json(start_response, 200, self.turns.mischief.as_json())

    def _cut_short(
        self, environ: WSGIEnvironment, start_response: StartResponse, content_type: str, body: bytes
    ) -> Iterator[bytes]:
        start_response(_STATUS[200], _headers(content_type, body))
        yield body[: len(body) // 2]
        _cut(environ)

    def _drip(self, body: bytes, seconds: float) -> Iterator[bytes]:
        for number in range(len(body)):
            yield body[number : number + 1]
            self._awake.wait(seconds)


class _Handler(WSGIRequestHandler):
    """Quiet, and tells the application which socket it is on, so that it can cut it."""

    def get_environ(self) -> WSGIEnvironment:
        return {**super().get_environ(), "erp.socket": self.connection}

    def log_message(self, format: str, *args: Any) -> None:
        return None


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # The base class asks the resolver for the name of the host, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ErpServer:
    """The ERP on a port of this machine. `port` 0 takes a free one; `url` is where SOAP is spoken."""

    def __init__(self, erp: Erp, port: int = 0) -> None:
        self.erp = erp
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._closed_for = 0.0
        self._server = self._listen(port)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/soap"
        erp.close_port = self.close_for

    def run(self) -> None:
        """Serve until `stop`."""
        while True:
            self._server.serve_forever(poll_interval=0.02)
            self._server.server_close()
            self._stopping.wait(self._closed_for)
            with self._lock:
                if self._stopping.is_set():
                    return
                self._server = self._listen(self.port)

    def close_for(self, seconds: float) -> None:
        """Close the port now, and open it again after `seconds`."""
        self._closed_for = seconds
        threading.Thread(target=self._server.shutdown, daemon=True).start()

    def stop(self) -> None:
        """Make `run` return."""
        with self._lock:
            self._stopping.set()
            server = self._server
        self.erp.wake()
        server.shutdown()

    def _listen(self, port: int) -> WSGIServer:
        server = _Server(("127.0.0.1", port), _Handler)
        server.set_app(self.erp)
        return server


@contextmanager
def running(
    folder: Path, *, credit_limit: Decimal = CREDIT_LIMIT, mischief: Mischief | None = None
) -> Iterator[ErpServer]:
    """The ERP in this process, on a free port, with its books in `folder`."""
    books = Books(folder)
    server = ErpServer(Erp(books, credit_limit=credit_limit, mischief=mischief))
    thread = threading.Thread(target=server.run, name="erp")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
        books.close()


def _read(environ: WSGIEnvironment) -> bytes:
    length = min(int(environ.get("CONTENT_LENGTH") or 0), _LONGEST_REQUEST)
    return bytes(environ["wsgi.input"].read(length))


def _wsdl(environ: WSGIEnvironment) -> bytes:
    return WSDL_FILE.read_bytes().replace(b"http://erp.invalid", f"http://{environ['HTTP_HOST']}".encode())


def _headers(content_type: str, body: bytes) -> list[tuple[str, str]]:
    return [("Content-Type", content_type), ("Content-Length", str(len(body)))]


def _send(
    start_response: StartResponse,
    status: int | str,
    content_type: str,
    body: bytes,
    extra: Iterable[tuple[str, str]] = (),
) -> Iterable[bytes]:
    line = status if isinstance(status, str) else _STATUS[status]
    start_response(line, [*_headers(content_type, body), *extra])
    return [body]


def _send_json(start_response: StartResponse, status: int, value: Any) -> Iterable[bytes]:
    return _send(start_response, status, "application/json", json.dumps(value).encode())


def _cut(environ: WSGIEnvironment) -> None:
    environ["erp.socket"].shutdown(socket.SHUT_RDWR)


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m samples.shop.erp.server", description="A small ERP behind SOAP.")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of the books")
    parser.add_argument("--credit-limit", type=Decimal, default=CREDIT_LIMIT)
    parser.add_argument("--mode", type=Mode, choices=list(Mode), default=Mode.WELL, help="mischief from the start")
    parser.add_argument("--seconds", type=float, default=1.0, help="what slow and drip wait")
    parser.add_argument("--every", type=int, default=1, help="mischief hits every n-th call")
    asked = parser.parse_args()
    books = Books(asked.data)
    mischief = Mischief(asked.mode, asked.seconds, asked.every)
    server = ErpServer(Erp(books, credit_limit=asked.credit_limit, mischief=mischief), asked.port)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: threading.Thread(target=server.stop).start())
    print(json.dumps({"url": server.url}), flush=True)  # noqa: T201  # whoever starts it waits for this line
    server.run()
    books.close()


if __name__ == "__main__":
    main()
