"""The RabbitMQ transport where things go wrong, against a real broker."""

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pika
import pytest
from pika import spec

from adapter_sdk.errors import BrokerError, ConfigError
from adapter_sdk.testing.conformance import Inbox, eventually
from adapter_sdk.transport.base import (
    UNDECODABLE,
    UNDECODABLE_TABLE,
    Binding,
    Confirm,
    Delivery,
    Exchange,
    Message,
    Queue,
    Topology,
)
from adapter_sdk.transport.rabbitmq import RabbitMQTransport, guard
from tests.services.rabbitmq import Broker, Node

QUEUE = "work"


@pytest.fixture
def transport(fresh_rabbitmq: Broker) -> Iterator[RabbitMQTransport]:
    """An open transport with one quorum queue, in a virtual host of its own."""
    transport = RabbitMQTransport(fresh_rabbitmq.url, heartbeat=1)
    transport.declare(Topology(queues=[Queue(QUEUE, {"x-queue-type": "quorum"})]))
    transport.open()
    yield transport
    transport.close()


def consume(transport: RabbitMQTransport, prefetch: int = 10) -> Inbox:
    """Consume the queue into a new inbox."""
    inbox = Inbox()
    transport.consume(QUEUE, prefetch=prefetch, on_deliveries=inbox.on_deliveries, on_lost=inbox.on_lost)
    return inbox


def send(transport: RabbitMQTransport, body: bytes) -> None:
    """Publish one message to the queue."""
    assert transport.publish([Message(body, routing_key=QUEUE)]) == [Confirm.CONFIRMED]


def sockets(transport: RabbitMQTransport) -> list[socket.socket]:
    """The sockets under both connections, to do to them what a network does."""
    links = [transport._consuming_link, transport._publishing_link]
    return [link.connection._transport._sock for link in links if link]  # type: ignore[attr-defined]


def test_killed_sockets(transport: RabbitMQTransport) -> None:
    """After both sockets die, `on_lost` is called once, and after close and open everything works and comes again."""
    send(transport, b"before")
    inbox = consume(transport)
    inbox.wait(1)
    for sock in sockets(transport):
        sock.shutdown(socket.SHUT_RDWR)
    assert isinstance(inbox.wait_lost(), BrokerError)
    transport.close()
    transport.open()
    again = consume(transport)
    send(transport, b"after")
    assert sorted(delivery.message.body for delivery in again.wait(2)) == [b"after", b"before"]
    assert len(inbox.losses) == 1


def test_publishing_connection_heals_itself(transport: RabbitMQTransport) -> None:
    """A publishing connection that died is opened anew by the next publishes, and consuming never notices."""
    inbox = consume(transport)
    sockets(transport)[1].shutdown(socket.SHUT_RDWR)
    link = transport._publishing_link
    eventually(lambda: link is not None and not link.alive, "the loss is noticed")
    send(transport, b"x")
    inbox.wait(1)
    assert inbox.losses == []


def test_loss_while_publishing(transport: RabbitMQTransport) -> None:
    """A connection that dies before the confirms is a BrokerError for the batch, never a guess."""
    link, sock = transport._publishing_link, sockets(transport)[1]
    assert link is not None
    published = threading.Event()

    def die_under_the_batch() -> None:
        published.wait(10)
        sock.shutdown(socket.SHUT_RDWR)

    link.post(die_under_the_batch)

    def watch() -> None:
        eventually(lambda: bool(link._waiting), "the batch is on its way")
        published.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(BrokerError, match="Publishing 1 messages"):
        transport.publish([Message(b"x", routing_key=QUEUE)])
    watcher.join()
    send(transport, b"y")


def test_publish_timeout(transport: RabbitMQTransport) -> None:
    """Confirms that come too late are a BrokerError that names the time, and the next batch is answered as its own."""
    with pytest.raises(BrokerError, match="within 0 s"):
        transport.publish([Message(b"%d" % n, routing_key="nobody") for n in range(500)], timeout=0)
    send(transport, b"y")


