"""Batch files on a real RabbitMQ: gathered in the ledger, cut when due, through stops and restarts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from adapter_sdk import ConfigError, Event, handles
from adapter_sdk.envelopes import write_structured
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Entry, State
from adapter_sdk.ledger.sqlite import sqlite_ledger
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.runner import Runner, RunState
from adapter_sdk.settings import BrokerSettings, RetrySettings, RunnerSettings, Settings
from adapter_sdk.topology import plan
from adapter_sdk.transport.base import Confirm
from adapter_sdk.transport.memory import MemoryBroker, MemoryTransport
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from adaptors.files import Batch, Drop, FileDropAdaptor
from adaptors.files.settings import FileSettings
from tests.bench import no_logs
from tests.file_drops import Note
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until

COUNT = 50


class Notes(FileDropAdaptor, batch=Batch(count=COUNT, after=900)):
    """One line per note."""

    name = "notes"
    file_name = "NOTES{sequence:04d}.TXT"

    @handles
    def note(self, events: list[Event[Note]], drop: Drop) -> None:
        """A note that says so cannot be written."""
        drop.write_text("\n".join(event.data.text for event in events), encoding="ascii")


class Impatient(Notes, batch=Batch(count=COUNT, after=0.2)):
    """Cut after a moment."""


Publish = Callable[..., None]
Start = Callable[..., Runner]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with no_logs():
        yield


@pytest.fixture
def publish(fresh_rabbitmq: Broker) -> Iterator[Publish]:
    """Publishes notes with these texts, which are their ids as well. The queue is there before the adaptor is."""
    transport = RabbitMQTransport(fresh_rabbitmq.url)
    transport.open()
    transport.declare(plan(Notes, Settings(retry=RetrySettings(immediate=0, delays=(0.3,)))))

    def send(*texts: str) -> None:
        events = [Event(source="/shop", id=text, type="com.shop.note", data=Note(text=text)) for text in texts]
        confirms = transport.publish([write_structured(event, "events") for event in events])
        assert set(confirms) == {Confirm.CONFIRMED}

    yield send
    transport.close()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """The folder that the reader watches."""
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def start(fresh_rabbitmq: Broker, tmp_path: Path, drop: Path) -> Iterator[Start]:
    """Starts adaptors one after the other on one ledger; a new one begins when the one before has stopped."""
    started: list[tuple[Runner, threading.Thread]] = []

    def stop() -> None:
        while started:
            runner, thread = started.pop()
            runner.stop()
            thread.join(60)
            assert not thread.is_alive()

    def begin(adaptor: type[Notes] = Notes, state: RunState = RunState.CONSUMING, **runner: Any) -> Runner:
        stop()
        settings = Settings(
            broker=BrokerSettings(url=SecretStr(fresh_rabbitmq.url)),
            retry=RetrySettings(immediate=0, delays=(0.3,)),
            runner=RunnerSettings(**runner),
            folder=tmp_path,
            family=FileSettings(drop=drop),
        )
        running = Runner(adaptor, settings, RabbitMQTransport(fresh_rabbitmq.url, heartbeat=1))
        thread = threading.Thread(target=running.run)
        started.append((running, thread))
        thread.start()
        assert running.wait_for(state, 60), f"{running.state}: {running.trouble}"
        return running

    yield begin
    stop()


def lines(drop: Path) -> list[list[str]]:
    """The notes of each file, by file name."""
    return [file.read_text().splitlines() for file in sorted(drop.iterdir())]


def test_files_of_count(publish: Publish, start: Start, drop: Path) -> None:
    """Hundreds of notes are cut into files of the count, in the order of arrival; the rest waits in the ledger."""
    texts = [f"n{number:03}" for number in range(4 * COUNT + 7)]
    publish(*texts)
    runner = start(concurrency=1)
    wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 4 * COUNT, State.HELD: 7})
    assert lines(drop) == [texts[first : first + COUNT] for first in range(0, 4 * COUNT, COUNT)]


def test_a_duplicate_is_in_one_file(publish: Publish, start: Start, drop: Path) -> None:
    """A note that is published again, while it is gathered or after, is in no second file."""
    publish("a", "b", "a", "b")
    runner = start(Impatient)
    wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 2})
    publish("a", "c")
    wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 3})
    assert lines(drop) == [["a", "b"], ["c"]]


def test_a_bad_note_is_a_dead_letter_alone(publish: Publish, start: Start, drop: Path) -> None:
    """What its handler cannot write is set aside, and the file has the others."""
    publish("a", "snö", "b")
    runner = start(Impatient)
    wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 2, State.DEAD: 1})
    assert lines(drop) == [["a", "b"]]


def test_a_stop_writes_no_file(publish: Publish, start: Start, drop: Path) -> None:
    """What is gathered when the adaptor is stopped stays in the ledger, and goes with what the next process takes."""
    publish("a", "b")
    runner = start()
    wait_until(lambda: runner.ledger.held() == 2)
    runner = start()
    assert lines(drop) == []
    publish("c")
    wait_until(lambda: runner.ledger.held() == 3)
    runner = start(Impatient)
    wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 3})
    assert lines(drop) == [["a", "b", "c"]]


def test_gathering_taken_away(publish: Publish, start: Start, drop: Path) -> None:
    """What was gathered when `batch` was taken out of the class gets a file each."""

    class Single(FileDropAdaptor):
        name = "notes"
        file_name = "NOTES{sequence:04d}.TXT"

        @handles
        def note(self, event: Event[Note], drop: Drop) -> None:
            drop.write_text(event.data.text, encoding="ascii")

    publish("a", "b")
    runner = start()
    wait_until(lambda: runner.ledger.held() == 2)
    runner = start(Single)
    wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 2})
    assert sorted(lines(drop)) == [["a"], ["b"]]


def test_a_name_that_is_taken_pauses_the_adaptor(publish: Publish, start: Start, drop: Path) -> None:
    """A file in the way costs no event: the adaptor pauses, and goes on when it is gone."""
    (drop / "NOTES0001.TXT").write_text("another's")
    publish("a", "b")
    runner = start(Impatient)
    assert runner.wait_for(RunState.PAUSED, 60)
    wait_until(lambda: runner.trouble is not None and "already holds a file" in str(runner.trouble))
    (drop / "NOTES0001.TXT").unlink()
    wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 2})
    assert lines(drop) == [["a", "b"]]


def test_an_empty_file(start: Start, drop: Path, tmp_path: Path) -> None:
    """Where nothing arrived before a cut-off the handler makes a file of an empty list, once, through restarts."""
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).time()

    class Daily(Notes, batch=Batch(count=COUNT, at=long_ago, empty="file")):
        """A cut-off an hour ago."""

    with sqlite_ledger_of(tmp_path) as ledger:  # the adaptor is not new
        ledger.set_aside(Entry(key=Key("", "old"), state=State.DISCARDED))
    for _ in range(2):
        runner = start(Daily)
        wait_until(lambda: runner.ledger.counts() == {State.DISCARDED: 1, State.APPLIED: 1})  # noqa: B023
        assert lines(drop) == [[]]


@contextmanager
def sqlite_ledger_of(folder: Path) -> Iterator[SqlLedger]:
    """The ledger of the adaptor, while it does not run."""
    ledger = sqlite_ledger(folder / "notes.ledger", "notes")
    ledger.open()
    yield ledger
    ledger.close()


def test_more_than_may_be_held(tmp_path: Path, drop: Path) -> None:
    """A count that would never be reached, because consuming pauses before, is a fault of the settings."""
    settings = Settings(runner=RunnerSettings(max_held=49), folder=tmp_path, family=FileSettings(drop=drop))
    runner = Runner(Notes, settings, MemoryTransport(MemoryBroker("notes")))
    with pytest.raises(ConfigError, match=r"max_held is 49, and notes gathers up to 50 events .* set max_held to 50"):
        runner.run()
