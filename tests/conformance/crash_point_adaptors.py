"""Adaptors for the crash-point suite: what the samples leave out, and some that are broken on purpose.

Each broken one makes a mistake that is easy to make. `_family` is called in the adaptor's own process, where a mistake
outside the family is made too, and in the test's, where it must not be.
"""

import multiprocessing
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from adapter_sdk import Event, EventData, NotApplied, TransientError, handles
from adapter_sdk import replies as sealing
from adapter_sdk.events import Key
from adapter_sdk.family import Applied, Claim, Failed, Outcome
from adapter_sdk.ledger import claiming
from adapter_sdk.ledger.base import Entry, Journal, State, Verdict, decide
from adapter_sdk.ledger.table import Table
from adapter_sdk.runner import Runner
from adapter_sdk.transport.base import Delivery
from adaptors.files import Batch, Drop, FileDropAdaptor, FixedWidth, Text, Zoned
from adaptors.files.family import FileDropFamily
from adaptors.soap import SoapAdaptor, SoapService
from adaptors.soap.family import SoapFamily
from adaptors.sql.family import DatabaseFamily, SqlFamily
from samples.shop.events import OrderBooked, OrderPlaced, StockReserved
from samples.shop.stock_adaptor import StockAdaptor
from samples.shop.warehouse_adaptor import PickLine


class OrderedStock(StockAdaptor):
    """Reserves the orders of one customer one after the other."""

    name = "ordered-stock"

    @staticmethod
    def ordered_by(event: Event[OrderPlaced]) -> str:
        """Orders of one customer are in order."""
        return event.data.customer


class PickListed(EventData, type="com.warehouse.pick.listed"):
    """The pick list is in the warehouse's folder."""

    order_id: str


class PlainWarehouse(FileDropAdaptor):
    """Replies at once, and expects no answer."""

    name = "plain-warehouse"
    file_name = "PICK{sequence:06d}.DAT"

    @handles
    def pick(self, event: Event[StockReserved], drop: Drop) -> PickListed:
        """As the shop's own adaptor."""
        order = event.data
        drop.write(PickLine(order_id=order.order_id, sku=line.sku, quantity=line.quantity) for line in order.lines)
        return PickListed(order_id=order.order_id)


class MarkedWarehouse(PlainWarehouse):
    """A reader that waits for a marker finds the file whole before it."""

    name = "marked-warehouse"
    marker = "{stem}.OK"


class Control(FixedWidth, encoding="ascii"):
    """Before and after the orders of a file: its number, and how many there are."""

    mark: Annotated[str, Text(1)]
    number: Annotated[int, Zoned(6)]
    count: Annotated[int, Zoned(6)] = 0


class OrderRecord(FixedWidth, encoding="ascii"):
    """One order, as wide as a control record."""

    mark: Annotated[str, Text(1)] = "D"
    order_id: Annotated[str, Text(12)]


class BatchWarehouse(FileDropAdaptor, batch=Batch(count=100, after=0.3)):
    """Many orders in one file, between a header and a trailer, with a marker after it."""

    name = "batch-warehouse"
    file_name = "PICK{sequence:06d}.DAT"
    marker = "{stem}.OK"

    @handles
    def pick(self, events: list[Event[StockReserved]], drop: Drop) -> list[PickListed]:
        """The trailer tells how many orders are in the file."""
        drop.write(
            (OrderRecord(order_id=event.data.order_id) for event in events),
            header=Control(mark="H", number=drop.number),
            trailer=lambda totals: Control(mark="T", number=drop.number, count=totals.count),
        )
        return [PickListed(order_id=event.data.order_id) for event in events]


class BlindErp(SoapAdaptor):
    """Cannot ask whether an order was booked: a person has to."""

    name = "blind-erp"

    @handles
    def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
        """Book the order."""
        return self._book(event, erp)

    def _book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
        order = event.data
        answer = erp.CreateOrder(OrderNo=order.order_id, Customer=order.customer, Total=order.total)
        return OrderBooked(order_id=order.order_id, erp_number=answer.Number)


