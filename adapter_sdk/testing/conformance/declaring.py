"""What exists on the broker, and what of it is there."""

import pytest

from adapter_sdk.errors import ConfigError
from adapter_sdk.testing.conformance.ground import QUORUM, Conformance, consume, feature, new_queue, unique
from adapter_sdk.testing.conformance.inbox import eventually
from adapter_sdk.transport.base import Binding, Exchange, Message, Queue, Topology, Transport


class Declaring(Conformance):
    """What exists on the broker, and what of it is there."""

    @feature("inequivalent arguments refused")
    def test_inequivalent(self, transport: Transport, queue: str) -> None:
        """Declaring what exists otherwise is a ConfigError with a sentence each: queue, argument, both values."""
        name, exchange = new_queue(transport, {"x-message-ttl": 1000}), unique("exchange")
        transport.declare(Topology([Exchange(exchange, "topic")]))
        with pytest.raises(ConfigError) as caught:
            transport.declare(
                Topology([Exchange(exchange, "direct")], [Queue(name, {**QUORUM, "x-message-ttl": 2000}), Queue(queue)])
            )
        by_exchange, by_queue, by_type = caught.value.faults
        assert all(part in by_exchange for part in (exchange, "type", "'topic'", "'direct'"))
        assert all(part in by_queue for part in (name, "x-message-ttl", "1000", "2000"))
        assert all(part in by_type for part in (queue, "x-queue-type", "quorum"))

    @feature("declare is repeatable")
    def test_declare_twice(self, transport: Transport) -> None:
        """Declaring the same topology again changes nothing and is no error."""
        name = unique("queue")
        topology = Topology([Exchange(name)], [Queue(name, QUORUM)], [Binding(name, name, "#")])
        transport.declare(topology)
        transport.publish([Message(b"x", exchange=name, routing_key="any")])
        transport.declare(topology)
        eventually(lambda: transport.depth(name) == 1, "the message is still there, once")

    @feature("missing")
    def test_missing(self, transport: Transport, queue: str) -> None:
        """`missing` names what the broker does not have, exchanges and queues, and creates nothing."""
        exchange = unique("exchange")
        transport.declare(Topology([Exchange(exchange)]))
        wanted = Topology([Exchange(exchange), Exchange("gone-e")], [Queue("gone-q", QUORUM), Queue(queue, QUORUM)])
        assert transport.missing(wanted) == ["gone-e", "gone-q"]
        assert transport.missing(wanted) == ["gone-e", "gone-q"]

    @feature("depth")
    def test_depth(self, transport: Transport, queue: str) -> None:
        """`depth` counts what is ready, not what is unsettled, and is a ConfigError for a queue that is not there."""
        transport.publish([Message(b"x", routing_key=queue)] * 5)
        eventually(lambda: transport.depth(queue) == 5, "five are ready")
        consume(transport, queue, prefetch=2).wait(2)
        eventually(lambda: transport.depth(queue) == 3, "two are unsettled")
        with pytest.raises(ConfigError, match="no-such-queue"):
            transport.depth("no-such-queue")
