"""The `adaptor` command as a test calls it, and a folder with an adaptor's settings to call it in."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import text

from adapter_sdk import Adaptor, Event, EventData, Refused, handles
from adapter_sdk.cli import main
from adapter_sdk.cli.common import App
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Entry, Ledger, State
from adapter_sdk.runner import Runner, RunState
from adapter_sdk.transport.base import Message
from adaptors.soap import SoapAdaptor, SoapService
from adaptors.sql import Connection, SqlAdaptor
from tests.bench import no_logs

SECRET = "hunter2-of-the-test"


class Placed(EventData, type="shop.placed"):
    order_id: str


class Written(EventData, type="clerk.written"):
    order_id: str


class Clerk(SqlAdaptor):
    """Writes orders into a book, unless they are on the list of those it refuses."""

    name = "clerk"

    @handles
    def write(self, event: Event[Placed], db: Connection) -> Written:
        if db.execute(text("SELECT 1 FROM refused WHERE id = :id"), {"id": event.data.order_id}).first():
            raise Refused(f"{event.data.order_id} is not welcome")
        db.execute(text("INSERT INTO book VALUES (:id)"), {"id": event.data.order_id})
        return Written(order_id=event.data.order_id)


class Scribe(Adaptor):
    """The same without a backend: its ledger is a local file."""

    name = "scribe"

    @handles
    def write(self, event: Event[Placed]) -> Written:
        return Written(order_id=event.data.order_id)


class Booked(EventData, type="erp.booked"):
    order_id: str
    numbers: tuple[str, ...]


class Booker(SoapAdaptor):
    """Books each order twice, in two calls."""

    name = "booker"

    @handles
    def book(self, event: Event[Placed], erp: SoapService) -> Booked:
        order = event.data.order_id
        answers = [erp.CreateOrder(OrderNo=f"{order}{part}", Customer="Ada", Total="1.00") for part in "AB"]
        return Booked(order_id=order, numbers=tuple(answer.Number for answer in answers))


def adaptor(*arguments: str | Path, status: int = 0, stdin: bytes | None = None) -> Result:
    """What `adaptor` answers to these arguments, in this process. Fails unless it ends with `status`."""
    result = CliRunner().invoke(main, [str(item) for item in arguments], input=stdin, catch_exceptions=False)
    assert result.exit_code == status, result.output
    assert SECRET not in result.output
    return result


def document(result: Result) -> Any:
    """The one JSON document that a command has printed on standard output."""
    return json.loads(result.stdout)


def dead_letter(id: str, *, source: str = "/shop", reason: str = "refused", body: bytes | None = None) -> Entry:
    """An event that was set aside, as the ledger has it."""
    data = {"specversion": "1.0", "id": id, "source": source, "type": "shop.placed", "data": {"order_id": id}}
    message = Message(
        body=json.dumps(data).encode() if body is None else body, exchange="events", routing_key="shop.placed"
    )
    now = time.time()
    return Entry(
        key=Key(source, id),
        state=State.DEAD,
        type="shop.placed",
        digest=f"{id:0<64}",
        attempts=1,
        message=message,
        reason=reason,
        error=f"{id} is not welcome",
        received_at=now,
        updated_at=now,
    )


@contextmanager
def ledger_of(folder: Path) -> Iterator[Ledger]:
    """The open ledger of the adaptor in `folder`, which is made if it is not there."""
    app = App(None, folder / "adaptor.toml", None)
    if app.family.ledger() is None:
        app.settings.ledger_path(app.adaptor.name).touch()
    ledger = app.ledger
    ledger.open()
    try:
        yield ledger
    finally:
        ledger.close()
        app.family.close()


@contextmanager
def at_work(folder: Path) -> Iterator[Runner]:
    """The adaptor in `folder`, consuming on a thread of its own."""
    app = App(None, folder / "adaptor.toml", None)
    with no_logs():
        runner = Runner(app.adaptor, app.settings, app.transport())
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            assert runner.wait_for(RunState.CONSUMING, 60), runner.trouble
            yield runner
        finally:
            runner.stop()
            thread.join(60)
            assert not thread.is_alive()
