"""A file drop adaptor behind the pipeline: events in, files out, and what becomes of those that fail."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel

from adapter_sdk import Event, EventData, handles
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import State
from adapter_sdk.ledger.sqlite import SqliteDatabase
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.pipeline import Pipeline
from adapter_sdk.retry import RetryPolicy
from adapter_sdk.transport.base import Confirm, Delivery, Message
from adaptors.files import Drop, FileDropAdaptor, FixedWidth, Text, Zoned
from adaptors.files.settings import FileSettings


class Line(BaseModel):
    sku: str
    quantity: int


class OrderPlaced(EventData, type="com.shop.order.placed"):
    order_id: str
    lines: list[Line]


class PickOrdered(EventData, type="com.warehouse.pick.ordered"):
    order_id: str


class PickLine(FixedWidth, encoding="cp037"):
    sku: Annotated[str, Text(12)]
    quantity: Annotated[int, Zoned(5)]


class WarehouseAdaptor(FileDropAdaptor):
    name = "warehouse"
    file_name = "PICK{sequence:06d}.DAT"

    @handles
    def pick(self, event: Event[OrderPlaced], drop: Drop) -> PickOrdered:
        """As the design has it, with a reply."""
        drop.write(PickLine(sku=line.sku, quantity=line.quantity) for line in event.data.lines)
        return PickOrdered(order_id=event.data.order_id)


class Bench:
    """A pipeline over real folders and a real ledger; the broker is a list."""

    def __init__(self, path: Path) -> None:
        self.drop = path / "in"
        self.drop.mkdir()
        self.ledger = SqlLedger(SqliteDatabase(path / "ledger"), "warehouse")
        self.ledger.open()
        self.published: list[Message] = []
        family = WarehouseAdaptor._family(FileSettings(drop=self.drop))
        family.bind(adaptor := WarehouseAdaptor())
        family.open()
        self.pipeline = Pipeline(adaptor, family, self.ledger, self._publish, retry=RetryPolicy(immediate=0))

    def _publish(self, messages: Sequence[Message], /) -> list[Confirm]:
        self.published += messages
        return [Confirm.CONFIRMED] * len(messages)

    def process(self, *deliveries: Delivery) -> None:
        settlement = self.pipeline.process(deliveries)
        assert {ack.receipt for ack in settlement.ack} == {delivery.receipt for delivery in deliveries}
        assert len(settlement.ack) == len(deliveries)

    def state(self, id_: str) -> State | None:
        entry = self.ledger.get(Key("/shop", id_))
        return entry.state if entry else None


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A warehouse adaptor ready for deliveries."""
    bench = Bench(tmp_path)
    yield bench
    bench.ledger.close()


def delivery(id_: str, *lines: tuple[str, int]) -> Delivery:
    """An order as it arrives from the broker."""
    envelope = {
        "specversion": "1.0",
        "source": "/shop",
        "id": id_,
        "type": "com.shop.order.placed",
        "data": {"order_id": id_, "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines]},
    }
    return Delivery(Message(json.dumps(envelope).encode(), content_type="application/cloudevents+json"), receipt=id_)


def test_orders_become_files_and_replies_once(bench: Bench) -> None:
    """A batch with a duplicate in it gives one file and one reply per order; a redelivery changes nothing."""
    bench.process(delivery("o-1", ("A-1", 3)), delivery("o-1", ("A-1", 3)), delivery("o-2", ("B-2", -1)))
    bench.process(delivery("o-2", ("B-2", -1)))
    files = {file.name: list(PickLine.decode_all(file.read_bytes())) for file in bench.drop.iterdir()}
    assert files == {
        "PICK000001.DAT": [PickLine(sku="A-1", quantity=3)],
        "PICK000002.DAT": [PickLine(sku="B-2", quantity=-1)],
    }
    assert [message.type for message in bench.published if message.exchange == "events"] == [
        "com.warehouse.pick.ordered"
    ] * 2


def test_an_order_that_does_not_fit_the_layout_is_a_dead_letter_that_says_where(bench: Bench) -> None:
    """Overflow is set aside at once with record, field, offset and length; the orders around it go on."""
    bench.process(delivery("o-1", ("A-1", 3), ("B-2", 123456)), delivery("o-2", ("C-3", 1)), delivery("o-3"))
    entry = bench.ledger.get(Key("/shop", "o-1"))
    assert entry is not None
    assert (entry.state, entry.reason) == (State.DEAD, "format error")
    assert entry.error == (
        "PickLine record 2, field quantity (offset 12, length 5): 123456 does not fit: the field holds 5 digits"
    )
    assert (bench.state("o-2"), bench.state("o-3")) == (State.APPLIED, State.DEAD)
    assert [file.name for file in bench.drop.iterdir()] == ["PICK000001.DAT"]
