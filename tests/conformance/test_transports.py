"""Both transports against the one contract, in the same words."""

import pytest

from adapter_sdk.testing.conformance import TransportConformance
from adapter_sdk.transport.memory import MemoryBroker, MemoryTransport
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until


class MemoryUnderTest:
    """The embedded broker, a new one for each test."""

    user = None

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def transport(self) -> MemoryTransport:
        return MemoryTransport(self.broker)

    def delete_queue(self, name: str) -> None:
        self.broker.delete_queue(name)

    def cut_connections(self) -> None:
        self.broker.drop_connections()


class TestMemory(TransportConformance):
    """The contract, kept by `memory://`."""

    transport_name = "memory"

    @pytest.fixture
    def broker(self) -> MemoryUnderTest:
        return MemoryUnderTest()


class RabbitMQUnderTest:
    """A real RabbitMQ, in a virtual host of this worker."""

    def __init__(self, broker: Broker) -> None:
        self.user = broker.user
        self._broker = broker
        self._made = 0

    def transport(self) -> RabbitMQTransport:
        self._made += 1
        return RabbitMQTransport(self._broker.url)

    def delete_queue(self, name: str) -> None:
        self._broker.api("DELETE", f"queues/{self._broker.vhost}/{name}")

    def cut_connections(self) -> None:
        closed = 0

        def close_them() -> bool:
            nonlocal closed
            closed += self._broker.close_connections()
            return closed >= 2 * self._made  # each transport has a consuming and a publishing connection

        wait_until(close_them)


class TestRabbitMQ(TransportConformance):
    """The contract, kept by RabbitMQ."""

    transport_name = "rabbitmq"
    unsupported = {
        "endless release does not spin": "RabbitMQ redelivers at once; a delivery limit ends it",
    }

    @pytest.fixture
    def broker(self, rabbitmq: Broker) -> RabbitMQUnderTest:
        return RabbitMQUnderTest(rabbitmq)
