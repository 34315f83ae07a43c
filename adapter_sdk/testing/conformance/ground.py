"""What the themes of the conformance suite share: the ground that they stand on, and short words for long steps."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar, Protocol, TypeVar

import pytest

from adapter_sdk.testing.conformance.inbox import Inbox
from adapter_sdk.transport.base import Message, Queue, Topology, Transport

QUORUM: Mapping[str, str | int] = {"x-queue-type": "quorum"}

Connect = Callable[[], Transport]
Test = TypeVar("Test", bound=Callable[..., None])


class BrokerUnderTest(Protocol):
    """What the suite needs from outside the transport."""

    user: str | None
    """The user that transports log in as, for `Message.user_id`; None where there are no users."""

    def transport(self) -> Transport:
        """A fresh transport, not yet open."""
        ...

    def delete_queue(self, name: str) -> None:
        """Delete a queue behind the transport's back."""
        ...

    def cut_connections(self) -> None:
        """End every connection to the broker behind the transports' backs."""
        ...


def feature(name: str) -> Callable[[Test], Test]:
    """Say which feature a test shows; this is its line in the table."""

    def mark(test: Test) -> Test:
        test.feature = name  # type: ignore[attr-defined]
        return test

    return mark


class Conformance:
    """What the tests of every theme need: an open transport, a fresh queue, and their line of the table."""

    transport_name: ClassVar[str]
    unsupported: ClassVar[Mapping[str, str]] = {}
    """Features this transport does not have, each with the reason."""

    @pytest.fixture
    def broker(self) -> BrokerUnderTest:
        """The broker to test against."""
        raise NotImplementedError("a subclass gives the broker")

    @pytest.fixture(autouse=True)
    def _line_of_the_table(self, request: pytest.FixtureRequest) -> None:
        name = getattr(request.function, "feature", None)
        if name is None:
            return
        themes = [kind.__module__ for kind in type(self).__mro__]
        line = themes.index(request.function.__module__) * 1000 + request.function.__code__.co_firstlineno
        request.node.user_properties.append(("conformance", (line, name, self.transport_name)))
        if name in self.unsupported:
            pytest.skip(self.unsupported[name])

    @pytest.fixture
    def connect(self, broker: BrokerUnderTest) -> Iterator[Connect]:
        """Call it for an open transport; all of them are closed after the test."""
        opened: list[Transport] = []

        def connect() -> Transport:
            transport = broker.transport()
            opened.append(transport)
            transport.open()
            return transport

        yield connect
        for transport in opened:
            transport.close()

    @pytest.fixture
    def transport(self, connect: Connect) -> Transport:
        """An open transport."""
        return connect()

    @pytest.fixture
    def queue(self, transport: Transport) -> str:
        """The name of a fresh quorum queue."""
        return new_queue(transport)


def unique(what: str) -> str:
    """A name that no other test uses."""
    return f"{what}-{uuid.uuid4().hex[:12]}"


def new_queue(transport: Transport, arguments: Mapping[str, str | int] | None = None) -> str:
    """Declare a fresh quorum queue, with `arguments` on top, and return its name."""
    name = unique("queue")
    transport.declare(Topology(queues=[Queue(name, {**QUORUM, **(arguments or {})})]))
    return name


def delay(seconds: float, target: str) -> dict[str, str | int]:
    """Arguments of a queue that passes each message on to `target` after `seconds`."""
    return {
        "x-message-ttl": round(seconds * 1000),
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": target,
    }


def consume(
    transport: Transport, queue: str, *, prefetch: int = 100, exclusive: bool = False, in_order: bool = False
) -> Inbox:
    """Consume `queue` into a new inbox."""
    inbox = Inbox()
    transport.consume(
        queue,
        prefetch=prefetch,
        on_deliveries=inbox.on_deliveries,
        on_lost=inbox.on_lost,
        exclusive=exclusive,
        in_order=in_order,
    )
    return inbox


def full_message(routing_key: str, user: str | None) -> Message:
    """A message with every property and every kind of header."""
    return Message(
        b"\x00body",
        routing_key=routing_key,
        headers={
            "text": "t\u00e9xt",
            "bytes": b"\x00\xff",
            "small": -1,
            "large": 2**62,
            "true": True,
            "none": None,
            "float": 0.25,
            "decimal": Decimal("12.34"),
            "time": datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC),
            "list": ["a", 1, {"deep": [None, 1.5]}],
            "table": {"inner": {"deeper": "x"}},
        },
        content_type="application/cloudevents+json",
        content_encoding="identity",
        message_id="m-1",
        correlation_id="c-1",
        reply_to="answers",
        type="com.shop.order.placed",
        app_id="shop",
        user_id=user,
        timestamp=2**34,
        expiration="3600000",
        priority=3,
    )
