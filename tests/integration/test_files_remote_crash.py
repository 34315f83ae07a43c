"""An adaptor that drops on an SFTP server, killed at each step of a drop: nothing lost, nothing twice."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from adapter_sdk.testing import event_of
from adapter_sdk.testing.crashpoints import BackendUnderTest, CrashPointSuite
from samples.shop.events import OrderLine, StockReserved
from samples.shop.warehouse.program import Warehouse
from tests.conformance.crash_point_adaptors import BatchWarehouse, MarkedWarehouse
from tests.conformance.test_crash_points_batch import Reader
from tests.file_servers import FileServer, on_sftp
from tests.services.run import Run
from tests.services.waiting import wait_until

LINES = (OrderLine(sku="TEAPOT", quantity=1),)


@pytest.fixture(scope="module")
def server(service_run: Run) -> Iterator[FileServer]:
    """OpenSSH."""
    with on_sftp(service_run) as server:
        yield server


class TestWarehouseOnSftp(CrashPointSuite):
    """The warehouse takes files away as soon as it sees them, so a crash right after a drop leaves a doubt, no more."""

    adaptor = MarkedWarehouse
    points = ("files.staged", "files.noted", "files.dropped", "files.marked")
    preload = ("paramiko",)

    @pytest.fixture
    def broker_url(self, amqp_url: str) -> str:
        return amqp_url

    @pytest.fixture
    def backend(self, tmp_path: Path, server: FileServer) -> Iterator[BackendUnderTest]:
        inbox, outbox, log = tmp_path / "in", tmp_path / "out", tmp_path / "log"
        inbox.mkdir()
        outbox.mkdir()
        log.touch()
        stop = threading.Event()
        reader = threading.Thread(target=Warehouse(inbox, outbox, log).run, args=[stop])
        reader.start()

        def effects() -> Mapping[str, int]:
            wait_until(lambda: not any(tmp_path.glob("in*/PICK*.DAT")))
            bookings = [json.loads(line) for line in log.read_text().splitlines()]
            assert not [booking for booking in bookings if booking["fault"]], "a part of a file was seen"
            return Counter(booking["order_id"] for booking in bookings)

        numbers = [uuid4().hex[:12] for _ in range(3)]
        events = [event_of(StockReserved(order_id=number, lines=LINES), id=number) for number in numbers]
        settings = {key: str(value) for key, value in server.settings(inbox).items()}
        yield BackendUnderTest({"files": settings}, events, effects)
        stop.set()
        reader.join()


class TestBatchOnSftp(CrashPointSuite):
    """Many events in one file: all of them are in the file that was dropped, or all in doubt, and none is in two."""

    adaptor = BatchWarehouse
    points = ("files.staged", "files.noted", "files.dropped", "files.marked")
    preload = ("paramiko",)

    @pytest.fixture
    def broker_url(self, amqp_url: str) -> str:
        return amqp_url

    @pytest.fixture
    def backend(self, tmp_path: Path, server: FileServer) -> Iterator[BackendUnderTest]:
        inbox = tmp_path / "in"
        inbox.mkdir()
        reader = Reader(inbox)
        numbers = [uuid4().hex[:12] for _ in range(3)]
        events = [event_of(StockReserved(order_id=number, lines=LINES), id=number) for number in numbers]
        settings = {key: str(value) for key, value in server.settings(inbox).items()}
        yield BackendUnderTest({"files": settings, "runner": {"batch_size": 1}}, events, reader.orders)
        reader.stop()
