"""What the broker itself gives up, or a person moves to `<name>.dead`, becomes a dead letter in the ledger."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from adapter_sdk import Adaptor, BackendUnavailable, Event, EventData, handles, runner
from adapter_sdk.envelopes import Limits, open_envelope, write_structured
from adapter_sdk.interventions import replay
from adapter_sdk.ledger.base import ClaimRequest, Decision, Entry, Record, State
from adapter_sdk.testing import AdaptorHarness, event_of
from adapter_sdk.transport.base import Message
from adapter_sdk.transport.memory import MemoryTransport
from tests.bench import no_logs
from tests.services.waiting import wait_until


class Placed(EventData, type="shop.placed"):
    order_id: str


class Printer(Adaptor):
    """Its backend is away for the orders in `away`."""

    name = "printer"
    away: set[str] = set()
    printed: list[str] = []

    @handles
    def print(self, event: Event[Placed]) -> None:
        if event.data.order_id in self.away:
            raise BackendUnavailable("out of paper")
        self.printed.append(event.data.order_id)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (("_SWEEP_INTERVAL", 0.002), ("_FIRST_PAUSE", 0.005), ("_LONGEST_PAUSE", 0.01)):
        monkeypatch.setattr(runner, name, value)
    Printer.away, Printer.printed = set(), []
    with no_logs():
        yield


@pytest.fixture
def harness() -> Iterator[AdaptorHarness]:
    """The printer at work, on a broker that gives up after the third delivery."""
    with AdaptorHarness(Printer, {"broker": {"delivery_limit": 2}}) as harness:
        yield harness


def placed(id: str, **more: Any) -> Event[Placed]:
    """An order."""
    return event_of(Placed(order_id=id), id=id, **more)


def claimed(harness: AdaptorHarness, event: Event[Placed]) -> Entry:
    """A claim of an earlier process."""
    digest = open_envelope(message_of(event), Limits()).digest()
    ((_, entry),) = harness.ledger.claim([ClaimRequest(key=event.key, digest=digest, type=event.type)], time.time())
    return entry


def lay_down(harness: AdaptorHarness, *messages: Message) -> None:
    """Put messages into `printer.dead` by hand, and wait until they have been taken from there."""
    transport = MemoryTransport(harness.broker)
    transport.open()
    transport.publish([replace(message, exchange="", routing_key="printer.dead") for message in messages])
    wait_until(lambda: not harness.broker.held_in(["printer.dead"]))
    transport.close()


def message_of(event: Event[Placed]) -> Message:
    """The event as it is sent."""
    return write_structured(event, "events")


def test_what_the_broker_gives_up_is_a_dead_letter(harness: AdaptorHarness) -> None:
    """An event that was delivered too often is set aside in the ledger, with its bytes, and leaves the broker."""
    event = placed("a")
    Printer.away = {"a"}
    harness.publish(event)
    entry = harness.wait_for(event, State.DEAD)
    assert (entry.reason, entry.error) == ("delivery limit", "found in the queue printer.dead")
    assert entry.message is not None
    assert entry.message.body == message_of(event).body
    wait_until(lambda: not harness.broker.held_in(["printer", "printer.dead"]))


def test_it_can_be_replayed(harness: AdaptorHarness) -> None:
    """A dead letter that was taken in goes through all of its life when it is replayed."""
    event = placed("a")
    Printer.away = {"a"}
    harness.publish(event)
    harness.wait_for(event, State.DEAD)
    Printer.away = set()
    transport = MemoryTransport(harness.broker)
    transport.open()
    assert replay(harness.ledger, transport, "printer", event.key, Decision(what="replay", who="ada", why="", at=1.0))
    harness.wait_for(event, State.APPLIED)
    assert Printer.printed == ["a"]


def test_an_event_that_nobody_has_seen(harness: AdaptorHarness) -> None:
    """What a person moves there is set aside without a call of its handler, properties and headers included."""
    event = placed("a")
    sent = replace(message_of(event), headers={"x-from": "ada"}, correlation_id="c-1")
    lay_down(harness, sent)
    entry = harness.wait_for(event, State.DEAD)
    assert entry.message == replace(sent, exchange="", routing_key="printer.dead")
    assert Printer.printed == []


@pytest.mark.parametrize("state", [State.APPLIED, State.DEAD, State.DISCARDED, State.IN_DOUBT])
def test_an_event_at_its_end_is_not_changed(harness: AdaptorHarness, state: State) -> None:
    """An event whose end the ledger knows is a duplicate there as everywhere: the row stays as it was."""
    event = placed("a")
    entry = claimed(harness, event)
    assert harness.ledger.record([Record(key=event.key, token=entry.token, state=state)], time.time()) == [True]
    before = harness.entry(event)
    lay_down(harness, message_of(event))
    assert harness.entry(event) == before
    assert Printer.printed == []


def test_other_data_under_a_known_identity_is_kept_beside_it(harness: AdaptorHarness) -> None:
    """A message with the identity of another event is a dead letter of its own; the event stays as it was."""
    event = placed("a")
    harness.publish(event)
    before = harness.wait_for(event, State.APPLIED)
    lay_down(harness, message_of(event_of(Placed(order_id="b"), id="a")))
    wait_until(lambda: harness.ledger.counts() == {State.APPLIED: 1, State.DEAD: 1})
    assert harness.entry(event) == before
    (beside,) = harness.ledger.find([State.DEAD])
    assert (beside.reason, beside.key.id.startswith("a#")) == ("conflicting event", True)


def test_what_cannot_be_read_is_kept(harness: AdaptorHarness) -> None:
    """Bytes that are no event are set aside as they are from any queue."""
    lay_down(harness, Message(b"\xff garbage"))
    (entry,) = wait_until(lambda: harness.ledger.find([State.DEAD]))
    assert (entry.reason, entry.key.source) == ("malformed event", "")
    assert entry.message is not None
    assert entry.message.body == b"\xff garbage"


def test_an_event_whose_call_may_have_left_is_a_doubt(harness: AdaptorHarness) -> None:
    """Given up while nobody knows whether its effect happened, an event is in doubt, and never looks undone."""
    event = placed("a")
    entry = claimed(harness, event)
    with harness.ledger.transaction() as transaction:
        transaction.note(event.key, entry.token, State.CALLING, {})
    lay_down(harness, message_of(event))
    assert harness.wait_for(event, State.IN_DOUBT).due_at is None
