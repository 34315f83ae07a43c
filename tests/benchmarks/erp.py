"""The SOAP service of job (e): a canned answer, from a process that costs its clients nothing.

`python -m tests.benchmarks.erp PORT` serves it, over HTTP/1.1 with connections kept open.
"""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

WSDL = Path(__file__).with_name("erp.wsdl")
ARGUMENTS: dict[str, Any] = {
    "Customer": "Ada Lovelace",
    "Total": Decimal("249.00"),
    "Line": [
        {"Sku": f"KETTLE-00{number:02d}", "Quantity": number, "Price": Decimal("24.90")} for number in range(1, 6)
    ],
}
"""Of every call, beside the order's number."""

_LINES = "".join(
    f"<Line><Sku>{line['Sku']}</Sku><Quantity>{line['Quantity']}</Quantity><Price>{line['Price']}</Price></Line>"
    for line in ARGUMENTS["Line"]
)
ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><CreateOrder xmlns="urn:bench">'
    f"<OrderNo>%s</OrderNo><Customer>Ada Lovelace</Customer><Total>249.00</Total>{_LINES}"
    "</CreateOrder></s:Body></s:Envelope>"
)
"""The request as a client without SOAP sends it: rendered before, but for the order's number."""
HEADERS = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"urn:bench:CreateOrder"'}

_ANSWER = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><CreateOrderResponse xmlns="urn:bench">'
    b"<Number>ERP-4711</Number><BookedAt>2026-11-20T08:15:00Z</BookedAt>"
    b"</CreateOrderResponse></s:Body></s:Envelope>"
)
_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % len(_ANSWER) + _ANSWER
)


class Canned(asyncio.Protocol):
    """Answers each request that is complete with the one answer."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := _end_of_request(self._received)) is not None:
            self._received = self._received[end:]
            self._transport.write(_RESPONSE)


def _end_of_request(received: bytes) -> int | None:
    """Where the first request ends, None while some of it is missing."""
    head, blank, _ = received.partition(b"\r\n\r\n")
    if not blank:
        return None
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    end = len(head) + len(blank) + int(length or 0)
    return end if end <= len(received) else None


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
