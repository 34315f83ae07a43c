import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from adapter_sdk import Adaptor, ConfigError, Event, EventData, LedgerError, Refused, TransientError, handles
from adapter_sdk.ledger.base import Decision, State
from adapter_sdk.testing import AdaptorHarness, event_of
from adapter_sdk.transport.base import Message
from adaptors.sql import Connection, SqlAdaptor


class Counted(EventData, type="test.counted"):
    number: int


class Doubled(EventData, type="test.doubled"):
    number: int


class Doubler(Adaptor):
    name = "doubler"

    def __init__(self) -> None:
        self.calls = 0

    @handles
    def double(self, event: Event[Counted]) -> Doubled:
        """Refuses 0, fails on negative numbers."""
        self.calls += 1
        if event.data.number == 0:
            raise Refused("0 is not doubled")
        if event.data.number < 0:
            raise TransientError("not now")
        return Doubled(number=2 * event.data.number)


class Notebook(SqlAdaptor):
    name = "notebook"

    @handles
    def note(self, event: Event[Counted], db: Connection) -> None:
        """One row per event."""
        db.execute(text("INSERT INTO note (number) VALUES (:number)"), {"number": event.data.number})


@pytest.fixture
def doubler() -> Iterator[AdaptorHarness]:
    """A running Doubler."""
    with AdaptorHarness(Doubler) as harness:
        yield harness


def test_an_event_is_applied_and_its_reply_comes_back_typed(doubler: AdaptorHarness) -> None:
    """A published event reaches its handler, and its reply is read back as the declared event data."""
    event = event_of(Counted(number=21), correlationid="c-1")
    doubler.publish(event)
    (reply,) = doubler.replies(1)
    doubler.wait_until_settled()
    assert reply.data == Doubled(number=42)
    assert (reply.correlation_id, reply.causation_id) == ("c-1", event.id)
    entry = doubler.entry(event)
    assert entry is not None
    assert entry.state is State.APPLIED


def test_a_repeated_event_is_not_applied_again(doubler: AdaptorHarness) -> None:
    """The ledger of the harness is a real one: the same event twice has one effect and one reply."""
    event = event_of(Counted(number=1))
    doubler.publish(event, event)
    doubler.wait_until_settled()
    assert len(doubler.replies()) == 1
    assert doubler.ledger.counts() == {State.APPLIED: 1}


def test_a_failing_event_ends_as_a_dead_letter_within_moments(doubler: AdaptorHarness) -> None:
    """Retries are quick unless the settings say otherwise, so that a test may wait for their end."""
    refused, failing = event_of(Counted(number=0)), event_of(Counted(number=-1))
    doubler.publish(refused, failing)
    doubler.wait_until_settled()
    ends = [doubler.wait_for(event, State.DEAD, timeout=0) for event in (refused, failing)]
    assert [(entry.attempts, entry.reason) for entry in ends] == [
        (1, "refused"),
        (3, "retries exhausted: transient error"),
    ]


def test_bytes_that_are_no_event_can_be_published(doubler: AdaptorHarness) -> None:
    """A Message goes out as it is, so that a test can send what no producer should."""
    doubler.publish(Message(body=b"not JSON", exchange="events", routing_key="test.counted"))
    doubler.wait_until_settled()
    (letter,) = doubler.ledger.find([State.DEAD])
    assert letter.reason == "malformed event"


def test_an_event_that_no_handler_takes_fails_the_test(doubler: AdaptorHarness) -> None:
    """Publishing a type that the adaptor does not take says which types it takes."""

    class Unknown(EventData, type="test.unknown"):
        pass

    with pytest.raises(AssertionError, match=r"'test\.unknown'.*returned.*takes test\.counted"):
        doubler.publish(event_of(Unknown()))


class InOrder(Doubler):
    name = "in-order"
    ordered_by = "subject"


