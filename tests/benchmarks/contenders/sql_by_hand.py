"""Consumers written by hand in front of a database, on pika and SQLAlchemy Core. They promise nothing."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.benchmarks.contenders.raw_pika import blocking
from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import QUEUE, OrderEvent

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic
    from sqlalchemy import Connection

Rows = Sequence[dict[str, Any]]
_BATCH = 100


def consume(size: int, write: "Callable[[Connection, Rows], None]", task: Task, watch: Watch) -> None:
    """Collect `size` events, write them in one transaction, ack them together."""
    from sqlalchemy import create_engine

    from tests.benchmarks.reservation import row_of

    engine = create_engine(task.settings["ADAPTOR_SQL_URL"])
    most = min(size, task.prefetch)
    rows: list[dict[str, Any]] = []

    def start(channel: "BlockingChannel") -> None:
        def on_message(_: object, method: "Basic.Deliver", __: object, body: bytes) -> None:
            order = OrderEvent.model_validate_json(body).data
            watch.handled(order)
            rows.append(row_of(order))
            tag = method.delivery_tag or 0
            if len(rows) == most or tag == task.events:
                with engine.begin() as connection:
                    write(connection, rows)
                channel.basic_ack(tag, multiple=True)
                watch.settled(len(rows))
                rows.clear()

        channel.basic_consume(QUEUE, on_message)

    watch.expect_settlements()
    blocking(task, start)


def one_by_one(connection: "Connection", rows: Rows) -> None:
    """A statement per row."""
    from tests.benchmarks.reservation import INSERT

    for row in rows:
        connection.execute(INSERT, row)


def together(connection: "Connection", rows: Rows) -> None:
    """All rows by executemany."""
    from tests.benchmarks.reservation import INSERT

    connection.execute(INSERT, rows)


def _contender(name: str, configuration: str, size: int, write: "Callable[[Connection, Rows], None]") -> Contender:
    return Contender(name, configuration, partial(consume, size, write))


EACH = _contender("by hand, a transaction per event", "SQLAlchemy Core, pooled, ack each", 1, one_by_one)
BATCH = _contender(f"by hand, a transaction per {_BATCH}", "a statement per event", _BATCH, one_by_one)
MANY = _contender(f"by hand, executemany of {_BATCH}", "a statement per batch", _BATCH, together)
