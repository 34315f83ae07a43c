"""The judgement of the crash-point suite, on findings made by hand: one broken promise each."""

from dataclasses import replace
from typing import Any

import pytest

from adapter_sdk import Adaptor, Event, EventData, handles
from adapter_sdk.events import Key
from adapter_sdk.family import Direct, Family
from adapter_sdk.ledger.base import Entry, Place, Reply, State
from adapter_sdk.replies import reply_id
from adapter_sdk.testing import event_of
from adapter_sdk.testing.crashpoints import Crash, Findings, broken_promises
from adapter_sdk.transport.base import Message


class Placed(EventData, type="shop.placed"):
    pass


class Printed(EventData, type="printer.printed"):
    pass


class Printer(Adaptor):
    name = "printer"

    @handles
    def print(self, event: Event[Placed]) -> Printed:
        return Printed()


class Once(Direct):
    """A family that promises each effect once, and may leave a doubt."""

    repeats = False


EVENT = event_of(Placed(), id="e-1")
REPLY = reply_id("printer", EVENT.key, 0)
APPLIED = Entry(key=EVENT.key, state=State.APPLIED, replies=(Reply(REPLY, "printer.printed", b"{}"),))
DOOMED = Key("/test", "doomed")


def findings(**changes: Any) -> Findings:
    """What a kept promise looks like, but for `changes`."""
    good = Findings(
        crash=Crash("soap.sent"),
        events=[EVENT],
        doomed=None,
        entries={EVENT.key: APPLIED},
        effects={"e-1": 1},
        replies={"e-1": [Message(b"{}", message_id=REPLY)]},
        left={"printer": 0},
    )
    return replace(good, **changes)


def judge(found: Findings, family: Family[Any]) -> list[str]:
    """The sentences of the suite."""
    family.bind(Printer())
    return broken_promises(found, Printer, family)


def standing(state: State, due_at: float | None = None) -> dict[Key, Entry]:
    """The event in another state, with no replies."""
    return {EVENT.key: replace(APPLIED, state=state, replies=(), due_at=due_at)}


def test_a_kept_promise_is_passed_over_in_silence() -> None:
    """One effect, its replies under their own ids, nothing left: no sentence."""
    assert judge(findings(), Once()) == []


def test_the_same_reply_twice_is_no_fault() -> None:
    """Replies come at least once; that they come again, with the same bytes, is what their ids are for."""
    assert judge(findings(replies={"e-1": [Message(b"{}", message_id=REPLY)] * 2}), Once()) == []


class OrderedPrinter(Printer):
    ordered_by = "subject"


LINE = [event_of(Placed(), id=name, subject=name[0]) for name in ("a1", "b1", "a2", "a3")]


@pytest.mark.parametrize(
    ("sequence", "wrong"),
    [
        (["a1", "b1", "a2", "a3"], []),
        (["a1", "a1", "a2", "b1", "a3", "a3"], []),
        (["b1", "a1", "a3"], []),
        (["a2", "a1", "a3"], ["a1"]),
        (["a1", "a2", "a1", "a3"], ["a1"]),
        (["a3", "b1", "a2", "a1"], ["a2", "a1"]),
    ],
)
def test_order(sequence: list[str], wrong: list[str]) -> None:
    """An effect after that of a later event of its key breaks the order; that of another key, or again at once, not."""
    entries = {event.key: replace(APPLIED, key=event.key, replies=()) for event in LINE}
    counts = {event.id: max(1, sequence.count(event.id)) for event in LINE}
    found = findings(events=LINE, entries=entries, effects=counts, replies={}, sequence=sequence)
    broken = broken_promises(found, OrderedPrinter, _bound(Direct(), OrderedPrinter))
    assert [sentence.partition(":")[0] for sentence in broken if "out of order" in sentence] == wrong
    assert len(broken) == len(wrong)


@pytest.mark.parametrize(
    ("state", "due_at", "kept"), [(State.DEAD, None, True), (State.IN_DOUBT, None, True), (State.IN_DOUBT, 1.0, False)]
)
def test_what_is_held_behind_a_decision_is_not_lost(state: State, due_at: float | None, kept: bool) -> None:
    """Behind an event that a person has to decide about it is right that an event is held; behind others it is lost."""
    first, _, second, _ = LINE
    entries = {
        first.key: replace(APPLIED, key=first.key, state=state, due_at=due_at, replies=(), place=Place("a", 1)),
        second.key: replace(APPLIED, key=second.key, state=State.HELD, replies=(), place=Place("a", 2)),
    }
    found = findings(events=[second], entries=entries, effects={}, replies={})
    broken = broken_promises(found, OrderedPrinter, _bound(Direct(), OrderedPrinter))
    assert bool(broken) is not kept


def _bound(family: Family[Any], adaptor: type[Adaptor]) -> Family[Any]:
    family.bind(adaptor())
    return family


def test_a_family_may_promise_less() -> None:
    """Where a crash may repeat an effect, two of them are not a broken promise."""
    assert judge(findings(effects={"e-1": 2}), Direct()) == []


def test_a_doubt_that_nobody_can_settle_may_be_left() -> None:
    """Without `verify`, an event whose crash left no trace is in doubt, whether the effect is there or not."""
    for effects in (0, 1):
        found = findings(entries=standing(State.IN_DOUBT), effects={"e-1": effects}, replies={})
        assert judge(found, Once()) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"effects": {}}, "e-1: lost: the ledger says applied, and the backend has no effect of it"),
        ({"effects": {"e-1": 2}}, "e-1: done twice: the backend has its effect 2 times"),
        ({"entries": {}, "effects": {}, "replies": {}}, "e-1: lost: no effect, and the ledger has nothing of it"),
        ({"entries": standing(State.DEAD), "replies": {}}, "e-1: forgotten: the backend has its effect, and the"),
        (
            {"entries": standing(State.IN_DOUBT), "replies": {}, "crash": Crash("claimed")},
            "e-1: left in doubt without need",
        ),
        ({"replies": {}}, f"e-1: reply lost: {REPLY} was never published"),
        ({"replies": {"e-1": [Message(b"{}", message_id=i) for i in (REPLY, "x")]}}, "e-1: reply unstable: x is not"),
        (
            {"replies": {"e-1": [Message(body, message_id=REPLY) for body in (b"{}", b"[]")]}},
            f"e-1: reply unstable: {REPLY} was published with 2 different contents",
        ),
        ({"left": {"printer": 3}}, "not settled: 3 message(s) left in the queue printer"),
        ({"doomed": DOOMED}, "doomed: dead letter lost: the ledger has nothing of it"),
        ({"strays": [Key("/test", "e-1#ab")]}, "/test e-1#ab: accounted for twice"),
    ],
)
def test_a_broken_promise_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    """It begins with the event and what was done to it, and names the crash and the family's promise."""
    (broken,) = judge(findings(**changes), Once())
    assert broken.startswith(sentence)
    assert "[killed at '" in broken
    assert broken.endswith(f"[promise: {Direct.promise}]")
