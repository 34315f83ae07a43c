"""An event that kills the process that works on it, among others that do not."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from adapter_sdk import Event, EventData, handles
from adapter_sdk.envelopes import write_structured
from adapter_sdk.ledger.base import Entry, State
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.settings import BrokerSettings, RetrySettings, RunnerSettings, Settings
from adapter_sdk.testing import AdaptorHarness, event_of
from adapter_sdk.testing.crashpoints.process import AdaptorProcess
from adapter_sdk.testing.harness import Sections
from adapter_sdk.topology import plan
from adapter_sdk.transport.base import Confirm
from adapter_sdk.transport.memory import MemoryTransport
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from adaptors.sql import Connection, SqlAdaptor, SqlSettings
from tests.bench import no_logs
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until

DEADLY = "o-07"
ATTEMPTS = 3


class Placed(EventData, type="shop.placed"):
    order_id: str


class Stock(SqlAdaptor):
    name = "stock"

    @handles
    def pick(self, event: Event[Placed], db: Connection) -> None:
        db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": event.data.order_id})
        if event.data.order_id == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def settings(fresh_rabbitmq: Broker, tmp_path: Path) -> Settings:
    """The stock's database and queues, empty."""
    database = tmp_path / "stock.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE picks (id TEXT)")
    return Settings(
        broker=BrokerSettings(url=SecretStr(fresh_rabbitmq.url)),
        runner=RunnerSettings(concurrency=1),  # all are in hand when the deadly one strikes
        retry=RetrySettings(immediate=0, pause=0, delays=(0.1,) * (ATTEMPTS - 1)),
        family=SqlSettings(url=SecretStr(f"sqlite:///{database}")),
        folder=tmp_path,
    )


@pytest.fixture
def ledger(settings: Settings) -> Iterator[SqlLedger]:
    """The ledger, seen from outside."""
    family = Stock._family(settings.family)
    ledger = family.ledger()
    assert isinstance(ledger, SqlLedger)
    ledger.install()
    ledger.open()
    yield ledger
    family.close()


def publish(settings: Settings, names: list[str]) -> None:
    """Have these orders wait in the queue."""
    shop = RabbitMQTransport(settings.broker.url.get_secret_value())
    shop.open()
    shop.declare(plan(Stock, settings))
    events = [event_of(Placed(order_id=name), id=name) for name in names]
    assert set(shop.publish([write_structured(event, "events") for event in events])) == {Confirm.CONFIRMED}
    shop.close()


def test_it_becomes_one_dead_letter_and_harms_no_neighbour(
    settings: Settings, ledger: SqlLedger, tmp_path: Path
) -> None:
    """After as many deaths as it has attempts it is a dead letter; the other 19 are applied once."""
    names = [f"o-{number:02}" for number in range(20)]
    publish(settings, names)
    deaths = 0
    done = {State.DEAD: 1, State.APPLIED: 19}
    deadline = time.monotonic() + 60
    while ledger.counts() != done:
        process = AdaptorProcess(Stock, settings, tmp_path / "stock.log")
        while process.running and ledger.counts() != done:
            assert time.monotonic() < deadline, ledger.counts()
            process.wait(0.02)
        deaths += not process.running
        process.stop()
    assert deaths == ATTEMPTS
    (dead,) = ledger.find([State.DEAD])
    assert (dead.key.id, dead.reason) == (DEADLY, "attempts used up")
    # Whoever was in the first process's hands beside it has lost that one attempt, and none after it.
    assert max(entry.attempts for entry in applied(ledger)) <= 2
    with closing(sqlite3.connect(tmp_path / "stock.db")) as connection:
        picked = [row[0] for row in connection.execute("SELECT id FROM picks ORDER BY id")]
    assert picked == [name for name in names if name != DEADLY]


def applied(ledger: SqlLedger) -> list[Entry]:
    """What was done."""
    return ledger.find([State.APPLIED], limit=100)


class TestHowItGoesOn:
    """With a prefetch of 5, on an embedded broker."""

    @pytest.fixture
    def stock(self, tmp_path: Path) -> Iterator[Sections]:
        """The settings of a harness, and a database."""
        with closing(sqlite3.connect(tmp_path / "stock.db")) as connection:
            connection.execute("CREATE TABLE picks (id TEXT)")
        with no_logs():
            yield {"sql": {"url": f"sqlite:///{tmp_path / 'stock.db'}"}, "broker": {"prefetch": 5}}

    @pytest.fixture
    def prefetches(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """With what prefetch the adaptor has consumed, each time that it began."""
        seen: list[int] = []
        consume = MemoryTransport.consume

        def note(transport: MemoryTransport, queue: str, *, prefetch: int, **more: Any) -> None:
            if queue == "stock":
                seen.append(prefetch)
            consume(transport, queue, prefetch=prefetch, **more)

        monkeypatch.setattr(MemoryTransport, "consume", note)
        return seen

    def test_a_clean_end_needs_no_caution(self, stock: Sections, prefetches: list[int]) -> None:
        """After a stop in good order the next process takes as many events as it may."""
        for _ in range(2):
            with AdaptorHarness(Stock, stock):
                pass
        assert prefetches == [5, 5]

    def test_after_an_unclean_end_one_at_a_time_until_the_danger_has_passed(
        self, stock: Sections, prefetches: list[int]
    ) -> None:
        """One at a time until as many events are settled as could have been in hand; then as many as usual."""
        with AdaptorHarness(Stock, stock):
            pass
        family = Stock._family(SqlSettings(url=SecretStr(stock["sql"]["url"])))
        ledger = family.ledger()
        assert ledger is not None
        ledger.started()  # as a process that is then killed
        family.close()
        with AdaptorHarness(Stock, stock) as harness:
            harness.publish(*(event_of(Placed(order_id=f"o-1{number}")) for number in range(4)))
            harness.wait_until_settled()
            assert prefetches == [5, 1]
            harness.publish(event_of(Placed(order_id="o-20")))
            wait_until(lambda: prefetches == [5, 1, 5])
            harness.publish(event_of(Placed(order_id="o-21")))
            harness.wait_until_settled()
            assert harness.ledger.counts() == {State.APPLIED: 6}
        with AdaptorHarness(Stock, stock):
            assert prefetches == [5, 1, 5, 5]
