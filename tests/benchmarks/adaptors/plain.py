"""Adaptors whose handlers do nothing, or wait: what is measured is the toolkit."""

import os
import time
from functools import cache
from pathlib import Path

from adapter_sdk import Adaptor, Event, handles
from tests.benchmarks.adaptors import OrderBooked, OrderPlaced, Watched
from tests.benchmarks.workload import HANDLED, QUEUE, STARTED


class Idempotent(Watched, Adaptor):
    name = QUEUE

    @handles(idempotent=True)
    def handle(self, event: Event[OrderPlaced]) -> None:
        self.watch.handled(event.data)


class WithLedger(Watched, Adaptor):
    name = QUEUE

    @handles
    def handle(self, event: Event[OrderPlaced]) -> None:
        self.watch.handled(event.data)


class ReplyingIdempotent(Watched, Adaptor):
    name = QUEUE

    @handles(idempotent=True)
    def handle(self, event: Event[OrderPlaced]) -> OrderBooked:
        self.watch.handled(event.data)
        return booked(event)


class ReplyingWithLedger(Watched, Adaptor):
    name = QUEUE

    @handles
    def handle(self, event: Event[OrderPlaced]) -> OrderBooked:
        self.watch.handled(event.data)
        return booked(event)


class Starting(Adaptor):
    """Run by `adaptor run` itself; says when its first event came."""

    name = QUEUE

    @handles
    def handle(self, event: Event[OrderPlaced]) -> None:
        Path(os.environ[STARTED]).write_text(str(time.monotonic()))


class Remote(Adaptor):
    """Run by `adaptor run` itself: waits as for a system that takes 5 ms, and writes down each of its calls."""

    name = QUEUE

    @handles
    def handle(self, event: Event[OrderPlaced]) -> None:
        began = time.monotonic()
        time.sleep(0.005)
        os.write(_journal(), f"{os.getpid()} {began} {time.monotonic()}\n".encode())


@cache
def _journal() -> int:
    """All processes append to one file: each line is one write, so that none is torn."""
    return os.open(os.environ[HANDLED], os.O_WRONLY | os.O_APPEND)


def booked(event: Event[OrderPlaced]) -> OrderBooked:
    """The same answer that consumers by hand give."""
    order = event.data
    return OrderBooked(order_id=order.order_id, number=f"ERP-{event.id}", sent_at=order.sent_at)
