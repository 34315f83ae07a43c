"""SqlAdaptor: effect, record and replies commit in one transaction of the backend's own database."""

from typing import Any

from adapter_sdk.adaptor import Adaptor
from adaptors.sql.answers import RowSource
from adaptors.sql.connection import Connection
from adaptors.sql.family import DatabaseFamily, LocalLedgerFamily, SqlFamily
from adaptors.sql.settings import SqlSettings


class SqlAdaptor(Adaptor):
    """Base of adaptors whose backend is a database.

    Handlers take `(self, event, db)` with `db: Connection`, or `(self, events, db)` with `events: list[Event[...]]` and
    return a list with the reply, or None, of each. The ledger is a table in the same database, made by
    `adaptor sql install`, so the effect happens once. Where no table may be added, `[sql] ledger = "local"` keeps it
    outside, and `verify` settles what a crash leaves in doubt.

    What a row says later about an event whose handler returned `Pending(key)`: `@handler.answer(key="order_id",
    select="SELECT …", taken="UPDATE … WHERE id = :id")`. The method takes a pydantic model of the row.
    """

    _handle_type = Connection
    _takes_lists = True
    _takes_answers = True
    _settings_section = "sql"
    _settings_model = SqlSettings

    @classmethod
    def _check_class(cls) -> None:
        for handler in cls._handlers.values():
            for spec in handler.answers:
                RowSource.of(spec)

    @classmethod
    def _family(cls, settings: Any) -> DatabaseFamily:
        return SqlFamily(cls.name, settings) if settings.ledger == "backend" else LocalLedgerFamily(settings)
