"""The database handle of a handler: an SQLAlchemy connection inside a transaction that the toolkit ends."""

import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, NoReturn

import sqlalchemy
from sqlalchemy import Engine, Executable, event

from adapter_sdk.errors import ConfigError, PermanentError, Refused, TransientError
from adaptors.sql.procedures import Called, call
from adaptors.sql.upsert import Row, upsert

# How long a SQLite transaction waits for another's, in seconds.
_SQLITE_BUSY_TIMEOUT = 10.0
_GUARDED = "adaptor.guarded"
DEADLINE = "adaptor.deadline"
"""What `info` of a SQLite connection holds: the moment of time.monotonic() at which a statement is stopped."""
LIFT = "adaptor.lift"
"""What `info` of a pooled connection holds: the statement that takes a limit of the session away."""
# Steps of SQLite's virtual machine between two looks at the clock: some ms.
_STEPS = 100_000
# Without these a server that vanishes without a word is waited for up to two hours. Seconds, but for the last.
_PATIENCE = {
    "psycopg": {
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    },
    "pymysql": {"connect_timeout": 10},
}


class Connection(sqlalchemy.Connection):
    """What a SQL handler is given. Execute statements on it; the transaction ends with the handler.

    Returning commits the effect together with the record that it happened; raising rolls both back. `begin_nested`
    gives a savepoint. Ending the transaction from inside would tear the two apart: that is refused with PermanentError.
    Names of tables, columns and procedures come from the code: they are quoted, and ValueError is raised for what is
    not a plain name.
    """

    def change(self, statement: Executable, parameters: Row | Sequence[Row] | None = None, *, rows: int = 1) -> None:
        """Run an INSERT, UPDATE or DELETE that has to change so many `rows`, those of all `parameters` together.

        Raises TransientError if it changes fewer, as the missing row may come with another event, and Refused if it
        changes more.
        """
        result = self.execute(statement, parameters, execution_options={"preserve_rowcount": True})
        changed = result.rowcount
        if changed != rows:
            said = " ".join(str(statement).split())[:300]
            kind = Refused if changed > rows else TransientError
            raise kind(f"{changed} rows changed where it had to be {rows} [{said}]")

    def upsert(
        self,
        table: str | sqlalchemy.TableClause,
        rows: Row | Sequence[Row],
        *,
        key: str | Sequence[str],
        newer_by: str | None = None,
    ) -> int:
        """Insert rows, or update those that have the same `key`: the columns of a primary key or unique constraint.

        A row that breaks another unique constraint is refused, never written over the row that it collides with. With
        `newer_by`, the name of a column such as a version or a time of change, a row replaces only an older one.
        Returns how many rows were written: fewer than given if some were not newer, or had nothing but their key.
        """
        many = [rows] if isinstance(rows, Mapping) else rows
        return upsert(self, table, many, [key] if isinstance(key, str) else key, newer_by)

    def call(self, procedure: str, *arguments: Any) -> Called:
        """Call a stored procedure with its arguments in order, an `Out(...)` for each that comes out.

        A function is called by a SELECT: `db.scalar(select(func.stock_of("KETTLE")))`. Raises PermanentError where
        there are no procedures, as in SQLite. What a procedure commits by itself leaves the event in doubt.
        """
        return call(self, procedure, arguments)

    def commit(self) -> NoReturn:
        """Refused: the toolkit commits when the handler returns."""
        raise PermanentError("a handler does not commit: return, and effect and record are committed together")

    def rollback(self) -> NoReturn:
        """Refused: raise instead."""
        raise PermanentError("a handler does not roll back: raise, and nothing of it happens")

    def close(self) -> None:
        """Refused while the transaction is open; called by the toolkit when it has ended."""
        if self.in_transaction():
            raise PermanentError("a handler does not close its connection: return or raise")
        super().close()

    def _settle(self) -> None:
        """Called by the toolkit between the handlers of one transaction: savepoints and options end with a handler."""
        while (savepoint := self.get_nested_transaction()) is not None:
            savepoint.commit()
        self._execution_options = self.engine.get_execution_options()


def make_engine(url: str) -> Engine:
    """An engine whose pooled connections are looked at before use, so that a dead one fails no event.

    Raises sqlalchemy.exc.ArgumentError or ImportError if the URL or its driver cannot be used, and ConfigError for a
    database in memory.
    """
    address = sqlalchemy.make_url(url)
    if address.get_backend_name() == "sqlite":
        if address.database in (None, "", ":memory:"):
            raise ConfigError("[sql] url: a database in memory is another one for each thread; give sqlite:///<path>")
        # It writes for one at a time, and those who wait in the pool are woken, where SQLite would have them sleep.
        engine = sqlalchemy.create_engine(address, pool_size=1, max_overflow=0)
        _begin_at_the_beginning(engine)
        return engine
    defaults = _PATIENCE.get(address.get_driver_name(), {})
    given = {name: value for name, value in defaults.items() if name not in address.query}
    engine = sqlalchemy.create_engine(address, pool_pre_ping=True, max_overflow=-1, connect_args=given)
    event.listen(engine, "reset", _lift_limit)
    return engine


def _lift_limit(raw: Any, pooled: sqlalchemy.pool.ConnectionPoolEntry, _: object) -> None:
    """A limit of the session, set by a handler's transaction, is not to hold for whoever has the connection next."""
    if lift := pooled.info.pop(LIFT, None):
        with closing(raw.cursor()) as cursor:
            cursor.execute(lift)


@contextmanager
def guarded(connection: sqlalchemy.Connection) -> Iterator[None]:
    """While the block runs, SQLite refuses every statement that would end the transaction; DEADLINE ends with it."""
    facts = connection.info
    facts[_GUARDED] = True
    try:
        yield
    finally:
        facts[_GUARDED] = False
        facts.pop(DEADLINE, None)


def _begin_at_the_beginning(engine: Engine) -> None:
    """Python's sqlite3 opens a transaction at the first write only; what a handler reads before would be outside it.

    Nor has SQLite a time limit: it is a callback that stops what runs longer.
    """

    @event.listens_for(engine, "connect")
    def prepare(raw: sqlite3.Connection, pooled: sqlalchemy.pool.ConnectionPoolEntry) -> None:
        raw.isolation_level = None
        raw.execute(f"PRAGMA busy_timeout = {int(_SQLITE_BUSY_TIMEOUT * 1000)}")
        raw.set_authorizer(
            lambda action, *_: (
                sqlite3.SQLITE_DENY
                if action == sqlite3.SQLITE_TRANSACTION and pooled.info.get(_GUARDED)
                else sqlite3.SQLITE_OK
            )
        )
        raw.set_progress_handler(lambda: time.monotonic() > pooled.info.get(DEADLINE, math.inf), _STEPS)

    # A listener for "begin" would make every statement a third dearer.
    setattr(engine.dialect, "do_begin", _begin_immediate)  # noqa: B010 - mypy lets nobody assign to a method


def _begin_immediate(connection: Any) -> None:
    connection.cursor().execute("BEGIN IMMEDIATE")
