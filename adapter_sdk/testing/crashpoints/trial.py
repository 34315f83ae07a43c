"""One trial: publish events, let the adaptor die where it is told, start it again, and gather what came of it."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.envelopes import write_structured
from adapter_sdk.events import Event, EventData, Key
from adapter_sdk.family import Family
from adapter_sdk.ledger.base import Entry, Ledger, State, to_send
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.ordering import declared_order
from adapter_sdk.runner import ledger_of
from adapter_sdk.settings import Settings, load_settings
from adapter_sdk.testing.crashpoints.process import AdaptorProcess
from adapter_sdk.testing.harness import Sections, as_environment
from adapter_sdk.topology import plan
from adapter_sdk.transport.base import Binding, Confirm, Delivery, Message, Queue, Topology
from adapter_sdk.transport.rabbitmq import RabbitMQTransport

# One worker, so that a crash point is one moment; short delays, held by the broker as the long ones are.
_QUICK: Sections = {
    "runner": {"concurrency": 1},
    "retry": {"immediate": 0, "pause": 0, "delays": [0.1] * 6},
}
_MORE_DEATHS = 2


class NotAsTold(AssertionError):
    """The trial itself failed: the process did not die where it was to, or the events did not come to an end."""


@dataclass(frozen=True, slots=True)
class BackendUnderTest:
    """A backend with nothing done yet, and what is to be done to it.

    `settings` are those of the adaptor, as in `adaptor.toml`. `events` are fresh, so that none is a duplicate, and each
    is one that the adaptor applies. `effects` asks the backend itself, never the toolkit, how often the effect of each
    event id has happened; ids without one may be missing. For an adaptor with `ordered_by` it gives the ids instead,
    one for each effect, in the order in which they happened; of the events some have to share an order key then.
    """

    settings: Sections
    events: Sequence[Event[Any]]
    effects: Callable[[], Mapping[str, int] | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Crash:
    """Where and when the adaptor dies.

    `times`: when it comes to the point for that time. `redelivered`: it has died once before, with the claims made.
    `fails_first`: the first attempt of every event fails, so that the broker holds a copy of it. `unreadable_data`: one
    more event is published, that becomes a dead letter.
    """

    point: str
    times: int = 1
    redelivered: bool = False
    fails_first: bool = False
    unreadable_data: bool = False

    def __str__(self) -> str:
        more = [name for name in ("redelivered", "fails_first", "unreadable_data") if getattr(self, name)]
        if self.times > 1:
            more.append(f"time {self.times}")
        return f"killed at {self.point!r}" + (f" ({', '.join(more).replace('_', ' ')})" if more else "")


@dataclass(frozen=True, slots=True)
class Findings:
    """What there is when all has come to rest. `replies` are the messages that came out, by the event they answer.

    `sequence` has the ids of the effects in the order in which they happened, where the backend tells it. `left` is
    what still lies in the adaptor's queues, by queue. `strays` are dead letters that stand for none of the events and
    yet came of them.
    """

    crash: Crash
    events: Sequence[Event[Any]]
    doomed: Key | None
    entries: Mapping[Key, Entry]
    effects: Mapping[str, int]
    replies: Mapping[str, Sequence[Message]]
    left: Mapping[str, int]
    strays: Sequence[Key] = ()
    sequence: Sequence[str] = ()


class Broker:
    """The test's own connection: publishes events, and collects the replies of one adaptor."""

    def __init__(self, url: str, adaptor: type[Adaptor], exchange: str) -> None:
        self.url = url
        self.transport = RabbitMQTransport(url, connection_name="crash points")
        self._adaptor = adaptor
        self._exchange = exchange
        self._queue = f"{adaptor.name}.crash-point-replies"
        self._collected: list[Message] = []

    def open(self, topology: Topology) -> None:
        """Make the adaptor's queues, and one for its replies."""
        kinds = {reply.event_type or "" for spec in self._adaptor._handlers.values() for reply in spec.all_replies}
        self.transport.open()
        self.transport.declare(
            replace(
                topology,
                queues=[*topology.queues, Queue(self._queue)],
                bindings=[*topology.bindings, *(Binding(self._exchange, self._queue, kind) for kind in sorted(kinds))],
            )
        )
        self.transport.consume(self._queue, prefetch=1000, on_deliveries=self._collect, on_lost=lambda _: None)

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish, confirmed."""
        if any(confirm is not Confirm.CONFIRMED for confirm in self.transport.publish(messages)):
            raise NotAsTold(f"{self._adaptor.name} takes no events of this type: no queue is bound for one of them")

    def replies_to(self, id: str) -> list[Message]:
        """What has come out as an answer to the event of this id."""
        return [message for message in self._collected if json.loads(message.body).get("causationid") == id]

    def _collect(self, deliveries: list[Delivery]) -> None:
        self._collected += [delivery.message for delivery in deliveries]
        self.transport.ack(deliveries)


@dataclass(slots=True)
class Trial:
    """One adaptor against one backend, in `folder`, on the RabbitMQ at `url`.

    `patience` is how many seconds whatever must happen may take; long, because a test machine may be busy.
    """

    adaptor: type[Adaptor]
    backend: BackendUnderTest
    url: str
    folder: Path
    patience: float = 20.0
    settings: Settings = field(init=False)
    family: Family[Any] = field(init=False)

    def __post_init__(self) -> None:
        own: Sections = {"broker": {"url": self.url}, "ledger": {"path": self.folder / "crash-points.ledger"}}
        empty = self.folder / "adaptor.toml"
        empty.touch()
        self.settings = load_settings(self.adaptor, empty, as_environment(_QUICK, own, self.backend.settings))
        self.family = self.adaptor._family(self.settings.family)
        self.family.bind(self.adaptor())

    def run(self, crash: Crash) -> Findings:
        """Publish, die as told, start again, wait for the end. Raises NotAsTold if it does not come to that.

        Raises TypeError if the adaptor keeps an order and the backend does not tell any.
        """
        messages = [write_structured(event, self.settings.broker.exchange) for event in self.backend.events]
        doomed = _doomed(self.backend.events[0], messages[0]) if crash.unreadable_data else None
        keys = [event.key for event in self.backend.events] + ([doomed[0]] if doomed else [])
        with self._ledger() as ledger, self._broker() as broker:
            # The first event comes twice, as it does from a producer that has missed a confirm.
            broker.publish([*messages, messages[0], *([doomed[1]] if doomed else [])])
            self._die(crash)
            left = self._finish(crash, ledger, broker, keys)
            entries = {key: entry for key in keys if (entry := ledger.get(key)) is not None}
            strays = _strays(ledger, keys)
            replies = self._replies(broker, entries)
        effects = self.backend.effects()
        sequence = () if isinstance(effects, Mapping) else effects
        if isinstance(effects, Mapping) and declared_order(self.adaptor) is not None:
            raise TypeError(
                f"{self.adaptor.name} has ordered_by: `effects` has to give ids in the order of their effects"
            )
        return Findings(
            crash=crash,
            events=self.backend.events,
            doomed=doomed[0] if doomed else None,
            entries=entries,
            effects=Counter(effects),
            sequence=sequence,
            replies=replies,
            left=left,
            strays=strays,
        )

    def _die(self, crash: Crash) -> None:
        for point, times in (("claimed", 1), (crash.point, crash.times))[not crash.redelivered :]:
            process = self._start(crash, point, times)
            ended = process.wait(self.patience)
            if not process.died_as_told:
                said, ending = process.said(), process.ending()
                if not ended:
                    process.kill()
                raise NotAsTold(f"{crash}: the process was to die at {point!r} and {ending}. It said:\n{said[-3000:]}")

    def _finish(self, crash: Crash, ledger: Ledger, broker: Broker, keys: Sequence[Key]) -> Mapping[str, int]:
        """Run until all events have ended and nothing is left in the queues, or patience ends; what is left there.

        In a trial of redelivery it may die at the crash point some times more, whenever it comes there again.
        """
        deadline = time.monotonic() + self.patience
        deaths_left = _MORE_DEATHS if crash.redelivered else 0
        while True:
            process = self._start(crash, crash.point if deaths_left else None)
            while process.running and time.monotonic() < deadline and not self._at_rest(ledger, broker, keys):
                process.wait(0.02)
            if process.running:
                process.stop()
                # Only now is what was given out and not settled back in its queue.
                if not any((left := self._left(broker)).values()) or time.monotonic() > deadline:
                    return left
            elif not process.died_as_told:
                raise NotAsTold(f"{crash}: started again, the process {process.ending()}. It said:\n{process.said()}")
            deaths_left = max(0, deaths_left - 1)

    def _start(self, crash: Crash, point: str | None, times: int = 1) -> AdaptorProcess:
        log = self.folder / "adaptor.log"
        return AdaptorProcess(self.adaptor, self.settings, log, point, times, fails_first=crash.fails_first)

    def _at_rest(self, ledger: Ledger, broker: Broker, keys: Sequence[Key]) -> bool:
        entries = [ledger.get(key) for key in keys]
        return all(_at_rest(entry, entries) for entry in entries) and not any(self._left(broker).values())

    def _left(self, broker: Broker) -> dict[str, int]:
        return {queue.name: broker.transport.depth(queue.name) for queue in plan(self.adaptor, self.settings).queues}

    def _replies(self, broker: Broker, entries: Mapping[Key, Entry]) -> dict[str, list[Message]]:
        """The replies that came, once each that the ledger has is among them or a moment has passed."""
        wanted = {reply.id for entry in entries.values() for reply in to_send(entry.replies)}
        deadline = time.monotonic() + 2.0
        while True:
            found = {key.id: broker.replies_to(key.id) for key in entries}
            came = {message.message_id for messages in found.values() for message in messages}
            if wanted <= came or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        ledger = ledger_of(self.adaptor, self.family, self.settings)
        try:
            if isinstance(ledger, SqlLedger) and not ledger.database.may_create:
                ledger.install()
            ledger.open()
            yield ledger
        finally:
            ledger.close()
            self.family.close()

    @contextmanager
    def _broker(self) -> Iterator[Broker]:
        broker = Broker(self.url, self.adaptor, self.settings.broker.exchange)
        try:
            broker.open(plan(self.adaptor, self.settings))
            yield broker
        finally:
            broker.transport.close()


def _at_rest(entry: Entry | None, entries: Sequence[Entry | None]) -> bool:
    """Whether the ledger, where events have these entries, expects nothing more to happen to one of them by itself."""
    if entry is None or entry.unsent:
        return False
    if entry.state in (State.APPLIED, State.DEAD):
        return True
    return (entry.state is State.IN_DOUBT and entry.due_at is None) or waits_for_a_person(entry, entries)


def waits_for_a_person(entry: Entry, entries: Iterable[Entry | None]) -> bool:
    """Whether an event is held behind one of these that a person has to decide about."""
    return entry.state is State.HELD and any(
        other is not None
        and (other.place and other.place.order_key) == (entry.place and entry.place.order_key)
        and (other.state is State.DEAD or (other.state is State.IN_DOUBT and other.due_at is None))
        for other in entries
    )


def _strays(ledger: Ledger, keys: Sequence[Key]) -> list[Key]:
    """Dead letters that copies of these events have become: unreadable ones, or others of the same identity."""
    ids = {key.id for key in keys}
    dead = (entry.key for entry in ledger.find([State.DEAD], 1000))
    return [key for key in dead if key not in keys and (not key.source or key.id.partition("#")[0] in ids)]


def _doomed(event: Event[EventData], message: Message) -> tuple[Key, Message]:
    """An event like this one whose data no schema allows."""
    key = Key(event.source, f"{event.id}-doomed")
    body = json.dumps({**json.loads(message.body), "id": key.id, "data": "not an object"}).encode()
    return key, replace(message, body=body, message_id=key.id)
