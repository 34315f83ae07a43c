"""In front of the ERP: books shop orders by SOAP, and asks before booking again when an answer was lost."""

from adapter_sdk import Event, NotApplied, handles
from adaptors.soap import Reject, SoapAdaptor, SoapService
from samples.shop.events import OrderBooked, OrderPlaced


class ErpAdaptor(SoapAdaptor):
    """Books shop orders in the ERP."""

    name = "erp"
    faults = {"{urn:erp}OrderRefused": Reject}

    @handles
    def book(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked:
        """One order in the shop is one order in the ERP."""
        order = event.data
        answer = erp.CreateOrder(OrderNo=order.order_id, Customer=order.customer, Total=order.total)
        return OrderBooked(order_id=order.order_id, erp_number=answer.Number)

    @book.verify(settle=3)
    def was_booked(self, event: Event[OrderPlaced], erp: SoapService) -> OrderBooked | NotApplied:
        """Asked only when an earlier attempt is in doubt: has the ERP an order with this number?"""
        found = erp.FindOrder(OrderNo=event.data.order_id)
        if not found or not found.Number:
            return NotApplied()
        return OrderBooked(order_id=event.data.order_id, erp_number=found.Number)
