"""Two processes that share a ledger: one is paused in the middle of a drop, and the other dies in its own."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapter_sdk import Event, EventData, handles
from adapter_sdk.envelopes import write_structured
from adapter_sdk.ledger.base import State
from adapter_sdk.ledger.shared import SharedLedger
from adapter_sdk.settings import Settings, load_settings
from adapter_sdk.testing import event_of
from adapter_sdk.testing.crashpoints.process import AdaptorProcess
from adapter_sdk.testing.harness import as_environment
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from adaptors.files import Drop, FileDropAdaptor
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until


class Parked(EventData, type="com.shop.parked"):
    folder: str


class Sleepy(FileDropAdaptor):
    """Is paused in its handler, by itself, where a file `pause` tells it to."""

    name = "sleepy"
    file_name = "{id}.TXT"

    @handles
    def park(self, event: Event[Parked], drop: Drop) -> None:
        drop.write_text("parked", encoding="ascii")
        pause = Path(event.data.folder) / "pause"
        if pause.exists():
            pause.replace(pause.with_name("paused"))
            os.kill(os.getpid(), signal.SIGSTOP)
            wait_until(pause.with_name("go on").exists)  # a signal takes a moment


@pytest.fixture
def settings(tmp_path: Path, fresh_rabbitmq: Broker, fresh_pg_url: str) -> Settings:
    """One delivery for each process at a time, and a ledger for both."""
    (tmp_path / "in").mkdir()
    (tmp_path / "adaptor.toml").touch()
    sections: dict[str, dict[str, Any]] = {
        "broker": {"url": fresh_rabbitmq.url, "prefetch": 1},
        "ledger": {"url": fresh_pg_url},
        "files": {"drop": tmp_path / "in"},
    }
    return load_settings(Sleepy, tmp_path / "adaptor.toml", as_environment(sections))


@pytest.fixture
def ledger(fresh_pg_url: str) -> Iterator[SharedLedger]:
    """What both processes remember."""
    ledger = SharedLedger(fresh_pg_url, Sleepy.name)
    ledger.install()
    yield ledger
    ledger.close()


def end_all_sessions(url: str) -> None:
    """PostgreSQL drops every session there is, as when it is started anew."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_who_is_paused_before_he_stages_leaves_the_file_of_another_alone(
    settings: Settings, ledger: SharedLedger, tmp_path: Path, fresh_rabbitmq: Broker, fresh_pg_url: str
) -> None:
    """Its session is lost, another drops the file and dies before it says so; awake, the first makes no second one."""
    (tmp_path / "pause").touch()
    event = write_structured(event_of(Parked(folder=str(tmp_path)), id="1"), "events")
    (tmp_path / "first.log").touch()
    first = AdaptorProcess(Sleepy, settings, tmp_path / "first.log")
    broker = RabbitMQTransport(fresh_rabbitmq.url, connection_name="the test")
    try:
        wait_until(lambda: '"state": "consuming"' in first.said())
        broker.open()
        broker.publish([event])
        wait_until((tmp_path / "paused").exists)
        end_all_sessions(fresh_pg_url)
        broker.publish([event])
        second = AdaptorProcess(Sleepy, settings, tmp_path / "second.log", "files.dropped")
        assert second.wait(60)
        assert second.died_as_told, second.said()
        (tmp_path / "in" / "1.TXT").unlink()
        (tmp_path / "go on").touch()
        os.kill(first.pid, signal.SIGCONT)
        wait_until(lambda: ledger.counts() == {State.APPLIED: 1})
    finally:
        broker.close()
        first.stop()
    assert list((tmp_path / "in").iterdir()) == []
    assert [path.name for path in (tmp_path / ".in.staging").iterdir() if "sleepy" in path.name] == []
