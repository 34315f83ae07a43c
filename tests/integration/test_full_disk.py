"""A disk that fills up under a running adaptor, for real: a file system of some megabytes, and a process on it."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import Adaptor, BackendUnavailable, Event, handles
from adapter_sdk.envelopes import write_structured
from adapter_sdk.family import Applied
from adapter_sdk.testing import event_of
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Exchange, Queue, Topology
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from adaptors.files import Batch, Drop, FileDropAdaptor
from samples.shop.erp.server import running
from samples.shop.erp.soap import WSDL_FILE
from tests.command import adaptor
from tests.file_drops import Notes, error_of, places
from tests.file_servers import on_sftp
from tests.services.missing import Missing, skip_or_fail
from tests.services.rabbitmq import Broker
from tests.services.run import Run
from tests.services.small_disk import SmallDisk
from tests.services.waiting import wait_until
from tests.torture.adaptors import Erp, FilesDone, FilesOrder, Order, SoapOrder, SqlOrder, Stock, Warehouse
from tests.torture.backends import STOCK_TABLES

ROOT = Path(__file__).parents[2]
EVENTS = 60
"""Sent before the disk is full, while it is, and after: so many each."""
LEDGER = "ledger"
_RUN = "import sys; from adapter_sdk.cli import main; main(['run', sys.argv[1]])"


class Pallets(FileDropAdaptor, batch=Batch(count=20, after=0.1)):
    """Up to twenty orders in each file, a line each."""

    name = "pallets"
    file_name = "PALLET{sequence:06d}.TXT"

    @handles
    def pack(self, events: list[Event[FilesOrder]], drop: Drop) -> list[FilesDone]:
        """Fill up to a kilobyte a line, so that files are written in more than one block."""
        drop.write_text("".join(f"{event.data.order_id:<1023}\n" for event in events), encoding="ascii")
        return [FilesDone(order_id=event.data.order_id) for event in events]


class Scene:
    """An adaptor on a small disk, its producer, and who reads its replies."""

    def __init__(
        self, disk: SmallDisk, broker: Broker, folder: Path, app: type[Adaptor], environment: dict[str, str]
    ) -> None:
        self.disk = disk
        self.folder = folder
        self.sent: list[str] = []
        self.replies: Counter[str] = Counter()
        self._name = app.name
        self._log = folder / "adaptor.log"
        self._transport = RabbitMQTransport(broker.url)
        self._transport.open()
        bound = Binding("events", "answers", "torture.*.done")
        self._transport.declare(Topology([Exchange("events")], [Queue("answers", {})], [bound]))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                disk.inside([sys.executable, "-c", _RUN, f"{app.__module__}:{app.__name__}"]),
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "ADAPTOR_LOG_FORMAT": "json",
                    "ADAPTOR_BROKER_URL": broker.url,
                    "ADAPTOR_RETRY_DELAYS": "[1, 1, 1]",
                    **environment,
                },
                stderr=log,
            )
        self.says('"consuming"')
        self._transport.consume("answers", prefetch=100, on_deliveries=self._collect, on_lost=lambda _: None)

    def _collect(self, deliveries: list[Delivery]) -> None:
        self.replies.update(str(json.loads(delivery.message.body)["data"]["order_id"]) for delivery in deliveries)
        self._transport.ack(deliveries)

    def publish(self, kind: type[Order]) -> None:
        """So many orders, each confirmed."""
        names = [f"{len(self.sent) + number:04}" for number in range(EVENTS)]
        events = [event_of(kind(order_id=name, sku="SKU", quantity=1, total=Decimal(5)), id=name) for name in names]
        fates = self._transport.publish([write_structured(event, "events") for event in events])
        assert set(fates) == {Confirm.CONFIRMED}
        self.sent += names

    def says(self, *parts: str) -> None:
        """Wait until a line of the log holds all of these."""
        wait_until(lambda: any(all(part in line for part in parts) for line in self.log()))

    def log(self) -> list[str]:
        """What the adaptor has said."""
        return self._log.read_text().splitlines()

    def waiting(self) -> int:
        """How many events are on the adaptor's queues and in nobody's hands."""
        delays = ("", ".retry.1000ms", ".retry.5000ms", ".retry.30000ms")
        return sum(self._transport.depth(f"{self._name}{delay}") for delay in delays)

    def all_are_answered(self) -> None:
        """Wait until everything that was sent is done, as the replies say."""
        wait_until(lambda: len(self.replies) == len(self.sent))

    def stop(self) -> None:
        """As on SIGTERM; it ends in good order."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0

    def close(self) -> None:
        """Leave nothing behind."""
        self._process.kill()
        self._process.wait()
        self._transport.close()

    def read(self, database: str, query: str) -> list[Any]:
        """What a database on the disk has. SQLite takes no way through /proc, so it reads a copy."""
        for suffix in ("", "-wal"):
            if (file := self.disk.seen / f"{database}{suffix}").exists():
                shutil.copy(file, self.folder)
        with closing(sqlite3.connect(self.folder / database)) as copy:
            return copy.execute(query).fetchall()


