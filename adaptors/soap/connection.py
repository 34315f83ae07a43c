"""Connection: one request and its answer on one socket, whose every read and write obeys a deadline."""

import select
import socket
import ssl
import time

from adapter_sdk.crashpoints import reach
from adaptors.soap.record import CallRecord, Phase
from adaptors.soap.response import Response

_RECEIVE = 65_536  # bytes of one read
_LONGEST_LINE = 65_536  # bytes


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
        self._poll = select.poll()
        self._poll.register(opened, select.POLLIN)

    def exchange(self, head: bytes, body: bytes, clock: Clock, record: CallRecord) -> Response:
        """Send a request and read the head of its answer. Raises OSError or HttpError.

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
        return Response(_Received(self._opened, clock, record), record)

    def rest(self) -> None:
        """The exchange is over, and another may come."""
        self._rests_since = time.monotonic()

    def rested(self) -> float:
        """Seconds since it was used last."""
        return time.monotonic() - self._rests_since

    def is_quiet(self) -> bool:
        """Whether the server has neither closed it nor sent anything that nobody asked for."""
        return not self._poll.poll(0)

    def close(self) -> None:
        """Close the socket. Calling it twice does nothing."""
        self._opened.close()

    def _send(self, data: bytes, head: int, clock: Clock, record: CallRecord) -> None:
        sent = 0
        while sent < len(data):
            self._opened.settimeout(clock.remaining())
            sent += self._opened.send(memoryview(data)[sent:])
            record.bytes_sent = max(0, sent - head)


class _Received:
    """The `Stream` of one exchange; see there."""

    def __init__(self, opened: socket.socket, clock: Clock, record: CallRecord) -> None:
        self._opened = opened
        self._clock = clock
        self._record = record
        self._data = b""
        self._read = 0

    def line(self) -> bytes | None:
        while (end := self._data.find(b"\n", self._read) + 1) == 0:
            if len(self._data) - self._read > _LONGEST_LINE or not self._receive():
                return None
        line = self._data[self._read : end]
        self._read = end
        return line

    def some(self, most: int) -> bytes:
        if not self.has_more and not self._receive():
            return b""
        data = self._data[self._read : self._read + most]
        self._read += len(data)
        return data

    @property
    def has_more(self) -> bool:
        return self._read < len(self._data)

    def _receive(self) -> bool:
        """Wait for more to come. False if the server hung up instead."""
        self._opened.settimeout(self._clock.remaining())
        data = self._opened.recv(_RECEIVE)
        self._record.bytes_received += len(data)
        self._data = self._data[self._read :] + data
        self._read = 0
        return bool(data)


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
