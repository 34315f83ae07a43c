"""Where a message goes, and where it goes from a queue that it does not stay in."""

import time

import pytest

from adapter_sdk.testing.conformance.ground import Conformance, consume, delay, feature, full_message, new_queue, unique
from adapter_sdk.testing.conformance.inbox import Inbox, eventually
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Exchange, Message, Topology, Transport


class Routing(Conformance):
    """Where a message goes, and where it goes from a queue that it does not stay in."""

    @feature("direct, topic and fanout exchanges")
    @pytest.mark.parametrize(
        ("kind", "pattern", "matching", "other"),
        [
            ("direct", "a.b", ["a.b"], ["a", "a.b.c", "a.*"]),
            ("fanout", "ignored", ["a", "b.c"], []),
            ("topic", "a.*", ["a.b", "a."], ["a", "a.b.c", "b.a"]),
            ("topic", "*.b.*", ["a.b.c"], ["b", "a.b", "a.b.c.d"]),
            ("topic", "a.#", ["a", "a.b", "a.b.c"], ["b", "b.a"]),
            ("topic", "#.z", ["z", "a.z", "a.b.z"], ["a", "z.a"]),
            ("topic", "a.#.z", ["a.z", "a.b.c.z"], ["a", "z", "a.z.b"]),
            ("topic", "#", ["", "a", "a.b"], []),
            ("topic", "*", ["a"], ["", "a.b"]),
            ("topic", "#.*", ["a", "a.b"], [""]),
            ("topic", "a.b", ["a.b"], ["a", "a.b.c"]),
            ("topic", "", [""], ["a", "."]),
        ],
    )
    def test_routing(
        self, transport: Transport, queue: str, kind: str, pattern: str, matching: list[str], other: list[str]
    ) -> None:
        """An exchange routes exactly the routing keys that its kind and the binding's pattern say."""
        exchange = unique("exchange")
        transport.declare(Topology([Exchange(exchange, kind)], bindings=[Binding(exchange, queue, pattern)]))
        keys = matching + other
        confirms = transport.publish([Message(b"", exchange=exchange, routing_key=key) for key in keys])
        routed = [key for key, confirm in zip(keys, confirms, strict=True) if confirm is Confirm.CONFIRMED]
        assert routed == matching

    @feature("queue TTL and dead letter to the default exchange")
    def test_dead_letter(self, transport: Transport, queue: str) -> None:
        """A message that outlives its queue's TTL moves to the queue that the dead-letter routing key names."""
        waiting = new_queue(transport, delay(0.1, queue))
        transport.publish([full_message(waiting, None)])
        (came,) = consume(transport, queue).wait(1)
        assert (came.message.body, came.message.headers["text"]) == (b"\x00body", "t\u00e9xt")
        assert came.message.headers["x-death"][0]["queue"] == waiting
        assert came.message.headers["x-death"][0]["reason"] == "expired"

    @feature("one queue per delay keeps its delay")
    def test_delays(self, transport: Transport, queue: str) -> None:
        """A message in a queue of a short delay is not held up by an earlier one in a queue of a long delay."""
        slow, quick = new_queue(transport, delay(0.6, queue)), new_queue(transport, delay(0.1, queue))
        inbox = consume(transport, queue)
        start = time.monotonic()
        transport.publish([Message(b"slow", routing_key=slow), Message(b"quick", routing_key=quick)])
        inbox.wait(1)
        quick_took = time.monotonic() - start
        inbox.wait(2)
        assert inbox.bodies == [b"quick", b"slow"]
        assert quick_took >= 0.1
        assert time.monotonic() - start >= 0.6

    @feature("expiration of one message")
    def test_expiration(self, transport: Transport, queue: str) -> None:
        """A message's own expiration, in milliseconds, dead-letters it like a queue's TTL."""
        waiting = new_queue(transport, {key: value for key, value in delay(0, queue).items() if "ttl" not in key})
        transport.publish([Message(b"x", routing_key=waiting, expiration="50")])
        (came,) = consume(transport, queue).wait(1)
        assert (came.message.body, came.message.expiration) == (b"x", None)

    @feature("delivery limit and dead letter")
    def test_delivery_limit(self, transport: Transport, queue: str) -> None:
        """A message given back more often than the limit is delivered limit + 1 times, then dead-lettered."""
        arguments: dict[str, str | int] = {
            "x-delivery-limit": 2,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queue,
        }
        limited = new_queue(transport, arguments)
        dead = Inbox()
        counts: list[int | None] = []

        def give_back(deliveries: list[Delivery]) -> None:
            counts.extend(delivery.delivery_count for delivery in deliveries)
            transport.release(deliveries)

        transport.publish([Message(b"x", routing_key=limited)])
        transport.consume(limited, prefetch=10, on_deliveries=give_back, on_lost=dead.on_lost)
        eventually(lambda: transport.depth(queue) == 1, "the message is dead-lettered")
        assert counts == [0, 1, 2]
