"""What every ledger does, as tests: a subclass says how one is opened."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapter_sdk import Key
from adapter_sdk.ledger.base import ClaimLost, ClaimRequest, Decision, Entry, Record, Reply, State, Verdict
from adapter_sdk.ledger.rows import event_hash
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.ledger.table import Table
from adapter_sdk.transport.base import Message
from tests.owed_contract import OwedContract

DIGEST = "d" * 64
REPLY = Reply("r-1", "erp.booked", b'{"order_id": "o"}')
ORIGINAL = Message(b"\x00original", "shop.placed", "events", {"a": {"b": [1, b"\xff"]}}, message_id="e")
OPEN = (State.CLAIMED, State.STAGED, State.CALLING, State.WAITING, State.IN_DOUBT)
ENDS = (State.APPLIED, State.DEAD)


def key(id: str = "a") -> Key:
    """The identity of an event of the shop."""
    return Key("/shop", id)


def request(id: str = "a", digest: str = DIGEST, attempts: int = 0) -> ClaimRequest:
    """A delivery of that event."""
    return ClaimRequest(
        key=key(id), digest=digest, type="shop.placed", subject="s", correlation_id="c", attempts=attempts
    )


def dead_letter(id: str = "unreadable", **more: Any) -> Entry:
    """A message without a row of its own."""
    return Entry(key=Key("", id), state=State.DEAD, digest=DIGEST, message=ORIGINAL, reason="malformed event", **more)


Opener = Callable[[], SqlLedger]


def decided(what: str, at: float) -> Decision:
    """A decision of somebody."""
    return Decision(what=what, who="ada", why="the ERP was down", at=at)


class LedgerContract(OwedContract):
    """Needs a fixture `opened`: each call opens one more connection to one and the same empty ledger."""

    @pytest.fixture
    def ledger(self, opened: Opener) -> SqlLedger:
        return opened()

    def claimed(self, ledger: SqlLedger, id: str = "a", attempts: int = 0) -> Entry:
        """The entry of a granted claim."""
        ((verdict, entry),) = ledger.claim([request(id, attempts=attempts)], 1.0)
        assert verdict is Verdict.GRANTED
        return entry

    def recorded(self, ledger: SqlLedger, state: State, id: str = "a", at: float = 2.0, **more: Any) -> Entry:
        """The entry of an event that was claimed and has come to `state`."""
        entry = self.claimed(ledger, id)
        assert ledger.record([Record(key=key(id), token=entry.token, state=state, **more)], at) == [True]
        found = ledger.get(key(id))
        assert found is not None
        return found

    # --- claims ---

    def test_a_fresh_event_is_granted(self, ledger: SqlLedger) -> None:
        """The first delivery of an event is granted, counts as attempt 1, and is in the ledger with its facts."""
        entry = self.claimed(ledger)
        assert (entry.state, entry.attempts, entry.evidence, entry.replies) == (State.CLAIMED, 1, None, ())
        assert ledger.get(key()) == entry
        assert (entry.type, entry.subject, entry.correlation_id, entry.digest) == ("shop.placed", "s", "c", DIGEST)
        assert (entry.received_at, entry.updated_at) == (1.0, 1.0)

    def test_an_unknown_event_is_not_there(self, ledger: SqlLedger) -> None:
        """What was never claimed is not found."""
        assert ledger.get(key("nowhere")) is None

    def test_a_claim_without_an_end_is_taken_over(self, ledger: SqlLedger) -> None:
        """A claim whose owner is gone is granted again with a new token, and counted."""
        first = self.claimed(ledger)
        second = self.claimed(ledger)
        assert second.attempts == 2
        assert second.token != first.token

    @pytest.mark.parametrize("state", ENDS)
    def test_an_ended_event_is_a_duplicate(self, ledger: SqlLedger, state: State) -> None:
        """An event at its end is not worked on again; the claim shows its stored replies."""
        ended = self.recorded(ledger, state, replies=(REPLY,), unsent=True)
        assert ledger.claim([request()], 3.0) == [(Verdict.DUPLICATE, ended)]
        assert ended.replies == (REPLY,)
        assert ended.unsent

    def test_a_doubt_that_a_person_has_to_settle_is_a_duplicate(self, ledger: SqlLedger) -> None:
        """In doubt without a due time is an end; with one the event is granted again, and shows its doubt."""
        self.recorded(ledger, State.IN_DOUBT, "person")
        self.recorded(ledger, State.IN_DOUBT, "verify", due_at=9.0)
        assert ledger.claim([request("person")], 3.0)[0][0] is Verdict.DUPLICATE
        ((verdict, entry),) = ledger.claim([request("verify", attempts=1)], 3.0)
        assert (verdict, entry.state) == (Verdict.GRANTED, State.IN_DOUBT)
        found = ledger.get(key("verify"))
        assert found is not None
        assert (found.state, found.due_at) == (State.CALLING, None)

    def test_same_identity_other_data_is_a_conflict(self, ledger: SqlLedger) -> None:
        """The same source and id with another digest is a conflict, in whatever state the first one is."""
        for number, state in enumerate((*OPEN, *ENDS)):
            before = self.recorded(ledger, state, str(number))
            assert ledger.claim([request(str(number), digest="x" * 64)], 3.0) == [(Verdict.CONFLICT, before)]
            assert ledger.get(key(str(number))) == before

    @pytest.mark.parametrize("state", [State.WAITING, State.IN_DOUBT])
    def test_an_original_behind_its_copy_is_stale(self, ledger: SqlLedger, state: State) -> None:
        """An original that comes back after its copy was confirmed is stale; the copy is granted."""
        entry = self.recorded(ledger, state, unsent=True, due_at=9.0)
        ledger.sent([(key(), entry.token)])
        assert ledger.claim([request()], 3.0)[0][0] is Verdict.STALE
        copy = self.claimed(ledger, attempts=1)
        assert copy.attempts == 2

    def test_an_original_whose_copy_is_not_confirmed_is_granted(self, ledger: SqlLedger) -> None:
        """While the copy is unconfirmed the original may be the only one there is, and is worked on."""
        self.recorded(ledger, State.WAITING, unsent=True, due_at=9.0)
        entry = self.claimed(ledger)
        assert (entry.state, entry.attempts) == (State.WAITING, 2)
        found = ledger.get(key())
        assert found is not None
        assert (found.state, found.unsent, found.due_at) == (State.CLAIMED, False, None)

    def test_a_batch_of_all_kinds(self, ledger: SqlLedger) -> None:
        """One call answers fresh, taken-over, ended and conflicting events, each in its place."""
        self.recorded(ledger, State.APPLIED, "done")
        self.claimed(ledger, "left")
        answers = ledger.claim([request("done"), request("new"), request("left"), request("done2"), request("x")], 3.0)
        assert [verdict for verdict, _ in answers] == ["duplicate", "granted", "granted", "granted", "granted"]
        assert [entry.attempts for _, entry in answers] == [1, 1, 2, 1, 1]
        assert [entry.key.id for _, entry in answers] == ["done", "new", "left", "done2", "x"]

    def test_keys_that_look_alike(self, ledger: SqlLedger) -> None:
        """Source and id are kept apart, and long or odd ids are ids like any other."""
        keys = [Key("/shop", "a"), Key("/shop\na", ""), Key("/sho", "pa"), Key("/s", "ü" * 2048), Key("/s", "ü" * 2047)]
        assert len({event_hash(one) for one in keys}) == len(keys)
        requests = [ClaimRequest(key=one, digest=DIGEST, type="t") for one in keys if one.id]
        assert [verdict for verdict, _ in ledger.claim(requests, 1.0)] == ["granted"] * 4
        assert ledger.get(Key("/s", "ü" * 2048)) is not None

    # --- records ---

    def test_the_end_of_an_attempt(self, ledger: SqlLedger) -> None:
        """A record keeps state, reason, error, due time and the original message byte for byte."""
        entry = self.recorded(
            ledger, State.WAITING, unsent=True, reason="runtime error", error="boom", message=ORIGINAL, due_at=9.0
        )
        assert (entry.state, entry.reason, entry.error) == (State.WAITING, "runtime error", "boom")
        assert (entry.due_at, entry.updated_at, entry.attempts, entry.unsent) == (9.0, 2.0, 1, True)
        assert entry.message == ORIGINAL

    def test_an_end_is_recorded_once(self, ledger: SqlLedger) -> None:
        """A second record of the same claim is not taken, though it says the same: its effect would be a second one."""
        entry = self.recorded(ledger, State.APPLIED)
        assert ledger.record([Record(key=key(), token=entry.token, state=State.APPLIED)], 3.0) == [False]

    def test_the_first_original_stays_until_it_is_applied(self, ledger: SqlLedger) -> None:
        """Later copies do not replace the original; an applied event needs it no longer."""
        self.recorded(ledger, State.WAITING, message=ORIGINAL, unsent=True)
        again = self.claimed(ledger)
        ledger.record(
            [Record(key=key(), token=again.token, state=State.WAITING, message=Message(b"copy"), unsent=True)], 3
        )
        found = ledger.get(key())
        assert found is not None
        assert found.message == ORIGINAL
        last = self.claimed(ledger)
        ledger.record([Record(key=key(), token=last.token, state=State.APPLIED, message=Message(b"copy"))], 4)
        found = ledger.get(key())
        assert found is not None
        assert (found.message, found.reason, found.error) == (None, None, None)

    def test_an_attempt_that_does_not_count(self, ledger: SqlLedger) -> None:
        """A record may take its attempt back, as an outage costs none."""
        entry = self.claimed(ledger)
        ledger.record([Record(key=key(), token=entry.token, state=State.CLAIMED, attempts=0)], 2.0)
        assert self.claimed(ledger).attempts == 1

    def test_text_that_databases_cannot_hold(self, ledger: SqlLedger) -> None:
        """An error with a NUL or half a surrogate, or of any length, is kept as far as text goes."""
        entry = self.recorded(ledger, State.DEAD, reason="r" * 300, error="a\x00b\udcff" + "c" * 100_000)
        assert entry.reason == "r" * 255
        assert str(entry.error).startswith("a\ufffdb\\udcffccc")

    def test_an_old_token_changes_nothing(self, ledger: SqlLedger) -> None:
        """Who has lost the claim cannot record, nor note; the new owner's row stays as it is."""
        old = self.claimed(ledger)
        new = self.claimed(ledger)
        assert ledger.record([Record(key=key(), token=old.token, state=State.APPLIED)], 3.0) == [False]
        with pytest.raises(ClaimLost, match="/shop a"), ledger.transaction() as transaction:
            transaction.note(key(), old.token, State.CALLING, {})
        assert ledger.get(key()) == new

    def test_one_lost_claim_in_a_batch(self, ledger: SqlLedger) -> None:
        """Of several records only the one whose claim was lost is refused."""
        entries = [self.claimed(ledger, letter) for letter in "abc"]
        self.claimed(ledger, "b")
        records = [Record(key=entry.key, token=entry.token, state=State.APPLIED) for entry in entries]
        assert ledger.record(records, 3.0) == [True, False, True]
        assert ledger.counts() == {State.APPLIED: 2, State.CLAIMED: 1}

    def test_the_ends_of_many_attempts(self, ledger: SqlLedger) -> None:
        """What is written for many events at once is for each what was given, byte for byte."""
        count = 45
        claims = [entry for _, entry in ledger.claim([request(str(number)) for number in range(count)], 1.0)]
        replies = (Reply("r", "erp.booked", 'ö "\\" \n'.encode()), Reply("s", "erp.booked", b"\\x00"))
        one, two, three, four = claims[:4]
        records = [
            Record(key=one.key, token=one.token, state=State.APPLIED, replies=replies, unsent=True),
            Record(key=two.key, token=two.token, state=State.DEAD, reason="r", error='\\ " \x00', message=ORIGINAL),
            Record(key=three.key, token=three.token, state=State.WAITING, due_at=7.25, attempts=3, unsent=True),
            Record(key=four.key, token="another", state=State.APPLIED),
            *(Record(key=entry.key, token=entry.token, state=State.APPLIED) for entry in claims[4:]),
        ]
        assert ledger.record(records, 2.5) == [True, True, True, False] + [True] * (count - 4)
        applied, dead, waiting, claimed, *others = [ledger.get(entry.key) for entry in claims]
        assert applied == replace(one, state=State.APPLIED, owner=0, unsent=True, replies=replies, updated_at=2.5)
        assert dead is not None
        assert (dead.state, dead.message, dead.reason, dead.error) == (State.DEAD, ORIGINAL, "r", '\\ " \ufffd')
        assert waiting is not None
        assert (waiting.state, waiting.unsent, waiting.attempts, waiting.due_at) == (State.WAITING, True, 3, 7.25)
        assert claimed == four
        assert others == [replace(entry, state=State.APPLIED, owner=0, updated_at=2.5) for entry in claims[4:]]

    def test_new_events_among_known_ones(self, ledger: SqlLedger) -> None:
        """Of many deliveries at once those of new events are granted, and those that have ended are duplicates."""
        self.recorded(ledger, State.APPLIED, "7")
        verdicts = [verdict for verdict, _ in ledger.claim([request(str(number)) for number in range(45)], 3.0)]
        assert verdicts == [Verdict.DUPLICATE if number == 7 else Verdict.GRANTED for number in range(45)]
        assert ledger.counts() == {State.APPLIED: 1, State.CLAIMED: 44}

    def test_an_end_stays_an_end(self, ledger: SqlLedger) -> None:
        """A late record of the same claim, as after a COMMIT whose answer was lost, does not undo an end."""
        for number, state in enumerate(ENDS):
            ended = self.recorded(ledger, state, str(number))
            late = Record(key=key(str(number)), token=ended.token, state=State.CLAIMED, attempts=0)
            assert ledger.record([late], 3.0) == [False]
            assert ledger.get(key(str(number))) == ended

    def test_nothing_to_record(self, ledger: SqlLedger) -> None:
        """Empty lists are done at once."""
        assert ledger.record([], 1.0) == []
        ledger.sent([])

    # --- notes and numbers ---

    def test_notes_come_back_with_the_next_claim(self, ledger: SqlLedger) -> None:
        """Evidence and replies that were noted are what the next owner finds."""
        entry = self.claimed(ledger)
        with ledger.transaction() as transaction:
            transaction.note(key(), entry.token, State.STAGED, {"final": "A.DAT", "sha": b"\x00"}, (REPLY,))
        again = self.claimed(ledger)
        assert (again.state, again.evidence, again.replies) == (
            State.STAGED,
            {"final": "A.DAT", "sha": b"\x00"},
            (REPLY,),
        )

    def test_noted_replies_outlive_a_failed_attempt(self, ledger: SqlLedger) -> None:
        """Replies noted with a prepared effect are still there after an attempt that failed to finish it."""
        entry = self.claimed(ledger)
        with ledger.transaction() as transaction:
            transaction.note(key(), entry.token, State.STAGED, {"final": "A.DAT"}, (REPLY,))
        ledger.record([Record(key=key(), token=entry.token, state=State.WAITING, unsent=True)], 2.0)
        again = self.claimed(ledger)
        assert (again.evidence, again.replies) == ({"final": "A.DAT"}, (REPLY,))

    def test_numbers_have_no_gap(self, ledger: SqlLedger) -> None:
        """A number taken in a transaction that fails is taken again; each sequence counts for itself from 1."""
        with ledger.transaction() as transaction:
            assert [transaction.next_number("file") for _ in range(2)] == [1, 2]
        taken = []

        def take_and_fail() -> None:
            with ledger.transaction() as transaction:
                taken.append(transaction.next_number("file"))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            take_and_fail()
        assert taken == [3]
        with ledger.transaction() as transaction:
            assert transaction.next_number("file") == 3
            assert transaction.next_number("other") == 1

    def test_a_lost_claim_takes_no_number(self, ledger: SqlLedger) -> None:
        """A number and a note are one commit: when the note is refused, the number is free again."""
        old = self.claimed(ledger)
        self.claimed(ledger)

        def take_and_note() -> None:
            with ledger.transaction() as transaction:
                transaction.next_number("file")
                transaction.note(key(), old.token, State.STAGED, {})

        with pytest.raises(ClaimLost):
            take_and_note()
        with ledger.transaction() as transaction:
            assert transaction.next_number("file") == 1

    # --- unsent messages ---

    def test_unsent_messages_are_listed_until_they_are_sent(self, ledger: SqlLedger) -> None:
        """Entries with unconfirmed messages are listed, oldest first, up to the limit, once nobody touches them."""
        for number in range(3):
            self.recorded(ledger, State.APPLIED, str(number), 2.0 + number / 4, replies=(REPLY,), unsent=True)
        assert [entry.key.id for entry in ledger.unsent(5.0, limit=2)] == ["0", "1"]
        assert ledger.unsent(2.0, limit=9) == []
        tokens = {entry.key.id: entry.token for entry in ledger.unsent(5.0, limit=9)}
        ledger.sent([(key("0"), tokens["0"]), (key("2"), tokens["2"]), (key("nowhere"), tokens["1"])])
        assert [entry.key.id for entry in ledger.unsent(5.0, limit=9)] == ["1"]

    def test_a_late_confirm_says_nothing_of_a_newer_claim(self, ledger: SqlLedger) -> None:
        """What an earlier claim had confirmed does not mark the messages of the claim after it as sent."""
        first = self.recorded(ledger, State.WAITING, unsent=True, due_at=9.0)
        second = self.recorded(ledger, State.WAITING, unsent=True, due_at=9.0)
        ledger.sent([(key(), first.token)])
        assert [entry.token for entry in ledger.unsent(99.0, limit=9)] == [second.token]

    def test_nothing_is_asked_for_and_nothing_is_told(self, ledger: SqlLedger) -> None:
        """A list without an entry is answered by one without, and changes nothing."""
        assert ledger.claim([], 1.0) == []
        assert ledger.record([], 1.0) == []
        ledger.sent([])
        ledger.announced([])

    # --- dead letters ---

    def test_a_message_set_aside_twice_is_kept_once(self, ledger: SqlLedger) -> None:
        """The same message again changes nothing."""
        ledger.set_aside(dead_letter(received_at=1.0))
        ledger.set_aside(dead_letter(received_at=2.0))
        (entry,) = ledger.find([State.DEAD])
        assert (entry.message, entry.received_at) == (ORIGINAL, 1.0)

    def test_a_dead_letter_is_put_back_to_work(self, ledger: SqlLedger) -> None:
        """Reopened, it waits with no attempts and an unsent message; whatever is not dead cannot be reopened."""
        self.recorded(ledger, State.DEAD, message=ORIGINAL)
        entry = ledger.reopen(key(), decided("replay", 5.0))
        assert entry is not None
        assert (entry.state, entry.attempts, entry.unsent, entry.message) == (State.WAITING, 0, True, ORIGINAL)
        assert ledger.reopen(key(), decided("replay", 6.0)) is None
        assert ledger.reopen(key("nowhere"), decided("replay", 6.0)) is None
        assert self.claimed(ledger).attempts == 1

    def test_a_message_that_is_still_unreadable_is_dead_again(self, ledger: SqlLedger) -> None:
        """Put back to work and set aside once more, it is one dead letter as before, with the new reason."""
        ledger.set_aside(dead_letter())
        ledger.reopen(Key("", "unreadable"), decided("replay", 5.0))
        ledger.set_aside(dead_letter(error="still"))
        (entry,) = ledger.find([State.DEAD])
        assert (entry.error, entry.unsent) == ("still", False)

    def test_a_dead_letter_is_closed(self, ledger: SqlLedger) -> None:
        """Discarded, it is at its end and keeps who decided that and why; whatever is not dead cannot be discarded."""
        self.recorded(ledger, State.DEAD, error="boom")
        assert ledger.discard(key(), decided("discard", 5.0))
        assert not ledger.discard(key(), decided("discard", 6.0))
        entry = ledger.get(key())
        assert entry is not None
        assert entry.state is State.DISCARDED
        assert (entry.error, entry.decisions) == ("boom", (decided("discard", 5.0),))
        assert ledger.claim([request()], 7.0)[0][0] is Verdict.DUPLICATE

    def test_a_doubt_is_settled_as_applied(self, ledger: SqlLedger) -> None:
        """Settled as applied, the event is at its end, its replies are unsent, and the decision is kept."""
        self.recorded(ledger, State.IN_DOUBT, message=ORIGINAL)
        reply = Reply("r1", "com.erp.order.booked", b"{}")
        entry = ledger.settle_applied(key(), decided("applied", 5.0), (reply,))
        assert entry is not None
        assert (entry.state, entry.replies, entry.unsent) == (State.APPLIED, (reply,), True)
        assert ledger.settle_applied(key(), decided("applied", 6.0), ()) is None
        assert ledger.claim([request()], 7.0)[0][0] is Verdict.DUPLICATE

    def test_a_doubt_is_settled_as_not_applied(self, ledger: SqlLedger) -> None:
        """Settled as not applied, the event has all attempts anew, with the evidence that is left."""
        self.recorded(ledger, State.IN_DOUBT, message=ORIGINAL)
        entry = ledger.settle_not_applied(key(), decided("not applied", 5.0), {"calls": []})
        assert entry is not None
        assert (entry.state, entry.attempts, entry.unsent) == (State.WAITING, 0, True)
        claimed = self.claimed(ledger)
        assert (claimed.attempts, claimed.evidence) == (1, {"calls": []})

    def test_listing_and_counting(self, ledger: SqlLedger) -> None:
        """Entries are found by state, the longest untouched first, up to the limit, and counted."""
        self.recorded(ledger, State.DEAD, "b")
        self.claimed(ledger, "c")
        self.recorded(ledger, State.APPLIED, "a")
        assert [entry.key.id for entry in ledger.find([State.DEAD, State.CLAIMED])] == ["c", "b"]
        assert len(ledger.find([State.DEAD, State.CLAIMED, State.APPLIED], limit=2)) == 2
        assert ledger.counts() == {State.DEAD: 1, State.CLAIMED: 1, State.APPLIED: 1}

    # --- processes ---

    def test_an_unclean_end_is_known_at_the_next_start(self, ledger: SqlLedger) -> None:
        """Whoever starts after a process that did not end in good order is told so, until one has."""
        assert [ledger.started(), ledger.started(), ledger.started()] == [False, True, True]
        ledger.stopped()
        assert not ledger.started()
        ledger.stopped()
        ledger.stopped()
        assert not ledger.started()
        assert not SqlLedger(ledger.database, "crm").started()

    # --- forgetting ---

    def test_ended_events_are_forgotten_by_age(self, ledger: SqlLedger) -> None:
        """What was applied or discarded before a time is purged; what is younger, or not at its end, stays."""
        for state in State:
            for age in ("old", "young"):
                entry = self.claimed(ledger, f"{state} {age}")
                ledger.record([Record(key=entry.key, token=entry.token, state=state)], 5.0 if age == "old" else 10.0)
        assert ledger.purge(9.0, limit=100) == 2
        assert ledger.get(key("applied old")) is None
        assert ledger.get(key("discarded old")) is None
        assert sum(ledger.counts().values()) == 2 * len(State) - 2
        assert ledger.purge(9.0, limit=100) == 0

    def test_unsent_replies_are_not_forgotten(self, ledger: SqlLedger) -> None:
        """An applied event whose replies are unconfirmed stays, however old."""
        self.recorded(ledger, State.APPLIED, unsent=True, replies=(REPLY,))
        assert ledger.purge(1e12, limit=100) == 0

    def test_forgetting_in_steps(self, ledger: SqlLedger) -> None:
        """One step forgets at most as many as it may, the oldest first, and none of another adaptor's."""
        for number in range(5):
            entry = self.claimed(ledger, str(number))
            ledger.record([Record(key=entry.key, token=entry.token, state=State.APPLIED)], 5.0 - number)
        self.recorded(SqlLedger(ledger.database, "crm"), State.APPLIED)
        assert ledger.purge(9.0, limit=2) == 2
        assert sorted(entry.key.id for entry in ledger.find([State.APPLIED])) == ["0", "1", "2"]
        assert [ledger.purge(9.0, limit=2) for _ in range(3)] == [2, 1, 0]
        assert SqlLedger(ledger.database, "crm").counts() == {State.APPLIED: 1}

    def test_a_forgotten_event_is_new(self, ledger: SqlLedger) -> None:
        """After its row is gone an event is granted as if it had never been."""
        self.recorded(ledger, State.APPLIED)
        ledger.purge(9.0, limit=9)
        assert self.claimed(ledger).attempts == 1

    # --- two of them ---

    def test_another_adaptor_s_rows_are_not_ours(self, ledger: SqlLedger) -> None:
        """Two adaptors that share a database do not see each other's events or numbers."""
        other = SqlLedger(ledger.database, "crm")
        self.recorded(ledger, State.DEAD)
        assert other.counts() == {}
        assert other.get(key()) is None
        assert self.claimed(other).attempts == 1
        with ledger.transaction() as mine:
            assert mine.next_number("file") == 1
        with other.transaction() as theirs:
            assert theirs.next_number("file") == 1

    def test_two_connections_at_once(self, opened: Opener) -> None:
        """What one connection does, as the command line beside the running adaptor, the other sees at once."""
        running, command = opened(), opened()
        self.recorded(running, State.DEAD, message=ORIGINAL)
        assert [entry.key.id for entry in command.find([State.DEAD])] == ["a"]
        assert command.reopen(key(), decided("replay", 5.0)) is not None
        assert self.claimed(running).attempts == 1
        assert not command.discard(key(), decided("discard", 6.0))

    def test_an_event_that_ends_between_the_look_and_the_take_over(
        self, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A claim is a duplicate when its owner records the end just as it is to be taken over."""
        entry = self.claimed(ledger)
        look = Table.get

        def look_and_be_overtaken(table: Table, wanted: Key) -> Entry | None:
            found = look(table, wanted)
            if found is not None and found.state is State.CLAIMED:
                end = Record(key=wanted, token=entry.token, state=State.APPLIED)
                assert ledger.record_in(table.rows, [end], 2.0) == [True]
            return found

        monkeypatch.setattr(Table, "get", look_and_be_overtaken)
        assert ledger.claim([request()], 3.0)[0][0] is Verdict.DUPLICATE

    # --- gathering ---

    def gathers(self, ledger: SqlLedger, *ids: str, now: float = 1.0) -> list[Verdict]:
        """The answers to deliveries of these events, which are to be gathered."""
        asking = [replace(request(each), order_key="k", gathered=True, message=ORIGINAL) for each in ids]
        return [verdict for verdict, _ in ledger.claim(asking, now)]

    def test_gathered_events_are_held_and_given_out_together(self, ledger: SqlLedger) -> None:
        """Each is held with its message, none waits for another, and all that arrived before a time are a group."""
        assert self.gathers(ledger, "a", "b") == [Verdict.HELD] * 2
        assert self.gathers(ledger, "c", now=2.0) == [Verdict.HELD]
        gathered = ledger.gathered(5.0)["shop.placed"]
        assert (gathered.count, gathered.oldest) == (3, 1.0)
        assert gathered.bytes >= 3 * len(ORIGINAL.body)
        assert [each.key.id for each in ledger.group("shop.placed", math.inf, 5.0, 10)] == ["a", "b", "c"]
        assert [each.key.id for each in ledger.group("shop.placed", 2.0, 5.0, 10)] == ["a", "b"]
        assert [each.key.id for each in ledger.group("shop.placed", math.inf, 5.0, 1)] == ["a"]
        assert ledger.group("shop.other", math.inf, 5.0, 10) == []

    def test_a_group_that_is_begun_is_in_no_other(self, ledger: SqlLedger) -> None:
        """Claimed for its effect an event is gathered no more, and a delivery that comes again changes nothing."""
        self.gathers(ledger, "a", "b")
        assert [verdict for verdict, _ in ledger.claim([request("a"), request("b")], 3.0)] == [Verdict.GRANTED] * 2
        assert self.gathers(ledger, "a") in ([Verdict.HELD], [Verdict.BUSY])
        assert ledger.gathered(5.0) == {}
        begun = ledger.begun_groups()
        assert [(each.key.id, each.state, each.attempts) for each in begun] == [
            ("a", State.CLAIMED, 1),
            ("b", State.CLAIMED, 1),
        ]

    @pytest.mark.parametrize(
        ("state", "due_at", "now", "there"),
        [
            (State.WAITING, 60.0, 59.0, False),
            (State.WAITING, 60.0, 60.0, True),
            (State.WAITING, 60.0, 2.0, True),  # before the change itself: the clock was put back
            (State.IN_DOUBT, 60.0, 60.0, False),  # by itself, when it has settled
            (State.IN_DOUBT, None, 60.0, False),
            (State.DEAD, None, 60.0, False),
            (State.APPLIED, None, 60.0, False),
        ],
    )
    def test_what_is_gathered_again(
        self, ledger: SqlLedger, state: State, due_at: float | None, now: float, there: bool
    ) -> None:
        """A retry is, when its time has come; what has ended or is for a person is not."""
        self.gathers(ledger, "a")
        ((_, entry),) = ledger.claim([request("a")], 3.0)
        end = Record(key=entry.key, token=entry.token, state=state, message=ORIGINAL, due_at=due_at)
        assert ledger.record([end], 3.0) == [True]
        assert ("shop.placed" in ledger.gathered(now)) is there
        assert bool(ledger.group("shop.placed", math.inf, now, 10)) is there

    @pytest.mark.parametrize(
        ("state", "due_at"), [(State.IN_DOUBT, 60.0), (State.IN_DOUBT, None), (State.WAITING, 60.0)]
    )
    def test_the_doubts_to_be_asked_about(self, ledger: SqlLedger, state: State, due_at: float | None) -> None:
        """Each doubt that has a time is among them, whatever the time is now; what is for a person is not."""
        self.gathers(ledger, "a")
        ((_, entry),) = ledger.claim([request("a")], 3.0)
        ledger.record([Record(key=entry.key, token=entry.token, state=state, message=ORIGINAL, due_at=due_at)], 3.0)
        asked = state is State.IN_DOUBT and due_at is not None
        assert [each.key.id for each in ledger.gathered_doubts()] == ["a"] * asked

    # --- order ---

    def ordered(
        self, ledger: SqlLedger, *ids: str, past_dead: bool = False, order_key: str = "k"
    ) -> list[tuple[Verdict, Entry]]:
        """The answers to claims of these events, one after the other."""
        asking = [replace(request(each), order_key=order_key, past_dead=past_dead, message=ORIGINAL) for each in ids]
        return [ledger.claim([each], 1.0)[0] for each in asking]

    def test_an_event_is_held_behind_an_earlier_one_of_its_order_key(self, ledger: SqlLedger) -> None:
        """Only the first of a key is granted; the others are held with their message and no attempt counted."""
        (first, entry), (second, held), (third, _) = self.ordered(ledger, "a", "b", "c")
        assert (first, second, third) == (Verdict.GRANTED, Verdict.HELD, Verdict.HELD)
        assert self.ordered(ledger, "d", order_key="other")[0][0] is Verdict.GRANTED
        kept = ledger.get(key("b"))
        assert kept is not None
        assert (kept.state, kept.attempts, kept.message, kept.place) == (State.HELD, 0, ORIGINAL, held.place)
        assert ledger.held() == 2
        assert entry.place is not None
        assert [each.key.id for each in ledger.held_behind(entry.place, 10)] == ["b", "c"]
        assert [ledger.held(behind=place) for place in (entry.place, held.place)] == [2, 1]

    @pytest.mark.parametrize(
        ("state", "past_dead", "granted"),
        [
            (State.APPLIED, False, True),
            (State.DEAD, False, False),
            (State.DEAD, True, True),
            (State.WAITING, True, False),
            (State.IN_DOUBT, True, False),
        ],
    )
    def test_what_holds_back(self, ledger: SqlLedger, state: State, past_dead: bool, granted: bool) -> None:
        """Behind what has ended nobody waits; behind a dead letter unless it may be passed; behind all else always."""
        ((_, first),) = self.ordered(ledger, "a")
        assert ledger.record([Record(key=first.key, token=first.token, state=state, message=ORIGINAL)], 2.0) == [True]
        ((verdict, entry),) = self.ordered(ledger, "b", past_dead=past_dead)
        assert verdict is (Verdict.GRANTED if granted else Verdict.HELD)
        assert entry.attempts == int(granted)

    def test_the_next_in_line(self, ledger: SqlLedger) -> None:
        """Each order key has one event that is next, if nobody has to decide about it first and its message is kept."""
        (_, first), _ = self.ordered(ledger, "a", "b")
        assert ledger.next_in_line(past_dead=False, limit=10) == []  # in hand; its delivery is the broker's
        waits = Record(key=first.key, token=first.token, state=State.WAITING, message=ORIGINAL, due_at=5.0)
        ledger.record([waits], 2.0)
        assert [(each.key.id, each.due_at) for each in ledger.next_in_line(past_dead=False, limit=10)] == [("a", 5.0)]
        ((_, again),) = self.ordered(ledger, "a")
        ledger.record([replace(waits, token=again.token, state=State.DEAD, due_at=None)], 3.0)
        assert ledger.next_in_line(past_dead=False, limit=10) == []
        assert [each.key.id for each in ledger.next_in_line(past_dead=True, limit=10)] == ["b"]

    def test_what_was_begun_is_next(self, ledger: SqlLedger) -> None:
        """Of several keys the one comes first whose event somebody has begun, then what has been due for longest."""
        for number, (name, state, due_at) in enumerate(
            [("a", State.WAITING, 9.0), ("b", State.WAITING, 8.0), ("c", State.CLAIMED, None)]
        ):
            ((_, entry),) = self.ordered(ledger, name, order_key=str(number))
            end = Record(key=entry.key, token=entry.token, state=state, message=ORIGINAL, due_at=due_at)
            assert ledger.record([end], 2.0) == [True]
        assert [each.key.id for each in ledger.next_in_line(past_dead=False, limit=10)] == ["c", "b", "a"]

    def test_who_is_not_to_wait(self, ledger: SqlLedger) -> None:
        """A claim without a message to keep is granted out of its turn, and holds back those behind its place."""
        self.ordered(ledger, "a")
        asked = replace(request("b"), order_key="k")
        ((verdict, entry),) = ledger.claim([asked], 1.0)
        assert verdict is Verdict.GRANTED
        assert ledger.record([Record(key=entry.key, token=entry.token, state=State.DEAD, message=ORIGINAL)], 2.0)
        assert [verdict for verdict, _ in self.ordered(ledger, "b", "c")] == [Verdict.DUPLICATE, Verdict.HELD]

    def test_a_held_event_whose_turn_has_come_is_granted(self, ledger: SqlLedger) -> None:
        """When those before it have ended it is granted as the first attempt, in the place that it had."""
        (_, first), (_, held), _ = self.ordered(ledger, "a", "b", "c")
        ledger.record([Record(key=first.key, token=first.token, state=State.APPLIED)], 2.0)
        (verdict, entry), (last, _) = self.ordered(ledger, "b", "c")
        assert (verdict, entry.attempts, entry.place) == (Verdict.GRANTED, 1, held.place)
        assert last is Verdict.HELD

    def test_a_doubt_is_never_held(self, ledger: SqlLedger) -> None:
        """An event that may have had its effect is settled, though one that came earlier is back to be tried again."""
        ((_, first),) = self.ordered(ledger, "a")
        ledger.record([Record(key=first.key, token=first.token, state=State.DEAD, message=ORIGINAL)], 2.0)
        ((_, second),) = self.ordered(ledger, "b", past_dead=True)
        with ledger.transaction() as transaction:
            transaction.note(second.key, second.token, State.CALLING, {})
        assert ledger.reopen(first.key, decided("replay", 3.0)) is not None
        ((verdict, entry),) = self.ordered(ledger, "b", past_dead=True)
        assert (verdict, entry.state) == (Verdict.GRANTED, State.CALLING)

    def test_an_event_from_before_the_order_gets_a_place(self, ledger: SqlLedger) -> None:
        """Events that were in hand when the adaptor had no order hold back later ones of their key all the same."""
        self.claimed(ledger, "a")
        assert self.ordered(ledger, "a")[0][1].place is not None
        assert self.ordered(ledger, "b")[0][0] is Verdict.HELD
