"""Worker threads that take deliveries in batches. A batch is whatever has arrived; nothing waits for one to fill."""

import threading
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from adapter_sdk.pace import Pace, seconds_shared
from adapter_sdk.transport.base import Delivery
from adapter_sdk.work import Work

ItemT = TypeVar("ItemT")


class Hands(Protocol):
    """What takes deliveries and works on them, on threads of its own."""

    def put(self, items: Sequence[Delivery], /) -> None:
        """Hand over what one read of the transport brought. Returns at once."""
        ...

    def stop(self, timeout: float) -> bool:
        """Let running batches end, begin no other. False if some worker is still busy after `timeout` seconds."""
        ...


# Seconds for which those who work may be away before others come, even if their help has been of no use so far.
_AWAY = 0.1


class Workers(Generic[ItemT]):
    """Some threads, one queue in memory. It is bounded by the prefetch of the consumer that fills it.

    How much each takes, and how many work at once, is a matter of pace.
    """

    def __init__(self, count: int, batch_size: int, handle: Callable[[list[ItemT]], None], name: str) -> None:
        self._handle = handle
        self._pace = Pace(count, batch_size)
        self._waiting: deque[ItemT] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._running = 0
        self._taken = 0.0  # when a worker last took a batch
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-worker-{number}", daemon=True)
            for number in range(1, count + 1)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, items: Sequence[ItemT], /) -> None:
        """Hand over what has arrived. Returns at once."""
        with self._changed:
            if self._stopping:
                return
            self._waiting.extend(items)
            self._changed.notify()

    def begin_no_other(self) -> None:
        """Begin no other batch, and forget what waits. Running ones go on; returns at once."""
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._changed.notify_all()

    def stop(self, timeout: float) -> bool:
        """Let running batches end, begin no other. False if some worker is still busy after `timeout` seconds."""
        self.begin_no_other()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while batch := self._take():
            alone = self._running == 1
            seconds_shared()
            began, computed = time.monotonic(), time.thread_time()
            try:
                self._handle(batch)
            finally:
                now, computed = time.monotonic(), time.thread_time() - computed
                with self._changed:
                    self._running -= 1
                    shared = seconds_shared()
                    self._pace.learn(len(batch), now - began, computed, alone=alone, now=now, shared=shared)

    def _take(self) -> list[ItemT]:
        """A share of what has arrived; empty when stopping."""
        with self._changed:
            while not (self._stopping or self._may_take()):
                self._changed.wait(_AWAY if self._waiting else None)
            if self._stopping:
                return []
            now = time.monotonic()
            if self._running >= self._pace.most_running:
                self._pace.overdue(now)
            self._running += 1
            self._taken = now
            batch = [self._waiting.popleft() for _ in range(self._pace.share(len(self._waiting)))]
            if self._waiting:
                self._changed.notify()  # another worker for what is left, now or when this one stays away
            return batch

    def _may_take(self) -> bool:
        free = self._running < self._pace.most_running or time.monotonic() - self._taken > _AWAY
        return bool(self._waiting) and free


class Lanes:
    """Workers that keep order: events with one order key all go through the hands of the same worker.

    One thread reads the deliveries (`admit`) and sorts them into lanes, each of which has one worker.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        admit: Callable[[list[Delivery]], list[Work]],
        handle: Callable[[list[Work]], None],
        name: str,
    ) -> None:
        self._admit = admit
        self._lanes = [Workers(1, batch_size, handle, f"{name}-lane-{number}") for number in range(1, count + 1)]
        self._sorter: Workers[Delivery] = Workers(1, batch_size, self._sort, f"{name}-sorter")

    def put(self, items: Sequence[Delivery], /) -> None:
        """Hand over what one read of the transport brought. Returns at once."""
        self._sorter.put(items)

    def stop(self, timeout: float) -> bool:
        """Let running batches end, begin no other. False if some worker is still busy after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        for lane in self._lanes:  # all at once: one that is waited for must not leave the others time for more
            lane.begin_no_other()
        ended = [self._sorter.stop(timeout)]
        ended += [lane.stop(max(0.0, deadline - time.monotonic())) for lane in self._lanes]
        return all(ended)

    def _sort(self, deliveries: list[Delivery]) -> None:
        lanes: defaultdict[int, list[Work]] = defaultdict(list)
        for work in self._admit(deliveries):
            key = work.order_key or str(work.opened.key)
            lanes[zlib.crc32(key.encode("utf-8", "surrogatepass")) % len(self._lanes)].append(work)
        for number, works in lanes.items():
            self._lanes[number].put(works)
