import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import field_validator
from pytest_mock import MockerFixture

from adapter_sdk import (
    Adaptor,
    BackendUnavailable,
    BrokerError,
    Event,
    EventData,
    InDoubt,
    LedgerError,
    NotApplied,
    PermanentError,
    Refused,
    RetryPolicy,
    TransientError,
    handles,
)
from adapter_sdk.envelopes import Limits, Opened, open_envelope, write_structured
from adapter_sdk.family import Claim, Direct, Family
from adapter_sdk.ledger.base import Decision, Journal, Reply, State
from adapter_sdk.ledger.sqlite import SqliteDatabase
from adapter_sdk.replies import reply_id
from adapter_sdk.topology import ATTEMPT_HEADER, retry_queue
from adapter_sdk.transport.base import Confirm, Delivery, Message
from tests.bench import Bench, BenchLedger, Killed, no_logs


class Placed(EventData, type="shop.placed"):
    order_id: str
    quantity: int = 1

    @field_validator("quantity")
    @classmethod
    def _count(cls, quantity: int) -> int:
        # Raises ZeroDivisionError for 0, which pydantic does not turn into a validation error.
        return quantity * (1 // quantity if quantity < 2 else 1)


class Checked(EventData, type="shop.checked"):
    order_id: str


class Narrow(EventData, type="shop.narrow"):
    state: str


class Booked(EventData, type="erp.booked"):
    order_id: str


Script = dict[str, list[Exception]]
Answer = Booked | NotApplied | Exception


class Erp(Adaptor):
    """Fails as its script says: by event id, one error per call; then it books."""

    name = "erp"
    script: Script = {}
    calls: list[str] = []
    asked: list[str] = []
    answers: dict[str, Answer | list[Answer]] = {}

    @handles
    def book(self, event: Event[Placed]) -> Booked:
        return self._book(event.id, event.data.order_id)

    @handles
    def check(self, event: Event[Checked]) -> Booked:
        return self._book(event.id, event.data.order_id)

    @check.verify(settle=30)
    def was_booked(self, event: Event[Checked]) -> Booked | NotApplied:
        self.asked.append(event.id)
        answers = self.answers[event.id]
        answer = answers.pop(0) if isinstance(answers, list) else answers
        if isinstance(answer, Exception):
            raise answer
        return answer

    @handles(where={"data": {"state": ["new"]}}, idempotent=True)
    def narrow(self, event: Event[Narrow]) -> None:
        self._book(event.id, "")

    def _book(self, id: str, order_id: str) -> Booked:
        self.calls.append(id)
        if self.script.get(id):
            raise self.script[id].pop(0)
        return Booked(order_id=order_id)


def placed(id: str, **data: Any) -> Event[Placed]:
    """An order."""
    return Event(source="/shop", id=id, type="shop.placed", data=Placed.model_construct(order_id=id, **data))


def checked(id: str) -> Event[Checked]:
    """An order whose booking can be asked for."""
    return Event(source="/shop", id=id, type="shop.checked", data=Checked(order_id=id))


def narrow(id: str, state: str) -> Event[Narrow]:
    """An event that is taken only in state `new`."""
    return Event(source="/shop", id=id, type="shop.narrow", data=Narrow(state=state))


BenchOf = Callable[..., Bench]


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[BenchOf]:
    """Makes benches for the ERP, all on one ledger."""
    Erp.script, Erp.answers = {}, {}
    for calls in (Erp.calls, Erp.asked):
        calls.clear()
    database = SqliteDatabase(tmp_path / "erp.ledger")
    made: list[Bench] = []

    def ledger_of(_: Family[Any]) -> BenchLedger:
        ledger = BenchLedger(database, "erp")
        ledger.open()
        return ledger

    def make(**options: Any) -> Bench:
        made.append(Bench(Erp, Direct, ledger_of, **options))
        return made[-1]

    with no_logs():
        yield make
    database.close()


@pytest.fixture
def bench(bench_of: BenchOf) -> Bench:
    """One bench with two delays, 5 and 30 seconds."""
    return bench_of()


def state_of(bench: Bench, event: Event[Any]) -> State:
    """Where an event stands."""
    entry = bench.ledger.get(event.key)
    assert entry is not None
    return entry.state


class TestWithoutLedger:
    """An idempotent handler whose effect may be repeated needs no row, as long as nothing points to a repetition."""

    def test_nothing_is_remembered_of_what_went_well(self, bench: Bench) -> None:
        """The event is applied and acked, and the ledger has no row of it; sent again, it is applied again."""
        bench.send(narrow("a", "new"), narrow("b", "new"), narrow("a", "new"))
        settlement = bench.step()
        assert (len(settlement.ack), settlement.applied, Erp.calls) == (3, 3, ["a", "b", "a"])
        assert bench.ledger.counts() == {}

    def test_a_failure_is_counted_by_the_ledger(self, bench: Bench) -> None:
        """An event that fails is taken into the ledger with its first attempt; its neighbours are not."""
        Erp.script = {"a": [TransientError("busy")]}
        bench.send(narrow("a", "new"), narrow("b", "new"))
        bench.step()
        entry = bench.ledger.get(narrow("a", "new").key)
        assert entry is not None
        assert (entry.state, entry.attempts, Erp.calls) == (State.WAITING, 1, ["a", "b"])
        bench.run()
        assert bench.ledger.counts() == {State.APPLIED: 1}

    def test_a_redelivered_event_is_claimed(self, bench: Bench) -> None:
        """What was given out before may have killed a process: its attempts are counted before the handler runs."""
        message = write_structured(narrow("a", "new"), "events")
        bench.pipeline.process([Delivery(message, None, redelivered=True)])
        assert bench.ledger.counts() == {State.APPLIED: 1}


class TestTheUsualWay:
    def test_an_event_is_applied_answered_and_settled(self, bench: Bench) -> None:
        """The handler is called once, its reply is published as sealed, and the delivery is acked."""
        bench.send(placed("a"))
        settlement = bench.step()
        assert (len(settlement.ack), settlement.release, settlement.unavailable) == (1, [], None)
        (reply,) = bench.replies
        assert json.loads(reply.body)["data"] == {"order_id": "a"}
        assert (reply.message_id, reply.type) == (reply_id("erp", placed("a").key, 0), "erp.booked")
        assert bench.ledger.counts() == {State.APPLIED: 1}
        assert not bench.ledger.unsent(bench.now + 1, 10)

    def test_duplicates_are_settled_without_an_effect(self, bench: Bench) -> None:
        """A repeated event, in the same batch or later, is acked; neither effect nor reply is repeated."""
        bench.send(placed("a"), placed("a"), placed("a"))
        bench.step()
        bench.send(placed("a"))
        bench.step()
        assert Erp.calls == ["a"]
        assert len(bench.replies) == 1
        assert not bench.queue

    def test_the_same_event_in_two_workers(self, bench: Bench) -> None:
        """Two workers that hold deliveries of one event take turns, so that there is one effect."""
        entered, proceed = threading.Event(), threading.Event()
        book = Erp._book

        def slow(self: Erp, id: str, order_id: str) -> Booked:
            entered.set()
            assert proceed.wait(60)
            return book(self, id, order_id)

        event = placed("a")
        bench.send(event, event)
        deliveries = [Delivery(message, None) for message in bench.queue]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Erp, "_book", slow)
            workers = [threading.Thread(target=bench.pipeline.process, args=([one],)) for one in deliveries]
            workers[0].start()
            assert entered.wait(60)
            workers[1].start()
            workers[1].join(0.1)
            assert workers[1].is_alive()
            proceed.set()
            for worker in workers:
                worker.join(60)
        assert Erp.calls == ["a"]
        assert len(bench.replies) == 1

    def test_an_event_that_where_does_not_match_is_passed_over(self, bench: Bench) -> None:
        """An event outside `where` is acked without effect or trace in the ledger; one inside is applied."""
        bench.send(narrow("old", "old"), narrow("new", "new"))
        assert len(bench.step().ack) == 2
        assert Erp.calls == ["new"]


