"""The events of the shop and of its three adaptors."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from adapter_sdk import EventData


class OrderLine(BaseModel):
    """One article of an order."""

    model_config = ConfigDict(frozen=True)

    sku: str
    quantity: int = Field(gt=0)


class OrderPlaced(EventData, type="com.shop.order.placed"):
    """A customer has ordered; the ERP and the stock want to know."""

    order_id: str
    customer: str
    total: Decimal
    lines: tuple[OrderLine, ...] = Field(min_length=1)


class OrderBooked(EventData, type="com.erp.order.booked"):
    """The ERP has booked the order under a number of its own."""

    order_id: str
    erp_number: str


class StockReserved(EventData, type="com.stock.order.reserved"):
    """All articles of the order are reserved; the warehouse may pick them."""

    order_id: str
    lines: tuple[OrderLine, ...]


class StockShort(EventData, type="com.stock.order.short"):
    """At least one article is not there in the wanted quantity; nothing is reserved."""

    order_id: str
    sku: str


class PickConfirmed(EventData, type="com.warehouse.pick.confirmed"):
    """The warehouse has picked the order."""

    order_id: str
    quantity: int


class PickRejected(EventData, type="com.warehouse.pick.rejected"):
    """The warehouse could not pick the order."""

    order_id: str
