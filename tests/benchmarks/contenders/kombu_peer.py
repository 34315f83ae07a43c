"""kombu, the messaging library of Celery."""

from typing import Any

from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import CONTENT_TYPE, EXCHANGE, QUEUE, REPLY_TYPE, OrderEvent, reply_body


def consume(task: Task, watch: Watch) -> None:
    """(a): acks coalesced."""

    def on_message(message: Any) -> None:
        watch.handled(OrderEvent.model_validate_json(message.body).data)
        tag = message.delivery_tag
        if tag % task.ack_every == 0 or tag == task.events:
            message.ack(multiple=True)

    _drain(task, on_message)


def reply(task: Task, watch: Watch) -> None:
    """(b): one confirm at a time."""
    producer = confirming_producer(task.url)

    def on_message(message: Any) -> None:
        event = OrderEvent.model_validate_json(message.body)
        watch.handled(event.data)
        publish(producer, event)
        message.ack()
        watch.settled(1)

    watch.expect_settlements()
    _drain(task, on_message)


def confirming_producer(url: str) -> Any:
    """A producer on a connection of its own, whose `publish` waits for the confirm."""
    from kombu import Connection, Producer

    return Producer(Connection(url, transport_options={"confirm_publish": True}).channel(), auto_declare=False)


def publish(producer: Any, event: OrderEvent) -> None:
    """Publish the reply to an event."""
    producer.publish(
        reply_body(event),
        routing_key=REPLY_TYPE,
        exchange=EXCHANGE,
        content_type=CONTENT_TYPE,
        content_encoding="utf-8",
        delivery_mode=2,
        mandatory=True,
    )


def _drain(task: Task, on_message: Any) -> None:
    from kombu import Connection, Consumer, Queue

    connection = Connection(task.url)
    consumer = Consumer(
        connection.channel(),
        queues=[Queue(QUEUE, no_declare=True)],
        on_message=on_message,
        prefetch_count=task.prefetch,
        auto_declare=False,
    )
    with consumer:
        while True:
            connection.drain_events()


KOMBU = Contender("kombu", "py-amqp, acks as of pika Blocking", consume, peer=True)
KOMBU_REPLY = Contender("kombu", "py-amqp, one confirm at a time, ack each", reply, peer=True)
