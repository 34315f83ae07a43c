"""How effects reach a database: several events in one transaction, with the ledger inside it or beside it."""

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import ClassVar

from sqlalchemy import Engine, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from adapter_sdk.answers import Answers
from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import AdaptorError, BackendUnavailable, ConfigError, InDoubt
from adapter_sdk.family import Applied, Claim, Failed, Family, Outcome
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ledger.base import ClaimLost, Journal, Record, Reply, State, to_send
from adapter_sdk.ledger.shared import PostgresOwner, SharedDatabase, SharedRows
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.redaction import redact_url
from adaptors.sql.answers import RowCollector
from adaptors.sql.batch import Batches, Stopped
from adaptors.sql.connection import Connection, make_engine
from adaptors.sql.dialects import HiddenEnd, dialect_of
from adaptors.sql.failures import passes_at_once, translate
from adaptors.sql.settings import SqlSettings
from adaptors.sql.transaction import HIDDEN_END, Transaction

_LEDGER_DATABASES = ("postgresql", "sqlite", "mysql", "mariadb")
# Seconds after which a transaction takes no further event: it holds locks that others may wait for.
_LONGEST = 0.2

Replies = tuple[Reply, ...]


class DatabaseFamily(Family[Connection]):
    """Transactions in a database that SQLAlchemy reaches, each for as many events as may share one."""

    _in_backend: ClassVar[bool] = False

    def __init__(self, settings: SqlSettings) -> None:
        self._settings = settings
        self._engine = _engine(settings.url.get_secret_value())
        self._dialect = dialect_of(self._engine)
        self._batches = Batches(self._transact, self._answers)
        self._rows = RowCollector(self._engine, self._dialect, settings.timeout, together=self._in_backend)

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

    def collect(self, answers: Answers) -> None:
        """Answer the rows that the backend has written, method by method."""
        specs = [spec for handler in self.adaptor._handlers.values() for spec in handler.answers]
        self._rows.collect(specs, answers)

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @contextmanager
    def handle(self, claim: Claim, journal: Journal | None) -> Iterator[Connection]:
        """A connection in a transaction of its own: committed when the block ends, rolled back when it raises."""
        with Transaction(self._engine, self._dialect, self._seconds(claim)).open() as connection:
            yield connection

    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        """As few transactions as possible. Events of one handler come together, so that a list of them is long."""
        sharing = sorted(filter(self._shares, claims), key=lambda claim: claim.handler.name)
        outcomes = dict(zip(sharing, self._batches.apply(sharing), strict=True))
        return [outcomes.get(claim) or self._apply_alone(claim, journal) for claim in claims]

    def effect(self, claim: Claim, journal: Journal) -> Replies:
        """Call the handler in a transaction of its own."""
        (outcome,) = self._batches.apply([claim])
        if isinstance(outcome, Failed):
            raise outcome.error
        return outcome.replies

    @abstractmethod
    def _shares(self, claim: Claim) -> bool:
        """Whether the event may share a transaction with others."""

    def _apply_alone(self, claim: Claim, journal: Journal) -> Outcome:
        return self.apply_one(claim, journal)

    def _transact(self, claims: Sequence[Claim]) -> list[Outcome]:
        """One transaction: the outcomes of the first claims, as many as it took. Raises Stopped."""
        turn = self.adaptor.name if self._batches.in_turn else None
        transaction = Transaction(self._engine, self._dialect, self._seconds(claims[0]), turn=turn)
        made: list[Replies] = []
        calling = 0  # how many claims the handler was called for that has not returned
        began = time.monotonic()
        try:
            with transaction.open() as connection:
                for call in _calls(claims):
                    calling = len(call)
                    transaction.limit(connection, self._seconds(call[0]))
                    replies = self._replies(call, connection)
                    transaction.after_handler(connection)
                    made, calling = made + replies, 0
                    if time.monotonic() - began > _LONGEST:
                        break
                self._finish(claims[: len(made)], made, transaction, connection)
                reach("sql.made")
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001  # a handler's bug, too, is the failure of its event alone
            outcomes = self._after_failure(error, claims, made, calling, transaction)
        else:
            outcomes = self._applied(made)
        reach("sql.committed")
        return outcomes

    def _replies(self, claims: Sequence[Claim], connection: Connection) -> list[Replies]:
        if claims[0].handler.takes_list:
            return self.call_together(claims, connection)
        return [self.call(claim, connection) for claim in claims]

    def _after_failure(
        self,
        error: Exception,
        claims: Sequence[Claim],
        made: Sequence[Replies],
        calling: int,
        transaction: Transaction,
    ) -> list[Outcome]:
        """The outcomes of the claims whose handlers were called. Raises Stopped if nothing of them happened."""
        meaning, again = error, False
        if isinstance(error, SQLAlchemyError):
            meaning, again = translate(error), passes_at_once(error)
            meaning.__cause__ = error
            if transaction.committing and (outcomes := self._look_up(claims[: len(made)], made, transaction, meaning)):
                return outcomes
        if isinstance(error, HiddenEnd) or transaction.ended_in_secret():
            self._batches.alone = True  # what did this will do it again, and is to draw no neighbours into its doubt
            return [Failed(InDoubt(HIDDEN_END)) for _ in range(len(made) + calling)]
        sure = calling == 1 and not again
        raise Stopped(meaning, len(made) if calling else 0, calling or len(made), again=again, sure=sure)

    def _finish(
        self, claims: Sequence[Claim], made: Sequence[Replies], transaction: Transaction, connection: Connection
    ) -> None:
        """The last thing before COMMIT."""

    @abstractmethod
    def _applied(self, made: Sequence[Replies]) -> list[Outcome]:
        """The outcomes of a transaction that was committed."""

    @abstractmethod
    def _look_up(
        self, claims: Sequence[Claim], made: Sequence[Replies], transaction: Transaction, error: AdaptorError
    ) -> list[Outcome]:
        """What came of the claims when the answer to COMMIT was an error, or none; nothing if nothing happened."""

    def _answers(self) -> bool:
        try:
            self.probe()
        except BackendUnavailable:
            return False
        return True

    def _seconds(self, claim: Claim) -> float:
        return claim.handler.options.timeout or self._settings.timeout


