"""What docs/operating.md finds: an adaptor's folder at night, with an event in doubt in its ledger."""

import time
from pathlib import Path

from adapter_sdk.events import Key
from adapter_sdk.ledger.base import ClaimRequest, Record, State
from adapter_sdk.ledger.sqlite import sqlite_ledger
from adapter_sdk.transport.base import Binding, Exchange, Message, Queue, Topology
from adapter_sdk.transport.connect import transport_for
from samples.shop.erp.soap import WSDL_FILE

_SETTINGS = f"""\
[adaptor]
app = "samples.shop.erp_adaptor:ErpAdaptor"

[soap]
wsdl = "{WSDL_FILE}"
port = "Soap11"
"""
_BODY = b"""\
{"specversion": "1.0", "id": "order-1007", "source": "/shop", "type": "com.shop.order.placed",
"data": {"order_id": "1007", "customer": "Ada", "total": "9.90", "lines": [{"sku": "KETTLE", "quantity": 2}]}}
"""


def make_scene(folder: Path, broker_url: str) -> None:
    """Write `adaptor.toml` and `erp.ledger` into `folder`; somebody on the broker waits for the ERP's replies."""
    (folder / "adaptor.toml").write_text(_SETTINGS)
    waiting = Binding("events", "clerk", "com.erp.order.booked")
    transport_for(broker_url).declare(Topology([Exchange("events")], [Queue("clerk")], [waiting]))
    ledger = sqlite_ledger(folder / "erp.ledger", "erp")
    ledger.open()
    now = time.time()
    key = Key("/shop", "order-1007")
    ((_, entry),) = ledger.claim([ClaimRequest(key=key, digest="0" * 64, type="com.shop.order.placed")], now)
    lost = "CreateOrder at http://erp.example/soap: no whole answer in phase response after 560 bytes were sent"
    ledger.record(
        [
            Record(
                key=key,
                token=entry.token,
                state=State.IN_DOUBT,
                reason="in doubt",
                error=lost,
                message=Message(body=_BODY, exchange="events", routing_key="com.shop.order.placed"),
            )
        ],
        now,
    )
    ledger.close()
