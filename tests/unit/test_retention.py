from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter_sdk import Adaptor, Event, EventData, handles, runner
from adapter_sdk.ledger.base import Record, State
from adapter_sdk.ledger.sqlite import sqlite_ledger
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.retention import Retention
from adapter_sdk.testing import AdaptorHarness, event_of
from adapter_sdk.testing.harness import Sections
from tests.bench import no_logs
from tests.ledger_contract import request
from tests.services.waiting import wait_until

DAY = 86_400.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """An open ledger in a file."""
    ledger = sqlite_ledger(tmp_path / "erp.ledger", "erp")
    ledger.open()
    with no_logs():
        yield ledger
    ledger.close()


def applied(ledger: SqlLedger, count: int, at: float) -> None:
    """Has so many events applied at that time."""
    claims = ledger.claim([request(f"{at}-{number}") for number in range(count)], at)
    ledger.record([Record(key=entry.key, token=entry.token, state=State.APPLIED) for _, entry in claims], at)


def test_what_is_older_than_the_retention_is_forgotten(ledger: SqlLedger) -> None:
    """As the clock goes on, each event is forgotten when its days are over, and no sooner."""
    now = [0.0]
    retention = Retention("erp", ledger, days=30, clock=lambda: now[0])
    applied(ledger, 2, at=0.0)
    applied(ledger, 3, at=10 * DAY)
    forgotten = []
    for day in (29, 30, 31, 40, 41):
        now[0] = day * DAY
        forgotten.append(retention.sweep(lambda _: False))
    assert forgotten == [0, 0, 2, 0, 3]


def test_a_backlog_is_forgotten_in_steps(ledger: SqlLedger) -> None:
    """A thousand events at a time, with a pause after each full step in which the ledger is free."""
    applied(ledger, 2500, at=0.0)
    left = []

    def pause(_: float) -> bool:
        left.append(ledger.counts()[State.APPLIED])
        return False

    assert Retention("erp", ledger, days=1, clock=lambda: 2 * DAY).sweep(pause) == 2500
    assert left == [1500, 500]


def test_stopping_waits_for_no_backlog(ledger: SqlLedger) -> None:
    """When the pause says that it is time to end, the rest is left for another time."""
    applied(ledger, 2500, at=0.0)
    assert Retention("erp", ledger, days=1, clock=lambda: 2 * DAY).sweep(lambda _: True) == 1000


class Placed(EventData, type="shop.placed"):
    order_id: str


class Printer(Adaptor):
    name = "printer"

    @handles
    def print(self, event: Event[Placed]) -> None:
        if event.data.order_id == "bad":
            raise ValueError("bad")


def test_a_running_adaptor_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """From one sweep to the next the running adaptor forgets what was applied, and keeps its dead letters."""
    monkeypatch.setattr(runner, "_SWEEP_INTERVAL", 0.02)
    sections: Sections = {"ledger": {"retention_days": 0.2 / DAY}, "retry": {"immediate": 0, "delays": []}}
    with no_logs(), AdaptorHarness(Printer, sections) as harness:
        harness.publish(event_of(Placed(order_id="good")), event_of(Placed(order_id="bad")))
        harness.wait_until_settled()
        wait_until(lambda: harness.ledger.counts() == {State.DEAD: 1})
