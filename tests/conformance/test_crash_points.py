"""The three families, killed at every crash point, against backends that count for themselves; and broken ones."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from adapter_sdk import Adaptor, Event, EventData
from adapter_sdk.testing import event_of
from adapter_sdk.testing.crashpoints import (
    BackendUnderTest,
    Crash,
    CrashPointSuite,
    NotAsTold,
    Trial,
    broken_promises,
)
from samples.shop.erp import server
from samples.shop.erp.soap import WSDL_FILE
from samples.shop.events import OrderLine, OrderPlaced, StockReserved
from samples.shop.stock import program as stock
from samples.shop.stock_adaptor import StockAdaptor
from samples.shop.warehouse.program import Warehouse
from tests.conformance import crash_point_adaptors as adaptors
from tests.services.waiting import wait_until

LINES = (OrderLine(sku="TEAPOT", quantity=1),)


def three(make: Callable[[str], EventData]) -> list[Event[Any]]:
    """Three events that nobody has seen before. What `make` is given, the order number, is the id of the event too."""
    numbers = [uuid4().hex[:12] for _ in range(3)]
    return [event_of(make(number), id=number) for number in numbers]


def placed(number: str) -> OrderPlaced:
    """An order."""
    return OrderPlaced(order_id=number, customer="Ada", total=Decimal("9.90"), lines=LINES)


def stock_in_sqlite(folder: Path) -> BackendUnderTest:
    """Reservations are counted in the stock keeper's own table."""
    database = folder / "stock.db"
    stock.create(database)
    return BackendUnderTest(
        settings={"sql": {"url": f"sqlite:///{database}"}},
        events=three(placed),
        effects=lambda: {order: len(lines) for order, lines in stock.reservations(database).items()},
    )


