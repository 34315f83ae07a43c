"""dramatiq: the event is the argument of an actor, unchanged."""

import os
from functools import partial
from typing import Any

from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import CONTENT_TYPE, EXCHANGE, QUEUE, REPLY_TYPE, OrderEvent, reply_body


def consume(threads: int, task: Task, watch: Watch) -> None:
    """(a)."""

    def handle(body: bytes) -> None:
        watch.handled(OrderEvent.model_validate_json(body).data)

    _work(task, _broker(task), handle, threads)


def reply(threads: int, task: Task, watch: Watch) -> None:
    """(b): each thread has a connection of its own to publish on."""
    broker = _broker(task)

    from pika import BasicProperties

    properties = BasicProperties(content_type=CONTENT_TYPE, delivery_mode=2)

    def handle(body: bytes) -> None:
        event = OrderEvent.model_validate_json(body)
        watch.handled(event.data)
        broker.channel.basic_publish(EXCHANGE, REPLY_TYPE, reply_body(event), properties, mandatory=True)

    _work(task, broker, handle, threads)


def _broker(task: Task) -> Any:
    # Read when dramatiq is imported.
    os.environ["dramatiq_queue_prefetch"] = str(task.prefetch)  # noqa: SIM112 - dramatiq spells it so

    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    broker = RabbitmqBroker(url=task.url, confirm_delivery=True, middleware=[])
    # The queue is there, with arguments that dramatiq does not know.
    broker._declare_queue = lambda name: None
    return broker


def _work(task: Task, broker: Any, handle: Any, threads: int) -> None:
    from dramatiq import Encoder, Worker, actor, set_broker, set_encoder

    def encode(_: Encoder, data: Any) -> bytes:
        raise NotImplementedError

    def decode(_: Encoder, body: bytes) -> Any:
        return {"queue_name": QUEUE, "actor_name": "handle", "args": (body,), "kwargs": {}, "options": {}}

    set_encoder(type("Unchanged", (Encoder,), {"encode": encode, "decode": decode})())
    set_broker(broker)
    actor(handle, actor_name="handle", queue_name=QUEUE, broker=broker)
    Worker(broker, queues={QUEUE}, worker_threads=threads).start()


_CONFIGURATION = "{} thread{}, no middleware"
DRAMATIQ = Contender("dramatiq", _CONFIGURATION.format(1, ""), partial(consume, 1), peer=True)
DRAMATIQ_REPLY = Contender("dramatiq", _CONFIGURATION.format(8, "s"), partial(reply, 8), peer=True)
