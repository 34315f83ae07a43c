"""How connections and consumers end, and what goes on then."""

import pytest

from adapter_sdk.errors import BrokerError
from adapter_sdk.testing.conformance.ground import BrokerUnderTest, Conformance, Connect, consume, feature
from adapter_sdk.transport.base import Confirm, Message, Transport


class Endings(Conformance):
    """How connections and consumers end, and what goes on then."""

    @feature("deleted queue ends consuming")
    def test_cancelled_by_broker(self, transport: Transport, queue: str, broker: BrokerUnderTest) -> None:
        """When the broker cancels a consumer, `on_lost` is called once with a BrokerError."""
        inbox = consume(transport, queue)
        broker.delete_queue(queue)
        assert isinstance(inbox.wait_lost(), BrokerError)
        transport.close()
        assert len(inbox.losses) == 1

    @feature("lost connection ends consuming, once")
    def test_lost(self, transport: Transport, queue: str, broker: BrokerUnderTest) -> None:
        """A cut connection calls `on_lost` once; after `open` consuming and publishing work again."""
        transport.publish([Message(b"x", routing_key=queue)])
        inbox = consume(transport, queue)
        inbox.wait(1)
        broker.cut_connections()
        assert isinstance(inbox.wait_lost(), BrokerError)
        transport.open()
        again = consume(transport, queue)
        again.wait(1)
        assert transport.publish([Message(b"y", routing_key=queue)]) == [Confirm.CONFIRMED]
        again.wait(2)
        assert len(inbox.losses) == 1

    @feature("wrong use is told")
    def test_wrong_use(self, connect: Connect, broker: BrokerUnderTest, queue: str) -> None:
        """Publishing before `open` is a BrokerError; a second consumer on one transport is a RuntimeError."""
        with pytest.raises(BrokerError, match="not open"):
            broker.transport().publish([Message(b"x", routing_key=queue)])
        transport = connect()
        consume(transport, queue)
        with pytest.raises(RuntimeError, match="cancel"):
            consume(transport, queue)

    @feature("open and close are repeatable")
    def test_open_close(self, transport: Transport, queue: str) -> None:
        """`open` when open and `close` when closed do nothing, and a closed transport opens again."""
        transport.open()
        transport.close()
        transport.close()
        transport.open()
        assert transport.publish([Message(b"x", routing_key=queue)]) == [Confirm.CONFIRMED]
