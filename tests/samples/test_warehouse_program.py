"""The sample warehouse as an outsider meets it: a process, folders and files."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from adaptors.files import FixedWidth, Number, Text, Zoned


class PickLine(FixedWidth, encoding="cp037"):
    order_id: Annotated[str, Text(12)]
    sku: Annotated[str, Text(12)]
    quantity: Annotated[int, Zoned(5)]


class Answer(FixedWidth, encoding="cp037"):
    order_id: Annotated[str, Text(12)]
    status: Annotated[str, Text(8)]
    quantity: Annotated[int, Number(5)]


def wait_for(found: Callable[[], bool]) -> None:
    """Poll until it is so, for at most 20 seconds."""
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, "the warehouse did not answer"
        time.sleep(0.01)


class Site:
    """The warehouse's folders and its running process."""

    def __init__(self, path: Path) -> None:
        self.inbox, self.outbox, self.log = path / "in", path / "out", path / "bookings.jsonl"
        self.inbox.mkdir()
        self.outbox.mkdir()
        folders = ["--in", str(self.inbox), "--out", str(self.outbox), "--log", str(self.log)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "samples.shop.warehouse.program", *folders], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.greeting = json.loads(self.process.stdout.readline())

    def give(self, name: str, data: bytes) -> None:
        unfinished = self.inbox.parent / name
        unfinished.write_bytes(data)
        unfinished.rename(self.inbox / name)

    def bookings(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def answer(self, stem: str) -> Answer:
        path = self.outbox / f"{stem}.ANS"
        wait_for(path.exists)
        return next(Answer.decode_all(path.read_bytes()))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A running warehouse with empty folders."""
    site = Site(tmp_path)
    yield site
    site.process.kill()
    site.process.communicate()


def test_a_pick_list_is_taken_away_booked_and_answered(site: Site) -> None:
    """A list that the toolkit's format has written is understood by code that knows nothing of the toolkit."""
    assert site.greeting["ready"] is True
    lines = [PickLine(order_id="O-1", sku="A-1", quantity=2), PickLine(order_id="O-1", sku="Ü-2", quantity=40)]
    site.give("PICK000001.DAT", PickLine.encode_all(lines))
    assert site.answer("PICK000001") == Answer(order_id="O-1", status="PICKED", quantity=42)
    [booking] = site.bookings()
    assert booking["order_id"] == "O-1"
    assert booking["lines"] == [{"sku": "A-1", "quantity": 2}, {"sku": "Ü-2", "quantity": 40}]
    wait_for(lambda: not any(site.inbox.iterdir()))


def test_a_list_given_twice_is_booked_twice(site: Site) -> None:
    """The warehouse does not look for duplicates, so its log shows an outsider each one that it was given."""
    data = PickLine.encode_all([PickLine(order_id="O-1", sku="A-1", quantity=2)])
    for expected in (1, 2):
        site.give("PICK000007.DAT", data)
        wait_for(lambda expected=expected: len(site.bookings()) == expected)  # type: ignore[misc]
    assert [booking["file"] for booking in site.bookings()] == ["PICK000007.DAT"] * 2


GOOD = PickLine.encode_all([PickLine(order_id="O-1", sku="A-1", quantity=2)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        GOOD[:-1] + b"\x41",
        b"\x40" * 12 + GOOD[12:],
        GOOD + PickLine.encode_all([PickLine(order_id="O-2", sku="A-1", quantity=2)]),
    ],
)
def test_a_torn_or_foreign_file_is_rejected_and_booked(site: Site, data: bytes) -> None:
    """Bytes that are not whole records of the layout are answered with REJECTED."""
    site.give("PICK000002.DAT", data)
    assert site.answer("PICK000002").status == "REJECTED"
    [booking] = site.bookings()
    assert booking["fault"]
    assert booking["size"] == len(data)


def test_other_files_are_left_alone_and_sigterm_ends_it_cleanly(site: Site) -> None:
    """Only PICK*.DAT is taken; SIGTERM ends the process with status 0."""
    site.give("PICK000003.tmp", b"half")
    site.give("PICK000004.DAT", PickLine.encode_all([PickLine(order_id="O-1", sku="A", quantity=1)]))
    site.answer("PICK000004")
    site.process.send_signal(signal.SIGTERM)
    assert site.process.wait(timeout=60) == 0
    assert [file.name for file in site.inbox.iterdir()] == ["PICK000003.tmp"]
