"""The embedded broker as a transport."""

import threading
from collections.abc import Sequence

from adapter_sdk.errors import BrokerError
from adapter_sdk.transport.base import Confirm, Delivery, Keep, Message, OnDeliveries, OnLost, Topology
from adapter_sdk.transport.checks import check_all
from adapter_sdk.transport.memory.broker import MemoryBroker
from adapter_sdk.transport.memory.sessions import Consumer, Session


class MemoryTransport:
    """One connection to a `MemoryBroker`. `timeout` of `publish` is never reached: confirms come at once."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._session: Session | None = None
        # Guards which session is the current one; the broker's own lock guards all that happens in it.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<MemoryTransport {self.name}>"

    @property
    def name(self) -> str:
        """`memory://` and the name of the broker."""
        return f"memory://{self._broker.name}"

    def open(self) -> None:
        """Connect. Raises BrokerError while the broker refuses connections."""
        with self._lock:
            if self._session is None or not self._session.alive:
                self._session = self._broker.connect()

    def declare(self, topology: Topology) -> None:
        """Create what is missing; a ConfigError lists everything that exists otherwise."""
        self._broker.declare(topology)

    def missing(self, topology: Topology) -> list[str]:
        """Names of the exchanges and queues that do not exist."""
        return self._broker.missing(topology)

    def depth(self, queue: str) -> int:
        """Messages ready in `queue`, those that rest after a return included."""
        return self._broker.depth(queue)

    def take(self, queue: str, keep: Keep, *, limit: int = 1000) -> int:
        """Hand what is ready in `queue` to `keep`, one message at a time."""
        return self._broker.take(queue, keep, limit)

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
        """Start to consume, on a thread of the consumer's own."""
        with self._lock:
            session = self._current()
            if session.consumer is not None:
                raise RuntimeError("this transport consumes already; cancel first")
            self._broker.add_consumer(
                Consumer(
                    session,
                    self._broker.queue(queue),
                    prefetch=prefetch,
                    exclusive=exclusive or in_order,
                    on_deliveries=on_deliveries,
                    on_lost=on_lost,
                )
            )

    def cancel(self) -> None:
        """Stop consuming; what was handed over stays ours to settle."""
        self._refuse_own_thread()
        with self._lock:
            consumer = self._broker.end_consumer(self._session) if self._session else None
        if consumer:
            consumer.join()

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Settle: the broker forgets them."""
        self._settle(deliveries, again=False)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back. The first return of a message is redelivered at once, further ones after a rest on the broker."""
        self._settle(deliveries, again=True)

    def publish(self, messages: Sequence[Message], *, timeout: float = 30.0) -> list[Confirm]:
        """Publish all, one Confirm per message."""
        self._refuse_own_thread()
        check_all(messages)
        session = self._current()
        return [self._broker.publish(session, message) for message in messages]

    def close(self) -> None:
        """Close; what is unsettled goes back to its queue."""
        with self._lock:
            session, self._session = self._session, None
        consumer = self._broker.disconnect(session) if session else None
        if consumer:
            consumer.join()

    def _settle(self, deliveries: Sequence[Delivery], *, again: bool) -> None:
        with self._lock:
            session = self._session
        if session is not None:
            self._broker.settle(session, deliveries, again=again)

    def _current(self) -> Session:
        with self._lock:
            if self._session is None:
                raise BrokerError(f"{self.name} is not open.")
            self._broker.check_alive(self._session)
            return self._session

    def _refuse_own_thread(self) -> None:
        session = self._session
        if session and session.consumer and session.consumer.is_current_thread:
            raise RuntimeError("this may not be called from inside on_deliveries or on_lost; hand over to a thread")
