"""The ERP's books: one SQLite file in which every order that was created is a row. Nothing is ever taken out."""

import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

FILE_NAME = "erp.sqlite"

_TABLE = """
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT, order_no TEXT NOT NULL, customer TEXT NOT NULL, total TEXT NOT NULL,
    booked_at TEXT NOT NULL
)"""


@dataclass(frozen=True, slots=True)
class Order:
    """One row. `number` is the ERP's own, `order_no` the customer's."""

    number: str
    order_no: str
    customer: str
    total: Decimal
    booked_at: str


class Books:
    """The orders in one folder. May be used by several threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._rows = sqlite3.connect(folder / FILE_NAME, check_same_thread=False, isolation_level=None)
        self._rows.execute("PRAGMA journal_mode = WAL")
        self._rows.execute("PRAGMA synchronous = NORMAL")
        self._rows.execute(_TABLE)

    def create(self, order_no: str, customer: str, total: Decimal) -> Order:
        """Book an order. An order number that is there already is booked once more, as old systems do."""
        booked_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._lock:
            number = self._rows.execute(
                "INSERT INTO orders (order_no, customer, total, booked_at) VALUES (?, ?, ?, ?)",
                (order_no, customer, str(total), booked_at),
            ).lastrowid
        return Order(_shown(number), order_no, customer, total, booked_at)

    def find(self, order_no: str) -> Order | None:
        """The first order with this order number."""
        return next(iter(self._select("WHERE order_no = ? ORDER BY number LIMIT 1", order_no)), None)

    def all(self) -> list[Order]:
        """Every order, oldest first."""
        return self._select("ORDER BY number")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._rows.close()

    def _select(self, rest: str, *values: str) -> list[Order]:
        with self._lock:
            rows = self._rows.execute(f"SELECT number, order_no, customer, total, booked_at FROM orders {rest}", values)
            return [Order(_shown(number), no, who, Decimal(total), at) for number, no, who, total, at in rows]


def _shown(number: int | None) -> str:
    return f"ERP-{number:06d}"
