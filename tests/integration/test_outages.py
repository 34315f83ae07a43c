"""Outages of a backend, with thousands of events waiting and a clock that runs a thousand times as fast."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import (
    Adaptor,
    AdaptorError,
    BackendUnavailable,
    Event,
    EventData,
    handles,
    outbox,
    pipeline,
    runner,
    topology,
)
from adapter_sdk.envelopes import write_structured
from adapter_sdk.family import Direct
from adapter_sdk.ledger.base import State
from adapter_sdk.runner import Runner, RunState
from adapter_sdk.settings import Settings
from adapter_sdk.testing import AdaptorHarness
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Exchange, OnDeliveries, Queue, Topology
from adapter_sdk.transport.memory import MemoryBroker, MemoryTransport
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
    for module in (outbox, pipeline, topology):
        monkeypatch.setattr(module, "RESEND_DELAY", 0.03)
    Printer.printed.clear()
    with no_logs():
        yield


def placed(name: str) -> Event[Placed]:
    """An order."""
    return Event(source="/shop", id=name, type="shop.placed", data=Placed(order_id=name))


def announcements(broker: MemoryBroker) -> list[str]:
    """The types of the events about outages, as they come."""
    found: list[str] = []

    def collect(deliveries: list[Delivery]) -> None:
        found.extend(json.loads(delivery.message.body)["type"] for delivery in deliveries)
        pager.ack(deliveries)

    pager = MemoryTransport(broker)
    pager.open()
    pager.declare(Topology([Exchange("events")], [Queue("pager")], [Binding("events", "pager", "backend.*")]))
    pager.consume("pager", prefetch=1000, on_deliveries=collect, on_lost=lambda _: None)
    return found


class Seen:
    """What a run looks like from the broker's side, and how often it paused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prefetches: list[int] = []
        self.given_out = 0
        self.pauses = 0
        consume, wait_out = MemoryTransport.consume, Runner._wait_out

        def watched(
            transport: MemoryTransport, queue: str, *, prefetch: int, on_deliveries: OnDeliveries, **more: Any
        ) -> None:
            def note(deliveries: list[Delivery]) -> None:
                self.given_out = max(self.given_out, *(delivery.delivery_count or 0 for delivery in deliveries))
                on_deliveries(deliveries)

            if queue == Printer.name:
                self.prefetches.append(prefetch)
            consume(transport, queue, prefetch=prefetch, on_deliveries=note, **more)

        def counted(of: Runner, trouble: AdaptorError) -> None:
            self.pauses += 1
            wait_out(of, trouble)

        monkeypatch.setattr(MemoryTransport, "consume", watched)
        monkeypatch.setattr(Runner, "_wait_out", counted)


class Copier(Printer):
    """As the printer, and it can be asked whether it is there."""

    name = "copier"

    class Probed(Direct):
        """Answers as long as there is paper."""

        def probe(self) -> None:
            if Printer.away.is_set():
                raise BackendUnavailable("out of paper")

    @handles
    def print(self, event: Event[Placed]) -> None:
        """As the printer."""
        super().print(event)

    @classmethod
    def _family(cls, settings: Any) -> Direct:
        return cls.Probed()


def test_a_backend_that_is_away_before_the_first_start(tmp_path: Path) -> None:
    """Nobody has made the exchange yet on which the world is told: the adaptor waits all the same, and tells later."""
    broker = MemoryBroker()
    Printer.away.set()
    copier = Runner(Copier, Settings(folder=tmp_path), MemoryTransport(broker))
    thread = threading.Thread(target=copier.run)
    thread.start()
    try:
        wait_until(lambda: isinstance(copier.trouble, BackendUnavailable))
        wait_until(lambda: copier.state is RunState.PAUSED)
        assert thread.is_alive()
        told = announcements(broker)
        Printer.away.clear()
        assert copier.wait_for(RunState.CONSUMING, 60)
        shop = MemoryTransport(broker)
        shop.open()
        shop.publish([write_structured(placed("first"), "events")])
        wait_until(lambda: told == ["backend.down", "backend.up"])
        assert Printer.printed == {"first": 1}
    finally:
        copier.stop()
        thread.join(60)


def test_an_hour_with_ten_thousand_waiting_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with every event applied once at its first attempt, no dead letter, and two events about the outage.

    Meanwhile one event at a time is tried, and none so often that the broker would ever give it up.
    """
    seen, began = Seen(monkeypatch), time.monotonic()
    Printer.away.set()
    with AdaptorHarness(Printer) as harness:
        told = announcements(harness.broker)
        events = [placed(f"{number:05}") for number in range(EVENTS)]
        shop = MemoryTransport(harness.broker)
        shop.open()
        assert set(shop.publish([write_structured(event, "events") for event in events])) == {Confirm.CONFIRMED}
        threading.Event().wait(HOUR)
        # Pauses grow to between 15 and 30 seconds, which is 15 to 30 milliseconds here.
        wait_until(lambda: seen.pauses > 20)
        assert seen.pauses < 10 + (time.monotonic() - began) / 0.015
        assert told == ["backend.down"]
        assert Printer.printed == {}
        assert set(seen.prefetches[1:]) == {1}
        Printer.away.clear()
        wait_until(lambda: len(Printer.printed) == EVENTS)
        harness.wait_until_settled(60)
        assert harness.ledger.counts() == {State.APPLIED: EVENTS}
        assert set(Printer.printed.values()) == {1}
        assert {harness.entry(event).attempts for event in events[:: EVENTS // 100]} == {1}  # type: ignore[union-attr]
        wait_until(lambda: len(told) > 1)
        assert told == ["backend.down", "backend.up"]
        assert seen.prefetches[-1] == seen.prefetches[0] > 1
        assert 1 < seen.given_out < 5
        assert harness.broker.held_in(["printer.dead"]) == 0
