"""In front of the stock database: reserves all articles of an order, or none."""

from sqlalchemy import text

from adapter_sdk import Event, handles
from adaptors.sql import Connection, SqlAdaptor
from samples.shop.events import OrderPlaced, StockReserved, StockShort

_TAKE = text("UPDATE article SET free = free - :quantity WHERE sku = :sku AND free >= :quantity")
_NOTE = text("INSERT INTO reservation (order_id, sku, quantity) VALUES (:order_id, :sku, :quantity)")


class StockAdaptor(SqlAdaptor):
    """Reserves stock for shop orders."""

    name = "stock"

    @handles
    def reserve(self, event: Event[OrderPlaced], db: Connection) -> StockReserved | StockShort:
        """One transaction: this effect and the record that it happened commit together."""
        order = event.data
        with db.begin_nested() as all_or_nothing:
            for line in order.lines:
                values = {"order_id": order.order_id, "sku": line.sku, "quantity": line.quantity}
                if db.execute(_TAKE, values).rowcount == 0:
                    all_or_nothing.rollback()
                    return StockShort(order_id=order.order_id, sku=line.sku)
                db.execute(_NOTE, values)
        return StockReserved(order_id=order.order_id, lines=order.lines)
