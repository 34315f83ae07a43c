"""What the shop sends: good orders, a duplicate, a malformed event, a refusal, an outage, a lost and a late answer."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from adapter_sdk import Event
from adapter_sdk.envelopes import write_binary, write_structured
from adapter_sdk.transport.base import Message
from samples.shop.events import OrderLine, OrderPlaced

EXCHANGE = "events"
ORDER_PLACED = "com.shop.order.placed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One thing that the shop sends, and what each legacy system is expected to have done at the end."""

    order_id: str
    what: str
    message: Message
    booked: int = 1
    reserved: bool = True
    scene: str = ""
    """`erp-down`: sent while the ERP is down. `answer-lost`: the ERP acts and cuts the connection. `answer-later`: what
    the warehouse says, after it has picked."""

    @property
    def event_id(self) -> str:
        """The id of the event about this order."""
        return f"order-{self.order_id}"


def chapters() -> list[Chapter]:
    """The story in order."""
    first = _structured("1001", "Ada", "129.90", ("TEAPOT", 2))
    return [
        Chapter(order_id="1001", what="order", message=first),
        Chapter(order_id="1001", what="the same event again", message=first),
        Chapter(order_id="1002", what="order, binary mode", message=_binary("1002", "Grace", "49.50", ("KETTLE", 1))),
        Chapter(
            order_id="1003", what="order, EventBridge", message=_eventbridge("1003", "Edsger", "15.00", ("TEAPOT", 1))
        ),
        Chapter(order_id="", what="not JSON", message=_malformed(), booked=0, reserved=False),
        Chapter(
            order_id="1004",
            what="over the credit limit",
            message=_structured("1004", "Midas", "99999.00", ("KETTLE", 1)),
            booked=0,
        ),
        Chapter(
            order_id="1005",
            what="more than there is",
            message=_structured("1005", "Tsar", "900.00", ("SAMOVAR", 3)),
            reserved=False,
        ),
        Chapter(
            order_id="1006",
            what="while the ERP is down",
            message=_structured("1006", "Barbara", "75.00", ("TEAPOT", 3)),
            scene="erp-down",
        ),
        Chapter(
            order_id="1007",
            what="the ERP's answer is lost",
            message=_structured("1007", "Alan", "33.30", ("KETTLE", 2)),
            scene="answer-lost",
        ),
        Chapter(
            order_id="1008",
            what="picked later, told by a file",
            message=_structured("1008", "Radia", "12.00", ("KETTLE", 1)),
            scene="answer-later",
        ),
    ]


def _order(order_id: str, customer: str, total: str, line: tuple[str, int]) -> OrderPlaced:
    return OrderPlaced(
        order_id=order_id,
        customer=customer,
        total=Decimal(total),
        lines=(OrderLine(sku=line[0], quantity=line[1]),),
    )


def _event(order: OrderPlaced) -> Event[OrderPlaced]:
    return Event(
        source="/shop",
        id=f"order-{order.order_id}",
        type=ORDER_PLACED,
        subject=order.order_id,
        time=datetime.now(UTC),
        data=order,
        extensions={"correlationid": f"cart-{order.order_id}"},
    )


def _structured(order_id: str, customer: str, total: str, line: tuple[str, int]) -> Message:
    return write_structured(_event(_order(order_id, customer, total, line)), EXCHANGE)


def _binary(order_id: str, customer: str, total: str, line: tuple[str, int]) -> Message:
    return write_binary(_event(_order(order_id, customer, total, line)), EXCHANGE)


def _eventbridge(order_id: str, customer: str, total: str, line: tuple[str, int]) -> Message:
    envelope: dict[str, Any] = {
        "version": "0",
        "id": f"order-{order_id}",
        "detail-type": ORDER_PLACED,
        "source": "/shop",
        "account": "123456789012",
        "time": "2026-11-20T08:15:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": _order(order_id, customer, total, line).model_dump(mode="json"),
    }
    return Message(
        body=json.dumps(envelope).encode(), exchange=EXCHANGE, routing_key=ORDER_PLACED, content_type="application/json"
    )


def _malformed() -> Message:
    return Message(body=b"{order: 1000", exchange=EXCHANGE, routing_key=ORDER_PLACED, content_type="application/json")
