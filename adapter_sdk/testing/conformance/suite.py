"""The conformance suite itself: one test per feature, in the words of the transport contract."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Protocol, TypeVar

import pytest

from adapter_sdk.errors import BrokerError, ConfigError, PermanentError
from adapter_sdk.testing.conformance.inbox import Inbox, eventually
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Exchange, Message, Queue, Topology, Transport

QUORUM: Mapping[str, str | int] = {"x-queue-type": "quorum"}

Connect = Callable[[], Transport]
Test = TypeVar("Test", bound=Callable[..., None])


class BrokerUnderTest(Protocol):
    """What the suite needs from outside the transport."""

    user: str | None
    """The user that transports log in as, for `Message.user_id`; None where there are no users."""

    def transport(self) -> Transport:
        """A fresh transport, not yet open."""
        ...

    def delete_queue(self, name: str) -> None:
        """Delete a queue behind the transport's back."""
        ...

    def cut_connections(self) -> None:
        """End every connection to the broker behind the transports' backs."""
        ...


def feature(name: str) -> Callable[[Test], Test]:
    """Say which feature a test shows; this is its line in the table."""

    def mark(test: Test) -> Test:
        test.feature = name  # type: ignore[attr-defined]
        return test

    return mark


class TransportConformance:
    """Subclass it, give `transport_name` and a `broker` fixture, and every feature of the contract is tested."""

    transport_name: ClassVar[str]
    unsupported: ClassVar[Mapping[str, str]] = {}
    """Features this transport does not have, each with the reason."""

    @pytest.fixture
    def broker(self) -> BrokerUnderTest:
        """The broker to test against."""
        raise NotImplementedError("a subclass gives the broker")

    @pytest.fixture(autouse=True)
    def _line_of_the_table(self, request: pytest.FixtureRequest) -> None:
        name = getattr(request.function, "feature", None)
        if name is None:
            return
        line = request.function.__code__.co_firstlineno
        request.node.user_properties.append(("conformance", (line, name, self.transport_name)))
        if name in self.unsupported:
            pytest.skip(self.unsupported[name])

    @pytest.fixture
    def connect(self, broker: BrokerUnderTest) -> Iterator[Connect]:
        """Call it for an open transport; all of them are closed after the test."""
        opened: list[Transport] = []

        def connect() -> Transport:
            transport = broker.transport()
            opened.append(transport)
            transport.open()
            return transport

        yield connect
        for transport in opened:
            transport.close()

    @pytest.fixture
    def transport(self, connect: Connect) -> Transport:
        """An open transport."""
        return connect()

    @pytest.fixture
    def queue(self, transport: Transport) -> str:
        """The name of a fresh quorum queue."""
        return new_queue(transport)

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

    @feature("deleted queue ends consuming")
    def test_cancelled_by_broker(self, transport: Transport, queue: str, broker: BrokerUnderTest) -> None:
        """When the broker cancels a consumer, `on_lost` is called once with a BrokerError."""
        inbox = consume(transport, queue)
        broker.delete_queue(queue)
        assert isinstance(inbox.wait_lost(), BrokerError)
        transport.close()
        assert len(inbox.losses) == 1

    @feature("lost connection ends consuming, once")
    def test_lost(self, transport: Transport, queue: str, broker: BrokerUnderTest) -> None:
        """A cut connection calls `on_lost` once; after `open` consuming and publishing work again."""
        transport.publish([Message(b"x", routing_key=queue)])
        inbox = consume(transport, queue)
        inbox.wait(1)
        broker.cut_connections()
        assert isinstance(inbox.wait_lost(), BrokerError)
        transport.open()
        again = consume(transport, queue)
        again.wait(1)
        assert transport.publish([Message(b"y", routing_key=queue)]) == [Confirm.CONFIRMED]
        again.wait(2)
        assert len(inbox.losses) == 1

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

    @feature("wrong use is told")
    def test_wrong_use(self, connect: Connect, broker: BrokerUnderTest, queue: str) -> None:
        """Publishing before `open` is a BrokerError; a second consumer on one transport is a RuntimeError."""
        with pytest.raises(BrokerError, match="not open"):
            broker.transport().publish([Message(b"x", routing_key=queue)])
        transport = connect()
        consume(transport, queue)
        with pytest.raises(RuntimeError, match="cancel"):
            consume(transport, queue)

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

    @feature("open and close are repeatable")
    def test_open_close(self, transport: Transport, queue: str) -> None:
        """`open` when open and `close` when closed do nothing, and a closed transport opens again."""
        transport.open()
        transport.close()
        transport.close()
        transport.open()
        assert transport.publish([Message(b"x", routing_key=queue)]) == [Confirm.CONFIRMED]


def unique(what: str) -> str:
    """A name that no other test uses."""
    return f"{what}-{uuid.uuid4().hex[:12]}"


def new_queue(transport: Transport, arguments: Mapping[str, str | int] | None = None) -> str:
    """Declare a fresh quorum queue, with `arguments` on top, and return its name."""
    name = unique("queue")
    transport.declare(Topology(queues=[Queue(name, {**QUORUM, **(arguments or {})})]))
    return name


def delay(seconds: float, target: str) -> dict[str, str | int]:
    """Arguments of a queue that passes each message on to `target` after `seconds`."""
    return {
        "x-message-ttl": round(seconds * 1000),
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": target,
    }


def consume(
    transport: Transport, queue: str, *, prefetch: int = 100, exclusive: bool = False, in_order: bool = False
) -> Inbox:
    """Consume `queue` into a new inbox."""
    inbox = Inbox()
    transport.consume(
        queue,
        prefetch=prefetch,
        on_deliveries=inbox.on_deliveries,
        on_lost=inbox.on_lost,
        exclusive=exclusive,
        in_order=in_order,
    )
    return inbox


def full_message(routing_key: str, user: str | None) -> Message:
    """A message with every property and every kind of header."""
    return Message(
        b"\x00body",
        routing_key=routing_key,
        headers={
            "text": "t\u00e9xt",
            "bytes": b"\x00\xff",
            "small": -1,
            "large": 2**62,
            "true": True,
            "none": None,
            "float": 0.25,
            "decimal": Decimal("12.34"),
            "time": datetime(2026, 11, 20, 12, 30, 15, tzinfo=UTC),
            "list": ["a", 1, {"deep": [None, 1.5]}],
            "table": {"inner": {"deeper": "x"}},
        },
        content_type="application/cloudevents+json",
        content_encoding="identity",
        message_id="m-1",
        correlation_id="c-1",
        reply_to="answers",
        type="com.shop.order.placed",
        app_id="shop",
        user_id=user,
        timestamp=2**34,
        expiration="3600000",
        priority=3,
    )
