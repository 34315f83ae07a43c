"""A ledger in one SQLite file, with the standard library: the default for backends that cannot hold a ledger."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

from adapter_sdk.errors import LedgerError
from adapter_sdk.ledger.pieces import in_pieces
from adapter_sdk.ledger.store import SqlLedger

# How long one process waits for another's transaction (the command line beside the running adaptor), in seconds.
_BUSY_TIMEOUT = 10.0
# Bytes that the disk must have left when work begins: with less it would fail at one of its first events.
_LEAST_ROOM = 1 << 20


class SqliteDatabase:
    """One connection in WAL mode with synchronous FULL, so that what is committed survives a power cut."""

    blob = "BLOB"
    passing_over_locked = ""
    may_create = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self.path)

    def spoken(self, statement: str) -> str:
        """As it stands."""
        return statement

    def open(self) -> None:
        """Open the file, making it if there is none. Raises LedgerError if it cannot be used, or the disk is full."""
        self._look_for_room()
        with self._lock, self._translated():
            if self._connection is not None:
                return
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def transaction(self, *, lazy: bool = False) -> Iterator["_SqliteRows"]:
        """One transaction at a time, whichever thread asks."""
        with self._lock:
            if self._connection is None:
                raise LedgerError(f"the ledger {self.path} is not open")
            with self._translated(), unsynced(self._connection) if lazy else nullcontext():
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield _SqliteRows(self._connection)
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise

    def _look_for_room(self) -> None:
        with suppress(OSError):  # a folder that is missing or closed is told of by SQLite
            disk = os.statvfs(self.path.parent)
            if disk.f_bavail * disk.f_frsize < _LEAST_ROOM:
                raise LedgerError(f"the ledger {self.path}: the disk is full; make room on that disk")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            hint = {
                "SQLITE_FULL": "; make room on that disk",
                "SQLITE_BUSY": "; another process holds it: see who uses the file",
                "SQLITE_CANTOPEN": "; check that the folder exists and may be written",
                "SQLITE_READONLY": "; check the owner and mode of the file and its folder",
                "SQLITE_NOTADB": "; this file is not a ledger: set [ledger] path to another",
                "SQLITE_CORRUPT": "; restore it from a backup before starting again",
            }.get(getattr(error, "sqlite_errorname", ""), "")
            raise LedgerError(f"the ledger {self.path}: {error}{hint}") from error


@contextmanager
def unsynced(connection: sqlite3.Connection) -> Iterator[None]:
    """What is committed in this block is synced with the next commit after it: a write-ahead log is synced as a whole.

    Without such a log it is synced at once.
    """
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        yield
        return
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA synchronous = {synchronous}")


class _SqliteRows:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once per row of parameters."""
        if not rows:
            return 0
        if len(rows) == 1:
            return self._connection.execute(statement, rows[0]).rowcount
        pieces = [self._connection.execute(piece, values).rowcount for piece, values in in_pieces(statement, rows)]
        return sum(pieces) if pieces else self._connection.executemany(statement, rows).rowcount

    def fetch(self, statement: str, values: Mapping[str, Any]) -> list[Sequence[Any]]:
        """The rows that a query finds."""
        return self._connection.execute(statement, values).fetchall()


def sqlite_ledger(path: Path, adaptor: str) -> SqlLedger:
    """The ledger of an adaptor in the SQLite file `path`."""
    return SqlLedger(SqliteDatabase(path), adaptor)


class Ownership:
    """Which process consumes with a local ledger: the one that holds a lock on `<ledger>.lock`.

    The kernel drops the lock with the process, however it dies, and keeps it while the process is merely paused; no
    clock is asked.
    """

    def __init__(self, ledger: Path) -> None:
        self.path = ledger.with_name(ledger.name + ".lock")
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Become the owner, without waiting. False if another process is."""
        if self._file is not None:
            return True
        try:
            file = self.path.open("w", encoding="ascii")
        except OSError as error:
            hint = "check that the folder exists and may be written"
            raise LedgerError(f"{self.path}: {error.strerror}; {hint}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Stop being the owner."""
        if self._file is not None:
            self._file.close()
            self._file = None
