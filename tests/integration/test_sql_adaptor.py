import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, exc, text
from sqlalchemy import event as hooks

from adapter_sdk import (
    BackendUnavailable,
    ConfigError,
    Event,
    EventData,
    InDoubt,
    LedgerError,
    PermanentError,
    Refused,
    RetryPolicy,
    TransientError,
    handles,
)
from adapter_sdk.family import Applied, Claim, Failed, Family
from adapter_sdk.ledger.base import ClaimLost, ClaimRequest, State, Verdict
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.settings import load_settings
from adaptors.sql import Connection, SqlAdaptor, SqlSettings
from adaptors.sql.family import SqlFamily
from tests.bench import Bench, no_logs
from tests.journal import NoJournal


class Placed(EventData, type="shop.placed"):
    order_id: str
    quantity: int = 1


class Reserved(EventData, type="stock.reserved"):
    left: int


Body = Callable[[Event[Placed], Connection], int]


class Stock(SqlAdaptor):
    """Takes from the shelf, then does what the test wants."""

    name = "stock"
    then: list[Body] = []

    @handles(timeout=0.3)
    def reserve(self, event: Event[Placed], db: Connection) -> Reserved:
        db.execute(text("UPDATE stock SET quantity = quantity - :taken"), {"taken": event.data.quantity})
        db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": event.data.order_id})
        for body in self.then:
            body(event, db)
        return Reserved(left=db.scalar(text("SELECT quantity FROM stock")) or 0)


def placed(id: str, **data: Any) -> Event[Placed]:
    """An order."""
    return Event(source="/shop", id=id, type="shop.placed", data=Placed(**{"order_id": id, **data}))


def family_for(url: str, **settings: Any) -> SqlFamily:
    """The family on a database."""
    family = SqlFamily("stock", SqlSettings(url=SecretStr(url), **settings))
    family.bind(Stock())
    return family


_SERVERS = {"postgresql": "fresh_pg_url", "mariadb": "fresh_mariadb_url"}


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with a shelf of 100 in it: SQLite, PostgreSQL and MariaDB by turns."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path / 'stock.db'}"
    else:
        found = str(request.getfixturevalue(_SERVERS[request.param]))
    return stocked(found)


@pytest.fixture
def postgresql(fresh_pg_url: str) -> str:
    """The same on PostgreSQL alone."""
    return stocked(fresh_pg_url)


def stocked(url: str) -> str:
    """Fills a database and installs the ledger."""
    Stock.then = []
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE stock (quantity INTEGER CHECK (quantity >= 0))"))
        connection.execute(text("CREATE TABLE picks (id VARCHAR(20) UNIQUE)"))
        connection.execute(text("INSERT INTO stock VALUES (100)"))
    engine.dispose()
    family = family_for(url)
    family.ledger().install()
    family.close()
    return url


@pytest.fixture
def family(url: str) -> Iterator[SqlFamily]:
    """The family on that database."""
    family = family_for(url)
    yield family
    family.close()


def claim_of(family: SqlFamily, event: Event[Placed], ledger: SqlLedger | None = None) -> Claim:
    """A claim that the ledger has granted."""
    request = ClaimRequest(key=event.key, digest="d", type=event.type)
    ((verdict, entry),) = (ledger or family.ledger()).claim([request], 1.0)
    assert verdict is Verdict.GRANTED
    handler = Stock._handlers["shop.placed"]
    return Claim(event=event, handler=handler, token=entry.token, seal=lambda data: ())


def rows(family: SqlFamily) -> tuple[int, list[str]]:
    """What is on the shelf, and what was picked."""
    with family._engine.connect() as connection:
        left = connection.scalar(text("SELECT quantity FROM stock"))
        picked = connection.scalars(text("SELECT id FROM picks ORDER BY id")).all()
    return left or 0, list(picked)


def failure(family: SqlFamily, event: Event[Placed]) -> Exception:
    """Why the effect of an event failed; nothing of it is there."""
    before = rows(family)
    (outcome,) = family.apply([claim_of(family, event)], NoJournal())
    assert isinstance(outcome, Failed)
    assert rows(family) == before
    entry = family.ledger().get(event.key)
    assert entry is not None
    assert entry.state is State.CLAIMED
    return outcome.error


