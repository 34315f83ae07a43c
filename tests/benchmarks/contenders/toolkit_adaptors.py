"""The adaptors that are measured, written as any user writes them."""

from typing import ClassVar

from adapter_sdk import Adaptor, Event, EventData, handles
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import ORDER_TYPE, QUEUE, REPLY_TYPE, Booked, Order


class OrderPlaced(Order, EventData, type=ORDER_TYPE):
    pass


class OrderBooked(Booked, EventData, type=REPLY_TYPE):
    pass


class Watched(Adaptor):
    """The watch is set before the runner starts."""

    watch: ClassVar[Watch]


class Idempotent(Watched):
    name = QUEUE

    @handles(idempotent=True)
    def handle(self, event: Event[OrderPlaced]) -> None:
        self.watch.handled(event.data)


class WithLedger(Watched):
    name = QUEUE

    @handles
    def handle(self, event: Event[OrderPlaced]) -> None:
        self.watch.handled(event.data)


class ReplyingIdempotent(Watched):
    name = QUEUE

    @handles(idempotent=True)
    def handle(self, event: Event[OrderPlaced]) -> OrderBooked:
        self.watch.handled(event.data)
        return booked(event)


class ReplyingWithLedger(Watched):
    name = QUEUE

    @handles
    def handle(self, event: Event[OrderPlaced]) -> OrderBooked:
        self.watch.handled(event.data)
        return booked(event)


def booked(event: Event[OrderPlaced]) -> OrderBooked:
    """The same answer that consumers by hand give."""
    order = event.data
    return OrderBooked(order_id=order.order_id, number=f"ERP-{event.id}", sent_at=order.sent_at)
