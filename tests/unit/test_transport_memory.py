"""What the embedded broker does beyond the contract: time, faults, and arguments it refuses."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_sdk.errors import BrokerError, ConfigError
from adapter_sdk.testing.conformance import Inbox
from adapter_sdk.transport.base import Binding, Confirm, Exchange, Message, Queue, Topology
from adapter_sdk.transport.memory import MemoryBroker, MemoryTransport, shared_broker
from adapter_sdk.transport.memory.queues import MemoryQueue
from adapter_sdk.transport.memory.routing import topic_matches


class Clock:
    """Time that a test moves by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(broker: MemoryBroker, *queues: Queue) -> MemoryTransport:
    """An open transport whose queues exist."""
    transport = MemoryTransport(broker)
    transport.open()
    transport.declare(Topology(queues=queues))
    return transport


def waiting(seconds: float, target: str) -> Queue:
    """A queue named for its delay, which passes on to `target`."""
    arguments: dict[str, str | int] = {
        "x-message-ttl": round(seconds * 1000),
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": target,
    }
    return Queue(f"wait-{seconds:g}", arguments)


def test_manual_clock() -> None:
    """With a clock of one's own a message stays in its delay queue until the clock is moved and `tick` is called."""
    clock = Clock()
    broker = MemoryBroker(clock=clock)
    transport = opened(broker, Queue("work"), waiting(60, "work"))
    transport.publish([Message(b"x", routing_key="wait-60")])
    clock.now = 59.9
    broker.tick()
    assert (transport.depth("wait-60"), transport.depth("work")) == (1, 0)
    clock.now = 60.0
    broker.tick()
    assert (transport.depth("wait-60"), transport.depth("work")) == (0, 1)


def test_head_of_line() -> None:
    """A short expiration behind a long one waits for the long one, as it does on RabbitMQ."""
    clock = Clock()
    broker = MemoryBroker(clock=clock)
    transport = opened(broker, Queue("q"))
    transport.publish(
        [Message(b"slow", routing_key="q", expiration="5000"), Message(b"", routing_key="q", expiration="10")]
    )
    clock.now = 1.0
    broker.tick()
    assert transport.depth("q") == 2
    clock.now = 5.0
    broker.tick()
    assert transport.depth("q") == 0


def test_dead_letter_cycle() -> None:
    """A message that only expires round a circle of queues is dropped when it comes where it was, as on RabbitMQ."""
    clock = Clock()
    broker = MemoryBroker(clock=clock)
    first, second = waiting(1, "wait-2"), waiting(2, "wait-1")
    transport = opened(broker, first, second)
    transport.publish([Message(b"x", routing_key="wait-1")])
    clock.now = 1.0
    broker.tick()
    assert transport.depth("wait-2") == 1
    clock.now = 3.0
    broker.tick()
    assert (transport.depth("wait-1"), transport.depth("wait-2")) == (0, 0)


def test_death_counts() -> None:
    """A message sent on by hand and expired again in the same queue has one `x-death` entry that counts two."""
    clock = Clock()
    broker = MemoryBroker(clock=clock)
    transport = opened(broker, Queue("work"), waiting(1, "work"))
    transport.publish([Message(b"x", routing_key="wait-1")])
    headers: Mapping[str, Any] = {}
    for now in (1.0, 2.0):
        clock.now = now
        broker.tick()
        inbox = Inbox()
        transport.consume("work", prefetch=1, on_deliveries=inbox.on_deliveries, on_lost=inbox.on_lost)
        (delivery,) = inbox.wait(1)
        headers = delivery.message.headers
        transport.ack([delivery])
        transport.cancel()
        transport.publish([Message(b"x", routing_key="wait-1", headers=headers)])
    (death,) = headers["x-death"]
    assert (death["count"], death["queue"], death["reason"]) == (2, "wait-1", "expired")
    assert headers["x-first-death-queue"] == "wait-1"


def test_rests_grow() -> None:
    """A message given back again and again rests longer each time, never more than a second."""
    queue = MemoryQueue("q", {})
    queue.put(Message(b"x"), 0.0)
    rests = []
    for _ in range(12):
        queue.give_back(queue.take(), 0.0)
        rests.append(queue.next_due() or 0)
        queue.wake(queue.next_due() or 0)
    assert rests == [0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1, 1, 1]