@contextmanager
def on_a_bench(url: str) -> Iterator[Bench]:
    """The stock's pipeline, which tries each event once."""

    def ledger_of(family: Family[Any]) -> SqlLedger:
        assert isinstance(family, SqlFamily)
        return family.ledger()

    bench = Bench(Stock, lambda: family_for(url), ledger_of, retry=RetryPolicy(immediate=0, delays=()))
    yield bench
    bench.close()


class TestOneTransaction:
    def test_effect_and_record_commit_together(self, family: SqlFamily) -> None:
        """An applied event has its effect in the database and its final row in the ledger."""
        (outcome,) = family.apply([claim_of(family, placed("a"))], NoJournal())
        assert outcome == Applied((), recorded=True)
        assert rows(family) == (99, ["a"])
        assert family.ledger().counts() == {State.APPLIED: 1}

    @pytest.mark.parametrize("error", [Refused("no"), TransientError("later"), ValueError("bug")])
    def test_a_handler_that_raises_leaves_nothing(self, family: SqlFamily, error: Exception) -> None:
        """What a handler did before it raised is rolled back with the record; its own error is the outcome."""

        def fail(*_: object) -> int:
            raise error

        Stock.then = [fail]
        assert failure(family, placed("a")) is error

    def test_a_lost_claim_rolls_the_effect_back(self, family: SqlFamily) -> None:
        """When another worker has taken the event over, this effect does not commit."""
        old = claim_of(family, placed("a"))
        new = claim_of(family, placed("a"))
        (outcome,) = family.apply([old], NoJournal())
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, ClaimLost)
        assert rows(family) == (100, [])
        assert family.apply([new], NoJournal()) == [Applied((), recorded=True)]

    @pytest.mark.parametrize("method", ["commit", "rollback", "close"])
    def test_a_handler_does_not_end_the_transaction(self, family: SqlFamily, method: str) -> None:
        """Commit, rollback and close are refused with what to do instead, and leave nothing."""
        Stock.then = [lambda event, db: getattr(db, method)()]
        error = failure(family, placed("a"))
        assert isinstance(error, PermanentError)
        assert "return" in str(error) or "raise" in str(error)

    def test_a_handler_may_use_savepoints(self, family: SqlFamily) -> None:
        """A part can be undone by a savepoint while the rest is applied."""

        def try_and_undo(event: Event[Placed], db: Connection) -> int:
            with pytest.raises(exc.IntegrityError), db.begin_nested():
                db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": event.id})
            return 0

        Stock.then = [try_and_undo]
        (outcome,) = family.apply([claim_of(family, placed("a"))], NoJournal())
        assert isinstance(outcome, Applied)
        assert rows(family) == (99, ["a"])


def commit_by_the_driver(event: Event[Placed], db: Connection) -> int:
    """Goes behind SQLAlchemy's back."""
    db.connection.commit()
    return 0


def statement(sql: str) -> Body:
    """A handler's raw SQL."""

    def run(event: Event[Placed], db: Connection) -> int:
        db.exec_driver_sql(sql)
        return 0

    return run


def fail(event: Event[Placed], db: Connection) -> int:
    """A bug."""
    raise ValueError("bug")


ENDINGS = [statement("COMMIT"), statement("COMMIT; BEGIN"), statement("ROLLBACK"), commit_by_the_driver]


