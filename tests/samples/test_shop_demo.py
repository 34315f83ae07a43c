"""The shop as a whole: its demo, and the warehouse's adaptor before the real program."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter_sdk.ledger.base import State
from adapter_sdk.testing import AdaptorHarness, event_of
from samples.shop.events import OrderLine, PickConfirmed, StockReserved
from samples.shop.warehouse.program import Warehouse
from samples.shop.warehouse_adaptor import WarehouseAdaptor

RESERVED = StockReserved(order_id="1001", lines=(OrderLine(sku="TEAPOT", quantity=2), OrderLine(sku="CUP", quantity=6)))


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Path]:
    """The warehouse at work, a third of a second for each pick; the folder of its folders."""
    (inbox := tmp_path / "in").mkdir()
    (outbox := tmp_path / "out").mkdir()
    stop = threading.Event()
    program = threading.Thread(target=Warehouse(inbox, outbox, tmp_path / "log", 0.3).run, args=[stop])
    program.start()
    yield tmp_path
    stop.set()
    program.join()


def test_a_pick_is_owed_its_reply_until_the_warehouse_confirms_it(warehouse: Path) -> None:
    """The reply says what was picked, with the correlation of the event; the answer file is in done/."""
    files = {"drop": str(warehouse / "in"), "answers": str(warehouse / "out"), "stable": 0.1}
    with AdaptorHarness(WarehouseAdaptor, {"files": files, "runner": {"answers_every": 0.05}}) as harness:
        event = event_of(RESERVED, correlationid="cart-1001")
        harness.publish(event)
        harness.wait_for(event, State.APPLIED)
        [owed] = harness.ledger.owed(10)
        assert (owed.key, harness.replies()) == ("1001", [])
        [reply] = harness.replies(1)
        assert reply.data == PickConfirmed(order_id="1001", quantity=8)
        assert reply.extensions["correlationid"] == "cart-1001"
        assert harness.ledger.owed(1) == []
    assert [path.name for path in (warehouse / "out" / "done").iterdir()] == ["PICK000001.ANS"]


def test_the_demo_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    """Seven pick lists are confirmed by files of the warehouse, each about its own order."""
    command = [str(Path(sys.executable).parent / "adaptor"), "demo", "--json", "--folder", str(tmp_path / "demo")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["lost"], result["done_twice"]) == ([], [])
    confirmed = [row["order"] for row in result["answered_later"] if row["reply"] == "warehouse.pick.confirmed"]
    assert confirmed == ["1001", "1002", "1003", "1004", "1006", "1007", "1008"]
