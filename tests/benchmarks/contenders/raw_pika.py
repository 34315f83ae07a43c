"""pika by hand, at its best: prefetch, acks coalesced, confirms taken as they come. It promises nothing."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import CONTENT_TYPE, EXCHANGE, QUEUE, REPLY_TYPE, OrderEvent, reply_body

if TYPE_CHECKING:
    from pika import SelectConnection
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.channel import Channel
    from pika.frame import Method
    from pika.spec import Basic, BasicProperties


class Coalescing:
    """Consumes on either kind of channel; acks after so many events, and after the last."""

    def __init__(self, task: Task, watch: Watch, channel: "BlockingChannel | Channel") -> None:
        self._events = task.events
        self._ack_every = task.ack_every
        self._watch = watch
        self._channel = channel

    def on_message(self, _: object, method: "Basic.Deliver", __: object, body: bytes) -> None:
        """Validate, handle, ack."""
        self._watch.handled(OrderEvent.model_validate_json(body).data)
        tag = method.delivery_tag or 0
        if tag % self._ack_every == 0 or tag == self._events:
            self._channel.basic_ack(tag, multiple=True)


class TurnByTurn:
    """Consumes on a SelectConnection; acks once for all that one turn of its loop brought."""

    def __init__(self, watch: Watch, channel: "Channel") -> None:
        self._watch = watch
        self._channel = channel
        self._last = 0

    def on_message(self, _: object, method: "Basic.Deliver", __: object, body: bytes) -> None:
        """Validate, handle; the ack follows when all that was read has been."""
        self._watch.handled(OrderEvent.model_validate_json(body).data)
        if not self._last:
            cast("SelectConnection", self._channel.connection).ioloop.call_later(0, self._ack)
        self._last = method.delivery_tag or 0

    def _ack(self) -> None:
        self._channel.basic_ack(self._last, multiple=True)
        self._last = 0


class Confirming:
    """Consumes on a SelectConnection and replies; acks what is confirmed, once per confirm that the broker sends.

    On one channel the n-th reply answers the n-th delivery, so the tags of both are the same numbers.
    """

    def __init__(self, watch: Watch, channel: "Channel", properties: "BasicProperties") -> None:
        self._watch = watch
        self._channel = channel
        self._properties = properties
        self._confirmed: set[int] = set()
        self._acked = 0

    def on_message(self, _: object, __: "Basic.Deliver", ___: object, body: bytes) -> None:
        """Validate, handle, publish the reply."""
        event = OrderEvent.model_validate_json(body)
        self._watch.handled(event.data)
        self._channel.basic_publish(EXCHANGE, REPLY_TYPE, reply_body(event), self._properties, mandatory=True)

    def on_confirm(self, frame: "Method[Basic.Ack | Basic.Nack]") -> None:
        """Ack the longest prefix that is confirmed. A nack would need more than this."""
        tag = frame.method.delivery_tag or 0
        first = self._acked + 1 if frame.method.multiple else tag
        self._confirmed.update(range(first, tag + 1))
        before = self._acked
        while self._acked + 1 in self._confirmed:
            self._acked += 1
            self._confirmed.discard(self._acked)
        if self._acked > before:
            self._channel.basic_ack(self._acked, multiple=True)
            self._watch.settled(self._acked - before)


def blocking_coalesced(task: Task, watch: Watch) -> None:
    """(a) on a BlockingConnection."""

    def consume(channel: "BlockingChannel") -> None:
        channel.basic_consume(QUEUE, Coalescing(task, watch, channel).on_message)

    blocking(task, consume)


def select_coalesced(task: Task, watch: Watch) -> None:
    """(a) on a SelectConnection."""

    def consume(channel: "Channel") -> None:
        channel.basic_consume(QUEUE, TurnByTurn(watch, channel).on_message)

    _select(task, consume)


def blocking_confirmed(task: Task, watch: Watch) -> None:
    """(b) on a BlockingConnection, which waits for each confirm."""

    def consume(channel: "BlockingChannel") -> None:
        properties = _reply_properties()

        def on_message(_: object, method: "Basic.Deliver", __: object, body: bytes) -> None:
            event = OrderEvent.model_validate_json(body)
            watch.handled(event.data)
            channel.basic_publish(EXCHANGE, REPLY_TYPE, reply_body(event), properties, mandatory=True)
            channel.basic_ack(method.delivery_tag or 0)
            watch.settled(1)

        channel.confirm_delivery()
        channel.basic_consume(QUEUE, on_message)

    watch.expect_settlements()
    blocking(task, consume)


def select_confirmed(task: Task, watch: Watch) -> None:
    """(b) on a SelectConnection, with asynchronous confirms."""

    def consume(channel: "Channel") -> None:
        confirming = Confirming(watch, channel, _reply_properties())
        channel.confirm_delivery(confirming.on_confirm)
        channel.basic_consume(QUEUE, confirming.on_message)

    watch.expect_settlements()
    _select(task, consume)


def _reply_properties() -> "BasicProperties":
    from pika import BasicProperties

    return BasicProperties(content_type=CONTENT_TYPE, delivery_mode=2)


def blocking(task: Task, consume: "Callable[[BlockingChannel], None]") -> None:
    """Consume on a BlockingConnection until the process is ended."""
    import pika

    channel = pika.BlockingConnection(pika.URLParameters(task.url)).channel()
    channel.basic_qos(prefetch_count=task.prefetch)
    consume(channel)
    channel.start_consuming()


def _select(task: Task, consume: "Callable[[Channel], None]") -> None:
    import pika

    def on_channel(channel: "Channel") -> None:
        channel.basic_qos(prefetch_count=task.prefetch, callback=lambda _: consume(channel))

    def on_connection(connection: "SelectConnection") -> None:
        connection.channel(on_open_callback=on_channel)

    connection = pika.SelectConnection(
        pika.URLParameters(task.url),
        on_open_callback=on_connection,
        on_open_error_callback=partial(_fail, "no connection"),
        on_close_callback=partial(_fail, "connection closed"),
    )
    connection.ioloop.start()


def _fail(what: str, _: object, error: object) -> None:
    raise RuntimeError(f"{what}: {error}")


BLOCKING = Contender("pika Blocking, coalesced", "one ack per 100, or per quarter of the prefetch", blocking_coalesced)
SELECT = Contender("pika Select, coalesced", "one ack per turn of the I/O loop", select_coalesced)
BLOCKING_CONFIRMED = Contender("pika Blocking, confirmed", "one confirm at a time, ack each", blocking_confirmed)
SELECT_CONFIRMED = Contender(
    "pika Select, confirmed", "asynchronous confirms, one ack per confirm received", select_confirmed
)
