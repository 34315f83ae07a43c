"""The line: what the ledger gives out, when, and how much of it. On a real ledger, with a clock moved by hand."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk.errors import LedgerError
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import ClaimRequest, Decision, Entry, Record, State, Verdict
from adapter_sdk.ledger.sqlite import sqlite_ledger
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.line import Line
from adapter_sdk.transport.base import Delivery, Message
from adapter_sdk.work import FromLedger
from tests.bench import no_logs
from tests.services.waiting import wait_until

MESSAGE = Message(b"{}", "stock.moved", "events")
START = 1_000_000.0


class Desk:
    """A ledger, a line at it, and what the line has given out."""

    def __init__(self, ledger: SqlLedger) -> None:
        self.ledger = ledger
        self.now = START
        self.given: list[str] = []
        self.deliveries: list[Delivery] = []
        self.troubles: list[Exception] = []
        self.pressed = 0
        self.line: Line | None = None

    def open(self, **limits: Any) -> Line:
        """Begin to look."""
        options = {"past_dead": False, "max_held": 100, "most_out": 100, **limits}
        self.line = Line(
            "stock",
            self.ledger,
            on_trouble=self.troubles.append,
            on_pressure=self._press,
            clock=lambda: self.now,
            **options,
        )
        self.line.start(self._take)
        return self.line

    def _press(self) -> None:
        self.pressed += 1

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        self.deliveries += deliveries
        self.given += [delivery.receipt.key.id for delivery in deliveries if isinstance(delivery.receipt, FromLedger)]

    def looks(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
        """Wait until the line has looked so many times more."""
        count = 0
        look = self.ledger.next_in_line

        def counted(past_dead: bool, limit: int) -> list[Entry]:
            nonlocal count
            count += 1
            return look(past_dead, limit)

        monkeypatch.setattr(self.ledger, "next_in_line", counted)

        def wait(more: int) -> None:
            wanted = count + more
            wait_until(lambda: count >= wanted)

        return wait

    def arrive(self, *ids: str) -> list[Entry]:
        """Events arrive, as a1: with the key a."""
        entries = []
        for name in ids:
            asked = ClaimRequest(
                key=Key("/s", name), digest="d" * 64, type="t", order_key=name[0], message=MESSAGE, attempts=0
            )
            ((_, entry),) = self.ledger.claim([asked], self.now)
            entries.append(entry)
        return entries

    def end(self, entry: Entry, state: State, due_in: float | None = None) -> None:
        """The attempt at an event ends so."""
        due_at = None if due_in is None else self.now + due_in
        record = Record(key=entry.key, token=entry.token, state=state, message=MESSAGE, due_at=due_at)
        assert self.ledger.record([record], self.now) == [True]

    def settle(self, *, progress: bool = True) -> None:
        """All that was given out is settled."""
        settled, self.deliveries = self.deliveries, []
        assert self.line is not None
        self.line.done(settled, held=0, progress=progress)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk with an empty ledger, and a line that looks often."""
    monkeypatch.setattr("adapter_sdk.line.LOOK_EVERY", 0.05)
    ledger = sqlite_ledger(tmp_path / "stock.ledger", "stock")
    ledger.open()
    desk = Desk(ledger)
    with no_logs():
        yield desk
    if desk.line is not None:
        desk.line.stop()
    ledger.close()


