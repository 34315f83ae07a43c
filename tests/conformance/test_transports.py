"""Both transports against the one contract, in the same words."""

import pytest

from adapter_sdk.testing.conformance import TransportConformance
from adapter_sdk.transport.memory import MemoryBroker, MemoryTransport
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
