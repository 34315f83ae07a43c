"""Playing the story: three adaptors in this process, three legacy systems in processes of their own."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapter_sdk import Adaptor, ConfigError
from adapter_sdk.envelopes import Limits, open_envelope
from adapter_sdk.errors import BrokerError
from adapter_sdk.ledger.base import Entry, State
from adapter_sdk.runner import Runner, RunState
from adapter_sdk.settings import load_settings
from adapter_sdk.telemetry.logs import configure_logs
from adapter_sdk.transport.base import Binding, Delivery, Exchange, Queue, Topology, Transport
from adapter_sdk.transport.connect import transport_for
from samples.shop.demo.story import EXCHANGE, Chapter, chapters
from samples.shop.demo.systems import LegacySystems
from samples.shop.erp_adaptor import ErpAdaptor
from samples.shop.stock_adaptor import StockAdaptor
from samples.shop.warehouse_adaptor import WarehouseAdaptor

_MARK = "this-folder-belongs-to-adaptor-demo"
_SHOP = Path(__file__).parent.parent
# Seconds: how long the adaptors have to start, and all orders to end.
_START, _END = 30.0, 60.0
_REPLIES = Queue("shop.replies")


@dataclass
class Result:
    """What happened, as the legacy systems and the ledgers tell it."""

    broker: str
    folder: Path
    seconds: float
    chapters: list[Chapter]
    replies: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    reservations: dict[str, list[tuple[str, int]]]
    picks: list[dict[str, Any]]
    entries: dict[str, list[Entry]]
    """All rows of each adaptor's ledger."""
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)


