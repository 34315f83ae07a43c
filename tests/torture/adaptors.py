"""The adaptors that are tortured: one of each family, written as any user writes them."""

import os
from decimal import Decimal
from pathlib import Path

from sqlalchemy import text

from adapter_sdk import Event, EventData, NotApplied, TransientError, handles
from adaptors.files import Drop, FileDropAdaptor
from adaptors.soap import Reject, SoapAdaptor, SoapService
from adaptors.sql import Connection, SqlAdaptor
from samples.shop.warehouse_adaptor import PickLine

SETTLE = float(os.environ.get("TORTURE_SETTLE", "3"))
"""Seconds: longer than the torture's ERP takes for its slowest call."""


class Order(EventData):
    """What every backend is asked to do. The first `fails` calls of the handler fail; -1: all."""

    order_id: str
    sku: str
    quantity: int
    total: Decimal
    fails: int = 0


class SqlOrder(Order, type="torture.sql.order"):
    pass


class FilesOrder(Order, type="torture.files.order"):
    pass


class SoapOrder(Order, type="torture.soap.order"):
    pass


class UnaskedOrder(Order, type="torture.soap.unasked"):
    pass


class SqlDone(EventData, type="torture.sql.done"):
    order_id: str


class FilesDone(EventData, type="torture.files.done"):
    order_id: str


class SoapDone(EventData, type="torture.soap.done"):
    order_id: str
    number: str


def fail_at_first(order: Order) -> None:
    """Fail as a backend with passing trouble does. Each call leaves a byte in a file, so that it counts across kills.

    Raises TransientError.
    """
    if order.fails == 0:
        return
    with (Path(os.environ["TORTURE_TRIES"]) / order.order_id).open("ab") as tries:
        tries.write(b".")
        tries.flush()
        if order.fails < 0 or tries.tell() <= order.fails:
            raise TransientError("the backend has passing trouble")


class Stock(SqlAdaptor):
    """Two statements that belong together."""

    name = "sql"

    @handles
    def reserve(self, event: Event[SqlOrder], db: Connection) -> SqlDone:
        """More than is free breaks a constraint of the table: the backend's no."""
        order = event.data
        fail_at_first(order)
        row = order.model_dump(include={"order_id", "sku", "quantity"})
        db.execute(text("INSERT INTO reservation (order_id, sku, quantity) VALUES (:order_id, :sku, :quantity)"), row)
        db.execute(text("UPDATE article SET free = free - :quantity WHERE sku = :sku"), row)
        return SqlDone(order_id=order.order_id)


class Warehouse(FileDropAdaptor):
    """One pick list per order."""

    name = "files"
    file_name = "PICK{sequence:06d}.DAT"

    @handles
    def pick(self, event: Event[FilesOrder], drop: Drop) -> FilesDone:
        """A quantity of more than five digits does not fit the record: it is refused."""
        order = event.data
        fail_at_first(order)
        drop.write([PickLine(order_id=order.order_id, sku=order.sku, quantity=order.quantity)])
        return FilesDone(order_id=order.order_id)


class Erp(SoapAdaptor):
    """One order in the ERP per event."""

    name = "soap"
    faults = {"{urn:erp}OrderRefused": Reject}

    @handles
    def book(self, event: Event[SoapOrder], erp: SoapService) -> SoapDone:
        """Over the credit limit it is refused."""
        return _create(event.data, erp)

    @book.verify(settle=SETTLE)
    def was_booked(self, event: Event[SoapOrder], erp: SoapService) -> SoapDone | NotApplied:
        """The ERP can be asked."""
        found = erp.FindOrder(OrderNo=event.data.order_id)
        if not found or not found.Number:
            return NotApplied()
        return SoapDone(order_id=event.data.order_id, number=found.Number)

    @handles
    def book_unasked(self, event: Event[UnaskedOrder], erp: SoapService) -> SoapDone:
        """The same without `verify`: a doubt is left to a person."""
        return _create(event.data, erp)


class OrderedStock(Stock):
    """The same, one event of a key after the other."""

    ordered_by = "subject"
    on_dead = "continue"


class OrderedWarehouse(Warehouse):
    """The same, one event of a key after the other."""

    ordered_by = "subject"
    on_dead = "continue"


class OrderedErp(Erp):
    """The same, one event of a key after the other."""

    ordered_by = "subject"
    on_dead = "continue"


def _create(order: Order, erp: SoapService) -> SoapDone:
    fail_at_first(order)
    answer = erp.CreateOrder(OrderNo=order.order_id, Customer="Torture", Total=order.total)
    return SoapDone(order_id=order.order_id, number=answer.Number)
