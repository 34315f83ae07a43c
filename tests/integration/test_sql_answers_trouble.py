"""sql: what one answer method's statements or records do wrong keeps nobody else waiting."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator
from sqlalchemy import Engine, NullPool, create_engine, text
from structlog.testing import capture_logs

from adapter_sdk import Event, EventData, Pending, handles
from adapter_sdk.ledger.base import State
from adapter_sdk.testing import AdaptorHarness, event_of
from adaptors.sql import Connection, SqlAdaptor

TAKEN = "UPDATE answers SET taken = 1 WHERE id = :id"
LATER = "SELECT id, order_id FROM later WHERE taken = 0"
LATER_TAKEN = "UPDATE later SET taken = 1 WHERE id = :id"


class Ordered(EventData, type="stock.ordered"):
    order_id: str


class Told(EventData, type="store.told"):
    order_id: str


class Row(BaseModel):
    """A row of both tables."""

    order_id: str

    @field_validator("order_id")
    @classmethod
    def known(cls, value: str) -> str:
        """A bug: not every order is in the dict."""
        return {"?": {}}.get(value, {"id": value})["id"]


def telling(select: str, taken: str = TAKEN) -> type[SqlAdaptor]:
    """An adaptor whose first method finds its answers so; the second looks into another table."""

    class Teller(SqlAdaptor):
        name = "teller"

        @handles
        def ask(self, event: Event[Ordered], db: Connection) -> Pending[Told]:
            return Pending(event.data.order_id)

        @ask.answer(key="order_id", select=select, taken=taken)
        def told(self, row: Row) -> Told:
            return Told(order_id=row.order_id)

        @ask.answer(key="order_id", select=LATER, taken=LATER_TAKEN)
        def told_later(self, row: Row) -> Told:
            return Told(order_id=row.order_id)

    return Teller


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with two tables of answers."""
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}", poolclass=NullPool)
    make_tables(engine)
    yield engine
    engine.dispose()


def make_tables(engine: Engine) -> None:
    """Empty ones."""
    with engine.begin() as connection:
        for table in ("answers", "later"):
            columns = "id INTEGER PRIMARY KEY, order_id TEXT, taken INTEGER DEFAULT 0"
            connection.execute(text(f"CREATE TABLE {table} ({columns})"))


@pytest.fixture(params=["backend", "local"])
def sql(request: pytest.FixtureRequest, engine: Engine) -> dict[str, Any]:
    """Settings, with the ledger in the backend and beside it."""
    return {"url": str(engine.url), "ledger": request.param}


def running(adaptor: type[SqlAdaptor], sql: dict[str, Any]) -> AdaptorHarness:
    """The adaptor, looking for answers all the time."""
    return AdaptorHarness(adaptor, {"sql": sql, "runner": {"answers_every": 0.02, "unmatched_after": 0.1}})


def order(harness: AdaptorHarness, *orders: str) -> None:
    """Have a reply owed for each."""
    harness.publish(*(event_of(Ordered(order_id=one), id=one) for one in orders))
    harness.wait_until_settled()


def answer(engine: Engine, table: str, *orders: str) -> None:
    """What the backend writes."""
    with engine.begin() as connection:
        for one in orders:
            connection.execute(
                text(f"INSERT INTO {table} (id, order_id) SELECT count(*) + 1, :one FROM {table}"), {"one": one}
            )


@pytest.mark.parametrize(
    ("select", "taken"),
    [
        ("SELECT id, order_id FROM answers ORDER BY id", TAKEN),
        ("SELECT id, order_id FROM answers WHERE taken = 0 ORDER BY id", "UPDATE answers SET taken = 0 WHERE id = :id"),
    ],
)
def test_a_select_that_finds_what_was_taken_is_said_once(
    select: str, taken: str, sql: dict[str, Any], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full page of rows that were answered before ends the look: the next method has its turn, and a stop its end."""
    monkeypatch.setattr("adaptors.sql.answers._PAGE", 2)
    with capture_logs() as lines, running(telling(select, taken), sql) as harness:
        order(harness, "1", "2", "3")
        answer(engine, "answers", "1", "2")
        answer(engine, "later", "3")
        assert sorted(str(reply.causation_id) for reply in harness.replies(3)) == ["1", "2", "3"]
        answer(engine, "later", "4")  # nothing is owed for it: it takes some looks until it is set aside
        harness._wait(lambda: bool(harness.ledger.find([State.DEAD])), 10.0, "the dead letter")
    [line] = [line for line in lines if line["event"] == "answers found again"]
    assert line["rows"] == 2
    assert "Teller.told (" in line["error"]


def test_a_row_that_a_validator_stumbles_over_is_set_aside(sql: dict[str, Any], engine: Engine) -> None:
    """With the bug's own words; the rows beside it are answered, and it is taken."""
    with running(telling("SELECT id, order_id FROM answers WHERE taken = 0"), sql) as harness:
        order(harness, "1", "2")
        answer(engine, "answers", "?", "1")
        answer(engine, "later", "2")
        assert sorted(str(reply.causation_id) for reply in harness.replies(2)) == ["1", "2"]
        (dead,) = harness.ledger.find([State.DEAD])
    assert dead.reason == "key error"
    assert str(dead.error).startswith("the row with id=1: Traceback")
    assert str(dead.error).endswith("KeyError: 'id'\n")


def test_a_key_that_no_event_can_have_is_not_looked_for(fresh_pg_url: str) -> None:
    """A column of bytes may hold a NUL, which PostgreSQL takes in no text: that row alone is set aside."""
    engine = create_engine(fresh_pg_url, poolclass=NullPool)
    make_tables(engine)
    adaptor = telling("SELECT id, decode(order_id, 'escape') AS order_id FROM answers WHERE taken = 0")
    with running(adaptor, {"url": fresh_pg_url, "ledger": "backend"}) as harness:
        order(harness, "1")
        answer(engine, "answers", "\\000", "1")
        assert [reply.causation_id for reply in harness.replies(1)] == ["1"]
        harness._wait(lambda: bool(harness.ledger.find([State.DEAD])), 10.0, "the dead letter")
        (dead,) = harness.ledger.find([State.DEAD])
    engine.dispose()
    assert dead.reason == "unmatched answer"
    assert r"under the key '\x00'" in str(dead.error)


@pytest.mark.parametrize(
    ("select", "taken"),
    [
        ("SELECT id, order_id FROM nowhere", TAKEN),
        ("SELECT id, order_id FROM answers WHERE taken = 0", "UPDATE nowhere SET taken = 1 WHERE id = :id"),
        ("SELECT order_id FROM answers WHERE taken = 0", TAKEN),
    ],
)
def test_statements_that_do_not_work_keep_no_other_method_waiting(
    select: str, taken: str, sql: dict[str, Any], engine: Engine
) -> None:
    """It is said which method they are of, and the rows of the next one are answered."""
    with capture_logs() as lines, running(telling(select, taken), sql) as harness:
        order(harness, "1", "2")
        answer(engine, "answers", "1")
        answer(engine, "later", "2")
        harness._wait(lambda: "2" in [reply.causation_id for reply in harness.replies()], 10.0, "the reply")
    errors = {line["error"] for line in lines if line["event"] == "answers not collected"}
    assert errors
    assert all("Teller.told (" in error for error in errors)
