"""A file of many events, killed at every crash point, before a reader that takes each file away at once."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from adapter_sdk import Adaptor
from adapter_sdk.testing import event_of
from adapter_sdk.testing.crashpoints import BackendUnderTest, Crash, CrashPointSuite, Trial, broken_promises
from adapter_sdk.testing.harness import Sections
from samples.shop.events import OrderLine, StockReserved
from tests.conformance import crash_point_adaptors as adaptors
from tests.conformance.crash_point_adaptors import Control, OrderRecord
from tests.services.waiting import wait_until

# The deliveries of a trial are four: three events, and the first once more. One by one they pass these points first;
# the fifth time it is the group. Elsewhere the group alone comes.
_SHARED = ("received", "admitted", "claimed", "applied", "recorded", "settling", "settled")


_LINES = (OrderLine(sku="TEAPOT", quantity=1),)


class Reader:
    """Waits for markers in `inbox`, takes their files away and remembers what was in them, until it is stopped."""

    def __init__(self, inbox: Path) -> None:
        self.files: list[tuple[str, list[str]]] = []
        self._inbox = inbox
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def orders(self) -> Counter[str]:
        """How often each order has come, once nothing is left to read."""
        wait_until(lambda: not any(self._inbox.iterdir()))
        return Counter(order for _, orders in self.files for order in orders)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            for marker in sorted(self._inbox.glob("*.OK")):
                file = marker.with_suffix(".DAT")
                self.files.append((file.name, self._read(file.read_bytes())))
                file.unlink()
                marker.unlink()

    def _read(self, data: bytes) -> list[str]:
        size = len(data) // 13
        (header,), (trailer,) = Control.decode_all(data[:13]), Control.decode_all(data[-13:])
        orders = [record.order_id for record in OrderRecord.decode_all(data[13:-13])]
        assert (header.mark, trailer.mark) == ("H", "T")
        assert header.number == trailer.number == len(self.files) + 1, "a gap or a repetition in the numbers"
        assert trailer.count == len(orders) == size - 2
        return orders


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """The mainframe."""
    inbox = tmp_path / "in"
    inbox.mkdir()
    reader = Reader(inbox)
    yield reader
    reader.stop()


@pytest.fixture
def backend(tmp_path: Path, reader: Reader) -> BackendUnderTest:
    """Three orders, and a folder that the mainframe reads."""
    numbers = [uuid4().hex[:12] for _ in range(3)]
    events = [event_of(StockReserved(order_id=number, lines=_LINES), id=number) for number in numbers]
    settings: Sections = {"files": {"drop": tmp_path / "in"}, "runner": {"concurrency": 1, "batch_size": 1}}
    return BackendUnderTest(settings, events, reader.orders)


class TestBatchWarehouse(CrashPointSuite):
    """files, many events in each: none is lost, none is in two files, and number and count of each are right."""

    adaptor = adaptors.BatchWarehouse

    @pytest.fixture
    def broker_url(self, amqp_url: str) -> str:
        return amqp_url

    @pytest.fixture
    def backend(self, backend: BackendUnderTest) -> BackendUnderTest:
        return backend

    @pytest.mark.parametrize("point", _SHARED)
    def test_a_crash_in_the_group_keeps_the_promise(self, trial: Trial, point: str) -> None:
        """The points that single events pass as well, when the group comes there: the same list, once."""
        self._try(trial, Crash(point, times=5))


@pytest.mark.parametrize("adaptor", [adaptors.ForgetfulBatch, adaptors.PartlyNoted])
def test_a_file_that_is_not_noted_for_all_is_found(
    amqp_url: str, tmp_path: Path, backend: BackendUnderTest, adaptor: type[Adaptor]
) -> None:
    """An adaptor that forgets a file, or notes it for some of its events only, shows as done twice."""
    (tmp_path / "trial").mkdir()
    trial = Trial(adaptor, backend, amqp_url, tmp_path / "trial")
    broken = broken_promises(trial.run(Crash("files.marked")), adaptor, trial.family)
    assert any("done twice" in sentence for sentence in broken), broken
