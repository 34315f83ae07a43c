"""Declaring, looking, taking out, on short-lived connections: an error closes its channel, so nothing else is on it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pika
from pika.adapters.blocking_connection import BlockingChannel

from adapter_sdk.errors import ConfigError
from adapter_sdk.transport.base import Binding, Exchange, Keep, Queue, Topology
from adapter_sdk.transport.rabbitmq.encoding import to_message
from adapter_sdk.transport.rabbitmq.failures import Translate

DEADLINE = 10.0
"""Seconds for all that is asked on one connection."""

Step = Callable[[BlockingChannel], object]


def declare(parameters: pika.ConnectionParameters, translate: Translate, topology: Topology) -> None:
    """Declare all; raises ConfigError with a fault for each thing that the broker refused."""
    steps: list[Step] = [
        *(partial(_declare_exchange, exchange) for exchange in topology.exchanges if exchange.name),
        *(partial(_declare_queue, queue) for queue in topology.queues),
        *(partial(_bind, binding) for binding in topology.bindings),
    ]
    faults: list[str] = []
    with _connection(parameters, translate) as connection:
        for step in steps:
            if refusal := _refusal(connection, step):
                error = translate(refusal)
                if not isinstance(error, ConfigError):
                    raise error
                faults.extend(error.faults)
    if faults:
        raise ConfigError(*faults)


def missing(parameters: pika.ConnectionParameters, translate: Translate, topology: Topology) -> list[str]:
    """Names of the exchanges and queues that are not there."""
    steps: list[tuple[str, Step]] = [
        *(
            (exchange.name, partial(_look_for_exchange, exchange.name))
            for exchange in topology.exchanges
            if exchange.name
        ),
        *((queue.name, partial(_look_for_queue, queue.name)) for queue in topology.queues),
    ]
    absent = []
    with _connection(parameters, translate) as connection:
        for name, step in steps:
            refusal = _refusal(connection, step)
            if refusal is None:
                continue
            if refusal.reply_code != 404:
                raise translate(refusal)
            absent.append(name)
    return absent


def depth(parameters: pika.ConnectionParameters, translate: Translate, queue: str) -> int:
    """Messages ready in `queue`."""
    with _connection(parameters, translate) as connection:
        return int(_look_for_queue(queue, connection.channel()))


def take(parameters: pika.ConnectionParameters, translate: Translate, queue: str, keep: Keep, limit: int) -> int:
    """Settle what `keep` keeps; the rest goes back when the connection is closed."""
    kept = 0
    with _connection(parameters, translate) as connection:
        channel = connection.channel()
        for _ in range(limit):
            method, properties, body = channel.basic_get(queue)
            if method is None or properties is None or body is None:
                break
            # Written by a quorum queue on every message that is asked for, on none that a consumer is given first.
            message = to_message(method.exchange or "", method.routing_key or "", properties, body)
            headers = {name: value for name, value in message.headers.items() if name != "x-delivery-count"}
            if keep(replace(message, headers=headers)):
                channel.basic_ack(method.delivery_tag or 0)
                kept += 1
    return kept


@contextmanager
def _connection(parameters: pika.ConnectionParameters, translate: Translate) -> Iterator[pika.BlockingConnection]:
    try:
        with pika.BlockingConnection(parameters) as connection:
            _limit_time(connection)
            yield connection
    except pika.exceptions.AMQPError as error:
        raise translate(error) from error
    except (OSError, pika.adapters.utils.connection_workflow.AMQPConnectorException) as error:
        raise translate(error) from error


def _limit_time(connection: pika.BlockingConnection) -> None:
    """pika waits for an answer as long as heartbeats come, and a queue that has no leader gives none."""
    late = TimeoutError(f"no answer within {DEADLINE:g} s")
    below = connection._impl  # type: ignore[attr-defined]  # the connection that the blocking one drives
    below.ioloop.call_later(DEADLINE, lambda: below._terminate_stream(late))


def _refusal(connection: pika.BlockingConnection, step: Step) -> pika.exceptions.ChannelClosedByBroker | None:
    channel = connection.channel()
    try:
        step(channel)
    except pika.exceptions.ChannelClosedByBroker as error:
        return error
    channel.close()
    return None


def _declare_exchange(exchange: Exchange, channel: BlockingChannel) -> None:
    channel.exchange_declare(exchange.name, exchange.kind, durable=True)


def _declare_queue(queue: Queue, channel: BlockingChannel) -> None:
    channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))


def _bind(binding: Binding, channel: BlockingChannel) -> None:
    channel.queue_bind(binding.queue, binding.exchange, binding.routing_key)


def _look_for_exchange(name: str, channel: BlockingChannel) -> None:
    channel.exchange_declare(name, passive=True)


def _look_for_queue(name: str, channel: BlockingChannel) -> int:
    return channel.queue_declare(name, passive=True).method.message_count or 0