def test_blocked_publisher(transport: RabbitMQTransport) -> None:
    """While the broker blocks publishers nothing is sent, and the BrokerError says where to look."""
    link = transport._publishing_link
    assert link is not None
    link.unblocked.clear()
    with pytest.raises(BrokerError, match="alarm"):
        transport.publish([Message(b"x", routing_key=QUEUE)], timeout=0.05)
    link.unblocked.set()
    assert transport.depth(QUEUE) == 0


def test_slow_owner(transport: RabbitMQTransport) -> None:
    """A delivery held for more than three heartbeats costs neither the connection nor the delivery."""
    send(transport, b"slow")
    inbox = consume(transport)
    (delivery,) = inbox.wait(1)
    # Time has to pass here: what is tested is that silence of the owner does no harm.
    time.sleep(3.5)
    transport.ack([delivery])
    transport.close()
    assert (inbox.losses, transport.depth(QUEUE)) == ([], 0)


def test_callback_that_raises(transport: RabbitMQTransport) -> None:
    """An exception out of `on_deliveries` ends the connection: `on_lost` is called once, the message comes again."""
    inbox = Inbox()

    def explode(_deliveries: object) -> None:
        raise ValueError("a bug")

    send(transport, b"x")
    transport.consume(QUEUE, prefetch=1, on_deliveries=explode, on_lost=inbox.on_lost)
    assert "ValueError: a bug" in str(inbox.wait_lost())
    transport.open()
    (again,) = consume(transport).wait(1)
    assert again.redelivered
    assert len(inbox.losses) == 1


def test_deleted_queue(transport: RabbitMQTransport, fresh_rabbitmq: Broker) -> None:
    """A consumer whose queue is deleted is told of the broker's cancel, before any watch for silence would notice."""
    inbox = consume(transport)
    fresh_rabbitmq.api("DELETE", f"queues/{fresh_rabbitmq.vhost}/{QUEUE}")
    assert f"cancelled the consumer of queue '{QUEUE}'" in str(inbox.wait_lost())


def test_consumer_that_vanishes(transport: RabbitMQTransport) -> None:
    """A consumer that pika has lost without a word is noticed within a heartbeat."""
    inbox = consume(transport)
    channel = transport._consuming
    assert channel is not None
    channel._channel._consumers.clear()  # type: ignore[attr-defined]
    assert "is gone" in str(inbox.wait_lost())


@pytest.mark.parametrize("call", ["publish", "consume", "cancel"])
def test_own_thread_refused(transport: RabbitMQTransport, call: str) -> None:
    """What waits for the broker is refused inside a callback, where it would wait for itself."""
    calls: dict[str, Callable[[], object]] = {
        "publish": lambda: transport.publish([Message(b"x", routing_key=QUEUE)]),
        "consume": lambda: consume(transport),
        "cancel": transport.cancel,
    }
    inbox = Inbox()

    def misuse(_deliveries: object) -> None:
        calls[call]()

    send(transport, b"x")
    transport.consume(QUEUE, prefetch=1, on_deliveries=misuse, on_lost=inbox.on_lost)
    assert "RuntimeError: this may not be called from inside" in str(inbox.wait_lost())


def test_close_inside_a_callback(transport: RabbitMQTransport) -> None:
    """`ack` and `close` may be called inside `on_deliveries`, and the ack is sent before the connection ends."""
    inbox = Inbox()

    def settle_and_close(deliveries: list[Delivery]) -> None:
        transport.ack(deliveries)
        transport.close()

    send(transport, b"x")
    transport.consume(QUEUE, prefetch=1, on_deliveries=settle_and_close, on_lost=inbox.on_lost)
    eventually(lambda: transport._publishing_link is None, "it is closed")
    transport.open()
    send(transport, b"y")
    assert [delivery.message.body for delivery in consume(transport).wait(1)] == [b"y"]
    assert inbox.losses == []


