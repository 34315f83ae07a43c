"""The producers of the events, and whoever waits for the replies. They lose the broker at times."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from adapter_sdk.errors import BrokerError
from adapter_sdk.transport.base import Binding, Delivery, Exchange, Message, Queue, Topology
from adapter_sdk.transport.rabbitmq import RabbitMQTransport

REPLIES = "torture.replies"


class Producer:
    """Publishes until the broker has confirmed. What was on its way when the broker died is sent again."""

    def __init__(self, url: str) -> None:
        self._transport = RabbitMQTransport(url, connection_name="torture producer")

    def send(self, messages: Sequence[Message], deadline: float) -> None:
        """Raises TimeoutError if the broker has not taken them all by `deadline`, on the monotonic clock."""
        while time.monotonic() < deadline:
            try:
                self._transport.open()
                if all(confirm.value == "confirmed" for confirm in self._transport.publish(messages)):
                    return
            except BrokerError:
                pass
            time.sleep(0.2)
        raise TimeoutError("the broker does not take the events of the torture")

    def depth(self, queues: Sequence[str]) -> int:
        """How many messages wait in these queues, unsettled ones not counted. Raises BrokerError."""
        return sum(self._transport.depth(queue) for queue in queues)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class Replies:
    """Everything that the adaptors answer: per event the ids of its replies, and how often each came."""

    def __init__(self, url: str, types: Sequence[str]) -> None:
        self._transport = RabbitMQTransport(url, connection_name="torture replies")
        self._topology = Topology(
            exchanges=[Exchange("events")],
            queues=[Queue(REPLIES, {"x-queue-type": "quorum"})],
            bindings=[Binding("events", REPLIES, kind) for kind in types],
        )
        self._lost = threading.Event()
        self._ended = threading.Event()
        self.ready = threading.Event()
        self.of: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
        """By family, by event id: how often each reply id came."""
        self.last: dict[str, float] = {}
        """By family: when an event was answered for the first time, last. On the monotonic clock."""
        self._thread = threading.Thread(target=self._run, name="replies", daemon=True)
        self._thread.start()

    def bind(self) -> None:
        """Make every binding that is missing."""
        self._patiently(lambda: self._transport.declare(self._topology))

    def end(self) -> None:
        """Stop listening."""
        self._ended.set()
        self._lost.set()
        self._thread.join(60)
        self._transport.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._lost.clear()
            self._patiently(self._listen)
            self._lost.wait()

    def _listen(self) -> None:
        self._transport.open()
        if not self.ready.is_set():
            self._transport.declare(self._topology)
        self._transport.consume(REPLIES, prefetch=1000, on_deliveries=self._take, on_lost=lambda _: self._lost.set())
        self.ready.set()

    def _patiently(self, step: Callable[[], None]) -> None:
        while not self._ended.is_set():
            try:
                step()
                return
            except BrokerError:
                self._ended.wait(0.3)

    def _take(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            reply = json.loads(delivery.message.body)
            family = reply["source"].rpartition("/")[2]
            if "causationid" in reply:
                ids = self.of[family].setdefault(reply["causationid"], {})
                if not ids:
                    self.last[family] = time.monotonic()
                ids[reply["id"]] = ids.get(reply["id"], 0) + 1
        self._transport.ack(deliveries)
