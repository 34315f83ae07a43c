"""Worker threads that take deliveries in batches. A batch is whatever has arrived; nothing waits for one to fill."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from adapter_sdk.transport.base import Delivery


class Workers:
    """Some threads, one queue in memory. It is bounded by the prefetch of the consumer that fills it."""

    def __init__(self, count: int, batch_size: int, handle: Callable[[list[Delivery]], None], name: str) -> None:
        self._count = count
        self._batch_size = batch_size
        self._handle = handle
        self._waiting: deque[Delivery] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-worker-{number}", daemon=True)
            for number in range(1, count + 1)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Hand over what one read of the transport brought. Returns at once."""
        with self._changed:
            self._waiting.extend(deliveries)
            self._changed.notify(min(len(deliveries), self._count))

    def stop(self, timeout: float) -> bool:
        """Let running batches end, begin no other. False if some worker is still busy after `timeout` seconds."""
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while batch := self._take():
            self._handle(batch)

    def _take(self) -> list[Delivery]:
        """A fair share of what has arrived; empty when stopping."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if self._stopping:
                return []
            share = min(self._batch_size, math.ceil(len(self._waiting) / self._count))
            return [self._waiting.popleft() for _ in range(share)]
