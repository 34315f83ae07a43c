"""SqlAdaptor: effect, record and replies commit in one transaction of the backend's own database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo
from sqlalchemy import Engine, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import BackendUnavailable, ConfigError
from adapter_sdk.family import Applied, Claim, Failed, Family, Outcome
from adapter_sdk.ledger.base import ClaimLost, Journal, Record, Reply, State
from adapter_sdk.ledger.shared import SharedDatabase, SharedRows
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.redaction import redact_url
from adapter_sdk.settings import Section
from adaptors.sql.connection import Connection, make_engine
from adaptors.sql.failures import translate


def _beside_the_file(url: SecretStr, info: ValidationInfo) -> SecretStr:
    """A relative SQLite path is taken from the folder of `adaptor.toml`, as every path of the settings is."""
    text = url.get_secret_value()
    scheme, slashes, path = text.partition(":///")
    if not (scheme.startswith("sqlite") and slashes) or path.startswith("/") or path in ("", ":memory:"):
        return url
    folder = (info.context or {}).get("folder") or Path()
    return SecretStr(f"{scheme}:///{folder / path}")


class SqlSettings(Section):
    """`[sql]`: the backend's database, as an SQLAlchemy URL such as `postgresql+psycopg://user:password@host/name`."""

    url: Annotated[SecretStr, AfterValidator(_beside_the_file)]
    timeout: float = Field(default=30.0, gt=0, description="seconds of one statement, where the database can limit it")


class SqlAdaptor(Adaptor):
    """Base of adaptors whose backend is a database.

    Handlers take `(self, event, db)` with `db: Connection`. The ledger is a table in the same database, made by
    `adaptor sql install`, so the effect happens once.
    """

    _handle_type = Connection
    _settings_section = "sql"
    _settings_model = SqlSettings

    @classmethod
    def _family(cls, settings: Any) -> "SqlFamily":
        return SqlFamily(cls.name, settings)


class SqlFamily(Family[Connection]):
    """One transaction per event: the handler's statements, the ledger's final row and the replies."""

    promise = "The effect happens once: it commits together with the record that it happened."
    leaves_doubt = False

    def __init__(self, name: str, settings: SqlSettings) -> None:
        self._settings = settings
        self._engine = _engine(settings.url.get_secret_value())
        self._ledger = SqlLedger(SharedDatabase(self._engine), name)

    def ledger(self) -> SqlLedger:
        """The ledger inside the backend's database."""
        return self._ledger

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
            raise BackendUnavailable(f"{self._place}: {translate(error)}") from error

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        """One transaction per claim; the ledger's row is part of it, so `journal` is not needed."""
        return [self._apply(claim) for claim in claims]

    def _apply(self, claim: Claim) -> Outcome:
        committing = False
        try:
            with self.handle(claim, None) as connection:
                replies = self.call(claim, connection)
                self._record(connection, claim, replies)
                reach("sql.made")
                committing = True
        except SQLAlchemyError as error:
            return self._look_up(claim, error) if committing else Failed(_caused(translate(error), error))
        except Exception as error:  # noqa: BLE001  # the handler's own failure is the outcome of this event
            return Failed(error)
        reach("sql.committed")
        return Applied(replies, recorded=True)

    def _record(self, connection: Connection, claim: Claim, replies: tuple[Reply, ...]) -> None:
        record = Record(key=claim.key, token=claim.token, state=State.APPLIED, replies=replies, unsent=bool(replies))
        kept = self._ledger.record_in(SharedRows(connection), [record], self._ledger.clock())
        if kept != [True]:
            raise ClaimLost(f"another worker has taken over {claim.key}")

    def _look_up(self, claim: Claim, error: SQLAlchemyError) -> Outcome:
        """The answer to COMMIT was lost: the ledger's row, which commits with the effect, tells whether it happened."""
        entry = self._ledger.get(claim.key)
        if entry is not None and entry.state is State.APPLIED:
            return Applied(entry.replies, recorded=True)
        return Failed(_caused(translate(error), error))

    @contextmanager
    def handle(self, claim: Claim, journal: Journal | None) -> Iterator[Connection]:
        """A connection in a transaction: committed when the block ends, rolled back when it raises."""
        connection = Connection(self._engine)
        try:
            with connection.begin():
                self._limit_time(connection, claim)
                yield connection
        finally:
            connection.close()

    def _limit_time(self, connection: Connection, claim: Claim) -> None:
        if connection.dialect.name == "postgresql":
            seconds = claim.handler.options.timeout or self._settings.timeout
            connection.execute(text(f"SET LOCAL statement_timeout = {round(seconds * 1000)}"))

    @property
    def _place(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)


def _engine(url: str) -> Engine:
    try:
        return make_engine(url)
    except ArgumentError as error:
        raise ConfigError(f"[sql] url: {redact_url(url)} is not a database URL; write dialect+driver://…") from error
    except ImportError as error:
        missing = f"[sql] url: {redact_url(url)}: the driver is missing ({error}); install it with pip"
        raise ConfigError(missing) from error


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error
