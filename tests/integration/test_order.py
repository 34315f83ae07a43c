"""Order on a real RabbitMQ: events of one key one after the other, through failures, people and restarts."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from adapter_sdk import Adaptor, BackendUnavailable, Event, EventData, Refused, TransientError, handles
from adapter_sdk.envelopes import write_structured
from adapter_sdk.events import Key
from adapter_sdk.interventions import replay
from adapter_sdk.ledger.base import Decision, State
from adapter_sdk.ledger.shared import SharedLedger
from adapter_sdk.ledger.sqlite import sqlite_ledger
from adapter_sdk.ordering import OrderedBy
from adapter_sdk.runner import Runner, RunState
from adapter_sdk.settings import BrokerSettings, LedgerSettings, RetrySettings, RunnerSettings, Settings
from adapter_sdk.topology import plan
from adapter_sdk.transport.base import Confirm
from adapter_sdk.transport.rabbitmq import RabbitMQTransport
from tests.bench import no_logs
from tests.services.rabbitmq import Broker
from tests.services.waiting import wait_until


class Moved(EventData, type="stock.moved"):
    sku: str
    number: int


class Journal(Adaptor):
    """Writes down what happens, in the order in which it happens."""

    name = "journal"
    ordered_by: ClassVar[OrderedBy] = "subject"

    @handles
    def note(self, event: Event[Moved]) -> None:
        LOG.note(event)


class Forgiving(Journal):
    on_dead = "continue"


class Disorderly(Journal):
    """What becomes of the adaptor when somebody takes its order away."""

    ordered_by = None


class Log:
    """What was applied, and how often what fails: the trouble of the event with that id, as often as it is listed.

    `pause` is how many seconds each takes, `most` how many were in hand at one time.
    """

    def __init__(self) -> None:
        self.applied: list[tuple[str, int]] = []
        self.trouble: dict[str, list[Exception]] = {}
        self.pause = 0.0
        self.most = 0
        self._busy = 0
        self._lock = threading.Lock()

    def note(self, event: Event[Moved]) -> None:
        with self._lock:
            self._busy += 1
            self.most = max(self.most, self._busy)
        time.sleep(self.pause)
        with self._lock:
            self._busy -= 1
            if self.trouble.get(event.id):
                raise self.trouble[event.id].pop()
            self.applied.append((event.data.sku, event.data.number))

    def of(self, sku: str) -> list[int]:
        with self._lock:
            return [number for applied, number in self.applied if applied == sku]


LOG = Log()
Start = Callable[..., Runner]


def moved(sku: str, number: int) -> Event[Moved]:
    """One movement of an article; its number is its place in the order of the article's events."""
    return Event(
        source="/stock", id=f"{sku}{number}", type="stock.moved", subject=sku, data=Moved(sku=sku, number=number)
    )


def decision(what: str) -> Decision:
    """A decision of somebody."""
    return Decision(what=what, who="ada", why="seen in the stock", at=1.0)


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    LOG.__init__()  # type: ignore[misc]
    with no_logs():
        yield


@pytest.fixture
def publish(fresh_rabbitmq: Broker) -> Iterator[Callable[..., None]]:
    """Publishes events of the stock, in order. The queue is there before the adaptor is."""
    transport = RabbitMQTransport(fresh_rabbitmq.url)
    transport.open()
    transport.declare(plan(Journal, Settings(retry=RetrySettings(immediate=0, delays=(0.3,)))))

    def send(*events: Event[Moved]) -> None:
        confirms = transport.publish([write_structured(event, "events") for event in events])
        assert set(confirms) == {Confirm.CONFIRMED}

    yield send
    transport.close()


