"""A ledger in a database that SQLAlchemy reaches: beside the effects of a SQL adaptor, or shared by processes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from adapter_sdk.errors import ConfigError, LedgerError


class SharedDatabase:
    """The ledger's tables in the database of `engine`. They are made by `adaptor sql install` or by a DBA."""

    may_create = False

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.blob = "BYTEA" if engine.dialect.name == "postgresql" else "BLOB"

    @property
    def place(self) -> str:
        """The database URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

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
    def transaction(self) -> Iterator["SharedRows"]:
        """One transaction on a connection of its own."""
        with self._translated(), self.engine.begin() as connection:
            yield SharedRows(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise LedgerError(f"the ledger in {self.place}: {str(cause).strip()}") from error


class SharedRows:
    """Ledger statements on an open SQLAlchemy connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once per row of parameters."""
        result: CursorResult[Any] = self._connection.execute(text(statement), [dict(row) for row in rows])
        return result.rowcount

    def fetch(self, statement: str, values: Mapping[str, Any]) -> list[Sequence[Any]]:
        """The rows that a query finds."""
        return list(self._connection.execute(text(statement), dict(values)).all())
