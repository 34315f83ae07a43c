"""`adaptor dead replay` and `adaptor topology apply` on a real RabbitMQ, beside an adaptor on a SQLite database."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Decision, Ledger, State
from adapter_sdk.transport.base import Exchange, Queue, Topology
from adapter_sdk.transport.connect import transport_for
from tests.command import adaptor, at_work, dead_letter, document, ledger_of
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until


@pytest.fixture
def clerk(fresh_rabbitmq: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The clerk's database with its ledger, the current folder with its settings, and a broker with its queues."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adaptor.toml").write_text(
        f'[adaptor]\napp = "tests.command:Clerk"\n[broker]\nurl = "{fresh_rabbitmq.url}"\n'
        f'[sql]\nurl = "sqlite:///clerk.db"\n[runner]\nreplies = "optional"\n'
    )
    engine = create_engine("sqlite:///clerk.db", poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE book (id TEXT)"))
        connection.execute(text("CREATE TABLE refused (id TEXT)"))
    adaptor("sql", "install")
    adaptor("topology", "apply")
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(clerk: Engine, tmp_path: Path) -> Iterator[Ledger]:
    """The clerk's ledger."""
    with ledger_of(tmp_path) as ledger:
        yield ledger


def book(engine: Engine) -> list[str]:
    """The orders that the clerk has written down."""
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT id FROM book ORDER BY rowid")).scalars())


def order(id: str) -> tuple[str, ...]:
    """The command that places an order of this id."""
    return ("publish", "--type", "shop.placed", "--source", "/shop", "--id", id, "--data", f'{{"order_id": "{id}"}}')


def test_a_replayed_event_is_applied_once_its_cause_is_mended(clerk: Engine, tmp_path: Path) -> None:
    """An event that the backend refused is replayed, applied, and then no dead letter any more."""
    with clerk.begin() as connection:
        connection.execute(text("INSERT INTO refused VALUES ('a')"))
    with at_work(tmp_path):
        adaptor(*order("a"))
        (row,) = wait_until(lambda: document(adaptor("dead", "list", "--json")))
        assert (row["reason"], row["error"]) == ("refused", "a is not welcome")
        with clerk.begin() as connection:
            connection.execute(text("DELETE FROM refused"))
        replayed = adaptor("dead", "replay", "a", "--why", "welcome now", "--json")
        assert document(replayed) == [{"id": "a", "source": "/shop", "replayed": True}]
        wait_until(lambda: book(clerk) == ["a"])
        again = adaptor("dead", "replay", "a", status=1).stderr
    assert "a is not a dead letter: its state is applied" in again
    (row,) = document(adaptor("dead", "show", "a", "--json"))
    assert [(made["what"], made["why"]) for made in row["decisions"]] == [("replay", "welcome now")]
    assert (
        "the ledger keeps no message of an event that is applied"
        in adaptor("dead", "show", "a", "--body", status=1).stderr
    )


def test_all_are_replayed_but_a_conflict(clerk: Engine, ledger: Ledger, tmp_path: Path) -> None:
    """--all replays what can be replayed, names what cannot, and says so with status 1."""
    for entry in (dead_letter("a"), dead_letter("b#1", reason="conflicting event"), dead_letter("c")):
        ledger.set_aside(entry)
    answer = adaptor("dead", "replay", "--all", "--yes", "--json", status=1)
    assert [row["id"] for row in document(answer)] == ["a", "c"]
    assert "b#1 is not replayed" in answer.stderr
    assert ledger.counts() == {State.DEAD: 1, State.WAITING: 2}


def test_a_person_who_comes_second_is_told(clerk: Engine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the event is decided between the look and the act, nothing is published, and the status is 1."""
    ledger.set_aside(dead_letter("a"))
    key, first = Key("/shop", "a"), Decision(what="discard", who="bob", why="quicker", at=1.0)
    # The first statement of the command is its last moment before the ledger decides.
    monkeypatch.setattr("adapter_sdk.cli.dead.decision", lambda *_: [ledger.discard(key, first), first][1])
    assert adaptor("dead", "replay", "a", status=1).output == "a: no longer a dead letter\n"
    assert ledger.counts() == {State.DISCARDED: 1}


def test_a_replay_that_the_broker_does_not_take_is_not_lost(
    clerk: Engine, ledger: Ledger, fresh_rabbitmq: Broker
) -> None:
    """Status 4 says that the ledger is changed; there the event stays unsent, for the running adaptor to publish."""
    ledger.set_aside(dead_letter("a"))
    fresh_rabbitmq.api("DELETE", f"queues/{fresh_rabbitmq.vhost}/clerk")
    said = adaptor("dead", "replay", "a", status=4).stderr
    assert "the ledger is changed, but the broker did not take clerk (returned)" in said
    assert [entry.key.id for entry in ledger.unsent(before=time.time() + 1, limit=10)] == ["a"]


def test_topology_is_applied_once(clerk: Engine) -> None:
    """What is missing is named and made; then everything is there, and doctor finds nothing missing."""
    assert document(adaptor("topology", "apply", "--json")) == {"created": []}
    assert adaptor("topology", "apply").output == "everything was there\n"
    assert all(row["ok"] for row in document(adaptor("doctor", "--json"))["checks"])


def test_a_queue_that_is_there_otherwise_is_left_alone(
    fresh_rabbitmq: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference is named, with status 3, and the queue stays as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADAPTOR_BROKER_URL", fresh_rabbitmq.url)
    classic = Queue("scribe", {"x-queue-type": "classic"})
    transport = transport_for(fresh_rabbitmq.url)
    transport.open()
    transport.declare(Topology([Exchange("events")], [classic], []))
    transport.close()
    said = adaptor("topology", "apply", "tests.command:Scribe", status=3).stderr
    assert "Queue 'scribe' exists with" in said
    assert "an existing one is never altered" in said
    assert fresh_rabbitmq.api("GET", f"queues/{fresh_rabbitmq.vhost}/scribe")["type"] == "classic"
