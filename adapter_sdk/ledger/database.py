"""What a ledger needs of a database and of the process that uses it; see sqlite.py and shared.py."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Rows(Protocol):
    """Statements inside one transaction, with `:name` parameters."""

    def run(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once per row of parameters; how many table rows it changed."""
        ...

    def fetch(self, statement: str, values: Mapping[str, Any]) -> list[Sequence[Any]]:
        """The rows that a query finds."""
        ...


class Database(Protocol):
    """A place where tables live. Its methods raise LedgerError."""

    blob: str
    passing_over_locked: str
    """What a SELECT ends with that takes rows for itself and passes over those that others have taken, if any can."""
    may_create: bool
    """Whether `open` creates missing tables; false where that takes an install command or a DBA."""

    def spoken(self, statement: str) -> str:
        """A statement of the ledger as this database says it."""
        ...

    def open(self) -> None: ...
    def close(self) -> None: ...

    def transaction(self, *, lazy: bool = False) -> AbstractContextManager[Rows]:
        """Commits when the block ends, rolls back when it raises.

        What is `lazy` need not be on the disk at once. Others see it, it outlives this process, and it is durable as
        soon as any later transaction is; a power cut before that takes it back, where the database has such a thing.
        """
        ...

    @property
    def place(self) -> str:
        """Where this is, without a password."""
        ...


class Owner(Protocol):
    """What tells others that this process lives and owns its claims, where several processes share a ledger."""

    def identify(self) -> int:
        """The number under which others see that this process lives, above 0. Raises LedgerError."""
        ...

    def lives(self, rows: Rows, owner: int) -> bool:
        """Whether the process with this number is another one and lives."""
        ...

    def renounce(self) -> None:
        """Be dead to the others under the present number; `identify` takes a new one."""
        ...
