"""The broker's side of a trial: a virtual host of its own, the queue that everyone consumes, events in it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice

import pika

from adapter_sdk.settings import BrokerSettings, Settings
from adapter_sdk.topology import plan
from adapter_sdk.transport.base import Binding, Confirm, Exchange, Message, Queue, Topology
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from tests.benchmarks.adaptors.plain import WithLedger
from tests.benchmarks.workload import CONTENT_TYPE, EXCHANGE, ORDER_TYPE, QUEUE, REPLIES, REPLY_TYPE
from tests.services import wait_until
from tests.services.rabbitmq import Broker

Headers = Callable[[int], Mapping[str, str]]

_BURST = 2000


class Queues:
    """One virtual host, empty at first. All contenders get queues with the arguments that the toolkit declares."""

    def __init__(self, broker: Broker, queue_type: str) -> None:
        self.url = broker.url
        self._transport = RabbitMQTransport(broker.url, connection_name="benchmark")
        settings = Settings(broker=BrokerSettings.model_validate({"queue_type": queue_type}))
        topology = plan(WithLedger, settings)
        self._transport.declare(
            Topology(
                exchanges=[Exchange(EXCHANGE)],
                queues=[*topology.queues, Queue(REPLIES, {"x-queue-type": queue_type})],
                bindings=[Binding(EXCHANGE, QUEUE, ORDER_TYPE), Binding(EXCHANGE, REPLIES, REPLY_TYPE)],
            )
        )
        self._transport.open()

    def fill(self, bodies: Iterable[bytes], headers: Headers | None = None) -> None:
        """Publish one persistent message per body, confirmed. `headers` are asked for by number, from 1."""
        messages = (_message(body, headers(number) if headers else {}) for number, body in enumerate(bodies, 1))
        while burst := list(islice(messages, _BURST)):
            confirms = self._transport.publish(burst, timeout=120)
            assert all(confirm is Confirm.CONFIRMED for confirm in confirms), "the broker does not take the events"

    def left(self) -> int:
        """Messages that are in the queue when its last consumer is gone: what was not settled."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()

            def deserted() -> bool:
                return not channel.queue_declare(QUEUE, passive=True).method.consumer_count

            wait_until(deserted)
            return self._transport.depth(QUEUE)

    def wait_for_consumers(self, count: int = 1) -> None:
        """Wait until so many consume. Raises TimeoutError."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            wait_until(lambda: channel.queue_declare(QUEUE, passive=True).method.consumer_count >= count, 60.0)

    def replies(self) -> int:
        """Replies that wait to be read."""
        return self._transport.depth(REPLIES)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def _message(body: bytes, headers: Mapping[str, str]) -> Message:
    return Message(
        body, routing_key=ORDER_TYPE, exchange=EXCHANGE, headers=headers, content_type=CONTENT_TYPE, type=ORDER_TYPE
    )


@contextmanager
def queues_on(broker: Broker, queue_type: str) -> Iterator[Queues]:
    """Queues on a virtual host of their own, which is gone afterwards."""
    vhost = broker.new_vhost("bench")
    queues = Queues(vhost, queue_type)
    try:
        yield queues
    finally:
        queues.close()
        vhost.delete_vhost()
