"""The three backends, and what they themselves say they have done."""

import json
import os
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy

from adapter_sdk.envelopes import write_structured
from adapter_sdk.events import Event
from adapter_sdk.transport.base import Message
from samples.shop.erp.books import FILE_NAME
from samples.shop.erp.soap import WSDL_FILE
from tests.services import free_port, postgresql, wait_until
from tests.services.missing import Missing
from tests.services.run import Run
from tests.services.supervised import Supervised
from tests.torture import adaptors
from tests.torture.script import Kind, Planned

SOURCE = "/torture"
ROOT = Path(__file__).parents[2]
ADAPTOR = Path(sys.executable).with_name("adaptor")
"""The command, beside the interpreter of this environment."""
_ARTICLES = 20
_STOCK = 1_000_000
STOCK_TABLES = """
CREATE TABLE article (sku VARCHAR(12) PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0));
CREATE TABLE reservation (order_id VARCHAR(40) NOT NULL, sku VARCHAR(12) NOT NULL, quantity INTEGER NOT NULL)
"""


class Backend(ABC):
    """One legacy system and the adaptor in front of it.

    `processes` is how many adaptor processes run: they compete where the ledger is shared, else one is on duty and the
    others stand by. `what` says what it is, for the report.
    """

    family: ClassVar[str]
    adaptor: ClassVar[str]
    order: ClassVar[type[adaptors.Order]]
    processes: ClassVar[int] = 2
    what: str

    def __init__(self, folder: Path, run: Run, *, ordered: bool) -> None:
        self.folder = folder
        self.run = run
        self.ordered = ordered
        self.ledger = folder / "ledger"

    @property
    def app(self) -> str:
        """The adaptor's class, as the command line takes it."""
        return f"tests.torture.adaptors:{'Ordered' if self.ordered else ''}{self.adaptor}"

    @property
    def ledger_url(self) -> str:
        """Where the ledger is, as an SQLAlchemy URL."""
        return f"sqlite:///{self.ledger}"

    @abstractmethod
    def start(self) -> dict[str, str]:
        """Start the system; what the adaptor's environment says of it."""

    @abstractmethod
    def stop(self) -> None:
        """End the system."""

    def install(self, environment: Mapping[str, str]) -> None:  # noqa: B027 - most need nothing
        """What an operator does once, before the adaptor's first start."""

    @abstractmethod
    def done(self) -> list[str]:
        """The orders that have been done, in the order in which they were."""

    def faults(self) -> list[str]:
        """What is wrong in the system beside the number of effects: torn files, sums that do not agree."""
        return []

    def message(self, event: Planned) -> Message:
        """The event as its producer sends it."""
        if event.kind is Kind.MALFORMED:
            return Message(
                body=b"{order: " + event.id.encode(), exchange="events", routing_key=str(self._type(event).event_type)
            )
        order = self._type(event)(**self._data(event))
        sent = Event(source=SOURCE, id=event.id, type=str(order.event_type), data=order, subject=event.key)
        return write_structured(sent, "events")

    def _type(self, event: Planned) -> type[adaptors.Order]:
        return self.order

    def _data(self, event: Planned) -> dict[str, Any]:
        refused = event.kind is Kind.REFUSED
        return {
            "order_id": event.id,
            "sku": f"SKU{event.number % _ARTICLES:02d}",
            "quantity": 1_000_000_000 if refused else 1 + event.number % 3,
            "total": "99999.00" if refused else "10.00",
            "fails": event.fails,
        }


class SqlBackend(Backend):
    """A stock database: PostgreSQL where it is installed, else SQLite."""

    family = "sql"
    adaptor = "Stock"
    order = adaptors.SqlOrder
    processes = 3

    @property
    def ledger_url(self) -> str:
        return self._url

    def start(self) -> dict[str, str]:
        try:
            server = postgresql.shared_server(self.run)
            self._url = postgresql.sqlalchemy_url(postgresql.new_database(server, "torture"))
            self.what, self._position = "PostgreSQL", "number"
        except Missing:
            self._url = f"sqlite:///{self.folder / 'stock.db'}"
            self.what, self._position = "SQLite", "rowid"
        self._engine = sqlalchemy.create_engine(self._url)
        with self._engine.begin() as connection:
            for statement in STOCK_TABLES.split(";"):
                connection.execute(sqlalchemy.text(statement))
            if self._position == "number":
                column = "number BIGINT GENERATED ALWAYS AS IDENTITY"
                connection.execute(sqlalchemy.text(f"ALTER TABLE reservation ADD COLUMN {column}"))
            rows = [{"sku": f"SKU{number:02d}", "free": _STOCK} for number in range(_ARTICLES)]
            connection.execute(sqlalchemy.text("INSERT INTO article VALUES (:sku, :free)"), rows)
        return {"ADAPTOR_SQL_URL": self._url}

    def stop(self) -> None:
        self._engine.dispose()

    def install(self, environment: Mapping[str, str]) -> None:
        subprocess.run(
            [str(ADAPTOR), "sql", "install", self.app],
            env=dict(environment),
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )

    def done(self) -> list[str]:
        with self._engine.connect() as connection:
            asked = sqlalchemy.text(f"SELECT order_id FROM reservation ORDER BY {self._position}")
            return list(connection.execute(asked).scalars())

    def faults(self) -> list[str]:
        taken = "SELECT sku, SUM(quantity) FROM reservation GROUP BY sku"
        left = f"SELECT sku, {_STOCK} - free FROM article WHERE free < {_STOCK}"
        with self._engine.connect() as connection:
            reserved, missing = (sorted(connection.execute(sqlalchemy.text(asked)).all()) for asked in (taken, left))
        return [] if reserved == missing else [f"reserved {reserved}, but {missing} is taken from the stock"]