def play(folder: Path, *, quiet: bool) -> Result:
    """Run the whole demo in `folder`. Raises ConfigError or BrokerError if it cannot be run."""
    _empty(folder)
    started = time.monotonic()
    url = os.environ.get("ADAPTOR_BROKER_URL", "memory://demo")
    tell: Callable[[str], None] = (lambda _: None) if quiet else (lambda line: print(f"... {line}", flush=True))  # noqa: T201
    with ExitStack() as stack:
        log = stack.enter_context((folder / "adaptors.log").open("w", encoding="utf-8"))
        configure_logs("info", "json", log)
        tell("starting an ERP, a warehouse and a stock database")
        systems = stack.enter_context(LegacySystems(folder))
        shop = stack.enter_context(_shop(url))
        tell(f"starting three adaptors on {shop.transport.name}")
        runners = stack.enter_context(_adaptors(url, folder, systems))
        _tell_story(shop, runners, systems, tell)
        tell("waiting until every order has come to its end")
        _wait_for_the_end(runners, systems, shop)
        entries = {runner.adaptor.name: runner.ledger.find(list(State), 1000) for runner in runners}
        result = Result(
            broker=shop.transport.name,
            folder=folder,
            seconds=0.0,
            chapters=chapters(),
            replies=[_reply(delivery) for delivery in shop.received],
            orders=systems.erp_orders(),
            reservations=systems.reservations(),
            picks=systems.picks(),
            entries=entries,
        )
    result.seconds = time.monotonic() - started
    _judge(result)
    return result


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise ConfigError(f"{folder} is not empty and was not made by the demo; give another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _MARK).touch()


@dataclass
class _Shop:
    """The shop itself: it publishes orders and collects the replies."""

    transport: Transport
    received: list[Delivery] = field(default_factory=list)

    def send(self, chapter: Chapter) -> None:
        """Publish one message, confirmed."""
        self.transport.publish([chapter.message])

    def on_replies(self, deliveries: list[Delivery]) -> None:
        """Keep and acknowledge what came back."""
        self.received += deliveries
        self.transport.ack(deliveries)


@contextmanager
def _shop(url: str) -> Iterator[_Shop]:
    shop = _Shop(transport_for(url, connection_name="shop"))
    shop.transport.open()
    try:
        keys = ("com.erp.#", "com.stock.#", "com.warehouse.#")
        bindings = [Binding(EXCHANGE, _REPLIES.name, key) for key in keys]
        shop.transport.declare(Topology([Exchange(EXCHANGE)], [_REPLIES], bindings))
        shop.transport.consume(_REPLIES.name, prefetch=100, on_deliveries=shop.on_replies, on_lost=lambda _: None)
        yield shop
    finally:
        shop.transport.close()


@contextmanager
def _adaptors(url: str, folder: Path, systems: LegacySystems) -> Iterator[list[Runner]]:
    """The three adaptors, each as `adaptor run` would run it, in a thread of this process."""
    common = {"ADAPTOR_BROKER_URL": url, "ADAPTOR_RETRY_DELAYS": "[1, 2, 5]"}
    runners = [
        _runner(ErpAdaptor, "erp", folder, {**common, "ADAPTOR_SOAP_ENDPOINT": systems.erp_url}),
        _runner(StockAdaptor, "stock", folder, {**common, "ADAPTOR_SQL_URL": f"sqlite:///{systems.stock_db}"}),
        _runner(WarehouseAdaptor, "warehouse", folder, {**common, **_files(systems)}),
    ]
    runners[1].ledger.install()  # type: ignore[attr-defined]  # as `adaptor sql install` does
    threads = [threading.Thread(target=runner.run, name=runner.adaptor.name) for runner in runners]
    for thread in threads:
        thread.start()
    try:
        for runner in runners:
            if not runner.wait_for(RunState.CONSUMING, _START):
                raise BrokerError(f"the adaptor {runner.adaptor.name} did not start: {runner.trouble or 'see the log'}")
        yield runners
    finally:
        for runner in runners:
            runner.stop()
        for thread in threads:
            thread.join()


def _files(systems: LegacySystems) -> dict[str, str]:
    """The warehouse's folders; a short rest is enough for files that are renamed into theirs."""
    return {
        "ADAPTOR_FILES_DROP": str(systems.warehouse_in),
        "ADAPTOR_FILES_ANSWERS": str(systems.warehouse_out),
        "ADAPTOR_FILES_STABLE": "0.2",
        "ADAPTOR_RUNNER_ANSWERS_EVERY": "0.2",
    }


def _runner(adaptor: type[Adaptor], name: str, folder: Path, environ: dict[str, str]) -> Runner:
    environ |= {"ADAPTOR_LEDGER_PATH": str(folder / f"{name}.ledger")}
    settings = load_settings(adaptor, _SHOP / f"{name}.toml", environ)
    return Runner(adaptor, settings, transport_for(environ["ADAPTOR_BROKER_URL"], connection_name=name))


def _tell_story(shop: _Shop, runners: Sequence[Runner], systems: LegacySystems, tell: Callable[[str], None]) -> None:
    erp, _, warehouse = runners
    for chapter in chapters():
        if chapter.scene == "erp-down":
            _wait(lambda: _booked(systems, chapters()[:7]))
            tell("the ERP goes down")
            systems.stop_erp()
            shop.send(chapter)
            erp.wait_for(RunState.PAUSED, 10.0)
            tell(f"the ERP's adaptor is {erp.state}; the ERP comes back")
            systems.start_erp()
            erp.wait_for(RunState.CONSUMING, _START)
            _wait(lambda: _booked(systems, chapters()[:8]))
        elif chapter.scene == "answer-lost":
            tell("the ERP books an order and its answer is lost")
            systems.lose_next_answer(True)
            shop.send(chapter)
            _wait(lambda: _booked(systems, chapters()[:9]))
            systems.lose_next_answer(False)
        elif chapter.scene == "answer-later":
            tell(f"order {chapter.order_id}: {chapter.what}")
            shop.send(chapter)
            _tell_of_an_answer(warehouse, chapter.order_id, tell)
        else:
            tell(f"order {chapter.order_id or '????'}: {chapter.what}")
            shop.send(chapter)


def _tell_of_an_answer(warehouse: Runner, order_id: str, tell: Callable[[str], None]) -> None:
    def owed() -> bool:
        return any(owed.key == order_id for owed in warehouse.ledger.owed(100))

    _wait(owed)
    tell("the warehouse has the pick list: the event is applied, and its reply is owed")
    _wait(lambda: not owed())
    tell("the warehouse has left a file with its answer: the reply is out")


def _booked(systems: LegacySystems, story: Sequence[Chapter]) -> bool:
    """Whether the ERP has every order of these chapters that it is to have."""
    wanted = {chapter.order_id for chapter in story if chapter.booked}
    return wanted <= {order["order_no"] for order in systems.erp_orders()}


def _wait_for_the_end(runners: Sequence[Runner], systems: LegacySystems, shop: _Shop) -> None:
    final = {State.APPLIED, State.DEAD}  # a doubt is not the end here: `verify` settles it
    story = chapters()
    events = {chapter.event_id for chapter in story if chapter.order_id}
    picks = len({chapter.order_id for chapter in story if chapter.reserved})

    def ended() -> bool:
        counts = [runner.ledger.counts() for runner in runners]
        return (
            all(set(of_one) <= final for of_one in counts)
            and all(runner.ledger.lookup(event) for runner in runners[:2] for event in events)
            and len(systems.picks()) >= picks
            and not runners[2].ledger.owed(1)
            and len(shop.received) >= sum(of_one.get(State.APPLIED, 0) for of_one in counts)
        )

    _wait(ended)


def _wait(condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds; what has not come by then is reported as lost, not waited for."""
    deadline = time.monotonic() + _END
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _reply(delivery: Delivery) -> dict[str, Any]:
    opened = open_envelope(delivery.message, Limits())
    said = {"id": opened.id, "type": opened.type, "data": opened.data, **dict(opened.extensions)}
    return said | {"time": opened.time.isoformat() if opened.time else None}


def _confirmed(result: Result, order_id: str) -> int:
    """How many different replies say that the warehouse has picked the order."""
    confirmations = (reply for reply in result.replies if reply["type"] == "com.warehouse.pick.confirmed")
    return len({reply["id"] for reply in confirmations if reply["data"]["order_id"] == order_id})


def _judge(result: Result) -> None:
    """Count the effects in the legacy systems themselves, not in the ledgers."""
    wanted = {chapter.order_id: chapter for chapter in result.chapters if chapter.order_id}
    for order_id, chapter in wanted.items():
        done = {
            "ERP": (sum(order["order_no"] == order_id for order in result.orders), chapter.booked),
            "stock": (len(result.reservations.get(order_id, [])), int(chapter.reserved)),
            "warehouse": (sum(pick["order_id"] == order_id for pick in result.picks), int(chapter.reserved)),
            "the warehouse's answer": (_confirmed(result, order_id), int(chapter.reserved)),
        }
        for system, (found, expected) in done.items():
            if found < expected:
                result.lost.append(f"{system}: order {order_id}")
            if found > expected:
                result.twice.append(f"{system}: order {order_id}")
