"""A web server that has what a test puts into it: paths with their queries, and what each of them answers."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """`pages` maps "/path?query" to content, or to status and header. `asked` keeps each request with its headers."""

    port: int
    pages: dict[str, bytes | str | tuple[int, str, str]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Without a closing slash."""
        return f"{self.scheme}://127.0.0.1:{self.port}"


@contextmanager
def web(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """A running Web."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append((self.path, dict(self.headers)))
            page = served.pages.get(self.path, (404, "X", ""))
            status, name, value = page if isinstance(page, tuple) else (200, "Content-Type", "text/xml")
            content = page if isinstance(page, bytes) else page.encode() if isinstance(page, str) else b"<no/>"
            self.send_response(status)
            self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def handle(self) -> None:
            with suppress(OSError):  # a client that does not like our certificate
                super().handle()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with serving(Handler, tls) as port:
        served = Web(port, scheme="https" if tls else "http")
        yield served


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A running server on a loopback port; gives the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
