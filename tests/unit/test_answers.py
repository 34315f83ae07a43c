"""Answers that come later meet the events that are owed a reply, in a whole adaptor whose backend answers by hand."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from adapter_sdk import Adaptor, Event, EventData, NotApplied, Pending, handles
from adapter_sdk.answers import Answer, Answers, Completion
from adapter_sdk.envelopes import Limits, open_envelope, write_structured
from adapter_sdk.errors import BackendUnavailable
from adapter_sdk.family import Direct
from adapter_sdk.ledger.base import ClaimRequest, Record, State
from adapter_sdk.ledger.sqlite import sqlite_ledger
from adapter_sdk.overdue import ReplyOverdue
from adapter_sdk.pipeline import Pipeline
from adapter_sdk.replies import reply_id
from adapter_sdk.testing import AdaptorHarness, event_of
from adapter_sdk.topology import copy_to
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Message, Queue, Topology
from adapter_sdk.transport.memory import MemoryTransport


class Placed(EventData, type="shop.placed"):
    order_id: str
    within: float | None = None


class Received(EventData, type="store.received"):
    order_id: str


class Picked(EventData, type="store.picked"):
    order_id: str
    by: str


class Note(BaseModel):
    order_id: str
    by: str


class Post(Direct):
    """Answers lie in a tray; what is completed is taken out of it."""

    tray: ClassVar[list[Note]] = []
    seen: ClassVar[list[Completion]] = []
    trouble: ClassVar[list[Exception]] = []
    keeps: ClassVar[bool] = False

    def collect(self, answers: Answers) -> None:
        """Empty the tray, but for what is early."""
        if self.trouble:
            raise self.trouble.pop()
        notes = list(self.tray)
        (spec,) = next(iter(self.adaptor._handlers.values())).answers
        found = [
            Answer(
                id=f"{note.order_id}-{note.by}",
                spec=spec,
                record=note,
                message=Message(note.model_dump_json().encode()),
                origin=f"note of {note.by}",
            )
            for note in notes
        ]
        for note, completion in zip(notes, answers.complete(found), strict=True):
            self.seen.append(completion)
            if completion is not Completion.EARLY and not self.keeps:
                self.tray.remove(note)


class Store(Adaptor):
    name = "store"
    _takes_answers = True

    @classmethod
    def _family(cls, settings: Any) -> Post:
        return Post()

    @handles(idempotent=True)
    def take(self, event: Event[Placed]) -> list[Received | Pending[Picked]]:
        return [Received(order_id=event.data.order_id), Pending(event.data.order_id, within=event.data.within)]

    @take.answer(key="order_id")
    def picked(self, note: Note) -> Picked:
        if note.by == "nobody":
            raise ValueError("nobody picks")
        return Picked(order_id=note.order_id, by=note.by)


@pytest.fixture(autouse=True)
def post() -> type[Post]:
    """An empty tray."""
    Post.tray.clear()
    Post.seen.clear()
    Post.trouble.clear()
    Post.keeps = False
    return Post


@contextmanager
def running(**runner: Any) -> Iterator[AdaptorHarness]:
    """The store, looking for answers all the time."""
    with AdaptorHarness(Store, {"runner": {"answers_every": 0.01, "unmatched_after": 0.1, **runner}}) as harness:
        yield harness


def wait_until(harness: AdaptorHarness, condition: Callable[[], object]) -> None:
    """Wait for it, as the harness does."""
    harness._wait(lambda: bool(condition()), 60.0, "the condition")


def picks(harness: AdaptorHarness, count: int) -> list[Event[Any]]:
    """So many answers as replies, in order. One that is published before what was beside it is noted repeats that."""
    found: dict[str, Event[Any]] = {}

    def there() -> bool:
        found.update({reply.id: reply for reply in harness.replies() if reply.type == "store.picked"})
        return len(found) >= count

    wait_until(harness, there)
    return list(found.values())


def dead_letters(harness: AdaptorHarness) -> Sequence[Any]:
    """What was set aside."""
    return harness.ledger.find([State.DEAD])


def test_an_answer_becomes_the_reply_that_was_owed(post: type[Post]) -> None:
    """Until it comes, what is owed can be seen; then the reply has the id, correlation and cause of an ordinary one."""
    event = event_of(Placed(order_id="o-1"), id="e-1", correlationid="c-1", traceparent="00-a-b-01")
    with running() as harness:
        harness.publish(event)
        entry = harness.wait_for(event, State.APPLIED)
        wait_until(harness, lambda: not harness.ledger.unsent(1e12, 10))
        (owed,) = harness.ledger.owed(10)
        assert (owed.event, owed.key, owed.correlation_id) == (event.key, "o-1", "c-1")
        assert harness.ledger.answer_counts() == (1, 0)
        assert [reply.owed is not None for reply in entry.replies] == [False, True]
        post.tray.append(Note(order_id="o-1", by="ann"))
        received, picked = harness.replies(2)
        assert harness.ledger.answer_counts() == (0, 0)
        wait_until(harness, lambda: not harness.ledger.unsent(1e12, 10))
    assert (received.id, picked.id) == (reply_id("store", event.key, 0), reply_id("store", event.key, 1))
    assert picked.data == Picked(order_id="o-1", by="ann")
    assert (picked.correlation_id, picked.causation_id, picked.traceparent) == ("c-1", "e-1", "00-a-b-01")
    assert len(harness.replies()) == 2  # the handler's own reply did not go out again
    assert post.seen == [Completion.MATCHED]


def test_an_answer_that_is_found_again(post: type[Post]) -> None:
    """It changes nothing, however often it is found: not another event with the same key, either."""
    first, second = (event_of(Placed(order_id="o-1"), id=f"e-{number}") for number in (1, 2))
    post.keeps = True
    with running() as harness:
        harness.publish(first)
        harness.wait_for(first, State.APPLIED)
        harness.publish(second)
        harness.wait_for(second, State.APPLIED)
        post.tray.append(Note(order_id="o-1", by="ann"))
        wait_until(harness, lambda: post.seen.count(Completion.REPEATED) > 2)
        assert [owed.event.id for owed in harness.ledger.owed(10)] == ["e-2"]
        assert [reply.causation_id for reply in picks(harness, 1)] == ["e-1"]
        post.tray.append(Note(order_id="o-1", by="bob"))
        assert [reply.causation_id for reply in picks(harness, 2)] == ["e-1", "e-2"]


def test_events_of_one_batch_with_one_key_are_answered_in_their_order(post: type[Post]) -> None:
    """The oldest that is owed a reply gets the first answer."""
    events = [event_of(Placed(order_id="o-1"), id=f"e-{number}") for number in range(5)]
    with running(concurrency=1) as harness:
        harness.publish(*events)
        harness.wait_until_settled()
        post.tray += [Note(order_id="o-1", by=f"picker {number}") for number in range(5)]
        picked = picks(harness, 5)
    assert [(reply.causation_id, reply.data.by) for reply in picked] == [(f"e-{n}", f"picker {n}") for n in range(5)]


def test_an_answer_before_its_event_is_waited_for(post: type[Post]) -> None:
    """A backend that is quicker than the ledger's record: the answer stays where it is until the event is there."""
    event = event_of(Placed(order_id="o-1"))
    post.tray.append(Note(order_id="o-1", by="ann"))
    with running(unmatched_after=60) as harness:
        wait_until(harness, lambda: Completion.EARLY in post.seen)
        harness.publish(event)
        assert len(picks(harness, 1)) == 1
        assert not dead_letters(harness)
    assert post.seen[-1] is Completion.MATCHED


