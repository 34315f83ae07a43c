"""What the embedded broker knows of one connection: its consumer, with a thread, and what it has not settled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from adapter_sdk.transport.base import Delivery, OnDeliveries, OnLost
from adapter_sdk.transport.memory.queues import Entry, MemoryQueue


@dataclass(slots=True, eq=False)
class Held:
    """The receipt of a delivery: where its message goes back to."""

    consumer: Consumer
    queue: MemoryQueue
    entry: Entry


@dataclass(slots=True, eq=False)
class Session:
    """One open connection. A receipt that is not in `held` belongs to another connection or is settled already."""

    alive: bool = True
    consumer: Consumer | None = None
    held: set[Held] = field(default_factory=set)


class Consumer:
    """Hands what the broker offers to `on_deliveries`, from a thread of its own, all that waits as one list.

    Everything but the thread's body runs under the broker's lock.
    """

    def __init__(
        self,
        session: Session,
        queue: MemoryQueue,
        *,
        prefetch: int,
        exclusive: bool,
        on_deliveries: OnDeliveries,
        on_lost: OnLost,
    ) -> None:
        self.session = session
        self.queue = queue
        self.exclusive = exclusive
        self.unsettled = 0
        self._prefetch = prefetch
        self._on_deliveries = on_deliveries
        self._on_lost = on_lost
        self._inbox: list[Delivery] = []
        self._ended = False
        self._lost: Exception | None = None

    def start(self, lock: threading.RLock, on_crash: Callable[[Session, Exception], object]) -> None:
        """Start the thread; `on_crash` is told when `on_deliveries` raised. `lock` is the broker's."""
        self._changed = threading.Condition(lock)
        self._on_crash = on_crash
        self._thread = threading.Thread(target=self._run, name=f"memory-consumer-{self.queue.name}", daemon=True)
        self._thread.start()

    @property
    def has_credit(self) -> bool:
        """Whether it may be offered another message."""
        return self.unsettled < self._prefetch

    def offer(self, entry: Entry) -> Held:
        """Give one message to this consumer; its thread hands it over."""
        held = Held(self, self.queue, entry)
        if entry.returns == 0:
            delivery = Delivery(entry.message, held, delivery_count=0)
        elif not self.queue.rules.counts:
            delivery = Delivery(entry.message, held, redelivered=True)
        else:
            headers = {**entry.message.headers, "x-delivery-count": entry.returns}
            message = replace(entry.message, headers=headers)
            delivery = Delivery(message, held, redelivered=True, delivery_count=entry.returns)
        self._inbox.append(delivery)
        self.unsettled += 1
        self._changed.notify()
        return held

    def end(self, lost: Exception | None = None) -> list[Held]:
        """Stop the thread and return what it has not handed over. With `lost`, `on_lost` is called with it, once."""
        untouched = [delivery.receipt for delivery in self._inbox if isinstance(delivery.receipt, Held)]
        self._inbox.clear()
        if not self._ended:
            self._ended, self._lost = True, lost
            self._changed.notify()
        return untouched

    def join(self) -> None:
        """Wait until nothing more can be handed over. Does nothing on the consumer's own thread."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller runs on this consumer's thread, inside one of its callbacks."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._on_deliveries(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, the owner must learn that consuming ended
                self._on_crash(self.session, error)
        if self._lost is not None:
            self._on_lost(self._lost)

    def _next_batch(self) -> list[Delivery]:
        with self._changed:
            while not self._inbox and not self._ended:
                self._changed.wait()
            batch, self._inbox = self._inbox, []
            return batch
