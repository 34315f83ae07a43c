"""sql where the database has no place for the ledger: a crash around COMMIT is a doubt, and `verify` settles it."""

from pathlib import Path

import pytest
from sqlalchemy import text

from adapter_sdk import Adaptor, Event, NotApplied, handles
from adapter_sdk.ledger.base import State
from adapter_sdk.testing.crashpoints import BackendUnderTest, Crash, Trial, broken_promises
from adaptors.sql import Connection
from samples.shop.events import OrderPlaced, StockReserved, StockShort
from samples.shop.stock_adaptor import StockAdaptor
from tests.conformance.test_crash_points import stock_in_sqlite
from tests.services.rabbitmq import Broker


class AskingStock(StockAdaptor):
    """Finds in the stock keeper's own table what it has reserved."""

    name = "asking-stock"

    @handles
    def reserve(self, event: Event[OrderPlaced], db: Connection) -> StockReserved | StockShort:
        """As the shop's own adaptor."""
        return super().reserve(event, db)

    @reserve.verify(settle=0.1)
    def was_reserved(self, event: Event[OrderPlaced], db: Connection) -> StockReserved | NotApplied:
        """By the natural key."""
        order = event.data
        found = db.execute(text("SELECT 1 FROM reservation WHERE order_id = :id"), {"id": order.order_id}).first()
        return StockReserved(order_id=order.order_id, lines=order.lines) if found else NotApplied()


def beside(folder: Path) -> BackendUnderTest:
    """The stock's database, and no table of ours in it."""
    backend = stock_in_sqlite(folder)
    sections = {"sql": {**backend.settings["sql"], "ledger": "local"}}
    return BackendUnderTest(sections, backend.events, backend.effects)


def trial_of(adaptor: type[Adaptor], url: str, folder: Path) -> Trial:
    """The adaptor, in a folder beside its database."""
    (folder / "trial").mkdir()
    return Trial(adaptor, beside(folder), url, folder / "trial")


# Before and after, the way of an event is that of every family, which the suites of the other adaptors go.
@pytest.mark.parametrize("redelivered", [False, True], ids=["first", "redelivered"])
@pytest.mark.parametrize("point", ["claimed", "sql.made", "sql.committed", "applied", "recorded"])
def test_with_verify_no_doubt_is_left(fresh_rabbitmq: Broker, tmp_path: Path, point: str, redelivered: bool) -> None:
    """Killed here and started again, every event is applied once: a SELECT has settled what was in doubt."""
    trial = trial_of(AskingStock, fresh_rabbitmq.url, tmp_path)
    assert broken_promises(trial.run(Crash(point, redelivered=redelivered)), AskingStock, trial.family) == []


@pytest.mark.parametrize(("point", "effects"), [("sql.made", 0), ("sql.committed", 1)])
def test_without_verify_the_doubt_is_left_to_a_person(
    fresh_rabbitmq: Broker, tmp_path: Path, point: str, effects: int
) -> None:
    """Killed around COMMIT, one event is in doubt whether its effect is there or not; the others are applied."""
    trial = trial_of(StockAdaptor, fresh_rabbitmq.url, tmp_path)
    findings = trial.run(Crash(point))
    assert broken_promises(findings, StockAdaptor, trial.family) == []
    (doubtful,) = [entry for entry in findings.entries.values() if entry.state is State.IN_DOUBT]
    assert findings.effects.get(doubtful.key.id, 0) == effects
