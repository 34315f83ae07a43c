"""Outages of a backend, with thousands of events waiting and a clock that runs a thousand times as fast."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from adapter_sdk import Adaptor, AdaptorError, BackendUnavailable, Event, EventData, handles, runner
from adapter_sdk.envelopes import write_structured
from adapter_sdk.ledger.base import State
from adapter_sdk.runner import Runner
from adapter_sdk.testing import AdaptorHarness
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Exchange, Queue, Topology
from adapter_sdk.transport.memory import MemoryTransport
from tests.bench import no_logs
from tests.services.waiting import wait_until

EVENTS = 10_000
HOUR = 3.6
"""Seconds here. The pauses between probes, half a second to 30 seconds, are as much shorter."""


class Placed(EventData, type="shop.placed"):
    order_id: str


class Printer(Adaptor):
    """Its backend is away as long as `away` is set."""

    name = "printer"
    away = threading.Event()
    printed: Counter[str] = Counter()

    @handles
    def print(self, event: Event[Placed]) -> None:
        if self.away.is_set():
            raise BackendUnavailable("out of paper")
        self.printed[event.id] += 1


@pytest.fixture(autouse=True)
def _thousandfold(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("_FIRST_PAUSE", "_LONGEST_PAUSE"):
        monkeypatch.setattr(runner, name, getattr(runner, name) / 1000)
    Printer.printed.clear()
    with no_logs():
        yield


def announcements(harness: AdaptorHarness) -> list[str]:
    """The types of the events about outages, as they come."""
    found: list[str] = []

    def collect(deliveries: list[Delivery]) -> None:
        found.extend(json.loads(delivery.message.body)["type"] for delivery in deliveries)
        pager.ack(deliveries)

    pager = MemoryTransport(harness.broker)
    pager.open()
    pager.declare(Topology([Exchange("events")], [Queue("pager")], [Binding("events", "pager", "backend.*")]))
    pager.consume("pager", prefetch=1000, on_deliveries=collect, on_lost=lambda _: None)
    return found


def test_an_hour_with_ten_thousand_waiting_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with every event applied once at its first attempt, no dead letter, and two events about the outage."""
    began, pauses = time.monotonic(), []
    wait_out = Runner._wait_out

    def count(self: Runner, trouble: AdaptorError) -> None:
        pauses.append(trouble)
        wait_out(self, trouble)

    monkeypatch.setattr(Runner, "_wait_out", count)
    Printer.away.set()
    with AdaptorHarness(Printer) as harness:
        told = announcements(harness)
        names = [f"{number:05}" for number in range(EVENTS)]
        events = [Event(source="/shop", id=name, type="shop.placed", data=Placed(order_id=name)) for name in names]
        shop = MemoryTransport(harness.broker)
        shop.open()
        assert set(shop.publish([write_structured(event, "events") for event in events])) == {Confirm.CONFIRMED}
        threading.Event().wait(HOUR)
        assert told == ["backend.down"]
        # Pauses grow to between 15 and 30 seconds, which is 15 to 30 milliseconds here.
        assert 20 < len(pauses) < 10 + (time.monotonic() - began) / 0.015
        assert Printer.printed == {}
        Printer.away.clear()
        wait_until(lambda: len(Printer.printed) == EVENTS, 60)
        harness.wait_until_settled(60)
        assert harness.ledger.counts() == {State.APPLIED: EVENTS}
        assert set(Printer.printed.values()) == {1}
        assert {harness.entry(event).attempts for event in events[:: EVENTS // 100]} == {1}  # type: ignore[union-attr]
        wait_until(lambda: told == ["backend.down", "backend.up"], 60)
        assert harness.broker.held_in(["printer.dead"]) == 0
