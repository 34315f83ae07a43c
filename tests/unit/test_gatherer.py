"""The gatherer: which events the ledger gives out together, and when. On a real ledger, with clocks moved by hand."""

from collections.abc import Iterator, Sequence
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk.errors import LedgerError
from adapter_sdk.events import Key
from adapter_sdk.gatherer import Gatherer
from adapter_sdk.gathering import Gathering
from adapter_sdk.ledger.base import ClaimRequest, Decision, Entry, Record, State, Verdict
from adapter_sdk.ledger.sqlite import sqlite_ledger
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.transport.base import Delivery, Message
from adapter_sdk.work import FromLedger
from adaptors.files import Batch
from tests.bench import no_logs
from tests.services.waiting import wait_until

MESSAGE = Message(b"{}", "stock.moved", "events")
START = 1_000_000.0 - 1_000_000.0 % 86_400  # midnight in UTC
DAY = 86_400.0


class Desk:
    """A ledger, a gatherer at it, and the groups that were worked on."""

    def __init__(self, ledger: SqlLedger) -> None:
        self.ledger = ledger
        self.now = START
        self.monotonic = 0.0
        self.groups: list[list[str]] = []
        self.end: State | None = State.APPLIED
        self.pressed = 0
        self.gatherer: Gatherer | None = None

    def open(
        self, gathering: Gathering, max_held: int = 100, most_attempts: int = 6, types: Sequence[str] = ("t", "u")
    ) -> None:
        """Take a seat, as a process does when it begins."""
        self.gatherer = Gatherer(
            "stock",
            self.ledger,
            gathering,
            dict.fromkeys(types, most_attempts),
            max_held=max_held,
            on_trouble=lambda _: None,
            on_pressure=self._press,
            clock=lambda: self.now,
            monotonic=lambda: self.monotonic,
        )

    def _press(self) -> None:
        self.pressed += 1

    def passes(self, seconds: float) -> None:
        """Time goes on, by both clocks."""
        self.now += seconds
        self.monotonic += seconds

    def arrive(self, *ids: str, type: str = "t") -> None:
        """Events come from the broker."""
        for name in ids:
            asked = ClaimRequest(
                key=Key("/s", name), digest="d" * 64, type=type, order_key=type, gathered=True, message=MESSAGE
            )
            ((verdict, _),) = self.ledger.claim([asked], self.now)
            assert verdict is Verdict.HELD

    def look(self) -> list[list[str]]:
        """The groups of one look, by the ids of their events."""
        before = len(self.groups)
        assert self.gatherer is not None
        self.gatherer.look(self.work_on)
        return self.groups[before:]

    def work_on(self, deliveries: list[Delivery]) -> bool:
        """What the pipeline does with a group: it claims all of it, and records its end if it comes to that."""
        keys = [delivery.receipt.key for delivery in deliveries if isinstance(delivery.receipt, FromLedger)]
        self.groups.append([key.id for key in keys])
        known = [entry for key in keys if (entry := self.ledger.get(key))]
        asked = [ClaimRequest(key=entry.key, digest=entry.digest, type=entry.type, attempts=0) for entry in known]
        entries = [entry for _, entry in self.ledger.claim(asked, self.now)]
        if self.end is not None:
            self.record(entries, self.end)
        return self.end is not None

    def record(self, entries: Sequence[Entry], state: State, due_in: float | None = None) -> None:
        """The attempt at these events ends so."""
        due_at = None if due_in is None else self.now + due_in
        ends = [Record(key=one.key, token=one.token, state=state, message=MESSAGE, due_at=due_at) for one in entries]
        assert all(self.ledger.record(ends, self.now))

    def states(self) -> dict[State, int]:
        """How many events stand where."""
        return self.ledger.counts()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with an empty ledger."""
    ledger = sqlite_ledger(tmp_path / "stock.ledger", "stock")
    ledger.open()
    desk = Desk(ledger)
    with no_logs():
        yield desk
    ledger.close()


def test_cut_by_count(desk: Desk) -> None:
    """As many events as one group takes go at once, in the order in which they arrived; the rest waits."""
    desk.open(Batch(count=3, after=900))
    desk.arrive("a", "b")
    assert desk.look() == []
    desk.arrive("c", "d", "e", "f", "g")
    assert desk.look() == [["a", "b", "c"], ["d", "e", "f"]]
    assert desk.states() == {State.APPLIED: 6, State.HELD: 1}


def test_cut_by_time(desk: Desk) -> None:
    """The age of the first event makes its group due, with all that came since; a restart does not make it younger."""
    desk.open(Batch(count=10, after=900))
    desk.arrive("a")
    desk.passes(800)
    desk.arrive("b")
    assert desk.look() == []
    desk.passes(99.9)
    desk.open(Batch(count=10, after=900))
    assert desk.look() == []
    desk.passes(0.1)
    assert desk.look() == [["a", "b"]]


def test_cut_by_bytes(desk: Desk) -> None:
    """The bytes of the messages make a group due."""
    desk.arrive("a")
    desk.open(Batch(count=10, after=900, bytes=2 * desk.ledger.gathered(desk.now)["t"].bytes))
    assert desk.look() == []
    desk.arrive("b", "c")
    assert desk.look() == [["a", "b", "c"]]


def test_cut_at_a_time_of_the_day(desk: Desk) -> None:
    """What arrived before the cut-off is one group, also if it was missed; what came after it waits for the next."""
    desk.open(Batch(count=10, at=time(18)))
    desk.now = START + 17 * 3600
    desk.arrive("a", "b")
    desk.now = START + 18 * 3600
    desk.arrive("c")
    desk.now = START + DAY + 17 * 3600  # the process was down over the cut-off
    desk.open(Batch(count=10, at=time(18)))
    assert desk.look() == [["a", "b"]]
    assert desk.look() == []
    desk.now = START + DAY + 18 * 3600
    assert desk.look() == [["c"]]


class TestEmpty:
    """A cut-off before which nothing arrived, where an empty file is wanted."""

    BATCH = Batch(count=10, at=time(18), empty="file")

    def opened(self, desk: Desk, hours: float) -> list[list[str]]:
        """What a process that begins so many hours after the first midnight gives out."""
        desk.now = START + hours * 3600
        desk.open(self.BATCH, types=("t",))
        return desk.look()

    def test_it_is_there_once(self, desk: Desk) -> None:
        """One for each cut-off, after restarts and clocks that were put back, too."""
        desk.now = START + 17 * 3600
        desk.arrive("a")
        assert self.opened(desk, 18) == [["a"]]
        ((first,),) = self.opened(desk, 42)
        assert first.startswith("cut-off 1970-01-13T18:00:00Z")
        assert desk.look() == []
        assert self.opened(desk, 65.9) == []
        assert self.opened(desk, 18.5) == []
        ((second,),) = self.opened(desk, 66)
        assert second.startswith("cut-off 1970-01-14T18:00:00Z")
        assert desk.states() == {State.APPLIED: 3}

    def test_nothing_of_it_where_something_arrived(self, desk: Desk) -> None:
        """A file that was cut at the cut-off is the file of that cut-off, also for the next process."""
        desk.now = START + 17 * 3600
        desk.arrive("a")
        assert self.opened(desk, 17.5) == []
        assert self.opened(desk, 18) == [["a"]]
        assert desk.look() == []
        assert self.opened(desk, 30) == []

    @pytest.mark.parametrize(("end", "empty"), [(State.APPLIED, False), (State.DEAD, True)])
    def test_nothing_of_it_while_something_is_left(self, desk: Desk, end: State, empty: bool) -> None:
        """Events whose group failed may yet be in the file of the cut-off: an empty one is made if they end without."""
        desk.now = START + 17 * 3600
        desk.arrive("a")
        desk.end = None
        assert self.opened(desk, 18) == [["a"]]
        entry = desk.ledger.get(Key("/s", "a"))
        assert entry is not None
        desk.record([entry], State.WAITING, due_in=60)
        desk.end = end
        assert desk.look() == []
        desk.passes(60)
        first, *others = desk.look()
        assert first == ["a"]
        assert [group[0].startswith("cut-off") for group in others] == [True] * empty
        assert desk.look() == []

    def test_a_doubt_holds_back_no_later_one(self, desk: Desk) -> None:
        """What waits for a person may be the file of its own cut-off, and is not that of the next."""
        desk.now = START + 17 * 3600
        desk.arrive("a")
        desk.end = State.IN_DOUBT
        assert self.opened(desk, 18) == [["a"]]
        assert self.opened(desk, 19) == []
        desk.end = State.APPLIED
        ((later,),) = self.opened(desk, 42)
        assert later.startswith("cut-off 1970-01-13T18:00:00Z")

    def test_nothing_of_it_in_the_beginning(self, desk: Desk) -> None:
        """A new adaptor, that has not had any event, owes nothing for the cut-offs before it."""
        assert self.opened(desk, 20) == []
        desk.arrive("a")
        assert self.opened(desk, 41) == []

    def test_it_comes_again_like_any_other(self, desk: Desk) -> None:
        """Begun by a process that died, it is begun again, and is no second one."""
        desk.now = START
        desk.arrive("a")
        desk.end = None
        ((_,),) = self.opened(desk, 18)
        desk.end = State.APPLIED
        assert self.opened(desk, 19) == [["a"]]
        desk.end = None
        ((begun,),) = self.opened(desk, 42)
        desk.end = State.APPLIED
        assert self.opened(desk, 43) == [[begun]]
        assert self.opened(desk, 44) == []


def test_a_clock_that_jumps_loses_and_doubles_nothing(desk: Desk) -> None:
    """Put back, the clock keeps no group waiting longer than its time; put forward, a group goes early, and once."""
    desk.open(Batch(count=10, after=900, at=time(18)))
    desk.arrive("a")
    assert desk.look() == []
    desk.now -= DAY / 2
    desk.monotonic += 899
    assert desk.look() == []
    desk.monotonic += 1
    assert desk.look() == [["a"]]
    desk.arrive("b")
    desk.now += 3 * DAY
    assert desk.look() == [["b"]]
    desk.now -= 3 * DAY
    assert desk.look() == []
    assert desk.states() == {State.APPLIED: 2}


def test_a_clock_that_was_a_year_ahead(desk: Desk) -> None:
    """What arrived while the clock was far ahead does not wait a year for its cut-off: it is due when that is seen."""
    desk.open(Batch(count=10, at=time(18)))
    desk.now += 365 * DAY
    desk.arrive("a")
    assert desk.look() == []
    desk.now -= 365 * DAY
    assert desk.look() == [["a"]]


def test_types_do_not_mix(desk: Desk) -> None:
    """Each handler has groups of its own; what no handler takes any more is given out, to become dead letters."""
    desk.open(Batch(count=2, after=900))
    desk.arrive("a")
    desk.arrive("b", type="u")
    assert desk.look() == []
    desk.arrive("c", type="u")
    desk.arrive("d", type="gone")
    assert sorted(desk.look()) == [["b", "c"], ["d"]]


def test_a_retry_goes_with_the_next_group(desk: Desk) -> None:
    """An event that waits for another attempt is in no group before its time, even if the clock is put back after."""
    desk.open(Batch(count=2, after=900))
    desk.end = None
    desk.arrive("a", "b")
    desk.look()
    desk.end = State.APPLIED
    desk.record([entry for name in "ab" if (entry := desk.ledger.get(Key("/s", name)))], State.WAITING, due_in=60)
    assert desk.look() == []
    desk.now += 59
    assert desk.look() == []
    desk.now -= DAY
    assert desk.look() == [["a", "b"]]


def test_doubts_about_one_file_are_asked_together(desk: Desk) -> None:
    """Whose effect was noted together is given out together, whatever a group takes now, when the last has settled."""
    desk.open(Batch(count=3, after=10 * DAY))
    desk.end = None
    desk.arrive("a", "b", "c", "d", "e")
    entries = {name: entry for name in "abcde" if (entry := desk.ledger.get(Key("/s", name)))}
    asked = [ClaimRequest(key=one.key, digest=one.digest, type=one.type) for one in entries.values()]
    entries = {entry.key.id: entry for _, entry in desk.ledger.claim(asked, desk.now)}
    with desk.ledger.transaction() as transaction:
        for name, entry in entries.items():
            transaction.note(entry.key, entry.token, State.STAGED, {"file": "one" if name in "abce" else "other"})
    desk.record([entries[name] for name in "abcd"], State.IN_DOUBT, due_in=60)
    desk.record([entries["e"]], State.IN_DOUBT, due_in=70)
    assert desk.look() == []
    desk.end = State.APPLIED
    desk.passes(60)
    assert desk.look() == [["d"]]
    desk.passes(10)
    assert desk.look() == [["a", "b", "c", "e"]]


@pytest.mark.parametrize("jump", [-DAY, 0.0, DAY])
def test_a_doubt_is_asked_about_when_it_has_settled(desk: Desk, jump: float) -> None:
    """A doubt waits its time, however the clock jumps, and goes with no event that is not in doubt."""
    desk.open(Batch(count=2, after=10 * DAY))
    desk.end = None
    desk.arrive("a", "b")
    desk.look()
    desk.end = State.APPLIED
    desk.record([entry for name in "ab" if (entry := desk.ledger.get(Key("/s", name)))], State.IN_DOUBT, due_in=60)
    desk.arrive("c")
    assert desk.look() == []
    desk.now += jump
    desk.monotonic += 59
    assert desk.look() == []
    desk.monotonic += 1
    assert desk.look() == [["a", "b"]]
    assert desk.states() == {State.APPLIED: 2, State.HELD: 1}


def test_a_dead_letter_that_is_replayed(desk: Desk) -> None:
    """A dead letter that a person puts back to work is gathered again."""
    desk.open(Batch(count=1, after=900))
    desk.end = State.DEAD
    desk.arrive("a")
    desk.look()
    desk.end = State.APPLIED
    assert desk.look() == []
    assert desk.ledger.reopen(Key("/s", "a"), Decision(what="replay", who="ada", why="mended", at=desk.now))
    assert desk.look() == [["a"]]


def test_a_redelivery_changes_nothing(desk: Desk) -> None:
    """What the ledger has gathered and the broker gives again is settled, whether its group is begun or not."""
    desk.open(Batch(count=2, after=900))
    desk.end = None
    desk.arrive("a", "b", "a")
    assert desk.look() == [["a", "b"]]
    desk.arrive("a")
    assert desk.states() == {State.CLAIMED: 2}


class TestAfterADeath:
    """What a process that died had begun."""

    def dies(self, desk: Desk, gathering: Gathering, **more: Any) -> list[list[str]]:
        """A process begins, and dies in the middle of a group; the groups that it had begun."""
        desk.end = None
        desk.open(gathering, **more)
        return desk.look()

    def test_the_same_list_comes_again(self, desk: Desk) -> None:
        """A group that was interrupted is due at once, without what has come since."""
        batch = Batch(count=3, after=900)
        desk.arrive("a", "b", "c")
        assert self.dies(desk, batch) == [["a", "b", "c"]]
        desk.arrive("d")
        desk.end = State.APPLIED
        desk.open(batch)
        assert desk.look() == [["a", "b", "c"]]

    def test_what_another_has_in_hand_is_looked_at_again(self, desk: Desk) -> None:
        """A group that was begun by a process that still lives is begun again once that one has died."""
        batch = Batch(count=2, after=900)
        desk.arrive("a", "b")
        assert self.dies(desk, batch) == [["a", "b"]]
        desk.end = State.APPLIED
        desk.open(batch)
        assert desk.gatherer is not None
        desk.gatherer.look(lambda _: True)  # in other hands: nothing of it is claimed
        assert desk.states() == {State.CLAIMED: 2}
        assert desk.look() == [["a", "b"]]
        assert desk.look() == []

    def test_what_is_noted_stays_together(self, desk: Desk) -> None:
        """Events of which a family has noted something are given out as one, however often the process died."""
        batch = Batch(count=16, after=900)
        desk.arrive(*(f"{number:02}" for number in range(16)))
        for _ in range(4):
            self.dies(desk, batch)
            begun = desk.ledger.begun_groups()
            with desk.ledger.transaction() as transaction:
                for entry in begun:
                    transaction.note(entry.key, entry.token, State.STAGED, {"files": []})
        desk.end = State.APPLIED
        desk.open(batch)
        assert [len(group) for group in desk.look()] == [16]

    def test_what_kills_takes_no_neighbour_along(self, desk: Desk) -> None:
        """A group that kills the process again and again is taken apart: the one to blame is alone in the end.

        Nobody's attempts are used up but those of the event that kills.
        """
        batch = Batch(count=16, after=900)
        desk.arrive(*(f"{number:02}" for number in range(16)))
        work_on, deaths = desk.work_on, 0

        def deadly(deliveries: list[Delivery]) -> bool:
            ids = [delivery.receipt.key.id for delivery in deliveries if isinstance(delivery.receipt, FromLedger)]
            desk.end = None if "07" in ids else State.APPLIED
            return work_on(deliveries)

        while deaths < 6:
            desk.open(batch)
            assert desk.gatherer is not None
            desk.gatherer.look(deadly)
            deaths += 1
        (left,) = desk.ledger.begun_groups()
        assert (left.key.id, left.attempts) == ("07", 6)
        assert desk.states() == {State.APPLIED: 15, State.CLAIMED: 1}
        assert desk.groups[-1] == ["07"]


def test_too_many(desk: Desk) -> None:
    """With as many held events as are allowed consuming pauses, and goes on when enough of them have gone."""
    desk.arrive(*"abcd")
    desk.open(Batch(count=4, after=900), max_held=4)
    assert desk.gatherer is not None
    assert desk.gatherer.full
    desk.look()
    assert desk.pressed == 1
    desk.open(Batch(count=4, after=900), max_held=4)
    assert not desk.gatherer.full


def test_a_long_burst(desk: Desk) -> None:
    """What has gone into files counts no more: however many events come while files are made, consuming goes on."""
    desk.open(Batch(count=2, after=900), max_held=4)
    gatherer, left = desk.gatherer, list(range(20))
    assert gatherer is not None

    def come() -> None:
        for number in (left.pop(), left.pop()):
            desk.arrive(str(number))
        gatherer.done([], held=2, progress=False)

    def work_on(deliveries: list[Delivery]) -> bool:
        desk.work_on(deliveries)
        gatherer.done(deliveries, held=0, progress=True)
        if left:
            come()
        return True

    come()
    gatherer.look(work_on)
    assert (desk.pressed, desk.states()) == (0, {State.APPLIED: 20})


def test_on_its_thread(desk: Desk) -> None:
    """Told that enough has arrived it looks at once; a stop lets the running group end and begins no other."""
    desk.open(Batch(count=2, after=900))
    assert desk.gatherer is not None
    desk.gatherer.start(desk.work_on)
    desk.arrive("a", "b", "c")
    desk.gatherer.done([], held=3, progress=False)
    wait_until(lambda: desk.groups == [["a", "b"]])
    assert desk.gatherer.stop(5)
    desk.arrive("d")
    desk.gatherer.done([], held=1, progress=False)
    assert desk.groups == [["a", "b"]]
    assert desk.states() == {State.APPLIED: 2, State.HELD: 2}


def test_a_ledger_that_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the ledger nothing can be given out: that ends the session, and is not passed over."""
    troubles: list[Exception] = []
    desk.open(Batch(count=2, after=900))
    assert desk.gatherer is not None
    desk.gatherer._on_trouble = troubles.append

    def fail(now: float) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(desk.ledger, "gathered", fail)
    desk.gatherer.start(desk.work_on)
    wait_until(lambda: bool(troubles))
    assert desk.gatherer.stop(5)
