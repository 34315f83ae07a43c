"""Messages to AMQP frames and back."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pika import frame, spec

from adapter_sdk.errors import PermanentError
from adapter_sdk.transport.base import Message
from adapter_sdk.transport.checks import describe

_PERSISTENT: Literal[2] = 2

# AMQP 0-9-1, sections 4.2.3 and 4.2.6: the start of a frame (type, channel, size) and of a content header (class,
# weight, body size, property flags), and the flag of the delivery mode.
_FRAME_START = struct.Struct(">BHL")
_CONTENT_HEADER = struct.Struct(">HHQH")
_DELIVERY_MODE = 1 << 12

_WRITE_SIZE = 256 * 1024
"""Bytes handed to pika at once: it copies the rest of a buffer after each partial send, so huge ones would be slow."""


def to_frames(messages: Sequence[Message], channel: int, frame_max: int) -> list[bytes]:
    """The frames that publish each message: mandatory and persistent. Raises PermanentError if one cannot be encoded.

    Called on the thread that publishes, so that the I/O thread only has to write.
    """
    methods: dict[tuple[str, str], bytes] = {}
    frames = []
    for number, message in enumerate(messages, 1):
        address = (message.exchange, message.routing_key)
        if address not in methods:
            methods[address] = frame.Method(channel, spec.Basic.Publish(0, *address, mandatory=True)).marshal()
        header = _header(message, channel)
        if len(header) > frame_max:
            what = describe(message, number, len(messages))
            raise PermanentError(f"{what} cannot be sent: its headers take {len(header)} of {frame_max} bytes.")
        frames.append(b"".join([methods[address], header, *_body_frames(message.body, channel, frame_max)]))
    return frames


def in_writes(frames: Iterable[bytes]) -> Iterator[bytes]:
    """The frames again, joined to pieces of a good size for one write each."""
    piece = bytearray()
    for encoded in frames:
        piece += encoded
        if len(piece) >= _WRITE_SIZE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def to_message(exchange: str, routing_key: str, properties: spec.BasicProperties, body: bytes) -> Message:
    """The message that pika decoded."""
    return Message(
        body,
        routing_key,
        exchange,
        properties.headers or {},
        properties.content_type,
        properties.content_encoding,
        properties.message_id,
        properties.correlation_id,
        properties.reply_to,
        properties.type,
        properties.app_id,
        properties.user_id,
        properties.timestamp,
        properties.expiration,
        properties.priority,
    )


def _header(message: Message, channel: int) -> bytes:
    """The content header: most messages have short strings only, which take a third of pika's time to encode here."""
    if message.headers or message.priority is not None or message.timestamp is not None:
        return frame.Header(channel, len(message.body), _properties(message)).marshal()
    flags, parts = _DELIVERY_MODE, [b""]
    for flag, value in (
        (1 << 15, message.content_type),
        (1 << 14, message.content_encoding),
        (0, None),
        (1 << 10, message.correlation_id),
        (1 << 9, message.reply_to),
        (1 << 8, message.expiration),
        (1 << 7, message.message_id),
        (1 << 5, message.type),
        (1 << 4, message.user_id),
        (1 << 3, message.app_id),
    ):
        if not flag:
            parts.append(b"\x02")  # persistent, between the second and the third string
        elif value is not None:
            text = value.encode()
            flags |= flag
            parts.append(b"%c%b" % (len(text), text))
    parts[0] = _CONTENT_HEADER.pack(spec.BasicProperties.INDEX, 0, len(message.body), flags)
    return _frame(spec.FRAME_HEADER, channel, b"".join(parts))


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return b"%b%b%c" % (_FRAME_START.pack(kind, channel, len(payload)), payload, spec.FRAME_END)


def _properties(message: Message) -> spec.BasicProperties:
    return spec.BasicProperties(
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=dict(message.headers) or None,
        delivery_mode=_PERSISTENT,
        priority=message.priority,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        expiration=message.expiration,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        user_id=message.user_id,
        app_id=message.app_id,
    )


def _body_frames(body: bytes, channel: int, frame_max: int) -> Iterator[bytes]:
    size = frame_max - spec.FRAME_HEADER_SIZE - spec.FRAME_END_SIZE
    for start in range(0, len(body), size):
        yield _frame(spec.FRAME_BODY, channel, body[start : start + size])