def test_what_the_ledger_keeps_in_order_is_waited_for() -> None:
    """Nothing is settled while the ledger has events to give out; what is held behind a dead letter stays there."""
    with AdaptorHarness(InOrder) as harness:
        first, last = event_of(Counted(number=1), subject="a"), event_of(Counted(number=2), subject="b")
        harness.publish(event_of(Counted(number=-1), subject="b"), last, first)
        harness.wait_until_settled()
        assert harness.ledger.counts() == {State.APPLIED: 1, State.DEAD: 1, State.HELD: 1}
        (dead,) = harness.ledger.find([State.DEAD])
        assert harness.ledger.discard(dead.key, Decision(what="discard", who="ada", why="", at=1.0))
        harness.wait_until_settled()
        assert [reply.data.number for reply in harness.replies()] == [2, 4]


def test_a_wait_in_vain_says_how_things_stand() -> None:
    """An event that waits for its next attempt is not settled, and the error names the queue that holds it."""
    with AdaptorHarness(Doubler, {"retry": {"immediate": 0, "delays": [60]}}) as harness:
        event = event_of(Counted(number=-1))
        harness.publish(event)
        assert harness.wait_for(event, State.WAITING).attempts == 1
        with pytest.raises(AssertionError, match=rf"not within 0\.05 s: {event.id} applied"):
            harness.wait_for(event, State.APPLIED, timeout=0.05)
        with pytest.raises(AssertionError, match=r"1 in doubler\.retry\.60000ms, the adaptor is consuming"):
            harness.wait_until_settled(timeout=0.5)
        with pytest.raises(AssertionError, match=r"not within 0\.05 s: 2 replies; 0 replies so far"):
            harness.replies(2, timeout=0.05)


def test_a_ledger_inside_a_database_is_installed(tmp_path: Path) -> None:
    """An adaptor of the sql family runs on a database that has the backend's tables and nothing else."""
    database = tmp_path / "notes.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE note (number INTEGER)")
    with AdaptorHarness(Notebook, {"sql": {"url": f"sqlite:///{database}"}}) as harness:
        harness.publish(event_of(Counted(number=7)))
        harness.wait_until_settled()
        assert harness.ledger.counts() == {State.APPLIED: 1}
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT number FROM note").fetchall() == [(7,)]


def test_what_keeps_the_adaptor_from_consuming_is_raised_on_entry(tmp_path: Path) -> None:
    """A wrong setting or an unreachable database fails the `with` statement, not a wait inside it."""
    with pytest.raises(ConfigError, match=r"\[sql\] url: is required"):
        AdaptorHarness(Notebook).__enter__()
    missing = tmp_path / "no such folder" / "notes.db"
    with pytest.raises(LedgerError, match="unable to open"):
        AdaptorHarness(Notebook, {"sql": {"url": f"sqlite:///{missing}"}}).__enter__()


def test_the_settings_of_a_file_are_taken_and_the_environment_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`config` names the file of production; sections go over it, ADAPTOR_ variables of the machine have no effect."""
    file = tmp_path / "adaptor.toml"
    file.write_text('[runner]\nconcurrency = 7\nbatch_size = 5\n[broker]\nurl = "amqp://broker.invalid/"\n')
    monkeypatch.setenv("ADAPTOR_RUNNER_CONCURRENCY", "9")
    with AdaptorHarness(Doubler, {"runner": {"batch_size": 3}}, config=file) as harness:
        assert (harness.settings.runner.concurrency, harness.settings.runner.batch_size) == (7, 3)
        assert harness.settings.broker.url.get_secret_value() == "memory://doubler"


def test_events_for_unit_tests_have_an_identity_of_their_own() -> None:
    """`event_of` gives every event a new id unless one is given, and refuses data that cannot travel."""
    first, second = event_of(Counted(number=1)), event_of(Counted(number=1))
    assert first.key != second.key
    assert event_of(Counted(number=1), id="a", source="/s").key == ("/s", "a")

    class Base(EventData):
        pass

    with pytest.raises(ConfigError, match="Base has no event type"):
        event_of(Base())