class TestTransactionsEndedInSecret:
    @pytest.mark.parametrize("ending", ENDINGS, ids=["commit", "commit and begin", "rollback", "driver"])
    def test_postgresql_tells_that_it_is_another_transaction(self, postgresql: str, ending: Body) -> None:
        """An effect whose transaction did not last until the handler returned is in doubt, and is not recorded."""
        family = family_for(postgresql)
        Stock.then = [ending, lambda event, db: db.scalar(text("SELECT 1")) or 0]
        (outcome,) = family.apply([claim_of(family, placed("a"))], NoJournal())
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, InDoubt)
        assert "COMMIT" in str(outcome.error)
        assert family.ledger().counts() == {State.CLAIMED: 1}
        family.close()

    def test_a_failure_after_a_commit_is_a_doubt(self, postgresql: str) -> None:
        """When a handler has committed in secret and then fails, its effect is there: in doubt, never tried again."""
        family = family_for(postgresql)
        Stock.then = [statement("COMMIT"), fail]
        (outcome,) = family.apply([claim_of(family, placed("a"))], NoJournal())
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, InDoubt)
        assert rows(family) == (99, ["a"])
        family.close()

    @pytest.mark.parametrize(
        ("ending", "kind"),
        [
            (statement("COMMIT"), PermanentError),
            (statement("END"), PermanentError),
            (statement("ROLLBACK"), PermanentError),
            (commit_by_the_driver, sqlite3.DatabaseError),
        ],
        ids=["commit", "end", "rollback", "driver"],
    )
    def test_sqlite_refuses_to_end_it(self, tmp_path: Path, ending: Body, kind: type[Exception]) -> None:
        """SQLite lets no handler end the transaction: a failure that leaves nothing, and the next event is applied."""
        family = family_for(stocked(f"sqlite:///{tmp_path / 'stock.db'}"))
        Stock.then = [ending]
        assert type(failure(family, placed("a"))) is kind
        Stock.then = []
        assert family.apply([claim_of(family, placed("b"))], NoJournal()) == [Applied((), recorded=True)]
        family.close()

    def test_a_rollback_by_sqlite_itself_that_the_handler_ignores(self, tmp_path: Path) -> None:
        """SQLite may end a transaction on an error; a handler that goes on after it has an effect in doubt."""
        family = family_for(stocked(f"sqlite:///{tmp_path / 'stock.db'}"))

        def ignore(event: Event[Placed], db: Connection) -> int:
            with pytest.raises(exc.IntegrityError):
                db.execute(text("INSERT OR ROLLBACK INTO picks VALUES (:id)"), {"id": event.id})
            return 0

        Stock.then = [ignore]
        (outcome,) = family.apply([claim_of(family, placed("a"))], NoJournal())
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, InDoubt)
        assert rows(family) == (100, [])
        family.close()

    def test_a_doubt_is_set_aside_for_a_person(self, postgresql: str) -> None:
        """Through the pipeline the event is in doubt in the ledger, and is not tried again."""
        with no_logs(), on_a_bench(postgresql) as bench:
            Stock.then = [statement("COMMIT"), fail]
            bench.send(placed("a"))
            bench.run()
            assert bench.ledger.counts() == {State.IN_DOUBT: 1}
            assert isinstance(bench.family, SqlFamily)
            assert rows(bench.family) == (99, ["a"])


class TestWhatDatabasesSay:
    def test_a_broken_constraint_is_a_refusal(self, family: SqlFamily) -> None:
        """The database's no is the backend's no: refused, with its words and the statement, without the data."""
        error = failure(family, placed("secretly-a", quantity=1000))
        assert isinstance(error, Refused)
        assert "UPDATE stock" in str(error)
        assert "1000" not in str(error)
        assert isinstance(error.__cause__, exc.DBAPIError)

    def test_a_missing_table_is_tried_again(self, family: SqlFamily) -> None:
        """What may be mended in the meantime, as a missing table, is transient."""
        Stock.then = [lambda event, db: db.scalar(text("SELECT 1 FROM nowhere"))]
        error = failure(family, placed("a"))
        assert type(error) is TransientError
        assert "nowhere" in str(error)

    def test_data_that_no_database_can_hold_is_a_refusal(self, postgresql: str) -> None:
        """A value that PostgreSQL cannot take, as text with a NUL, will never be taken."""
        family = family_for(postgresql)
        error = failure(family, placed("a", order_id="a\x00b"))
        family.close()
        assert isinstance(error, Refused)

    def test_a_value_of_the_wrong_kind_is_no_outage(self, family: SqlFamily) -> None:
        """A Python object that a driver cannot bind is a handler's bug, which never pauses the adaptor."""
        Stock.then = [lambda event, db: db.scalar(text("SELECT :it"), {"it": object()})]
        (outcome,) = family.apply([claim_of(family, placed("a"))], NoJournal())
        assert isinstance(outcome, Applied) or not isinstance(outcome.error, BackendUnavailable)

    def test_a_statement_that_takes_too_long(self, family: SqlFamily) -> None:
        """A statement past the handler's `timeout` is ended and is transient; the next event is applied."""
        endless = {
            "postgresql": "SELECT pg_sleep(20)",
            "mysql": "SELECT sleep(20)",
            "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n",
        }[family._engine.dialect.name]
        Stock.then = [statement(endless)]
        error = failure(family, placed("a"))
        assert type(error) is TransientError
        assert endless[:30] in str(error)
        Stock.then = []
        assert family.apply([claim_of(family, placed("b"))], NoJournal()) == [Applied((), recorded=True)]

    def test_the_ledger_has_a_time_limit_of_its_own(self, family: SqlFamily) -> None:
        """What limits a handler's statements is over with its transaction, on the same connection too."""
        assert family.apply([claim_of(family, placed("a"))], NoJournal()) == [Applied((), recorded=True)]
        slow = {
            "postgresql": "SELECT pg_sleep(0.5)",
            "mysql": "SELECT sleep(0.5)",
            "sqlite": (
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 3000000) SELECT COUNT(*) FROM n"
            ),
        }[family._engine.dialect.name]
        with family.ledger().database.transaction() as rows:
            assert rows.fetch(slow, {})

    def test_a_deadlock_is_tried_again(self, postgresql: str) -> None:
        """Of two handlers in a deadlock the victim is called again at once, and both are applied."""
        family = family_for(postgresql)
        with family._engine.begin() as connection:
            connection.execute(text("CREATE TABLE locks (id INTEGER PRIMARY KEY, n INTEGER)"))
            connection.execute(text("INSERT INTO locks VALUES (1, 0), (2, 0)"))
            connection.execute(text("DELETE FROM stock"))  # both handlers begin with this row
        meet = threading.Barrier(2)
        calls: list[str] = []

        def cross(event: Event[Placed], db: Connection) -> int:
            db.execute(text("SET LOCAL statement_timeout = 0"))
            calls.append(event.id)
            for number, row in enumerate((1, 2) if event.id == "a" else (2, 1)):
                db.execute(text("UPDATE locks SET n = n + 1 WHERE id = :id"), {"id": row})
                if number == 0 and len(calls) <= 2:
                    meet.wait(60)
            return 0

        Stock.then = [cross]
        claims = [claim_of(family, placed(name)) for name in "ab"]
        with ThreadPoolExecutor(2) as threads:
            outcomes = list(threads.map(lambda claim: family.apply([claim], NoJournal()), claims))
        assert outcomes == [[Applied((), recorded=True)]] * 2
        assert len(calls) == 3
        assert rows(family) == (0, ["a", "b"])
        family.close()


