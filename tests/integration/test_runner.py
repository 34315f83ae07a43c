"""The sql family end to end: a real RabbitMQ, a real PostgreSQL, and the runner between them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, NullPool, create_engine, text

from adapter_sdk import Adaptor, BackendUnavailable, ConfigError, Event, EventData, Refused, TransientError, handles
from adapter_sdk.envelopes import write_binary, write_structured
from adapter_sdk.ledger.base import State
from adapter_sdk.replies import reply_id
from adapter_sdk.runner import Runner, RunState
from adapter_sdk.settings import BrokerSettings, LimitSettings, RetrySettings, RunnerSettings, Settings
from adapter_sdk.topology import ATTEMPT_HEADER, plan
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Exchange, Message, Queue, Topology
from adapter_sdk.transport.memory import MemoryBroker, MemoryTransport
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from adaptors.sql import Connection, SqlAdaptor, SqlSettings
from tests.bench import no_logs
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until

QUICK = RetrySettings(immediate=0, pause=0, delays=(0.1, 0.2))

SPECTATOR = "spectator"
"""The name under which a test itself looks into the database, so that it can be told from the adaptors."""


class Placed(EventData, type="shop.placed"):
    order_id: str
    quantity: int = 1


class Reserved(EventData, type="stock.reserved"):
    order_id: str


class Behaviour:
    """What the handler does, by event id; set by each test."""

    def __init__(self) -> None:
        self.before: Callable[[Event[Placed]], None] = lambda event: None
        self.calls: list[str] = []


BEHAVIOUR = Behaviour()


class Stock(SqlAdaptor):
    name = "stock"

    @handles
    def reserve(self, event: Event[Placed], db: Connection) -> Reserved:
        BEHAVIOUR.calls.append(event.id)
        BEHAVIOUR.before(event)
        db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": event.data.order_id})
        return Reserved(order_id=event.data.order_id)


class Printer(Adaptor):
    """An adaptor with a local ledger, which one process at a time may use."""

    name = "printer"

    @handles
    def print(self, event: Event[Placed]) -> Reserved:
        BEHAVIOUR.calls.append(event.id)
        BEHAVIOUR.before(event)
        return Reserved(order_id=event.data.order_id)


def placed(id: str, **data: Any) -> Event[Placed]:
    """An order."""
    data = {"order_id": id, **data}
    return Event(source="/shop", id=id, type="shop.placed", data=Placed(**data), extensions={"correlationid": "c-1"})


class Shop:
    """The other side of the broker: publishes orders, collects answers."""

    def __init__(self, broker: Broker) -> None:
        self.answers: list[Message] = []
        self.transport = RabbitMQTransport(broker.url)
        self.transport.open()
        self.transport.declare(
            Topology([Exchange("events")], [Queue("answers")], [Binding("events", "answers", "stock.*")])
        )
        self.transport.consume("answers", prefetch=500, on_deliveries=self._collect, on_lost=lambda error: None)

    def _collect(self, deliveries: list[Delivery]) -> None:
        self.answers += [delivery.message for delivery in deliveries]
        self.transport.ack(deliveries)

    def publish(self, *items: Event[EventData] | Message) -> None:
        """Publish events, each confirmed."""
        messages = [item if isinstance(item, Message) else write_structured(item, "events") for item in items]
        assert set(self.transport.publish(messages)) == {Confirm.CONFIRMED}

    def ids(self) -> set[str]:
        """The ids of the answers."""
        return {str(message.message_id) for message in self.answers}


class Running:
    """A runner on a thread of its own."""

    def __init__(self, adaptor: type[Adaptor], settings: Settings) -> None:
        url = settings.broker.url.get_secret_value()
        self.transport = RabbitMQTransport(url, heartbeat=1)
        self.runner = Runner(adaptor, settings, self.transport)
        self.ended_by: Exception | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.runner.run()
        except ConfigError as error:
            self.ended_by = error

    def start(self, state: RunState = RunState.CONSUMING) -> "Running":
        """Run until it is in `state`."""
        self.thread.start()
        assert self.runner.wait_for(state, 60), f"{self.runner.state}: {self.runner.trouble or self.ended_by}"
        return self

    def stop(self) -> None:
        """As on SIGTERM."""
        self.runner.stop()
        self.thread.join(60)
        assert not self.thread.is_alive()


Start = Callable[..., Running]


@pytest.fixture(autouse=True)
def _behaviour() -> Iterator[None]:
    BEHAVIOUR.__init__()  # type: ignore[misc]
    with no_logs():
        yield


@pytest.fixture
def shop(fresh_rabbitmq: Broker) -> Iterator[Shop]:
    """The shop, on a virtual host of this test's own."""
    shop = Shop(fresh_rabbitmq)
    yield shop
    shop.transport.close()


