"""sql: answers that the backend writes into rows, with the ledger in its database and beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, NullPool, create_engine, text

from adapter_sdk import ConfigError, Event, EventData, Pending, handles
from adapter_sdk.ledger.base import State
from adapter_sdk.replies import reply_id
from adapter_sdk.testing import AdaptorHarness, event_of
from adaptors.sql import Connection, SqlAdaptor

SELECT = "SELECT id, order_id, status, weight FROM pick_answers WHERE taken = 0 ORDER BY id"
TAKEN = "UPDATE pick_answers SET taken = 1 WHERE id = :id"


class Reserved(EventData, type="stock.reserved"):
    order_id: str


class Picked(EventData, type="store.picked"):
    order_id: str
    weight: Decimal


class Short(EventData, type="store.short"):
    order_id: str


class PickAnswer(BaseModel):
    """A row of pick_answers."""

    order_id: str
    status: str
    weight: Decimal


class Store(SqlAdaptor):
    """Asks for picks in one table, and finds what became of them in another."""

    name = "store"

    @handles
    def pick(self, event: Event[Reserved], db: Connection) -> Pending[Picked | Short]:
        db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": event.data.order_id})
        return Pending(event.data.order_id, within=3600)

    @pick.answer(key="order_id", select=SELECT, taken=TAKEN)
    def picked(self, answer: PickAnswer) -> Picked | Short:
        order = answer.order_id.strip()
        return Picked(order_id=order, weight=answer.weight) if answer.status == "OK" else Short(order_id=order)


class Stores(SqlAdaptor):
    """The same for lists."""

    name = "stores"

    @handles
    def pick(self, events: list[Event[Reserved]], db: Connection) -> list[Pending[Picked]]:
        for event in events:
            db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": event.data.order_id})
        return [Pending(event.data.order_id) for event in events]

    @pick.answer(key="order_id", select=SELECT, taken="DELETE FROM pick_answers WHERE id = :id")
    def picked(self, answer: PickAnswer) -> Picked:
        return Picked(order_id=answer.order_id.strip(), weight=answer.weight)


_SERVERS = {"postgresql": "fresh_pg_url", "mariadb": "fresh_mariadb_url"}


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the tables of the warehouse."""
    found = f"sqlite:///{tmp_path / 'store.db'}"
    if request.param in _SERVERS:
        found = str(request.getfixturevalue(_SERVERS[request.param]))
    engine = create_engine(found, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE picks (id VARCHAR(20))"))
        connection.execute(
            text(
                "CREATE TABLE pick_answers (id INTEGER PRIMARY KEY, order_id CHAR(10), status VARCHAR(5), "
                "weight DECIMAL(8, 3), taken INTEGER DEFAULT 0)"
            )
        )
    engine.dispose()
    return found


@pytest.fixture(params=["backend", "local"])
def ledger(request: pytest.FixtureRequest) -> str:
    """Where the ledger is."""
    return str(request.param)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The test's own way to the database."""
    engine = create_engine(url, poolclass=NullPool)
    yield engine
    engine.dispose()


@contextmanager
def running(
    url: str, ledger: str = "backend", adaptor: type[SqlAdaptor] = Store, timeout: float = 30
) -> Iterator[AdaptorHarness]:
    """The adaptor, looking for answers all the time."""
    runner = {"answers_every": 0.02, "unmatched_after": 0.2}
    sql = {"url": url, "ledger": ledger, "timeout": timeout}
    with AdaptorHarness(adaptor, {"sql": sql, "runner": runner}) as harness:
        yield harness


def answer(engine: Engine, *rows: tuple[int, str, str, str | None]) -> None:
    """What the warehouse writes: id, order, status, weight."""
    with engine.begin() as connection:
        for id_, order, status, weight in rows:
            connection.execute(
                text(
                    "INSERT INTO pick_answers (id, order_id, status, weight) VALUES (:id, :order_id, :status, :weight)"
                ),
                {"id": id_, "order_id": order, "status": status, "weight": weight},
            )


def left(engine: Engine) -> list[int]:
    """The rows that are not taken."""
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT id FROM pick_answers WHERE taken = 0 ORDER BY id")).scalars())


def wait_until(harness: AdaptorHarness, condition: Callable[[], object]) -> None:
    """Wait for it, as the harness does."""
    harness._wait(lambda: bool(condition()), 60.0, "the condition")


def reserved(order: str) -> Event[Reserved]:
    """An event whose id is its order."""
    return event_of(Reserved(order_id=order), id=order)


def test_a_row_becomes_the_reply_that_was_owed(url: str, ledger: str, engine: Engine) -> None:
    """By its key, whose column may be filled with spaces, with the types of its columns; then it is taken."""
    with running(url, ledger) as harness:
        harness.publish(reserved("o-1"), reserved("o-2"))
        wait_until(harness, lambda: harness.ledger.answer_counts()[0] == 2)
        assert not harness.replies()
        answer(engine, (1, "o-2", "SHORT", "0"), (2, "o-1", "OK", "12.500"))
        replies = harness.replies(2)
        wait_until(harness, lambda: not left(engine))
        assert harness.ledger.answer_counts()[0] == 0
    assert [reply.data for reply in replies] == [Short(order_id="o-2"), Picked(order_id="o-1", weight=Decimal("12.5"))]
    assert [reply.id for reply in replies] == [reply_id("store", reserved(order).key, 0) for order in ("o-2", "o-1")]


def test_events_that_share_a_call_are_each_owed_a_reply(url: str, engine: Engine) -> None:
    """A handler of a list gives Pending for each, and a row may be taken away by deleting it."""
    with running(url, adaptor=Stores) as harness:
        harness.publish(*(reserved(f"o-{number}") for number in range(5)))
        wait_until(harness, lambda: harness.ledger.answer_counts()[0] == 5)
        answer(engine, *((number, f"o-{number}", "OK", "1") for number in range(5)))
        replies = harness.replies(5)
        wait_until(harness, lambda: not left(engine))
    assert [reply.causation_id for reply in replies] == [f"o-{number}" for number in range(5)]


def test_a_row_that_nothing_is_owed_for(url: str, ledger: str, engine: Engine) -> None:
    """It is waited for a while, then set aside as JSON with the place of the row, and taken."""
    with running(url, ledger) as harness:
        answer(engine, (7, "o-7", "OK", "1.25"))
        wait_until(harness, lambda: not left(engine))
        (dead,) = harness.ledger.find([State.DEAD])
    assert dead.error is not None
    assert dead.error.startswith(
        "the row with id=7: no event of type stock.reserved is owed a reply under the key 'o-7'"
    )
    assert dead.message is not None
    assert PickAnswer.model_validate_json(dead.message.body).weight == Decimal("1.25")


def test_a_row_that_breaks_its_model(url: str, ledger: str, engine: Engine) -> None:
    """It is set aside with the field that is wrong; those beside it are answered."""
    with running(url, ledger) as harness:
        harness.publish(reserved("o-1"), reserved("o-2"))
        wait_until(harness, lambda: harness.ledger.answer_counts()[0] == 2)
        answer(engine, (1, "o-1", "OK", None), (2, "o-2", "OK", "1"))
        assert harness.replies(1)[0].causation_id == "o-2"
        wait_until(harness, lambda: not left(engine))
        (dead,) = harness.ledger.find([State.DEAD])
        assert [owed.key for owed in harness.ledger.owed(10)] == ["o-1"]
    assert dead.reason == "invalid data"
    assert "weight" in str(dead.error)


def test_a_row_that_could_not_be_taken_away(url: str, ledger: str, engine: Engine) -> None:
    """As after a crash between the two: it is found again and known, and what can be taken away is."""
    with running(url, ledger) as harness:
        harness.publish(reserved("o-1"), reserved("o-1b"))
        wait_until(harness, lambda: harness.ledger.answer_counts()[0] == 2)
        answer(engine, (1, "o-1", "OK", "1"))
        harness.replies(1)
        wait_until(harness, lambda: not left(engine))
        with engine.begin() as connection:
            connection.execute(text("UPDATE pick_answers SET taken = 0"))
        wait_until(harness, lambda: not left(engine))
        assert len(harness.replies()) == 1
        assert [owed.key for owed in harness.ledger.owed(10)] == ["o-1b"]
        assert not harness.ledger.find([State.DEAD])


class Blind(SqlAdaptor):
    """Marks another row than the one that was found."""

    name = "blind"

    @handles
    def pick(self, event: Event[Reserved], db: Connection) -> Pending[Picked]:
        return Pending(event.data.order_id)

    @pick.answer(
        key="order_id", select=SELECT, taken="UPDATE pick_answers SET taken = 1 WHERE id = :id AND status = '?'"
    )
    def picked(self, answer: PickAnswer) -> Picked:
        return Picked(order_id=answer.order_id, weight=answer.weight)


def test_a_mark_that_marks_nothing(url: str, engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    """Where ledger and rows share a transaction, a row that cannot be taken is not answered, and the log says why."""
    said = "`taken` changes no row, and `select` would find it again"
    with running(url, adaptor=Blind) as harness:
        harness.publish(reserved("o-1"))
        wait_until(harness, lambda: harness.ledger.answer_counts()[0] == 1)
        answer(engine, (1, "o-1", "OK", "1"))
        wait_until(harness, lambda: said in capfd.readouterr().out)
        assert harness.ledger.answer_counts()[0] == 1
        assert not harness.replies()


class Gated(SqlAdaptor):
    """Goes through a gate, which others can keep closed, to take a row."""

    name = "gated"

    @handles
    def pick(self, event: Event[Reserved], db: Connection) -> Pending[Picked]:
        return Pending(event.data.order_id)

    @pick.answer(
        key="order_id",
        select=SELECT,
        taken="WITH through AS (UPDATE gate SET count = count + 1 RETURNING count) "
        "UPDATE pick_answers SET taken = 1 FROM through WHERE id = :id",
    )
    def picked(self, answer: PickAnswer) -> Picked:
        return Picked(order_id=answer.order_id, weight=answer.weight)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_row_that_somebody_holds(url: str, ledger: str, engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    """It is waited for as long as a statement may take, and taken when it is free; events are applied meanwhile."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE gate (count INTEGER)"))
        connection.execute(text("INSERT INTO gate VALUES (0)"))
    with running(url, ledger, Gated, timeout=0.3) as harness:
        harness.publish(reserved("o-1"))
        wait_until(harness, lambda: harness.ledger.answer_counts() == (1, 0))
        with engine.begin() as connection:
            connection.execute(text("UPDATE gate SET count = 0"))
            answer(engine, (1, "o-1", "OK", "1"))
            wait_until(harness, lambda: "statement timeout" in capfd.readouterr().out)
            harness.publish(reserved("o-2"))
            harness.wait_for(reserved("o-2"), State.APPLIED)
            assert left(engine) == [1]
        wait_until(harness, lambda: not left(engine))
        assert [reply.causation_id for reply in harness.replies(1)] == ["o-1"]


def test_a_statement_that_the_database_does_not_know(
    url: str, engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log names the method and what the database said; events are worked on all the same."""

    class Mistaken(SqlAdaptor):
        name = "mistaken"

        @handles
        def pick(self, event: Event[Reserved], db: Connection) -> Pending[Picked]:
            return Pending(event.data.order_id)

        @pick.answer(key="order_id", select="SELECT id FROM nowhere", taken=TAKEN)
        def picked(self, answer: PickAnswer) -> Picked:
            return Picked(order_id=answer.order_id, weight=answer.weight)

    with running(url, adaptor=Mistaken) as harness:
        harness.publish(reserved("o-1"))
        wait_until(harness, lambda: harness.ledger.answer_counts()[0] == 1)
        lines: list[str] = []

        def logged() -> bool:
            lines.extend(capfd.readouterr().out.splitlines())
            return any("answers not collected" in line and "nowhere" in line for line in lines)

        wait_until(harness, logged)
    assert any("Mistaken.picked" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({}, "rows are answers: give `key`, `select` and `taken`, both SQL"),
        ({"select": SELECT}, "rows are answers: give `key`, `select` and `taken`, both SQL"),
        ({"select": SELECT, "taken": TAKEN, "files": "*.DAT"}, "rows are answers: give `key`, `select` and `taken`"),
        ({"select": SELECT, "taken": "DELETE FROM pick_answers"}, "`taken` names no row; write `… WHERE id = :id`"),
    ],
)
def test_what_is_wrong_with_the_options(options: dict[str, Any], fault: str) -> None:
    """It shows when the class is made, with class, method and line."""

    def make() -> None:
        class Wrong(SqlAdaptor):
            name = "wrong"

            @handles
            def pick(self, event: Event[Reserved], db: Connection) -> Pending[Picked]:
                return Pending(event.data.order_id)

            @pick.answer(key="order_id", **options)
            def picked(self, answer: PickAnswer) -> Picked:
                return Picked(order_id=answer.order_id, weight=answer.weight)

    with pytest.raises(ConfigError, match=r"Wrong\.picked \(.*test_sql_answers\.py:\d+\): ") as caught:
        make()
    assert fault in str(caught.value)
