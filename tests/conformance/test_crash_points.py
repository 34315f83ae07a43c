"""The three families, killed at every crash point, against backends that count for themselves; and broken ones."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from adapter_sdk import Event
from adapter_sdk.testing import event_of
from adapter_sdk.testing.crashpoints import BackendUnderTest, CrashPointSuite
from samples.shop.events import OrderLine, OrderPlaced
from samples.shop.stock import program as stock
from samples.shop.stock_adaptor import StockAdaptor


def orders() -> list[Event[OrderPlaced]]:
    """Three orders that nobody has seen before; each order number is the id of its event."""
    lines = (OrderLine(sku="TEAPOT", quantity=1),)
    fresh = [event_of(OrderPlaced(order_id="", customer="Ada", total=Decimal("9.90"), lines=lines)) for _ in range(3)]
    return [event_of(event.data.model_copy(update={"order_id": event.id}), id=event.id) for event in fresh]


class OnRabbitMQ(CrashPointSuite):
    """What the suites of this file have in common."""

    @pytest.fixture
    def broker_url(self, amqp_url: str) -> str:
        return amqp_url


class TestStockInSqlite(OnRabbitMQ):
    """sql: reservations are counted in the stock keeper's own table."""

    adaptor = StockAdaptor

    @pytest.fixture
    def backend(self, tmp_path: Path) -> BackendUnderTest:
        database = tmp_path / "stock.db"
        stock.create(database)
        return BackendUnderTest(
            settings={"sql": {"url": f"sqlite:///{database}"}},
            events=orders(),
            effects=lambda: Counter({order: len(lines) for order, lines in stock.reservations(database).items()}),
        )
