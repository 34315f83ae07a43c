"""In front of the warehouse: a pick list per order, a file in its folder; later it answers, with a file of its own."""

from typing import Annotated

from adapter_sdk import Event, Pending, handles
from adaptors.files import Drop, FileDropAdaptor, FixedWidth, Number, Text, Zoned
from samples.shop.events import PickConfirmed, PickRejected, StockReserved


class PickLine(FixedWidth, encoding="cp037"):
    """One record of 29 bytes, without line ends."""

    order_id: Annotated[str, Text(12)]
    sku: Annotated[str, Text(12)]
    quantity: Annotated[int, Zoned(5)]


class PickAnswer(FixedWidth, encoding="cp037"):
    """What the warehouse says of a pick list: one record of 25 bytes."""

    order_id: Annotated[str, Text(12)]
    status: Annotated[str, Text(8)]
    quantity: Annotated[int, Number(5)]


class WarehouseAdaptor(FileDropAdaptor):
    """Sends pick lists to the warehouse, and tells what it has picked."""

    name = "warehouse"
    file_name = "PICK{sequence:06d}.DAT"

    @handles
    def pick(self, event: Event[StockReserved], drop: Drop) -> Pending[PickConfirmed | PickRejected]:
        """The warehouse finds a whole file or none, and takes it away. It has half a day to answer."""
        order = event.data
        drop.write(PickLine(order_id=order.order_id, sku=line.sku, quantity=line.quantity) for line in order.lines)
        return Pending(order.order_id, within=12 * 3600)

    @pick.answer(key="order_id", files="PICK*.ANS")
    def picked(self, answer: PickAnswer) -> PickConfirmed | PickRejected:
        """The warehouse's own words, as events."""
        if answer.status != "PICKED":
            return PickRejected(order_id=answer.order_id)
        return PickConfirmed(order_id=answer.order_id, quantity=answer.quantity)