@pytest.fixture
def disk(service_run: Run) -> Iterator[SmallDisk]:
    """Room for a ledger with its write-ahead log, which grows to four megabytes, and little more."""
    try:
        disk = SmallDisk(service_run, 8 << 20)
    except Missing as missing:
        skip_or_fail(missing)
    yield disk
    disk.end()


@pytest.fixture
def scene_of(fresh_rabbitmq: Broker, disk: SmallDisk, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Starts an adaptor with its ledger on the disk, or elsewhere."""
    scenes: list[Scene] = []

    def start(app: type[Adaptor], **environment: str) -> Scene:
        there = {"ADAPTOR_LEDGER_PATH": str(disk.path / LEDGER), **environment}
        scenes.append(Scene(disk, fresh_rabbitmq, tmp_path, app, there))
        return scenes[-1]

    yield start
    for scene in scenes:
        scene.close()


def fill_up_and_make_room(scene: Scene, kind: type[Order], *said: str) -> None:
    """Let work go on before, during and after a full disk, of which the adaptor says that it is `paused`."""
    scene.publish(kind)
    wait_until(lambda: scene.replies)
    scene.disk.fill()
    scene.publish(kind)
    scene.says('"paused"', *said)
    # Between two tries everything that is not answered is back on the broker.
    wait_until(lambda: scene.waiting() + len(scene.replies) >= len(scene.sent))
    assert len(scene.replies) < len(scene.sent)
    scene.disk.make_room()
    scene.publish(kind)
    scene.all_are_answered()
    scene.stop()
    assert sorted(scene.replies) == scene.sent


@pytest.mark.parametrize("full", ["ledger", "drop", "both"])
def test_files(scene_of: Callable[..., Scene], disk: SmallDisk, tmp_path: Path, full: str) -> None:
    """Whether ledger, drop or both have no room: each file is there once and whole, under numbers without a gap."""
    drop = (disk.path if full != "ledger" else tmp_path) / "in"
    seen = (disk.seen if full != "ledger" else tmp_path) / "in"
    seen.mkdir()
    elsewhere = {"ADAPTOR_LEDGER_PATH": str(tmp_path / LEDGER)} if full == "drop" else {}
    scene = scene_of(Warehouse, ADAPTOR_FILES_DROP=str(drop), **elsewhere)
    said = {"ledger": ["LedgerError", "full"], "drop": ["BackendUnavailable", "ENOSPC"], "both": []}
    fill_up_and_make_room(scene, FilesOrder, *said[full])
    files = sorted(seen.iterdir())
    assert [file.name for file in files] == [f"PICK{number:06}.DAT" for number in range(1, 3 * EVENTS + 1)]
    picked = [file.read_bytes().decode("cp037")[:12].strip() for file in files]
    assert sorted(picked) == scene.sent


@pytest.mark.parametrize("full", ["ledger", "drop", "both"])
def test_files_of_many_events(scene_of: Callable[..., Scene], disk: SmallDisk, tmp_path: Path, full: str) -> None:
    """In the middle of a batch as well: each order is in one file, no file is cut off, and no number is left out."""
    drop = (disk.path if full != "ledger" else tmp_path) / "in"
    seen = (disk.seen if full != "ledger" else tmp_path) / "in"
    seen.mkdir()
    elsewhere = {"ADAPTOR_LEDGER_PATH": str(tmp_path / LEDGER)} if full == "drop" else {}
    scene = scene_of(Pallets, ADAPTOR_FILES_DROP=str(drop), **elsewhere)
    scene.publish(FilesOrder)
    wait_until(lambda: scene.replies)
    scene.disk.fill()
    scene.publish(FilesOrder)
    scene.says('"paused"')
    scene.disk.make_room()
    scene.publish(FilesOrder)
    scene.all_are_answered()
    scene.stop()
    files = sorted(seen.iterdir())
    assert [file.name for file in files] == [f"PALLET{number:06}.TXT" for number in range(1, len(files) + 1)]
    assert sorted(line.strip() for file in files for line in file.read_text().splitlines()) == scene.sent
    assert all(file.stat().st_size % 1024 == 0 for file in files)


def test_files_on_a_server(disk: SmallDisk, service_run: Run) -> None:
    """OpenSSH says no more than that something failed: that is an outage all the same, and no fault of the events."""
    with on_sftp(service_run) as server, places(disk.seen, server.settings) as make_place:
        place = make_place(Notes)
        disk.fill()
        for name in "abc":
            error = error_of(place.apply((name, "text" * 2000))[0])
            assert isinstance(error, BackendUnavailable), error
        disk.make_room()
        assert [type(place.apply((name, name))[0]) for name in "abc"] == [Applied] * 3
        assert place.dropped() == {"NOTE001.TXT": "a", "NOTE002.TXT": "b", "NOTE003.TXT": "c"}
        assert place.staged() == []


def test_soap(scene_of: Callable[..., Scene], tmp_path: Path) -> None:
    """A call whose answer could not be noted is asked for: every order is booked once."""
    with running(tmp_path) as erp:
        soap = {"WSDL": str(WSDL_FILE), "PORT": "Soap12", "ENDPOINT": erp.url, "TIMEOUT": "1"}
        settings = {f"ADAPTOR_SOAP_{name}": value for name, value in soap.items()}
        scene = scene_of(Erp, TORTURE_SETTLE="1", **settings)
        fill_up_and_make_room(scene, SoapOrder, "LedgerError", "full")
        booked = Counter(order.order_no for order in erp.erp.books.all())
    assert booked == dict.fromkeys(scene.sent, 1)
    assert scene.read(LEDGER, "SELECT DISTINCT state, unsent FROM adaptor_ledger") == [("applied", 0)]


def test_sql(scene_of: Callable[..., Scene], disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database has no room, which holds the ledger too: every order is reserved once, and none is dead."""
    url = f"sqlite:///{tmp_path / 'stock'}"
    with closing(sqlite3.connect(tmp_path / "stock")) as stock:
        stock.executescript(STOCK_TABLES)
        stock.execute("INSERT INTO article VALUES ('SKU', 1000000)")
        stock.commit()
    monkeypatch.setenv("ADAPTOR_SQL_URL", url)
    adaptor("sql", "install", "tests.torture.adaptors:Stock")
    shutil.copy(tmp_path / "stock", disk.seen)
    scene = scene_of(Stock, ADAPTOR_SQL_URL=f"sqlite:///{disk.path / 'stock'}")
    fill_up_and_make_room(scene, SqlOrder, "full")
    assert scene.read("stock", "SELECT order_id FROM reservation ORDER BY order_id") == [(name,) for name in scene.sent]
    assert scene.read("stock", "SELECT DISTINCT state, unsent FROM adaptor_ledger") == [("applied", 0)]
