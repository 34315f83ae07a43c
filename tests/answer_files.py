"""An adaptor whose backend answers in files, run for real: for the tests of answer files."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from adapter_sdk import Event, EventData, Pending, handles
from adapter_sdk.testing import AdaptorHarness, event_of
from adaptors.files import Drop, FileDropAdaptor, FixedWidth, Marker, Number, Text

PATIENCE = 60.0  # seconds


class PickOrdered(EventData, type="com.shop.pick.ordered"):
    order_id: str


class Picked(EventData, type="com.warehouse.picked"):
    order_id: str
    quantity: int


class Confirmation(FixedWidth, encoding="cp037"):
    """Nine bytes without line ends."""

    order_id: Annotated[str, Text(5)]
    quantity: Annotated[int, Number(4)]


class Head(FixedWidth, encoding="cp037"):
    day: Annotated[str, Text(8)]


class Tail(FixedWidth, encoding="cp037"):
    records: Annotated[int, Number(3)]
    quantity: Annotated[int, Number(6)]


class Warehouse(FileDropAdaptor):
    """Answers in CONF*.DAT."""

    name = "warehouse"
    file_name = "PICK{sequence:03d}.DAT"

    @handles
    def pick(self, event: Event[PickOrdered], drop: Drop) -> Pending[Picked]:
        """The order's number is all that there is to say."""
        drop.write_text(event.data.order_id, encoding="ascii")
        return Pending(event.data.order_id)

    @pick.answer(key="order_id", files="CONF*.DAT")
    def picked(self, answer: Confirmation) -> Picked:
        """Fails where nothing was picked."""
        if not answer.quantity:
            raise RuntimeError("nothing was picked")
        return Picked(order_id=answer.order_id, quantity=answer.quantity)


MARKERS = (Marker("{stem}.CTL", "{size}", before=True), Marker("{name}.md5", "{md5}"))


class Marked(FileDropAdaptor):
    """Each answer file has a marker with its size, and one with its checksum."""

    name = "marked"
    file_name = "PICK{sequence:03d}.DAT"

    @handles
    def pick(self, event: Event[PickOrdered], drop: Drop) -> Pending[Picked]:
        """As above."""
        drop.write_text(event.data.order_id, encoding="ascii")
        return Pending(event.data.order_id)

    @pick.answer(
        key="order_id",
        files="CONF*.DAT",
        marker=(Marker("{stem}.CTL", "{size}", before=True), Marker("{name}.md5", "{md5}")),
    )
    def picked(self, answer: Confirmation) -> Picked:
        """As above."""
        return Picked(order_id=answer.order_id, quantity=answer.quantity)


class Counted(FileDropAdaptor):
    """Answer files have a header, and a trailer that counts."""

    name = "counted"
    file_name = "PICK{sequence:03d}.DAT"

    @handles
    def pick(self, event: Event[PickOrdered], drop: Drop) -> Pending[Picked]:
        """As above."""
        drop.write_text(event.data.order_id, encoding="ascii")
        return Pending(event.data.order_id)

    @pick.answer(
        key="order_id",
        files="CONF*.DAT",
        header=Head,
        trailer=Tail,
        totals=lambda totals: {"records": totals.count, "quantity": totals.sum("quantity")},
    )
    def picked(self, answer: Confirmation) -> Picked:
        """As above."""
        return Picked(order_id=answer.order_id, quantity=answer.quantity)


class Site:
    """The folders of a running adaptor, on this host; `deliver` is what its backend does."""

    def __init__(self, folder: Path) -> None:
        self.drop, self.answers = folder / "in", folder / "out"
        self.drop.mkdir(exist_ok=True)
        self.answers.mkdir(exist_ok=True)

    def deliver(self, name: str, *parts: bytes) -> None:
        """Put a whole file into the folder of answers at once."""
        unfinished = self.answers.parent / name
        unfinished.write_bytes(b"".join(parts))
        unfinished.rename(self.answers / name)

    def waiting(self) -> list[str]:
        """The files that have not been taken away."""
        return sorted(path.name for path in self.answers.iterdir() if path.is_file())

    def done(self) -> list[str]:
        """The files in done/."""
        return sorted(path.name for path in self.answers.glob("done/*"))

    def error(self) -> list[str]:
        """The files in error/."""
        return sorted(path.name for path in self.answers.glob("error/*"))


@contextmanager
def running(
    adaptor: type[FileDropAdaptor],
    site: Site,
    where: Mapping[str, Any] | None = None,
    harness: type[AdaptorHarness] = AdaptorHarness,
    unmatched_after: float = 0.5,
    **files: Any,
) -> Iterator[AdaptorHarness]:
    """The adaptor at work, looking for answers twenty times a second."""
    place = where or {"drop": str(site.drop), "answers": str(site.answers)}
    settings = {
        "files": {**place, "stable": 0.2, **files},
        "runner": {"answers_every": 0.05, "unmatched_after": unmatched_after},
    }
    with harness(adaptor, settings) as working:
        yield working


def order(harness: AdaptorHarness, *numbers: str) -> None:
    """Order picks, and wait until they are applied: their replies are owed."""
    for number in numbers:
        harness.publish(event_of(PickOrdered(order_id=number), id=f"order-{number}"))
    harness.wait_until_settled()


def confirmations(*quantities: tuple[str, int]) -> bytes:
    """The details of an answer file."""
    return Confirmation.encode_all([Confirmation(order_id=number, quantity=count) for number, count in quantities])


def wait(condition: Callable[[], object], what: str) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
