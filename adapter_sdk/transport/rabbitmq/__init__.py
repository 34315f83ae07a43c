"""RabbitMQ over AMQP 0-9-1: the only place that imports pika, whose errors are translated here.

Two connections, each with an I/O thread of its own (`link`): one consumes (`consuming`), one publishes (`publishing`),
because under an alarm the broker stops reading a connection that publishes, its acks included. Topology questions use
short-lived connections (`admin`), because an error closes the channel it happened on. `guard` mends pika's decoder,
which one message could otherwise crash over and over.
"""

from adapter_sdk.transport.rabbitmq.transport import RabbitMQTransport

__all__ = ["RabbitMQTransport"]
