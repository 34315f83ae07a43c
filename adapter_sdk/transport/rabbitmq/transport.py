"""RabbitMQ as a transport: which connection and channel is the current one, and nothing about what they do."""

import logging
import ssl
import threading
import time
from collections.abc import Sequence
from functools import partial

import pika

from adapter_sdk.errors import AdaptorError, BrokerError
from adapter_sdk.transport.base import Confirm, Delivery, Keep, Message, OnDeliveries, OnLost, Topology
from adapter_sdk.transport.checks import check_all
from adapter_sdk.transport.rabbitmq import admin, guard
from adapter_sdk.transport.rabbitmq.address import parse_address, tls_context
from adapter_sdk.transport.rabbitmq.consuming import BARRIER, Consumer, ConsumingChannel
from adapter_sdk.transport.rabbitmq.failures import translate
from adapter_sdk.transport.rabbitmq.link import Link
from adapter_sdk.transport.rabbitmq.publishing import PublishingChannel

_TCP_OPTIONS = {"TCP_USER_TIMEOUT": 15_000, "TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}
"""The kernel gives up on unanswered data after 15 s (in ms) and on a silent peer after 5 + 3 * 3 s: heartbeats alone
took 30 s to notice a cut line in a trial."""

_RETURNS_TIMEOUT = 5.0
"""Seconds to wait for a queue to come up, and again for it to forget consumers that are gone. What a channel asks of a
quorum queue that is not up yet may be answered no sooner than after 10 s; a new connection is answered at once then."""

guard.install()

if logging.getLogger("pika").level == logging.NOTSET:
    # pika logs at ERROR, with tracebacks, what it also raises; the errors here say it once. A level set before stays.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


class RabbitMQTransport:
    """One adaptor's connections to RabbitMQ, opened by `open`.

    `url` is `amqp://user:password@host:port/vhost` or `amqps://`; options in it are refused. `connection_name` is what
    the management pages show. `heartbeat`, `connect_timeout` and `blocked_connection_timeout` are in seconds.
    `ssl_context` is for `amqps://` with certificates of your own; without it the system's authorities are asked.
    Raises ConfigError for a wrong URL, or if pika is a version whose header decoder cannot be guarded.
    """

    def __init__(
        self,
        url: str,
        *,
        connection_name: str = "adaptor",
        heartbeat: int = 6,
        connect_timeout: float = 10.0,
        blocked_connection_timeout: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        guard.self_test()
        self._address = parse_address(url)
        self._connection_name = connection_name
        self._heartbeat = heartbeat
        self._connect_timeout = connect_timeout
        self._blocked_connection_timeout = blocked_connection_timeout
        self._ssl_context = ssl_context
        self._translate = partial(translate, address=self._address)
        self._open = False
        # Two locks, so that a slow reconnect of the publishing side never holds up settling or closing the other.
        self._consuming_lock = threading.RLock()
        self._publishing_lock = threading.RLock()
        self._consuming_link: Link | None = None
        self._consuming: ConsumingChannel | None = None
        self._publishing_link: Link | None = None
        self._publishing: PublishingChannel | None = None

    def __repr__(self) -> str:
        return f"<RabbitMQTransport {self.name}>"

    @property
    def name(self) -> str:
        """The broker's URL without the password."""
        return str(self._address)

    def open(self) -> None:
        """Connect both connections, so that a wrong password shows now and not with the first reply."""
        with self._consuming_lock:
            self._open = True
            try:
                if self._consuming_link is None or not self._consuming_link.alive:
                    self._consuming_link = self._connect("consume")
                self._publisher()
            except AdaptorError:
                self.close()
                raise

    def declare(self, topology: Topology) -> None:
        """Create what is missing; a ConfigError lists everything that the broker refused."""
        admin.declare(self._parameters("declare"), self._translate, topology)

    def missing(self, topology: Topology) -> list[str]:
        """Names of the exchanges and queues that the broker does not have."""
        return admin.missing(self._parameters("look"), self._translate, topology)

    def depth(self, queue: str) -> int:
        """Messages ready in `queue`, by a passive declaration: 5 to 15 ms with its connection."""
        return admin.depth(self._parameters("look"), self._translate, queue)

    def take(self, queue: str, keep: Keep, *, limit: int = 1000) -> int:
        """Hand what is ready in `queue` to `keep`, one message at a time."""
        return admin.take(self._parameters("take"), self._translate, queue, keep, limit)

    def consume(
        self,
        queue: str,
        *,
        prefetch: int,
        on_deliveries: OnDeliveries,
        on_lost: OnLost,
        exclusive: bool = False,
        in_order: bool = False,
    ) -> None:
        """Start to consume, on the consuming connection's thread."""
        self._refuse_own_threads()
        with self._consuming_lock:
            link = self._consuming_link
            if link is None or not link.alive:
                raise BrokerError(f"{self.name} is not open.")
            if self._consuming is None or not self._consuming.alive:
                self._consuming = ConsumingChannel(
                    link, self._translate, timeout=self._connect_timeout, watch_every=self._heartbeat
                )
            channel = self._consuming
            if channel.consuming:
                raise RuntimeError("this transport consumes already; cancel first")
            if exclusive or in_order:
                channel.lock(queue)
            if in_order and prefetch:
                self._wait_for_returns(channel, queue)
            channel.consume(Consumer(queue, prefetch, on_deliveries, on_lost))

    def _wait_for_returns(self, channel: ConsumingChannel, queue: str) -> None:
        """Wait until `queue` has taken back what consumers had in hand that are gone.

        When a broker comes up after it was killed, its quorum queues give out what is ready before that (seen on 3.10,
        each time). A queue that has confirmed a message is up, and knows its consumers; it forgets one when it has
        taken back what that one had. Where a node of a cluster is down that may be never, though it has taken it back.
        """
        self.publish([Message(b"", routing_key=queue, headers={BARRIER: True})], timeout=_RETURNS_TIMEOUT)
        deadline = time.monotonic() + _RETURNS_TIMEOUT
        while channel.consumers_of(queue) and time.monotonic() < deadline:
            time.sleep(0.02)

    def cancel(self) -> None:
        """Stop consuming; what the broker sends until it knows goes straight back, and counts as delivered once."""
        self._refuse_own_threads()
        with self._consuming_lock:
            if self._consuming is not None and self._consuming.alive:
                self._consuming.cancel()

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Settle. The oldest unsettled ones, taken together, cost the broker a single ack."""
        channel = self._consuming
        if channel is not None:
            channel.ack(deliveries)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back. RabbitMQ delivers them again at once, so releasing in a loop runs as fast as the network."""
        channel = self._consuming
        if channel is not None:
            channel.release(deliveries)

    def publish(self, messages: Sequence[Message], *, timeout: float = 30.0) -> list[Confirm]:
        """Publish all in one go and wait for the confirms. After a loss the connection is opened anew first."""
        self._refuse_own_threads()
        check_all(messages)
        publisher = self._publisher()
        return publisher.publish(messages, timeout) if messages else []

    def close(self) -> None:
        """Close both connections in good order; what `ack` was called for before is acked."""
        self._open = False
        # Closed outside the locks, because it waits for threads whose callbacks may be in here too.
        with self._consuming_lock:
            channel, self._consuming = self._consuming, None
            links, self._consuming_link = [self._consuming_link], None
        with self._publishing_lock:
            links.append(self._publishing_link)
            self._publishing = self._publishing_link = None
        if channel is not None:
            channel.forget_consumer()
        for link in links:
            if link is not None:
                link.close()

    def _publisher(self) -> PublishingChannel:
        with self._publishing_lock:
            if not self._open:
                raise BrokerError(f"{self.name} is not open.")
            if self._publishing_link is None or not self._publishing_link.alive:
                self._publishing_link = self._connect("publish")
            if self._publishing is None or not self._publishing.alive:
                self._publishing = PublishingChannel(
                    self._publishing_link, self._translate, timeout=self._connect_timeout
                )
            return self._publishing

    def _connect(self, role: str) -> Link:
        link = Link(self._parameters(role), role, self._translate)
        # pika keeps its own time; ours is only for the case that it does not.
        link.open(self._connect_timeout + 2)
        return link

    def _parameters(self, role: str) -> pika.ConnectionParameters:
        address = self._address
        context = (self._ssl_context or tls_context()) if address.tls else None
        return pika.ConnectionParameters(
            host=address.host,
            port=address.port,
            virtual_host=address.vhost,
            credentials=pika.PlainCredentials(address.user, address.password),
            heartbeat=self._heartbeat,
            socket_timeout=self._connect_timeout,
            stack_timeout=self._connect_timeout,
            blocked_connection_timeout=self._blocked_connection_timeout,
            ssl_options=pika.SSLOptions(context, address.host) if context else None,
            client_properties={"connection_name": f"{self._connection_name} ({role})"},
            tcp_options=_TCP_OPTIONS,
        )

    def _refuse_own_threads(self) -> None:
        for link in (self._consuming_link, self._publishing_link):
            if link is not None and link.is_current_thread:
                raise RuntimeError("this may not be called from inside on_deliveries or on_lost; hand over to a thread")
