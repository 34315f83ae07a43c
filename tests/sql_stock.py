"""A stock whose handlers do what a test wants, on a real database, and what became of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import create_engine, exc, text
from sqlalchemy import event as hooks

from adapter_sdk import Event, EventData, handles
from adapter_sdk.family import Applied, Claim, Failed, Outcome
from adapter_sdk.handlers import Answered
from adapter_sdk.ledger.base import ClaimRequest, Reply
from adaptors.sql import Connection, SqlAdaptor, SqlSettings
from adaptors.sql.family import LocalLedgerFamily, SqlFamily
from tests.journal import NoJournal


class Placed(EventData, type="shop.placed"):
    order_id: str


class Urgent(EventData, type="shop.urgent"):
    order_id: str


class Picked(EventData, type="stock.picked"):
    order_id: str


class Stock(SqlAdaptor):
    """Picks; what else happens with an order is in its hook."""

    name = "stock"
    hooks: dict[str, Callable[[Connection], object]] = {}
    called: list[str] = []

    @handles(timeout=5, idempotent=True)
    def pick(self, event: Event[Placed], db: Connection) -> Picked:
        return self._pick(event.data.order_id, db)

    @handles(timeout=0.2)
    def pick_now(self, event: Event[Urgent], db: Connection) -> Picked:
        return self._pick(event.data.order_id, db)

    def _pick(self, order: str, db: Connection) -> Picked:
        self.called.append(order)
        db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": order})
        if hook := self.hooks.get(order):
            hook(db)
        return Picked(order_id=order)


def stocked(url: str) -> Iterator[SqlFamily]:
    """Makes the tables, and the family."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE picks (id VARCHAR(20))"))
        connection.execute(text("CREATE TABLE numbers (n INTEGER UNIQUE)"))
    engine.dispose()
    Stock.hooks, Stock.called = {}, []
    family = SqlFamily("stock", SqlSettings(url=SecretStr(url)))
    family.bind(Stock())
    family.ledger().install()
    yield family
    family.close()


def claims_of(family: SqlFamily, orders: Sequence[str], kind: type[EventData] = Placed) -> list[Claim]:
    """Claims that the ledger has granted, one for each letter."""
    events: list[Event[Any]] = [
        Event(source="/shop", id=order, type=kind.event_type or "", data=kind.model_validate({"order_id": order}))
        for order in orders
    ]
    asked = [ClaimRequest(key=event.key, digest="d", type=event.type) for event in events]
    granted = family.ledger().claim(asked, 1.0)
    return [
        Claim(event=event, handler=Stock._handlers[event.type], token=entry.token, seal=sealed)
        for event, (_, entry) in zip(events, granted, strict=True)
    ]


def sealed(data: Sequence[Answered]) -> tuple[Reply, ...]:
    """One reply, with the order as its id."""
    return tuple(Reply(one.order_id, "stock.picked", b"{}") for one in data if isinstance(one, Picked))


def apply(family: SqlFamily | LocalLedgerFamily, claims: Sequence[Claim]) -> str:
    """The first letter of what became of each: A(pplied), or of the error's class."""
    return "".join(map(kind_of, family.apply(claims, NoJournal())))


def kind_of(outcome: Outcome) -> str:
    """One letter."""
    return (type(outcome.error) if isinstance(outcome, Failed) else Applied).__name__[0]


def picks(family: SqlFamily | LocalLedgerFamily) -> str:
    """What was picked."""
    with family._engine.connect() as connection:
        return "".join(sorted(connection.scalars(text("SELECT id FROM picks"))))


def raising(error: Exception) -> Callable[[Connection], object]:
    """A hook that fails."""

    def fail(_: Connection) -> object:
        raise error

    return fail


def running(sql: str) -> Callable[[Connection], object]:
    """A hook of raw SQL."""
    return lambda db: db.exec_driver_sql(sql)


class Commits:
    """Counts the transactions that an engine begins and commits."""

    def __init__(self, family: SqlFamily | LocalLedgerFamily) -> None:
        self.begun = self.committed = 0
        hooks.listen(family._engine, "begin", lambda _: self._count("begun"))
        hooks.listen(family._engine, "commit", lambda _: self._count("committed"))

    def _count(self, name: str) -> None:
        setattr(self, name, getattr(self, name) + 1)


def lose_the_next_answer(family: SqlFamily | LocalLedgerFamily, *, after: bool) -> None:
    """The next COMMIT fails as a lost connection does, after it has happened or before."""

    def commit(connection: sqlalchemy.Connection) -> None:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.commit() if after else raw.rollback()
        raise exc.OperationalError("COMMIT", {}, Exception("connection lost"), connection_invalidated=True)

    hooks.listen(family._engine, "commit", commit, once=True)