class FilesBackend(Backend):
    """The sample warehouse, which takes each file away as soon as it sees it."""

    family = "files"
    adaptor = "Warehouse"
    order = adaptors.FilesOrder
    what = "the sample warehouse"

    def start(self) -> dict[str, str]:
        self._drop, answers = self.folder / "in", self.folder / "out"
        self._log = self.folder / "bookings"
        self._drop.mkdir()
        answers.mkdir()
        self._program = _program(
            self.run,
            "samples.shop.warehouse.program",
            *("--in", str(self._drop), "--out", str(answers), "--log", str(self._log)),
        )
        self._program.wait_ready(lambda: "ready" in self._program.log_tail())
        return {"ADAPTOR_FILES_DROP": str(self._drop), "ADAPTOR_LEDGER_PATH": str(self.ledger)}

    def stop(self) -> None:
        self._program.end()

    def _bookings(self) -> list[dict[str, Any]]:
        # Every file is taken away, booked and then deleted: until then it may not be in the log yet.
        wait_until(lambda: not list(self._drop.glob("PICK*")) and not list((self.folder / "in.taken").iterdir()))
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []

    def done(self) -> list[str]:
        return [booking["order_id"] for booking in self._bookings() if not booking["fault"]]

    def faults(self) -> list[str]:
        bookings = self._bookings()
        found = [f"{booking['file']}: {booking['fault']}" for booking in bookings if booking["fault"]]
        numbers = sorted(int(booking["file"][4:10]) for booking in bookings)
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"{len(numbers)} files do not have the numbers 1 to {len(numbers)}")
        left = [file.name for file in self._drop.iterdir()]
        left += [
            file.name
            for file in (self.folder / ".in.staging").iterdir()
            if file.name != "staging.id" and not file.name.endswith(".w")
        ]
        return found + [f"{name} was left behind" for name in left]


class SoapBackend(Backend):
    """The sample ERP on a bad day."""

    family = "soap"
    adaptor = "Erp"
    order = adaptors.SoapOrder
    what = "the sample ERP"

    def start(self) -> dict[str, str]:
        self._data_folder = self.folder / "erp"
        port = free_port()
        self._program = _program(self.run, "tests.torture.erp", "--port", str(port), "--data", str(self._data_folder))
        self._program.wait_ready((self._data_folder / FILE_NAME).exists)
        return {
            "ADAPTOR_SOAP_WSDL": str(WSDL_FILE),
            "ADAPTOR_SOAP_PORT": "Soap12",
            "ADAPTOR_SOAP_ENDPOINT": f"http://127.0.0.1:{port}/soap",
            "ADAPTOR_SOAP_TIMEOUT": "1",
            "ADAPTOR_LEDGER_PATH": str(self.ledger),
        }

    def stop(self) -> None:
        self._program.end()

    def done(self) -> list[str]:
        with closing(sqlite3.connect(self._data_folder / FILE_NAME)) as books:
            return [order for (order,) in books.execute("SELECT order_no FROM orders ORDER BY number")]

    def _type(self, event: Planned) -> type[adaptors.Order]:
        return adaptors.UnaskedOrder if event.kind is Kind.UNASKED else self.order


BACKENDS: dict[str, type[Backend]] = {kind.family: kind for kind in (SqlBackend, FilesBackend, SoapBackend)}


def _program(run: Run, module: str, *arguments: str) -> Supervised:
    program = Supervised(module.split(".")[2], run.log(module))
    program.start([sys.executable, "-m", module, *arguments], environment={**os.environ, "PYTHONPATH": str(ROOT)})
    return program
