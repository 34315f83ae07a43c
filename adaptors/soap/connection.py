"""Connection: one request and its answer on one socket, whose every read and write obeys a deadline."""

import io
import selectors
import socket
import ssl
import time
from http.client import HTTPResponse
from typing import Any

from adapter_sdk.crashpoints import reach
from adaptors.soap.record import CallRecord, Phase

_BUFFER = 65_536  # bytes


class Clock:
    """One deadline, `limit` seconds after it was made."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._started = time.monotonic()

    def elapsed(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._started

    def remaining(self) -> float:
        """Seconds left. Raises TimeoutError if there are none."""
        left = self.limit - self.elapsed()
        if left <= 0:
            raise TimeoutError(f"the time limit of {self.limit:g} s has passed")
        return left


class Connection:
    """A connected socket that speaks HTTP/1.1, one exchange after the other."""

    def __init__(self, opened: socket.socket) -> None:
        self._opened = opened
        self._rests_since = time.monotonic()

    def exchange(self, head: bytes, body: bytes, clock: Clock, record: CallRecord) -> HTTPResponse:
        """Send a request and read the head of its answer. Raises OSError or HTTPException.

        In one piece, so that the body does not wait behind its head, and so that a connection that breaks at once has
        taken nothing of either.
        """
        try:
            self._send(head + body, len(head), clock, record)
        except (BrokenPipeError, ConnectionResetError):
            # A server may turn a request away before it has read all of it (401, 413), and hang up.
            if not record.bytes_sent:
                raise
        else:
            record.phase = Phase.RESPONSE
            record.sent_at = clock.elapsed()
            reach("soap.sent")
        source: Any = _Source(self._opened, clock, record)
        response = HTTPResponse(source, method="POST")
        response.begin()
        return response

    def rest(self) -> None:
        """The exchange is over, and another may come."""
        self._rests_since = time.monotonic()

    def rested(self) -> float:
        """Seconds since it was used last."""
        return time.monotonic() - self._rests_since

    def is_quiet(self) -> bool:
        """Whether the server has neither closed it nor sent anything that nobody asked for."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._opened, selectors.EVENT_READ)
            return not selector.select(0)

    def close(self) -> None:
        """Close the socket. Calling it twice does nothing."""
        self._opened.close()

    def _send(self, data: bytes, head: int, clock: Clock, record: CallRecord) -> None:
        sent = 0
        while sent < len(data):
            self._opened.settimeout(clock.remaining())
            sent += self._opened.send(memoryview(data)[sent:])
            record.bytes_sent = max(0, sent - head)


class _Source(io.RawIOBase):
    """What HTTPResponse reads from; it takes it for a socket and asks it for a file."""

    def __init__(self, opened: socket.socket, clock: Clock, record: CallRecord) -> None:
        self._opened = opened
        self._clock = clock
        self._record = record

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, _BUFFER)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._opened.settimeout(self._clock.remaining())
        received = self._opened.recv_into(buffer)
        self._record.bytes_received += received
        return received


def dial(host: str, port: int, clock: Clock, tls: ssl.SSLContext | None) -> socket.socket:
    """A connected socket. Every address of the host is tried, all within one deadline."""
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        opened = socket.socket(family, kind, protocol)
        try:
            opened.settimeout(clock.remaining())
            opened.connect(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.settimeout(clock.remaining())
            return tls.wrap_socket(opened, server_hostname=host) if tls else opened
        except OSError as error:
            opened.close()
            failure = error
    raise failure
