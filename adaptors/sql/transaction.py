"""One transaction for one event, which knows whether somebody else has ended it, and what became of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from adapter_sdk.errors import InDoubt
from adaptors.sql.connection import Connection, guarded

HIDDEN_END = (
    "the transaction was ended before the handler returned (COMMIT, ROLLBACK, or a statement that ends it by itself): a"
    " part of the effect may be committed without its record. Look in the database what is there, and leave the"
    ' transaction to the toolkit; where that cannot be, set [sql] ledger = "local"'
)


class Transaction:
    """A transaction that is begun and ended here.

    `committing` says that COMMIT was sent, so that an error may be its lost answer. `seconds` limits each statement on
    PostgreSQL.
    """

    def __init__(self, engine: Engine, seconds: float) -> None:
        self.committing = False
        self._engine = engine
        self._seconds = seconds
        self._number: int | None = None

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """A connection in this transaction: committed when the block ends, rolled back when it raises."""
        connection = Connection(self._engine)
        try:
            with connection.begin():
                if self._engine.dialect.name == "postgresql":
                    self._number = self._begin(connection)
                with guarded(connection):
                    yield connection
                self.committing = True
        finally:
            connection.close()

    def _begin(self, connection: Connection) -> int:
        """One round trip for both: the time limit, and the number that PostgreSQL knows this transaction by."""
        statement = "SELECT txid_current() FROM (SELECT set_config('statement_timeout', :limit, true)) AS limited"
        return int(connection.scalar(text(statement), {"limit": str(round(self._seconds * 1000))}) or 0)

    def check(self, connection: Connection) -> None:
        """Raises InDoubt if the connection is no longer in this transaction."""
        if self._number is not None:
            same = connection.scalar(text("SELECT txid_current()")) == self._number
        else:
            same = bool(getattr(connection.connection.dbapi_connection, "in_transaction", True))
        if not same:
            raise InDoubt(HIDDEN_END)

    def fate(self) -> str | None:
        """What PostgreSQL knows of it afterwards: "committed", "aborted" or "in progress". None if nobody can tell."""
        if self._number is None:
            return None
        try:
            with self._engine.connect() as connection:
                found = connection.scalar(text("SELECT txid_status(:number)"), {"number": self._number})
        except SQLAlchemyError:
            return None
        return None if found is None else str(found)
