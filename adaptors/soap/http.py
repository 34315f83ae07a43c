"""HttpEndpoint: one POST to one address over HTTP/1.1, with one deadline for all of it.

Nothing is done unasked: no redirects, no proxies or credentials from
the environment, no second try, no cookies. A connection is used again only after a short rest and only if the server
has not closed it meanwhile: a request lost on a stale connection looks exactly like one that was executed.
"""

import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from adapter_sdk.errors import BackendUnavailable
from adapter_sdk.redaction import redact_url
from adaptors.soap.connection import Clock, Connection, dial
from adaptors.soap.record import Answer, CallRecord, Phase
from adaptors.soap.response import HttpError, Response
from adaptors.soap.settings import SoapSettings
from adaptors.soap.tls import is_refused

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class HttpEndpoint:
    """One address, for any number of threads: a connection serves one call at a time and then rests for the next."""

    def __init__(self, url: str, settings: SoapSettings, tls: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self.name = redact_url(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._settings = settings
        self._tls = tls if parts.scheme == "https" else None
        self._start = f"POST {target} HTTP/1.1\r\n" + _lines({"Host": parts.netloc, **_fixed_headers(settings)})
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    @property
    def can_be_overheard(self) -> bool:
        """Whether what is sent leaves this machine in clear."""
        return self._tls is None and self._host not in _LOOPBACK

    def probe(self) -> None:
        """Connect and hang up. Raises BackendUnavailable."""
        clock, record = Clock(self._settings.timeout), CallRecord("probe", self.name)
        try:
            self._connect(clock, record).close()
        except OSError as error:
            raise BackendUnavailable(f"{self.name}: cannot connect: {_words(error, clock)}") from error

    def post(self, body: bytes, headers: Mapping[str, str], record: CallRecord, timeout: float) -> Answer:
        """Send `body` and return the whole answer within `timeout` seconds. `record` is kept up to date throughout.

        Raises HttpError. Looking up the host's name is bounded by the resolver's own time limit only.
        """
        clock = Clock(timeout)
        connection = None
        try:
            record.phase = Phase.CONNECT
            connection = self._take() or self._connect(clock, record)
            record.reused_connection = record.connected_at is None
            record.phase = Phase.SEND
            response = connection.exchange(self._head(body, headers), body, clock, record)
            record.status = response.status
            record.retry_after = _retry_after(response.headers.get("retry-after"))
            content = response.body(self._settings.max_response_bytes)
        except Exception as error:  # whatever breaks here, what counts is how far the call had come
            if connection is not None:
                connection.close()
            if is_refused(error):
                record.phase = Phase.CONNECT
            raise HttpError(_words(error, clock)) from error
        record.phase = Phase.PARSE
        record.answered_at = clock.elapsed()
        self._put_back(connection, response)
        return Answer(response.status, response.headers.get("content-type", ""), content)

    def close(self) -> None:
        """Close the connections that rest. Calling it twice does nothing."""
        with self._lock:
            connections, self._idle = self._idle, []
        for connection in connections:
            connection.close()

    def _head(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        return f"{self._start}{_lines(headers)}Content-Length: {len(body)}\r\n\r\n".encode("ascii")

    def _take(self) -> Connection | None:
        """The connection that rested last, if it may be used again."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None or (connection.rested() < self._settings.keep_alive and connection.is_quiet()):
            return connection
        connection.close()
        return None

    def _put_back(self, connection: Connection, response: Response) -> None:
        if not response.is_reusable or self._settings.keep_alive == 0:
            connection.close()
            return
        connection.rest()
        with self._lock:
            # What was not needed for so long will not be: the last to rest is the first to be used.
            stale = [other for other in self._idle if other.rested() > self._settings.keep_alive]
            self._idle = [other for other in self._idle if other not in stale] + [connection]
        for other in stale:
            other.close()

    def _connect(self, clock: Clock, record: CallRecord) -> Connection:
        limit = Clock(min(self._settings.connect_timeout, clock.remaining()))
        connection = Connection(dial(self._host, self._port, limit, self._tls))
        record.connected_at = clock.elapsed()
        return connection


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _fixed_headers(settings: SoapSettings) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity", "User-Agent": "legacy-event-adaptor-toolkit"}
    if settings.keep_alive == 0:
        headers["Connection"] = "close"
    if settings.username is not None and settings.password is not None:
        pair = f"{settings.username}:{settings.password.get_secret_value()}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode('ascii')}"
    return headers | {name: value.get_secret_value() for name, value in settings.http_headers.items()}


def _retry_after(value: str | None) -> float | None:
    """Seconds, from either form of the header; None if it is absent or unreadable."""
    if value is None:
        return None
    try:
        return float(int(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _words(error: Exception, clock: Clock) -> str:
    """What went wrong, for people; never a part of what the server sent."""
    match error:
        case TimeoutError():
            words = f"timed out after {clock.elapsed():.1f} s"
        case _ if is_refused(error):
            words = f"the server does not accept our certificate: {error}; see `client_cert`"
        case ssl.SSLCertVerificationError():
            words = f"the server's certificate is not trusted: {error.verify_message}; set `ca_file` to its CA"
        case _:
            words = str(error) or type(error).__name__
    return words
