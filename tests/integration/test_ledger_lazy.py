"""Which commits of a ledger wait for the disk: those that nothing later would make durable."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import create_engine

from adapter_sdk.ledger.base import Record, State
from adapter_sdk.ledger.database import Rows
from adapter_sdk.ledger.shared import SharedDatabase
from adapter_sdk.ledger.sqlite import SqliteDatabase
from adapter_sdk.ledger.store import SqlLedger
from adaptors.sql.connection import make_engine
from tests.ledger_contract import ORIGINAL, REPLY, key, request

SYNCHRONOUS = {"sqlite": "PRAGMA synchronous", "postgresql": "SHOW synchronous_commit"}


class Watched(SqliteDatabase):
    """Remembers which of its transactions were lazy."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.lazy: list[bool] = []

    @contextmanager
    def transaction(self, *, lazy: bool = False) -> Iterator[Rows]:  # type: ignore[override]
        self.lazy.append(lazy)
        with super().transaction(lazy=lazy) as rows:
            yield rows


def test_what_waits_for_the_disk(tmp_path: Path) -> None:
    """Claims and confirmations may be taken back by a power cut; the end of an attempt, and what is held, may not."""
    database = Watched(tmp_path / "erp.ledger")
    ledger = SqlLedger(database, "erp")
    ledger.open()
    database.lazy.clear()
    ((_, entry),) = ledger.claim([request()], 1.0)
    end = Record(key=key(), token=entry.token, state=State.APPLIED, replies=(REPLY,), unsent=True)
    ledger.record([end], 2.0)
    ledger.sent([(key(), entry.token)])
    assert database.lazy == [True, False, True]
    database.lazy.clear()
    ledger.claim([replace(request("b"), order_key="k", message=ORIGINAL)], 3.0)
    with ledger.transaction() as transaction:
        transaction.next_number("files")
    assert database.lazy == [False, False]
    ledger.close()


def test_a_local_ledger(tmp_path: Path) -> None:
    """In SQLite a lazy commit is not synced; the next one that is not lazy syncs the log, and with it all before."""
    database = SqliteDatabase(tmp_path / "erp.ledger")
    database.open()
    assert synchronous(database, "sqlite", lazy=True) == 1
    assert synchronous(database, "sqlite", lazy=False) == 2
    database.close()


def test_a_ledger_in_postgresql(fresh_pg_url: str) -> None:
    """PostgreSQL answers a lazy COMMIT at once, and any other once the log is on the disk up to it."""
    engine = create_engine(fresh_pg_url)
    database = SharedDatabase(engine)
    usual = synchronous(database, "postgresql", lazy=False)
    assert synchronous(database, "postgresql", lazy=True) == "off"
    assert synchronous(database, "postgresql", lazy=False) == usual
    engine.dispose()


def test_a_ledger_in_a_backend_s_sqlite(tmp_path: Path) -> None:
    """A file with a write-ahead log is treated as the local ledger is; without one every commit is synced."""
    path = tmp_path / "stock.db"
    for mode, level in (("DELETE", 2), ("WAL", 1)):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {mode}")
        engine = make_engine(f"sqlite:///{path}")
        database = SharedDatabase(engine)
        assert synchronous(database, "sqlite", lazy=True) == level
        assert synchronous(database, "sqlite", lazy=False) == 2
        engine.dispose()


def synchronous(database: SharedDatabase | SqliteDatabase, kind: str, *, lazy: bool) -> object:
    """How the database syncs the commit of such a transaction."""
    with database.transaction(lazy=lazy) as rows:
        return rows.fetch(SYNCHRONOUS[kind], {})[0][0]
