"""Every crash between two steps of the pipeline, one after the other: nothing is lost and nothing done twice."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection as AnyConnection
from sqlalchemy import event as hooks
from sqlalchemy import text

from adapter_sdk import Adaptor, Event, EventData, RetryPolicy, TransientError, handles
from adapter_sdk.family import Direct, Family
from adapter_sdk.ledger.base import State
from adapter_sdk.ledger.sqlite import SqliteDatabase
from adapter_sdk.replies import reply_id
from adapter_sdk.transport.base import Message
from adaptors.sql import Connection, SqlAdaptor, SqlSettings
from adaptors.sql.family import SqlFamily
from tests.bench import Bench, BenchLedger, Killed, no_logs

RETRY = RetryPolicy(immediate=0, delays=(5, 5, 5, 5))


class Placed(EventData, type="shop.placed"):
    order_id: str
    quantity: int = 1


class Reserved(EventData, type="stock.reserved"):
    order_id: str


class Counted(EventData, type="stock.counted"):
    quantity: int


class Stock(SqlAdaptor):
    name = "stock"

    @handles
    def reserve(self, event: Event[Placed], db: Connection) -> list[Reserved | Counted]:
        db.execute(text("INSERT INTO effects VALUES (:id)"), {"id": event.id})
        tried = Tries.of(event.id)
        if event.id == "flaky" and tried < 3:
            raise TransientError("not yet")
        if event.id == "hopeless":
            raise RuntimeError("never")
        return [Reserved(order_id=event.data.order_id), Counted(quantity=event.data.quantity)]


class Tries:
    """How often each event was tried in one run."""

    counts: dict[str, int] = {}

    @classmethod
    def of(cls, id: str) -> int:
        """Count one more."""
        cls.counts[id] = cls.counts.get(id, 0) + 1
        return cls.counts[id]


class Printer(Adaptor):
    name = "printer"
    printed: list[str] = []

    @handles
    def print(self, event: Event[Placed]) -> Reserved:
        self.printed.append(event.id)
        return Reserved(order_id=event.data.order_id)


def placed(id: str, **data: Any) -> Event[Placed]:
    """An order."""
    return Event(source="/shop", id=id, type="shop.placed", data=Placed(order_id=id, **data))


class Shop:
    """A database and a bench on it, both used again for every run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "stock.db"
        self.url = f"sqlite:///{self.path}"
        self.run("CREATE TABLE effects (id TEXT)")
        family = self.family()
        family.ledger().install()
        family.close()

    def family(self) -> SqlFamily:
        """A new connection to the database."""
        family = SqlFamily("stock", SqlSettings(url=SecretStr(self.url)))
        # A process that dies loses nothing that it has written; only a power cut would.
        hooks.listen(family._engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
        return family

    def ledger_of(self, family: Family[Any]) -> BenchLedger:
        """The family's ledger, with points around its commits and those of the effects."""
        assert isinstance(family, SqlFamily)
        family._ledger.__class__ = BenchLedger
        ledger = family._ledger
        assert isinstance(ledger, BenchLedger)

        def commit(_: AnyConnection) -> None:
            ledger.crash.point("before commit")

        hooks.listen(family._engine, "commit", commit)
        return ledger

    def bench(self) -> Bench:
        """A bench on an empty database."""
        self.run("DELETE FROM effects")
        self.run("DELETE FROM adaptor_ledger")
        Tries.counts = {}
        return Bench(Stock, self.family, self.ledger_of, retry=RETRY)

    def effects(self) -> list[str]:
        """What was done to the database."""
        return [name for (name,) in self.run("SELECT id FROM effects ORDER BY id")]

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement beside the adaptor."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as database:
            return database.execute(statement).fetchall()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with no_logs():
        yield


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """One database for all runs of this file."""
    return Shop(tmp_path_factory.mktemp("shop"))


GARBAGE = Message(b"\x00garbage", "shop.placed", "events", {"from": "nowhere"})


def send_all_kinds(bench: Bench) -> None:
    """Events that end in every way there is, a duplicate and a conflict among them."""
    stranger = Message(
        json.dumps(
            {**json.loads(b'{"specversion": "1.0", "source": "/shop", "id": "stranger"}'), "type": "shop.unheard"}
        ).encode()
    )
    bench.send(placed("good"), placed("flaky"), placed("good"), GARBAGE, stranger, placed("hopeless"),
               placed("good", quantity=9), placed("other"))  # fmt: skip


def check_all_kinds(bench: Bench, shop: Shop) -> None:
    """Each of them ended as it has to: effects once, replies stable, everything else set aside with its bytes."""
    assert shop.effects() == ["flaky", "good", "other"]
    keys = [placed(name).key for name in ("flaky", "good", "other")]
    assert bench.reply_ids() == {reply_id("stock", key, position) for key in keys for position in (0, 1)}
    assert len({message.body for message in bench.replies}) == 6
    assert bench.ledger.counts() == {State.APPLIED: 3, State.DEAD: 4}
    dead = {str(entry.reason): entry for entry in bench.ledger.find([State.DEAD])}
    hopeless = next(reason for reason in dead if reason != "unknown event type" and dead[reason].key.id == "hopeless")
    assert hopeless in ("retries exhausted: runtime error", "attempts used up")
    assert set(dead) == {"malformed event", "unknown event type", "conflicting event", hopeless}
    original = dead["malformed event"].message
    assert original is not None
    assert (original.body, original.headers) == (GARBAGE.body, GARBAGE.headers)
    assert not bench.ledger.unsent(bench.now + 1, 100)


class TestSqlFamily:
    @pytest.mark.parametrize("batch", [1, 100])
    def test_a_crash_at_any_step(self, shop: Shop, batch: int) -> None:
        """Wherever the process dies, the effect happens once, no event is lost, and reply ids and bytes are stable."""
        bench = shop.bench()
        send_all_kinds(bench)
        bench.run(batch)
        steps = bench.crash.reached
        check_all_kinds(bench, shop)
        bench.close()
        assert steps > 30
        for at in range(1, steps + 1):
            bench = shop.bench()
            bench.crash.at = (at,)
            send_all_kinds(bench)
            bench.run(batch)
            bench.crash.at = ()
            try:
                check_all_kinds(bench, shop)
            except AssertionError as error:
                raise AssertionError(f"after a crash {bench.crash.names[at - 1]} (point {at}): {error}") from error
            finally:
                bench.close()

    def test_a_second_crash_during_the_recovery(self, shop: Shop) -> None:
        """A process that dies again while it makes good for the first death changes nothing of the promise."""
        steps = self._points(shop)
        for first in range(1, steps + 1):
            for second in range(1, 9):
                bench = shop.bench()
                bench.send(placed("good"), placed("other"))
                bench.crash.at = (first, first + second)
                bench.run()
                bench.crash.at = ()
                assert shop.effects() == ["good", "other"], (first, second)
                assert len(bench.reply_ids()) == 4
                assert len({message.body for message in bench.replies}) == 4
                assert bench.ledger.counts() == {State.APPLIED: 2}
                bench.close()

    def _points(self, shop: Shop) -> int:
        bench = shop.bench()
        bench.send(placed("good"), placed("other"))
        bench.run()
        bench.close()
        return bench.crash.reached

    def test_a_crash_around_a_reply_that_nobody_wants(self, shop: Shop) -> None:
        """A reply without a queue stays in the ledger through any crash, and leaves once there is a queue."""
        for at in range(1, 40):
            bench = shop.bench()
            bench.unwanted = {"stock.counted"}
            bench.crash.at = (at,)
            bench.send(placed("good"))
            for _ in range(6):
                self._go_on(bench)
            assert bench.queue or bench.held, f"the event is lost after a crash at point {at}"
            bench.unwanted = set()
            bench.run()
            bench.crash.at = ()
            assert shop.effects() == ["good"]
            assert len(bench.reply_ids()) == 2
            assert not bench.ledger.unsent(bench.now + 1, 10)
            bench.close()

    def _go_on(self, bench: Bench) -> None:
        try:
            bench.step() if bench.queue else bench.wait(30)
        except Killed:
            bench.restart()


class TestDirectFamily:
    @pytest.fixture
    def printer(self, tmp_path: Path) -> Iterator[Bench]:
        database = SqliteDatabase(tmp_path / "printer.ledger")

        def ledger_of(_: Family[Any]) -> BenchLedger:
            ledger = BenchLedger(database, "printer")
            ledger.open()
            return ledger

        bench = Bench(Printer, Direct, ledger_of, retry=RETRY)
        yield bench
        bench.close()

    def test_a_crash_at_any_step(self, printer: Bench) -> None:
        """An effect outside any transaction happens at least once, and replies are as stable as elsewhere."""
        at, reached_the_end = 0, False
        while not reached_the_end:
            at += 1
            name = f"e-{at}"
            printer.crash.reached, printer.crash.at = 0, (at,)
            printer.replies.clear()
            Printer.printed.clear()
            printer.send(placed(name))
            printer.run()
            printer.crash.at = ()
            reached_the_end = printer.crash.reached < at
            assert set(Printer.printed) == {name}
            assert len(Printer.printed) <= 2
            assert printer.reply_ids() == {reply_id("printer", placed(name).key, 0)}
        assert at > 10
        assert printer.ledger.counts() == {State.APPLIED: at}
