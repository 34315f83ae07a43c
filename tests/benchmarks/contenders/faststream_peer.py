"""FastStream on aio-pika and uvloop: the nearest peer, because its users, too, write one typed function per event."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import CONTENT_TYPE, EXCHANGE, QUEUE, REPLY_TYPE, OrderEvent, reply_body

Handle = Callable[[bytes], Awaitable[None]]


def consume(task: Task, watch: Watch) -> None:
    """(a)."""

    def handler(_: Any) -> Handle:
        async def handle(body: bytes) -> None:
            watch.handled(OrderEvent.model_validate_json(body).data)

        return handle

    _run(task, handler)


def reply(task: Task, watch: Watch) -> None:
    """(b): as many confirms are waited for at once as events are in hand."""

    def handler(broker: Any) -> Handle:
        async def handle(body: bytes) -> None:
            event = OrderEvent.model_validate_json(body)
            watch.handled(event.data)
            await broker.publish(
                reply_body(event),
                exchange=EXCHANGE,
                routing_key=REPLY_TYPE,
                mandatory=True,
                persist=True,
                content_type=CONTENT_TYPE,
            )

        return handle

    _run(task, handler)


def _run(task: Task, handler: Callable[[Any], Handle]) -> None:
    import asyncio

    import uvloop
    from faststream import AckPolicy
    from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

    async def main() -> None:
        broker = RabbitBroker(task.url, logger=None, apply_types=False)
        queue = RabbitQueue(QUEUE, declare=False)
        subscribe = broker.subscriber(
            queue, channel=Channel(prefetch_count=task.prefetch), ack_policy=AckPolicy.ACK, no_reply=True
        )
        subscribe(handler(broker))
        await broker.start()
        await asyncio.Event().wait()

    uvloop.run(main())


_CONFIGURATION = "uvloop, no logger, no injection of dependencies, bytes validated in the handler"
FASTSTREAM = Contender("FastStream", _CONFIGURATION, consume, peer=True)
FASTSTREAM_REPLY = Contender("FastStream", f"{_CONFIGURATION}, confirms awaited concurrently", reply, peer=True)
