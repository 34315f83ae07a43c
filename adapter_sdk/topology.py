"""What an adaptor needs on the broker, and the copies of a message that move through it. Pure: names and values."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.outcomes import settle_delay
from adapter_sdk.settings import Settings
from adapter_sdk.transport.base import Binding, Exchange, Message, Queue, Topology

ATTEMPT_HEADER = "x-adaptor-attempt"
"""On a copy: how many attempts were made before it. The ledger tells by it a stale original from a newer copy."""

RESEND_DELAY = 30.0
"""Seconds until an applied event is looked at again whose reply no queue wanted."""

# A header is the sender's word: no larger number reaches the ledger, whose column has 32 bits.
_MOST_ATTEMPTS = 1_000_000

BUSY_DELAY = 5.0
"""Seconds until an event is looked at again that another living process has in hand."""

# Written by the broker. A copy that carried them would look as if it had already been dead-lettered.
_BROKER_HEADERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")


def retry_queue(name: str, delay: float) -> str:
    """The queue that holds events of the adaptor `name` for `delay` seconds; another delay is another queue."""
    return f"{name}.retry.{round(delay * 1000)}ms"


def dead_queue(name: str) -> str:
    """Where the broker itself puts what it has delivered too often."""
    return f"{name}.dead"


def plan(adaptor: type[Adaptor], settings: Settings) -> Topology:
    """The topology of an adaptor: its exchange, work queue, one queue per delay, and the broker's safety net."""
    name, broker = adaptor.name, settings.broker
    kind = broker.queue_type
    queues = [Queue(name, _work_arguments(name, kind, broker.delivery_limit))]
    queues.extend(
        Queue(retry_queue(name, delay), _retry_arguments(name, kind, delay)) for delay in _delays(adaptor, settings)
    )
    queues.append(Queue(dead_queue(name), {"x-queue-type": kind}))
    return Topology(
        exchanges=(Exchange(broker.exchange, "topic"),),
        queues=tuple(queues),
        bindings=tuple(Binding(broker.exchange, name, event_type) for event_type in sorted(adaptor._handlers)),
    )


def without(topology: Topology, missing: Collection[str]) -> Topology:
    """The part of a topology that is there. Declaring it creates nothing, and shows what is there otherwise."""
    return Topology(
        exchanges=tuple(item for item in topology.exchanges if item.name not in missing),
        queues=tuple(item for item in topology.queues if item.name not in missing),
    )


def _delays(adaptor: type[Adaptor], settings: Settings) -> list[float]:
    delays = {RESEND_DELAY, BUSY_DELAY, *settings.retry.delays}
    for handler in adaptor._handlers.values():
        if handler.options.retry is not None:
            delays |= set(handler.options.retry.delays)
        if handler.verify is not None:
            delays.add(settle_delay(handler))
    return sorted(delays)


def _work_arguments(name: str, kind: str, delivery_limit: int) -> dict[str, str | int]:
    arguments: dict[str, str | int] = {
        "x-queue-type": kind,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_queue(name),
    }
    if kind == "quorum":
        arguments |= {"x-delivery-limit": delivery_limit, **_AT_LEAST_ONCE}
    return arguments


def _retry_arguments(name: str, kind: str, delay: float) -> dict[str, str | int]:
    arguments: dict[str, str | int] = {
        "x-queue-type": kind,
        "x-message-ttl": round(delay * 1000),
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": name,
    }
    return {**arguments, **_AT_LEAST_ONCE} if kind == "quorum" else arguments


# Dead-lettering without loss takes both on a quorum queue: without reject-publish RabbitMQ falls back to at-most-once.
_AT_LEAST_ONCE: Mapping[str, str | int] = {
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def copy_to(queue: str, message: Message, attempts: int) -> Message:
    """A copy of a received message for one of the adaptor's own queues, marked with the attempts made so far.

    The user id is left out: the broker only accepts our own. So are the routing key and the expiration, which would end
    the copy's wait early; the envelope tells the type.
    """
    headers = {name: value for name, value in message.headers.items() if not name.startswith(_BROKER_HEADERS)}
    return replace(
        message,
        exchange="",
        routing_key=queue,
        headers={**headers, ATTEMPT_HEADER: attempts},
        user_id=None,
        expiration=None,
    )


def attempts_of(headers: Mapping[str, Any]) -> int:
    """How many attempts were made before this message was copied; 0 for an original or an unreadable header."""
    value = headers.get(ATTEMPT_HEADER, 0)
    return min(value, _MOST_ATTEMPTS) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
