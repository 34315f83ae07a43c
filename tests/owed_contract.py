"""What every ledger remembers of replies that are owed, as tests: a subclass says how a ledger is opened."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from adapter_sdk import Key
from adapter_sdk.ledger.base import ClaimRequest, Decision, Entry, Record, Reply, State
from adapter_sdk.ledger.owing import Owing
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.overdue import Overdue
from adapter_sdk.transport.base import Confirm, Message

GIVEN = Reply("00000000-0000-5000-8000-000000000001", "store.received", b"{}")
ANSWER = Key("/adaptors/erp/answers", "CONF0001.DAT#1")
DECISION = Decision(what="replay", who="ada", why="the event is there now", at=9.0)


def owed(number: int, key: str = "o-1", within: float | None = None) -> Reply:
    """A reply that waits for an answer."""
    extensions = {"correlationid": "c", "causationid": f"e-{number}"}
    return Reply(f"00000000-0000-5000-8000-1{number:011d}", "", b"", Owing(key, within, extensions))


def sealed(reply: Reply) -> Reply:
    """The same when its answer has come."""
    return Reply(reply.id, "store.picked", b'{"picked": 1}')


class OwedContract:
    """Needs a fixture `opened`: each call opens one more connection to one and the same empty ledger."""

    @pytest.fixture
    def store(self, opened: Callable[[], SqlLedger]) -> SqlLedger:
        """A ledger."""
        return opened()

    def applied(self, ledger: SqlLedger, *events: tuple[str, Sequence[Reply]], at: float = 2.0) -> list[Entry]:
        """Events of one batch that were applied with these replies."""
        asked = [
            ClaimRequest(key=Key("/shop", id_), digest="d" * 64, type="shop.placed", subject="s", correlation_id="c")
            for id_, _ in events
        ]
        entries = [entry for _, entry in ledger.claim(asked, 1.0)]
        ends = [
            Record(key=entry.key, token=entry.token, state=State.APPLIED, replies=tuple(replies))
            for entry, (_, replies) in zip(entries, events, strict=True)
        ]
        assert all(ledger.record(ends, at))
        return entries

    def test_what_is_owed_is_written_with_the_end_of_its_event(self, store: SqlLedger) -> None:
        """In the order of the batch, with its key and times, beside replies that are given at once."""
        self.applied(store, ("z", [GIVEN, owed(1, within=5.0)]), ("a", [owed(2, "o-2")]))
        first, second = store.owed(10)
        assert (first.event, first.event_type, first.subject) == (Key("/shop", "z"), "shop.placed", "s")
        assert (first.key, first.reply_id, first.correlation_id) == ("o-1", owed(1).id, "c")
        assert (first.since, first.due_at) == (2.0, 7.0)
        assert (second.event.id, second.key, second.due_at) == ("a", "o-2", None)
        assert store.answer_counts()[0] == 2
        entry = store.get(Key("/shop", "z"))
        assert entry is not None
        assert entry.replies == (GIVEN, owed(1, within=5.0))
        assert store.owed(1) == [first]

    def test_what_is_noted_in_the_middle_of_an_effect(self, store: SqlLedger) -> None:
        """A later attempt that finds the effect made owes what the first one noted."""
        asked = ClaimRequest(key=Key("/shop", "a"), digest="d" * 64, type="shop.placed")
        ((_, entry),) = store.claim([asked], 1.0)
        with store.transaction() as transaction:
            transaction.note(entry.key, entry.token, State.STAGED, {}, (GIVEN, owed(1, within=5.0)))
        assert store.answer_counts() == (0, 0)
        ((_, again),) = store.claim([asked], 2.0)
        assert again.replies == (GIVEN, owed(1, within=5.0))
        end = Record(key=again.key, token=again.token, state=State.APPLIED, replies=again.replies)
        assert store.record([end], 3.0) == [True]
        assert [reply.due_at for reply in store.owed(10)] == [8.0]

    def test_a_claim_that_was_lost_owes_nothing(self, store: SqlLedger) -> None:
        """What another worker has recorded is not owed a second time."""
        (entry,) = self.applied(store, ("a", [owed(1)]))
        end = Record(key=entry.key, token=entry.token, state=State.APPLIED, replies=(owed(2),))
        assert store.record([end], 3.0) == [False]
        assert store.answer_counts()[0] == 1

    def test_an_answer_completes_the_oldest(self, store: SqlLedger) -> None:
        """The reply takes the place of the owed one, unsent, under a new token; the next one is the next event's."""
        self.applied(store, ("z", [GIVEN, owed(1)]), ("a", [owed(2)]), ("b", [owed(3, "o-2")]))
        with store.answering() as table:
            found = table.oldest("shop.placed", "o-1")
            assert found is not None
            before, reply = found
            assert (before.key.id, reply) == ("z", owed(1))
            now = table.complete(before, sealed(reply), ANSWER)
        assert store.get(before.key) == now
        assert (now.replies, now.unsent, now.state) == ((GIVEN, sealed(reply)), True, State.APPLIED)
        store.sent([(before.key, before.token)])  # whoever still publishes what the handler gave
        assert [entry.key.id for entry in store.unsent(1e12, 10)] == ["z"]
        store.sent([(now.key, now.token)])
        assert not store.unsent(1e12, 10)
        with store.answering() as table:
            assert table.completed_by(ANSWER) == replace(now, unsent=False)
            following = table.oldest("shop.placed", "o-1")
            assert following is not None
            assert following[0].key.id == "a"
            assert table.oldest("shop.cancelled", "o-1") is None
            assert table.oldest("shop.placed", "o-9") is None
        assert [reply.event.id for reply in store.owed(10)] == ["a", "b"]

    def test_what_the_broker_refuses_to_announce_is_announced_later(self, store: SqlLedger) -> None:
        """A broker that takes no announcement at all is asked again with the next look, and nothing has failed."""
        self.applied(store, ("a", [owed(1, within=5.0)]))
        answers, heard = [Confirm.NACKED, Confirm.CONFIRMED], list[Message]()

        def publish(messages: Sequence[Message]) -> list[Confirm]:
            heard.extend(messages)
            return [answers.pop(0) for _ in messages]

        overdue = Overdue("erp", store, publish, "events", clock=lambda: 9.0)
        for _ in range(3):
            overdue.look()
        assert len(heard) == 2
        assert heard[0].body == heard[1].body

    def test_what_is_not_committed_has_not_happened(self, store: SqlLedger) -> None:
        """An error takes back the whole answer."""
        self.applied(store, ("a", [owed(1)]))

        def fail_in_the_middle() -> None:
            with store.answering() as table:
                found = table.oldest("shop.placed", "o-1")
                assert found is not None
                table.complete(found[0], sealed(found[1]), ANSWER)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_in_the_middle()
        assert store.answer_counts()[0] == 1
        with store.answering() as table:
            assert table.completed_by(ANSWER) is None

    def test_an_answer_that_was_set_aside(self, store: SqlLedger) -> None:
        """It is a dead letter like others; closing it keeps who decided, and what is none is left alone."""
        dead = Entry(key=ANSWER, state=State.DEAD, digest="d" * 64, message=Message(b"\x00"), reason="unmatched answer")
        with store.answering() as table:
            assert table.dead_letter(ANSWER) is None
            table.set_aside(dead)
        assert [entry.key for entry in store.find([State.DEAD])] == [ANSWER]
        for _ in range(2):
            with store.answering() as table:
                table.close(ANSWER, DECISION)
                table.close(Key("/shop", "nobody"), DECISION)
        closed = store.get(ANSWER)
        assert closed is not None
        assert (closed.state, closed.decisions) == (State.DISCARDED, (DECISION,))

    def test_an_answer_that_nobody_waits_for_any_more(self, store: SqlLedger) -> None:
        """What a person gives up is owed no longer, and keeps who decided; a second time there is nothing to do."""
        self.applied(store, ("a", [GIVEN, owed(1)]), ("b", [owed(2)]))
        (first, second) = store.owed(10)
        assert [store.give_up(first, DECISION), store.give_up(first, DECISION)] == [True, False]
        assert store.owed(10) == [second]
        entry = store.get(first.event)
        assert entry is not None
        assert (entry.state, entry.decisions, entry.unsent) == (State.APPLIED, (DECISION,), False)
        with store.answering() as table:
            found = table.oldest("shop.placed", "o-1")
            assert found is not None
            assert found[0].key.id == "b"

    def test_what_is_overdue_is_announced_once(self, store: SqlLedger) -> None:
        """Only what is due is found, until it was announced; owed it is all the same."""
        self.applied(store, ("a", [owed(1, within=5.0)]), ("b", [owed(2, within=50.0)]), ("c", [owed(3)]))
        (due,) = store.owed(10, due_before=8.0, unannounced=True)
        assert due.event.id == "a"
        store.announced([due.reply_id])
        assert not store.owed(10, due_before=8.0, unannounced=True)
        assert store.answer_counts()[0] == 3

    def test_an_event_that_is_owed_a_reply_is_not_forgotten(self, store: SqlLedger) -> None:
        """However old; when it was answered it is forgotten as others are, and so is what it was answered by."""
        self.applied(store, ("a", [owed(1)]), ("b", [GIVEN]))
        assert store.purge(1e12, 10) == 1
        assert store.answer_counts()[0] == 1
        with store.answering() as table:
            found = table.oldest("shop.placed", "o-1")
            assert found is not None
            now = table.complete(found[0], sealed(found[1]), ANSWER)
        assert store.purge(1e12, 10) == 0  # its reply is not out yet
        store.sent([(now.key, now.token)])
        assert store.purge(1e12, 10) == 1
        with store.answering() as table:
            assert table.completed_by(ANSWER) is None

    def test_a_doubt_that_is_settled_may_owe_a_reply(self, store: SqlLedger) -> None:
        """Where a person says that the effect happened, its answer may still be to come."""
        ((_, entry),) = store.claim([ClaimRequest(key=Key("/shop", "a"), digest="d" * 64, type="shop.placed")], 1.0)
        store.record([Record(key=entry.key, token=entry.token, state=State.IN_DOUBT)], 2.0)
        settled = store.settle_applied(entry.key, DECISION, (owed(1, within=1.0),))
        assert settled is not None
        assert not settled.unsent
        (reply,) = store.owed(10)
        assert (reply.event, reply.since, reply.due_at) == (entry.key, 9.0, 10.0)
