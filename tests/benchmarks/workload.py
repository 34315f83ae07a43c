"""The events of every job, and what a consumer written by hand makes of them. Needs pydantic alone."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

SOURCE = "/shop"
ORDER_TYPE = "bench.order.placed"
REPLY_TYPE = "bench.order.booked"
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
EXCHANGE = "events"
QUEUE = "bench"
"""The queue that every contender consumes: named after the toolkit's adaptor, with the arguments that it declares."""
REPLIES = "replies"
STARTED = "BENCH_STARTED"
"""The environment variable that names the file in which an adaptor says when its first event came."""
HANDLED = "BENCH_HANDLED"
"""The one that names the file in which an adaptor writes down each call of its handler."""

_NOT_SENT = b'"sent_at":0'
_LINE = {"sku": "KETTLE-0042", "quantity": 2, "price": "24.90"}


class Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    sku: str
    quantity: int
    price: Decimal


class Order(BaseModel):
    """The data of an event. `sent_at`: nanoseconds of the monotonic clock, which all processes share; 0: unasked."""

    model_config = ConfigDict(frozen=True)

    order_id: str
    customer: str
    total: Decimal
    sent_at: int = 0
    lines: tuple[Line, ...]
    note: str = ""


class OrderEvent(BaseModel):
    """The whole CloudEvents envelope, as a consumer by hand validates it in one pass over the bytes."""

    model_config = ConfigDict(frozen=True)

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    time: str
    datacontenttype: str
    data: Order


class Booked(BaseModel):
    order_id: str
    number: str
    sent_at: int


class ReplyEvent(BaseModel):
    specversion: str = "1.0"
    id: str
    source: str = "/consumers/bench"
    type: str = REPLY_TYPE
    time: str
    datacontenttype: str = "application/json"
    correlationid: str
    causationid: str
    data: Booked


def event_body(number: int, size: int) -> bytes:
    """A CloudEvents JSON of `size` bytes, or of the least that an order takes (about 330): more bytes, more lines."""
    lines = max((size - 400) // len(_encoded_line()), 1)
    bare = _body(number, lines, "")
    return _body(number, lines, "x" * (size - len(bare))) if len(bare) < size else bare


def stamped(body: bytes, sent_at: int) -> bytes:
    """The body with the moment at which it is sent."""
    return body.replace(_NOT_SENT, b'"sent_at":%d' % sent_at)


def bodies(events: int, size: int) -> Iterator[bytes]:
    """The bodies of `events` different events, numbered from 1."""
    pattern = event_body(0, size)
    for number in range(1, events + 1):
        yield pattern.replace(_number(0), _number(number))


def reply_body(event: OrderEvent) -> bytes:
    """The reply that a consumer by hand builds: about 370 bytes, as much as the toolkit's."""
    data = Booked(order_id=event.data.order_id, number=f"ERP-{event.id}", sent_at=event.data.sent_at)
    reply = ReplyEvent(
        id=f"booked-{event.id}", time=event.time, correlationid=event.id, causationid=event.id, data=data
    )
    return reply.model_dump_json().encode()


def _number(number: int) -> bytes:
    return b"N%09d" % number


def _encoded_line() -> bytes:
    return Line.model_validate(_LINE).model_dump_json().encode() + b","


def _body(number: int, lines: int, note: str) -> bytes:
    event = OrderEvent(
        specversion="1.0",
        id=_number(number).decode(),
        source=SOURCE,
        type=ORDER_TYPE,
        time="2026-11-20T08:15:00Z",
        datacontenttype="application/json",
        data=Order(
            order_id=_number(number).decode(),
            customer="Ada Lovelace",
            total=Decimal("49.80") * lines,
            lines=(Line.model_validate(_LINE),) * lines,
            note=note,
        ),
    )
    return event.model_dump_json().encode()
