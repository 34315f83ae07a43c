import threading
import time
from collections.abc import Callable, Iterator

import pytest

from adapter_sdk.transport.base import Delivery, Message
from adapter_sdk.workers import Workers

Start = Callable[..., Workers[Delivery]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers, and stops them at the end."""
    started: list[Workers[Delivery]] = []

    def begin(count: int, batch_size: int, handle: Callable[[list[Delivery]], None]) -> Workers[Delivery]:
        started.append(Workers(count, batch_size, handle, "erp"))
        return started[-1]

    yield begin
    for workers in started:
        assert workers.stop(10)


def deliveries(count: int) -> list[Delivery]:
    """So many messages."""
    return [Delivery(Message(str(number).encode()), None) for number in range(count)]


def test_everything_is_handled_once(start: Start) -> None:
    """Whatever is put in reaches some worker, once, in batches no larger than asked for."""
    seen: list[Delivery] = []
    sizes: list[int] = []
    done = threading.Event()

    def handle(batch: list[Delivery]) -> None:
        sizes.append(len(batch))
        seen.extend(batch)
        if len(seen) == 100:
            done.set()

    workers, sent = start(3, 7, handle), deliveries(100)
    for first in range(0, 100, 20):
        workers.put(sent[first : first + 20])
    assert done.wait(60)
    assert sorted(map(id, seen)) == sorted(map(id, sent))
    assert max(sizes) <= 7


def test_what_has_arrived_is_shared(start: Start) -> None:
    """A few deliveries are spread over all workers rather than given to the first."""
    meet = threading.Barrier(4)
    workers = start(4, 100, lambda batch: meet.wait(60) and None)
    workers.put(deliveries(4))
    assert workers.stop(10)
    assert not meet.broken


def test_slow_events_are_taken_one_by_one(start: Start) -> None:
    """What takes long is not taken in hand with others, which would be recorded only after it."""
    sizes: list[int] = []
    done = threading.Event()

    def handle(batch: list[Delivery]) -> None:
        sizes.append(len(batch))
        time.sleep(0.7 * len(batch))
        if sum(sizes) == 6:
            done.set()

    start(1, 3, handle).put(deliveries(6))
    assert done.wait(60)
    assert sizes == [3, 1, 1, 1]


def test_nothing_waits_for_a_batch_to_fill(start: Start) -> None:
    """One delivery is handled at once, however large a batch may be."""
    handled = threading.Event()
    start(1, 1000, lambda batch: handled.set()).put(deliveries(1))
    assert handled.wait(60)


def test_stopping_finishes_what_runs_and_begins_nothing(start: Start) -> None:
    """On stop the running batch ends; what waits is left alone, to be given back."""
    entered, proceed = threading.Event(), threading.Event()
    handled: list[Delivery] = []

    def handle(batch: list[Delivery]) -> None:
        entered.set()
        assert proceed.wait(60)
        handled.extend(batch)

    workers, sent = start(1, 1, handle), deliveries(3)
    workers.put(sent)
    assert entered.wait(60)
    assert not workers.stop(0.05)
    proceed.set()
    assert workers.stop(10)
    assert handled == sent[:1]


def test_what_waits_behind_one_slow_event_among_quick_ones_is_not_held_up(start: Start) -> None:
    """Quick ones are left to one worker while others sleep; when it does not come back, another takes what waits."""
    stuck, proceed, done = threading.Event(), threading.Event(), threading.Event()
    handled: list[bytes] = []

    def handle(batch: list[Delivery]) -> None:
        for delivery in batch:
            if delivery.message.body == b"slow":
                stuck.set()
                assert proceed.wait(60)
            handled.append(delivery.message.body)
        if b"last" in handled:
            done.set()

    workers = start(2, 10, handle)
    workers._pace.most_running = 1  # as after many quick events
    time.sleep(0.05)  # all workers sleep
    workers.put([Delivery(Message(b"slow"), None), *deliveries(50), Delivery(Message(b"last"), None)])
    assert stuck.wait(60)
    assert done.wait(60)
    assert b"slow" not in handled
    proceed.set()
