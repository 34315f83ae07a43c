"""Connection: HTTP/1.1 on one socket, whose every read and write obeys the deadline of the current call."""

import io
import selectors
import socket
import ssl
import time
from http.client import HTTPConnection
from typing import Any

from adaptors.soap.record import CallRecord

_BUFFER = 65_536  # bytes


class Clock:
    """One deadline, `limit` seconds after it was made."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._started = time.monotonic()

    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def remaining(self) -> float:
        """Seconds left. Raises TimeoutError if there are none."""
        left = self.limit - self.elapsed()
        if left <= 0:
            raise TimeoutError(f"the time limit of {self.limit:g} s has passed")
        return left


class Connection(HTTPConnection):
    """An HTTP/1.1 connection on an open socket."""

    auto_open = 0  # http.client would connect again by itself, without a deadline and unrecorded

    def __init__(self, host: str, port: int, opened: socket.socket) -> None:
        super().__init__(host, port)
        self._opened = opened
        self._rests_since = time.monotonic()

    def begin(self, clock: Clock, record: CallRecord) -> None:
        """Get ready for one exchange."""
        record.reused_connection = record.connected_at is None
        self.clock = clock
        self.sock = _TimedSocket(self._opened, clock, record)

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

    def hang_up(self) -> None:
        """Close the socket. Not named `close`: http.client calls that before it has read the body of a last answer."""
        self._opened.close()
        self.close()


class _TimedSocket:
    """What http.client needs of a socket. `bytes_sent` of the record counts what the system has taken from us."""

    def __init__(self, opened: socket.socket, clock: Clock, record: CallRecord) -> None:
        self._opened = opened
        self._clock = clock
        self._record = record

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._opened.settimeout(self._clock.remaining())
            sent = self._opened.send(rest)
            self._record.bytes_sent += sent
            rest = rest[sent:]

    def receive(self, buffer: memoryview) -> int:
        self._opened.settimeout(self._clock.remaining())
        received = self._opened.recv_into(buffer)
        self._record.bytes_received += received
        return received

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self), _BUFFER)

    def close(self) -> None:
        """Does nothing: whoever opened the socket closes it."""


class _Raw(io.RawIOBase):
    def __init__(self, source: _TimedSocket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._source.receive(buffer)


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
