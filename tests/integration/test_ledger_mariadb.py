from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, create_engine

from adapter_sdk import ConfigError
from adapter_sdk.ledger.base import Record, State, Verdict
from adapter_sdk.ledger.schema import create_statements, migration_statements
from adapter_sdk.ledger.shared import SharedDatabase
from adapter_sdk.ledger.store import SqlLedger
from tests.ledger_contract import LedgerContract, request


@pytest.fixture
def engine(fresh_mariadb_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    engine = create_engine(fresh_mariadb_url)
    yield engine
    engine.dispose()


class TestMariaDbLedger(LedgerContract):
    """The contract, kept by a ledger in MariaDB."""

    @pytest.fixture
    def opened(self, engine: Engine) -> Callable[[], SqlLedger]:
        SqlLedger(SharedDatabase(engine), "erp").install()

        def open_one() -> SqlLedger:
            ledger = SqlLedger(SharedDatabase(engine), "erp")
            ledger.open()
            return ledger

        return open_one

    def test_what_a_dba_is_given_to_run(self, engine: Engine) -> None:
        """The statements of `adaptor sql install --print` make the ledger by themselves."""
        database = SharedDatabase(engine)
        statements = [*create_statements(database.blob), *migration_statements(1)]
        with engine.begin() as connection:
            for statement in map(database.spoken, statements):
                connection.exec_driver_sql(statement)
        ledger = SqlLedger(database, "erp")
        ledger.open()
        assert self.claimed(ledger).attempts == 1

    def test_ids_that_a_collation_takes_for_equal(self, opened: Callable[[], SqlLedger]) -> None:
        """Whatever the database takes for the same letter, ids that differ are different events."""
        ledger = opened()
        for name in ("straße", "strasse", "STRASSE", "strässe", "strasse "):
            assert self.claimed(ledger, name).attempts == 1
        assert [entry.key.id for entry in ledger.lookup("strasse")] != []
        assert all(entry.key.id.rstrip() == "strasse" for entry in ledger.lookup("strasse"))

    def test_mysql_is_another_database(self, engine: Engine) -> None:
        """MySQL, which has the same driver and dialect, is refused with what to set instead."""
        with engine.connect():
            engine.dialect.is_mariadb = False  # type: ignore[attr-defined]
        with pytest.raises(ConfigError, match=r'not in MySQL; set \[sql\] ledger = "local"'):
            SqlLedger(SharedDatabase(engine), "erp").install()


def test_workers_that_claim_at_once(engine: Engine) -> None:
    """Threads that claim and record different events, and the same ones again, get in nobody's way."""
    SqlLedger(SharedDatabase(engine), "erp").install()

    def work(worker: int) -> int:
        ledger = SqlLedger(SharedDatabase(engine), "erp")
        applied = 0
        for batch in range(10):
            names = [f"{worker}-{batch}-{number}" for number in range(20)]
            for _ in range(2):
                answers = ledger.claim([request(name) for name in names], 1.0)
                granted = [entry for verdict, entry in answers if verdict is Verdict.GRANTED]
                ends = [Record(key=entry.key, token=entry.token, state=State.APPLIED) for entry in granted]
                applied += sum(ledger.record(ends, 2.0))
        return applied

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [200] * 4
