"""In front of the warehouse: one pick list per order, as a fixed-width EBCDIC file in the folder that it watches."""

from typing import Annotated

from adapter_sdk import Event, handles
from adaptors.files import Drop, FileDropAdaptor, FixedWidth, Text, Zoned
from samples.shop.events import PickOrdered, StockReserved


class PickLine(FixedWidth, encoding="cp037"):
    """One record of 29 bytes, without line ends."""

    order_id: Annotated[str, Text(12)]
    sku: Annotated[str, Text(12)]
    quantity: Annotated[int, Zoned(5)]


class WarehouseAdaptor(FileDropAdaptor):
    """Sends pick lists to the warehouse."""

    name = "warehouse"
    file_name = "PICK{sequence:06d}.DAT"

    @handles
    def pick(self, event: Event[StockReserved], drop: Drop) -> PickOrdered:
        """The warehouse finds a whole file or none, and takes it away."""
        order = event.data
        drop.write(PickLine(order_id=order.order_id, sku=line.sku, quantity=line.quantity) for line in order.lines)
        return PickOrdered(order_id=order.order_id)
