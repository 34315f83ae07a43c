"""aio-pika on uvloop."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import CONTENT_TYPE, EXCHANGE, QUEUE, REPLY_TYPE, OrderEvent, reply_body

OnMessage = Callable[[Any], Awaitable[None]]


def consume(task: Task, watch: Watch) -> None:
    """(a): acks coalesced."""

    async def start(channel: Any) -> OnMessage:
        async def on_message(message: Any) -> None:
            watch.handled(OrderEvent.model_validate_json(message.body).data)
            tag = message.delivery_tag
            if tag % task.ack_every == 0 or tag == task.events:
                await message.ack(multiple=True)

        return on_message

    _run(task, start)


def reply(task: Task, watch: Watch) -> None:
    """(b): as many confirms are waited for at once as events are in hand."""

    async def start(channel: Any) -> OnMessage:
        from aio_pika import DeliveryMode, Message

        exchange = await channel.get_exchange(EXCHANGE, ensure=False)

        async def on_message(message: Any) -> None:
            event = OrderEvent.model_validate_json(message.body)
            watch.handled(event.data)
            answer = Message(reply_body(event), content_type=CONTENT_TYPE, delivery_mode=DeliveryMode.PERSISTENT)
            await exchange.publish(answer, REPLY_TYPE, mandatory=True)
            await message.ack()
            watch.settled(1)

        return on_message

    watch.expect_settlements()
    _run(task, start)


def _run(task: Task, start: Callable[[Any], Awaitable[OnMessage]]) -> None:
    import asyncio

    import aio_pika
    import uvloop

    async def main() -> None:
        connection = await aio_pika.connect(task.url)
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=task.prefetch)
        queue = await channel.get_queue(QUEUE, ensure=False)
        await queue.consume(await start(channel))
        await asyncio.Event().wait()

    uvloop.run(main())


AIO_PIKA = Contender("aio-pika", "uvloop, acks as of pika Blocking", consume, peer=True)
AIO_PIKA_REPLY = Contender("aio-pika", "uvloop, confirms awaited concurrently, ack each", reply, peer=True)
