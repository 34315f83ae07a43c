"""sql with the ledger beside the database: what is noted when, and what the database can tell of a lost COMMIT."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, exc, text
from sqlalchemy import event as hooks

from adapter_sdk import BackendUnavailable, Event, EventData, InDoubt, Refused, TransientError, handles
from adapter_sdk.family import Applied, Claim, Failed
from adapter_sdk.ledger.base import State
from adapter_sdk.testing import AdaptorHarness, event_of
from adaptors.sql import Connection, SqlAdaptor, SqlSettings
from adaptors.sql.family import DatabaseFamily
from tests.bench import no_logs
from tests.journal import NoJournal


class Placed(EventData, type="shop.placed"):
    order_id: str


class Stock(SqlAdaptor):
    name = "stock"
    then: Callable[[Connection], object] = staticmethod(lambda db: None)

    @handles
    def pick(self, event: Event[Placed], db: Connection) -> None:
        db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": event.data.order_id})
        type(self).then(db)


class Again(Stock):
    """Does no harm when it is done again."""

    name = "again"

    @handles(idempotent=True)
    def pick(self, event: Event[Placed], db: Connection) -> None:
        super().pick(event, db)


def table_of_picks(url: str, constraint: str = "UNIQUE") -> None:
    """Makes the one table that the backend has."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE picks (id VARCHAR(20) {constraint})"))
    engine.dispose()


@pytest.fixture(autouse=True)
def _plain_handler() -> None:
    Stock.then = staticmethod(lambda db: None)


_SERVERS = {"postgresql": "fresh_pg_url", "mariadb": "fresh_mariadb_url"}


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with an empty table of picks, and without ours."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path / 'stock.db'}"
    else:
        found = str(request.getfixturevalue(_SERVERS[request.param]))
    table_of_picks(found)
    return found


@pytest.fixture
def family(url: str) -> Iterator[DatabaseFamily]:
    """The family on that database, with its ledger elsewhere."""
    family = Stock._family(SqlSettings(url=SecretStr(url), ledger="local"))
    family.bind(Stock())
    yield family
    family.close()


def claim_of(adaptor: type[Stock] = Stock) -> Claim:
    """A claim of one event."""
    event = event_of(Placed(order_id="a"))
    return Claim(event=event, handler=adaptor._handlers["shop.placed"], token="t", seal=lambda data: ())


def picks(family: DatabaseFamily) -> list[str]:
    """What was picked."""
    with family._engine.connect() as connection:
        return list(connection.scalars(text("SELECT id FROM picks")))


def applied(family: DatabaseFamily, journal: NoJournal, claim: Claim | None = None) -> Applied | Exception:
    """What came of one event: applied, or the error."""
    (outcome,) = family.apply([claim or claim_of()], journal)
    return outcome.error if isinstance(outcome, Failed) else outcome


def states(journal: NoJournal) -> list[State]:
    """What was noted, in order."""
    return [state for _, state, _ in journal.notes]


def lose_the_answer(family: DatabaseFamily, *, committed: bool) -> None:
    """COMMIT ends in a lost connection, after it has happened or before."""

    def commit(connection: Any) -> None:
        raw = connection.connection.dbapi_connection
        if committed:
            raw.commit()
        elif connection.dialect.name == "postgresql":
            raw.rollback()
        raise exc.OperationalError("COMMIT", {}, Exception("connection lost"), connection_invalidated=True)

    hooks.listen(family._engine, "commit", commit, once=True)