def test_an_answer_that_nobody_waits_for_is_set_aside(post: type[Post]) -> None:
    """It is a dead letter, byte for byte, that says where it stood; found again, it stays that one."""
    note = Note(order_id="o-9", by="ann")
    post.keeps = True
    post.tray.append(note)
    with running() as harness:
        wait_until(harness, lambda: Completion.REPEATED in post.seen)
        (dead,) = dead_letters(harness)
    assert (dead.key.source, dead.key.id, dead.type) == ("/adaptors/store/answers", "o-9-ann", "answer to shop.placed")
    assert dead.reason == "unmatched answer"
    wanted = "note of ann: no event of type shop.placed is owed a reply under the key 'o-9'"
    assert dead.error == wanted
    assert dead.message.body == note.model_dump_json().encode()
    assert post.seen.count(Completion.UNMATCHED) == 1


def test_an_answer_that_the_method_refuses_is_set_aside(post: type[Post]) -> None:
    """Its event is still owed a reply, and the next answer with its key is taken."""
    event = event_of(Placed(order_id="o-1"))
    post.tray += [Note(order_id="o-1", by="nobody"), Note(order_id="o-1", by="ann")]
    with running() as harness:
        harness.publish(event)
        assert [reply.data.by for reply in picks(harness, 1)] == ["ann"]
        (dead,) = dead_letters(harness)
    assert (dead.reason, post.seen.count(Completion.REFUSED)) == ("value error", 1)
    assert "ValueError: nobody picks" in dead.error


