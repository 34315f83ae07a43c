"""Answers in rows: what the backend writes later about an event, with the key that its reply is owed under.

`@handler.answer(key="order_id", select="SELECT id, order_id, status FROM pick_answers WHERE taken = 0 ORDER BY id",
taken="UPDATE pick_answers SET taken = 1 WHERE id = :id")`: each row that `select` finds is an answer. `taken` is run
for a row that is done with, with the columns that it names, so that `select` does not find it again. A row is known
again by all that was selected of it.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pydantic_core
import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from adapter_sdk.answer_methods import AnswerSpec
from adapter_sdk.answers import Answer, Answers, Completion
from adapter_sdk.envelopes import describe
from adapter_sdk.errors import BackendUnavailable, ConfigError, InvalidData, PermanentError
from adapter_sdk.ledger.database import Rows
from adapter_sdk.ledger.shared import SharedRows
from adapter_sdk.transport.base import Message
from adaptors.sql.connection import guarded
from adaptors.sql.dialects import Dialect
from adaptors.sql.failures import translate
from adaptors.sql.transaction import Transaction

_PAGE = 500
"""Rows that are answered in one commit at most."""
_JSON = "application/json"

log = structlog.get_logger("adaptor")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RowSource:
    """Where the rows for one answer method are found, and how they are taken away."""

    spec: AnswerSpec
    select: str
    taken: str
    columns: tuple[str, ...]

    @classmethod
    def of(cls, spec: AnswerSpec) -> "RowSource":
        """Read the options of `.answer`. Raises ConfigError."""
        options = dict(spec.options)
        select, taken = options.pop("select", None), options.pop("taken", None)
        if options or not isinstance(select, str) or not isinstance(taken, str):
            raise ConfigError(f"{spec.where_defined}: rows are answers: give `key`, `select` and `taken`, both SQL")
        columns = tuple(text(taken).compile().params)
        if not columns:
            raise ConfigError(f"{spec.where_defined}: `taken` names no row; write `… WHERE id = :id` with its columns")
        return cls(spec, select, taken, columns)

    def answer(self, row: Mapping[str, Any]) -> Answer:
        """The answer that a row is, whether it can be read or not. Raises PermanentError if `taken` lacks a column."""
        if missing := [name for name in self.columns if name not in row]:
            raise PermanentError(f"{self.spec.where_defined}: `taken` needs {', '.join(missing)}; select it, too")
        body = pydantic_core.to_json(dict(sorted(row.items())), bytes_mode="base64", fallback=str)
        place = ", ".join(f"{name}={row[name]}" for name in self.columns)
        record: BaseModel | Exception
        try:
            record = self.spec.record.model_validate(dict(row))
        except ValidationError as error:
            record = InvalidData(describe(error, "the row"))
        except Exception as error:  # noqa: BLE001  # a validator's bug is the end of this answer alone
            record = error
        return Answer(
            id=f"{self.spec.name}-{hashlib.sha256(body).hexdigest()[:32]}",
            spec=self.spec,
            record=record,
            message=Message(body, content_type=_JSON),
            origin=f"the row with {place}",
        )

    def take(
        self, connection: Connection, rows: Sequence[Mapping[str, Any]], completions: Sequence[Completion]
    ) -> None:
        """Mark the rows that are done with. Raises PermanentError, so that none is answered that cannot be marked."""
        for row, completion in zip(rows, completions, strict=True):
            if completion is Completion.EARLY:
                continue
            values = {name: row[name] for name in self.columns}
            changed = self._translated(lambda: connection.execute(text(self.taken), values).rowcount)  # noqa: B023
            if not changed and completion is not Completion.REPEATED:  # that one, another process may have taken
                raise PermanentError(
                    f"{self.spec.where_defined}: `taken` changes no row, and `select` would find it again"
                )

    def find(self, transaction: Transaction) -> list[Mapping[str, Any]]:
        """A page of rows. Raises BackendUnavailable, or PermanentError for a statement that does not work."""

        def fetch() -> list[Mapping[str, Any]]:
            with transaction.open() as connection:
                return [dict(row) for row in connection.execute(text(self.select)).mappings().fetchmany(_PAGE)]

        return self._translated(fetch)

    def _translated(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except SQLAlchemyError as error:
            meaning = translate(error)
            if isinstance(meaning, BackendUnavailable):
                raise meaning from error
            raise PermanentError(f"{self.spec.where_defined}: {meaning}") from error


class RowCollector:
    """Answers the rows of one database; no statement takes longer than `seconds`.

    With the ledger in the same database they are marked in the commit that answers them (`together`), else after it.
    """

    def __init__(self, engine: Engine, dialect: Dialect, seconds: float, *, together: bool) -> None:
        self._engine = engine
        self._dialect = dialect
        self._seconds = seconds
        self._together = together
        self._last: dict[str, set[str]] = {}
        self._said: set[str] = set()

    def collect(self, specs: Iterable[AnswerSpec], answers: Answers) -> None:
        """Answer all that is there. Raises BackendUnavailable, LedgerError or BrokerError at once.

        What is wrong with the statements of one method is raised when the others have been looked at, too.
        """
        troubles: list[PermanentError] = []
        for source in map(RowSource.of, specs):
            try:
                while self._answer_page(source, answers):
                    pass
            except PermanentError as error:
                troubles.append(error)
        if troubles:
            raise PermanentError("; ".join(map(str, troubles))) from troubles[0]

    def _answer_page(self, source: RowSource, answers: Answers) -> bool:
        """Answer the first rows. True if there may be more behind them."""
        rows = source.find(self._transaction())
        if not rows:
            return False
        found = [source.answer(row) for row in rows]

        def mark(ledger: Rows, completions: Sequence[Completion]) -> None:
            assert isinstance(ledger, SharedRows)  # the ledger is in this database
            with guarded(ledger.connection):
                self._dialect.limit(ledger.connection, self._seconds)
                source.take(ledger.connection, rows, completions)

        completions = answers.complete(found, mark if self._together else None)
        repeated = all(completion is Completion.REPEATED for completion in completions)
        if repeated:
            self._say_if_stuck(source, found)
        self._last[source.spec.name] = {answer.id for answer in found}
        if not self._together:
            with self._transaction().open() as connection:
                source.take(connection, rows, completions)
        return len(rows) == _PAGE and not repeated and Completion.EARLY not in completions

    def _say_if_stuck(self, source: RowSource, found: Sequence[Answer]) -> None:
        """Warn once if rows are there again that were taken a page ago: those behind a full page are never reached."""
        name = source.spec.name
        if name not in self._said and self._last.get(name) == {answer.id for answer in found}:
            self._said.add(name)
            why = f"{source.spec.where_defined}: `select` finds rows that `taken` has marked; have it leave them out"
            log.warning("answers found again", rows=len(found), error=why)

    def _transaction(self) -> Transaction:
        return Transaction(self._engine, self._dialect, self._seconds)