class AskingErp(BlindErp):
    """As the shop's own adaptor, but asks after half a second already."""

    name = "asking-erp"

    @handles
    def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
        """Book the order."""
        return self._book(event, erp)

    @book.verify(settle=0.5)
    def was_booked(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked | NotApplied:
        """Whether the ERP has the order."""
        found = erp.FindOrder(OrderNo=event.data.order_id)
        if not found or not found.Number:
            return NotApplied()
        return OrderBooked(order_id=event.data.order_id, erp_number=found.Number)


class OrderedErp(AskingErp):
    """Books the orders of one customer one after the other, doubts included."""

    name = "ordered-erp"

    @staticmethod
    def ordered_by(event: Event[OrderPlaced]) -> str:
        """Orders of one customer are in order."""
        return event.data.customer


class OrderedBlindErp(BlindErp):
    """An order in doubt holds those of its customer until a person has decided."""

    name = "ordered-blind-erp"

    @staticmethod
    def ordered_by(event: Event[OrderPlaced]) -> str:
        """Orders of one customer are in order."""
        return event.data.customer


def _in_the_adaptors_process() -> bool:
    return multiprocessing.parent_process() is not None


class AckFirst(StockAdaptor):
    """Settles a delivery as soon as it comes."""

    name = "ack-first"

    @classmethod
    def _family(cls, settings: Any) -> DatabaseFamily:
        if _in_the_adaptors_process():
            process = Runner._process

            def ack_first(self: Runner, deliveries: list[Delivery]) -> None:
                self.transport.ack(deliveries)
                time.sleep(0.1)  # the ack leaves on another thread; nothing tells when
                process(self, deliveries)

            Runner._process = ack_first  # type: ignore[method-assign]
        return super()._family(settings)


class NeverAck(StockAdaptor):
    """Leaves every delivery unsettled."""

    name = "never-ack"

    @classmethod
    def _family(cls, settings: Any) -> DatabaseFamily:
        if _in_the_adaptors_process():

            def never_ack(self: Runner, deliveries: list[Delivery]) -> None:
                self._pipeline.process(deliveries)

            Runner._process = never_ack  # type: ignore[method-assign]
        return super()._family(settings)


class Overtaking(OrderedStock):
    """Has the first event that a process meets wait for another attempt, and lets the others pass it."""

    name = "overtaking"

    @classmethod
    def _family(cls, settings: Any) -> DatabaseFamily:
        family = super()._family(settings)
        if _in_the_adaptors_process():
            _fail_once(family)
            claiming.Claiming._hold_back = lambda *_: None  # type: ignore[method-assign]
        return family


def _fail_once(family: DatabaseFamily) -> None:
    apply = family.apply

    def fail_once(claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        family.apply = apply  # type: ignore[method-assign]
        return [Failed(TransientError("the first of all fails")) for _ in claims]

    family.apply = fail_once  # type: ignore[method-assign]


class EagerKey(StockAdaptor):
    """Takes a claim without an end for a duplicate."""

    name = "eager-key"

    @classmethod
    def _family(cls, settings: Any) -> DatabaseFamily:
        if _in_the_adaptors_process():

            def filter_claims(entry: Entry, *others: Any) -> Verdict:
                return Verdict.DUPLICATE if entry.state is State.CLAIMED else decide(entry, *others)

            claiming.decide = filter_claims  # type: ignore[assignment, attr-defined]
        return super()._family(settings)


class RandomReplyIds(StockAdaptor):
    """Draws a new id for each reply."""

    name = "random-reply-ids"

    @classmethod
    def _family(cls, settings: Any) -> DatabaseFamily:
        if _in_the_adaptors_process():
            sealing.reply_id = lambda *_: str(uuid.uuid4())
        return super()._family(settings)


class TwoTransactions(StockAdaptor):
    """Commits the effect by itself, and has it recorded afterwards."""

    name = "two-transactions"

    @classmethod
    def _family(cls, settings: Any) -> SqlFamily:
        return _TwoTransactions(cls.name, settings)


class _TwoTransactions(SqlFamily):
    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for claim in claims:
            with self.handle(claim, None) as connection:
                outcomes.append(Applied(self.call(claim, connection)))
        return outcomes


class NoEvidence(PlainWarehouse):
    """Drops a file anew whatever the ledger knows of it."""

    name = "no-evidence"

    @classmethod
    def _family(cls, settings: Any) -> FileDropFamily:
        family = super()._family(settings)
        family.__class__ = _NoEvidence
        return family


class _NoEvidence(FileDropFamily):
    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        return super().apply([replace(claim, evidence=None) for claim in claims], journal)


class ForgetfulBatch(BatchWarehouse):
    """Makes a file of many events anew whatever the ledger knows of it."""

    name = "forgetful-batch"

    @classmethod
    def _family(cls, settings: Any) -> FileDropFamily:
        family = super()._family(settings)
        family.__class__ = _NoEvidence
        return family


class PartlyNoted(BatchWarehouse):
    """Notes a file for the first of its events only."""

    name = "partly-noted"

    @classmethod
    def _family(cls, settings: Any) -> FileDropFamily:
        if _in_the_adaptors_process():
            note, noted = Table.note, set()

            def note_once(self: Table, key: Key, token: str, state: State, evidence: Any, *more: Any) -> None:
                if evidence["number"] not in noted:
                    noted.add(evidence["number"])
                    note(self, key, token, state, evidence, *more)

            Table.note = note_once  # type: ignore[assignment, method-assign]
        return super()._family(settings)


class BlindRetry(BlindErp):
    """Makes a call again whose answer was lost."""

    name = "blind-retry"

    @classmethod
    def _family(cls, settings: Any) -> SoapFamily:
        family = super()._family(settings)
        family.__class__ = _BlindRetry
        return family


class _BlindRetry(SoapFamily):
    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        return super().apply([replace(claim, evidence=None, in_doubt=False) for claim in claims], journal)
