"""The publishing channel: batches out, one answer for each message back."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import pika
from pika import spec
from pika.channel import Channel

from adapter_sdk.errors import BrokerError, ConfigError
from adapter_sdk.transport.base import Confirm, Message
from adapter_sdk.transport.rabbitmq.encoding import in_writes, to_frames, to_message
from adapter_sdk.transport.rabbitmq.failures import Translate, named_exchange
from adapter_sdk.transport.rabbitmq.link import Link, fail, succeed


@dataclass(slots=True, eq=False)
class Batch:
    """Messages published together, and the answers so far."""

    messages: Sequence[Message]
    answer: Future[list[Confirm]]
    confirms: list[Confirm | None]
    open: int


@dataclass(slots=True)
class Sent:
    """One message on its way: its place in its batch."""

    batch: Batch
    at: int

    @property
    def message(self) -> Message:
        """The message itself."""
        return self.batch.messages[self.at]


class PublishingChannel:
    """A channel in confirm mode; when the channel is gone, so is this object.

    Methods whose names begin with an underscore run on the link's I/O thread, the others on any.
    """

    def __init__(self, link: Link, translate: Translate, *, timeout: float) -> None:
        self._link = link
        self._translate = translate
        self._next_tag = 1
        self._oldest = 1
        self._last_returned = 0
        self._unconfirmed: dict[int, Sent] = {}
        self._starting: Future[None] | None = None
        self._channel: Channel
        link.ask(self._open, timeout, "Opening a channel")

    @property
    def alive(self) -> bool:
        """Whether the broker still knows this channel, as far as anyone can know."""
        return self._link.alive and self._channel.is_open

    def publish(self, messages: Sequence[Message], timeout: float) -> list[Confirm]:
        """Publish all and wait for all, within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        frames = to_frames(messages, self._channel.channel_number, self._link.connection.params.frame_max)
        if not self._link.unblocked.wait(timeout):
            raise BrokerError(
                f"Publishing {len(messages)} messages: the broker has blocked publishers for {timeout:g} s. "
                f"Look for a memory or disk alarm on it."
            )
        begin = partial(self._send, messages, list(in_writes(frames)))
        left = max(deadline - time.monotonic(), 0)
        # A late answer harms nobody: the messages keep their numbers, and other threads wait on this connection too.
        return self._link.ask(begin, left, f"Publishing {len(messages)} messages", drop_if_late=False)

    def _open(self, opened: Future[None]) -> None:
        self._starting = opened
        self._channel = self._link.connection.channel(on_open_callback=partial(self._on_open, opened))
        self._channel.add_on_close_callback(self._on_closed)

    def _on_open(self, opened: Future[None], channel: Channel) -> None:
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _: succeed(opened, None))

    def _send(self, messages: Sequence[Message], writes: list[bytes], answer: Future[list[Confirm]]) -> None:
        if not self._channel.is_open:
            fail(answer, BrokerError("The publishing channel was closed; publish again."))
            return
        batch = Batch(messages, answer, [None] * len(messages), len(messages))
        for at in range(len(messages)):
            self._unconfirmed[self._next_tag + at] = Sent(batch, at)
        self._next_tag += len(messages)
        for write in writes:
            self._link.connection.write(write)

    def _on_confirm(self, frame: "pika.frame.Method[spec.Basic.Ack | spec.Basic.Nack]") -> None:
        method = frame.method
        confirm = Confirm.CONFIRMED if isinstance(method, spec.Basic.Ack) else Confirm.NACKED
        for tag in range(self._oldest, method.delivery_tag + 1) if method.multiple else (method.delivery_tag,):
            sent = self._unconfirmed.pop(tag, None)
            if sent is not None:
                _answer(sent, confirm)
        while self._oldest < self._next_tag and self._oldest not in self._unconfirmed:
            self._oldest += 1

    def _on_return(
        self, _channel: Channel, method: spec.Basic.Return, properties: spec.BasicProperties, body: bytes
    ) -> None:
        tag = self._returned_tag(to_message(method.exchange or "", method.routing_key or "", properties, body))
        if tag is None:
            # An answer that fits no question: any of the messages on their way may be the lost one.
            self._fail_all(BrokerError("The broker returned a message that was not published here."))
            return
        sent = self._unconfirmed[tag]
        sent.batch.confirms[sent.at] = Confirm.RETURNED
        self._last_returned = tag

    def _returned_tag(self, returned: Message) -> int | None:
        """The number of the message that came back.

        A return carries none, but returns come in the order of publishing, each before the confirm of its message; so
        it is the first one after the last return that has the same content.
        """
        alike = None
        for tag in range(max(self._oldest, self._last_returned + 1), self._next_tag):
            message = self._unconfirmed[tag].message if tag in self._unconfirmed else None
            if message is None or _content(message) != _content(returned):
                continue
            if message == returned:
                return tag
            alike = alike or tag
        return alike

    def _on_closed(self, _channel: Channel, reason: Exception) -> None:
        # With a lost connection the link answers everyone, once it is seen to be gone: see ConsumingChannel.
        if not isinstance(reason, pika.exceptions.ChannelClosedByBroker):
            return
        error = self._translate(reason)
        if self._starting is not None:
            fail(self._starting, error)
        for batch in self._culprits(reason):
            fail(batch.answer, ConfigError(*map(str, error.args)))
        self._fail_all(BrokerError(*error.args))

    def _culprits(self, reason: pika.exceptions.ChannelClosedByBroker) -> list[Batch]:
        """The batches that made the broker close the channel; their neighbours may simply be published again."""
        if reason.reply_code not in (403, 404, 406):
            return []
        batches = list(dict.fromkeys(sent.batch for sent in self._unconfirmed.values()))
        exchange = named_exchange(reason)
        if exchange is not None:
            return [batch for batch in batches if any(message.exchange == exchange for message in batch.messages)]
        return batches if len(batches) == 1 else []

    def _fail_all(self, error: Exception) -> None:
        for sent in self._unconfirmed.values():
            fail(sent.batch.answer, error)
        self._unconfirmed.clear()


def _content(message: Message) -> tuple[str, str, bytes]:
    return message.exchange, message.routing_key, message.body


def _answer(sent: Sent, confirm: Confirm) -> None:
    batch = sent.batch
    if batch.confirms[sent.at] is None:
        batch.confirms[sent.at] = confirm
    batch.open -= 1
    if batch.open == 0:
        succeed(batch.answer, [confirm for confirm in batch.confirms if confirm is not None])
