"""Calls without events, broker or record: as zeep makes them, and as HTTP alone can."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.erp import ARGUMENTS, ENVELOPE, HEADERS, WSDL
from tests.benchmarks.task import Contender, Task
from tests.benchmarks.watch import Watch
from tests.benchmarks.workload import Order

Call = Callable[[str], Any]


def run(client: Callable[[str], Call], task: Task, watch: Watch) -> None:
    """As many threads as the adaptor has; each with a client of its own, made before the first call."""
    count = int(task.settings["ADAPTOR_RUNNER_CONCURRENCY"])
    endpoint = task.settings["ADAPTOR_SOAP_ENDPOINT"]
    ready = threading.Barrier(count)
    making = threading.Lock()  # of clients that were made at the same time some lacked their schemas
    order = Order(order_id="", customer="", total=ARGUMENTS["Total"], lines=())

    def work(first: int) -> None:
        with making:
            call = client(endpoint)
        ready.wait()
        for number in range(first, task.events, count):
            watch.handled(order)
            call(f"N{number:09d}")
            watch.settled(1)

    watch.expect_settlements()
    for first in range(count):
        threading.Thread(target=work, args=(first,), daemon=True).start()


def zeep(endpoint: str) -> Call:
    """As its manual shows it, but for the address, which the WSDL has wrong."""
    import zeep as library

    client: Any = library.Client  # zeep has no types
    service = client(str(WSDL)).create_service("{urn:bench}ErpSoap", endpoint)
    return lambda number: service.CreateOrder(OrderNo=number, **ARGUMENTS)


def toolkit_service(endpoint: str) -> Call:
    """The toolkit's SoapService, used by hand: no adaptor around it."""
    from adaptors.soap import SoapSettings, connect

    service = connect(SoapSettings(wsdl=WSDL, endpoint=endpoint)).__enter__()
    return lambda number: service.CreateOrder(OrderNo=number, **ARGUMENTS)


def requests(endpoint: str) -> Call:
    """A session of requests, and an envelope that is rendered before."""
    from requests import Session

    session = Session()
    return lambda number: session.post(endpoint, data=(ENVELOPE % number).encode(), headers=HEADERS).content


def http_client(endpoint: str) -> Call:
    """http.client, and an envelope that is rendered before."""
    from http.client import HTTPConnection

    parts = urlsplit(endpoint)
    connection = HTTPConnection(parts.hostname or "", parts.port)

    def call(number: str) -> bytes:
        connection.request("POST", parts.path, (ENVELOPE % number).encode(), HEADERS)
        return connection.getresponse().read()

    return call


def _contender(name: str, configuration: str, client: Callable[[str], Call]) -> Contender:
    return Contender(name, configuration, partial(run, client), consumes=False)


ZEEP = _contender("zeep", "as it comes; no broker, no record", zeep)
SERVICE = _contender("toolkit, SoapService by hand", "no broker, no record", toolkit_service)
REQUESTS = _contender("requests", "envelope rendered before, answer not read; no broker", requests)
HTTP_CLIENT = _contender("http.client", "envelope rendered before, answer not read; no broker", http_client)
