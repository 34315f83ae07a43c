"""A ledger in a database that SQLAlchemy reaches: beside the effects of a SQL adaptor, or shared by processes."""

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from adapter_sdk.errors import ConfigError, LedgerError
from adapter_sdk.ledger.database import Rows
from adapter_sdk.ledger.mariadb import spoken
from adapter_sdk.ledger.pieces import in_pieces
from adapter_sdk.ledger.recordset import as_json, over_rows
from adapter_sdk.ledger.sqlite import unsynced
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.redaction import redact_url

# One dialect of SQLAlchemy under two names.
_MARIADB = ("mysql", "mariadb")


class SharedDatabase:
    """The ledger's tables in the database of `engine`. They are made by `adaptor sql install` or by a DBA."""

    may_create = False

    def __init__(self, engine: Engine) -> None:
        database = engine.dialect.name
        # By default MariaDB reads what was there when the transaction began, and a claim has to see what is there now.
        self.engine = engine.execution_options(isolation_level="READ COMMITTED") if database in _MARIADB else engine
        self.blob = {"postgresql": "BYTEA", "sqlite": "BLOB"}.get(database, "LONGBLOB")
        self.passing_over_locked = "" if database == "sqlite" else " FOR UPDATE SKIP LOCKED"

    @property
    def place(self) -> str:
        """The database URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    def spoken(self, statement: str) -> str:
        """A statement of the ledger as this database says it."""
        return spoken(statement) if self.engine.dialect.name in _MARIADB else statement

    def open(self) -> None:
        """Look for the tables. Raises ConfigError if they are missing, LedgerError if the database does not answer."""
        with self._translated(), self.engine.connect() as connection:
            if not self.engine.dialect.has_table(connection, "adaptor_ledger"):
                raise ConfigError(
                    f"{self.place} has no table adaptor_ledger; create it with `adaptor sql install`, "
                    "or give a DBA what `adaptor sql install --print` writes"
                )

    def close(self) -> None:
        """The engine belongs to whoever made it; nothing to let go of."""

    @contextmanager
    def transaction(self, *, lazy: bool = False) -> Iterator["SharedRows"]:
        """One transaction on a connection of its own."""
        database = self.engine.dialect.name
        with self._translated(), self.engine.connect() as connection:
            if database in _MARIADB and not getattr(connection.dialect, "is_mariadb", True):
                raise ConfigError(
                    f'{self.place}: the ledger can be kept in MariaDB, not in MySQL; set [sql] ledger = "local"'
                )
            # On the raw connection, because it has to be said before the transaction begins.
            raw: Any = connection.connection.dbapi_connection if lazy and database == "sqlite" else None
            with unsynced(raw) if raw else nullcontext(), connection.begin():
                if lazy and database == "postgresql":
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                yield SharedRows(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise LedgerError(f"the ledger in {self.place}: {str(cause).strip()}") from error


# A host that loses power says no goodbye; by default PostgreSQL would keep its session, and the lock, for two hours.
_NOTICE_A_VANISHED_HOST = (
    "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), "
    "set_config('tcp_keepalives_count', '3', false)"
)


class PostgresOwner:
    """A process that lives as long as its database session: it holds an advisory lock on its own number.

    PostgreSQL drops the lock with the session, however the process dies, and keeps it while the process is merely
    paused; no clock is asked. With `sure` the session is looked at for each claim. Without, one that is lost unnoticed
    lets others take the claims over: that is enough where the end of a claim commits together with its effect.
    """

    def __init__(self, engine: Engine, *, sure: bool = True) -> None:
        self._engine = engine
        self._sure = sure
        self._session: Connection | None = None
        self._number = 0
        self._lock = threading.Lock()

    def identify(self) -> int:
        """The number of this process. A session that was lost is replaced, under a new number."""
        with self._lock:
            try:
                if self._session is not None:
                    if self._sure:
                        self._session.execute(text("SELECT 1"))
                    return self._number
            except SQLAlchemyError:
                self._end_session()
            try:
                self._session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._number = secrets.randbits(62) + 1
                self._session.execute(text(_NOTICE_A_VANISHED_HOST))
                self._session.execute(text("SELECT pg_advisory_lock(:number)"), {"number": self._number})
            except SQLAlchemyError as error:
                self._end_session()
                raise LedgerError(f"the ledger's owner lock: {getattr(error, 'orig', None) or error}") from error
            return self._number

    def lives(self, rows: Rows, owner: int) -> bool:
        """Whether another process holds the lock on this number."""
        if owner == self._number:
            return False
        # Taken for the length of this transaction if nobody else holds it.
        return not rows.fetch("SELECT pg_try_advisory_xact_lock(:number)", {"number": owner})[0][0]

    def renounce(self) -> None:
        """End the session and with it the lock."""
        with self._lock:
            self._end_session()

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.invalidate()
            self._session.close()
            self._session = None


class SharedLedger(SqlLedger):
    """A ledger in a PostgreSQL database, for the processes of an adaptor that compete for one queue."""

    def __init__(self, url: str, adaptor: str) -> None:
        try:
            self._engine = create_engine(url, pool_pre_ping=True, max_overflow=-1)
        except (ArgumentError, ImportError) as error:
            raise ConfigError(f"[ledger] url: {redact_url(url)} cannot be used: {error}") from error
        if self._engine.dialect.name != "postgresql":
            raise ConfigError(
                f"[ledger] url: {redact_url(url)}: a ledger shared by processes needs PostgreSQL; "
                "for one process at a time use [ledger] path"
            )
        super().__init__(SharedDatabase(self._engine), adaptor, owner=PostgresOwner(self._engine))

    def close(self) -> None:
        """Let go of the database."""
        super().close()
        self._engine.dispose()


class SharedRows:
    """Ledger statements on an open SQLAlchemy `connection`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def run(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once per row of parameters."""
        if not rows:
            return 0
        database = self.connection.dialect.name
        result: CursorResult[Any]
        if database == "postgresql" and len(rows) > 1 and (at_once := over_rows(statement)):
            result = self.connection.execute(_read(at_once), {"rows": as_json(rows)})
        elif database == "sqlite":
            return self._run_in_sqlite(statement, rows)
        else:
            said = spoken(statement) if database in _MARIADB else statement
            result = self.connection.execute(_read(said), [dict(row) for row in rows])
        return result.rowcount

    def _run_in_sqlite(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> int:
        run = self.connection.exec_driver_sql  # the driver itself reads `:name`
        pieces = [run(piece, tuple(values)).rowcount for piece, values in in_pieces(statement, rows)]
        return sum(pieces) if pieces else run(statement, [dict(row) for row in rows]).rowcount

    def fetch(self, statement: str, values: Mapping[str, Any]) -> list[Sequence[Any]]:
        """The rows that a query finds."""
        return list(self.connection.execute(text(statement), dict(values)).all())


_read = lru_cache(maxsize=64)(text)
