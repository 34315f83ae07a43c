"""A server of bytes: every exchange of it is what a test says, on a real socket."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

Behave = Callable[[socket.socket, bytes], object]


class Peer:
    """A server on a loopback port whose every exchange is `behave`. Counts connections and keeps requests."""

    def __init__(self, behave: Behave, *, keep_alive: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self._behave = behave
        self._keep_alive = keep_alive
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/soap"
        self.connections = 0
        self.requests: list[bytes] = []
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def living(self) -> int:
        """Connections that the client has not closed."""
        return sum(connection.fileno() >= 0 for connection in self._open)

    def close(self) -> None:
        # A thread that waits in accept would keep the port open: shutdown wakes it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            while request := _read_request(connection):
                self.requests.append(request)
                self._behave(connection, request)
                if not self._keep_alive:
                    break
            connection.close()


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(
        next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split(b":")[1]
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def http_message(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """An answer in HTTP/1.1 that says its length, truly unless `length` is given."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def say(message: bytes) -> Behave:
    """Answer this, whatever is asked."""
    return lambda connection, _: connection.sendall(message)


def xml_message(body: bytes, status: str = "200 OK") -> bytes:
    """An answer of XML."""
    return http_message(status, body, "Content-Type: text/xml")
