"""What differs between databases inside a transaction: time limits, and whether the transaction is still the same."""

import time
import zlib
from typing import Any, ClassVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from adapter_sdk.errors import InDoubt
from adaptors.sql.connection import DEADLINE, LIFT
from adaptors.sql.failures import passes_at_once


class HiddenEnd(InDoubt):
    """A handler, or something that its statements set off, ended the transaction."""


class Dialect:
    """A database of which only what DB-API says is known: no limits, and no hidden end is noticed.

    `limits_calls`: what `limit` sets holds for one call of a handler, not until it is set anew.
    """

    limits_calls: ClassVar[bool] = False

    def begin(self, connection: Connection, seconds: float) -> Any:
        """The first statement of a transaction; statements are limited to `seconds`. What `same` knows it by."""
        return None

    def limit(self, connection: Connection, seconds: float) -> None:
        """From here on, until the end of the transaction, no statement takes longer."""

    def take_turn(self, connection: Connection, name: str) -> None:
        """Wait until no other transaction of this name is under way that took its turn."""

    def lasts(self, connection: Connection) -> bool:
        """Whether the driver knows of a transaction, without asking the server."""
        return True

    def is_spoilt(self, connection: Connection) -> bool:
        """Whether the database takes no more statements, because one has failed."""
        return False

    def same(self, connection: Connection, mark: Any) -> bool:
        """Whether the connection is still in the transaction that `begin` began. Asked once, before its end."""
        return True

    def may_ask(self, connection: Connection, error: Exception) -> bool:
        """Whether `same` can be asked when a handler has failed with this error."""
        return False

    def fate(self, engine: Engine, mark: Any) -> str | None:
        """What the server knows afterwards: "committed", "aborted" or "in progress"; None if it cannot tell."""
        return None


class PostgreSQL(Dialect):
    """Each transaction has a number, and the server remembers what became of it."""

    def begin(self, connection: Connection, seconds: float) -> int:
        """One round trip for both."""
        statement = "SELECT txid_current() FROM (SELECT set_config('statement_timeout', :limit, true)) AS limited"
        return int(connection.scalar(text(statement), {"limit": _milliseconds(seconds)}) or 0)

    def limit(self, connection: Connection, seconds: float) -> None:
        """By a setting that ends with the transaction."""
        connection.execute(
            text("SELECT set_config('statement_timeout', :limit, true)"), {"limit": _milliseconds(seconds)}
        )

    def take_turn(self, connection: Connection, name: str) -> None:
        """By an advisory lock, which ends with the transaction."""
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:space, :name)"),
            {"space": _TURNS, "name": zlib.crc32(name.encode()) - 2**31},
        )

    def lasts(self, connection: Connection) -> bool:
        """A COMMIT that nothing has followed yet leaves libpq outside of a transaction."""
        return self._status(connection) != _IDLE

    def is_spoilt(self, connection: Connection) -> bool:
        """Until its end a transaction of PostgreSQL stands still after an error."""
        return self._status(connection) == _IN_ERROR

    def same(self, connection: Connection, mark: int) -> bool:
        """By its number."""
        return bool(connection.scalar(text("SELECT txid_current()")) == mark)

    def may_ask(self, connection: Connection, error: Exception) -> bool:
        """Not in a transaction in which a statement has failed."""
        return self._status(connection) == _IN_TRANSACTION

    def fate(self, engine: Engine, mark: int) -> str | None:
        """By its number, on another connection."""
        try:
            with engine.connect() as connection:
                found = connection.scalar(text("SELECT txid_status(:number)"), {"number": mark})
        except SQLAlchemyError:
            return None
        return None if found is None else str(found)

    @staticmethod
    def _status(connection: Connection) -> int | None:
        """PQtransactionStatus of libpq, which psycopg and psycopg2 hand through; None if the driver has none."""
        info = getattr(connection.connection.dbapi_connection, "info", None)
        return getattr(info, "transaction_status", None)


class MariaDB(Dialect):
    """A savepoint lasts as long as its transaction, also where a statement ends that by itself, as DDL does."""

    def begin(self, connection: Connection, seconds: float) -> str:
        """By a savepoint, after which the handlers' own ones come."""
        self.limit(connection, seconds)
        connection.exec_driver_sql(f"SAVEPOINT {_SAVEPOINT}")
        return _SAVEPOINT

    def limit(self, connection: Connection, seconds: float) -> None:
        """By a setting of the session, which is lifted when the connection goes back to the pool."""
        variable, unit = ("max_statement_time", 1) if _is_mariadb(connection) else ("max_execution_time", 1000)
        connection.exec_driver_sql(f"SET SESSION {variable} = {seconds * unit:g}")
        connection.info[LIFT] = f"SET SESSION {variable} = DEFAULT"

    def same(self, connection: Connection, mark: str) -> bool:
        """By its savepoint."""
        try:
            connection.exec_driver_sql(f"RELEASE SAVEPOINT {mark}")
        except OperationalError as error:
            if error.orig is not None and error.orig.args[:1] == (_NO_SUCH_SAVEPOINT,):
                return False
            raise
        return True

    def may_ask(self, connection: Connection, error: Exception) -> bool:
        """A failed statement leaves the transaction as it was; a deadlock ends it."""
        return not (isinstance(error, SQLAlchemyError) and passes_at_once(error))


class SQLite(Dialect):
    """The transaction is in this process, and so is the knowledge of it."""

    limits_calls = True

    def limit(self, connection: Connection, seconds: float) -> None:
        """By the callback that `make_engine` has set, which SQLite asks in the middle of long statements alone."""
        connection.info[DEADLINE] = time.monotonic() + seconds

    def lasts(self, connection: Connection) -> bool:
        """SQLite itself may end it on an error."""
        return bool(getattr(connection.connection.dbapi_connection, "in_transaction", True))

    def same(self, connection: Connection, mark: None) -> bool:
        """Nobody but SQLite can have ended it, and nobody can have begun another."""
        return self.lasts(connection)


# PQTRANS_IDLE, PQTRANS_INTRANS and PQTRANS_INERROR of libpq.
_IDLE, _IN_TRANSACTION, _IN_ERROR = 0, 2, 3
_SAVEPOINT = "adaptor_transaction"
# ER_SP_DOES_NOT_EXIST
_NO_SUCH_SAVEPOINT = 1305
# The first of the two numbers that an advisory lock has here; PostgresOwner of the ledger uses locks of one number.
_TURNS = 0x53514C

_KNOWN = {"postgresql": PostgreSQL, "mysql": MariaDB, "mariadb": MariaDB, "sqlite": SQLite}


def dialect_of(engine: Engine) -> Dialect:
    """What is known of the database behind an engine."""
    return _KNOWN.get(engine.dialect.name, Dialect)()


def _is_mariadb(connection: Connection) -> bool:
    return bool(getattr(connection.dialect, "is_mariadb", False))


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
