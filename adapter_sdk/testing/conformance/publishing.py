"""What is published arrives as it is, and its fate is told."""

import threading
from datetime import datetime
from typing import Any

import pytest

from adapter_sdk.errors import ConfigError, PermanentError
from adapter_sdk.testing.conformance.ground import (
    BrokerUnderTest,
    Conformance,
    consume,
    feature,
    full_message,
    new_queue,
    unique,
)
from adapter_sdk.testing.conformance.inbox import eventually
from adapter_sdk.transport.base import Confirm, Exchange, Message, Topology, Transport


class Publishing(Conformance):
    """What is published arrives as it is, and its fate is told."""

    @feature("publish and consume in order")
    def test_order(self, transport: Transport, queue: str) -> None:
        """Messages published in one batch reach a consumer in that order."""
        bodies = [b"%d" % number for number in range(50)]
        transport.publish([Message(body, routing_key=queue) for body in bodies])
        assert [delivery.message.body for delivery in consume(transport, queue).wait(50)] == bodies

    @feature("content, properties and headers unchanged")
    def test_content(self, transport: Transport, queue: str, broker: BrokerUnderTest) -> None:
        """A message arrives byte for byte with every property and every kind of header, published once or again."""
        sent = full_message(queue, broker.user)
        transport.publish([sent])
        inbox = consume(transport, queue)
        (first,) = inbox.wait(1)
        assert first.message == sent
        transport.publish([first.message])
        assert inbox.wait(2)[1].message == sent

    @feature("binary and empty bodies")
    def test_bodies(self, transport: Transport, queue: str) -> None:
        """Every byte value and the empty body arrive as they were sent."""
        bodies = [bytes(range(256)), b"", b"\x00"]
        transport.publish([Message(body, routing_key=queue) for body in bodies])
        assert [delivery.message.body for delivery in consume(transport, queue).wait(3)] == bodies

    @feature("large message (1 MiB)")
    def test_large(self, transport: Transport, queue: str) -> None:
        """A message of one mebibyte arrives whole."""
        body = bytes(range(256)) * 4096
        assert transport.publish([Message(body, routing_key=queue)]) == [Confirm.CONFIRMED]
        assert consume(transport, queue).wait(1)[0].message.body == body

    @feature("confirm")
    def test_confirm(self, transport: Transport, queue: str) -> None:
        """A message that a queue holds is confirmed, and is there; no messages give no confirms."""
        assert transport.publish([Message(b"x", routing_key=queue)]) == [Confirm.CONFIRMED]
        eventually(lambda: transport.depth(queue) == 1, "the confirmed message is in its queue")
        assert transport.publish([]) == []

    @feature("thousands confirmed in order")
    def test_many_confirms(self, transport: Transport, queue: str) -> None:
        """A batch of three thousand with an unroutable one in every ten gets one right answer each, in order."""
        messages = [Message(b"%d" % n, routing_key=queue if n % 10 else "nobody") for n in range(3000)]
        confirms = transport.publish(messages)
        assert confirms == [Confirm.CONFIRMED if n % 10 else Confirm.RETURNED for n in range(3000)]

    @feature("mandatory return")
    def test_returned(self, transport: Transport, queue: str) -> None:
        """A message that no queue takes is told apart from equal bodies beside it that are confirmed."""
        keys = [queue, "nobody", queue, "nobody", "nobody"]
        confirms = transport.publish([Message(b"same", routing_key=key, message_id="same") for key in keys])
        assert confirms == [Confirm.CONFIRMED if key == queue else Confirm.RETURNED for key in keys]

    @feature("unbound exchange")
    def test_unbound_exchange(self, transport: Transport) -> None:
        """An exchange without bindings returns everything; one that does not exist is a ConfigError that names it."""
        name = unique("exchange")
        transport.declare(Topology(exchanges=[Exchange(name)]))
        assert transport.publish([Message(b"x", exchange=name, routing_key="a")]) == [Confirm.RETURNED]
        with pytest.raises(ConfigError, match="no-such-exchange"):
            transport.publish([Message(b"x", exchange="no-such-exchange", routing_key="a")])
        assert transport.publish([Message(b"x", exchange=name, routing_key="a")]) == [Confirm.RETURNED]

    @feature("nack from a full queue")
    def test_nacked(self, transport: Transport) -> None:
        """A full queue that rejects publishes answers NACKED and keeps what it confirmed."""
        queue = new_queue(transport, {"x-max-length": 2, "x-overflow": "reject-publish"})
        confirms = [transport.publish([Message(b"x", routing_key=queue)])[0] for _ in range(20)]
        assert confirms[-1] is Confirm.NACKED
        eventually(lambda: transport.depth(queue) == confirms.count(Confirm.CONFIRMED), "what was confirmed is kept")

    @feature("publishing from several threads")
    def test_publishing_threads(self, transport: Transport, queue: str) -> None:
        """Threads that publish at the same time each get their own confirms, and nothing is lost or mixed."""
        confirms: list[Confirm] = []

        def publish(thread: int) -> None:
            for batch in range(5):
                bodies = [b"%d.%d.%d" % (thread, batch, number) for number in range(20)]
                confirms.extend(transport.publish([Message(body, routing_key=queue) for body in bodies]))

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert confirms == [Confirm.CONFIRMED] * 400
        inbox = consume(transport, queue, prefetch=500)
        inbox.wait(400)
        assert len(set(inbox.bodies)) == 400

    @feature("messages AMQP cannot carry refused")
    @pytest.mark.parametrize(
        ("fault", "named"),
        [
            ({"headers": {"bad": object()}}, "header 'bad'"),
            ({"headers": {"big": 2**63}}, "header 'big'"),
            ({"headers": {"outer": {"inner": {1}}}}, "header 'outer' 'inner'"),
            ({"headers": {"naive": datetime(2026, 1, 1)}}, "header 'naive'"),  # noqa: DTZ001 - that is the fault
            ({"message_id": "\u00e9" * 200}, "message_id"),
            ({"priority": 256}, "priority"),
            ({"timestamp": -1}, "timestamp"),
            ({"expiration": "soon"}, "expiration"),
        ],
    )
    def test_unencodable(self, transport: Transport, queue: str, fault: dict[str, Any], named: str) -> None:
        """A message that AMQP cannot carry is a PermanentError naming its place, and nothing of the batch is sent."""
        good = Message(b"x", routing_key=queue)
        with pytest.raises(PermanentError, match=f"Message 2 of 2 .*{named}"):
            transport.publish([good, Message(b"y", routing_key=queue, **fault)])
        assert transport.publish([good]) == [Confirm.CONFIRMED]
        eventually(lambda: transport.depth(queue) == 1, "only the good one is there")
