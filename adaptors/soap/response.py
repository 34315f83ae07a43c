"""Response: one HTTP/1.1 answer (RFC 9112). It is whole, or it is an error that says where it breaks.

http.client gives the head to the parser of e-mails, which takes as long as zeep takes to parse an envelope.
"""

import re
import zlib
from collections.abc import Iterator
from typing import Protocol

from adaptors.soap.record import CallRecord

_CHUNK = 65_536  # bytes of one piece of a body
_MOST_LINES = 100  # of one head
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,15}")


class HttpError(Exception):
    """The exchange did not end with a whole answer. The call's record tells how far it came."""


class Stream(Protocol):
    """What a connection receives, in order. Its methods raise OSError."""

    def line(self) -> bytes | None:
        """The next line with its end; None if the server hung up before there was one, or it is too long to be one."""
        ...

    def some(self, most: int) -> bytes:
        """One to `most` bytes, as soon as there are any; none if the server hung up."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether something has been received that nobody has read."""
        ...


class Response:
    """The head of an answer, read when made, and then its body. `headers` have lower-case names.

    Raises HttpError, also for what is not HTTP. Interim answers (1xx) are passed over.
    """

    def __init__(self, stream: Stream, record: CallRecord) -> None:
        self._stream = stream
        self._record = record
        version, self.status = self._status_line()
        self.headers = self._fields()
        while 100 <= self.status < 200:
            version, self.status = self._status_line()
            self.headers = self._fields()
        self._is_chunked = self.headers.get("transfer-encoding", "").lower().endswith("chunked")
        self._length = None if self._is_chunked else self._declared_length()
        ends_itself = self._is_chunked or self._length is not None
        wishes = self.headers.get("connection", "").lower()
        self._stays_open = ends_itself and "close" not in wishes and (version != b"HTTP/1.0" or "keep-alive" in wishes)

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow on this connection, once the body has been read."""
        return self._stays_open and not self._stream.has_more

    def body(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes of it, decompressed. What has come of it stands in the record.

        Some servers compress unasked.
        """
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip", "deflate"):
            raise HttpError(f"the answer is encoded as {coding}, which was not asked for")
        # 47: zlib or gzip, whichever the header says.
        inflate = None if coding == "identity" else zlib.decompressobj(47)
        body = self._record.received = bytearray()
        for data in self._pieces():
            try:
                body += inflate.decompress(data, limit + 1 - len(body)) if inflate else data
            except zlib.error as error:
                raise HttpError(f"the answer cannot be decompressed: {error}") from error
            if len(body) > limit:
                raise HttpError(f"the answer is larger than `max_response_bytes` = {limit}")
        if inflate and not inflate.eof:
            raise self._broken_off()
        return bytes(body)

    def _status_line(self) -> tuple[bytes, int]:
        line = self._stream.line()
        if line is None:
            raise HttpError(
                "what came back is not HTTP" if self._record.bytes_received else "the server hung up without an answer"
            )
        version, _, rest = line.partition(b" ")
        status = rest[:3]
        if not (version.startswith(b"HTTP/") and len(status) == 3 and status.isdigit()):
            raise HttpError("what came back is not HTTP")
        return version, int(status)

    def _fields(self) -> dict[str, str]:
        """Header fields, or those after a chunked body."""
        fields: dict[str, str] = {}
        name = ""
        for _ in range(_MOST_LINES):
            line = self._stream.line()
            if line is None:
                raise self._broken_off()
            text = line.decode("latin-1").rstrip()
            if not text:
                return fields
            if text[0] in " \t" and name:  # a folded line, which RFC 9112 lets only servers of old write
                fields[name] += text
                continue
            name, colon, value = text.partition(":")
            name = name.lower()
            if not colon:
                raise HttpError("what came back is not HTTP: a line of its head has no colon")
            fields[name] = f"{fields[name]}, {value.strip()}" if name in fields else value.strip()
        raise HttpError(f"what came back is not HTTP: its head has more than {_MOST_LINES} lines")

    def _declared_length(self) -> int | None:
        if self.status in (204, 304):
            return 0
        values = {value.strip() for value in self.headers.get("content-length", "").split(",")}
        if "transfer-encoding" in self.headers or values == {""}:
            return None
        value = values.pop()
        if values or not (value.isascii() and value.isdigit()):
            raise HttpError("what came back is not HTTP: its Content-Length is no number")
        return int(value)

    def _pieces(self) -> Iterator[bytes]:
        if self._is_chunked:
            yield from self._chunks()
        elif self._length is None:
            while data := self._stream.some(_CHUNK):
                yield data
        else:
            yield from self._exactly(self._length)

    def _chunks(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            yield from self._exactly(size)
            if self._stream.line() is None:
                raise self._broken_off()
        self._fields()

    def _chunk_size(self) -> int:
        line = self._stream.line()
        if line is None:
            raise self._broken_off()
        size = line.partition(b";")[0].strip()
        if not _HEXADECIMAL.fullmatch(size):
            raise HttpError("what came back is not HTTP: the size of a chunk is no number")
        return int(size, 16)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            data = self._stream.some(min(size, _CHUNK))
            if not data:
                raise self._broken_off()
            size -= len(data)
            yield data

    def _broken_off(self) -> HttpError:
        return HttpError(f"the answer breaks off after {self._record.bytes_received} bytes")
