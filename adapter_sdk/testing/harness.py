"""AdaptorHarness: an adaptor with its real pipeline, ledger and runner, on an embedded broker of its own."""

import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.envelopes import Limits, open_envelope, write_structured
from adapter_sdk.events import Event, EventData
from adapter_sdk.ledger.base import Entry, Ledger, State
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.ordering import declared_order
from adapter_sdk.runner import Runner, RunState
from adapter_sdk.settings import PREFIX, Settings, load_settings
from adapter_sdk.topology import plan
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Message, Queue, Topology
from adapter_sdk.transport.memory import MemoryBroker, MemoryTransport

# Three attempts within a moment, where production waits minutes. A policy on a handler stays as it is.
_QUICK_RETRIES: Mapping[str, Any] = {"pause": 0, "delays": [0.05, 0.05]}
_REPLIES = "replies"

Sections = Mapping[str, Mapping[str, Any]]
"""Settings as they stand in `adaptor.toml`: `{"sql": {"url": "sqlite:///stock.db"}}`."""


class AdaptorHarness:
    """Runs `adaptor` as `adaptor run` would, for the length of a `with` block.

    `sections` are its settings, over those of the file `config` if one is given; variables `ADAPTOR_...` are not read.
    The broker is embedded and empty, a local ledger is in a temporary folder, and one inside a database is installed.
    Events that fail are tried three times within a moment unless `sections` says otherwise. Replies of every type that
    a handler declares are collected. Without `config`, relative paths in the settings are taken from `folder`.

    Entering raises what keeps the adaptor from consuming: ConfigError, BackendUnavailable or LedgerError.
    """

    settings: Settings
    folder: Path

    def __init__(self, adaptor: type[Adaptor], sections: Sections | None = None, *, config: Path | None = None) -> None:
        self.broker = _Broker(adaptor.name)
        self._adaptor = adaptor
        self._sections = sections or {}
        self._config = config
        self._runner: Runner | None = None
        self._thread = threading.Thread(target=self._run, name=f"{adaptor.name}-harness", daemon=True)
        self._ended_by: BaseException | None = None
        self._transport = MemoryTransport(self.broker)
        self._collected: list[Message] = []

    def __enter__(self) -> Self:
        self._temporary = tempfile.TemporaryDirectory(prefix="adaptor-harness-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        try:
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()
        if self._ended_by is not None and error is None:
            raise self._ended_by

    @property
    def ledger(self) -> Ledger:
        """The ledger of the running adaptor."""
        return self._running().ledger

    def publish(self, *events: Event[EventData] | Message) -> None:
        """Publish events in order, each as CloudEvents JSON; a Message goes as it is, by its own exchange and key.

        Raises AssertionError if the broker has no queue for one: no handler of the adaptor takes that type.
        """
        exchange = self.settings.broker.exchange
        messages = [item if isinstance(item, Message) else write_structured(item, exchange) for item in events]
        for message, confirm in zip(messages, self._transport.publish(messages), strict=True):
            where = f"exchange {message.exchange!r}, routing key {message.routing_key!r}"
            assert confirm is Confirm.CONFIRMED, f"{where}: {confirm.value}; the adaptor takes {self._taken_types()}"

    def replies(self, count: int = 0, timeout: float = 30.0) -> list[Event[Any]]:
        """All replies so far, in order, once there are at least `count`. AssertionError if `timeout` seconds pass."""
        self._wait(lambda: len(self._collected) >= count, timeout, f"{count} replies")
        return [self._typed(message) for message in self._collected]

    def entry(self, event: Event[EventData]) -> Entry | None:
        """What the ledger knows of an event."""
        return self.ledger.get(event.key)

    def wait_for(self, event: Event[EventData], state: State, timeout: float = 30.0) -> Entry:
        """Wait until the ledger has an event in this state: its entry. AssertionError after `timeout` seconds."""
        found: list[Entry] = []

        def there() -> bool:
            entry = self.entry(event)
            if entry is not None and entry.state is state:
                found.append(entry)
            return bool(found)

        self._wait(there, timeout, f"{event.id} {state}")
        return found[0]

    def wait_until_settled(self, timeout: float = 30.0) -> None:
        """Wait until all that was published has ended: applied, dead letter, in doubt for a person, or passed over.

        An event that waits for another attempt has not ended; one of an ordered adaptor that is held behind another has
        when that one waits for a person. AssertionError, saying what is left, after `timeout` seconds.
        """
        queues = [queue.name for queue in self._topology.queues if not queue.name.endswith(".dead")]

        def settled() -> bool:
            # In the order in which things move on: from the queues into the ledger, and out of it as replies.
            return not (self.broker.held_in(queues) or self._in_line() or self.broker.held_in([_REPLIES]))

        self._wait(settled, timeout, "all settled")

    def _in_line(self) -> bool:
        """Whether the ledger itself has something to give out, or something of what it gave out to publish."""
        adaptor, ledger = self._adaptor, self.ledger
        gathers = adaptor._gathering is not None
        if declared_order(adaptor) is None and not gathers:
            return False
        return bool(ledger.next_in_line(gathers or adaptor.on_dead == "continue", 1) or ledger.unsent(math.inf, 1))

    def _load(self) -> Settings:
        own: Sections = {
            "broker": {"url": f"memory://{self._adaptor.name}"},
            "ledger": {"path": self.folder / "harness.ledger"},
        }
        environ = as_environment({"retry": _QUICK_RETRIES}, self._sections, own)
        empty = self.folder / "adaptor.toml"
        empty.touch()
        return load_settings(self._adaptor, self._config or empty, environ)

    def _start(self) -> None:
        self.settings = self._load()
        self._topology = plan(self._adaptor, self.settings)
        self._runner = Runner(self._adaptor, self.settings, MemoryTransport(self.broker))
        ledger = self._runner.ledger
        if isinstance(ledger, SqlLedger) and not ledger.database.may_create:
            ledger.install()
        self._transport.open()
        self._transport.declare(self._with_replies())
        self._transport.consume(_REPLIES, prefetch=1000, on_deliveries=self._collect, on_lost=lambda _: None)
        self._thread.start()
        self._wait(self._consumes, 30.0, "the adaptor consuming")

    def _with_replies(self) -> Topology:
        """The adaptor's topology, and a queue for every reply type that its handlers declare."""
        kinds = {reply.event_type or "" for spec in self._adaptor._handlers.values() for reply in spec.all_replies}
        bindings = [Binding(self.settings.broker.exchange, _REPLIES, kind) for kind in sorted(kinds)]
        return Topology(
            exchanges=self._topology.exchanges,
            queues=[*self._topology.queues, Queue(_REPLIES)],
            bindings=[*self._topology.bindings, *bindings],
        )

    def _consumes(self) -> bool:
        runner = self._running()
        if runner.state is RunState.PAUSED and runner.trouble is not None:
            raise runner.trouble
        return runner.state is RunState.CONSUMING

    def _run(self) -> None:
        try:
            self._running().run()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the test waits
            self._ended_by = error

    def _collect(self, deliveries: list[Delivery]) -> None:
        self._collected += [delivery.message for delivery in deliveries]
        self._transport.ack(deliveries)

    def _typed(self, message: Message) -> Event[Any]:
        opened = open_envelope(message, Limits())
        kinds = (reply for spec in self._adaptor._handlers.values() for reply in spec.all_replies)
        return opened.validate(next(kind for kind in kinds if kind.event_type == opened.type))

    def _wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if self._ended_by is not None:
                raise self._ended_by
            assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}; {self._standing()}"
            time.sleep(0.005)

    def _standing(self) -> str:
        """How things are, for an AssertionError."""
        runner = self._running()
        queues = {queue.name: self.broker.held_in([queue.name]) for queue in self._topology.queues}
        held = ", ".join(f"{count} in {name}" for name, count in queues.items() if count) or "all queues are empty"
        trouble = f" ({type(runner.trouble).__name__}: {runner.trouble})" if runner.trouble else ""
        return f"{len(self._collected)} replies so far, {held}, the adaptor is {runner.state}{trouble}"

    def _taken_types(self) -> str:
        return ", ".join(sorted(self._adaptor._handlers))

    def _running(self) -> Runner:
        if self._runner is None:
            raise RuntimeError("the harness runs inside its `with` block only")
        return self._runner

    def _close(self) -> None:
        if self._runner is not None:
            self._runner.stop()
        if self._thread.ident is not None:
            self._thread.join(self.settings.runner.drain_timeout + 5)
        self._transport.close()
        self._temporary.cleanup()


class _Broker(MemoryBroker):
    """An embedded broker that can be asked whether anything is left to do."""

    def held_in(self, queues: Iterable[str]) -> int:
        """Messages ready in these queues, or given out from them and not settled."""
        names = set(queues)
        with self._lock:
            ready = sum(len(queue) for name, queue in self._queues.items() if name in names)
            return ready + sum(held.queue.name in names for session in self._sessions for held in session.held)


def as_environment(*layers: Sections) -> dict[str, str]:
    """The environment with these settings in place of all variables `ADAPTOR_...`; a later layer wins.

    What is not text goes into its variable as JSON.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    for layer in layers:
        for section, values in layer.items():
            for key, value in values.items():
                text = str(value) if isinstance(value, str | Path) else json.dumps(value, default=str)
                environ[f"{PREFIX}{section}_{key}".upper()] = text
    return environ