def test_max_length_drops_the_oldest() -> None:
    """A queue with a maximum length and no overflow rule dead-letters its oldest message for each new one."""
    full = Queue("full", {"x-max-length": 2, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "over"})
    transport = opened(MemoryBroker(), Queue("over"), full)
    assert transport.publish([Message(b"%d" % n, routing_key="full") for n in range(3)]) == [Confirm.CONFIRMED] * 3
    inbox = Inbox()
    transport.consume("over", prefetch=1, on_deliveries=inbox.on_deliveries, on_lost=inbox.on_lost)
    (dropped,) = inbox.wait(1)
    assert (dropped.message.body, dropped.message.headers["x-death"][0]["reason"]) == (b"0", "maxlen")


def test_faults() -> None:
    """A test can nack the next publishes, refuse new connections and cut open ones."""
    broker = MemoryBroker("faulty")
    transport = opened(broker, Queue("q"))
    broker.nack_next(1)
    messages = [Message(b"x", routing_key="q")] * 2
    assert transport.publish(messages) == [Confirm.NACKED, Confirm.CONFIRMED]
    broker.refuse_connections(True)
    assert transport.publish(messages[:1]) == [Confirm.CONFIRMED]
    broker.drop_connections()
    with pytest.raises(BrokerError, match="gone"):
        transport.publish(messages)
    with pytest.raises(BrokerError, match="'faulty' refuses"):
        transport.open()
    broker.refuse_connections(False)
    transport.open()
    assert transport.publish(messages[:1]) == [Confirm.CONFIRMED]


def test_callback_that_raises() -> None:
    """An exception out of `on_deliveries` ends consuming, gives the messages back and reaches `on_lost`."""
    transport = opened(MemoryBroker(), Queue("q"))
    inbox = Inbox()

    def explode(_deliveries: object) -> None:
        raise ValueError("a bug")

    transport.publish([Message(b"x", routing_key="q")])
    transport.consume("q", prefetch=1, on_deliveries=explode, on_lost=inbox.on_lost)
    assert str(inbox.wait_lost()) == "a bug"
    assert transport.depth("q") == 1


def test_shared_by_name() -> None:
    """One name is one broker in the process, another name another, and a broker of one's own is nobody else's."""
    assert shared_broker("unit-a") is shared_broker("unit-a")
    assert shared_broker("unit-a") is not shared_broker("unit-b")
    opened(shared_broker("unit-a"), Queue("q"))
    assert opened(MemoryBroker("unit-a")).missing(Topology(queues=[Queue("q")])) == ["q"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"x-message-ttl": "soon"}, "x-message-ttl"),
        ({"x-message-ttl": -1}, "x-message-ttl"),
        ({"x-queue-type": "stream"}, "x-queue-type"),
        ({"x-overflow": "reject"}, "x-overflow"),
        ({"x-dead-letter-exchange": 1}, "x-dead-letter-exchange"),
        ({"x-dead-letter-routing-key": "k"}, "x-dead-letter-routing-key"),
        ({"x-single-active-consumer": True}, "x-single-active-consumer"),
    ],
)
def test_refused_arguments(arguments: dict[str, str | int], named: str) -> None:
    """An argument that is wrong, or that would have to be ignored, is a ConfigError naming queue and argument."""
    with pytest.raises(ConfigError, match=f"'odd'.*'{named}'"):
        opened(MemoryBroker(), Queue("odd", arguments))


def test_all_faults_at_once() -> None:
    """Declaring collects every fault: a wrong kind, a wrong argument, and a binding without its exchange."""
    topology = Topology(
        [Exchange("e", "headers")], [Queue("q", {"x-overflow": "no"}), Queue("ok")], [Binding("e", "ok", "#")]
    )
    with pytest.raises(ConfigError) as caught:
        MemoryTransport(MemoryBroker()).declare(topology)
    assert len(caught.value.faults) == 3


words = st.text("ab", max_size=2)
keys = st.lists(words, min_size=1, max_size=5).map(".".join)
patterns = st.lists(words | st.sampled_from(["*", "#"]), min_size=1, max_size=5).map(".".join)


@given(pattern=patterns.filter(bool), key=keys.filter(bool))
def test_topic_patterns(pattern: str, key: str) -> None:
    """A topic pattern matches exactly what a regular expression built from it matches."""
    parts = [{"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}.get(part, re.escape(part) + r"\.") for part in pattern.split(".")]
    assert topic_matches(pattern, key) == bool(re.fullmatch("".join(parts), key + "."))
