"""One transaction for one event or several, which knows whether somebody else has ended it, and what became of it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from adapter_sdk.errors import TransientError
from adaptors.sql.connection import Connection, guarded
from adaptors.sql.dialects import Dialect, HiddenEnd

HIDDEN_END = (
    "the transaction was ended before the handler returned (COMMIT, ROLLBACK, or a statement that ends it by itself): a"
    " part of the effect may be committed without its record. Look in the database what is there, and leave the"
    ' transaction to the toolkit; where that cannot be, set [sql] ledger = "local"'
)
_SPOILT = (
    "the handler went on after a statement had failed, and the database takes no other in this transaction: let the"
    " error out, or catch it around `with db.begin_nested()`"
)


class Transaction:
    """A transaction that is begun and ended here. `committing` says that COMMIT was sent: an error may be its answer.

    `seconds` limits each statement, where the database can. A transaction with a `turn` waits for others of that name.
    """

    def __init__(self, engine: Engine, dialect: Dialect, seconds: float, *, turn: str | None = None) -> None:
        self.committing = False
        self._engine = engine
        self._dialect = dialect
        self._seconds = seconds
        self._turn = turn
        self._mark: Any = None
        self._lasted: bool | None = None

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """A connection in this transaction: committed when the block ends, rolled back when it raises."""
        connection = Connection(self._engine)
        try:
            with connection.begin():
                if self._turn is not None:
                    self._dialect.take_turn(connection, self._turn)
                self._mark = self._dialect.begin(connection, self._seconds)
                try:
                    with guarded(connection):
                        yield connection
                except Exception as error:
                    self._look_back(connection, error)
                    raise
                self.committing = True
        finally:
            connection.close()

    def limit(self, connection: Connection, seconds: float) -> None:
        """Limit the statements of the handler that is called next."""
        if seconds != self._seconds or self._dialect.limits_calls:
            self._dialect.limit(connection, seconds)
            self._seconds = seconds

    def after_handler(self, connection: Connection) -> None:
        """Let nothing of a handler reach the next one but its rows.

        Raises HiddenEnd if the driver knows of one, TransientError if the handler has left a transaction that is stuck.
        """
        if not self._dialect.lasts(connection):
            raise HiddenEnd(HIDDEN_END)
        if self._dialect.is_spoilt(connection):
            raise TransientError(_SPOILT)
        connection._settle()

    def check(self, connection: Connection) -> None:
        """Raises HiddenEnd if the connection is no longer in this transaction."""
        if not self._dialect.same(connection, self._mark):
            raise HiddenEnd(HIDDEN_END)

    def ended_in_secret(self) -> bool:
        """Whether it was committed before it failed, as far as anybody can tell."""
        return self.fate() == "committed" if self._lasted is None else not self._lasted

    def fate(self) -> str | None:
        """What the server knows of it afterwards: "committed", "aborted" or "in progress". None if nobody can tell."""
        return None if self._mark is None else self._dialect.fate(self._engine, self._mark)

    def _look_back(self, connection: Connection, error: Exception) -> None:
        """Where it can be asked, find out before ROLLBACK whether there is still the transaction to roll back."""
        if connection.invalidated:
            self._lasted = True  # as far as anybody can tell, it ended with its connection
        elif self._dialect.may_ask(connection, error):
            with suppress(SQLAlchemyError):
                self._lasted = self._dialect.same(connection, self._mark)
