"""Deliveries read straight from the bytes: the same messages that pika makes of them, however they are cut."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec
from pika.channel import ContentFrameAssembler

from adapter_sdk.transport.base import UNDECODABLE, Message
from adapter_sdk.transport.rabbitmq import guard
from adapter_sdk.transport.rabbitmq.deliveries import Deliveries
from adapter_sdk.transport.rabbitmq.encoding import to_message
from adapter_sdk.transport.rabbitmq.link import Connection

guard.install()

TAG = "ctag1.0"
CHANNEL = 3
FRAME_MAX = 4096


class Got(NamedTuple):
    """One delivery as the consumer is told of it."""

    tag: int
    redelivered: bool
    message: Message


class Reader(Connection):
    """The connection's way from bytes to deliveries, without a socket. `by_pika` holds what went pika's way."""

    def __init__(self, tag: str) -> None:
        self._frame_buffer = b""
        self.bytes_received = self.frames_received = 0
        self._assembler = ContentFrameAssembler()
        self.direct: list[Got] = []
        self.by_pika: list[Got] = []
        self.deliveries = Deliveries(CHANNEL, tag, FRAME_MAX, lambda *got: self.direct.append(Got(*got)))

    is_open = True

    def _deliver_frame_to_channel(self, value: Any) -> None:
        if content := self._assembler.process(value):
            method, header, body = content
            message = to_message(method.method.exchange, method.method.routing_key, header.properties, body)
            self.by_pika.append(Got(method.method.delivery_tag, method.method.redelivered, message))

    def read(self, pieces: Sequence[bytes]) -> "Reader":
        """Take what a socket brings."""
        for piece in pieces:
            self._on_data_available(piece)
        return self


def encoded(number: int, properties: spec.BasicProperties, body: bytes, *, redelivered: bool = False) -> bytes:
    """One delivery as a broker sends it."""
    size = FRAME_MAX - spec.FRAME_HEADER_SIZE - spec.FRAME_END_SIZE
    method = spec.Basic.Deliver(TAG, number, redelivered, "events", "com.shop.order.placed")
    parts = [frame.Method(CHANNEL, method), frame.Header(CHANNEL, len(body), properties)]
    parts += [frame.Body(CHANNEL, body[start : start + size]) for start in range(0, len(body), size)]
    return b"".join(part.marshal() for part in parts)


short = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
headers = st.dictionaries(short, st.one_of(short, st.booleans(), st.integers(-(2**60), 2**60)), max_size=3)
properties = st.builds(
    spec.BasicProperties,
    content_type=st.none() | short,
    content_encoding=st.none() | short,
    headers=st.none() | headers,
    delivery_mode=st.none() | st.sampled_from([1, 2]),
    priority=st.none() | st.integers(0, 255),
    correlation_id=st.none() | short,
    reply_to=st.none() | short,
    expiration=st.none() | short,
    message_id=st.none() | short,
    timestamp=st.none() | st.integers(0, 2**63 - 1),
    type=st.none() | short,
    user_id=st.none() | short,
    app_id=st.none() | short,
    cluster_id=st.none() | short,
)


@given(st.lists(st.tuples(properties, st.binary(max_size=50), st.booleans()), min_size=1, max_size=4))
def test_deliveries_are_what_pika_makes_of_them(sent: list[tuple[spec.BasicProperties, bytes, bool]]) -> None:
    """All properties, absent or present, headers and bodies, empty ones as well."""
    data = b"".join(
        encoded(number, properties, body, redelivered=redelivered)
        for number, (properties, body, redelivered) in enumerate(sent, 1)
    )
    ours, pikas = Reader(TAG).read([data]), Reader("another").read([data])
    assert not ours.by_pika
    assert not pikas.direct
    assert ours.direct == pikas.by_pika


@given(st.integers(1, 400), st.integers(1, 400))
def test_deliveries_that_come_in_pieces_are_all_seen_once(first: int, second: int) -> None:
    """Wherever a read ends, in the middle of a frame or between two; and none takes the longer way for it."""
    data = b"".join(
        encoded(number, spec.BasicProperties(message_id=f"m{number}"), b"body" * number) for number in range(1, 4)
    )
    cut = sorted({min(first, len(data)), min(second, len(data))})
    pieces = [data[start:end] for start, end in zip([0, *cut], [*cut, len(data)], strict=True)]
    reader = Reader(TAG).read(pieces)
    assert [(got.tag, got.message.body) for got in reader.direct] == [(n, b"body" * n) for n in (1, 2, 3)]
    assert not reader.by_pika


def test_a_body_in_several_frames_goes_pikas_way() -> None:
    """And what comes after it is read directly again."""
    large = encoded(1, spec.BasicProperties(), bytes(3 * FRAME_MAX))
    reader = Reader(TAG).read([large + encoded(2, spec.BasicProperties(), b"small")])
    assert [(got.tag, len(got.message.body)) for got in reader.by_pika] == [(1, 3 * FRAME_MAX)]
    assert [got.tag for got in reader.direct] == [2]


@pytest.mark.parametrize("bomb", list(guard.BOMBS.values()), ids=list(guard.BOMBS))
def test_headers_that_nobody_can_decode_are_delivered_as_such(bomb: bytes) -> None:
    """The guard stands on this way, too."""
    plain = encoded(1, spec.BasicProperties(headers={"h": "x" * (len(bomb) - 7)}), b"body")
    table = b"\x01hS" + (len(bomb) - 7).to_bytes(4, "big") + b"x" * (len(bomb) - 7)
    assert len(table) == len(bomb)
    (got,) = Reader(TAG).read([plain.replace(table, bomb)]).direct
    assert (UNDECODABLE in got.message.headers, got.message.body) == (True, b"body")


def test_text_that_is_not_utf_8_has_a_mark_for_each_bad_byte() -> None:
    """As the transport promises for every message."""
    data = encoded(1, spec.BasicProperties(message_id="??"), b"").replace(b"??", b"\xff!")
    (got,) = Reader(TAG).read([data]).direct
    assert got.message.message_id == "\ufffd!"
