"""Lanes: events of one key one after the other, on threads of their own."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from adapter_sdk import Event, EventData
from adapter_sdk.envelopes import Limits, open_envelope, write_structured
from adapter_sdk.retry import RetryPolicy
from adapter_sdk.transport.base import Delivery
from adapter_sdk.work import Work
from adapter_sdk.workers import Lanes


class Moved(EventData, type="stock.moved"):
    number: int


Start = Callable[..., Lanes]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts lanes whose events have their subject as order key; they are stopped at the end."""
    started: list[Lanes] = []

    def begin(count: int, handle: Callable[[list[Work]], None], batch_size: int = 10) -> Lanes:
        started.append(Lanes(count, batch_size, admitted, handle, "stock"))
        return started[-1]

    yield begin
    for lanes in started:
        assert lanes.stop(10)


def admitted(deliveries: list[Delivery]) -> list[Work]:
    """What a pipeline makes of deliveries."""
    works = []
    for delivery in deliveries:
        opened = open_envelope(delivery.message, Limits())
        works.append(Work(delivery, opened, None, RetryPolicy(), order_key=opened.subject))
    return works


def delivery(number: int, subject: str | None) -> Delivery:
    """An event with this key."""
    event = Event(source="/s", id=f"{subject}{number}", type="stock.moved", subject=subject, data=Moved(number=number))
    return Delivery(write_structured(event, "events"), None)


def test_keys_in_order(start: Start) -> None:
    """Events of a key are handled in their order, one batch after the other; none is lost."""
    handled: list[Work] = []
    busy: set[str | None] = set()
    lock = threading.Lock()

    def handle(works: list[Work]) -> None:
        keys = {work.order_key for work in works}
        with lock:
            assert busy.isdisjoint(keys)
            busy.update(keys)
        time.sleep(0.001)
        with lock:
            busy.difference_update(keys)
            handled.extend(works)

    lanes = start(3, handle, batch_size=4)
    for number in range(40):
        lanes.put([delivery(number, subject) for subject in "abcdefg"])
    deadline = time.monotonic() + 10
    while len(handled) < 280 and time.monotonic() < deadline:
        time.sleep(0.005)
    for subject in "abcdefg":
        ids = [work.opened.id for work in handled if work.order_key == subject]
        assert ids == [f"{subject}{number}" for number in range(40)]


def test_keys_beside_each_other(start: Start) -> None:
    """While one key is busy others are handled, and so are events without a key, spread over all lanes."""
    meet = threading.Barrier(2)
    lanes = start(4, lambda works: meet.wait(60) and None, batch_size=1)
    lanes.put([delivery(0, "a"), delivery(1, "a"), *(delivery(number, None) for number in range(14))])
    assert lanes.stop(10)
    assert not meet.broken


def test_all_lanes_stop_at_once(start: Start) -> None:
    """A lane that is waited for leaves the others no time to begin another batch."""
    begun: list[str | None] = []
    first = threading.Barrier(3)

    def handle(works: list[Work]) -> None:
        begun.extend(work.order_key for work in works)
        if len(begun) <= 2:
            first.wait(10)
        time.sleep(0.2)

    lanes = start(2, handle, batch_size=1)
    lanes.put([delivery(number, subject) for number in range(50) for subject in "ad"])  # "a" and "d" have a lane each
    first.wait(10)
    assert lanes.stop(10)
    assert sorted(map(str, begun)) == ["a", "d"]
    lanes.put([delivery(99, "a")])
    assert len(begun) == 2


def test_a_key_that_is_no_text(start: Start) -> None:
    """A key that has half of a surrogate pair finds its lane, and the lanes live on."""
    handled = threading.Event()
    lanes = start(2, lambda works: handled.set())
    lanes._admit = lambda deliveries: [work for work in admitted(deliveries) if _spoil(work)]
    lanes.put([delivery(1, "a")])
    assert handled.wait(60)


def _spoil(work: Work) -> bool:
    work.order_key = "\ud800"
    return True
