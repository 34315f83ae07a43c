"""pika's table codec, mended where one message could end a connection or lose a part of itself.

Seen with pika 1.4.4: a header timestamp beyond the year 9999 and tables nested some 900 deep raise inside the I/O
loop, so the connection is lost, the message is delivered again, and so on for ever. A float loses its fraction when
decoded and cannot be encoded. A long integer becomes a class whose text ends in "L". Text that is not UTF-8 arrives as
bytes where a string is promised.
"""

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import pika
from pika import data, spec

from adapter_sdk.errors import ConfigError
from adapter_sdk.transport.base import UNDECODABLE, UNDECODABLE_TABLE
from adapter_sdk.transport.checks import MAX_HEADER_DEPTH

_pika_decode_table = data.decode_table
_pika_decode_value = data.decode_value
_pika_encode_value = data.encode_value

Table = dict[Any, Any]

_NUMBERS = {
    b"d": struct.Struct(">d"),
    b"f": struct.Struct(">f"),
    b"l": struct.Struct(">q"),
    b"L": struct.Struct(">q"),
}
"""How to read the kinds of numbers that pika does not give back as plain Python numbers."""


def _decode_table(encoded: bytes, offset: int) -> tuple[Table, int]:
    """Decode a message's headers; a table that cannot be decoded becomes a marker that holds its bytes."""
    end = offset + 4 + int(struct.unpack_from(">I", encoded, offset)[0])
    try:
        table, stopped = _pika_decode_table(encoded, offset)
        reason = _fault_of(table, stopped - end)
    except RecursionError:
        reason = f"nested deeper than {MAX_HEADER_DEPTH} levels"
    except Exception as error:  # noqa: BLE001 - whatever a producer makes the decoder raise, the message is delivered
        reason = f"{type(error).__name__}: {error}"
    else:
        if reason is None:
            return dict(table), end
    return {UNDECODABLE: reason, UNDECODABLE_TABLE: encoded[offset:end]}, end


def _fault_of(table: object, surplus: int) -> str | None:
    if surplus:
        return f"its content ends {surplus} bytes beside the length it gives"
    level = [table]
    for _ in range(MAX_HEADER_DEPTH):
        level = [item for outer in level for item in _items(outer) if isinstance(item, dict | list)]
        if not level:
            return None
    return f"nested deeper than {MAX_HEADER_DEPTH} levels"


def _items(outer: object) -> list[object]:
    if isinstance(outer, dict):
        return list(outer.values())
    return outer if isinstance(outer, list) else []


def _decode_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    kind = encoded[offset : offset + 1]
    if kind == b"F":
        # Past the guard: only the outermost table knows where decoding can go on, so only it may catch.
        return _pika_decode_table(encoded, offset + 1)
    if number := _NUMBERS.get(kind):
        return number.unpack_from(encoded, offset + 1)[0], offset + 1 + number.size
    return _pika_decode_value(encoded, offset)


def _encode_value(pieces: list[bytes], value: Any) -> int:
    if isinstance(value, float):
        pieces.append(struct.pack(">cd", b"d", value))
        return 9
    return _pika_encode_value(pieces, value)


def _decode_short_string(encoded: bytes, offset: int) -> tuple[str, int]:
    end = offset + 1 + encoded[offset]
    return encoded[offset + 1 : end].decode("utf-8", errors="replace"), end


_MENDED = {
    "decode_table": _decode_table,
    "decode_value": _decode_value,
    "encode_value": _encode_value,
    "decode_short_string": _decode_short_string,
}


def install() -> None:
    """Put the mended functions into pika, for this process. Calling it again does nothing."""
    for name, function in _MENDED.items():
        setattr(data, name, function)


def self_test() -> None:
    """Feed pika the messages that used to kill it. Raises ConfigError if a changed pika goes round the guard."""
    for what, table in BOMBS.items():
        _demand(what, partial(_withstands, table))
    _demand("numbers as they were sent", _keeps_numbers)


def _demand(what: str, check: Callable[[], bool]) -> None:
    try:
        kept = check()
    except Exception as error:
        raise _guard_lost(what) from error
    if not kept:
        raise _guard_lost(what)


def _withstands(table: bytes) -> bool:
    properties = spec.BasicProperties()
    properties.decode(_properties(table))
    return UNDECODABLE in (properties.headers or {}) and properties.message_id == "id"


def _keeps_numbers() -> bool:
    headers: dict[str, Any] = {"float": 0.5, "table": {"list": [1.25]}, "long": 2**40}
    properties = spec.BasicProperties()
    properties.decode(b"".join(spec.BasicProperties(headers=headers).encode()))
    return properties.headers == headers and type((properties.headers or {})["long"]) is int


def _guard_lost(what: str) -> ConfigError:
    return ConfigError(
        f"pika {pika.__version__} handles headers in a way this toolkit does not know and fails at: {what}. Install a "
        f"pika of the range that the toolkit names."
    )


def _properties(table: bytes) -> bytes:
    flags = spec.BasicProperties.FLAG_HEADERS | spec.BasicProperties.FLAG_MESSAGE_ID
    return struct.pack(">H", flags) + struct.pack(">I", len(table)) + table + b"\x02id"


def _nested(depth: int) -> bytes:
    table = b""
    for _ in range(depth):
        table = b"\x01nF" + struct.pack(">I", len(table)) + table
    return table


BOMBS = {
    "a timestamp beyond the year 9999": b"\x01tT" + struct.pack(">Q", 2**48),
    "headers nested 2000 deep": _nested(2000),
}
"""The contents of AMQP tables that make an unguarded pika 1.4.4 raise."""
