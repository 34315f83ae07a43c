"""Whole deliveries read straight from the bytes of a connection, in a quarter of the time that pika takes for one.

AMQP 0-9-1, sections 4.2.3 to 4.2.6: a delivery is a method frame, a content header and, unless it is empty, bodies.
"""

import struct
from collections.abc import Callable
from functools import lru_cache

from pika import data, spec

from adapter_sdk.transport.base import Message

OnDelivery = Callable[[int, bool, Message], None]
"""Called with the tag of a delivery, whether it was given out before, and the message."""

_FRAME = struct.Struct(">BHL")
_TAG = struct.Struct(">QB")
_CONTENT = struct.Struct(">HHQH")
_SECONDS = struct.Struct(">Q")
_DELIVER = struct.pack(">HH", *divmod(spec.Basic.Deliver.INDEX, 1 << 16))
_END = spec.FRAME_END
# Bytes of a frame around its payload: type, channel and size before it, an end mark after it.
_START, _AROUND = 7, 8

_TEXT, _TABLE, _OCTET, _TIME = range(4)
# The properties by their flags, in the order in which they stand, each with its form.
_PROPERTIES = {
    1 << 15: ("content_type", _TEXT),
    1 << 14: ("content_encoding", _TEXT),
    1 << 13: ("headers", _TABLE),
    1 << 12: ("delivery_mode", _OCTET),
    1 << 11: ("priority", _OCTET),
    1 << 10: ("correlation_id", _TEXT),
    1 << 9: ("reply_to", _TEXT),
    1 << 8: ("expiration", _TEXT),
    1 << 7: ("message_id", _TEXT),
    1 << 6: ("timestamp", _TIME),
    1 << 5: ("type", _TEXT),
    1 << 4: ("user_id", _TEXT),
    1 << 3: ("app_id", _TEXT),
    1 << 2: ("cluster_id", _TEXT),
}


class Deliveries:
    """Reads the deliveries of one consumer from a buffer, and hands them to `on_delivery`.

    A body in several frames, and whatever is not a delivery of this consumer, is left to pika.
    """

    def __init__(self, channel: int, consumer_tag: str, frame_max: int, on_delivery: OnDelivery) -> None:
        self._method = _FRAME.pack(spec.FRAME_METHOD, channel, 0)[:3]
        self._header = _FRAME.pack(spec.FRAME_HEADER, channel, 0)[:3]
        self._body = _FRAME.pack(spec.FRAME_BODY, channel, 0)[:3]
        tag = consumer_tag.encode()
        self._deliver = b"%b%c%b" % (_DELIVER, len(tag), tag)
        self._largest = frame_max - _AROUND
        self._on_delivery = on_delivery

    def read(self, buffer: bytes, start: int) -> int | None:
        """Hand over the delivery that begins at `start` and return where to read on.

        That is `start` itself as long as it has not arrived whole. None if what begins there is for pika.
        """
        if not (buffer.startswith(self._method, start) and buffer.startswith(self._deliver, start + _START)):
            return None
        header = start + _AROUND + int.from_bytes(buffer[start + 3 : start + 7], "big")
        if header + _START + _CONTENT.size > len(buffer):
            return start
        _class, _weight, size, flags = _CONTENT.unpack_from(buffer, header + _START)
        if not buffer.startswith(self._header, header) or flags & 1 or size > self._largest:
            return None
        body = header + _AROUND + int.from_bytes(buffer[header + 3 : header + 7], "big")
        end = body + _AROUND + size if size else body
        if end > len(buffer):
            return start
        in_one = buffer.startswith(self._body, body) and int.from_bytes(buffer[body + 3 : body + 7], "big") == size
        if (size and not in_one) or not buffer[header - 1] == buffer[body - 1] == buffer[end - 1] == _END:
            return None
        tag_at = start + _START + len(self._deliver)
        tag, redelivered = _TAG.unpack_from(buffer, tag_at)
        exchange, routing_key = _address(buffer[tag_at + _TAG.size : header - 1])
        message = Message(buffer[body + _START : end - 1] if size else b"", routing_key, exchange)
        if _read_properties(message, buffer, header + _START + _CONTENT.size, flags) != body - 1:
            return None
        self._on_delivery(tag, bool(redelivered), message)
        return end


@lru_cache(maxsize=256)
def _address(encoded: bytes) -> tuple[str, str]:
    """Exchange and routing key."""
    exchange, offset = _short_string(encoded, 0)
    routing_key, _ = _short_string(encoded, offset)
    return exchange, routing_key


@lru_cache(maxsize=256)
def _fields(flags: int) -> list[tuple[str, int]]:
    """What the flags say is there, in its order."""
    return [field for flag, field in _PROPERTIES.items() if flags & flag]


def _read_properties(message: Message, buffer: bytes, offset: int, flags: int) -> int:
    """Where they end."""
    for name, form in _fields(flags):
        value: object
        if form == _TEXT:
            value, offset = _short_string(buffer, offset)
        elif form == _OCTET:
            value = buffer[offset]
            offset += 1
        elif form == _TIME:
            (value,) = _SECONDS.unpack_from(buffer, offset)
            offset += _SECONDS.size
        else:
            value, offset = data.decode_table(buffer, offset)
        if name in _KEPT:
            setattr(message, name, value)
    return offset


def _short_string(buffer: bytes, offset: int) -> tuple[str, int]:
    end = offset + 1 + buffer[offset]
    return buffer[offset + 1 : end].decode("utf-8", "replace"), end


_KEPT = frozenset(Message.__slots__)