@pytest.fixture
def stock(fresh_pg_url: str) -> Iterator[Engine]:
    """The stock's database, with the ledger installed."""
    engine = create_engine(fresh_pg_url, poolclass=NullPool, connect_args={"application_name": SPECTATOR})
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE picks (id TEXT)"))
    yield engine
    engine.dispose()


@pytest.fixture
def start(shop: Shop, stock: Engine, fresh_rabbitmq: Broker, tmp_path: Path) -> Iterator[Start]:
    """Starts adaptors, and stops those that still run at the end."""
    started: list[Running] = []

    def begin(adaptor: type[Adaptor] = Stock, state: RunState = RunState.CONSUMING, **sections: Any) -> Running:
        settings = Settings(
            **{
                "broker": BrokerSettings(url=SecretStr(fresh_rabbitmq.url)),
                "retry": QUICK,
                "family": SqlSettings(url=SecretStr(stock.url.render_as_string(hide_password=False))),
                "folder": tmp_path,
                **sections,
            }
        )
        started.append(Running(adaptor, settings))
        if adaptor is Stock:
            started[-1].runner.ledger.install()  # type: ignore[attr-defined]
        return started[-1].start(state)

    yield begin
    for running in started:
        running.stop()


def picks(stock: Engine) -> list[str]:
    """What was picked, in order of names."""
    with stock.connect() as connection:
        return list(connection.scalars(text("SELECT id FROM picks ORDER BY id")))


def counts(running: Running) -> dict[State, int]:
    """Where the events stand."""
    return running.runner.ledger.counts()


class TestEndToEnd:
    def test_events_in_effects_and_replies_out(self, start: Start, shop: Shop, stock: Engine) -> None:
        """Events of both modes have their effect once and are answered; a duplicate changes nothing."""
        running = start()
        shop.publish(placed("a"), write_binary(placed("b"), "events"), placed("a"))
        wait_until(lambda: len(shop.answers) >= 2)
        wait_until(lambda: not running.transport.depth("stock"))
        assert picks(stock) == ["a", "b"]
        assert shop.ids() == {reply_id("stock", placed(name).key, 0) for name in "ab"}
        body = json.loads(next(answer.body for answer in shop.answers if answer.message_id in shop.ids()))
        assert (body["source"], body["correlationid"], body["data"]["order_id"] in "ab") == (
            "/adaptors/stock",
            "c-1",
            True,
        )
        assert {answer.correlation_id for answer in shop.answers} == {"c-1"}
        running.stop()
        assert running.transport.depth("stock") == 0
        assert counts_after(stock) == {"applied": 2}

    def test_bad_events_are_set_aside_with_their_bytes_and_headers(self, start: Start, shop: Shop) -> None:
        """Every kind of bad event ends in the ledger with the original message; the adaptor goes on."""
        running = start(limits=LimitSettings(max_bytes=2000))
        bad = {
            "not JSON": Message(b"\xffgarbage", "shop.placed", "events", {"n": {"a": [1, b"\xff"]}}, message_id="m-1"),
            "is missing or empty": Message(b'{"specversion": "1.0"}', "shop.placed", "events"),
            "Field required": write_structured(placed("x"), "events"),
            "the limit is 2000": Message(b" " * 3000, "shop.placed", "events"),
        }
        bad["Field required"] = Message(
            bad["Field required"].body.replace(b"order_id", b"odor_id"), "shop.placed", "events"
        )
        bad["not UTF-8"] = bad.pop("not JSON")
        shop.publish(*bad.values(), placed("good"))
        wait_until(lambda: counts(running) == {State.DEAD: 4, State.APPLIED: 1})
        dead = running.runner.ledger.find([State.DEAD])
        for why, sent in bad.items():
            (entry,) = [entry for entry in dead if why in str(entry.error)]
            assert entry.message is not None
            assert entry.message.body == sent.body
            assert entry.message.routing_key == "shop.placed"
        (undecodable,) = [entry for entry in dead if "not UTF-8" in str(entry.error)]
        assert undecodable.message is not None
        assert (undecodable.message.headers, undecodable.message.message_id) == ({"n": {"a": [1, b"\xff"]}}, "m-1")

    def test_a_failing_event_waits_on_the_broker_and_is_tried_again(
        self, start: Start, shop: Shop, stock: Engine
    ) -> None:
        """Failed attempts come back after broker-held delays: one succeeds in the end, one becomes a dead letter."""

        def fail(event: Event[Placed]) -> None:
            if event.id == "never" or (event.id == "later" and BEHAVIOUR.calls.count("later") < 3):
                raise TransientError("busy")
            if event.id == "refused":
                raise Refused("no such article")

        BEHAVIOUR.before = fail
        running = start()
        shop.publish(placed("later"), placed("never"), placed("refused"), placed("fine"))
        wait_until(lambda: counts(running) == {State.DEAD: 2, State.APPLIED: 2})
        assert picks(stock) == ["fine", "later"]
        # Events that come back together share a transaction, and one that fails has the others called again.
        assert BEHAVIOUR.calls.count("later") in (3, 4)
        later = running.runner.ledger.get(placed("later").key)
        assert later is not None
        assert later.attempts == 3
        dead = {entry.key.id: entry for entry in running.runner.ledger.find([State.DEAD])}
        assert (dead["never"].attempts, dead["never"].error) == (3, "busy")
        assert dead["refused"].attempts == 1
        assert dead["never"].message is not None
        assert ATTEMPT_HEADER not in dead["never"].message.headers

    def test_an_unwanted_reply_waits_in_the_ledger(self, start: Start, stock: Engine, fresh_rabbitmq: Broker) -> None:
        """A reply that no queue wants is not lost: its event waits on the broker, and the reply in the ledger."""
        running = start(broker=BrokerSettings(url=SecretStr(fresh_rabbitmq.url), exchange="elsewhere"))
        assert running.transport.publish([write_structured(placed("a"), "elsewhere")]) == [Confirm.CONFIRMED]
        wait_until(lambda: running.transport.depth("stock.retry.30000ms") == 1)
        assert picks(stock) == ["a"]
        (entry,) = running.runner.ledger.unsent(2e9 * 2, limit=9)
        assert (entry.state, len(entry.replies)) == (State.APPLIED, 1)


