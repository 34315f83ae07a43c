"""SqlAdaptor: effect, record and replies commit in one transaction of the backend's own database."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import BackendUnavailable, ConfigError, InDoubt, LedgerError
from adapter_sdk.family import Applied, Claim, Family, Outcome
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import ClaimLost, Journal, Record, Reply, State
from adapter_sdk.ledger.shared import SharedDatabase, SharedRows
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.redaction import redact_url
from adaptors.sql.connection import Connection, make_engine
from adaptors.sql.failures import translate
from adaptors.sql.settings import SqlSettings
from adaptors.sql.transaction import HIDDEN_END, Transaction

_LEDGER_DATABASES = ("postgresql", "sqlite")


class SqlAdaptor(Adaptor):
    """Base of adaptors whose backend is a database.

    Handlers take `(self, event, db)` with `db: Connection`. The ledger is a table in the same database, made by
    `adaptor sql install`, so the effect happens once. Where no table may be added, `[sql] ledger = "local"` keeps it
    outside, and `verify` settles what a crash leaves in doubt.
    """

    _handle_type = Connection
    _settings_section = "sql"
    _settings_model = SqlSettings

    @classmethod
    def _family(cls, settings: Any) -> "DatabaseFamily":
        return SqlFamily(cls.name, settings) if settings.ledger == "backend" else LocalLedgerFamily(settings)


class DatabaseFamily(Family[Connection]):
    """A transaction for each event, in a database that SQLAlchemy reaches."""

    def __init__(self, settings: SqlSettings) -> None:
        self._settings = settings
        self._engine = _engine(settings.url.get_secret_value())

    def check(self) -> list[str]:
        """A SQLite file that is not there is a mistyped path: opening it would make an empty database."""
        database = self._engine.url.database
        if self._engine.dialect.name != "sqlite" or not database or database == ":memory:" or Path(database).exists():
            return []
        return [f"[sql] url: there is no database file {database}"]

    def probe(self) -> None:
        """Open a connection and ask for a 1."""
        try:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            place = self._engine.url.render_as_string(hide_password=True)
            raise BackendUnavailable(f"{place}: {translate(error)}") from error

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @contextmanager
    def handle(self, claim: Claim, journal: Journal | None) -> Iterator[Connection]:
        """A connection in a transaction: committed when the block ends, rolled back when it raises."""
        with self._transaction(claim).open() as connection:
            yield connection

    def effect(self, claim: Claim, journal: Journal) -> tuple[Reply, ...]:
        """Call the handler in a transaction of its own. What a family adds to it is in the two methods below."""
        transaction = self._transaction(claim)
        try:
            with transaction.open() as connection:
                replies = self.call(claim, connection)
                self._finish(claim, transaction, connection, replies)
                reach("sql.made")
        except Exception as error:
            if transaction.committing and isinstance(error, SQLAlchemyError):
                replies = self._look_up(claim, transaction, replies, error)
            elif (failure := _failure(transaction, error)) is error:
                raise
            else:
                raise failure from error
        reach("sql.committed")
        return replies

    def _finish(
        self, claim: Claim, transaction: Transaction, connection: Connection, replies: tuple[Reply, ...]
    ) -> None:
        """The last thing before COMMIT."""

    @abstractmethod
    def _look_up(
        self, claim: Claim, transaction: Transaction, replies: tuple[Reply, ...], error: SQLAlchemyError
    ) -> tuple[Reply, ...]:
        """The answer to COMMIT was lost: the replies if the effect happened; else raises what is known of it."""

    def _transaction(self, claim: Claim) -> Transaction:
        return Transaction(self._engine, claim.handler.options.timeout or self._settings.timeout)


class SqlFamily(DatabaseFamily):
    """One transaction per event: the handler's statements, the ledger's final row and the replies."""

    promise = "The effect happens once: it commits together with the record that it happened."
    leaves_doubt = False

    def __init__(self, name: str, settings: SqlSettings) -> None:
        super().__init__(settings)
        self._ledger = SqlLedger(SharedDatabase(self._engine), name)

    def ledger(self) -> SqlLedger:
        """The ledger inside the backend's database."""
        return self._ledger

    def check(self) -> list[str]:
        """As for every database; and the ledger's own SQL is that of PostgreSQL and SQLite."""
        name = self._engine.dialect.name
        if name in _LEDGER_DATABASES:
            return super().check()
        return [f'[sql] ledger: it cannot be kept in {name}; set ledger = "local", and give the handlers a `verify`']

    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        """One transaction per claim; the ledger's row is part of it, so `journal` is not needed."""
        return [self._apply(claim, journal) for claim in claims]

    def _apply(self, claim: Claim, journal: Journal) -> Outcome:
        # What `verify` finds to be there was not recorded with it.
        recorded = not claim.in_doubt
        outcome = self.apply_one(claim, journal)
        return replace(outcome, recorded=recorded) if isinstance(outcome, Applied) else outcome

    def _finish(
        self, claim: Claim, transaction: Transaction, connection: Connection, replies: tuple[Reply, ...]
    ) -> None:
        transaction.check(connection)
        record = Record(key=claim.key, token=claim.token, state=State.APPLIED, replies=replies, unsent=bool(replies))
        kept = self._ledger.record_in(SharedRows(connection), [record], self._ledger.clock())
        if kept != [True]:
            raise ClaimLost(f"another worker has taken over {claim.key}")

    def _look_up(
        self, claim: Claim, transaction: Transaction, replies: tuple[Reply, ...], error: SQLAlchemyError
    ) -> tuple[Reply, ...]:
        """The ledger's row, which commits with the effect, tells whether it happened."""
        entry = self._ledger.get(claim.key)
        if entry is None or entry.state is not State.APPLIED:
            raise translate(error) from error
        return entry.replies


