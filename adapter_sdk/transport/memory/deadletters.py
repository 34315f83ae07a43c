"""What RabbitMQ writes on a message when it dead-letters it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from adapter_sdk.transport.base import Message


def with_death(message: Message, queue: str, reason: str) -> Message:
    """The message as it leaves `queue` for a dead-letter exchange: `x-death` kept up to date, no expiration any more.

    `reason` is "expired", "delivery_limit" or "maxlen". The newest death comes first; a second death of the same kind
    in the same queue raises the count of the first.
    """
    headers = dict(message.headers)
    earlier = [dict(death) for death in deaths(message)]
    same = [death for death in earlier if (death.get("queue"), death.get("reason")) == (queue, reason)]
    others = [death for death in earlier if death not in same]
    death: dict[str, Any] = same[0] if same else _first_death(message, queue, reason)
    death["count"] = death["count"] + 1
    headers["x-death"] = [death, *others]
    headers.setdefault("x-first-death-queue", queue)
    headers.setdefault("x-first-death-reason", reason)
    headers.setdefault("x-first-death-exchange", message.exchange)
    return replace(message, headers=headers, expiration=None)


def deaths(message: Message) -> list[dict[str, Any]]:
    """The deaths on record, newest first; what a producer wrote there in another shape is not one."""
    recorded = message.headers.get("x-death")
    if not isinstance(recorded, list):
        return []
    return [death for death in recorded if isinstance(death, dict) and isinstance(death.get("count"), int)]


def is_cycle(message: Message, queue: str) -> bool:
    """Whether `message` died in `queue` before and nothing but brokers has moved it since: RabbitMQ drops it then."""
    return any(death.get("queue") == queue for death in deaths(message))


def _first_death(message: Message, queue: str, reason: str) -> dict[str, Any]:
    death: dict[str, Any] = {
        "count": 0,
        "queue": queue,
        "reason": reason,
        "exchange": message.exchange,
        "routing-keys": [message.routing_key],
        "time": datetime.now(UTC).replace(microsecond=0),
    }
    if message.expiration is not None:
        death["original-expiration"] = message.expiration
    return death
