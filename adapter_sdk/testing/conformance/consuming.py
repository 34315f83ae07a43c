"""Who is given the messages of a queue, and in which order."""

import pytest

from adapter_sdk.errors import BrokerError, ConfigError
from adapter_sdk.testing.conformance.ground import BrokerUnderTest, Conformance, Connect, consume, feature, new_queue
from adapter_sdk.testing.conformance.inbox import eventually
from adapter_sdk.transport.base import Message, Transport


class Consuming(Conformance):
    """Who is given the messages of a queue, and in which order."""

    @feature("exclusive consumer")
    def test_exclusive(self, connect: Connect, transport: Transport, queue: str) -> None:
        """While one consumes exclusively another is refused with a BrokerError, and gets its turn afterwards."""
        consume(transport, queue, exclusive=True)
        standby = connect()
        for _ in range(2):
            with pytest.raises(BrokerError, match=r"exclusive"):
                consume(standby, queue, exclusive=True)
        transport.close()
        consume(standby, queue, exclusive=True)

    @feature("taking a queue without deliveries")
    def test_prefetch_zero(self, connect: Connect, transport: Transport, queue: str, broker: BrokerUnderTest) -> None:
        """With a prefetch of 0 nothing is delivered, the queue is nobody else's, and the end of the line is told."""
        transport.publish([Message(b"x", routing_key=queue)])
        inbox = consume(transport, queue, prefetch=0, in_order=True)
        with pytest.raises(BrokerError, match=r"exclusive"):
            consume(connect(), queue, exclusive=True)
        eventually(lambda: transport.depth(queue) == 1, "the message is left alone")
        assert inbox.deliveries == []
        broker.cut_connections()
        assert isinstance(inbox.wait_lost(), BrokerError)
        transport.open()
        consume(transport, queue, prefetch=0, in_order=True)
        transport.cancel()
        consume(transport, queue, in_order=True).wait(1)

    @feature("what comes back comes in order")
    @pytest.mark.parametrize("kind", ["quorum", "classic"])
    @pytest.mark.parametrize("ending", ["close", "cut"])
    def test_returns_in_order(self, transport: Transport, broker: BrokerUnderTest, kind: str, ending: str) -> None:
        """In order: what several consumers one after the other left unsettled comes first, however each ended."""
        queue = new_queue(transport, {"x-queue-type": kind, **({"x-delivery-limit": 100} if kind == "quorum" else {})})
        transport.publish([Message(b"%d" % number, routing_key=queue) for number in range(60)])
        for session in range(3):
            inbox = consume(transport, queue, prefetch=20, in_order=True)
            inbox.wait(20)
            # What the broker sends for these is on its way when the connection ends.
            transport.ack(inbox.deliveries[: session * 3])
            if ending == "cut":
                broker.cut_connections()
                inbox.wait_lost()
            transport.close()
            transport.open()
        last = consume(transport, queue, in_order=True)
        eventually(lambda: b"59" in last.bodies, "all that is left has come")
        left = [int(body) for body in last.bodies]
        assert left == sorted(left)
        assert set(left) >= set(range(9, 60))

    @feature("competing consumers")
    def test_competing(self, connect: Connect, transport: Transport, queue: str) -> None:
        """Two consumers of one queue share its messages and each message goes to one of them."""
        one, two = consume(transport, queue, prefetch=5), consume(connect(), queue, prefetch=5)
        transport.publish([Message(b"%d" % number, routing_key=queue) for number in range(10)])
        one.wait(5)
        two.wait(5)
        assert sorted(one.bodies + two.bodies) == [b"%d" % number for number in range(10)]

    @feature("consuming a missing queue refused")
    def test_consume_missing(self, transport: Transport, queue: str) -> None:
        """Consuming a queue that does not exist is a ConfigError that names it, and another can be consumed then."""
        with pytest.raises(ConfigError, match="no-such-queue"):
            consume(transport, "no-such-queue")
        transport.publish([Message(b"x", routing_key=queue)])
        consume(transport, queue).wait(1)

    @feature("cancel keeps what was delivered")
    def test_cancel(self, transport: Transport, queue: str) -> None:
        """After cancel nothing more comes, what came can still be acked, and consuming can start again."""
        transport.publish([Message(b"a", routing_key=queue)])
        before = consume(transport, queue)
        before.wait(1)
        transport.cancel()
        transport.publish([Message(b"b", routing_key=queue)])
        eventually(lambda: transport.depth(queue) == 1, "the second message waits")
        transport.ack(before.deliveries)
        after = consume(transport, queue)
        transport.ack(after.wait(1))
        transport.close()
        assert (before.bodies, before.losses, after.bodies) == ([b"a"], [], [b"b"])
        assert transport.depth(queue) == 0