class RawHeaders(spec.BasicProperties):
    """Properties whose header table is written as given, which no encoder would do."""

    def __init__(self, table: bytes) -> None:
        super().__init__(message_id="bomb")
        self._table = table

    def encode(self) -> list[bytes]:
        flags = self.FLAG_HEADERS | self.FLAG_MESSAGE_ID
        return [struct.pack(">HI", flags, len(self._table)), self._table, b"\x04bomb"]


@pytest.mark.parametrize("table", list(guard.BOMBS.values()), ids=list(guard.BOMBS))
def test_header_bombs(transport: RabbitMQTransport, fresh_rabbitmq: Broker, table: bytes) -> None:
    """A message whose headers would kill pika arrives whole, marked, with its neighbours, and can be acked."""
    send(transport, b"before")
    with pika.BlockingConnection(pika.URLParameters(fresh_rabbitmq.url)) as connection:
        connection.channel().basic_publish("", QUEUE, b"body of the bomb", RawHeaders(table))
    send(transport, b"after")
    inbox = consume(transport)
    before, bomb, after = inbox.wait(3)
    assert (before.message.body, after.message.body) == (b"before", b"after")
    assert (bomb.message.body, bomb.message.message_id) == (b"body of the bomb", "bomb")
    assert bomb.message.headers[UNDECODABLE_TABLE][4:] == table
    assert bomb.message.headers[UNDECODABLE]
    transport.ack([before, bomb, after])
    transport.close()
    assert (inbox.losses, transport.depth(QUEUE)) == ([], 0)


def test_neighbours_of_a_refused_publish(transport: RabbitMQTransport) -> None:
    """A forged user id is refused by the broker: a ConfigError that says so, and the next publish works."""
    with pytest.raises(ConfigError, match="user_id"):
        transport.publish([Message(b"x", routing_key=QUEUE, user_id="somebody")])
    send(transport, b"y")


def test_every_refused_declaration_is_listed(transport: RabbitMQTransport) -> None:
    """One ConfigError lists every declaration that the broker refuses, and what could be declared is there."""
    topology = Topology(
        [Exchange("amq.reserved"), Exchange("fine")],
        [Queue(QUEUE, {"x-queue-type": "quorum", "x-message-ttl": 5}), Queue("bad", {"x-message-ttl": "soon"})],
        [Binding("nowhere", QUEUE, "#"), Binding("fine", QUEUE, "#")],
    )
    with pytest.raises(ConfigError) as caught:
        transport.declare(topology)
    reserved, inequivalent, invalid, nowhere = caught.value.faults
    assert "amq.reserved" in reserved
    assert f"Queue '{QUEUE}' exists with x-message-ttl not set, but 5 is wanted" in inequivalent
    assert "'x-message-ttl' for queue 'bad'" in invalid
    assert "no exchange 'nowhere'" in nowhere
    assert transport.publish([Message(b"x", exchange="fine", routing_key="k")]) == [Confirm.CONFIRMED]


def test_unknown_exchange_kind(transport: RabbitMQTransport) -> None:
    """An exchange kind that the broker does not know is a ConfigError that names it."""
    with pytest.raises(ConfigError, match="nonsense"):
        transport.declare(Topology([Exchange("odd", "nonsense")]))


def broken_urls(broker: Broker) -> dict[str, tuple[str, type[Exception], str]]:
    """URLs that lead nowhere: the error and what it says."""
    management = broker.management_url.rpartition(":")[2]
    host = broker.url.rpartition("@")[2]
    port = host.partition("/")[0].rpartition(":")[2]
    return {
        "wrong password": (f"amqp://{broker.user}:S3cret@{host}", ConfigError, "refused the user or the password"),
        "wrong vhost": (broker.url.rpartition("/")[0] + "/nope", ConfigError, "no virtual host 'nope'"),
        "closed port": (
            broker.url.replace(port, "1"),
            BrokerError,
            r"Cannot reach 127\.0\.0\.1 port 1: Connection refused",
        ),
        "unknown host": (
            broker.url.replace("127.0.0.1", "nowhere.invalid"),
            BrokerError,
            "Cannot reach nowhere.invalid",
        ),
        "not AMQP": (broker.url.replace(port, management), BrokerError, "answers, but not with AMQP"),
        "no TLS": (broker.url.replace("amqp:", "amqps:"), ConfigError, "does not speak TLS"),
    }