def test_an_overdue_reply_is_announced_once(post: type[Post]) -> None:
    """When `within` has passed one `reply.overdue` says so; the answer is taken afterwards all the same."""
    event = event_of(Placed(order_id="o-1", within=0.05), id="e-1", correlationid="c-1")
    patient = event_of(Placed(order_id="o-2"), id="e-2")
    with running() as harness:
        heard = listen(harness, "reply.overdue")
        harness.publish(event, patient)
        wait_until(harness, lambda: heard)
        post.tray.append(Note(order_id="o-1", by="ann"))
        assert len(picks(harness, 1)) == 1
        assert not harness.ledger.owed(10, unannounced=True, due_before=1e12)
    (message,) = heard
    overdue = open_envelope(message, Limits()).validate(ReplyOverdue)
    assert overdue.id == f"{reply_id('store', event.key, 1)}-overdue"
    assert (overdue.source, overdue.correlation_id, overdue.causation_id) == ("/adaptors/store", "c-1", "e-1")
    said = json.loads(message.body)["data"]
    assert said.pop("due")
    assert said == {
        "adaptor": "store",
        "key": "o-1",
        "event": {"id": "e-1", "source": event.source, "type": "shop.placed"},
    }


def test_an_effect_that_verify_finds_owes_its_reply(tmp_path: Path) -> None:
    """What `verify` answers is recorded as what the handler would have answered, and nothing goes out yet."""

    class Doubtful(Adaptor):
        name = "doubtful"
        _takes_answers = True

        @handles
        def take(self, event: Event[Placed]) -> Pending[Picked]:
            raise AssertionError("the effect is not made again")

        @take.verify
        def was_taken(self, event: Event[Placed]) -> Pending[Picked] | NotApplied:
            return Pending(event.data.order_id, within=5.0)

        @take.answer(key="order_id")
        def picked(self, note: Note) -> Picked:
            return Picked(order_id=note.order_id, by=note.by)

    published: list[Message] = []

    def publish(messages: Sequence[Message]) -> list[Confirm]:
        published.extend(messages)
        return [Confirm.CONFIRMED for _ in messages]

    event = event_of(Placed(order_id="o-1"), id="e-1")
    ledger = sqlite_ledger(tmp_path / "doubtful.ledger", "doubtful")
    ledger.open()
    adaptor, family = Doubtful(), Direct()
    family.bind(adaptor)
    message = write_structured(event)
    asked = ClaimRequest(key=event.key, digest=open_envelope(message, Limits()).digest(), type="shop.placed")
    ((_, entry),) = ledger.claim([asked], 1.0)
    ledger.record([Record(key=event.key, token=entry.token, state=State.IN_DOUBT, due_at=1.0)], 1.0)
    copy = copy_to("doubtful", message, 1)  # as it comes back from waiting for its question
    Pipeline(adaptor, family, ledger, publish).process([Delivery(copy, receipt=None, redelivered=True)])
    (owed,) = ledger.owed(10)
    assert (owed.key, owed.event, published) == ("o-1", event.key, [])
    ledger.close()


def test_trouble_while_looking(post: type[Post], capfd: pytest.CaptureFixture[str]) -> None:
    """A bug is logged and the next look comes; a backend that is away pauses the adaptor, until it is back."""
    event = event_of(Placed(order_id="o-1"))
    post.trouble += [BackendUnavailable("the post is closed"), ValueError("no such table")]
    with running() as harness:
        wait_until(harness, lambda: not post.trouble)
        post.tray.append(Note(order_id="o-1", by="ann"))
        harness.publish(event)
        assert len(picks(harness, 1)) == 1
    said = capfd.readouterr().out
    assert "answers not collected" in said
    assert "ValueError: no such table" in said
    assert "BackendUnavailable" in said


def listen(harness: AdaptorHarness, event_type: str) -> list[Message]:
    """What is published with this type from now on."""
    heard: list[Message] = []
    transport = MemoryTransport(harness.broker)
    transport.open()
    transport.declare(Topology(queues=[Queue("ear")], bindings=[Binding("events", "ear", event_type)]))

    def take(deliveries: list[Delivery]) -> None:
        heard.extend(delivery.message for delivery in deliveries)
        transport.ack(deliveries)

    transport.consume("ear", prefetch=100, on_deliveries=take, on_lost=lambda _: None)
    return heard
