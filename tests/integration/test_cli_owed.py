"""`adaptor owed`, and `adaptor dead` for answers, beside an adaptor on a real RabbitMQ and a SQLite database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, NullPool, create_engine, text

from adapter_sdk import Event, EventData, Pending, handles
from adaptors.sql import Connection, SqlAdaptor
from tests.command import adaptor, at_work, document
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until


class Placed(EventData, type="shop.placed"):
    order_id: str


class Written(EventData, type="clerk.written"):
    order_id: str


class Line(BaseModel):
    order_id: str


class PatientClerk(SqlAdaptor):
    """Puts orders on a desk, and hears later that they were written down."""

    name = "patient-clerk"

    @handles
    def write(self, event: Event[Placed], db: Connection) -> Pending[Written]:
        db.execute(text("INSERT INTO desk VALUES (:id)"), {"id": event.data.order_id})
        return Pending(event.data.order_id, within=0.05 if event.data.order_id == "late" else None)

    @write.answer(
        key="order_id",
        select="SELECT id, order_id FROM book WHERE told = 0",
        taken="UPDATE book SET told = 1 WHERE id = :id",
    )
    def written(self, line: Line) -> Written:
        if line.order_id == "wrong":
            raise ValueError("nobody writes that")
        return Written(order_id=line.order_id)


@pytest.fixture
def clerk(fresh_rabbitmq: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The clerk's database with its ledger, the current folder with its settings, and a broker with its queues."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adaptor.toml").write_text(
        f'[adaptor]\napp = "{__name__}:PatientClerk"\n[broker]\nurl = "{fresh_rabbitmq.url}"\n'
        f'[sql]\nurl = "sqlite:///clerk.db"\n'
        '[runner]\nreplies = "optional"\nanswers_every = 0.05\nunmatched_after = 0.1\n'
    )
    engine = create_engine("sqlite:///clerk.db", poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE desk (id TEXT)"))
        connection.execute(text("CREATE TABLE book (id INTEGER PRIMARY KEY, order_id TEXT, told INTEGER DEFAULT 0)"))
    adaptor("sql", "install")
    yield engine
    engine.dispose()


def write(engine: Engine, *orders: str) -> None:
    """What the clerk writes into the book."""
    with engine.begin() as connection:
        for order in orders:
            connection.execute(text("INSERT INTO book (order_id) VALUES (:order)"), {"order": order})


def place(*orders: str) -> None:
    """Orders that the shop places."""
    for order in orders:
        adaptor(
            "publish",
            "--type",
            "shop.placed",
            "--source",
            "/shop",
            "--id",
            order,
            "--data",
            f'{{"order_id": "{order}"}}',
        )


def owed(*options: str) -> list[str]:
    """The keys that `adaptor owed list` shows."""
    return [row["key"] for row in document(adaptor("owed", "list", "--json", *options))]


def test_what_is_owed_is_listed_and_counted(clerk: Engine, tmp_path: Path) -> None:
    """By its key; those whose time has passed can be told apart; `doctor` says how many; one can be given up."""
    assert owed() == []
    with at_work(tmp_path):
        place("a", "late")
        wait_until(lambda: sorted(owed()) == ["a", "late"])
        wait_until(lambda: owed("--overdue") == ["late"])
        shown = adaptor("owed", "list")
        assert "OVERDUE" in shown.stdout
        assert "these are the oldest 1 of 2; --limit shows more" in adaptor("owed", "list", "--limit", "1").stderr
        assert "2 applied; 2 replies owed" in adaptor("doctor").stdout
        write(clerk, "late")
        wait_until(lambda: owed() == ["a"])
        assert adaptor("owed", "discard", "a", "--why", "the clerk is ill").stdout == "discarded a, key a\n"
        assert owed() == []
        assert "a is owed no reply" in adaptor("owed", "discard", "a", "--why", "again", status=1).stderr
        (event,) = document(adaptor("dead", "show", "a", "--json"))
        assert [decided["why"] for decided in event["decisions"]] == ["the clerk is ill"]
    assert "clerk.written (later)" in adaptor("check").stdout


def test_an_answer_that_was_set_aside_is_tried_again(clerk: Engine, tmp_path: Path) -> None:
    """Replayed, it completes the event that is there now, and is closed with who and why; before, it stays."""
    with at_work(tmp_path):
        write(clerk, "a")
        (row,) = wait_until(lambda: document(adaptor("dead", "list", "--json")))
        assert (row["reason"], row["type"]) == ("unmatched answer", "answer to shop.placed")
        assert "empty; 1 answers set aside" in adaptor("doctor").stdout
        too_early = adaptor("dead", "replay", row["id"], status=1)
        assert "is not replayed: no event is owed a reply under its key; see `adaptor owed list`" in too_early.stderr
        place("a")
        wait_until(lambda: owed() == ["a"])
        assert adaptor("dead", "replay", row["id"], "--why", "it is there now").stdout == f"replayed {row['id']}\n"
        assert owed() == []
        assert document(adaptor("dead", "list", "--json")) == []
    (closed,) = document(adaptor("dead", "show", row["id"], "--json"))
    assert (closed["state"], closed["decisions"][0]["why"]) == ("discarded", "it is there now")
    (event,) = document(adaptor("dead", "show", "a", "--json"))
    assert event["state"] == "applied"
    assert '"order_id":"a"' in adaptor("dead", "show", row["id"], "--body").stdout


def test_an_answer_that_the_method_refuses_stays(clerk: Engine, tmp_path: Path) -> None:
    """Its bytes can be looked at, its error says where it stood, and a replay says that nothing has changed."""
    with at_work(tmp_path):
        place("wrong")
        write(clerk, "wrong")
        (row,) = wait_until(lambda: document(adaptor("dead", "list", "--json")))
        refused = adaptor("dead", "replay", "--all", "--yes", status=1)
        assert "the adaptor's method still refuses it" in refused.stderr
        adaptor("dead", "discard", row["id"], "--why", "nonsense")
        assert owed() == ["wrong"]
    assert "the row with id=1" in row["error"]
    assert "nobody writes that" in row["error"]
