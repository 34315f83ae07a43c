"""The shop's warehouse: an old program that reads pick lists from a folder and answers with a file. It knows no events.

    python -m samples.shop.warehouse.program --in FOLDER --out FOLDER --log FILE [--answer-after SECONDS]

A pick list is a file `PICK*.DAT` of 29-byte records in EBCDIC (code page 037) without separators: 12 bytes of order
number, the same in each record, 12 bytes of article number, 5 bytes of zoned decimal quantity. Each file is taken away
as soon as it is seen, booked as one JSON line in the log, and, when it is picked, answered with `PICK*.ANS`: one record
in the same code page, 12 bytes of order number, 8 bytes with PICKED or REJECTED, 5 digits with the quantity picked.
What it has booked twice, it was given twice.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

POLL_INTERVAL = 0.05  # seconds
RECORD_LENGTH = 29
CODE_PAGE = "cp037"


class BadList(Exception):
    """The file is not a pick list."""


@dataclass(frozen=True)
class Line:
    """One line of a pick list."""

    sku: str
    quantity: int


@dataclass(frozen=True)
class PickList:
    """What an order wants picked."""

    order_id: str
    lines: tuple[Line, ...]


def read_list(data: bytes) -> PickList:
    """A pick list from the bytes of its file. Raises BadList with what is wrong."""
    if not data or len(data) % RECORD_LENGTH:
        raise BadList(f"{len(data)} bytes are not a number of {RECORD_LENGTH}-byte records")
    records = [data[start : start + RECORD_LENGTH] for start in range(0, len(data), RECORD_LENGTH)]
    orders = {_text(record[:12]) for record in records}
    if len(orders) > 1:
        raise BadList(f"several orders in one list: {', '.join(sorted(orders))}")
    return PickList(orders.pop(), tuple(Line(_text(record[12:24]), _quantity(record[24:])) for record in records))


def _text(field: bytes) -> str:
    text = field.decode(CODE_PAGE).rstrip(" ")
    if not text.isprintable() or not text:
        raise BadList(f"order or article number {field.hex()}")
    return text


def _quantity(field: bytes) -> int:
    """A zoned decimal: digits in the lower half bytes, 0xF above each, the sign above the last (0xD is minus)."""
    zones = [byte >> 4 for byte in field]
    digits = [byte & 15 for byte in field]
    if max(digits) > 9 or any(zone != 15 for zone in zones[:-1]) or zones[-1] not in (12, 13, 15):
        raise BadList(f"quantity {field.hex()}")
    return int("".join(map(str, digits))) * (-1 if zones[-1] == 13 else 1)


class Warehouse:
    """Takes files from one folder, books them, and answers in another."""

    def __init__(self, inbox: Path, outbox: Path, log: Path, answer_after: float = 0.0) -> None:
        self._answer_after = answer_after
        self._inbox = inbox
        self._outbox = outbox
        self._log = log
        # On the volume of the inbox, so that taking a file away is one rename.
        self._taken = inbox.parent / f"{inbox.name}.taken"
        self._taken.mkdir(exist_ok=True)

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set; a file that was taken is always finished."""
        self._work_through()
        while not stop.wait(POLL_INTERVAL):
            for file in sorted(self._inbox.glob("PICK*.DAT")):
                file.rename(self._taken / file.name)
                self._work_through()
            self._answer_what_is_due()

    def _work_through(self) -> None:
        """Book what was taken, and keep it until its answer is due; at the start that may be what the last run left."""
        for file in sorted(self._taken.glob("PICK*.DAT")):
            data = file.read_bytes()
            self._book(file.name, data, *_understood(data))
            os.utime(file)
            file.rename(file.with_suffix(".BKD"))
        self._answer_what_is_due()

    def _answer_what_is_due(self) -> None:
        for file in sorted(self._taken.glob("PICK*.BKD")):
            if time.time() - file.stat().st_mtime >= self._answer_after:
                self._answer(file.stem, *_understood(file.read_bytes()))
                file.unlink()

    def _book(self, name: str, data: bytes, picked: PickList, fault: str | None) -> None:
        booking = {"file": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "fault": fault}
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({**booking, **asdict(picked)}) + "\n")
            log.flush()
            os.fsync(log.fileno())

    def _answer(self, stem: str, picked: PickList, fault: str | None) -> None:
        status = "REJECTED" if fault else "PICKED"
        quantity = max(sum(line.quantity for line in picked.lines), 0)
        record = f"{picked.order_id:<12}{status:<8}{quantity:05d}".encode(CODE_PAGE)
        unfinished = self._outbox / f".{stem}.new"
        unfinished.write_bytes(record)
        unfinished.rename(self._outbox / f"{stem}.ANS")


def _understood(data: bytes) -> tuple[PickList, str | None]:
    """The list in a file, or an empty one and what is wrong with the file."""
    try:
        return read_list(data), None
    except BadList as error:
        return PickList("", ()), str(error)


def main() -> int:
    """Run until SIGTERM or SIGINT. Prints one JSON line when it is ready; exit status 2 for a missing folder."""
    parser = argparse.ArgumentParser(description="The shop's warehouse")
    parser.add_argument("--in", dest="inbox", type=Path, required=True, help="folder in which pick lists appear")
    parser.add_argument("--out", dest="outbox", type=Path, required=True, help="folder for the answers")
    parser.add_argument("--log", type=Path, required=True, help="file of bookings, one JSON line per pick list")
    parser.add_argument("--answer-after", type=float, default=0.0, help="seconds that picking takes")
    options = parser.parse_args()
    for folder in (options.inbox, options.outbox):
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    warehouse = Warehouse(options.inbox, options.outbox, options.log, options.answer_after)
    sys.stdout.write(json.dumps({"ready": True, "in": str(options.inbox), "out": str(options.outbox)}) + "\n")
    sys.stdout.flush()
    warehouse.run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