class TestOutages:
    def test_a_database_that_is_down(self) -> None:
        """A database that cannot be reached is unavailable for probe and effect, and no message shows the password."""
        family = family_for("postgresql+psycopg://ann:hunter2@127.0.0.1:1/none")
        event = placed("a")
        claim = Claim(event=event, handler=Stock._handlers["shop.placed"], token="t", seal=lambda data: ())
        (outcome,) = family.apply([claim], NoJournal())
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, BackendUnavailable)
        with pytest.raises(BackendUnavailable, match=r"ann:\*\*\*@127\.0\.0\.1:1/none") as caught:
            family.probe()
        with pytest.raises(LedgerError) as ledgers:
            family.ledger().counts()
        for error in (outcome.error, caught.value, ledgers.value):
            assert "hunter2" not in f"{error} {error.__cause__}"
        family.close()

    def test_a_session_that_is_killed_in_a_handler(self, postgresql: str) -> None:
        """When the server ends the session in the middle of a handler, the backend was away and nothing is kept."""
        family = family_for(postgresql)
        Stock.then = [lambda event, db: kill_own_session(family._engine, db)]
        assert isinstance(failure(family, placed("a")), BackendUnavailable)
        Stock.then = []
        family.probe()
        family.close()

    def test_an_answer_to_commit_that_is_lost_after_it_happened(self, family: SqlFamily) -> None:
        """When COMMIT happened and its answer is lost, the ledger's row tells so: applied, once."""
        claim = claim_of(family, placed("a"))
        lose_answers(family._engine, after=True)
        assert family.apply([claim], NoJournal()) == [Applied((), recorded=True)]
        assert rows(family) == (99, ["a"])

    def test_an_answer_to_commit_that_is_lost_before_it_happened(self, family: SqlFamily) -> None:
        """When the connection was lost before COMMIT did anything, the transaction is made anew at once."""
        lost = lose_answers(family._engine, after=False)
        lost.clear()
        claim = claim_of(family, placed("a"))
        lost.append(True)
        assert family.apply([claim], NoJournal()) == [Applied((), recorded=True)]
        assert not lost
        assert rows(family) == (99, ["a"])

    def test_a_connection_that_is_lost_again_and_again(self, postgresql: str) -> None:
        """A handler that loses its connection each time is called three times, and then the backend is away."""
        family = family_for(postgresql)
        calls: list[int] = []

        def lose(event: Event[Placed], db: Connection) -> int:
            calls.append(1)
            return kill_own_session(family._engine, db)

        Stock.then = [lose]
        assert isinstance(failure(family, placed("a")), BackendUnavailable)
        assert len(calls) == 3
        family.close()

    def test_an_outage_in_the_pipeline(self, url: str) -> None:
        """Through the pipeline too an outage releases the event and the later effect happens once."""

        def away(*_: object) -> int:
            raise BackendUnavailable("away")

        with no_logs(), on_a_bench(url) as bench:
            Stock.then = [away]
            bench.send(placed("a"))
            for _ in range(3):
                assert len(bench.step().release) == 1
            Stock.then = []
            bench.run()
            assert isinstance(bench.family, SqlFamily)
            assert rows(bench.family) == (99, ["a"])
            assert len(bench.replies) == 1


