"""A broker that is really out of memory or disk: it reads no more from a connection that publishes, acks included."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapter_sdk import Adaptor, Event, handles
from adapter_sdk.envelopes import write_structured
from adapter_sdk.ledger.base import State
from adapter_sdk.runner import Runner, RunState
from adapter_sdk.settings import BrokerSettings, Settings
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from tests.bench import no_logs
from tests.integration.test_broker_trouble import SOON, Placed, Scene, Stock
from tests.services.rabbitmq import Node
from tests.services.waiting import wait_until


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    Stock.before = staticmethod(lambda: None)
    with no_logs():
        yield


@pytest.mark.parametrize("resource", ["memory", "disk"])
def test_replies_wait_for_the_end_of_an_alarm(own_rabbitmq: Node, tmp_path: Path, resource: str) -> None:
    """Meanwhile effects are recorded, none is settled, and the adaptor is paused and says why."""
    alarmed = threading.Event()
    Stock.before = staticmethod(lambda: alarmed.wait(SOON))
    scene = Scene(own_rabbitmq.broker.url, tmp_path, own_rabbitmq.broker.url)
    scene.bind_answers()
    scene.start()
    try:
        scene.order(20)
        with own_rabbitmq.alarm(resource):
            began = time.monotonic()
            alarmed.set()
            wait_until(lambda: len(scene.runner.paused_for) >= 2, SOON)
            assert {"memory or disk alarm" in str(trouble) for trouble in scene.runner.paused_for} == {True}
            assert scene.runner.sessions <= 4 + (time.monotonic() - began)
            done = scene.picks()
            assert 0 < len(done) == len(set(done)) == len(scene.runner.ledger.unsent(4e9, limit=99))
            assert scene.runner.ledger.counts()[State.APPLIED] == len(done)
        over = time.monotonic()
        scene.all_is_done_once()
        scene.consumes()
        assert time.monotonic() - over < SOON
    finally:
        alarmed.set()
        scene.stop()


class Gauge(Adaptor):
    """Answers nothing, so that it has nothing to publish."""

    name = "gauge"
    entered, proceed = threading.Event(), threading.Event()
    seen: list[str] = []

    @handles
    def read(self, event: Event[Placed]) -> None:
        self.entered.set()
        assert self.proceed.wait(SOON)
        self.seen.append(event.id)


def test_what_has_nothing_to_publish_goes_on(own_rabbitmq: Node, tmp_path: Path) -> None:
    """An alarm is no trouble for an adaptor that only takes: it empties the queue, as the broker then needs it."""
    url = own_rabbitmq.broker.url
    transport, shop = RabbitMQTransport(url), RabbitMQTransport(url)
    runner = Runner(Gauge, Settings(broker=BrokerSettings(url=SecretStr(url)), folder=tmp_path), transport)
    running = threading.Thread(target=runner.run)
    running.start()
    try:
        assert runner.wait_for(RunState.CONSUMING, SOON)
        names = [f"g-{number}" for number in range(20)]
        events = [Event(source="/shop", id=name, type="shop.placed", data=Placed(order_id=name)) for name in names]
        shop.open()
        shop.publish([write_structured(event, "events") for event in events])
        assert Gauge.entered.wait(SOON)
        with own_rabbitmq.alarm("memory"):
            Gauge.proceed.set()
            wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 20}, SOON)
            listed = f"queues/{own_rabbitmq.broker.vhost}/gauge"
            wait_until(lambda: own_rabbitmq.broker.api("GET", listed).get("messages") == 0, SOON)
            assert runner.state is RunState.CONSUMING
        assert sorted(Gauge.seen) == sorted(names)
    finally:
        shop.close()
        runner.stop()
        running.join(60)
    assert not running.is_alive()
