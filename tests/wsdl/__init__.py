"""WSDLs for tests: a depot that has everything, a server that echoes, and modules made from WSDLs."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

from lxml import etree

from adaptors.soap.wsdl.document import Wsdl
from adaptors.soap.wsdl.generate import generate

DEPOT = Path(__file__).with_name("depot.wsdl")
_SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
_ENVELOPE = '<e:Envelope xmlns:e="{0}"><e:Body>{1}</e:Body></e:Envelope>'


@contextmanager
def module_of(wsdl: Path, folder: Path, name: str, *operations: str) -> Iterator[ModuleType]:
    """The module that `adaptor wsdl models` writes, imported from `folder`."""
    (folder / f"{name}.py").write_text(generate(Wsdl(wsdl), operations, None, None))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(name, None)


class Peer:
    """A SOAP 1.1 server. `answers` makes the content of an answer's body from that of the request's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[etree._Element] = []
        self.answers: Callable[[etree._Element], str] = echo


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
            content = _ENVELOPE.format(_SOAP_11, served.answers(body[0])).encode()
            self.send_response(500 if b"<e:Fault>" in content else 200)
            self.send_header("Content-Type", "text/xml; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Peer(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