class TestDeadLetters:
    def test_each_kind_of_bad_event_is_set_aside_with_its_reason(self, bench: Bench) -> None:
        """Unreadable, unknown, invalid, conflicting and refused events become dead letters, and neighbours do not."""
        Erp.script = {"refused": [Refused("no such customer")]}
        broken = Message(json.dumps({"specversion": "1.0", "id": "invalid", "source": "/shop", "type": "shop.placed",
                                     "data": {"quantity": 3}}).encode())  # fmt: skip
        bench.send(placed("first"), Message(b"garbage", headers={"a": 1}), placed("refused"), broken, placed("last"))
        bench.send(placed("first", quantity=2))
        bench.send(Message(broken.body.replace(b"placed", b"unheard").replace(b"invalid", b"unknown")))
        assert len(bench.step().ack) == 7
        assert bench.ledger.counts() == {State.APPLIED: 2, State.DEAD: 5}
        dead = {entry.reason: entry for entry in bench.ledger.find([State.DEAD])}
        assert {reason: str(dead[reason].error).split(";")[0] for reason in dead} == {
            "malformed event": "the body is not JSON: Expecting value: line 1 column 1 (char 0)",
            "unknown event type": "no handler of erp takes 'shop.unheard'",
            "invalid data": "data of shop.placed: order_id: Field required",
            "conflicting event": dead["conflicting event"].error,
            "refused": "no such customer",
        }
        assert "/shop first with other data, since 1970-01-12" in str(dead["conflicting event"].error)
        assert all(entry.message is not None for entry in dead.values())
        assert not bench.replies[2:]

    def test_a_message_that_meets_a_bug_is_set_aside_alone(self, bench: Bench, mocker: MockerFixture) -> None:
        """What nobody foresaw while a message is read makes that one a dead letter; its neighbours are applied."""
        odd = Message(b"odd")

        def with_a_bug(message: Message, limits: Limits) -> Opened:
            return open_envelope(message, limits) if message != odd else odd.nowhere  # type: ignore[attr-defined]

        mocker.patch("adapter_sdk.admission.open_envelope", with_a_bug)
        bench.send(odd, placed("good"))
        assert len(bench.step().ack) == 2
        assert bench.ledger.counts() == {State.APPLIED: 1, State.DEAD: 1}
        (entry,) = bench.ledger.find([State.DEAD])
        assert entry.message == odd
        assert "met a bug in the toolkit: AttributeError" in str(entry.error)

    def test_a_dead_letter_keeps_the_original_message(self, bench: Bench) -> None:
        """Body, headers and properties are kept as received, after retries too."""
        Erp.script = {"a": [TransientError("later")] * 9}
        original = Message(
            json.dumps({"specversion": "1.0", "id": "a", "source": "/shop", "type": "shop.placed",
                        "data": {"order_id": "a"}}).encode(), "shop.placed", "events", {"x": b"\xff", "n": {"$": 1}},
            message_id="m-1", user_id="shop", timestamp=5, expiration="60000", priority=3,
        )  # fmt: skip
        bench.send(original)
        bench.run()
        (entry,) = bench.ledger.find([State.DEAD])
        assert entry.message == original
        assert (entry.attempts, entry.reason, entry.error) == (3, "retries exhausted: transient error", "later")

    def test_an_unreadable_message_delivered_again_is_one_dead_letter(self, bench: Bench) -> None:
        """The same bytes again, as after a crash, are not a second dead letter; other properties make another."""
        for headers in ({}, {}, {"x-delivery-count": 2}, {ATTEMPT_HEADER: 3}):
            bench.send(Message(b"garbage", headers=headers))
        bench.send(Message(b"garbage", content_encoding="gzip"))
        bench.run()
        assert bench.ledger.counts() == {State.DEAD: 2}

    def test_a_dead_letter_put_back_to_work(self, bench: Bench) -> None:
        """Reopened, an event is applied when it can be now; one that is still unreadable is dead as before."""
        Erp.script = {"a": [Refused("not yet")]}
        bench.send(placed("a"), Message(b"garbage"))
        bench.run()
        for entry in bench.ledger.find([State.DEAD]):
            assert bench.ledger.reopen(entry.key, Decision(what="replay", who="ada", why="mended", at=bench.now))
        bench.now += 61
        assert bench.pipeline.sweep() == 2
        bench.run()
        assert bench.ledger.counts() == {State.APPLIED: 1, State.DEAD: 1}
        assert Erp.calls == ["a", "a"]

    def test_a_bug_in_a_validator_is_the_failure_of_that_event(self, bench: Bench) -> None:
        """Event data whose own validator breaks is retried and set aside; its neighbours are applied."""
        bench.send(placed("a"), placed("bug", quantity=0), placed("b"))
        bench.run()
        assert bench.ledger.counts() == {State.APPLIED: 2, State.DEAD: 1}
        (entry,) = bench.ledger.find([State.DEAD])
        assert entry.reason == "retries exhausted: zero division error"
        assert "Traceback" in str(entry.error)

    def test_a_wrong_reply_never_leaves(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reply that the handler did not promise is an invalid reply, set aside at once."""
        monkeypatch.setattr(Erp, "_book", lambda *_: Checked(order_id="x"))
        bench.send(placed("a"))
        bench.run()
        (entry,) = bench.ledger.find([State.DEAD])
        assert entry.reason == "invalid reply"
        assert not bench.replies


class TestRetries:
    def test_immediate_tries_are_one_attempt(self, bench_of: BenchOf) -> None:
        """A failure is tried again at once as often as the policy says, with its pause, within one attempt."""
        bench = bench_of(retry=RetryPolicy(immediate=2, pause=0.3, delays=(5,)))
        Erp.script = {"a": [TransientError("1"), RuntimeError("2")]}
        bench.send(placed("a"), placed("b"))
        bench.step()
        assert Erp.calls == ["a", "b", "a", "a"]
        assert bench.slept == [0.3, 0.3]
        entry = bench.ledger.get(placed("a").key)
        assert entry is not None
        assert (entry.state, entry.attempts) == (State.APPLIED, 1)

    @pytest.mark.parametrize("error", [PermanentError("x"), BackendUnavailable("x"), InDoubt("x")])
    def test_what_is_never_tried_at_once(self, bench_of: BenchOf, error: Exception) -> None:
        """A refusal, an outage and a doubt are not tried again within the attempt."""
        bench = bench_of(retry=RetryPolicy(immediate=2, delays=(5,)))
        Erp.script = {"a": [error] * 3}
        bench.send(placed("a"))
        bench.step()
        assert Erp.calls == ["a"]

    def test_delays_are_held_by_the_broker_one_after_the_other(self, bench: Bench) -> None:
        """After each failed attempt a copy waits for the next delay; after the last attempt the event is dead."""
        Erp.script = {"a": [TransientError("later")] * 9}
        bench.send(placed("a"))
        waits = []
        while bench.queue or bench.held:
            if bench.queue:
                assert len(bench.step().ack) == 1
            for until, message in bench.held:
                waits.append((until - bench.now, message.headers[ATTEMPT_HEADER]))
                assert state_of(bench, placed("a")) is State.WAITING
            bench.wait(40)
        assert waits == [(5, 1), (30, 2)]
        assert Erp.calls == ["a"] * 3
        assert state_of(bench, placed("a")) is State.DEAD

    def test_poison_harms_no_neighbour(self, bench: Bench) -> None:
        """One event that always fails does not hold up or take along the others of its batch."""
        Erp.script = {"poison": [RuntimeError("boom")] * 9}
        bench.send(*(placed(str(number)) for number in range(5)), placed("poison"), placed("last"))
        bench.step()
        assert bench.ledger.counts() == {State.APPLIED: 6, State.WAITING: 1}

    def test_an_event_that_kills_the_process_uses_up_its_attempts(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Attempts are counted before the handler runs: whatever kills the process each time becomes a dead letter."""

        def kill(*_: object) -> None:
            raise Killed

        monkeypatch.setattr(Erp, "_book", kill)
        bench.send(placed("a"))
        bench.run()
        (entry,) = bench.ledger.find([State.DEAD])
        assert (entry.reason, entry.attempts) == ("attempts used up", 4)
        assert "during attempt 3, the last one allowed" in str(entry.error)

    def test_a_header_from_a_stranger_is_no_poison(self, bench: Bench) -> None:
        """An attempt header of any size or type changes nothing: the ledger counts the attempts."""
        for number, value in enumerate([2**70, -5, "many", True, None, 1.5, 10]):
            message = Message(json.dumps({"specversion": "1.0", "id": str(number), "source": "/shop",
                                          "type": "shop.placed", "data": {"order_id": "a"}}).encode(),
                              headers={ATTEMPT_HEADER: value})  # fmt: skip
            bench.send(message)
        bench.run()
        assert bench.ledger.counts() == {State.APPLIED: 7}


class TestOutages:
    def test_an_outage_releases_and_costs_no_attempt(self, bench: Bench) -> None:
        """While the backend is away an event comes back as often as it likes, and has all its attempts afterwards."""
        Erp.script = {"a": [BackendUnavailable("away")] * 10 + [TransientError("slow")]}
        bench.send(placed("a"), placed("b"))
        for _ in range(10):
            settlement = bench.step()
            assert len(settlement.release) == 1
            assert isinstance(settlement.unavailable, BackendUnavailable)
            bench.restart()
        bench.run()
        entry = bench.ledger.get(placed("a").key)
        assert entry is not None
        assert (entry.state, entry.attempts) == (State.APPLIED, 2)
        assert len(bench.reply_ids()) == 2

    def test_what_came_back_often_comes_round_as_a_copy(self, bench: Bench) -> None:
        """So the broker, which gives up what it has given out too often, counts it anew; no attempt is counted."""
        Erp.script = {"a": [BackendUnavailable("away")] * 3}
        bench.send(placed("a"))
        (message,) = bench.queue
        bench.queue.clear()
        for count in (0, 2):
            assert len(bench.pipeline.process([Delivery(message, None, count > 0, count)]).release) == 1
            assert not bench.held
        settlement = bench.pipeline.process([Delivery(message, None, True, 3)])
        assert (len(settlement.ack), settlement.release) == (1, [])
        assert isinstance(settlement.unavailable, BackendUnavailable)
        bench.run()
        entry = bench.ledger.get(placed("a").key)
        assert entry is not None
        assert (entry.state, entry.attempts) == (State.APPLIED, 1)

    def test_a_copy_that_meets_an_outage_is_not_stale(self, bench: Bench) -> None:
        """A later attempt that is released and comes back, after a crash too, is worked on."""
        Erp.script = {"a": [TransientError("x"), BackendUnavailable("away"), BackendUnavailable("away")]}
        bench.send(placed("a"))
        bench.step()
        bench.wait(5)
        assert len(bench.step().release) == 1
        bench.crash.at = (bench.crash.reached + 3,)
        with pytest.raises(Killed):
            bench.step()
        bench.restart()
        assert len(bench.step().release) == 1
        bench.run()
        assert state_of(bench, placed("a")) is State.APPLIED

    def test_an_outage_that_takes_the_ledger_along_costs_no_attempt(
        self, bench_of: BenchOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where ledger and backend are one database, an attempt that could not be recorded is not counted."""
        bench = bench_of(retry=RetryPolicy(immediate=0, delays=(5,)))
        Erp.script = {"a": [BackendUnavailable("away")] * 4 + [TransientError("busy")]}
        bench.send(placed("a"), placed("b"))

        def down(*_: object) -> None:
            raise LedgerError("the database is down")

        with monkeypatch.context() as patch:
            patch.setattr(bench.ledger, "record", down)
            for _ in range(4):
                with pytest.raises(LedgerError):
                    bench.step()
        bench.run()
        assert bench.ledger.counts() == {State.APPLIED: 2}
        entry = bench.ledger.get(placed("a").key)
        assert entry is not None
        assert entry.attempts == 2


class TestTroubleWithTheBroker:
    def test_a_failed_publication_settles_nothing_and_repeats_no_effect(self, bench: Bench) -> None:
        """BrokerError while replies are published leaves the batch unsettled; next time the same replies go out."""

        def fail(_: Sequence[Message]) -> None:
            raise BrokerError("connection lost")

        bench.publishing = fail
        bench.send(placed("a"), placed("b"))
        with pytest.raises(BrokerError):
            bench.step()
        assert len(bench.queue) == 2
        bench.publishing = lambda _: None
        bench.run()
        assert sorted(Erp.calls) == ["a", "b"]
        assert bench.reply_ids() == {reply_id("erp", placed(name).key, 0) for name in "ab"}

    def test_a_failed_ledger_settles_nothing(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """LedgerError leaves the batch unsettled."""
        bench.send(placed("a"))
        with monkeypatch.context() as patch:
            patch.setattr(bench.ledger, "record", _full)
            with pytest.raises(LedgerError):
                bench.step()
        assert len(bench.queue) == 1
        bench.run()
        assert state_of(bench, placed("a")) is State.APPLIED

    def test_a_doubt_outlives_a_ledger_that_fails_again_and_again(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However often the answer of `verify` cannot be written down, attempts stay right and it is asked again."""
        Erp.script = {"a": [InDoubt("no answer")]}
        Erp.answers = {"a": Booked(order_id="a")}
        bench.send(checked("a"))
        bench.step()
        for _ in range(5):
            bench.wait(30)
            with monkeypatch.context() as patch:
                patch.setattr(bench.ledger, "record", _full)
                with pytest.raises(LedgerError):
                    bench.step()
            bench.step()  # found in the middle of the question, it has to settle again
            entry = bench.ledger.get(checked("a").key)
            assert entry is not None
            assert entry.attempts == 1
        bench.run()
        assert state_of(bench, checked("a")) is State.APPLIED
        assert len(Erp.asked) == 6

    def test_a_reply_that_no_queue_wants_keeps_the_event_coming_back(self, bench: Bench) -> None:
        """A returned or refused reply stays in the ledger; the event comes back until the reply is taken."""
        for kind in (bench.unwanted, bench.nacked):
            kind.add("erp.booked")
            bench.send(placed(f"a-{len(Erp.calls)}"))
            bench.step()
            for _ in range(3):
                assert len(bench.ledger.unsent(bench.now + 1, 10)) == 1
                assert not bench.queue
                assert [until - bench.now for until, _ in bench.held] == [30]
                bench.wait(30)
                bench.step()
            kind.clear()
            bench.run()
        assert len(bench.replies) == len(bench.reply_ids()) == 2
        assert len(Erp.calls) == 2

    def test_optional_replies_are_dropped(self, bench_of: BenchOf) -> None:
        """With optional replies one that no queue wants is dropped, and one that a queue refuses is not."""
        bench = bench_of(replies_required=False)
        bench.unwanted = {"erp.booked"}
        bench.send(placed("a"))
        bench.step()
        assert not bench.held
        assert not bench.ledger.unsent(bench.now + 1, 10)
        bench.unwanted, bench.nacked = set(), {"erp.booked"}
        bench.send(placed("b"))
        bench.step()
        assert len(bench.held) == 1

    def test_a_copy_that_no_queue_takes_is_a_broker_error(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A missing delay queue settles nothing, rather than losing the event."""
        Erp.script = {"a": [TransientError("x")]}
        monkeypatch.setattr(bench, "_delays", {})
        bench.send(placed("a"))
        with pytest.raises(BrokerError, match=retry_queue("erp", 5)):
            bench.step()
        assert len(bench.queue) == 1

    def test_what_amqp_cannot_carry_sets_one_event_aside(self, bench: Bench) -> None:
        """A copy that cannot be published makes that event a dead letter; the others go on."""
        Erp.script = {"a": [TransientError("x")]}

        def check(messages: Sequence[Message]) -> None:
            if any(ATTEMPT_HEADER in message.headers for message in messages):
                raise PermanentError("headers too large")

        bench.publishing = check
        bench.send(placed("a"), placed("b"))
        assert len(bench.step().ack) == 2
        assert state_of(bench, placed("a")) is State.DEAD
        assert state_of(bench, placed("b")) is State.APPLIED
        assert len(bench.replies) == 1


class TestDoubt:
    def test_in_doubt_without_verify_waits_for_a_person(self, bench: Bench) -> None:
        """Without `verify` a doubtful event is set aside in doubt at once, and a repetition changes nothing."""
        Erp.script = {"a": [InDoubt("no answer")]}
        bench.send(placed("a"), placed("a"))
        bench.run()
        entry = bench.ledger.get(placed("a").key)
        assert entry is not None
        assert (entry.state, entry.due_at, entry.reason) == (State.IN_DOUBT, None, "in doubt")
        assert entry.message is not None
        assert Erp.calls == ["a"]

    def test_in_doubt_and_idempotent_is_sent_again(self, bench: Bench) -> None:
        """An idempotent handler is called again after the delay."""
        Erp.script = {"a": [InDoubt("no answer")]}
        bench.send(narrow("a", "new"))
        bench.run()
        assert Erp.calls == ["a", "a"]
        assert state_of(bench, narrow("a", "new")) is State.APPLIED

    @pytest.mark.parametrize(
        ("answer", "state", "calls"),
        [
            (Booked(order_id="a"), State.APPLIED, 1),
            (NotApplied(), State.APPLIED, 2),
            (InDoubt("cannot tell"), State.IN_DOUBT, 1),
        ],
    )
    def test_verify_is_asked_when_the_doubt_has_settled(
        self, bench: Bench, answer: Booked | NotApplied | Exception, state: State, calls: int
    ) -> None:
        """After `settle` seconds `verify` tells: applied, not applied and done again, or still in doubt."""
        Erp.script = {"a": [InDoubt("no answer")]}
        Erp.answers = {"a": answer}
        bench.send(checked("a"))
        bench.step()
        assert not Erp.asked
        ((until, _),) = bench.held
        assert until - bench.now == 30
        bench.run()
        assert Erp.asked
        assert state_of(bench, checked("a")) is state
        assert len(Erp.calls) == calls
        assert len(bench.replies) == (state is State.APPLIED)

    def test_verify_is_not_asked_early(self, bench: Bench) -> None:
        """A delivery that comes before the doubt has settled waits on the broker, and costs no attempt."""
        Erp.script = {"a": [InDoubt("no answer")]}
        Erp.answers = {"a": Booked(order_id="a")}
        bench.publishing = _fail
        bench.send(checked("a"))
        with pytest.raises(BrokerError):
            bench.step()
        bench.publishing = lambda _: None
        bench.step()
        assert not Erp.asked
        assert len(bench.held) == 1
        bench.run()
        entry = bench.ledger.get(checked("a").key)
        assert entry is not None
        assert (entry.state, entry.attempts) == (State.APPLIED, 2)
        assert Erp.asked == ["a"]

    @pytest.mark.parametrize(
        ("answers", "state", "reason"),
        [
            ([Booked(order_id="a")], State.APPLIED, None),
            ([NotApplied()], State.DEAD, "retries exhausted"),
            ([InDoubt("cannot tell")], State.IN_DOUBT, "in doubt"),
            ([TransientError("busy")], State.IN_DOUBT, "transient error"),
            ([BackendUnavailable("away"), BackendUnavailable("away"), Booked(order_id="a")], State.APPLIED, None),
        ],
    )
    def test_the_doubt_of_the_last_attempt_has_its_question(
        self, bench_of: BenchOf, answers: list[Answer], state: State, reason: str | None
    ) -> None:
        """Where no attempt is left a doubt is still asked for, and what was not applied is dead, not done again."""
        bench = bench_of(retry=RetryPolicy(immediate=0, delays=()))
        Erp.script = {"a": [InDoubt("no answer")]}
        Erp.answers = {"a": list(answers)}
        bench.send(checked("a"))
        bench.run()
        entry = bench.ledger.get(checked("a").key)
        assert entry is not None
        assert (entry.state, entry.reason, entry.due_at) == (state, reason, None)
        assert Erp.calls == ["a"]
        assert Erp.asked == ["a"] * len(answers)

    def test_a_question_that_fails_is_asked_again_within_limits(self, bench: Bench) -> None:
        """Each attempt may leave a doubt; after the last, `verify` has all delays once more, then a person decides."""
        Erp.script = {"a": [InDoubt("no answer")] * 9}
        Erp.answers = {"a": [NotApplied(), NotApplied(), *[TransientError("busy")] * 9]}
        bench.send(checked("a"))
        bench.run()
        entry = bench.ledger.get(checked("a").key)
        assert entry is not None
        assert (entry.state, entry.due_at) == (State.IN_DOUBT, None)
        assert (len(Erp.calls), len(Erp.asked)) == (3, 4)

    def test_a_process_that_died_in_the_last_attempt(self, bench_of: BenchOf, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it left in doubt is asked for, too."""
        effect = Direct.effect

        def call_and_die(self: Direct, claim: Claim, journal: Journal) -> tuple[Reply, ...]:
            with journal.transaction() as transaction:
                transaction.note(claim.key, claim.token, State.CALLING, {})
            effect(self, claim, journal)
            raise Killed

        monkeypatch.setattr(Direct, "effect", call_and_die)
        bench = bench_of(retry=RetryPolicy(immediate=0, delays=()))
        Erp.answers = {"a": Booked(order_id="a")}
        bench.send(checked("a"))
        bench.run()
        assert state_of(bench, checked("a")) is State.APPLIED
        assert Erp.calls == ["a"]

    def test_a_question_that_kills_the_process_is_given_up(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is counted as an attempt is, and the doubt is left to a person in the end."""
        asked = []

        def kill(*_: object) -> None:
            asked.append(1)
            raise Killed

        monkeypatch.setattr(Erp, "was_booked", kill)
        Erp.script = {"a": [InDoubt("no answer")]}
        bench.send(checked("a"))
        bench.run()
        entry = bench.ledger.get(checked("a").key)
        assert entry is not None
        assert (entry.state, entry.reason, entry.due_at) == (State.IN_DOUBT, "attempts used up", None)
        assert len(asked) == 5

    def test_refused_after_verify_said_not_applied_is_dead(self, bench: Bench) -> None:
        """Once the doubt is settled, a refusal is a refusal and no doubt any more."""
        Erp.script = {"a": [InDoubt("no answer"), Refused("no")]}
        Erp.answers = {"a": NotApplied()}
        bench.send(checked("a"))
        bench.run()
        assert state_of(bench, checked("a")) is State.DEAD

    def test_refused_after_a_doubt_that_nobody_settled_stays_in_doubt(self, bench: Bench) -> None:
        """A second sending that is refused does not prove that the first was: a person decides."""
        Erp.script = {"a": [InDoubt("no answer"), Refused("no")]}
        bench.send(narrow("a", "new"))
        bench.run()
        assert state_of(bench, narrow("a", "new")) is State.IN_DOUBT

    def test_an_outage_during_a_doubt_keeps_it(self, bench: Bench) -> None:
        """A doubtful event that meets an outage comes back in doubt, and `verify` is asked again."""
        Erp.script = {"a": [InDoubt("no answer")]}
        Erp.answers = {"a": BackendUnavailable("away")}
        bench.send(checked("a"))
        bench.step()
        bench.wait(30)
        assert len(bench.step().release) == 1
        Erp.answers = {"a": Booked(order_id="a")}
        bench.run()
        assert state_of(bench, checked("a")) is State.APPLIED
        assert Erp.calls == ["a"]


def _fail(_: Sequence[Message]) -> None:
    raise BrokerError("connection lost")


def _full(*_: object) -> None:
    raise LedgerError("full")


def _refuse_old(messages: Sequence[Message]) -> None:
    if any(b'"b-' in message.body for message in messages):
        raise PermanentError("too long")


@pytest.mark.parametrize("jump", [7200.0, -7200.0], ids=["forward", "back"])
class TestAClockThatJumps:
    """The broker times what waits, and the adaptor's clock decides nothing."""

    def _die_in_a_call(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        effect = Direct.effect

        def call_and_die(self: Direct, claim: Claim, journal: Journal) -> tuple[Reply, ...]:
            with journal.transaction() as transaction:
                transaction.note(claim.key, claim.token, State.CALLING, {})
            effect(self, claim, journal)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Direct, "effect", call_and_die)
            with pytest.raises(Killed):
                bench.step()
        bench.restart()

    def test_a_doubt_has_its_whole_time(self, bench: Bench, jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """After a crash in a call `verify` is asked when `settle` seconds have passed, not earlier or much later."""
        Erp.answers = {"a": Booked(order_id="a")}
        bench.send(checked("a"))
        self._die_in_a_call(bench, monkeypatch)
        bench.jump = jump
        bench.step()
        assert not Erp.asked
        assert [until - bench.now for until, _ in bench.held] == [30]
        bench.jump = -jump
        bench.wait(30)
        bench.step()
        assert Erp.asked == ["a"]
        assert state_of(bench, checked("a")) is State.APPLIED

    def test_a_doubt_whose_copy_never_left(self, bench: Bench, jump: float) -> None:
        """The sweep does not shorten the time of a doubt, and a copy that was never sent waits as long."""
        Erp.script = {"a": [InDoubt("no answer")]}
        Erp.answers = {"a": Booked(order_id="a")}
        bench.publishing = _fail
        bench.send(checked("a"))
        with pytest.raises(BrokerError):
            bench.step()
        bench.queue.clear()
        bench.publishing = lambda _: None
        bench.jump = jump
        assert bench.pipeline.sweep() == 1
        assert [until - bench.now for until, _ in bench.held] == [30]
        bench.run()
        assert Erp.asked == ["a"]
        assert state_of(bench, checked("a")) is State.APPLIED

    def test_an_attempt_that_waits(self, bench: Bench, jump: float) -> None:
        """A planned attempt is made when the broker gives the event back."""
        Erp.script = {"a": [TransientError("x")]}
        bench.send(placed("a"))
        bench.step()
        bench.jump = jump
        bench.wait(5)
        bench.step()
        assert state_of(bench, placed("a")) is State.APPLIED

    def test_replies_that_a_dead_process_left(self, bench: Bench, jump: float) -> None:
        """They go out with the next sweep, also if they were noted at a time that has not come yet."""
        bench.publishing = _fail
        bench.send(placed("a"))
        with pytest.raises(BrokerError):
            bench.step()
        bench.publishing = lambda _: None
        bench.jump = jump
        assert bench.pipeline.sweep() == 1
        assert bench.reply_ids() == {reply_id("erp", placed("a").key, 0)}


def test_a_replay_begins_anew_though_the_answer_of_the_ledger_was_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt whose end was written and not heard of is none of those after the replay."""
    Erp.script = {"a": [PermanentError("no"), TransientError("busy")]}
    bench.send(placed("a"))
    record = bench.ledger.record

    def lost(*asked: Any) -> list[bool]:
        record(*asked)
        raise LedgerError("the answer to COMMIT was lost")

    with monkeypatch.context() as patch:
        patch.setattr(bench.ledger, "record", lost)
        with pytest.raises(LedgerError):
            bench.step()
    bench.step()
    decision = Decision(what="replay", who="ann", why="it is mended", at=bench.now)
    assert bench.ledger.reopen(placed("a").key, decision) is not None
    bench.now += 61
    assert bench.pipeline.sweep() == 1
    bench.step()
    entry = bench.ledger.get(placed("a").key)
    assert entry is not None
    assert (entry.state, entry.attempts, entry.due_at) == (State.WAITING, 1, bench.now + 5)


class TestSweep:
    def test_replies_that_a_dead_process_left_are_published(self, bench: Bench) -> None:
        """Replies recorded and not sent go out with the sweep, with their ids, after a while."""
        bench.publishing = _fail
        bench.send(placed("a"))
        with pytest.raises(BrokerError):
            bench.step()
        bench.publishing = lambda _: None
        assert bench.pipeline.sweep() == 0
        bench.now += 61
        assert bench.pipeline.sweep() == 1
        assert bench.pipeline.sweep() == 0
        assert bench.reply_ids() == {reply_id("erp", placed("a").key, 0)}

    def test_a_waiting_copy_that_was_never_sent(self, bench: Bench) -> None:
        """A planned attempt whose copy did not leave is brought back by the sweep."""
        Erp.script = {"a": [TransientError("x")]}
        bench.publishing = _fail
        bench.send(placed("a"))
        with pytest.raises(BrokerError):
            bench.step()
        bench.queue.clear()
        bench.publishing = lambda _: None
        bench.now += 61
        assert bench.pipeline.sweep() == 1
        bench.run()
        assert state_of(bench, placed("a")) is State.APPLIED

    def test_the_sweep_looks_again(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """An entry that a worker has taken further since it was listed is left to that worker.

        Otherwise an older copy would be sent and the newer one called sent: both would be stale, and the event lost.
        """
        Erp.script = {"a": [TransientError("x"), TransientError("y")]}
        bench.publishing = _fail
        bench.send(placed("a"))
        with pytest.raises(BrokerError):
            bench.step()
        listed = bench.ledger.unsent(bench.now + 61, 10)
        with pytest.raises(BrokerError):
            bench.step()
        bench.publishing = lambda _: None
        bench.now += 61
        with monkeypatch.context() as patch:
            patch.setattr(bench.ledger, "unsent", lambda *_, **__: listed)
            assert bench.pipeline.sweep() == 0
        assert not bench.held
        bench.run()
        assert state_of(bench, placed("a")) is State.APPLIED

    def test_what_cannot_be_sent_stops_no_sweep(self, bench: Bench) -> None:
        """A message that AMQP cannot carry, or that nobody wants, stays; the others leave."""
        bench.publishing = _fail
        bench.send(placed("a"), placed("b"), placed("c"))
        with pytest.raises(BrokerError):
            bench.step()
        bad = iter([PermanentError("too long")])

        def refuse_one(_: Sequence[Message]) -> None:
            for error in bad:
                raise error

        bench.publishing = refuse_one
        bench.now += 61
        assert bench.pipeline.sweep() == 2
        bench.unwanted = {"erp.booked"}
        assert bench.pipeline.sweep() == 0
        assert len(bench.ledger.unsent(bench.now, 10)) == 1

    def test_what_cannot_be_sent_keeps_nothing_else_waiting(self, bench: Bench) -> None:
        """However many replies cannot be sent, however old they are, the others leave; so do these, when they can."""
        bench.publishing = _fail
        bench.send(*(placed(f"b-{number:03d}") for number in range(250)))
        with pytest.raises(BrokerError):
            bench.step(250)
        bench.queue.clear()
        bench.now += 1
        bench.send(*(placed(f"c-{number:03d}") for number in range(250)))
        with pytest.raises(BrokerError):
            bench.step(250)
        bench.queue.clear()
        bench.publishing = _refuse_old
        bench.now += 61
        assert sum(bench.pipeline.sweep() for _ in range(6)) == 250
        bench.publishing = lambda _: None
        assert sum(bench.pipeline.sweep() for _ in range(2)) == 250
        assert len(bench.reply_ids()) == 500

    def test_thousands_leave_with_one_sweep(self, bench: Bench) -> None:
        """What a process left that had a long list in hand is out in seconds, not in as many sweeps as it has pages."""
        bench.publishing = _fail
        bench.send(*(placed(f"a-{number}") for number in range(950)))
        with pytest.raises(BrokerError):
            bench.step(950)
        bench.publishing = lambda _: None
        bench.now += 61
        assert bench.pipeline.sweep() == 950

    def test_a_replayed_event_waits_for_no_reply_that_nobody_takes(self, bench: Bench) -> None:
        """However many of those there are: its copy leaves with the next sweep."""
        Erp.script = {"dead": [PermanentError("no")]}
        bench.send(placed("dead"), *(placed(f"a-{number}") for number in range(350)))
        bench.unwanted = {"erp.booked"}
        bench.step(351)
        bench.queue.clear()
        bench.held.clear()
        bench.now += 61
        for _ in range(2):
            assert bench.pipeline.sweep() == 0
        decision = Decision(what="replay", who="ann", why="it is mended", at=bench.now)
        assert bench.ledger.reopen(placed("dead").key, decision) is not None
        bench.now += 61
        assert bench.pipeline.sweep() == 1
        assert [json.loads(message.body)["id"] for message in bench.queue] == ["dead"]

    def test_what_this_process_left_waits_for_no_reply_that_nobody_takes(self, bench: Bench) -> None:
        """Where it is the only one, all that it left goes out when it starts again."""
        bench.publishing = _fail
        for events in ([placed(f"b-{number}") for number in range(350)], [placed("mine")]):
            bench.now += 61
            bench.send(*events)
            with pytest.raises(BrokerError):
                bench.step(350)
            bench.queue.clear()
        bench.publishing = _refuse_old
        assert [bench.pipeline.sweep(), bench.pipeline.sweep(alone=True)] == [0, 1]
        assert bench.reply_ids() == {reply_id("erp", placed("mine").key, 0)}

    def test_left_behind_optional_replies_are_dropped(self, bench_of: BenchOf) -> None:
        """With optional replies the sweep drops one that no queue wants, once, as its own process would have done."""
        bench = bench_of(replies_required=False)
        bench.publishing = _fail
        bench.send(placed("a"))
        with pytest.raises(BrokerError):
            bench.step()
        bench.publishing = lambda _: None
        bench.unwanted = {"erp.booked"}
        bench.now += 61
        assert bench.pipeline.sweep() == 1
        assert bench.pipeline.sweep() == 0
        assert not bench.ledger.unsent(bench.now + 1, 10)


KINDS = st.sampled_from(
    ["fine", "transient", "bug", "refused", "doubt", "checked", "away", "garbage", "unknown", "conflict", "again"]
)


class TestAccounting:
    @hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(kinds=st.lists(KINDS, min_size=1, max_size=12), batch=st.integers(1, 5))
    def test_every_accepted_event_is_somewhere(self, bench: Bench, kinds: list[str], batch: int) -> None:
        """At any moment accepted = applied + dead + in doubt + waiting + queued; at the end nothing is on its way."""
        with bench.ledger.database.transaction() as rows:
            rows.run("DELETE FROM adaptor_ledger", [{}])
        distinct, ended = self._send(bench, kinds), 0
        while bench.queue or bench.held:
            if bench.queue:
                bench.step(batch)
            else:
                bench.wait(30)
            queued = {_id_of(message) for message in bench.queue}
            held = {_id_of(message) for _, message in bench.held}
            counts = bench.ledger.counts()
            ended = counts.get(State.APPLIED, 0) + counts.get(State.DEAD, 0) + counts.get(State.IN_DOUBT, 0)
            assert ended + counts.get(State.WAITING, 0) + counts.get(State.CLAIMED, 0) <= distinct
            assert ended + len(queued | held) >= distinct
        assert ended == distinct

    def _send(self, bench: Bench, kinds: Sequence[str]) -> int:
        """Send events of these kinds; how many different ones there are."""
        errors: dict[str, list[Exception]] = {
            "transient": [TransientError("x")],
            "bug": [RuntimeError("x")] * 9,
            "refused": [Refused("x")],
            "doubt": [InDoubt("x")],
            "checked": [InDoubt("x")],
            "away": [BackendUnavailable("x")] * 2,
        }
        distinct: set[str] = set()
        for number, kind in enumerate(kinds):
            name = str(number)
            Erp.script[name] = list(errors.get(kind, ()))
            Erp.answers[name] = Booked(order_id=name)
            if kind == "garbage":
                bench.send(Message(name.encode()))
            elif kind == "unknown":
                bench.send(Message(json.dumps({"specversion": "1.0", "id": name, "source": "/", "type": "x"}).encode()))
            elif kind == "conflict":
                bench.send(placed("first"), placed("first", quantity=number + 2))
                distinct.add("first")
            elif kind == "again":
                bench.send(placed(name), placed(name))
            else:
                bench.send(checked(name) if kind == "checked" else placed(name))
            distinct.add(name)
        return len(distinct)


def _id_of(message: Message) -> str:
    try:
        opened = json.loads(message.body)
        return f"{opened['id']} {opened['data']}"
    except (ValueError, KeyError, TypeError):
        return str(message.body)


def test_confirms_are_read_in_order(bench: Bench) -> None:
    """When one of several replies is refused, that event comes back and the others are done."""
    published: list[str] = []
    take = bench._take

    def refuse_second(message: Message) -> Confirm:
        published.append(str(message.type))
        return Confirm.RETURNED if len(published) == 2 else take(message)

    bench._take = refuse_second  # type: ignore[method-assign]
    bench.send(placed("a"), placed("b"), placed("c"))
    bench.step()
    (left,) = bench.ledger.unsent(bench.now + 1, 10)
    assert left.key.id == "b"
    bench.run()
    assert len(bench.reply_ids()) == 3