@pytest.mark.parametrize("case", ["wrong password", "wrong vhost", "closed port", "unknown host", "not AMQP", "no TLS"])
def test_cannot_connect(fresh_rabbitmq: Broker, case: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each way not to get in has its own sentence, from `open` and from `depth`; no password is in error or log."""
    url, kind, says = broken_urls(fresh_rabbitmq)[case]
    caplog.set_level(logging.DEBUG, logger="pika")
    transport = RabbitMQTransport(url, connect_timeout=2)
    for call in (transport.open, lambda: transport.depth(QUEUE)):
        with pytest.raises(kind, match=says) as caught:
            call()
        assert type(caught.value) is kind
        told = f"{caught.value!r} {caught.value.__cause__!r} {transport!r} {caplog.text}"
        assert fresh_rabbitmq.password not in told
        assert "S3cret" not in told


def test_pika_is_quiet(transport: RabbitMQTransport, caplog: pytest.LogCaptureFixture) -> None:
    """A lost connection reaches `on_lost` and leaves no line of pika's in the log."""
    inbox = consume(transport)
    sockets(transport)[0].shutdown(socket.SHUT_RDWR)
    inbox.wait_lost()
    assert [record for record in caplog.records if record.name.startswith("pika")] == []


def test_broker_restart(own_rabbitmq: Node) -> None:
    """A killed broker is lost once, cannot be reached until it is back, and then gives out what it had confirmed."""
    transport = RabbitMQTransport(own_rabbitmq.broker.url, connect_timeout=2)
    transport.declare(Topology(queues=[Queue(QUEUE)]))
    transport.open()
    send(transport, b"kept")
    inbox = consume(transport)
    inbox.wait(1)
    own_rabbitmq.kill()
    inbox.wait_lost()
    with pytest.raises(BrokerError, match="Cannot reach"):
        transport.open()
    own_rabbitmq.start()
    transport.open()
    (again,) = consume(transport).wait(1)
    assert (again.message.body, again.redelivered, len(inbox.losses)) == (b"kept", True, 1)
    transport.close()


@pytest.mark.parametrize("when", ["coming-up", "up"])
def test_what_a_killed_broker_gives_again_comes_in_order(own_rabbitmq: Node, when: str) -> None:
    """In order: what was unsettled when the broker died comes before what waited, also to who asks first of all."""
    transport = RabbitMQTransport(own_rabbitmq.broker.url, connect_timeout=2)
    queue = f"killed-{when}"  # a name of its own: by its name the node is asked whether the queue is on disk
    transport.declare(Topology(queues=[Queue(queue, {"x-queue-type": "quorum", "x-delivery-limit": 100})]))

    def consume_in_order(prefetch: int) -> Inbox:
        inbox = Inbox()
        transport.open()
        transport.consume(
            queue, prefetch=prefetch, on_deliveries=inbox.on_deliveries, on_lost=inbox.on_lost, in_order=True
        )
        return inbox

    transport.open()
    transport.publish([Message(b"%d" % number, routing_key=queue) for number in range(60)])
    first = consume_in_order(20)
    first.wait(20)
    own_rabbitmq.kill()
    first.wait_lost()
    again: list[Inbox] = []

    def consume_again() -> bool:
        with suppress(BrokerError):
            again.append(consume_in_order(100))
        if not again:
            transport.close()
        return bool(again)

    starting = threading.Thread(target=own_rabbitmq.start)
    starting.start()
    if when == "up":
        starting.join()
    eventually(consume_again, "the broker is back")
    starting.join()
    again[0].wait(60)
    assert again[0].bodies == [b"%d" % number for number in range(60)]
    transport.close()
