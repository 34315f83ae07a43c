"""Exchanges and bindings of the embedded broker: which queues a message goes to."""

from functools import lru_cache

from adapter_sdk.errors import ConfigError
from adapter_sdk.transport.base import Binding, Exchange
from adapter_sdk.transport.checks import declared_otherwise

KINDS = ("topic", "direct", "fanout")


class RoutingTable:
    """All exchanges and bindings. The default exchange "" is always there and sends to the queue named by the key."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._bindings: dict[str, dict[Binding, None]] = {}

    def __contains__(self, exchange: str) -> bool:
        return exchange == "" or exchange in self._kinds

    def declare(self, exchange: Exchange) -> None:
        """Create the exchange. Raises ConfigError if its kind is unknown or it exists with another kind."""
        if exchange.kind not in KINDS:
            raise ConfigError(f"Exchange {exchange.name!r}: kind {exchange.kind!r} is none of {', '.join(KINDS)}.")
        actual = self._kinds.setdefault(exchange.name, exchange.kind)
        if actual != exchange.kind:
            raise ConfigError(declared_otherwise("Exchange", exchange.name, "type", exchange.kind, actual))
        self._bindings.setdefault(exchange.name, {})

    def bind(self, binding: Binding) -> None:
        """Add the binding; adding it twice is the same as once. Raises ConfigError if there is no such exchange."""
        if binding.exchange not in self._bindings:
            raise ConfigError(f"Queue {binding.queue!r} cannot be bound to {binding.exchange!r}: no such exchange.")
        self._bindings[binding.exchange][binding] = None

    def unbind_queue(self, queue: str) -> None:
        """Forget every binding of a queue that is gone."""
        for exchange, bindings in self._bindings.items():
            self._bindings[exchange] = {binding: None for binding in bindings if binding.queue != queue}

    def route(self, exchange: str, routing_key: str) -> list[str]:
        """Names of the queues a message goes to, each once. Raises ConfigError if there is no such exchange."""
        if exchange == "":
            return [routing_key]
        if exchange not in self._kinds:
            raise ConfigError(f"There is no exchange {exchange!r}; declare it before publishing to it.")
        kind = self._kinds[exchange]
        matching = (b.queue for b in self._bindings[exchange] if _routes(kind, b.routing_key, routing_key))
        return list(dict.fromkeys(matching))


def _routes(kind: str, pattern: str, routing_key: str) -> bool:
    if kind == "topic":
        return topic_matches(pattern, routing_key)
    return kind == "fanout" or pattern == routing_key


@lru_cache(maxsize=4096)
def topic_matches(pattern: str, routing_key: str) -> bool:
    """Whether a topic pattern matches: words are split at dots, `*` is one word, `#` is any number, none included."""
    words = _words(routing_key)
    # Every position in `words` that the part of the pattern read so far can have reached.
    reached = {0}
    for part in _words(pattern):
        if part == "#":
            reached = set(range(min(reached), len(words) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(words) and part in ("*", words[at])}
        if not reached:
            return False
    return len(words) in reached


def _words(key: str) -> list[str]:
    # To RabbitMQ the empty key has no word at all, while "a." has two, of which one is empty.
    return key.split(".") if key else []
