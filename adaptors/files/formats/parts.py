"""The parts of a received file: header, details and trailer, each cut out byte for byte; or a single record alone."""

from typing import NamedTuple

from adaptors.files.errors import FormatError
from adaptors.files.formats.delimited import Delimited
from adaptors.files.formats.fixed_width import FixedWidth
from adaptors.files.formats.framing import Described
from adaptors.files.formats.json_lines import JsonLines
from adaptors.files.formats.record import Record

JOINED = (FixedWidth, Delimited, JsonLines)
"""The formats of which a file may hold records of several classes, one after the other."""

RecordClass = type[Record]


class Parts(NamedTuple):
    """The bytes of a file in three parts; header and trailer are empty where the file has none."""

    header: bytes
    details: bytes
    trailer: bytes


def parts_of(data: bytes, header: RecordClass | None, trailer: RecordClass | None) -> Parts:
    """Cut the first record off as header and the last one as trailer. Raises FormatError if there is no such record."""
    start = _end_of_first(header, data) if header is not None else 0
    end = _start_of_last(trailer, data) if trailer is not None else len(data)
    if start > end or (header is not None and start == 0) or (trailer is not None and end == len(data)):
        named = " and ".join(one.__name__ for one in (header, trailer) if one is not None)
        raise FormatError(f"the file has {len(data)} bytes, which is too short to hold {named}")
    return Parts(data[:start], data[start:end], data[end:])


def cutting_fault(cls: RecordClass) -> str | None:
    """Why records of this class cannot be cut from the beginning or the end of a file, None if they can."""
    if not issubclass(cls, JOINED):
        return f"{cls.__name__} is a whole file; only {', '.join(one.__name__ for one in JOINED)} stand beside others"
    if issubclass(cls, FixedWidth):
        options = cls._options
        if options.prefix == "bdw" or options.blocking_factor > 1:
            return f"{cls.__name__} stands in blocks; a header or trailer is not looked for in them"
        if not (options.prefix or options.line_end or cls._fixed_length()):
            return f"{cls.__name__} varies in length, and neither line_end nor prefix tells where it ends"
    if issubclass(cls, Delimited) and len("\n".encode(str(cls._options.encoding))) > 1:
        return f"{cls.__name__} is in {cls._options.encoding}, of which only whole files are read"
    return None


def alone(cls: RecordClass, raw: bytes, details: bytes) -> bytes:
    """The file that holds just this record of a file, its bytes as they came. Only for the formats in `JOINED`."""
    if issubclass(cls, FixedWidth):
        return cls._framed(raw)
    if issubclass(cls, Delimited):
        titles = details[: _end_of_first(cls, details)] if cls._options.header else b""
        return titles + raw
    return raw + b"\n"


def _end_of_first(cls: RecordClass, data: bytes) -> int:
    if issubclass(cls, FixedWidth):
        if cls._options.prefix:
            return next((start + len(raw) for start, raw in _described(cls, data)), 0)
        if length := cls._fixed_length():
            return min(length + len(cls._options.line_end), len(data))
    line_end = _line_end(cls, data)
    at = data.find(line_end)
    return len(data) if at < 0 else at + len(line_end)


def _start_of_last(cls: RecordClass, data: bytes) -> int:
    line_end = _line_end(cls, data)
    whole = data.removesuffix(line_end) if line_end else data
    if issubclass(cls, FixedWidth):
        if cls._options.prefix:
            return max((start - 4 for start, _ in _described(cls, data)), default=0)
        if length := cls._fixed_length():
            return max(len(whole) - length, 0)
    at = whole.rfind(line_end)
    return 0 if at < 0 else at + len(line_end)


def _described(cls: type[FixedWidth], data: bytes) -> list[tuple[int, bytes]]:
    return list(Described(cls.__name__, cls._options.prefix != "gnucobol").cut(data))


def _line_end(cls: RecordClass, data: bytes) -> bytes:
    if issubclass(cls, FixedWidth):
        return cls._options.line_end
    encoding = str(cls._options.encoding) if issubclass(cls, Delimited) else "utf-8"
    feed, carriage_return = "\n".encode(encoding), "\r".encode(encoding)
    return feed if feed in data else carriage_return
