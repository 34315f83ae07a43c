"""The embedded broker behind `memory://`: same contract and same conformance suite as RabbitMQ, in one process.

What it does: durable-looking FIFO queues, one thread per consumer (nothing is ever delivered from inside `publish`),
prefetch, redelivery with flag and count, delivery limits, TTLs of queues and messages, dead-letter exchanges with
`x-death`, direct, topic and fanout exchanges, mandatory returns, exclusive consumers, refused declarations, depth.

What it does not do: persistence (everything is gone with the process), clustering, priorities, streams, consumer
priorities, single active consumer, alarms and flow control, permissions. It says nothing about speed. Queue
arguments that it would have to ignore are refused, except those that only concern a cluster or clean up unused queues.

A message that is given back over and over cannot spin a processor: the first return is redelivered at once, each
further one rests on the broker before it is ready again, 10 ms at first, doubling up to one second.
"""

from adapter_sdk.transport.memory.broker import MemoryBroker, shared_broker
from adapter_sdk.transport.memory.transport import MemoryTransport

__all__ = ["MemoryBroker", "MemoryTransport", "shared_broker"]
