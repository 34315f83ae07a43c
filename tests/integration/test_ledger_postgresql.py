import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy
from sqlalchemy import Engine, create_engine, text

from adapter_sdk import ConfigError, Key, LedgerError
from adapter_sdk.ledger.base import Entry, Record, State, Verdict
from adapter_sdk.ledger.rows import event_hash
from adapter_sdk.ledger.schema import create_statements
from adapter_sdk.ledger.shared import SharedDatabase
from adapter_sdk.ledger.store import SqlLedger
from tests.ledger_contract import LedgerContract, key, request
from tests.owed_contract import owed, sealed


@pytest.fixture
def engine(fresh_pg_url: str) -> Iterator[Engine]:
    """An engine on an empty schema."""
    engine = create_engine(fresh_pg_url)
    yield engine
    engine.dispose()


class TestPostgreSqlLedger(LedgerContract):
    """The contract, kept by a ledger that processes share."""

    @pytest.fixture
    def opened(self, engine: Engine) -> Callable[[], SqlLedger]:
        SqlLedger(SharedDatabase(engine), "erp").install()

        def open_one() -> SqlLedger:
            ledger = SqlLedger(SharedDatabase(engine), "erp")
            ledger.open()
            return ledger

        return open_one

    def test_processes_that_complete_the_same_answers_take_turns(self, opened: Callable[[], SqlLedger]) -> None:
        """Each answer completes one event, whichever process is first, and none of them fails."""
        self.applied(opened(), *((f"e-{number}", [owed(number, f"k-{number % 3}")]) for number in range(12)))
        answers = [(Key("/answers", f"a-{number}"), f"k-{number % 3}") for number in range(12)]

        def complete(backwards: bool) -> int:
            ledger, done = opened(), 0
            for start in (0, 6):
                with ledger.answering() as table:
                    for answer, wanted in sorted(answers[start : start + 6], reverse=backwards):
                        found = None if table.completed_by(answer) else table.oldest("shop.placed", wanted)
                        if found is not None:
                            table.complete(found[0], sealed(found[1]), answer)
                            done += 1
            return done

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(complete, [False, True, False, True]))
        ledger = opened()
        assert sum(done) == 12
        assert ledger.answer_counts() == (0, 0)
        with ledger.answering() as table:
            assert len({entry.key for answer, _ in answers if (entry := table.completed_by(answer))}) == 12

    def test_a_claim_waits_for_the_owner_s_commit_and_then_is_a_duplicate(
        self, opened: Callable[[], SqlLedger]
    ) -> None:
        """A second claim waits for the owner's open transaction; after its COMMIT there is nothing left to do."""
        owner, other = opened(), opened()
        entry = self.claimed(owner)
        verdicts: list[Verdict] = []

        def claim() -> None:
            ((verdict, _),) = other.claim([request()], 3.0)
            verdicts.append(verdict)

        thread = threading.Thread(target=claim)
        with owner.database.transaction() as rows:
            assert owner.record_in(rows, [Record(key=key(), token=entry.token, state=State.APPLIED)], 2.0) == [True]
            thread.start()
            _wait_for_a_lock(owner)
        thread.join(60)
        assert verdicts == [Verdict.DUPLICATE]

    def test_a_late_record_waits_for_the_owner_s_commit_and_changes_nothing(
        self, opened: Callable[[], SqlLedger]
    ) -> None:
        """A COMMIT whose answer was lost may end only after the release was decided: the end stays."""
        owner, late = opened(), opened()
        entry = self.claimed(owner)
        kept: list[bool] = []
        release = Record(key=key(), token=entry.token, state=State.CLAIMED, attempts=0)
        thread = threading.Thread(target=lambda: kept.extend(late.record([release], 3.0)))
        with owner.database.transaction() as rows:
            owner.record_in(rows, [Record(key=key(), token=entry.token, state=State.APPLIED)], 2.0)
            thread.start()
            _wait_for_a_lock(owner)
        thread.join(60)
        assert kept == [False]
        assert owner.counts() == {State.APPLIED: 1}

    def test_two_processes_that_forget_at_once(self, opened: Callable[[], SqlLedger]) -> None:
        """What one process is about to forget, another passes over instead of waiting for it."""
        owner, other = opened(), opened()
        for name in "abc":
            entry = self.claimed(owner, name)
            owner.record([Record(key=key(name), token=entry.token, state=State.APPLIED)], 2.0)
        row = {"adaptor": "erp", "event_hash": event_hash(key("a"))}
        with owner.database.transaction() as rows:
            where = "adaptor = :adaptor AND event_hash = :event_hash"
            rows.run(f"DELETE FROM adaptor_ledger WHERE {where}", [row])
            assert other.purge(9.0, limit=9) == 2

    def test_two_processes_that_claim_the_same_keys(self, opened: Callable[[], SqlLedger]) -> None:
        """Batches that overlap in any order end in one owner per event, without a deadlock."""
        ledgers = [opened() for _ in range(4)]
        start = threading.Barrier(len(ledgers))
        granted: list[Entry] = []
        errors: list[Exception] = []

        def claim(ledger: SqlLedger, backwards: bool) -> None:
            start.wait()
            for number in range(20):
                keys = [request(f"{number}-{item}") for item in range(20)]
                try:
                    answers = ledger.claim(keys[::-1] if backwards else keys, 1.0)
                except LedgerError as error:
                    errors.append(error)
                else:
                    granted.extend(entry for verdict, entry in answers if verdict is Verdict.GRANTED)

        threads = [
            threading.Thread(target=claim, args=(ledger, bool(index % 2))) for index, ledger in enumerate(ledgers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        last = {entry.key: entry for entry in sorted(granted, key=lambda entry: entry.attempts)}
        assert len(last) == 400
        ends = [Record(key=entry.key, token=entry.token, state=State.APPLIED) for entry in last.values()]
        assert all(ledgers[0].record(ends, 2.0))


def _wait_for_a_lock(ledger: SqlLedger) -> None:
    """Until some session of the server waits for a lock."""
    database = ledger.database
    assert isinstance(database, SharedDatabase)
    deadline = threading.Event()
    for _ in range(500):
        with database.engine.connect() as connection:
            if connection.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")):
                return
        deadline.wait(0.01)
    raise AssertionError("nobody waits for a lock")


def test_missing_tables_name_the_command_that_makes_them(engine: Engine) -> None:
    """A database without the ledger's tables is a ConfigError that says who makes them, and shows no password."""
    ledger = SqlLedger(SharedDatabase(engine), "erp")
    with pytest.raises(ConfigError, match="adaptor sql install") as caught:
        ledger.open()
    password = engine.url.password
    assert not password or str(password) not in str(caught.value)


def test_installing_twice_changes_nothing(engine: Engine) -> None:
    """The install statements can be run again over a ledger in use."""
    ledger = SqlLedger(SharedDatabase(engine), "erp")
    ledger.install()
    ledger.open()
    ledger.claim([request()], 1.0)
    ledger.install()
    ledger.open()
    assert ledger.counts() == {State.CLAIMED: 1}


def test_unreachable_database_is_a_ledger_error() -> None:
    """A database that does not answer is a LedgerError with the place and without the password."""
    url = sqlalchemy.make_url("postgresql+psycopg://ann:hunter2@127.0.0.1:1/none?connect_timeout=2")
    ledger = SqlLedger(SharedDatabase(create_engine(url)), "erp")
    for use in (ledger.open, ledger.counts):
        with pytest.raises(LedgerError, match=r"ann:\*\*\*@127\.0\.0\.1:1") as caught:
            use()
        assert "hunter2" not in str(caught.value)


def test_lost_session_is_a_ledger_error_and_heals(engine: Engine) -> None:
    """When the server ends our session, one call fails, nothing of it is kept, and a later one works again."""
    ledger = SqlLedger(SharedDatabase(engine), "erp")
    ledger.install()

    def lose() -> None:
        with ledger.database.transaction() as rows:
            rows.run("UPDATE adaptor_sequence SET last = last", [{}])
            ((victim,),) = rows.fetch("SELECT pg_backend_pid()", {})
            with engine.connect() as killer:
                killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": victim})
            rows.run("INSERT INTO adaptor_sequence (adaptor, name, last) VALUES ('erp', 'x', 1)", [{}])

    with pytest.raises(LedgerError):
        lose()
    assert ledger.counts() == {}
    with ledger.transaction() as transaction:
        assert transaction.next_number("x") == 1


def test_tables_of_an_older_version(engine: Engine) -> None:
    """A DBA's tables of version 1 are not changed by starting; `adaptor sql install` brings them up to date."""
    ledger = SqlLedger(SharedDatabase(engine), "erp")
    with ledger.database.transaction() as rows:
        for statement in create_statements(ledger.database.blob):
            rows.run(statement, [{}])
    with pytest.raises(ConfigError, match=r"schema version 1; this toolkit has \d+: .*`adaptor sql install`"):
        ledger.open()
    for _ in range(2):
        ledger.install()
        ledger.open()
    assert ledger.held() == 0