@pytest.fixture
def start(fresh_rabbitmq: Broker, tmp_path: Path) -> Iterator[Start]:
    """Starts adaptors one after the other on one ledger; a new one begins when the one before has stopped."""
    started: list[tuple[Runner, threading.Thread]] = []

    def stop() -> None:
        while started:
            runner, thread = started.pop()
            runner.stop()
            thread.join(60)
            assert not thread.is_alive()

    def begin(adaptor: type[Adaptor] = Journal, state: RunState = RunState.CONSUMING, **runner: Any) -> Runner:
        stop()
        settings = Settings(
            broker=BrokerSettings(url=SecretStr(fresh_rabbitmq.url)),
            retry=RetrySettings(immediate=0, delays=(0.3,)),
            runner=RunnerSettings(**runner),
            folder=tmp_path,
        )
        running = Runner(adaptor, settings, RabbitMQTransport(fresh_rabbitmq.url, heartbeat=1))
        thread = threading.Thread(target=running.run)
        started.append((running, thread))
        thread.start()
        assert running.wait_for(state, 60), f"{running.state}: {running.trouble}"
        return running

    yield begin
    stop()


def test_keys_in_order(publish: Callable[..., None], start: Start) -> None:
    """Events of each key are applied in order by four workers, also behind one that fails at first."""
    LOG.trouble = {"a0": [TransientError("busy")], "c7": [TransientError("busy")]}
    skus, count = "abcdefgh", 40
    publish(*(moved(sku, number) for number in range(count) for sku in skus))
    runner = start()
    wait_until(lambda: len(LOG.applied) == count * len(skus))
    assert {sku: LOG.of(sku) for sku in skus} == {sku: list(range(count)) for sku in skus}
    assert runner.ledger.counts() == {State.APPLIED: count * len(skus)}


def test_others_flow(publish: Callable[..., None], start: Start) -> None:
    """Behind a dead letter its own key is held, until a person discards it; events of other keys and of none flow."""
    LOG.trouble = {"a1": [Refused("no such article")]}
    free = Event(source="/stock", id="free", type="stock.moved", data=Moved(sku="free", number=0))
    publish(*(moved("a", number) for number in range(5)), moved("b", 0), free)
    runner = start()
    wait_until(lambda: {("b", 0), ("free", 0)} <= set(LOG.applied) and runner.ledger.held() == 3)
    assert LOG.of("a") == [0]
    assert runner.ledger.discard(Key("/stock", "a1"), decision("discard"))
    wait_until(lambda: LOG.of("a") == [0, 2, 3, 4])


def test_replayed_in_its_turn(publish: Callable[..., None], start: Start) -> None:
    """A dead letter that is replayed is applied before those that were held behind it."""
    LOG.trouble = {"a1": [Refused("no such article")]}
    publish(*(moved("a", number) for number in range(5)))
    runner = start()
    wait_until(lambda: runner.ledger.held() == 3)
    assert runner.ledger.reopen(Key("/stock", "a1"), decision("replay"))
    wait_until(lambda: LOG.of("a") == [0, 1, 2, 3, 4])


def test_going_on_without(publish: Callable[..., None], start: Start) -> None:
    """With on_dead = "continue" the events behind a dead letter are applied without it; its retries they wait out."""
    LOG.trouble = {"a1": [TransientError("busy"), TransientError("busy")]}
    publish(*(moved("a", number) for number in range(4)))
    runner = start(Forgiving)
    wait_until(lambda: LOG.of("a") == [0, 2, 3])
    assert runner.ledger.counts() == {State.APPLIED: 3, State.DEAD: 1}


def test_through_restarts(publish: Callable[..., None], start: Start) -> None:
    """What is held in one process is applied in order by the next, before what came meanwhile."""
    LOG.trouble = {"a0": [Refused("no such article")]}
    publish(*(moved("a", number) for number in range(3)))
    runner = start()
    wait_until(lambda: runner.ledger.held() == 2)
    publish(*(moved("a", number) for number in range(3, 6)))
    runner = start()
    wait_until(lambda: runner.ledger.held() == 5)
    assert runner.ledger.reopen(Key("/stock", "a0"), decision("replay"))
    runner = start()
    wait_until(lambda: LOG.of("a") == list(range(6)))


