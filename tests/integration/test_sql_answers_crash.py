"""sql: the adaptor is killed around an answer. No reply is lost, none has two contents, and no row is left behind."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, NullPool, create_engine, text

from adapter_sdk import Event, EventData, Pending, handles
from adapter_sdk.envelopes import write_structured
from adapter_sdk.ledger.base import State
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.replies import reply_id
from adapter_sdk.runner import ledger_of
from adapter_sdk.settings import Settings, load_settings
from adapter_sdk.testing import event_of
from adapter_sdk.testing.crashpoints.process import AdaptorProcess
from adapter_sdk.testing.harness import as_environment
from adapter_sdk.topology import plan
from adapter_sdk.transport.base import Binding, Delivery, Message, Queue, Topology
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from adaptors.sql import Connection, SqlAdaptor
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until


class Reserved(EventData, type="stock.reserved"):
    order_id: str


class Picked(EventData, type="store.picked"):
    order_id: str


class PickAnswer(BaseModel):
    order_id: str


class Store(SqlAdaptor):
    """Asks for picks in one table, and finds what became of them in another."""

    name = "crashing-store"

    @handles
    def pick(self, event: Event[Reserved], db: Connection) -> Pending[Picked]:
        db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": event.data.order_id})
        return Pending(event.data.order_id, within=0.1)

    @pick.answer(
        key="order_id",
        select="SELECT id, order_id FROM pick_answers WHERE taken = 0 ORDER BY id",
        taken="UPDATE pick_answers SET taken = 1 WHERE id = :id",
    )
    def picked(self, answer: PickAnswer) -> Picked:
        return Picked(order_id=answer.order_id)


@dataclass
class Scene:
    """A store on a PostgreSQL and a RabbitMQ, with what came out of it."""

    settings: Settings
    engine: Engine
    transport: RabbitMQTransport
    ledger: SqlLedger
    log: Path
    came: list[Message] = field(default_factory=list)

    def start(self, point: str | None = None) -> AdaptorProcess:
        """The adaptor as a process, which dies at `point`."""
        return AdaptorProcess(Store, self.settings, self.log, point)

    def publish(self, *orders: str) -> None:
        """Events whose ids are their orders."""
        messages = [write_structured(event_of(Reserved(order_id=order), id=order), "events") for order in orders]
        self.transport.publish(messages)

    def answer(self, *orders: str) -> None:
        """What the warehouse says."""
        with self.engine.begin() as connection:
            for order in orders:
                connection.execute(text("INSERT INTO pick_answers (order_id) VALUES (:order)"), {"order": order})

    def count(self, condition: str) -> int:
        """How many rows of answers are so."""
        with self.engine.connect() as connection:
            return int(connection.execute(text(f"SELECT COUNT(*) FROM pick_answers WHERE {condition}")).scalar_one())

    def owed(self) -> int:
        """How many replies are owed."""
        return self.ledger.answer_counts()[0]

    def bodies(self, kind: str) -> dict[str | None, set[bytes]]:
        """Everything that came out of this type, by id."""
        found: dict[str | None, set[bytes]] = {}
        for message in list(self.came):
            if message.type == kind:
                found.setdefault(message.message_id, set()).add(message.body)
        return found

    def a_minute_passes(self) -> None:
        """So that what a dead process left unsent is no longer taken for work in hand."""
        with self.ledger.database.transaction() as rows:
            rows.run("UPDATE adaptor_ledger SET updated_at = updated_at - 120", [{}])


@pytest.fixture(params=["backend", "local"])
def scene(request: pytest.FixtureRequest, fresh_rabbitmq: Broker, fresh_pg_url: str, tmp_path: Path) -> Iterator[Scene]:
    """Tables, queues and settings; the ledger is in the database, or in a file."""
    engine = create_engine(fresh_pg_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE picks (id VARCHAR(20))"))
        connection.execute(
            text("CREATE TABLE pick_answers (id SERIAL PRIMARY KEY, order_id CHAR(10), taken INTEGER DEFAULT 0)")
        )
    (tmp_path / "adaptor.toml").touch()
    sections = {
        "broker": {"url": fresh_rabbitmq.url},
        "sql": {"url": fresh_pg_url, "ledger": request.param},
        "ledger": {"path": tmp_path / "store.ledger"},
        "runner": {"answers_every": 0.05, "unmatched_after": 30},
    }
    settings = load_settings(Store, tmp_path / "adaptor.toml", as_environment(sections))
    family = Store._family(settings.family)
    ledger = ledger_of(Store, family, settings)
    assert isinstance(ledger, SqlLedger)
    if request.param == "backend":
        ledger.install()
    ledger.open()
    transport = RabbitMQTransport(fresh_rabbitmq.url, connection_name="the test")
    found = Scene(settings, engine, transport, ledger, tmp_path / "adaptor.log")
    topology = plan(Store, settings)
    kinds = ("store.picked", "reply.overdue")
    transport.open()
    transport.declare(
        Topology(
            topology.exchanges,
            [*topology.queues, Queue("ear")],
            [*topology.bindings, *(Binding("events", "ear", kind) for kind in kinds)],
        )
    )

    def take(deliveries: list[Delivery]) -> None:
        found.came += [delivery.message for delivery in deliveries]
        transport.ack(deliveries)

    transport.consume("ear", prefetch=100, on_deliveries=take, on_lost=lambda _: None)
    yield found
    transport.close()
    ledger.close()
    family.close()
    engine.dispose()


def ids(*orders: str, more: str = "") -> set[str]:
    """The ids of the replies to these events."""
    events: list[Event[Reserved]] = [event_of(Reserved(order_id=order), id=order) for order in orders]
    return {reply_id(Store.name, event.key, 0) + more for event in events}


def run(process: AdaptorProcess, until: Callable[[], object]) -> None:
    """Let it run until then, and end in good order."""
    try:
        wait_until(until)
    finally:
        process.stop()


@pytest.mark.parametrize("point", ["answers.completed", "answers.sent"])
def test_killed_between_completing_publishing_and_taking_away(scene: Scene, point: str) -> None:
    """Each event has its one reply, with one content, each row is taken, and nothing was set aside."""
    scene.publish("a", "b", "c")
    run(scene.start(), lambda: scene.owed() == 3)
    scene.answer("a", "b")
    # Where the rows are marked in the ledger's own commit, nothing is found again; else the second death finds it.
    for _ in range(1 if scene.settings.family.ledger == "backend" else 2):
        process = scene.start(point)
        assert process.wait(60)
        assert process.died_as_told
    scene.a_minute_passes()
    wanted = ids("a", "b")
    run(scene.start(), lambda: scene.bodies("store.picked").keys() >= wanted and not scene.count("taken = 0"))
    picked = scene.bodies("store.picked")
    assert picked.keys() == wanted
    assert all(len(bodies) == 1 for bodies in picked.values())
    assert [owed.key for owed in scene.ledger.owed(10)] == ["c"]
    assert not scene.ledger.find([State.DEAD])
    assert not scene.ledger.unsent(time.time() + 3600, 10)


def test_killed_between_announcing_that_a_reply_is_overdue_and_noting_it(scene: Scene) -> None:
    """It is announced again as the same event; then it is not announced any more."""
    scene.publish("a", "b")
    process = scene.start("overdue.announced")
    assert process.wait(60)
    assert process.died_as_told
    scene.publish("c")
    wanted = ids("a", "b", "c", more="-overdue")
    run(
        scene.start(),
        lambda: scene.bodies("reply.overdue").keys() >= wanted and not scene.ledger.owed(10, 1e12, unannounced=True),
    )
    overdue = scene.bodies("reply.overdue")
    assert overdue.keys() == wanted
    assert all(len(bodies) == 1 for bodies in overdue.values())
    said = len(scene.came)
    process = scene.start()
    scene.answer("a")
    run(process, lambda: scene.bodies("store.picked"))
    assert [message.type for message in scene.came[said:]] == ["store.picked"]


@pytest.mark.parametrize("scene", ["backend"], indirect=True)  # beside the database a kill can leave a doubt as well
def test_killed_at_any_moment_while_answers_come(scene: Scene) -> None:
    """Events and answers in a stream, and a process that is killed again and again: every event has its one reply."""
    orders = [f"o-{number}" for number in range(60)]
    dice = random.Random(5)
    for start in range(0, 60, 10):
        scene.publish(*orders[start : start + 10])
        process = scene.start()
        scene.answer(*orders[start : start + 10])
        process.wait(dice.uniform(0.2, 0.7))
        process.kill()
    scene.a_minute_passes()
    wanted = ids(*orders)
    run(scene.start(), lambda: scene.bodies("store.picked").keys() >= wanted and not scene.count("taken = 0"))
    picked = scene.bodies("store.picked")
    assert picked.keys() == wanted
    assert all(len(bodies) == 1 for bodies in picked.values())
    assert scene.owed() == 0
    assert not scene.ledger.find([State.DEAD])
