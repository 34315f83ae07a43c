"""One SOAP call per event."""

from adapter_sdk import Event, handles
from adaptors.soap import SoapAdaptor, SoapService
from tests.benchmarks.adaptors import OrderPlaced, Watched
from tests.benchmarks.erp import ARGUMENTS
from tests.benchmarks.workload import QUEUE


class Calling(Watched, SoapAdaptor):
    name = QUEUE

    @handles
    def book(self, event: Event[OrderPlaced], erp: SoapService) -> None:
        self.watch.handled(event.data)
        erp.CreateOrder(OrderNo=event.data.order_id, **ARGUMENTS)
