"""The adaptors that are measured, written as any user writes them."""

from typing import ClassVar

from adapter_sdk import EventData
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import ORDER_TYPE, REPLY_TYPE, Booked, Order


class OrderPlaced(Order, EventData, type=ORDER_TYPE):
    pass


class OrderBooked(Booked, EventData, type=REPLY_TYPE):
    pass


class Watched:
    """Part of every adaptor that is measured. The watch is set before the runner starts."""

    watch: ClassVar[Watch]