def counts_after(stock: Engine) -> dict[str, int]:
    """What the ledger holds, when nobody runs."""
    with stock.connect() as connection:
        found = connection.execute(text("SELECT state, count(*) FROM adaptor_ledger GROUP BY state"))
        return {str(state): int(count) for state, count in found}


class TestStopping:
    def test_a_stop_finishes_and_settles_what_runs(self, start: Start, shop: Shop, stock: Engine) -> None:
        """On stop a running handler ends, its event is settled, and what was not begun stays in the queue."""
        entered, proceed = threading.Event(), threading.Event()

        def hold(event: Event[Placed]) -> None:
            if event.id == "slow":
                entered.set()
                assert proceed.wait(60)

        BEHAVIOUR.before = hold
        running = start(runner=RunnerSettings(concurrency=1, batch_size=1))
        shop.publish(placed("slow"), placed("next"))
        assert entered.wait(60)
        running.runner.stop()
        assert running.runner.wait_for(RunState.STOPPING, 60)
        proceed.set()
        running.stop()
        assert running.runner.state is RunState.STOPPED
        assert picks(stock) == ["slow"]
        wait_until(lambda: len(shop.answers) == 1)
        assert wait_until(lambda: shop.transport.depth("stock")) == 1

    def test_a_handler_past_the_drain_timeout_has_no_second_effect(
        self, start: Start, shop: Shop, stock: Engine
    ) -> None:
        """A handler that does not end in time is left; its event comes to the next process, with one effect in all."""
        entered, proceed = threading.Event(), threading.Event()

        def hold(event: Event[Placed]) -> None:
            if not entered.is_set():
                entered.set()
                assert proceed.wait(60)

        BEHAVIOUR.before = hold
        first = start(runner=RunnerSettings(concurrency=1, drain_timeout=0.1))
        shop.publish(placed("a"))
        assert entered.wait(60)
        (left,) = [thread for thread in threading.enumerate() if thread.name.startswith("stock-worker")]
        pool = first.runner._family._engine.pool  # type: ignore[attr-defined]
        first.stop()
        start()
        wait_until(lambda: picks(stock) == ["a"])
        proceed.set()
        left.join(60)
        pool.dispose()
        assert picks(stock) == ["a"]
        assert BEHAVIOUR.calls == ["a", "a"]

    def test_a_stop_before_anything_runs(self, start: Start, shop: Shop, stock: Engine) -> None:
        """A stop that comes while the broker is away ends the run at once."""
        shop.transport.close()
        running = start(state=RunState.PAUSED, broker=BrokerSettings(url=SecretStr("amqp://127.0.0.1:1/")))
        running.stop()
        assert running.runner.state is RunState.STOPPED

    def test_a_stop_at_the_very_beginning_of_a_session(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stop that falls between two sessions is not forgotten by the next one."""
        runner = Runner(Printer, Settings(folder=tmp_path), MemoryTransport(MemoryBroker()))
        own = runner._own

        def own_and_be_stopped() -> bool:
            owned = own()
            runner.stop()
            return owned

        monkeypatch.setattr(runner, "_own", own_and_be_stopped)
        thread = threading.Thread(target=runner.run)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        assert runner.state is RunState.STOPPED


class TestTrouble:
    def test_connections_killed_in_the_middle(
        self, start: Start, shop: Shop, stock: Engine, fresh_rabbitmq: Broker
    ) -> None:
        """Whatever the broker cuts and however often, each event has one effect and one reply id, and none is lost."""
        running = start(runner=RunnerSettings(concurrency=2, batch_size=5))
        names = [f"e-{number:03}" for number in range(150)]
        shop.publish(*(placed(name) for name in names[:75]))
        wait_until(lambda: len(BEHAVIOUR.calls) > 10)
        fresh_rabbitmq.close_connections()
        shop.transport.close()
        again = Shop(fresh_rabbitmq)
        again.publish(*(placed(name) for name in names[75:]))
        wait_until(lambda: running.runner.ledger.counts().get(State.APPLIED) == 150)
        wait_until(lambda: not running.runner.ledger.unsent(4e9, limit=9))
        assert picks(stock) == names
        wait_until(lambda: len(shop.ids() | again.ids()) == 150)
        assert shop.ids() | again.ids() == {reply_id("stock", placed(name).key, 0) for name in names}
        again.transport.close()

    def test_an_exchange_that_is_deleted_is_made_anew(self, start: Start, shop: Shop, fresh_rabbitmq: Broker) -> None:
        """When somebody deletes the exchange the reply waits, and goes out after the next session has declared it."""
        running = start()
        fresh_rabbitmq.api("DELETE", f"exchanges/{fresh_rabbitmq.vhost}/events")
        event = replace(write_structured(placed("a"), ""), exchange="", routing_key="stock")
        assert shop.transport.publish([event]) == [Confirm.CONFIRMED]
        assert running.runner.wait_for(RunState.PAUSED, 60)
        assert running.runner.wait_for(RunState.CONSUMING, 60)
        shop.transport.declare(Topology(bindings=[Binding("events", "answers", "stock.*")]))
        wait_until(lambda: counts(running) == {State.APPLIED: 1})
        assert running.thread.is_alive()

    def test_an_outage_pauses_and_costs_no_attempt(self, start: Start, shop: Shop, stock: Engine) -> None:
        """While the backend is away the adaptor pauses; when it is back every event is applied at its first attempt."""
        away = threading.Event()
        away.set()

        def maybe_away(event: Event[Placed]) -> None:
            if away.is_set():
                raise BackendUnavailable("stock taking")

        BEHAVIOUR.before = maybe_away
        running = start()
        shop.publish(placed("a"), placed("b"))
        assert running.runner.wait_for(RunState.PAUSED, 60)
        assert isinstance(running.runner.trouble, BackendUnavailable)
        away.clear()
        wait_until(lambda: counts(running) == {State.APPLIED: 2})
        for name in "ab":
            entry = running.runner.ledger.get(placed(name).key)
            assert entry is not None
            assert entry.attempts == 1
        assert picks(stock) == ["a", "b"]

    def test_a_database_that_ends_all_sessions(self, start: Start, shop: Shop, stock: Engine) -> None:
        """When the database throws everybody out in the middle of the work, everything is done once all the same."""

        def throw_out(event: Event[Placed]) -> None:
            if event.id == "e-10" and BEHAVIOUR.calls.count("e-10") == 1:
                with stock.connect() as connection:
                    everybody = f"application_name <> '{SPECTATOR}' AND datname = current_database()"
                    connection.execute(
                        text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {everybody}")
                    )

        BEHAVIOUR.before = throw_out
        running = start()
        names = [f"e-{number}" for number in range(20)]
        shop.publish(*(placed(name) for name in names))
        wait_until(lambda: len(picks(stock)) == 20)
        wait_until(lambda: len(shop.ids()) == 20)
        assert picks(stock) == sorted(names)
        assert running.runner.ledger.counts() == {State.APPLIED: 20}


class TestSeveralProcesses:
    def test_a_standby_takes_over(self, start: Start, shop: Shop) -> None:
        """With a local ledger one process consumes and a second waits, and takes over where the first has ended."""
        first = start(Printer)
        second = start(Printer, RunState.STANDBY)
        shop.publish(placed("a"))
        wait_until(lambda: BEHAVIOUR.calls == ["a"])
        assert second.runner.state is RunState.STANDBY
        first.stop()
        assert second.runner.wait_for(RunState.CONSUMING, 60)
        shop.publish(placed("a"), placed("b"))
        wait_until(lambda: len(shop.ids()) == 2)
        assert BEHAVIOUR.calls == ["a", "b"]

    def test_processes_that_share_a_ledger_share_the_work(self, start: Start, shop: Shop, stock: Engine) -> None:
        """Two processes of a SQL adaptor consume together; events published twice have one effect each."""
        runners = [start(), start()]
        names = [f"e-{number:03}" for number in range(100)]
        shop.publish(*(placed(name) for name in [*names, *reversed(names)]))
        wait_until(lambda: len(shop.ids()) == 100)
        wait_until(lambda: counts(runners[0]) == {State.APPLIED: 100})
        assert picks(stock) == names


class TestConfiguration:
    def test_missing_ledger_table(self, fresh_rabbitmq: Broker, fresh_pg_url: str, tmp_path: Path) -> None:
        """Without the ledger's tables the run ends with the command that makes them."""
        settings = Settings(
            broker=BrokerSettings(url=SecretStr(fresh_rabbitmq.url)),
            family=SqlSettings(url=SecretStr(fresh_pg_url)),
            folder=tmp_path,
        )
        running = Running(Stock, settings).start(RunState.STOPPED)
        running.thread.join(60)
        assert "adaptor sql install" in str(running.ended_by)

    def test_missing_topology_when_declaring_is_off(
        self, fresh_rabbitmq: Broker, fresh_pg_url: str, tmp_path: Path
    ) -> None:
        """With `declare = false` missing queues are listed with what to do, and nothing is created."""
        settings = Settings(
            broker=BrokerSettings(url=SecretStr(fresh_rabbitmq.url), declare=False),
            retry=QUICK,
            family=SqlSettings(url=SecretStr(fresh_pg_url)),
            folder=tmp_path,
        )
        running = Running(Stock, settings)
        running.runner.ledger.install()  # type: ignore[attr-defined]
        running.start(RunState.STOPPED)
        running.thread.join(60)
        for part in ("stock", "stock.retry.100ms", "stock.dead", "adaptor topology apply", "declare = true"):
            assert part in str(running.ended_by)
        assert set(running.transport.missing(plan(Stock, settings))) >= {"stock", "stock.dead"}

    def test_a_queue_that_is_there_otherwise(self, fresh_rabbitmq: Broker, fresh_pg_url: str, tmp_path: Path) -> None:
        """A queue of another kind ends the run, and no queue is made that would refuse the right setting later."""
        settings = Settings(
            broker=BrokerSettings(url=SecretStr(fresh_rabbitmq.url), queue_type="classic"),
            retry=QUICK,
            family=SqlSettings(url=SecretStr(fresh_pg_url)),
            folder=tmp_path,
        )
        running = Running(Stock, settings)
        running.runner.ledger.install()  # type: ignore[attr-defined]
        wanted = plan(Stock, settings.model_copy(update={"broker": BrokerSettings()}))
        running.transport.open()
        running.transport.declare(Topology(queues=wanted.queues[:1]))
        running.start(RunState.STOPPED)
        running.thread.join(60)
        assert "Queue 'stock' exists with" in str(running.ended_by)
        assert set(running.transport.missing(wanted)) == {queue.name for queue in wanted.queues[1:]} | {"events"}


def test_a_duplicate_in_the_hands_of_another_process(
    start: Start, shop: Shop, stock: Engine, fresh_rabbitmq: Broker
) -> None:
    """Slow events that are sent twice, and meet in two processes, are not taken from each other until none is left."""
    BEHAVIOUR.before = lambda event: time.sleep(0.4)
    broker = BrokerSettings(url=SecretStr(fresh_rabbitmq.url), prefetch=1)
    processes = [start(broker=broker, runner=RunnerSettings(concurrency=1)) for _ in range(2)]
    for number in range(4):
        shop.publish(placed(f"o-{number}"), placed(f"o-{number}"))
    wait_until(lambda: counts(processes[0]) == {State.APPLIED: 4})
    assert picks(stock) == [f"o-{number}" for number in range(4)]
    assert sorted(BEHAVIOUR.calls) == picks(stock)
