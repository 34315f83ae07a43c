"""The database handle of a handler: an SQLAlchemy connection inside a transaction that the toolkit ends."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import sqlalchemy
from sqlalchemy import Engine, event

from adapter_sdk.errors import ConfigError, PermanentError

# How long a SQLite transaction waits for another's, in seconds.
_SQLITE_BUSY_TIMEOUT = 10.0
_GUARDED = "adaptor.guarded"
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
    """

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

    def settle(self) -> None:
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
    return sqlalchemy.create_engine(address, pool_pre_ping=True, max_overflow=-1, connect_args=given)


@contextmanager
def guarded(connection: sqlalchemy.Connection) -> Iterator[None]:
    """While the block runs, SQLite refuses every statement that would end the transaction."""
    facts = connection.info
    facts[_GUARDED] = True
    try:
        yield
    finally:
        facts[_GUARDED] = False


def _begin_at_the_beginning(engine: Engine) -> None:
    """Python's sqlite3 opens a transaction at the first write only; what a handler reads before would be outside it."""

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

    @event.listens_for(engine, "begin")
    def explicit_begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
