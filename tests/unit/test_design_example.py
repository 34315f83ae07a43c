"""The code that the toolkit exists for: it has to type-check as an engineer writes it, and mistakes have to show."""

import textwrap
from pathlib import Path

from mypy import api

EVENTS = """
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel
from sqlalchemy import text

from adapter_sdk import Event, EventData, NotApplied, Pending, handles
from adaptors.files import Drop, FileDropAdaptor, FixedWidth, Text, Zoned
from adaptors.soap import Reject, SoapAdaptor, SoapService
from adaptors.sql import Connection, SqlAdaptor


class OrderLine(EventData):
    sku: str
    quantity: int


class OrderPlaced(EventData, type="com.shop.order.placed"):
    order_id: str
    customer: str
    total: Decimal
    lines: list[OrderLine] = []


class OrderBooked(EventData, type="com.erp.order.booked"):
    order_id: str
    erp_number: str


class StockReserved(EventData, type="com.stock.reserved"):
    order_id: str


class StockShort(EventData, type="com.stock.short"):
    order_id: str


class PickAnswer(BaseModel):
    order_id: str
    quantity: int
"""

ADAPTORS = """

class ErpAdaptor(SoapAdaptor):
    \"\"\"Books shop orders in the ERP.\"\"\"

    name = "erp"
    faults = {"{urn:erp}OrderRefused": Reject}

    @handles
    def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
        answer = erp.CreateOrder(OrderNo=event.data.order_id, Customer=event.data.customer, Total=event.data.total)
        return OrderBooked(order_id=event.data.order_id, erp_number=answer.Number)

    @book.verify(settle=30)
    def was_booked(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked | NotApplied:
        \"\"\"Asked only when an earlier attempt is in doubt, `settle` seconds after it.\"\"\"
        found = erp.FindOrder(OrderNo=event.data.order_id)
        return OrderBooked(order_id=event.data.order_id, erp_number=found.Number) if found else NotApplied()


class PickLine(FixedWidth, encoding="cp037"):
    sku: Annotated[str, Text(12)]
    quantity: Annotated[int, Zoned(5)]


class WarehouseAdaptor(FileDropAdaptor):
    name = "warehouse"
    file_name = "PICK{sequence:06d}.DAT"

    @handles
    def pick(self, event: Event[OrderPlaced], drop: Drop) -> None:
        drop.write(PickLine(sku=line.sku, quantity=line.quantity) for line in event.data.lines)


class StockAdaptor(SqlAdaptor):
    name = "stock"

    @handles(where={"data": {"customer": [{"anything-but": "test"}]}}, idempotent=True, timeout=20)
    def reserve(self, event: Event[OrderPlaced], db: Connection) -> StockReserved | StockShort:
        taken = db.execute(text("UPDATE stock SET quantity = quantity - 1 WHERE quantity > 0")).rowcount
        if not taken:
            return StockShort(order_id=event.data.order_id)
        return StockReserved(order_id=event.data.order_id)


class PatientAdaptor(SqlAdaptor):
    name = "patient"

    @handles
    def reserve(self, event: Event[OrderPlaced], db: Connection) -> Pending[StockReserved | StockShort]:
        db.execute(text("INSERT INTO wanted VALUES (:id)"), {"id": event.data.order_id})
        return Pending(event.data.order_id, within=4 * 3600)

    @reserve.answer(
        key="order_id",
        select="SELECT id, order_id, quantity FROM told WHERE taken = 0",
        taken="UPDATE told SET taken = 1 WHERE id = :id",
    )
    def reserved(self, answer: PickAnswer) -> StockReserved | StockShort:
        if answer.quantity:
            return StockReserved(order_id=answer.order_id)
        return StockShort(order_id=answer.order_id)


def by_hand(stock: StockAdaptor, event: Event[OrderPlaced], db: Connection) -> StockReserved | StockShort:
    return stock.reserve(event, db)
"""

MISTAKES = """

class WrongAdaptor(SqlAdaptor):
    name = "wrong"

    @handles
    def reserve(self, event: Event[OrderPlaced], db: Connection) -> StockReserved:
        return StockShort(order_id=event.data.oder_id)

    @reserve.verify()
    def was_reserved(self, event: Event[OrderPlaced], db: Connection) -> StockShort:
        return StockShort(order_id=event.data.order_id)


class WrongLater(SqlAdaptor):
    name = "wrong-later"

    @handles
    def reserve(self, event: Event[OrderPlaced], db: Connection) -> Pending[StockReserved]:
        return Pending(17)

    @reserve.answer(key="order_id", select="SELECT 1", taken="DELETE FROM told WHERE id = :id")
    def reserved(self, answer: PickAnswer) -> StockShort:
        return StockShort(order_id=answer.order_id)


def by_hand(wrong: WrongAdaptor, event: Event[OrderPlaced], db: Connection) -> StockShort:
    return wrong.reserve(event)
"""


def check(folder: Path, code: str) -> list[str]:
    """What mypy says under `--strict`, one line per error."""
    path = folder / "example.py"
    path.write_text(code, encoding="utf-8")
    project = Path(__file__).parents[2]
    options = ["--strict", "--no-error-summary", "--config-file", str(project / "pyproject.toml")]
    found, failed, _ = api.run([*options, "--cache-dir", str(project / ".mypy_cache"), str(path)])
    assert not failed, failed
    return [line.partition("error: ")[2] for line in found.splitlines() if "error: " in line]


def test_the_example_type_checks_as_written(tmp_path: Path) -> None:
    """The adaptors of the design are clean under mypy --strict."""
    assert check(tmp_path, EVENTS + ADAPTORS) == []


def test_the_example_is_accepted_at_class_creation() -> None:
    """The adaptors of the design can be defined, and know their handlers and replies."""
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(EVENTS + ADAPTORS, "example.py", "exec"), names)
    for name in ("ErpAdaptor", "WarehouseAdaptor", "StockAdaptor", "PatientAdaptor"):
        specs = names[name]._handlers  # type: ignore[attr-defined]
        assert set(specs) == {"com.shop.order.placed"}


def test_mistakes_show_before_anything_runs(tmp_path: Path) -> None:
    """A wrong reply, a misspelt field, a wrong `verify`, key or later answer, and a wrong call are type errors."""
    errors = "\n".join(check(tmp_path, EVENTS + MISTAKES))
    for part in (
        '"OrderPlaced" has no attribute "oder_id"',
        'Incompatible return value type (got "StockShort", expected "StockReserved")',
        "Argument 1 has incompatible type",
        "Too few arguments",
        'Argument 1 to "Pending" has incompatible type "int"; expected "str"',
        'expected "Callable[[Any, PickAnswer], StockReserved]"',
        'Incompatible return value type (got "StockReserved", expected "StockShort")',
    ):
        assert part in errors, textwrap.indent(errors, "  ")
