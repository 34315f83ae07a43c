"""Order in the pipeline: crashes between any two steps, and everything that could let an event overtake another."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event as hooks
from sqlalchemy import text

from adapter_sdk import Adaptor, BackendUnavailable, Event, EventData, Refused, RetryPolicy, TransientError, handles
from adapter_sdk.envelopes import Limits, write_structured
from adapter_sdk.events import Key
from adapter_sdk.family import Direct, Family
from adapter_sdk.ledger.base import Decision, Entry, State
from adapter_sdk.ledger.sqlite import SqliteDatabase
from adapter_sdk.patterns import Pattern
from adapter_sdk.topology import copy_to
from adapter_sdk.transport.base import Delivery, Message
from adapter_sdk.work import FromLedger
from adaptors.sql import Connection, SqlAdaptor, SqlSettings
from adaptors.sql.family import SqlFamily
from tests.bench import Bench, BenchLedger, Killed, no_logs

RETRY = RetryPolicy(immediate=0, delays=(5, 5, 5, 5))


class Moved(EventData, type="stock.moved"):
    number: int


class Trouble:
    """Which events fail, and what each of their attempts raises in turn; the last one for ever if `for_ever`."""

    of: dict[str, list[Exception]] = {}
    for_ever: set[str] = set()

    @classmethod
    def meet(cls, id: str) -> None:
        """Raise what is next for this event, if anything is."""
        if errors := cls.of.get(id):
            raise errors[0] if id in cls.for_ever else errors.pop(0)


class Stock(SqlAdaptor):
    name = "stock"
    ordered_by = "subject"

    @handles
    def move(self, event: Event[Moved], db: Connection) -> None:
        db.execute(text("INSERT INTO moves (id) VALUES (:id)"), {"id": event.id})
        Trouble.meet(event.id)


class HastyStock(Stock):
    on_dead = "continue"


class Printer(Adaptor):
    name = "printer"
    ordered_by = "subject"
    printed: list[str] = []

    @handles
    def print(self, event: Event[Moved]) -> None:
        Trouble.meet(event.id)
        self.printed.append(event.id)


class Done(EventData, type="stock.done"):
    pass


class Answering(SqlAdaptor):
    name = "stock"
    ordered_by = "subject"

    @handles
    def move(self, event: Event[Moved], db: Connection) -> Done:
        Trouble.meet(event.id)
        return Done()


def moved(id: str, subject: str | None = "") -> Event[Moved]:
    """An event whose id says its key and its number, as a3."""
    return Event(
        source="/stock",
        id=id,
        type="stock.moved",
        subject=id[0] if subject == "" else subject,
        data=Moved(number=int(id[1:])),
    )


def key(id: str) -> Key:
    """The identity of `moved(id)`."""
    return Key("/stock", id)


class OrderBench(Bench):
    """A bench with a line: what the ledger keeps is given out when it is due, between the deliveries of the broker."""

    def given(self) -> list[Delivery]:
        """What is next in line, and what is held behind it."""
        past_dead = self._adaptor.on_dead == "continue"
        found = [entry for entry in self.ledger.next_in_line(past_dead, 100) if (entry.due_at or 0) <= self.now]
        behind = [entry for first in found if first.place for entry in self.ledger.held_behind(first.place, 100)]
        return [self._given_out(entry) for entry in (*found, *behind)]

    def _given_out(self, entry: Entry) -> Delivery:
        assert entry.message is not None
        message = copy_to(self._adaptor.name, entry.message, entry.attempts)
        return Delivery(message, FromLedger(entry.key, entry.token), redelivered=True)

    def turn(self) -> bool:
        """Process what the ledger gives out; False if that is nothing."""
        given = self.given()
        if given:
            assert self.pipeline.process(given).release == []
        return bool(given)

    def run(self, count: int = 100) -> None:
        """Process until neither broker nor ledger gives anything. A process that dies is started again."""
        for _ in range(500):
            try:
                turned = self.turn()
                if self.queue:
                    self.step(count)
                elif not turned and not self._pass_time():
                    return
            except Killed:
                self.restart()
        raise AssertionError("no end in sight")

    def _pass_time(self) -> bool:
        """Wait for what is due next; False if nothing is."""
        past_dead = self._adaptor.on_dead == "continue"
        dues = [until for until, _ in self.held]
        dues += [entry.due_at for entry in self.ledger.next_in_line(past_dead, 100) if entry.due_at is not None]
        if dues:
            self.wait(max(0.0, min(dues) - self.now))
        return bool(dues)


class Site:
    """A database with the moves as they were made, and benches on it."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'stock.db'}"
        self.database = SqliteDatabase(folder / "stock.db")
        self.database.open()
        self.run("CREATE TABLE moves (number INTEGER PRIMARY KEY, id TEXT)")
        family = self.family()
        family.ledger().install()
        family.close()

    def run(self, statement: str) -> list[Any]:
        """Run a statement beside the adaptor."""
        with self.database.transaction() as rows:
            if statement.startswith("SELECT"):
                return [row[0] for row in rows.fetch(statement, {})]
            rows.run(statement, [{}])
            return []

    def family(self) -> SqlFamily:
        """A new connection to the database. A process that dies loses nothing that it has written."""
        family = SqlFamily("stock", SqlSettings(url=SecretStr(self.url)))
        hooks.listen(family._engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
        return family

    def bench(self, adaptor: type[Adaptor] = Stock) -> OrderBench:
        """A bench on an empty database."""
        self.run("DELETE FROM moves")
        self.run("DELETE FROM adaptor_ledger")
        return OrderBench(adaptor, self.family, _with_points, retry=RETRY)

    def moves(self, of: str) -> list[int]:
        """The numbers of the moves of one key, in the order in which they were made."""
        ids = self.run("SELECT id FROM moves ORDER BY number")
        return [int(name[1:]) for name in ids if name[0] == of]


def _with_points(family: Family[Any]) -> BenchLedger:
    assert isinstance(family, SqlFamily)
    family._ledger.__class__ = BenchLedger
    ledger = family._ledger
    assert isinstance(ledger, BenchLedger)
    hooks.listen(family._engine, "commit", lambda _: ledger.crash.point("before commit"))
    return ledger


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    Trouble.of, Trouble.for_ever = {}, set()
    with no_logs():
        yield


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One database for all tests of this file."""
    site = Site(tmp_path_factory.mktemp("stock"))
    yield site
    site.database.close()


@pytest.fixture
def bench(site: Site) -> Iterator[OrderBench]:
    """A bench on an empty database."""
    bench = site.bench()
    yield bench
    bench.close()


def send_all_kinds(bench: Bench) -> None:
    """Two keys: one with a flaky event, a dead letter in the middle and a repetition; one without trouble."""
    Trouble.of = {"a1": [TransientError("busy")] * 2, "a3": [Refused("no")]}
    Trouble.for_ever = {"a3"}
    bench.send(moved("a0"), moved("b0"), moved("a1"), moved("a2"), moved("b1"), moved("a2"), moved("a3"),
               moved("a4"), moved("a4"), moved("a1"), moved("a5"))  # fmt: skip


def replay(bench: Bench, id: str) -> None:
    """A person has mended what was wrong with a dead letter."""
    Trouble.of.pop(id)
    assert bench.ledger.reopen(key(id), Decision(what="replay", who="ada", why="mended", at=bench.now))


class TestCrashes:
    @pytest.mark.parametrize("batch", [2, 100])
    def test_held_behind_a_dead_letter(self, site: Site, batch: int) -> None:
        """Wherever the process dies, moves are made once and in order, and what is behind the dead letter waits."""
        for bench, where in self._crashes(site, Stock, batch):
            assert site.moves("a") == [0, 1, 2], where
            assert site.moves("b") == [0, 1], where
            assert bench.ledger.counts() == {State.APPLIED: 5, State.DEAD: 1, State.HELD: 2}, where
            replay(bench, "a3")
            bench.run(batch)
            assert site.moves("a") == [0, 1, 2, 3, 4, 5], where
            assert bench.ledger.counts() == {State.APPLIED: 8}, where

    def test_going_on_past_a_dead_letter(self, site: Site) -> None:
        """With on_dead = "continue" the same, and what is behind the dead letter is made without it."""
        for bench, where in self._crashes(site, HastyStock, 100):
            assert site.moves("a") == [0, 1, 2, 4, 5], where
            assert site.moves("b") == [0, 1], where
            assert bench.ledger.counts() == {State.APPLIED: 7, State.DEAD: 1}, where

    def _crashes(self, site: Site, adaptor: type[Adaptor], batch: int) -> Iterator[tuple[OrderBench, str]]:
        """After a run without a crash, and after one with a crash at each point that it passed."""
        at, steps = 0, 1
        while at <= steps:
            bench = site.bench(adaptor)
            bench.crash.at = (at,)
            send_all_kinds(bench)
            bench.run(batch)
            bench.crash.at = ()
            steps = steps if at else bench.crash.reached
            yield bench, f"after a crash {bench.crash.names[at - 1]} (point {at})"
            bench.close()
            at += 1
        assert steps > 50

    def test_effects_that_may_repeat(self, tmp_path: Path) -> None:
        """Where an effect may happen again it happens again before a later one of its key, never after."""
        database = SqliteDatabase(tmp_path / "printer.ledger")
        database.open()

        def ledger_of(_: Family[Any]) -> BenchLedger:
            ledger = BenchLedger(database, "printer")
            ledger.open()
            return ledger

        at, steps = 0, 1
        while at <= steps:
            bench = OrderBench(Printer, Direct, ledger_of, retry=RETRY)
            with database.transaction() as rows:
                rows.run("DELETE FROM adaptor_ledger", [{}])
            Printer.printed.clear()
            bench.crash.at = (at,)
            Trouble.of = {"a1": [TransientError("busy")]}
            bench.send(*(moved(f"a{number}") for number in range(4)))
            bench.run(2)
            steps = steps if at else bench.crash.reached
            assert sorted(Printer.printed) == Printer.printed, at
            assert set(Printer.printed) == {"a0", "a1", "a2", "a3"}, at
            bench.close()
            at += 1
        assert steps > 20


def die(_: object) -> None:
    """As a process that is killed before it has published anything."""
    raise Killed


class TestTurns:
    def test_what_is_refused_need_not_wait(self, bench: OrderBench) -> None:
        """Data that no schema allows is a dead letter at once, in its place: those behind it wait for it, too."""
        Trouble.of = {"a0": [TransientError("busy")] * 9}
        body = json.loads(write_structured(moved("a1"), "events").body)
        bench.send(moved("a0"), Message(json.dumps({**body, "data": "nonsense"}).encode()), moved("a2"))
        bench.step()
        assert bench.ledger.counts() == {State.WAITING: 1, State.DEAD: 1, State.HELD: 1}
        Trouble.of.clear()
        bench.run()
        assert bench.ledger.counts() == {State.APPLIED: 1, State.DEAD: 1, State.HELD: 1}

    def test_a_backend_that_is_down(self, bench: OrderBench, site: Site) -> None:
        """An event that met no backend stays with the ledger, its attempt uncounted, and is the first to go on."""
        Trouble.of = {"a0": [BackendUnavailable("down")]}
        bench.send(moved("a0"), moved("a1"))
        settlement = bench.step()
        assert (len(settlement.ack), settlement.release) == (2, [])
        assert bench.ledger.counts() == {State.CLAIMED: 1, State.HELD: 1}
        found = bench.ledger.get(key("a0"))
        assert found is not None
        assert found.attempts == 0
        assert [delivery.message.headers["x-adaptor-attempt"] for delivery in bench.given()] == [0, 0]
        bench.run()
        assert site.moves("a") == [0, 1]

    def test_replies_of_a_process_that_died(self, site: Site) -> None:
        """The reply to an event that the ledger gave out, which nobody gives again, is swept up at the next start."""
        bench = site.bench(Answering)
        Trouble.of = {"a0": [TransientError("busy")]}
        bench.send(moved("a0"))
        bench.step()
        bench.wait(5)
        bench.publishing = die
        with pytest.raises(Killed):
            bench.turn()
        bench.publishing = lambda _: None
        bench.restart()
        assert bench.replies == []
        assert [bench.pipeline.sweep(), bench.pipeline.sweep(alone=True)] == [0, 1]
        assert len(bench.replies) == 1
        bench.close()

    def test_an_event_without_a_key(self, bench: OrderBench) -> None:
        """An event without a key waits for nobody, and for its later attempts on the broker as ever."""
        Trouble.of = {"a0": [TransientError("busy")]}
        bench.send(moved("a0", subject=None), moved("a1", subject=None))
        bench.step()
        assert bench.ledger.counts() == {State.WAITING: 1, State.APPLIED: 1}
        assert len(bench.held) == 1

    def test_a_conflict(self, bench: OrderBench, site: Site) -> None:
        """Another event under the identity of one that is held is set aside, and that one keeps its turn."""
        Trouble.of = {"a0": [TransientError("busy")]}
        other = replace(moved("a1"), data=Moved(number=9))
        bench.send(moved("a0"), moved("a1"), other, moved("a2"))
        bench.run()
        assert site.moves("a") == [0, 1, 2]
        assert bench.ledger.counts() == {State.APPLIED: 3, State.DEAD: 1}

    def test_redelivered_in_another_order(self, bench: OrderBench, site: Site) -> None:
        """What was begun before a crash keeps its place, in whatever order it comes back."""
        Trouble.of = {"a0": [TransientError("busy")] * 2}
        bench.send(*(moved(f"a{number}") for number in range(4)))
        messages = list(bench.queue)
        bench.step()
        bench.queue.extend(reversed(messages))
        bench.run(1)
        assert site.moves("a") == [0, 1, 2, 3]

    def test_begun_with_another_where(self, bench: OrderBench, monkeypatch: pytest.MonkeyPatch) -> None:
        """An event that was begun, and that `where` no longer matches, is a dead letter: passed over it had no end."""
        handler = Stock._handlers["stock.moved"]
        other = replace(handler, options=replace(handler.options, where=Pattern({"subject": ["b"]})))
        Trouble.of = {"a0": [TransientError("busy")]}
        bench.send(moved("a0"), moved("a1"))
        bench.step()
        monkeypatch.setattr(Stock, "_handlers", {"stock.moved": other})
        bench.run()
        (dead, _) = sorted(bench.ledger.find([State.DEAD]), key=lambda entry: entry.key.id)
        assert (dead.key.id, dead.reason) == ("a0", "no longer wanted")
        bench.send(moved("a2"))
        bench.run()
        assert bench.ledger.get(key("a2")) is None

    def test_held_under_a_larger_limit(self, bench: OrderBench, site: Site) -> None:
        """A held event that has become too large to be read is a dead letter in its own row, not one beside it."""
        Trouble.of = {"a0": [Refused("no")]}
        bench.send(moved("a0"), moved("a1"))
        bench.step()
        assert bench.ledger.discard(key("a0"), Decision(what="discard", who="ada", why="", at=1.0))
        (delivery,) = bench.given()
        tight = OrderBench(Stock, site.family, _with_points, limits=Limits(max_bytes=10))
        settlement = tight.pipeline.process([delivery])
        tight.close()
        assert settlement.ack == [delivery]
        assert [(entry.key.id, entry.reason) for entry in bench.ledger.find([State.DEAD])] == [
            ("a1", "malformed event")
        ]

    def test_in_another_process_s_hands(self, bench: OrderBench, monkeypatch: pytest.MonkeyPatch) -> None:
        """An event that another living process has begun is kept by the ledger: a copy would come back too late."""
        bench.send(moved("a0"))
        bench.crash.at = (3,)  # the claim is made
        with pytest.raises(Killed):
            bench.step()
        bench.crash.at = ()
        monkeypatch.setattr("adapter_sdk.ledger.claiming.Claiming._in_other_hands", lambda *_: True)
        with bench.ledger.database.transaction() as rows:
            rows.run("UPDATE adaptor_ledger SET owner = 7", [{}])
        bench.step()
        assert bench.held == []
        assert [delivery.receipt for delivery in bench.given()] != []