def test_bounded(publish: Callable[..., None], start: Start) -> None:
    """With as many held events as are allowed consuming pauses, and the rest stays on the broker, until they go on."""
    LOG.trouble = {"a0": [Refused("no such article")]}
    publish(*(moved("a", number) for number in range(600)))
    runner = start(state=RunState.PAUSED, max_held=50, concurrency=2)
    wait_until(lambda: runner.ledger.held() >= 50)
    assert runner.ledger.held() <= 50 + 200  # the limit, and one prefetch
    assert runner.ledger.discard(Key("/stock", "a0"), decision("discard"))
    wait_until(lambda: LOG.of("a") == list(range(1, 600)))
    assert runner.wait_for(RunState.CONSUMING, 60)


def test_bounded_behind_a_retry(publish: Callable[..., None], start: Start, fresh_rabbitmq: Broker) -> None:
    """While too many are held nothing is taken from the queue, and consuming goes on by itself after the retry."""
    LOG.trouble = {"a0": [TransientError("busy")] * 8}
    publish(*(moved("a", number) for number in range(600)))
    runner = start(state=RunState.PAUSED, max_held=50)
    probe = RabbitMQTransport(fresh_rabbitmq.url)
    wait_until(lambda: runner.state is RunState.PAUSED and probe.depth("journal") + runner.ledger.held() >= 599)
    assert probe.depth("journal") >= 600 - 50 - 200 - 1  # what is not held, and one prefetch
    LOG.trouble.clear()
    wait_until(lambda: LOG.of("a") == list(range(600)))


def test_an_outage(publish: Callable[..., None], start: Start, fresh_rabbitmq: Broker) -> None:
    """An outage costs no event its place, and none an attempt: when it is over all goes on in order."""
    publish(*(moved(sku, number) for number in range(50) for sku in "abcd"))
    LOG.trouble = {f"{sku}0": [BackendUnavailable("down")] * 3 for sku in "abcd"}
    runner = start()
    wait_until(lambda: len(LOG.applied) == 200)
    assert {sku: LOG.of(sku) for sku in "abcd"} == {sku: list(range(50)) for sku in "abcd"}
    assert runner.ledger.counts() == {State.APPLIED: 200}


def test_after_an_unclean_end(publish: Callable[..., None], start: Start, tmp_path: Path) -> None:
    """After an unclean end one event is in hand at a time, also of those that the ledger gives out."""
    LOG.trouble = {f"{sku}0": [Refused("no")] for sku in "abcd"}
    publish(*(moved(sku, number) for number in range(20) for sku in "abcd"))
    runner = start()
    wait_until(lambda: runner.ledger.held() == 76)
    for sku in "abcd":
        assert runner.ledger.discard(Key("/stock", f"{sku}0"), decision("discard"))
    runner.stop()
    assert runner.wait_for(RunState.STOPPED, 60)
    begun = len(LOG.applied)
    LOG.most, LOG.pause = 0, 0.001
    ledger = sqlite_ledger(tmp_path / "journal.ledger", "journal")
    ledger.open()
    ledger.started()
    ledger.close()
    start()
    wait_until(lambda: len(LOG.applied) == 76)
    assert begun < 76
    assert LOG.most == 1
    assert {sku: LOG.of(sku) for sku in "abcd"} == {sku: list(range(1, 20)) for sku in "abcd"}


def test_stopped_again_and_again(publish: Callable[..., None], start: Start) -> None:
    """What is in hand when the adaptor is stopped goes back in order: nothing overtakes it the next time."""
    LOG.pause = 0.002
    count = 150
    publish(*(moved(sku, number) for number in range(count) for sku in "abcd"))
    for stop in range(6):
        start(batch_size=3)
        wait_until(lambda: len(LOG.applied) > stop * 40)  # noqa: B023 - called before the next turn
    LOG.pause = 0.0
    start()
    wait_until(lambda: len(LOG.applied) >= 4 * count)
    assert {sku: LOG.of(sku) for sku in "abcd"} == {sku: list(range(count)) for sku in "abcd"}


