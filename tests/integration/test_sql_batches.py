"""sql with several events in one transaction: one bad event costs only itself, and no promise is weaker."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import create_engine, exc, text
from sqlalchemy import event as hooks

from adapter_sdk import BackendUnavailable, Event, InDoubt, Refused, TransientError
from adapter_sdk.family import Applied, Claim, Failed
from adapter_sdk.ledger.base import ClaimLost, Reply, State
from adaptors.sql import Connection, SqlSettings
from adaptors.sql.family import LocalLedgerFamily, SqlFamily
from tests.journal import NoJournal
from tests.sql_stock import (
    Commits,
    Placed,
    Stock,
    Urgent,
    apply,
    claims_of,
    kind_of,
    lose_the_next_answer,
    picks,
    raising,
    running,
    sealed,
    stocked,
)

_SERVERS = {"postgresql": "fresh_pg_url", "mariadb": "fresh_mariadb_url"}


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: SQLite, PostgreSQL and MariaDB by turns."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'stock.db'}"
    return str(request.getfixturevalue(_SERVERS[request.param]))


@pytest.fixture
def family(url: str) -> Iterator[SqlFamily]:
    """The family on that database."""
    yield from stocked(url)


@pytest.fixture(params=["postgresql", "mariadb"])
def on_server(request: pytest.FixtureRequest) -> Iterator[SqlFamily]:
    """The family on a database that other sessions reach: PostgreSQL and MariaDB by turns."""
    yield from stocked(str(request.getfixturevalue(_SERVERS[request.param])))


@pytest.fixture
def on_postgresql(fresh_pg_url: str) -> Iterator[SqlFamily]:
    """The family on PostgreSQL alone."""
    yield from stocked(fresh_pg_url)


_SESSION = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
_KILL = {"postgresql": "SELECT pg_terminate_backend(:session, 5000)", "mysql": "KILL :session"}


def session_of(connection: sqlalchemy.Connection) -> int:
    """The number that the server knows a session by."""
    return connection.scalar(text(_SESSION[connection.dialect.name])) or 0


def kill(family: SqlFamily, sessions: Sequence[int]) -> None:
    """Has the server end sessions."""
    engine = create_engine(family._engine.url)
    with engine.connect() as killer:
        for session in sessions:
            killer.execute(text(_KILL[engine.dialect.name]), {"session": session})
    engine.dispose()


class TestOneTransaction:
    def test_all_events_of_a_batch_share_one(self, family: SqlFamily) -> None:
        """Effects, final rows and replies of all events commit together, in one transaction."""
        claims = claims_of(family, "abcde")
        commits = Commits(family)
        outcomes = family.apply(claims, NoJournal())
        assert (commits.begun, commits.committed) == (1, 1)
        assert outcomes == [Applied((Reply(order, "stock.picked", b"{}"),), recorded=True) for order in "abcde"]
        assert picks(family) == "abcde"
        for claim in claims:
            entry = family.ledger().get(claim.key)
            assert entry is not None
            assert (entry.state, entry.unsent, entry.replies[0].id) == (State.APPLIED, True, claim.event.id)

    @pytest.mark.parametrize("bad", ["a", "c", "e", "ae", "abcde"])
    def test_one_bad_event_costs_only_itself(self, family: SqlFamily, bad: str) -> None:
        """Whichever events fail, the others are applied, once."""
        Stock.hooks = {order: raising(Refused("no")) for order in bad}
        assert apply(family, claims_of(family, "abcde")) == "".join("R" if order in bad else "A" for order in "abcde")
        assert picks(family) == "".join(sorted(set("abcde") - set(bad)))
        assert all(Stock.called.count(order) == 1 for order in bad)
        assert family.ledger().counts().get(State.APPLIED, 0) == 5 - len(bad)

    def test_a_statement_that_fails(self, family: SqlFamily) -> None:
        """A database's error, too, is the outcome of its event alone."""
        Stock.hooks = {order: running("INSERT INTO numbers VALUES (1)") for order in "bd"}
        assert apply(family, claims_of(family, "abcde")) == "AAARA"
        assert picks(family) == "abce"

    def test_a_later_event_sees_what_an_earlier_one_did(self, family: SqlFamily) -> None:
        """Events that share a transaction see each other's rows, in their order."""
        seen: list[int | None] = []
        Stock.hooks = {order: lambda db: seen.append(db.scalar(text("SELECT COUNT(*) FROM picks"))) for order in "abc"}
        assert apply(family, claims_of(family, "abc")) == "AAA"
        assert seen == [1, 2, 3]

    def test_nothing_but_rows_reaches_the_next_handler(self, family: SqlFamily) -> None:
        """A savepoint that a handler left open is released, and options that it set on its connection are gone."""

        def leave(db: Connection) -> None:
            db.execution_options(logging_token="mine")
            db.begin_nested()

        def look(db: Connection) -> None:
            assert not db.in_nested_transaction()
            assert "logging_token" not in db.get_execution_options()

        Stock.hooks = {"a": leave, "b": look}
        assert apply(family, claims_of(family, "ab")) == "AA"
        assert picks(family) == "ab"

    def test_a_handler_that_ignores_a_failed_statement(self, on_postgresql: SqlFamily) -> None:
        """Where the database takes no statement after a failed one, the handler that went on has failed, no other."""

        def ignore(db: Connection) -> None:
            with pytest.raises(exc.ProgrammingError):
                db.execute(text("SELECT * FROM nowhere"))

        Stock.hooks = {"b": ignore}
        outcomes = on_postgresql.apply(claims_of(on_postgresql, "abc"), NoJournal())
        assert "".join(map(kind_of, outcomes)) == "ATA"
        assert isinstance(outcomes[1], Failed)
        assert "begin_nested" in str(outcomes[1].error)
        assert picks(on_postgresql) == "ac"

    def test_a_failure_that_rests_on_what_is_rolled_back(self, on_postgresql: SqlFamily) -> None:
        """An event that fails because of another's row is applied after all, if that other one fails at COMMIT."""
        with on_postgresql._engine.begin() as connection:
            connection.execute(text("CREATE TABLE late (n INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
            connection.execute(text("INSERT INTO late VALUES (1)"))

        def take_number_and_fail_late(db: Connection) -> None:
            db.execute(text("INSERT INTO numbers VALUES (7)"))
            db.execute(text("INSERT INTO late VALUES (1)"))

        Stock.hooks = {"b": take_number_and_fail_late, "c": running("INSERT INTO numbers VALUES (7)")}
        assert apply(on_postgresql, claims_of(on_postgresql, "abcd")) == "ARAA"
        assert picks(on_postgresql) == "acd"

    def test_a_constraint_that_is_checked_at_commit(self, on_postgresql: SqlFamily) -> None:
        """When COMMIT itself is refused, the event to blame is found, and the others are applied."""
        with on_postgresql._engine.begin() as connection:
            connection.execute(text("CREATE TABLE late (n INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
        Stock.hooks = {order: running("INSERT INTO late VALUES (1)") for order in "bf"}
        assert apply(on_postgresql, claims_of(on_postgresql, "abcdefgh")) == "AAAAARAA"
        assert picks(on_postgresql) == "abcdegh"

    def test_each_handler_keeps_its_own_time_limit(self, on_server: SqlFamily) -> None:
        """`timeout` of a handler limits its own statements alone, whoever shares the transaction."""
        sleep = {"postgresql": "pg_sleep", "mysql": "sleep"}[on_server._engine.dialect.name]
        Stock.hooks = dict.fromkeys(("a", "b"), running(f"SELECT {sleep}(0.4)"))
        slow, urgent = claims_of(on_server, "a"), claims_of(on_server, "b", Urgent)
        assert apply(on_server, [*urgent, *slow]) == "TA"

    @pytest.mark.parametrize(("longest", "transactions"), [(0.0, 4), (3600.0, 1)])
    def test_slow_handlers_do_not_hold_locks_for_each_other(
        self, family: SqlFamily, monkeypatch: pytest.MonkeyPatch, longest: float, transactions: int
    ) -> None:
        """A transaction that has lasted for long enough takes no further event."""
        monkeypatch.setattr("adaptors.sql.family._LONGEST", longest)
        claims = claims_of(family, "abcd")
        commits = Commits(family)
        assert apply(family, claims) == "AAAA"
        assert commits.committed == transactions

    def test_a_lost_claim(self, family: SqlFamily) -> None:
        """When another worker has taken one event over, its effect does not commit, and the others' do."""
        claims = claims_of(family, "abc")
        (taken,) = claims_of(family, "b")
        outcomes = family.apply(claims, NoJournal())
        assert "".join(map(kind_of, outcomes)) == "ACA"
        assert isinstance(outcomes[1], Failed)
        assert isinstance(outcomes[1].error, ClaimLost)
        assert picks(family) == "ac"
        assert apply(family, [taken]) == "A"


class TestTransactionsEndedInSecret:
    @pytest.mark.parametrize(
        ("server", "ending"),
        [
            ("postgresql", "COMMIT"),
            ("postgresql", "COMMIT; BEGIN"),
            ("postgresql", "ROLLBACK"),
            ("postgresql", "COMMIT AND CHAIN"),
            ("mariadb", "COMMIT"),
            ("mariadb", "ROLLBACK"),
            ("mariadb", "COMMIT AND CHAIN"),
            ("mariadb", "CREATE TABLE made (n INTEGER)"),
            ("mariadb", "CALL committing()"),
        ],
    )
    def test_all_that_ran_in_it_are_in_doubt(self, request: pytest.FixtureRequest, server: str, ending: str) -> None:
        """When a handler, or what it calls, has ended the transaction, every event that ran in it is in doubt."""
        for family in stocked(str(request.getfixturevalue(_SERVERS[server]))):
            if "CALL" in ending:
                with family._engine.begin() as connection:
                    connection.execute(text("CREATE PROCEDURE committing() COMMIT"))
            Stock.hooks = {"c": running(ending)}
            assert apply(family, claims_of(family, "abcd")).startswith("III")
            assert not set(picks(family)) - set("abcd")
            assert family.ledger().counts().get(State.APPLIED, 0) == picks(family).count("d")

    def test_events_that_had_not_run_are_applied(self, on_postgresql: SqlFamily) -> None:
        """What the driver knows of at once draws nobody in that comes later."""
        Stock.hooks = {"b": running("COMMIT")}
        assert apply(on_postgresql, claims_of(on_postgresql, "abcd")) == "IIAA"
        assert picks(on_postgresql) == "abcd"

    def test_a_failure_after_a_commit(self, on_server: SqlFamily) -> None:
        """When a handler commits in secret and then fails, those before it are in doubt too, and never done twice."""

        def commit_and_fail(db: Connection) -> None:
            db.exec_driver_sql("COMMIT")
            db.exec_driver_sql("SELECT 1")
            raise TransientError("later")

        Stock.hooks = {"b": commit_and_fail}
        assert apply(on_server, claims_of(on_server, "abcd")) == "IIAA"
        assert picks(on_server) == "abcd"
        assert Stock.called == ["a", "b", "c", "d"]

    def test_afterwards_each_event_is_alone(self, on_server: SqlFamily) -> None:
        """A process that has seen this once lets no more events share a transaction."""
        Stock.hooks = {"b": running("COMMIT")}
        apply(on_server, claims_of(on_server, "ab"))
        claims = claims_of(on_server, "cdef")
        Stock.hooks = {"d": running("COMMIT")}
        assert apply(on_server, claims) == "AIAA"

    def test_sqlite_ends_it_on_an_error(self, tmp_path: Path) -> None:
        """SQLite may roll back by itself; the events after it have a transaction of their own."""

        def ignore(db: Connection) -> None:
            db.execute(text("INSERT INTO numbers VALUES (1)"))
            with pytest.raises(exc.IntegrityError):
                db.execute(text("INSERT OR ROLLBACK INTO numbers VALUES (1)"))

        for family in stocked(f"sqlite:///{tmp_path / 'stock.db'}"):
            Stock.hooks = {"b": ignore}
            assert apply(family, claims_of(family, "abcd")) == "IIAA"
            assert picks(family) == "cd"


class TestOutages:
    @pytest.mark.parametrize("after", [True, False])
    def test_an_answer_to_commit_that_is_lost(self, family: SqlFamily, after: bool) -> None:
        """Whether COMMIT happened or not when its answer was lost: in the end each effect is there once."""
        claims = claims_of(family, "abc")
        lose_the_next_answer(family, after=after)
        outcomes = family.apply(claims, NoJournal())
        assert outcomes == [Applied((Reply(order, "stock.picked", b"{}"),), recorded=True) for order in "abc"]
        assert picks(family) == "abc"

    def test_a_session_that_is_killed(self, on_server: SqlFamily) -> None:
        """A session that dies in the middle of a batch is replaced, and no event notices."""
        killed: list[int] = []

        def die_once(db: Connection) -> None:
            if not killed:
                killed.append(session_of(db))
                kill(on_server, killed)
                db.execute(text("SELECT 1"))

        Stock.hooks = {"b": die_once}
        assert apply(on_server, claims_of(on_server, "abc")) == "AAA"
        assert picks(on_server) == "abc"

    def test_pooled_connections_that_died(self, on_server: SqlFamily) -> None:
        """Connections that the server has dropped since they were last used are replaced before an event notices."""
        claims = claims_of(on_server, "abc")
        pool = [on_server._engine.connect() for _ in range(3)]
        sessions = [session_of(connection) for connection in pool]
        for connection in pool:
            connection.close()
        kill(on_server, sessions)
        assert apply(on_server, claims) == "AAA"
        assert Stock.called == ["a", "b", "c"]

    def test_a_database_that_is_away(self) -> None:
        """Each event is told that the backend is away, and only the first had to find out."""
        family = SqlFamily("stock", SqlSettings(url=SecretStr("postgresql+psycopg://ann@127.0.0.1:1/none")))
        family.bind(Stock())
        event = Event(source="/shop", id="a", type="shop.placed", data=Placed(order_id="a"))
        claims = [Claim(event=event, handler=Stock._handlers["shop.placed"], token="t", seal=sealed) for _ in range(50)]
        connects: list[int] = []
        hooks.listen(family._engine, "do_connect", lambda *_: connects.append(1))
        outcomes = family.apply(claims, NoJournal())
        assert all(isinstance(one, Failed) and isinstance(one.error, BackendUnavailable) for one in outcomes)
        assert len(outcomes) == 50
        assert len(connects) < 5
        family.close()


class TestEachOthersWay:
    def test_batches_in_a_deadlock(self, on_server: SqlFamily) -> None:
        """Batches that lock the same rows in different orders are all applied in the end."""
        with on_server._engine.begin() as connection:
            connection.execute(text("CREATE TABLE shelf (id INTEGER PRIMARY KEY, n INTEGER)"))
            connection.execute(text("INSERT INTO shelf VALUES (1, 0), (2, 0)"))
        meet = threading.Barrier(2)

        def take(number: int) -> Callable[[Connection], object]:
            def update(db: Connection) -> None:
                db.execute(text("UPDATE shelf SET n = n + 1 WHERE id = :id"), {"id": number})
                if len(Stock.called) <= 2:
                    meet.wait(60)

            return update

        Stock.hooks = {"a": take(1), "b": take(2), "c": take(2), "d": take(1)}
        batches = [claims_of(on_server, orders) for orders in ("ab", "cd")]
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(lambda claims: apply(on_server, claims), batches))
        assert found == ["AA", "AA"]
        assert picks(on_server) == "abcd"
        with on_server._engine.connect() as connection:
            assert connection.scalars(text("SELECT n FROM shelf ORDER BY id")).all() == [2, 2]

    def test_transactions_take_turns_after_a_conflict(self, on_postgresql: SqlFamily) -> None:
        """For a while after a deadlock no two transactions of the adaptor are under way at once."""
        on_postgresql._batches._in_turn_until = time.monotonic() + 60
        inside: list[int] = []
        most: list[int] = []

        def watch(_: Connection) -> None:
            inside.append(1)
            time.sleep(0.05)
            most.append(len(inside))
            inside.pop()

        Stock.hooks = dict.fromkeys("abcd", watch)
        batches = [claims_of(on_postgresql, order) for order in "abcd"]
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(lambda claims: apply(on_postgresql, claims), batches)) == ["A"] * 4
        assert max(most) == 1

    def test_a_conflict_of_serializable_transactions(self, fresh_pg_url: str) -> None:
        """Where the database refuses one of two transactions that read what the other writes, it is made anew."""
        meet = threading.Barrier(2)

        def read(db: Connection) -> None:
            db.scalar(text("SELECT COUNT(*) FROM picks"))
            if len(Stock.called) <= 2:
                meet.wait(60)

        for family in stocked(f"{fresh_pg_url} -cdefault_transaction_isolation=serializable"):
            Stock.hooks = dict.fromkeys("ab", read)
            batches = [claims_of(family, order) for order in "ab"]
            with ThreadPoolExecutor(2) as threads:
                found = list(threads.map(lambda claims, family=family: apply(family, claims), batches))
            assert found == ["A", "A"]
            assert len(Stock.called) == 3
            assert picks(family) == "ab"


class TestLedgerElsewhere:
    def test_only_what_may_be_repeated_shares_a_transaction(self, family: SqlFamily) -> None:
        """With the ledger elsewhere a doubt would spread; events of idempotent handlers have none, and share."""
        placed, urgent = claims_of(family, "abc"), claims_of(family, "def", Urgent)
        local = LocalLedgerFamily(family._settings)
        local.bind(Stock())
        commits = Commits(local)
        assert apply(local, [*placed, *urgent]) == "AAAAAA"
        assert commits.committed == 4
        assert picks(local) == "abcdef"
        local.close()

    def test_a_lost_answer_is_a_doubt_of_each(self, tmp_path: Path) -> None:
        """Where nobody can tell what became of COMMIT, all events of the transaction are in doubt."""
        for family in stocked(f"sqlite:///{tmp_path / 'stock.db'}"):
            claims = claims_of(family, "abc")
            local = LocalLedgerFamily(family._settings)
            local.bind(Stock())
            lose_the_next_answer(local, after=True)
            outcomes = local.apply(claims, NoJournal())
            assert [type(one.error) for one in outcomes if isinstance(one, Failed)] == [InDoubt] * 3
            assert picks(local) == "abc"
            local.close()