class TestNotes:
    def test_the_row_says_calling_before_the_transaction_begins(self, family: DatabaseFamily) -> None:
        """When the handler's first statement runs, the ledger already says that its effect may come to be."""
        journal, seen = NoJournal(), []
        hooks.listen(family._engine, "begin", lambda _: seen.append(states(journal)), once=True)
        assert applied(family, journal) == Applied()
        assert seen == [[State.CALLING]]
        assert states(journal) == [State.CALLING]
        assert picks(family) == ["a"]

    @pytest.mark.parametrize(
        "error", [Refused("no"), TransientError("later"), BackendUnavailable("away"), ValueError()]
    )
    def test_what_was_rolled_back_is_no_doubt(self, family: DatabaseFamily, error: Exception) -> None:
        """When a handler fails, nothing of it is there, and the row says so at once."""

        def fail(_: Connection) -> None:
            raise error

        Stock.then = staticmethod(fail)
        journal = NoJournal()
        assert applied(family, journal) is error
        assert states(journal) == [State.CALLING, State.CLAIMED]
        assert picks(family) == []

    def test_what_may_be_repeated_needs_no_note(self, family: DatabaseFamily) -> None:
        """An idempotent handler is simply called again after a crash."""
        family.bind(Again())
        journal = NoJournal()
        assert applied(family, journal, claim_of(Again)) == Applied()
        assert journal.notes == []

    def test_the_promise_is_that_of_a_backend_without_a_ledger(self, family: DatabaseFamily) -> None:
        """`adaptor check` promises less than with the ledger in the database, and does not say "never" in doubt."""
        assert "in doubt" in family.promise
        assert family.leaves_doubt
        assert family.ledger() is None


class TestLostAnswers:
    def test_a_commit_that_happened(self, family: DatabaseFamily) -> None:
        """PostgreSQL tells that the lost COMMIT happened; where nobody can tell, the event is in doubt."""
        lose_the_answer(family, committed=True)
        journal = NoJournal()
        outcome = applied(family, journal)
        if family._engine.dialect.name == "postgresql":
            assert outcome == Applied()
        else:
            assert isinstance(outcome, InDoubt)
        assert states(journal) == [State.CALLING]
        assert picks(family) == ["a"]

    def test_a_commit_that_did_not_happen(self, family: DatabaseFamily) -> None:
        """PostgreSQL tells that it did not happen, and it is made anew; where nobody can tell, it is a doubt."""
        lose_the_answer(family, committed=False)
        outcome = applied(family, NoJournal())
        if family._engine.dialect.name == "postgresql":
            assert outcome == Applied()
            assert picks(family) == ["a"]
        else:
            assert isinstance(outcome, InDoubt)
            assert picks(family) == []

    def test_a_constraint_that_is_checked_at_commit(self, fresh_pg_url: str) -> None:
        """A no that comes only with COMMIT is a refusal and no doubt."""
        table_of_picks(fresh_pg_url, "UNIQUE DEFERRABLE INITIALLY DEFERRED")
        family = Stock._family(SqlSettings(url=SecretStr(fresh_pg_url), ledger="local"))
        family.bind(Stock())
        assert applied(family, NoJournal()) == Applied()
        assert isinstance(applied(family, NoJournal()), Refused)
        family.close()


class TestRunning:
    def test_an_adaptor_that_adds_no_table(self, url: str) -> None:
        """Run as a whole, the adaptor keeps its ledger in a file, and the database has the backend's tables alone."""
        event = event_of(Placed(order_id="a"))
        sections: Mapping[str, Mapping[str, Any]] = {"sql": {"url": url, "ledger": "local"}}
        with no_logs(), AdaptorHarness(Stock, sections) as harness:
            harness.publish(event, event)
            harness.wait_until_settled()
            assert harness.ledger.counts() == {State.APPLIED: 1}
            assert harness.settings.ledger.path is not None
            assert harness.settings.ledger.path.exists()
        engine = create_engine(url)
        with engine.connect() as connection:
            assert not engine.dialect.has_table(connection, "adaptor_ledger")
            assert list(connection.scalars(text("SELECT id FROM picks"))) == ["a"]
        engine.dispose()

    def test_a_paused_handler_holds_up_no_other(self, fresh_pg_url: str) -> None:
        """Notes of other events are written while a handler is in its transaction."""
        table_of_picks(fresh_pg_url)
        entered, proceed = threading.Event(), threading.Event()

        def hold(db: Connection) -> None:
            if not entered.is_set():
                entered.set()
                assert proceed.wait(60)

        Stock.then = staticmethod(hold)
        with no_logs(), AdaptorHarness(Stock, {"sql": {"url": fresh_pg_url, "ledger": "local"}}) as harness:
            first, second = event_of(Placed(order_id="a")), event_of(Placed(order_id="b"))
            harness.publish(first)
            assert entered.wait(60)
            harness.publish(second)
            harness.wait_for(second, State.APPLIED)
            assert harness.wait_for(first, State.CALLING)
            proceed.set()
            harness.wait_until_settled()
