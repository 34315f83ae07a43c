"""The shop's warehouse and its adaptor on RabbitMQ, which is killed again and again: each order is confirmed once."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk.envelopes import write_structured
from adapter_sdk.ledger.base import State
from adapter_sdk.ledger.sqlite import SqliteDatabase
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.settings import Settings, load_settings
from adapter_sdk.testing import event_of
from adapter_sdk.testing.crashpoints.process import AdaptorProcess
from adapter_sdk.testing.harness import as_environment
from adapter_sdk.topology import plan
from adapter_sdk.transport.base import Binding, Delivery, Message, Queue, Topology
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from samples.shop.events import OrderLine, PickConfirmed, StockReserved
from samples.shop.warehouse.program import Warehouse
from samples.shop.warehouse_adaptor import WarehouseAdaptor
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until

ORDERS = [f"{number:04d}" for number in range(60)]
LINES = (OrderLine(sku="TEAPOT", quantity=2),)


@pytest.fixture
def settings(tmp_path: Path, fresh_rabbitmq: Broker) -> Iterator[Settings]:
    """Those of the adaptor, with the warehouse at work in its folders."""
    (inbox := tmp_path / "in").mkdir()
    (outbox := tmp_path / "out").mkdir()
    stop = threading.Event()
    program = threading.Thread(target=Warehouse(inbox, outbox, tmp_path / "log", 0.1).run, args=[stop])
    program.start()
    (tmp_path / "adaptor.toml").touch()
    sections: dict[str, dict[str, Any]] = {
        "broker": {"url": fresh_rabbitmq.url},
        "ledger": {"path": tmp_path / "ledger"},
        "files": {"drop": inbox, "answers": outbox, "stable": 0.05},
        "runner": {"answers_every": 0.05, "unmatched_after": 60},
    }
    yield load_settings(WarehouseAdaptor, tmp_path / "adaptor.toml", as_environment(sections))
    stop.set()
    program.join()


@pytest.fixture
def confirmed(settings: Settings) -> Iterator[tuple[RabbitMQTransport, list[Message]]]:
    """What publishes the orders, and all confirmations that came of them."""
    transport = RabbitMQTransport(settings.broker.url.get_secret_value(), connection_name="the test")
    came: list[Message] = []
    planned, kind = plan(WarehouseAdaptor, settings), PickConfirmed.event_type or ""
    bindings = [*planned.bindings, Binding("events", "ear", kind)]
    transport.open()
    transport.declare(Topology(planned.exchanges, [*planned.queues, Queue("ear")], bindings))

    def take(deliveries: list[Delivery]) -> None:
        came.extend(delivery.message for delivery in deliveries)
        transport.ack(deliveries)

    transport.consume("ear", prefetch=100, on_deliveries=take, on_lost=lambda _: None)
    yield transport, came
    transport.close()


def test_killed_at_any_moment_while_pick_lists_go_and_answers_come(
    settings: Settings, confirmed: tuple[RabbitMQTransport, list[Message]], tmp_path: Path
) -> None:
    """Each order is picked once, and has one reply with one content; each answer file lies in done/, none in error/."""
    transport, came = confirmed
    dice = random.Random(7)
    for start in range(0, len(ORDERS), 6):
        some = ORDERS[start : start + 6]
        events = [event_of(StockReserved(order_id=order, lines=LINES), id=order) for order in some]
        transport.publish([write_structured(event, "events") for event in events])
        process = AdaptorProcess(WarehouseAdaptor, settings, tmp_path / "adaptor.log")
        process.wait(dice.uniform(0.3, 0.9))
        process.kill()
    last = AdaptorProcess(WarehouseAdaptor, settings, tmp_path / "adaptor.log")
    try:
        wait_until(lambda: len({message.message_id for message in came}) == len(ORDERS), 120)
        wait_until(lambda: not list((tmp_path / "out").glob("*.ANS")))
    finally:
        last.stop()
    assert len({(message.message_id, message.body) for message in came}) == len(ORDERS)
    picked = Counter(line.split('"order_id": "')[1][:4] for line in (tmp_path / "log").read_text().splitlines())
    assert picked == dict.fromkeys(ORDERS, 1)
    assert len(list((tmp_path / "out" / "done").iterdir())) == len(ORDERS)
    assert list((tmp_path / "out" / "error").iterdir()) == []
    ledger = SqlLedger(SqliteDatabase(tmp_path / "ledger"), WarehouseAdaptor.name)
    ledger.open()
    assert ledger.counts() == {State.APPLIED: len(ORDERS)}
    assert ledger.owed(1) == []
    ledger.close()
