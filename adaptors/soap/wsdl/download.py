"""Download: one document over HTTP, from the hosts that were named and within limits of size, time and number."""

import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, Request

LARGEST = 33_554_432
"""Bytes of one document. The largest WSDLs in public have 5 million."""
LARGEST_OF_ALL = 134_217_728
"""Bytes of a WSDL and its schemas together."""
MOST_DOCUMENTS = 1_000
_MOST_REDIRECTS = 5
_CHUNK = 65_536
_PORTS = {"http": 80, "https": 443}


class DownloadError(Exception):
    """Why a document was not fetched. `is_away` says that its server could not be reached."""

    def __init__(self, why: str, *, is_away: bool = False) -> None:
        super().__init__(why)
        self.is_away = is_away


@dataclass(frozen=True, slots=True)
class Page:
    """What a server sent. `url` is where it came from in the end, and what its relative locations start from."""

    url: str
    content: bytes


@dataclass(slots=True)
class Downloads:
    """Fetches from the host of `start` and from `hosts` ("name" or "name:port"), and from nowhere else.

    `timeout` is in seconds, for one document. `authorization` is the header for the host of `start`, and for no other.
    """

    start: str
    tls: ssl.SSLContext
    hosts: Collection[str]
    timeout: float
    authorization: str | None
    _taken: int = field(default=0, init=False)
    _count: int = field(default=0, init=False)

    def get(self, url: str) -> Page:
        """The document at a URL. Raises DownloadError."""
        if self._count >= MOST_DOCUMENTS:
            raise DownloadError(f"is one document too many: at most {MOST_DOCUMENTS} are fetched")
        self._count += 1
        deadline = time.monotonic() + self.timeout
        for _ in range(_MOST_REDIRECTS + 1):
            self._check(url)
            found = self._open(url, deadline)
            if isinstance(found, bytes):
                self._taken += len(found)
                return Page(url, found)
            if urlsplit(url).scheme == "https" and urlsplit(found).scheme == "http":
                raise DownloadError(f"is redirected from https to {found}, which anybody on the way could change")
            url = found
        raise DownloadError(f"is redirected more than {_MOST_REDIRECTS} times, in the end to {url}")

    def allows(self, url: str) -> bool:
        """Whether the URL is on one of the hosts."""
        name, port = _host_of(url)
        own_name, own_port = _host_of(self.start)
        # The usual way from http to https is no other host.
        is_own = name == own_name and (port == own_port or (own_port, port) == (_PORTS["http"], _PORTS["https"]))
        return is_own or name in self.hosts or f"{name}:{port}" in self.hosts

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise DownloadError(f"{url} is no http or https URL, and nothing else is fetched")
        if parts.username is not None:
            raise DownloadError("has a user name in its URL, which would be written down; use --username")
        if not self.allows(url):
            name, port = _host_of(url)
            shown = name if port == _PORTS[parts.scheme] else f"{name}:{port}"
            raise DownloadError(f"{url} is on another host; if that is right, fetch with --host {shown}")

    def _open(self, url: str, deadline: float) -> bytes | str:
        """The content, or the URL that it is redirected to."""
        headers = {"Accept": "text/xml, application/xml, */*", "Accept-Encoding": "identity"}
        if self.authorization is not None and _host_of(url) == _host_of(self.start):
            headers["Authorization"] = self.authorization
        opener = OpenerDirector()  # no proxies, no files, no FTP, and redirects are looked at first
        opener.add_handler(HTTPHandler())
        opener.add_handler(HTTPSHandler(context=self.tls))
        try:
            response: HTTPResponse = opener.open(Request(url, headers=headers), timeout=_left(deadline))
            with response:
                if response.status in (301, 302, 303, 307, 308):
                    return urljoin(url, response.headers.get("Location", ""))
                if response.status != 200:
                    hint = "; give --username" if response.status == 401 else ""
                    raise DownloadError(f"cannot be fetched: HTTP {response.status} {response.reason}{hint}")
                return self._content(response, deadline)
        except (OSError, HTTPException, ValueError) as error:
            why = getattr(error, "reason", None) or error
            hint = "; give its CA with --ca-file" if isinstance(why, ssl.SSLCertVerificationError) else ""
            raise DownloadError(f"cannot be fetched: {why}{hint}", is_away=True) from error

    def _content(self, response: HTTPResponse, deadline: float) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise DownloadError(f"comes compressed ({encoding}), although that was not asked for")
        limit = min(LARGEST, LARGEST_OF_ALL - self._taken)
        content = bytearray()
        while chunk := response.read1(_CHUNK):
            content += chunk
            if len(content) > limit:
                raise DownloadError(f"is larger than {limit} bytes")
            _left(deadline)
        return bytes(content)


def _host_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it takes longer than --timeout")
    return left
