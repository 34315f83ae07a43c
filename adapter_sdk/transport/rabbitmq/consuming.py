"""The consuming channel: deliveries in, settlements out."""

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import pika
from pika import spec
from pika.channel import Channel

from adapter_sdk.errors import BrokerError
from adapter_sdk.transport.base import Delivery, Message, OnDeliveries, OnLost
from adapter_sdk.transport.rabbitmq.deliveries import Deliveries
from adapter_sdk.transport.rabbitmq.encoding import to_message
from adapter_sdk.transport.rabbitmq.failures import Translate
from adapter_sdk.transport.rabbitmq.link import Link, fail, succeed

Receipt = tuple["ConsumingChannel", int]
"""A delivery's channel and tag. Tags begin at 1 on every channel, so a tag alone could settle another message."""


LOCK_SUFFIX = ".exclusive"
"""Added to a queue's name, the name of the queue that stands for the right to consume it alone."""

BARRIER = "x-adaptor-barrier"
"""Header of a message that is sent to a queue only to see that the queue takes one, and is settled as soon as it comes
back."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who is told about deliveries, and about the end."""

    queue: str
    prefetch: int
    on_deliveries: OnDeliveries
    on_lost: OnLost


class ConsumingChannel:
    """One channel for one consumer at a time; when the channel is gone, so is this object.

    Methods whose names begin with an underscore run on the link's I/O thread, the others on any.
    """

    def __init__(self, link: Link, translate: Translate, *, timeout: float, watch_every: float) -> None:
        self._link = link
        self._translate = translate
        self._timeout = timeout
        self._watch_every = watch_every
        self._outstanding: dict[int, None] = {}
        self._arrived: list[Delivery] = []
        self._consumer: Consumer | None = None
        self._asked: Future[None] | Future[int] | None = None
        self._tag = ""
        self._locked: str | None = None
        self._channel: Channel
        link.on_ended = self._lose
        link.ask(self._open, timeout, "Opening a channel")

    @property
    def alive(self) -> bool:
        """Whether the broker still knows this channel, as far as anyone can know."""
        return self._link.alive and self._channel.is_open

    @property
    def consuming(self) -> bool:
        """Whether a consumer is set."""
        return self._consumer is not None

    def lock(self, queue: str) -> None:
        """Take the queue for this connection; raises QueueTaken if another has it."""
        self._link.ask(partial(self._lock, queue), self._timeout, f"Taking queue {queue!r}")

    def consumers_of(self, queue: str) -> int:
        """How many consumers the broker knows of a queue."""
        return int(self._link.ask(partial(self._look, queue), self._timeout, f"Looking at queue {queue!r}"))

    def consume(self, consumer: Consumer) -> None:
        """Start; raises what the broker's refusal means."""
        self._link.ask(partial(self._consume, consumer), self._timeout, f"Consuming queue {consumer.queue!r}")

    def cancel(self) -> None:
        """Stop. What the broker sent before it knew goes straight back to the queue."""
        self._link.ask(self._cancel, self._timeout, "Ending the consumer")

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Settle; what is not of this channel or settled already is skipped."""
        if tags := self._own(deliveries):
            self._link.post(partial(self._ack, tags))

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back; what is not of this channel or settled already is skipped."""
        if tags := self._own(deliveries):
            self._link.post(partial(self._release, tags))

    def forget_consumer(self) -> None:
        """From now on the end of the channel is no loss: it was asked for.

        pika would end the consumer before the channel. A quorum queue then takes back at once what is on its way to
        it, and only after that, so behind it, what was delivered before (seen on 3.10).
        """
        self._link.post(self._drop_consumer)

    def _own(self, deliveries: Sequence[Delivery]) -> list[int]:
        tags = []
        for delivery in deliveries:
            receipt = delivery.receipt
            if isinstance(receipt, tuple) and receipt[0] is self:
                tags.append(receipt[1])
        return tags

    def _open(self, opened: Future[None]) -> None:
        self._asked = opened
        self._channel = self._link.connection.channel(on_open_callback=partial(self._on_open, opened))
        self._channel.add_on_close_callback(self._on_closed)
        self._channel.add_on_cancel_callback(self._on_cancelled)

    def _on_open(self, opened: Future[None], _channel: Channel) -> None:
        succeed(opened, None)

    def _consume(self, consumer: Consumer, started: Future[None]) -> None:
        if not self._channel.is_open:
            fail(started, BrokerError("The channel is closed; consume again."))
            return
        self._asked, self._consumer, self._tag = started, consumer, ""
        if consumer.prefetch == 0:  # which AMQP would take for no limit at all
            succeed(started, None)
            return
        self._channel.basic_qos(prefetch_count=consumer.prefetch, callback=lambda _: self._subscribe(consumer, started))

    def _lock(self, queue: str, locked: Future[None]) -> None:
        """Declare a queue that the broker lets only one connection have.

        The `exclusive` flag of a consumer alone would not do: quorum queues ignore it (seen on 3.10, and documented as
        a feature of classic queues only). The broker deletes the lock with the connection, however that ends.
        """

        def on_locked(_frame: object) -> None:
            self._locked = queue
            succeed(locked, None)

        self._asked = locked
        self._channel.queue_declare(f"{queue}{LOCK_SUFFIX}", exclusive=True, callback=on_locked)

    def _look(self, queue: str, seen: Future[int]) -> None:
        self._asked = seen
        self._channel.queue_declare(
            queue, passive=True, callback=lambda frame: succeed(seen, frame.method.consumer_count)
        )

    def _subscribe(self, consumer: Consumer, started: Future[None]) -> None:
        self._tag = self._channel.basic_consume(
            consumer.queue,
            self._on_message,
            exclusive=consumer.queue == self._locked,
            callback=lambda _: succeed(started, None),
        )
        connection = self._link.connection
        connection.deliveries = Deliveries(
            self._channel.channel_number, self._tag, connection.params.frame_max, self._arrive
        )
        connection.ioloop.call_later(self._watch_every, partial(self._watch, self._tag))

    def _watch(self, tag: str) -> None:
        """A consumer that pika no longer has, whatever took it, is lost: silence must never look like an idle queue."""
        if self._consumer is None or tag != self._tag:
            return
        if tag not in self._channel.consumer_tags:
            self._lose(BrokerError(f"The consumer of queue {self._consumer.queue!r} is gone."))
            return
        self._link.connection.ioloop.call_later(self._watch_every, partial(self._watch, tag))

    def _on_message(
        self, _channel: Channel, method: spec.Basic.Deliver, properties: spec.BasicProperties, body: bytes
    ) -> None:
        message = to_message(method.exchange or "", method.routing_key or "", properties, body)
        self._arrive(method.delivery_tag or 0, method.redelivered or False, message)

    def _arrive(self, tag: int, redelivered: bool, message: Message) -> None:
        if BARRIER in message.headers:
            self._channel.basic_ack(tag)
            return
        if not self._arrived:
            # Runs when the I/O loop has dispatched all that it has read: one hand-over for one read.
            self._link.connection.ioloop.call_later(0, self._hand_over)
        self._outstanding[tag] = None
        count = message.headers.get("x-delivery-count") if redelivered else 0
        receipt: Receipt = (self, tag)
        self._arrived.append(Delivery(message, receipt, redelivered, count if isinstance(count, int) else None))

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        if arrived and self._consumer:
            self._consumer.on_deliveries(arrived)

    def _cancel(self, ended: Future[None]) -> None:
        if self._consumer is None or not self._channel.is_open:
            succeed(ended, None)
            return
        self._asked = ended
        self._link.connection.deliveries = None  # from now on pika gives back what comes

        def on_ended(_frame: object) -> None:
            self._hand_over()
            self._consumer = None
            succeed(ended, None)

        if self._tag:
            self._channel.basic_cancel(self._tag, callback=on_ended)
        else:
            on_ended(None)

    def _ack(self, tags: list[int]) -> None:
        tags = self._take(tags)
        oldest_left = next(iter(self._outstanding), None)
        prefix = len(tags) if oldest_left is None else bisect_left(tags, oldest_left)
        if prefix:
            # Everything up to here is settled, so one ack with `multiple` stands for all of it.
            self._channel.basic_ack(tags[prefix - 1], multiple=prefix > 1)
        for tag in tags[prefix:]:
            self._channel.basic_ack(tag)

    def _release(self, tags: list[int]) -> None:
        for tag in self._take(tags):
            self._channel.basic_nack(tag, requeue=True)

    def _take(self, tags: list[int]) -> list[int]:
        """The tags among these that are still to settle, in order; from now on they are settled."""
        if not self._channel.is_open:
            return []
        taken = sorted({tag for tag in tags if tag in self._outstanding})
        for tag in taken:
            del self._outstanding[tag]
        return taken

    def _drop_consumer(self) -> None:
        self._consumer = self._link.connection.deliveries = None
        self._channel._cancelled.update(self._channel.consumer_tags)  # type: ignore[attr-defined]  # pika's own list

    def _on_cancelled(self, _frame: object) -> None:
        queue = self._consumer.queue if self._consumer else ""
        self._lose(BrokerError(f"The broker cancelled the consumer of queue {queue!r}, as it does when it is deleted."))

    def _on_closed(self, _channel: Channel, reason: Exception) -> None:
        # A lost connection also closes its channels, but only when the link has ended is it seen to be gone: whoever
        # opens again at once because of `on_lost` must not find a connection that looks alive.
        if isinstance(reason, pika.exceptions.ChannelClosedByBroker):
            self._lose(self._translate(reason))

    def _lose(self, error: Exception) -> None:
        """The consumer is no more. Who waits for an answer about it is told by that answer, else `on_lost` tells."""
        consumer, self._consumer = self._consumer, None
        self._link.connection.deliveries = None
        if self._asked is not None and not self._asked.done():
            fail(self._asked, error)
        elif consumer:
            consumer.on_lost(error)