def stock_in_postgresql(url: str) -> BackendUnderTest:
    """The same tables in PostgreSQL."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in stock.SCHEMA.split(";")[:-1]:
            connection.execute(text(statement))
        connection.execute(text("INSERT INTO article VALUES ('TEAPOT', 100)"))
    engine.dispose()

    def effects() -> Mapping[str, int]:
        with engine.connect() as connection:
            rows = connection.execute(
                text("SELECT order_id, COUNT(*) AS times FROM reservation GROUP BY order_id")
            ).all()
        engine.dispose()
        return {row.order_id: row.times for row in rows}

    return BackendUnderTest({"sql": {"url": url}}, three(placed), effects)


def in_order(backend: BackendUnderTest, effects: Callable[[], Sequence[str]]) -> BackendUnderTest:
    """The same backend, asked in which order it has done what it has done."""
    return replace(backend, effects=effects)


@contextmanager
def warehouse(folder: Path, marker: str | None = None) -> Iterator[BackendUnderTest]:
    """The warehouse takes files away as soon as it sees them, and books them. Its markers stay, if it has any."""
    inbox, outbox, log = folder / "in", folder / "out", folder / "log"
    inbox.mkdir()
    outbox.mkdir()
    log.touch()
    stop = threading.Event()
    reader = threading.Thread(target=Warehouse(inbox, outbox, log).run, args=[stop])
    reader.start()

    def effects() -> Mapping[str, int]:
        wait_until(lambda: not any(folder.glob("in*/PICK*.DAT")))
        bookings = [json.loads(line) for line in log.read_text().splitlines()]
        assert not [booking for booking in bookings if booking["fault"]], "a part of a file was seen"
        if marker is not None:
            bookings = [booking for booking in bookings if (inbox / booking["file"]).with_suffix(marker).exists()]
        return Counter(booking["order_id"] for booking in bookings)

    events = three(lambda number: StockReserved(order_id=number, lines=LINES))
    yield BackendUnderTest({"files": {"drop": inbox}}, events, effects)
    stop.set()
    reader.join()


@contextmanager
def erp(folder: Path) -> Iterator[BackendUnderTest]:
    """The ERP books each order as often as it is told to."""
    with server.running(folder) as running:
        yield BackendUnderTest(
            settings={"soap": {"wsdl": WSDL_FILE, "port": "Soap12", "endpoint": running.url}},
            events=three(placed),
            effects=lambda: Counter(order.order_no for order in running.erp.books.all()),
        )


@contextmanager
def erp_in_order(folder: Path) -> Iterator[BackendUnderTest]:
    """The ERP, asked in which order it has booked."""
    with server.running(folder) as running:
        yield BackendUnderTest(
            settings={"soap": {"wsdl": WSDL_FILE, "port": "Soap12", "endpoint": running.url}},
            events=three(placed),
            effects=lambda: [order.order_no for order in running.erp.books.all()],
        )


class OnRabbitMQ(CrashPointSuite):
    """What the suites of this file have in common."""

    @pytest.fixture
    def broker_url(self, amqp_url: str) -> str:
        return amqp_url


class TestStockInSqlite(OnRabbitMQ):
    """sql: effect, record and replies are one transaction."""

    adaptor = StockAdaptor

    @pytest.fixture
    def backend(self, tmp_path: Path) -> BackendUnderTest:
        return stock_in_sqlite(tmp_path)


class TestStockInPostgresql(OnRabbitMQ):
    """sql, in a database that is a server of its own: what concerns the broker alone is left to the others."""

    adaptor = StockAdaptor
    points = ("claimed", "sql.made", "sql.committed", "published")
    preload = ("sqlalchemy.dialects.postgresql.psycopg", "psycopg")

    @pytest.fixture
    def backend(self, fresh_pg_url: str) -> BackendUnderTest:
        return stock_in_postgresql(fresh_pg_url)


class TestOrderedStock(OnRabbitMQ):
    """sql, in order: no event of a customer is reserved before an earlier one."""

    adaptor = adaptors.OrderedStock

    @pytest.fixture
    def backend(self, tmp_path: Path) -> BackendUnderTest:
        return in_order(stock_in_sqlite(tmp_path), lambda: list(stock.reservations(tmp_path / "stock.db")))


class TestOrderedErp(OnRabbitMQ):
    """soap, in order: what is in doubt is settled by the ERP before the next order of its customer is booked."""

    adaptor = adaptors.OrderedErp
    points = ("received", "claimed", "soap.calling", "soap.sent", "soap.noted", "recorded", "settling")

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[BackendUnderTest]:
        with erp_in_order(tmp_path) as backend:
            yield backend


class TestOrderedErpThatCannotBeAsked(OnRabbitMQ):
    """soap, in order, without `verify`: behind an order in doubt those of its customer are held for a person."""

    adaptor = adaptors.OrderedBlindErp
    points = ("soap.calling", "soap.answered")

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[BackendUnderTest]:
        with erp_in_order(tmp_path) as backend:
            yield backend


class TestWarehouse(OnRabbitMQ):
    """files, a marker after each: the reader takes files away at once, so its folder does not tell what was dropped."""

    adaptor = adaptors.MarkedWarehouse

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[BackendUnderTest]:
        with warehouse(tmp_path, marker=".OK") as backend:
            yield backend


class TestErpThatCanBeAsked(OnRabbitMQ):
    """soap, with `verify`: every doubt is settled by the ERP itself."""

    adaptor = adaptors.AskingErp

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[BackendUnderTest]:
        with erp(tmp_path) as backend:
            yield backend


class TestErpThatCannotBeAsked(OnRabbitMQ):
    """soap, without `verify`: at most once, and what is in doubt is kept for a person."""

    adaptor = adaptors.BlindErp

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[BackendUnderTest]:
        with erp(tmp_path) as backend:
            yield backend


def broken_after(crash: Crash, adaptor: type[Adaptor], backend: BackendUnderTest, url: str, folder: Path) -> list[str]:
    """What the suite has to say of an adaptor after one crash."""
    folder.mkdir()
    trial = Trial(adaptor, backend, url, folder, patience=2)
    return broken_promises(trial.run(crash), adaptor, trial.family)


class TestTeeth:
    """An adaptor that is broken does not pass."""

    @pytest.mark.parametrize(
        ("adaptor", "point", "verdict"),
        [
            (adaptors.AckFirst, "claimed", "lost"),
            (adaptors.EagerKey, "claimed", "lost"),
            (adaptors.NeverAck, "published", "not settled"),
            (adaptors.RandomReplyIds, "published", "reply unstable"),
            (adaptors.TwoTransactions, "applied", "done twice"),
        ],
    )
    def test_a_broken_database_adaptor_is_found(
        self, amqp_url: str, tmp_path: Path, adaptor: type[Adaptor], point: str, verdict: str
    ) -> None:
        """A mistake around a transaction shows as what it costs: an event lost, done twice, or never settled."""
        broken = broken_after(Crash(point), adaptor, stock_in_sqlite(tmp_path), amqp_url, tmp_path / "trial")
        assert any(f": {verdict}" in f": {sentence}" for sentence in broken), broken
        assert all(f"killed at '{point}'" in sentence for sentence in broken)

    def test_an_event_that_overtakes_is_found(self, amqp_url: str, tmp_path: Path) -> None:
        """An adaptor that lets events pass one that waits for another attempt shows as out of order."""
        backend = in_order(stock_in_sqlite(tmp_path), lambda: list(stock.reservations(tmp_path / "stock.db")))
        broken = broken_after(Crash("claimed"), adaptors.Overtaking, backend, amqp_url, tmp_path / "trial")
        assert any("out of order" in sentence for sentence in broken), broken

    def test_an_order_that_nobody_tells_is_asked_for(self, amqp_url: str, tmp_path: Path) -> None:
        """A backend that only counts cannot show an order: the trial says what to give instead of passing."""
        with pytest.raises(TypeError, match="ordered-stock has ordered_by: `effects` has to give ids"):
            broken_after(
                Crash("claimed"), adaptors.OrderedStock, stock_in_sqlite(tmp_path), amqp_url, tmp_path / "trial"
            )

    def test_a_drop_without_evidence_is_found(self, amqp_url: str, tmp_path: Path) -> None:
        """A file that is dropped anew because the reader has taken the first shows as done twice."""
        with warehouse(tmp_path) as backend:
            broken = broken_after(Crash("files.dropped"), adaptors.NoEvidence, backend, amqp_url, tmp_path / "trial")
        assert any("done twice" in sentence for sentence in broken), broken

    def test_a_blind_second_call_is_found(self, amqp_url: str, tmp_path: Path) -> None:
        """A call that is repeated because its answer was lost shows as done twice."""
        with erp(tmp_path) as backend:
            broken = broken_after(Crash("soap.sent"), adaptors.BlindRetry, backend, amqp_url, tmp_path / "trial")
        assert any("done twice" in sentence for sentence in broken), broken

    def test_a_point_that_is_never_reached_is_no_pass(self, amqp_url: str, tmp_path: Path) -> None:
        """A trial whose process does not die where it was told to fails, and says so."""
        with pytest.raises(NotAsTold, match=r"was to die at 'files.dropped' and still runs"):
            broken_after(Crash("files.dropped"), StockAdaptor, stock_in_sqlite(tmp_path), amqp_url, tmp_path / "trial")
