"""The queue arguments the embedded broker understands, checked as RabbitMQ checks them."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapter_sdk.errors import ConfigError

_NO_EFFECT_HERE = {
    "x-expires",
    "x-dead-letter-strategy",
    "x-quorum-initial-group-size",
    "x-queue-leader-locator",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
}
"""Accepted and ignored: they concern clusters or the tidying of unused queues, and change no single message."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """What a queue does with its messages. `ttl` is in seconds."""

    counts: bool = False
    ttl: float | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    delivery_limit: int | None = None
    max_length: int | None = None
    reject_publish: bool = False


def queue_rules(queue: str, arguments: Mapping[str, str | int]) -> QueueRules:
    """Read the arguments of `queue`. Raises ConfigError naming queue and argument."""
    reader = _Reader(queue, arguments)
    kind = reader.choice("x-queue-type", ("classic", "quorum"))
    ttl = reader.number("x-message-ttl")
    overflow = reader.choice("x-overflow", ("drop-head", "reject-publish"))
    rules = QueueRules(
        counts=kind == "quorum",
        ttl=None if ttl is None else ttl / 1000,
        dead_letter_exchange=reader.text("x-dead-letter-exchange"),
        dead_letter_routing_key=reader.text("x-dead-letter-routing-key"),
        delivery_limit=reader.number("x-delivery-limit"),
        max_length=reader.number("x-max-length"),
        reject_publish=overflow == "reject-publish",
    )
    reader.refuse_the_rest()
    if rules.dead_letter_routing_key is not None and rules.dead_letter_exchange is None:
        raise reader.fault("x-dead-letter-routing-key", "needs x-dead-letter-exchange beside it")
    return rules


class _Reader:
    def __init__(self, queue: str, arguments: Mapping[str, str | int]) -> None:
        self._queue = queue
        self._left = {name: value for name, value in arguments.items() if name not in _NO_EFFECT_HERE}

    def fault(self, argument: str, why: str) -> ConfigError:
        return ConfigError(f"Queue {self._queue!r}: argument {argument!r} {why}.")

    def number(self, argument: str) -> int | None:
        value = self._left.pop(argument, None)
        if value is None:
            return None
        if not isinstance(value, int) or value < 0:
            raise self.fault(argument, f"is {value!r}; it must be a whole number, not negative")
        return value

    def text(self, argument: str) -> str | None:
        value = self._left.pop(argument, None)
        if value is not None and not isinstance(value, str):
            raise self.fault(argument, f"is {value!r}; it must be text")
        return value

    def choice(self, argument: str, allowed: tuple[str, ...]) -> str | None:
        value = self.text(argument)
        if value is not None and value not in allowed:
            raise self.fault(argument, f"is {value!r}; the memory broker knows {' and '.join(allowed)}")
        return value

    def refuse_the_rest(self) -> None:
        for argument in self._left:
            raise self.fault(argument, "is not one the memory broker knows; use RabbitMQ for it")