def test_order_taken_away(publish: Callable[..., None], start: Start) -> None:
    """What was held when `ordered_by` was taken out of the class is applied all the same, in no order."""
    LOG.trouble = {"a0": [Refused("no such article")], "b0": [TransientError("busy")]}
    publish(*(moved(sku, number) for number in range(5) for sku in "ab"))
    runner = start()
    wait_until(lambda: runner.ledger.held() == 4 and len(LOG.of("b")) == 5)
    runner = start(Disorderly)
    wait_until(lambda: sorted(LOG.of("a")) == [1, 2, 3, 4])
    wait_until(lambda: runner.ledger.counts() == {State.APPLIED: 9, State.DEAD: 1})


def test_replayed_by_the_command(publish: Callable[..., None], start: Start, fresh_rabbitmq: Broker) -> None:
    """What `adaptor dead replay` does: its copy on the broker and the ledger's own turn make one effect, in order."""
    LOG.trouble = {"a1": [Refused("no such article")]}
    publish(*(moved("a", number) for number in range(5)))
    runner = start()
    wait_until(lambda: runner.ledger.held() == 3)
    transport = RabbitMQTransport(fresh_rabbitmq.url)
    transport.open()
    assert replay(runner.ledger, transport, "journal", Key("/stock", "a1"), decision("replay"))
    publish(moved("a", 5))
    wait_until(lambda: len(LOG.of("a")) == 6)
    wait_until(lambda: transport.depth("journal") == 0)
    transport.close()
    assert LOG.of("a") == [0, 1, 2, 3, 4, 5]
    assert runner.ledger.counts() == {State.APPLIED: 6}


def test_the_next_process(
    publish: Callable[..., None], fresh_rabbitmq: Broker, fresh_pg_url: str, tmp_path: Path
) -> None:
    """With a shared ledger, too, one process works and the other stands by, quietly; it takes over what is held."""
    LOG.trouble = {"a0": [Refused("no such article")]}
    settings = Settings(
        broker=BrokerSettings(url=SecretStr(fresh_rabbitmq.url)),
        ledger=LedgerSettings(url=SecretStr(fresh_pg_url)),
        retry=RetrySettings(immediate=0, delays=(0.3,)),
        folder=tmp_path,
    )
    shared = SharedLedger(fresh_pg_url, "journal")
    shared.install()
    shared.close()
    runners = [Runner(Journal, settings, RabbitMQTransport(fresh_rabbitmq.url, heartbeat=1)) for _ in range(2)]
    threads = [threading.Thread(target=runner.run) for runner in runners]
    try:
        threads[0].start()
        assert runners[0].wait_for(RunState.CONSUMING, 60)
        threads[1].start()
        assert runners[1].wait_for(RunState.STANDBY, 60)
        assert not runners[1].wait_for(RunState.PAUSED, 2.5)
        publish(*(moved("a", number) for number in range(5)))
        wait_until(lambda: runners[0].ledger.held() == 4)
        runners[0].stop()
        assert runners[1].wait_for(RunState.CONSUMING, 60)
        assert runners[1].ledger.discard(Key("/stock", "a0"), decision("discard"))
        wait_until(lambda: LOG.of("a") == [1, 2, 3, 4])
    finally:
        for runner, thread in zip(runners, threads, strict=True):
            runner.stop()
            if thread.ident:
                thread.join(60)


def test_one_process(publish: Callable[..., None], start: Start, fresh_rabbitmq: Broker, tmp_path: Path) -> None:
    """A second process of an ordered adaptor, with a ledger of its own by mistake, gets nothing of the queue."""
    start()
    settings = Settings(broker=BrokerSettings(url=SecretStr(fresh_rabbitmq.url)), folder=tmp_path / "other")
    settings.folder.mkdir()
    second = Runner(Journal, settings, RabbitMQTransport(fresh_rabbitmq.url, heartbeat=1))
    thread = threading.Thread(target=second.run)
    thread.start()
    try:
        assert second.wait_for(RunState.STANDBY, 60)
        publish(*(moved("a", number) for number in range(20)))
        wait_until(lambda: LOG.of("a") == list(range(20)))
        assert second.ledger.counts() == {}
    finally:
        second.stop()
        thread.join(60)