def test_in_its_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held events are given out, all that are held of the key, as soon as the one before them has ended, and once."""
    first, *_ = desk.arrive("a1", "a2", "a3", "b1", "b2")
    desk.open()
    wait = desk.looks(monkeypatch)
    wait(2)
    assert desk.given == []
    desk.end(first, State.APPLIED)
    wait_until(lambda: desk.given == ["a2", "a3"])
    assert all(delivery.redelivered for delivery in desk.deliveries)
    wait(2)
    assert desk.given == ["a2", "a3"]


def test_who_may_fail_again_goes_alone(desk: Desk) -> None:
    """An event that waited for a later attempt is given out without those behind it."""
    first, *_ = desk.arrive("a1", "a2", "a3")
    desk.end(first, State.WAITING, due_in=0)
    desk.open()
    wait_until(lambda: desk.given == ["a1"])
    desk.end(first, State.APPLIED)
    desk.settle()
    wait_until(lambda: desk.given == ["a1", "a2", "a3"])


def test_what_was_begun_comes_first(desk: Desk) -> None:
    """What a dead process had in hand comes before what is only due, and is known for that before anything is given."""
    first, second, third = desk.arrive("a1", "b1", "c1")
    desk.end(first, State.WAITING, due_in=0)
    desk.end(second, State.WAITING, due_in=0)
    desk.end(third, State.CLAIMED)
    line = desk.open(most_out=1)
    assert line.begun
    wait_until(lambda: desk.given == ["c1"])


@pytest.mark.parametrize("state", [State.WAITING, State.IN_DOUBT])
def test_a_clock_that_is_put_back(desk: Desk, state: State) -> None:
    """A clock that goes back a day delays nobody: an event waits no longer than was planned."""
    (entry,) = desk.arrive("a1")
    desk.end(entry, state, due_in=0.2)
    desk.now -= 86_400
    desk.open()
    wait_until(lambda: desk.given == ["a1"])


def test_a_clock_that_is_put_forward(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes forward a day makes a planned attempt due, and no question about a doubt."""
    waiting, doubt = desk.arrive("a1", "b1")
    desk.end(waiting, State.WAITING, due_in=3600)
    desk.end(doubt, State.IN_DOUBT, due_in=3600)
    desk.now += 86_400
    desk.open()
    wait = desk.looks(monkeypatch)
    wait_until(lambda: desk.given == ["a1"])
    wait(2)
    assert desk.given == ["a1"]


def test_a_person_s_doubt_is_not_given_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a doubt that waits for a person nor what is held behind it is given out, until it is decided."""
    first, _ = desk.arrive("a1", "a2")
    desk.end(first, State.IN_DOUBT)
    desk.open()
    wait = desk.looks(monkeypatch)
    wait(2)
    assert desk.given == []
    decided = Decision(what="applied", who="ada", why="seen", at=desk.now)
    assert desk.ledger.settle_applied(first.key, decided, ()) is not None
    wait_until(lambda: desk.given == ["a2"])


def test_no_more_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many given out as may be, the rest waits until those are done."""
    for entry in desk.arrive(*(f"{name}1" for name in "abcdef")):
        desk.end(entry, State.WAITING, due_in=0)
    desk.open(most_out=4)
    wait = desk.looks(monkeypatch)
    wait_until(lambda: len(desk.given) == 4)
    wait(2)
    assert len(desk.given) == 4
    for name in desk.given:
        found = desk.ledger.get(Key("/s", name))
        assert found is not None
        desk.end(found, State.DEAD)
    desk.settle()
    wait_until(lambda: sorted(desk.given) == [f"{name}1" for name in "abcdef"])


def test_in_other_hands(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes back undone is given out again, but no sooner than with the next look."""
    (entry,) = desk.arrive("a1")
    desk.end(entry, State.CLAIMED)
    desk.open()
    wait = desk.looks(monkeypatch)
    wait_until(lambda: desk.given == ["a1"])
    desk.settle(progress=False)
    wait(1)
    wait_until(lambda: desk.given == ["a1", "a1"])


def test_too_many_held(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reaching the limit is told, also by the count of a batch; a line that begins so tells when it is below 90 %."""
    first, *_ = desk.arrive(*(f"a{number}" for number in range(10)))
    line = desk.open(max_held=10)
    wait = desk.looks(monkeypatch)
    wait(1)
    assert (line.full, desk.pressed) == (False, 0)
    line.done([], held=1, progress=False)
    assert desk.pressed == 1
    line.stop()
    line = desk.open(max_held=9)
    assert line.full
    wait(2)
    assert desk.pressed == 1
    desk.end(first, State.APPLIED)
    wait_until(lambda: len(desk.given) == 9)
    for name in desk.given[:2]:
        found = desk.ledger.get(Key("/s", name))
        assert found is not None
        asked = ClaimRequest(key=found.key, digest="d" * 64, type="t", order_key="a", message=MESSAGE)
        ((verdict, entry),) = desk.ledger.claim([asked], desk.now)
        assert verdict is Verdict.GRANTED
        desk.end(replace(entry), State.APPLIED)
    wait_until(lambda: desk.pressed > 1)


@pytest.mark.parametrize("error", [LedgerError("database or disk is full"), KeyError("a bug")])
def test_trouble(desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whatever keeps the line from looking is told, whether it was foreseen or not: it never ends unnoticed."""

    def fail(*_: object) -> list[Entry]:
        raise error

    line = desk.open()
    monkeypatch.setattr(desk.ledger, "next_in_line", fail)
    wait_until(lambda: desk.troubles == [error])
    line.stop()
