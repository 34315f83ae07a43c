"""What a broker and the line to it can do to a running adaptor: it goes on, and nothing is lost or done twice."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from adapter_sdk import (
    AdaptorError,
    BackendUnavailable,
    BrokerError,
    Event,
    EventData,
    handles,
    outbox,
    runner,
    topology,
)
from adapter_sdk.envelopes import write_structured
from adapter_sdk.ledger.base import State
from adapter_sdk.runner import Runner, RunState
from adapter_sdk.settings import BrokerSettings, RunnerSettings, Settings
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Exchange, Queue, Topology
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from adaptors.sql import Connection, SqlAdaptor, SqlSettings
from tests.bench import no_logs
from tests.services.rabbitmq import Broker, Node
from tests.services.waiting import wait_until
from tests.torture.proxy import Proxy

SOON = 30.0
"""Seconds within which an adaptor has to consume again."""


class Placed(EventData, type="shop.placed"):
    order_id: str


class Picked(EventData, type="stock.picked"):
    order_id: str


class Stock(SqlAdaptor):
    name = "stock"
    before: Callable[[], object] = staticmethod(lambda: None)

    @handles
    def pick(self, event: Event[Placed], db: Connection) -> Picked:
        type(self).before()
        db.execute(text("INSERT INTO picks VALUES (:id)"), {"id": event.data.order_id})
        return Picked(order_id=event.data.order_id)


class Watched(Runner):
    """Counts its sessions, and remembers why each ended."""

    sessions = 0
    paused_for: Sequence[AdaptorError] = ()

    def _session(self) -> None:
        self.sessions += 1
        super()._session()

    def _wait_out(self, trouble: AdaptorError) -> None:
        self.paused_for = [*self.paused_for, trouble]
        super()._wait_out(trouble)


class Scene:
    """A shop that publishes orders, the adaptor, and the backend that counts what was picked."""

    def __init__(self, url: str, folder: Path, shop_url: str, delivery_limit: int = 1000) -> None:
        self.database = folder / "stock.db"
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute("CREATE TABLE picks (id TEXT)")
            connection.execute("PRAGMA journal_mode = WAL")
        self.shop_url = shop_url
        self.wanted: list[str] = []
        self.answers: set[str] = set()
        self.transport = RabbitMQTransport(url, heartbeat=1, blocked_connection_timeout=1)
        settings = Settings(
            broker=BrokerSettings(url=SecretStr(url), delivery_limit=delivery_limit),
            runner=RunnerSettings(concurrency=2, batch_size=5),
            family=SqlSettings(url=SecretStr(f"sqlite:///{self.database}")),
            folder=folder,
        )
        self.runner = Watched(Stock, settings, self.transport)
        self.runner.ledger.install()  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self.runner.run)

    def start(self) -> None:
        """Run until it consumes."""
        self._thread.start()
        self.consumes()

    def stop(self) -> None:
        """As on SIGTERM."""
        self.runner.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def consumes(self) -> None:
        """Wait until it does, no longer than is allowed."""
        assert self.runner.wait_for(RunState.CONSUMING, SOON), self.runner.trouble

    def notices(self) -> None:
        """Wait until it has said that it does not consume, and why."""
        wait_until(lambda: self.runner.paused_for, SOON)
        assert {type(trouble) for trouble in self.runner.paused_for} == {BrokerError}

    @contextmanager
    def shop(self) -> Iterator[RabbitMQTransport]:
        """A connection of the shop's own."""
        transport = RabbitMQTransport(self.shop_url)
        transport.open()
        yield transport
        transport.close()

    def order(self, count: int) -> None:
        """Publish so many orders, each confirmed."""
        names = [f"o-{len(self.wanted) + number:03}" for number in range(count)]
        events = [Event(source="/shop", id=name, type="shop.placed", data=Placed(order_id=name)) for name in names]
        with self.shop() as shop:
            assert set(shop.publish([write_structured(event, "events") for event in events])) == {Confirm.CONFIRMED}
        self.wanted += names

    def bind_answers(self, arguments: Mapping[str, str | int] | None = None) -> None:
        """Somebody wants the replies."""
        with self.shop() as shop:
            bound = Binding("events", "answers", "stock.*")
            shop.declare(Topology([Exchange("events")], [Queue("answers", arguments or {})], [bound]))

    def fetch_answers(self) -> set[str]:
        """The ids of all replies so far."""

        def collect(deliveries: list[Delivery]) -> None:
            self.answers |= {str(delivery.message.message_id) for delivery in deliveries}
            shop.ack(deliveries)

        with self.shop() as shop:
            shop.consume("answers", prefetch=500, on_deliveries=collect, on_lost=lambda _: None)
            wait_until(lambda: not shop.depth("answers"))
            shop.cancel()
        return self.answers

    def picks(self) -> list[str]:
        """What the backend has, repetitions included."""
        with closing(sqlite3.connect(self.database)) as connection:
            return [str(row[0]) for row in connection.execute("SELECT id FROM picks ORDER BY id")]

    def all_is_done_once(self) -> None:
        """Every order that was confirmed is picked, answered and settled, and no more than that."""
        wait_until(lambda: len(set(self.picks())) >= len(self.wanted), SOON)
        wait_until(lambda: not self.runner.ledger.unsent(4e9, limit=1), SOON)
        wait_until(lambda: not self.transport.depth("stock"), SOON)
        assert self.picks() == self.wanted
        assert self.runner.ledger.counts() == {State.APPLIED: len(self.wanted)}
        wait_until(lambda: len(self.fetch_answers()) >= len(self.wanted), SOON)
        assert len(self.answers) == len(self.wanted)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    Stock.before = staticmethod(lambda: None)
    with no_logs():
        yield


