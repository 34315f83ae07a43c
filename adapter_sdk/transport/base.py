"""What every transport does, in the terms of AMQP 0-9-1, and nothing about any one of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from adapter_sdk.errors import BrokerError

UNDECODABLE = "x-adaptor-undecodable"
"""Header that stands in for headers no decoder can read; its value says why. The body is delivered all the same."""

UNDECODABLE_TABLE = "x-adaptor-undecodable-table"
"""Beside `UNDECODABLE`: the bytes of the AMQP table as they came, so that nothing of the message is lost."""


SHORT_STRING = 255
"""Bytes that AMQP 0-9-1 allows a routing key, a name, or a property such as the correlation id."""


@dataclass(slots=True)  # not frozen: one is made for each event and each reply, at half the price
class Message:
    """A message as AMQP 0-9-1 carries it. Published messages are always persistent.

    `timestamp` is in seconds since the epoch; `expiration` is in milliseconds, as a string, as the protocol has it.
    Text that a producer sent as invalid UTF-8 arrives decoded with U+FFFD in place of each bad byte.
    """

    body: bytes
    routing_key: str = ""
    exchange: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict)
    content_type: str | None = None
    content_encoding: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    type: str | None = None
    app_id: str | None = None
    user_id: str | None = None
    timestamp: int | None = None
    expiration: str | None = None
    priority: int | None = None


@dataclass(slots=True, eq=False)
class Delivery:
    """One message in our hands, unsettled. `receipt` is the transport's own and opaque to everyone else.

    `delivery_count` is how often it was given out before as the broker counts it: 0 on a first delivery, None on a
    redelivery from a queue that does not count (a classic queue).
    """

    message: Message
    receipt: object
    redelivered: bool = False
    delivery_count: int | None = None


class Confirm(Enum):
    """What became of a published message. Only `CONFIRMED` means that the broker holds it."""

    CONFIRMED = "confirmed"
    RETURNED = "returned"
    """No queue is bound for it: the broker gave it back (`mandatory`)."""
    NACKED = "nacked"
    """The broker refused it, as a full queue does."""


class QueueTaken(BrokerError):
    """Another process consumes the queue exclusively, or some process does where it was asked for exclusively."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange to declare; durable always. `kind` is "topic", "direct" or "fanout"."""

    name: str
    kind: str = "topic"


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue to declare; durable always. `arguments` are AMQP arguments such as `x-queue-type`."""

    name: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages of `exchange` whose routing key matches `routing_key` go to `queue`."""

    exchange: str
    queue: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """What must exist on the broker before an adaptor consumes. The default exchange is the name ""."""

    exchanges: Sequence[Exchange] = ()
    queues: Sequence[Queue] = ()
    bindings: Sequence[Binding] = ()


OnDeliveries = Callable[[list[Delivery]], None]
"""Called on the transport's own thread with all that one read brought; must return at once."""

OnLost = Callable[[Exception], None]
"""Called once, on the transport's own thread, when consuming has ended without being asked to."""

Keep = Callable[[Message], bool]
"""Called with a message that was taken from a queue: true if it is kept elsewhere now, and may be forgotten there."""


class Transport(Protocol):
    """One connection of one adaptor to a broker: consume, settle, publish.

    Every method may be called from any thread but the transport's own: only `ack`, `release` and `close` may be called
    from inside `on_deliveries` and `on_lost`. A delivery is settled once, by `ack` or `release`: the first call counts
    and a second does nothing. Settling one that belongs to a connection that is gone does nothing either, because the
    broker gives it out again.

    Errors are `BrokerError` (try again after `open`), `ConfigError` (trying again cannot help: wrong password, wrong
    queue arguments) and, for a message that AMQP cannot carry, `PermanentError` from `publish`.
    """

    @property
    def name(self) -> str:
        """Where this transport is connected to, fit for a log line: never a password."""
        ...

    def open(self) -> None:
        """Connect. Calling it when connected does nothing; after a loss it connects anew."""
        ...

    def declare(self, topology: Topology) -> None:
        """Create what is missing. Raises ConfigError, naming queue and argument, if something exists otherwise.

        As `missing` and `depth` it needs no `open`: it uses a short-lived connection of its own.
        """
        ...

    def missing(self, topology: Topology) -> list[str]:
        """Names of the exchanges and queues of `topology` that the broker does not have; changes nothing."""
        ...

    def depth(self, queue: str) -> int:
        """Messages ready in `queue`. Raises ConfigError if there is no such queue."""
        ...

    def take(self, queue: str, keep: Keep, *, limit: int = 1000) -> int:
        """Hand what is ready in `queue` to `keep`, one by one and at most `limit` messages; how many were kept.

        A message is settled when `keep` answers true. The others, and one at which `keep` raises, are in the queue
        again afterwards. Nothing is waited for. As `declare` it needs no `open`. Raises ConfigError if there is no such
        queue.
        """
        ...

    def consume(
        self,
        queue: str,
        *,
        prefetch: int,
        on_deliveries: OnDeliveries,
        on_lost: OnLost,
        exclusive: bool = False,
        in_order: bool = False,
    ) -> None:
        """Start to consume. At most `prefetch` deliveries are unsettled at a time; with 0 nothing is delivered.

        `exclusive` takes the queue until `close`: another transport that asks for it exclusively is refused with
        QueueTaken. `in_order` does so too, and begins with what earlier consumers left unsettled, in its old order.
        That holds as long as none of them was given less `prefetch` than the one before, and none was ended by
        `cancel`: RabbitMQ puts what is given back behind what was given back before. One consumer at a time; after
        `cancel` another may start. Raises ConfigError if there is no such queue.
        """
        ...

    def cancel(self) -> None:
        """Stop consuming, keep what was delivered. Nothing is delivered after it returns; `on_lost` is not called."""
        ...

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Settle: the broker may forget them. Returns without waiting for the broker."""
        ...

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back for another delivery (nack with requeue). Returns without waiting for the broker."""
        ...

    def publish(self, messages: Sequence[Message], *, timeout: float = 30.0) -> list[Confirm]:
        """Publish all, wait for all: one Confirm per message, in order. `timeout` is in seconds.

        Always with publisher confirms and `mandatory`. Raises BrokerError if the connection fails or time runs out
        first, and ConfigError if the broker refuses (no such exchange, no permission); then nothing is known of any of
        them. Raises PermanentError, with nothing sent, if one of them cannot be put into AMQP.
        """
        ...

    def close(self) -> None:
        """Close the connections; what is unsettled goes back to its queue. Calling it twice does nothing."""
        ...