def kill_own_session(engine: Engine, db: sqlalchemy.Connection) -> int:
    """Has the server end the session behind `db`, and uses it."""
    victim = db.scalar(text("SELECT pg_backend_pid()"))
    with engine.connect() as killer:
        killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": victim})
    return db.scalar(text("SELECT 1")) or 0


def lose_answers(engine: Engine, *, after: bool) -> list[bool]:
    """Makes the next COMMIT fail as a lost connection does, before or after it has happened; emptied, it does not."""
    armed = [True]

    def commit(connection: sqlalchemy.Connection) -> None:
        if armed:
            armed.clear()
            raw = connection.connection.dbapi_connection
            assert raw is not None
            if after:
                raw.commit()
            raise exc.OperationalError("COMMIT", {}, Exception("connection lost"), connection_invalidated=True)

    hooks.listen(engine, "commit", commit)
    return armed


class TestConfiguration:
    def test_missing_tables_name_the_command(self, tmp_path: Path) -> None:
        """A database without the ledger's tables is a ConfigError that names the command which makes them."""
        family = family_for(f"sqlite:///{tmp_path / 'empty.db'}")
        with pytest.raises(ConfigError, match="adaptor sql install"):
            family.ledger().open()
        family.close()

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("not a url", "is not a database URL; write dialect"),
            ("sqlite://", "in memory"),
            ("sqlite:///:memory:", "in memory"),
            ("nosuchdb://ann:hunter2@host/db", r"nosuchdb://ann:\*\*\*@host/db"),
            ("mssql+pymssql://ann:hunter2@host/db", r"the driver is missing .*install it with pip"),
        ],
    )
    def test_a_url_that_cannot_be_used(self, url: str, why: str) -> None:
        """A wrong URL or a missing driver is a ConfigError that says so without the password."""
        with pytest.raises(ConfigError, match=why) as caught:
            family_for(url)
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(("query", "seconds"), [("", 10), ("?connect_timeout=3", 3)])
    def test_a_server_that_does_not_answer_is_given_up(self, query: str, seconds: int) -> None:
        """Connecting has a time limit, and a dead connection is noticed; the URL may say otherwise."""
        family = family_for(f"postgresql+psycopg://ann@127.0.0.1:1/none{query}")
        asked: dict[str, Any] = {}
        hooks.listen(family._engine, "do_connect", lambda _dialect, _record, _args, names: asked.update(names))
        with pytest.raises(BackendUnavailable):
            family.probe()
        assert int(asked["connect_timeout"]) == seconds
        assert asked["tcp_user_timeout"] == 60_000
        family.close()

    def test_a_database_that_cannot_hold_the_ledger(self, tmp_path: Path) -> None:
        """Where the ledger's SQL is not understood, `adaptor check` says what to set instead."""
        family = family_for(stocked(f"sqlite:///{tmp_path / 'stock.db'}"))
        family._engine.dialect.name = "oracle"
        (fault,) = family.check()
        assert 'set ledger = "local"' in fault
        family.close()

    def test_settings_of_the_section(self, tmp_path: Path) -> None:
        """`[sql]` needs a URL; a missing one and a wrong timeout are reported together."""
        path = tmp_path / "adaptor.toml"
        path.write_text("[sql]\ntimeout = 0\n")
        with pytest.raises(ConfigError) as caught:
            load_settings(Stock, path, {})
        assert "ADAPTOR_SQL_URL" in str(caught.value)
        assert "timeout" in str(caught.value)
        settings = load_settings(Stock, path, {"ADAPTOR_SQL_URL": "sqlite:///stock.db", "ADAPTOR_SQL_TIMEOUT": "5"})
        assert settings.family.timeout == 5
        assert isinstance(Stock._family(settings.family), SqlFamily)