@contextmanager
def scene_on(url: str, folder: Path, shop_url: str | None = None, orders: int = 20) -> Iterator[Scene]:
    """A scene that plays, with some orders done and some on their way."""
    scene = Scene(url, folder, shop_url or url)
    if orders:
        scene.bind_answers()
    scene.start()
    try:
        if orders:
            scene.order(orders)
        yield scene
    finally:
        scene.stop()


def through(proxy: Proxy, url: str) -> str:
    """The same broker, by way of the proxy."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}").geturl()


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_broker_that_goes_and_comes_back(own_rabbitmq: Node, tmp_path: Path, how: str) -> None:
    """While the broker is away the adaptor says so and tries with growing pauses; then it goes on where it was."""
    with scene_on(own_rabbitmq.broker.url, tmp_path) as scene:
        if how == "kill":
            time.sleep(3)  # RabbitMQ 3.10 can forget a quorum queue that was declared within a second of the kill
        away = time.monotonic()
        if how == "kill":
            own_rabbitmq.kill()
            scene.notices()
            assert scene.runner.state is not RunState.CONSUMING
            own_rabbitmq.start()
        else:
            own_rabbitmq.restart()
        back = time.monotonic()
        scene.consumes()
        assert time.monotonic() - back < SOON
        # Pauses begin at a quarter of a second and double: more than one try a second would be a tight loop.
        assert 2 <= scene.runner.sessions <= 4 + (time.monotonic() - away)
        scene.order(20)
        scene.all_is_done_once()


def test_connections_that_an_operator_closes(fresh_rabbitmq: Broker, tmp_path: Path) -> None:
    """Closed connections, twice in a row, cost a session each, and no event."""
    with scene_on(fresh_rabbitmq.url, tmp_path) as scene:
        for session in (2, 3):
            wait_until(fresh_rabbitmq.close_connections)
            wait_until(lambda session=session: scene.runner.sessions >= session, SOON)  # type: ignore[misc]
            scene.consumes()
            scene.order(10)
        assert scene.runner.sessions <= 5
        scene.all_is_done_once()


def test_a_line_that_is_cut(fresh_rabbitmq: Broker, tmp_path: Path) -> None:
    """A reset in the middle of the work is noticed at once."""
    with (
        closing(Proxy(urlsplit(fresh_rabbitmq.url).port or 0)) as proxy,
        scene_on(through(proxy, fresh_rabbitmq.url), tmp_path, fresh_rabbitmq.url) as scene,
    ):
        assert proxy.cut() == 2
        scene.notices()
        scene.consumes()
        assert scene.runner.sessions <= 4
        scene.order(20)
        scene.all_is_done_once()


def test_a_line_that_goes_dead_without_a_word(fresh_rabbitmq: Broker, tmp_path: Path) -> None:
    """A half-open connection, on which nothing comes and nothing fails, is given up after missing heartbeats."""
    with (
        closing(Proxy(urlsplit(fresh_rabbitmq.url).port or 0)) as proxy,
        scene_on(through(proxy, fresh_rabbitmq.url), tmp_path, fresh_rabbitmq.url) as scene,
    ):
        proxy.go_dead()
        scene.order(20)
        scene.notices()
        scene.consumes()
        assert scene.runner.sessions <= 4
        scene.all_is_done_once()


def test_a_queue_that_is_deleted(fresh_rabbitmq: Broker, tmp_path: Path) -> None:
    """When its queue is deleted the consumer is cancelled without a closed connection; the queue is made again."""
    with scene_on(fresh_rabbitmq.url, tmp_path) as scene:
        wait_until(lambda: scene.picks() == scene.wanted)
        wait_until(lambda: not scene.runner.ledger.unsent(4e9, limit=1))
        fresh_rabbitmq.api("DELETE", f"queues/{quote(fresh_rabbitmq.vhost, safe='')}/stock")
        scene.notices()
        scene.consumes()
        assert scene.runner.sessions == 2
        scene.order(20)
        scene.all_is_done_once()


def test_a_channel_that_the_broker_closes(fresh_rabbitmq: Broker, tmp_path: Path) -> None:
    """A channel error, as after an ack that the broker does not understand, ends the session and no more."""
    with scene_on(fresh_rabbitmq.url, tmp_path) as scene:
        consuming = scene.transport._consuming
        assert consuming is not None
        consuming._link.post(lambda: consuming._channel.basic_ack(4_000_000))
        scene.notices()
        scene.consumes()
        assert scene.runner.sessions == 2
        scene.order(20)
        scene.all_is_done_once()


def test_a_broker_that_blocks_publishers(fresh_rabbitmq: Broker, tmp_path: Path) -> None:
    """While the broker blocks publishers effects are recorded and no event is settled; then the replies go out."""
    with scene_on(fresh_rabbitmq.url, tmp_path) as scene:
        scene.all_is_done_once()
        link = scene.transport._publishing_link
        assert link is not None
        # Only an alarm makes the broker say so, and the management API raises none: this is what its word does here.
        link.unblocked.clear()
        scene.order(1)
        wait_until(lambda: scene.picks() == scene.wanted)
        (entry,) = scene.runner.ledger.unsent(4e9, limit=2)
        assert entry.state is State.APPLIED
        assert len(scene.fetch_answers()) == 20
        link.unblocked.set()
        scene.all_is_done_once()
        assert scene.runner.sessions == 1


def test_what_the_broker_gives_up(fresh_rabbitmq: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that RabbitMQ has dead-lettered, because it came back too often, is a dead letter in the ledger."""
    monkeypatch.setattr(runner, "_SWEEP_INTERVAL", 0.02)
    monkeypatch.setattr(runner, "_LONGEST_PAUSE", 0.05)

    def away() -> None:
        raise BackendUnavailable("stock taking")

    Stock.before = staticmethod(away)
    scene = Scene(fresh_rabbitmq.url, tmp_path, fresh_rabbitmq.url, delivery_limit=2)
    scene.start()
    try:
        scene.order(1)
        (entry,) = wait_until(lambda: scene.runner.ledger.find([State.DEAD]), SOON)
        assert (entry.key.id, entry.reason) == ("o-000", "delivery limit")
        assert entry.message is not None
        assert (entry.message.exchange, entry.message.routing_key) == ("events", "shop.placed")
        wait_until(lambda: not scene.transport.depth("stock.dead"))
    finally:
        scene.stop()