class LocalLedgerFamily(DatabaseFamily):
    """One transaction per event, in a database that has no place for the ledger.

    The row says CALLING before the transaction begins. So an event whose process died around COMMIT is in doubt.
    """

    promise = (
        "At most one unverified transaction: a crash around COMMIT leaves the event in doubt, to be settled by"
        " `verify`, by doing it again if it is idempotent, or by a person."
    )

    def longest_call(self, handler: HandlerSpec) -> float:
        """The time that one statement may take."""
        return handler.options.timeout or self._settings.timeout

    def effect(self, claim: Claim, journal: Journal) -> tuple[Reply, ...]:
        """As for every database, between two notes in the ledger."""
        if claim.handler.options.idempotent:
            return super().effect(claim, journal)
        _note(claim, journal, State.CALLING)
        try:
            return super().effect(claim, journal)
        except InDoubt:
            raise
        except Exception:
            _note(claim, journal, State.CLAIMED)  # rolled back: a crash from here on leaves no doubt
            raise

    def _look_up(
        self, claim: Claim, transaction: Transaction, replies: tuple[Reply, ...], error: SQLAlchemyError
    ) -> tuple[Reply, ...]:
        """Where the database cannot tell either, the event is in doubt."""
        meaning = translate(error)
        fate = transaction.fate()
        if fate == "committed":
            return replies
        if fate == "aborted" or not isinstance(meaning, BackendUnavailable):
            raise meaning from error
        raise InDoubt(f"the answer to COMMIT was lost: {meaning}") from error


def _note(claim: Claim, journal: Journal, state: State) -> None:
    with journal.transaction() as transaction:
        transaction.note(claim.key, claim.token, state, {})


def _failure(transaction: Transaction, error: Exception) -> Exception:
    """What an error before COMMIT means: nothing of the effect is there, unless its transaction was ended in secret."""
    meaning = translate(error) if isinstance(error, SQLAlchemyError) else error
    known = isinstance(meaning, InDoubt | LedgerError | BackendUnavailable | ClaimLost)
    return InDoubt(HIDDEN_END) if not known and transaction.fate() == "committed" else meaning


def _engine(url: str) -> Engine:
    try:
        return make_engine(url)
    except ArgumentError as error:
        raise ConfigError(f"[sql] url: {redact_url(url)} is not a database URL; write dialect+driver://…") from error
    except ImportError as error:
        raise ConfigError(
            f"[sql] url: {redact_url(url)}: the driver is missing ({error}); install it with pip, "
            "as psycopg[binary] for postgresql+psycopg"
        ) from error