class SqlFamily(DatabaseFamily):
    """The handlers' statements, the ledger's final rows and the replies commit together."""

    promise = "The effect happens once: it commits together with the record that it happened."
    leaves_doubt = False
    _in_backend = True

    def __init__(self, name: str, settings: SqlSettings) -> None:
        super().__init__(settings)
        # SQLite has no sessions that others could see. There a claim may be taken over, and only one of two can commit.
        owner = PostgresOwner(self._engine, sure=False) if self._engine.dialect.name == "postgresql" else None
        self._ledger = SqlLedger(SharedDatabase(self._engine), name, owner=owner)

    def ledger(self) -> SqlLedger:
        """The ledger inside the backend's database."""
        return self._ledger

    def close(self) -> None:
        """Close the connections, that of the ledger's owner as well."""
        self._ledger.disown()
        super().close()

    def check(self) -> list[str]:
        """As for every database; and the ledger's own SQL is that of PostgreSQL and SQLite."""
        name = self._engine.dialect.name
        if name in _LEDGER_DATABASES:
            return super().check()
        return [f'[sql] ledger: it cannot be kept in {name}; set ledger = "local", and give the handlers a `verify`']

    def _shares(self, claim: Claim) -> bool:
        return not claim.in_doubt

    def _apply_alone(self, claim: Claim, journal: Journal) -> Outcome:
        outcome = self.apply_one(claim, journal)
        found_by_verify = claim.in_doubt and claim.handler.verify is not None
        # What `verify` finds to be there was not recorded with it.
        return replace(outcome, recorded=not found_by_verify) if isinstance(outcome, Applied) else outcome

    def _finish(
        self, claims: Sequence[Claim], made: Sequence[Replies], transaction: Transaction, connection: Connection
    ) -> None:
        transaction.check(connection)
        records = [
            Record(key=claim.key, token=claim.token, state=State.APPLIED, replies=sealed, unsent=bool(to_send(sealed)))
            for claim, sealed in zip(claims, made, strict=True)
        ]
        kept = self._ledger.record_in(SharedRows(connection), records, self._ledger.clock())
        if not all(kept):
            first = kept.index(False)
            raise Stopped(ClaimLost(f"another worker has taken over {claims[first].key}"), first, 1, sure=True)

    def _applied(self, made: Sequence[Replies]) -> list[Outcome]:
        return [Applied(replies, recorded=True) for replies in made]

    def _look_up(
        self, claims: Sequence[Claim], made: Sequence[Replies], transaction: Transaction, error: AdaptorError
    ) -> list[Outcome]:
        """The ledger's rows, which commit with the effects, tell whether they happened."""
        entries = [self._ledger.get(claim.key) for claim in claims]
        ended = [entry.replies for entry in entries if entry is not None and entry.state is State.APPLIED]
        return self._applied(ended) if len(ended) == len(claims) else []


class LocalLedgerFamily(DatabaseFamily):
    """Transactions in a database that has no place for the ledger.

    The row says CALLING before the transaction begins. So an event whose process died around COMMIT is in doubt. Only
    what may be done again shares a transaction, so that no doubt spreads.
    """

    promise = (
        "At most one unverified transaction: a crash around COMMIT leaves the event in doubt, to be settled by"
        " `verify`, by doing it again if it is idempotent, or by a person."
    )

    def longest_call(self, handler: HandlerSpec) -> float:
        """The time that one statement may take."""
        return handler.options.timeout or self._settings.timeout

    def effect(self, claim: Claim, journal: Journal) -> Replies:
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

    def _shares(self, claim: Claim) -> bool:
        return claim.handler.options.idempotent and not claim.in_doubt

    def _applied(self, made: Sequence[Replies]) -> list[Outcome]:
        return [Applied(replies) for replies in made]

    def _look_up(
        self, claims: Sequence[Claim], made: Sequence[Replies], transaction: Transaction, error: AdaptorError
    ) -> list[Outcome]:
        """Where the database cannot tell either, the events are in doubt."""
        fate = transaction.fate()
        if fate == "committed":
            return self._applied(made)
        if fate == "aborted" or not isinstance(error, BackendUnavailable):
            return []
        return [Failed(InDoubt(f"the answer to COMMIT was lost: {error}")) for _ in claims]


def _note(claim: Claim, journal: Journal, state: State) -> None:
    with journal.transaction() as transaction:
        transaction.note(claim.key, claim.token, state, {})


def _calls(claims: Sequence[Claim]) -> Iterator[list[Claim]]:
    """What each call of a handler is made for: one claim, or all that follow each other and that it takes as a list."""
    for handler, following in groupby(claims, key=lambda claim: claim.handler):
        if handler.takes_list:
            yield list(following)
        else:
            yield from ([claim] for claim in following)


def _engine(url: str) -> Engine:
    try:
        return make_engine(url)
    except ArgumentError as error:
        raise ConfigError(f"[sql] url: {redact_url(url)} is not a database URL; write dialect+driver://…") from error
    except ImportError as error:
        raise ConfigError(
            f"[sql] url: {redact_url(url)}: the driver is missing ({error}); install it with pip, "
            "as psycopg[binary] for postgresql+psycopg, PyMySQL for mysql+pymysql"
        ) from error