class TestReplies:
    """Replies that the broker does not take. The pause before another try is 30 seconds, and shorter here."""

    @pytest.fixture(autouse=True)
    def _short_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (outbox, topology):
            monkeypatch.setattr(module, "RESEND_DELAY", 0.3)

    def test_replies_that_no_queue_wants(self, fresh_rabbitmq: Broker, tmp_path: Path) -> None:
        """Returned replies are published as soon as somebody wants them; the effects are not made again."""
        with scene_on(fresh_rabbitmq.url, tmp_path, orders=0) as scene:
            scene.order(5)
            wait_until(lambda: scene.picks() == scene.wanted)
            wait_until(lambda: scene.transport.depth("stock.retry.300ms"))
            scene.bind_answers()
            scene.all_is_done_once()
            assert scene.runner.sessions == 1

    def test_replies_that_a_full_queue_refuses(self, fresh_rabbitmq: Broker, tmp_path: Path) -> None:
        """Nacked replies are published again when there is room; the effects are not made again."""
        with scene_on(fresh_rabbitmq.url, tmp_path, orders=0) as scene:
            scene.bind_answers({"x-max-length": 1, "x-overflow": "reject-publish"})
            scene.order(5)
            wait_until(lambda: scene.picks() == scene.wanted)
            wait_until(lambda: scene.transport.depth("stock.retry.300ms"))
            assert scene.runner.ledger.unsent(4e9, limit=9)
            wait_until(lambda: len(scene.fetch_answers()) == 5, SOON)
            scene.all_is_done_once()
            assert scene.runner.sessions == 1
