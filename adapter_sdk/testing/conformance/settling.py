"""What is delivered is settled once, and what is not comes back."""

import threading
import time

import pytest

from adapter_sdk.errors import ConfigError
from adapter_sdk.testing.conformance.ground import (
    BrokerUnderTest,
    Conformance,
    consume,
    feature,
    full_message,
)
from adapter_sdk.testing.conformance.inbox import eventually
from adapter_sdk.transport.base import Delivery, Message, Transport


class Settling(Conformance):
    """What is delivered is settled once, and what is not comes back."""

    @feature("ack removes")
    def test_ack(self, transport: Transport, queue: str) -> None:
        """What was acked, one by one, together or out of order, does not come back; what was not, does."""
        transport.publish([Message(b"%d" % number, routing_key=queue) for number in range(10)])
        deliveries = consume(transport, queue).wait(10)
        transport.ack(deliveries[5:7])
        transport.ack(deliveries[:3])
        transport.ack([deliveries[9], deliveries[3]])
        transport.close()
        transport.open()
        again = consume(transport, queue).wait(3)
        assert sorted(delivery.message.body for delivery in again) == [b"4", b"7", b"8"]
        transport.ack(again)
        transport.close()
        assert transport.depth(queue) == 0

    @feature("unacked comes back redelivered")
    def test_redelivered(self, transport: Transport, queue: str) -> None:
        """What is unsettled at close is delivered again, flagged and counted; the first time it was neither."""
        transport.publish([Message(b"x", routing_key=queue)])
        (first,) = consume(transport, queue).wait(1)
        assert (first.redelivered, first.delivery_count) == (False, 0)
        transport.close()
        transport.open()
        (second,) = consume(transport, queue).wait(1)
        assert (second.message.body, second.redelivered, second.delivery_count) == (b"x", True, 1)

    @feature("release comes back")
    def test_release(self, transport: Transport, queue: str) -> None:
        """A released message is delivered again, flagged, while its neighbours stay with the consumer."""
        transport.publish([Message(b"a", routing_key=queue), Message(b"b", routing_key=queue)])
        inbox = consume(transport, queue)
        first, _ = inbox.wait(2)
        transport.release([first])
        third = inbox.wait(3)[2]
        assert (third.message.body, third.redelivered) == (b"a", True)

    @feature("settled once")
    def test_settled_once(self, transport: Transport, queue: str) -> None:
        """A second settlement of a delivery changes nothing: neither its message nor the connection."""
        transport.publish([Message(b"a", routing_key=queue), Message(b"b", routing_key=queue)])
        inbox = consume(transport, queue)
        first, second = inbox.wait(2)
        transport.ack([first, first])
        transport.release([first])
        transport.ack([first])
        transport.publish([Message(b"c", routing_key=queue)])
        transport.ack([second, inbox.wait(3)[2]])
        transport.close()
        assert (transport.depth(queue), inbox.losses) == (0, [])

    @feature("endless release does not spin")
    def test_no_hot_loop(self, transport: Transport, queue: str) -> None:
        """A consumer that releases everything at once is not fed at full speed."""
        seen: list[float] = []
        done = threading.Event()

        def give_back(deliveries: list[Delivery]) -> None:
            seen.append(time.monotonic())
            transport.release(deliveries)
            if len(seen) == 6:
                done.set()

        transport.publish([Message(b"x", routing_key=queue)])
        transport.consume(queue, prefetch=10, on_deliveries=give_back, on_lost=lambda _: None)
        assert done.wait(10)
        assert seen[5] - seen[1] > 0.05

    @feature("prefetch bounds")
    def test_prefetch(self, transport: Transport, queue: str) -> None:
        """Never more than `prefetch` deliveries are unsettled, and settling some lets as many follow."""
        transport.publish([Message(b"%d" % number, routing_key=queue) for number in range(10)])
        inbox = consume(transport, queue, prefetch=3)
        transport.ack(inbox.wait(3)[:2])
        inbox.wait(5)
        eventually(lambda: transport.depth(queue) == 5, "the rest waits in the queue")
        assert len(inbox.deliveries) == 5

    @feature("taking what is there")
    def test_take(self, transport: Transport, queue: str, broker: BrokerUnderTest) -> None:
        """`take` hands over unchanged what is ready, at most `limit`, and settles what is kept; the rest is back."""
        sent = [full_message(queue, broker.user), *(Message(b"%d" % number, routing_key=queue) for number in range(4))]
        transport.publish(sent)
        eventually(lambda: transport.depth(queue) == 5, "five are ready")
        seen: list[Message] = []

        def keep_but_two(message: Message) -> bool:
            seen.append(message)
            return message.body != b"2"

        assert transport.take(queue, keep_but_two, limit=4) == 3
        assert seen == sent[:4]
        eventually(lambda: transport.depth(queue) == 2, "what was not kept is back")
        assert transport.take(queue, lambda _: True) == 2
        assert transport.take(queue, lambda _: True) == 0
        with pytest.raises(ConfigError, match="no-such-queue"):
            transport.take("no-such-queue", lambda _: True)

    @feature("taking goes wrong")
    def test_take_and_fail(self, transport: Transport, queue: str) -> None:
        """What `keep` raises comes out of `take`; what was kept before is settled, and the rest is back."""
        transport.publish([Message(b"%d" % number, routing_key=queue) for number in range(4)])
        eventually(lambda: transport.depth(queue) == 4, "four are ready")

        def fail_at_one(message: Message) -> bool:
            if message.body == b"1":
                raise LookupError("no room")
            return True

        with pytest.raises(LookupError, match="no room"):
            transport.take(queue, fail_at_one)
        eventually(lambda: transport.depth(queue) == 3, "three are back")
        assert sorted(delivery.message.body for delivery in consume(transport, queue).wait(3)) == [b"1", b"2", b"3"]

    @feature("stale deliveries settle nothing")
    def test_stale(self, transport: Transport, queue: str, broker: BrokerUnderTest) -> None:
        """A delivery of a lost connection, acked or released on the new one, settles no message there."""
        transport.publish([Message(b"a", routing_key=queue), Message(b"b", routing_key=queue)])
        inbox = consume(transport, queue)
        stale = inbox.wait(2)
        broker.cut_connections()
        inbox.wait_lost()
        transport.open()
        again = consume(transport, queue)
        again.wait(2)
        transport.ack(stale[:1])
        transport.release(stale[1:])
        transport.publish([Message(b"c", routing_key=queue)])
        again.wait(3)
        transport.close()
        eventually(lambda: transport.depth(queue) == 3, "all three are back in the queue")
