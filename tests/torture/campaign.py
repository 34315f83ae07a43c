"""One family's torture: its script played to the end, faults in the middle of work, and then time to finish."""

import os
import random
import signal
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit

import sqlalchemy

from adapter_sdk.errors import AdaptorError, BrokerError
from adapter_sdk.topology import RESEND_DELAY
from tests.services.rabbitmq import Node
from tests.services.supervised import StartFailed
from tests.torture.backends import Backend
from tests.torture.inject import SYSTEM_CALLS, Tracers
from tests.torture.processes import Crew, command_for
from tests.torture.proxy import Proxy
from tests.torture.script import Fault, Planned, Step, Strike
from tests.torture.traffic import REPLIES, Producer, Replies

DELAYS = (0.5, 0.5, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0)
"""Seconds between attempts; kills use attempts up as failures do, so there are many."""
HEARTBEAT = 2  # seconds
_WINDOW = 300  # events on their way at most, so that faults are spread over the work


class BrokerState:
    """The broker that all families share, and since when it has been up."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.port = urlsplit(node.broker.url).port or 0
        self.up = threading.Event()
        self.up.set()
        self.since = time.monotonic()
        self.restarts = 0

    def restart(self, kill: bool) -> None:
        """Down and up again: killed, or stopped in good order."""
        self.up.clear()
        try:
            if kill:
                self.node.kill()
                self.node.start()
            else:
                self.node.restart()
        finally:
            self.since = time.monotonic()
            self.restarts += 1
            self.up.set()


@dataclass(slots=True)
class Row:
    """What the adaptor's ledger says of an event at the end."""

    state: str
    reason: str | None
    due: bool
    unsent: bool
    attempts: int

    @property
    def final(self) -> bool:
        """Whether nothing more is to come, but for what a person decides."""
        return self.state in ("applied", "dead") or (self.state == "in doubt" and not self.due)


@dataclass(slots=True)
class Evidence:
    """All that was seen of one family. More seconds of silence than are allowed break the promise to go on."""

    silence_allowed: float = 30.0
    accepted: dict[str, Planned] = field(default_factory=dict)
    sent: int = 0
    struck: dict[Fault, int] = field(default_factory=dict)
    silence: float = 0.0
    seconds: float = 0.0
    trouble: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    replies: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    unreadable: int = 0
    tries: dict[str, int] = field(default_factory=dict)
    left_on_broker: int = 0
    own_ends: list[int] = field(default_factory=list)
    largest: int = 0


class Campaign:
    """Plays `script` against one backend. `run` is to be called on a thread of its own; `evidence` is the result."""

    def __init__(
        self,
        backend: Backend,
        script: Sequence[Step],
        broker: BrokerState,
        replies: Replies,
        *,
        broken: str | None,
        inject: random.Random | None,
        deadline: float,
        patience: float,
        silence: float,
    ) -> None:
        self.family = backend.family
        self.evidence = Evidence(silence_allowed=silence)
        self.failure: Exception | None = None
        """Why there is no whole evidence: the torture itself failed, or the adaptors never started."""
        self.progress = 0.0
        """How much of the script has been played, from 0 to 1."""
        self._backend = backend
        self._script = script
        self._broker = broker
        self._replies = replies
        self._broken = broken
        self._inject = inject
        self._deadline = deadline
        self._patience = patience
        self._answerable = 0
        self._answered_before = 0
        self._doubts = 0
        self._doubts_counted = 0.0
        self._excused_until = 0.0
        self._binding: threading.Timer | None = None
        self._tracers: Tracers | None = None

    def run(self) -> None:
        """From the start of the backend to the evidence. What ends it before is in `failure`."""
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - a thread's exception would be nobody's
            self.failure = error

    def _run(self) -> None:
        started = time.monotonic()
        self._proxy = Proxy(self._broker.port)
        self._producer = Producer(self._broker.node.broker.url)
        try:
            self._set_out()
            try:
                for number, step in enumerate(self._script, 1):
                    self._recover()
                    self._send(step.events)
                    if step.strike is not None:
                        self._strike(step.strike)
                    self.progress = number / len(self._script)
            except TimeoutError as error:
                self.evidence.trouble.append(f"not finished in time: {error}")
            self.progress = 1.0
            self._finish()
        finally:
            self.progress = 1.0
            self.evidence.seconds = time.monotonic() - started
            if hasattr(self, "_crew"):
                self._crew.kill()
            self._producer.close()
            self._proxy.close()
            self._backend.stop()

    # --- the beginning ---

    def _set_out(self) -> None:
        folder = self._backend.folder
        self._tries = folder / "tries"
        self._tries.mkdir(parents=True)
        self._clock = folder / "clock"
        self._clock.write_bytes(struct.pack("d", 0.0))
        url = self._broker.node.broker.url.replace(f":{self._broker.port}/", f":{self._proxy.port}/")
        own = {name: value for name, value in os.environ.items() if not name.startswith("ADAPTOR_")}
        environment = {
            **own,
            "PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent / 'clock'}",
            "TORTURE_CLOCK": str(self._clock),
            "TORTURE_TRIES": str(self._tries),
            "ADAPTOR_BROKER_URL": url,
            "ADAPTOR_BROKER_HEARTBEAT": str(HEARTBEAT),
            "ADAPTOR_BROKER_PREFETCH": "100",
            "ADAPTOR_RETRY_DELAYS": str(list(DELAYS)),
            "ADAPTOR_RETRY_IMMEDIATE": "0",
            "ADAPTOR_LOG_LEVEL": "warning",
            **self._backend.start(),
        }
        command = command_for(self._backend.app, self._broken)
        self._crew = Crew(self._backend.processes, command, environment, folder)
        if self._inject is not None:
            self._tracers = Tracers(self._crew.processes, SYSTEM_CALLS[self.family], self._inject)
        self._ledger = sqlalchemy.create_engine(self._backend.ledger_url)
        self._backend.install(environment)
        self._crew.start()
        self._wait(self._declared, 120.0, f"the adaptors of {self.family} did not start")

    def _declared(self) -> bool:
        ended = [process.status for process in self._crew.processes if process.status is not None]
        if ended:
            raise StartFailed(
                f"an adaptor of {self.family} ended with {ended[0]}; its log is in {self._backend.folder}"
            )
        return f"{self.family}.dead" in self._queues()

    def _queues(self) -> list[str]:
        """The adaptor's queues on the broker; none while the broker is down."""
        with suppress(URLError, OSError):
            listed = self._broker.node.broker.api("GET", "queues/%2F?columns=name")
            names = [str(queue["name"]) for queue in listed]
            return [name for name in names if name.startswith(f"{self.family}.") or name == self.family]
        return []

    def _left(self) -> int:
        """Messages on the adaptor's queues that are not in anybody's hands. Raises AdaptorError."""
        queues = [name for name in self._queues() if not name.endswith(".exclusive")]
        if not queues:
            raise BrokerError("the broker does not list the queues")
        return self._producer.depth(queues)

    # --- the middle ---

    def _send(self, events: Sequence[Planned]) -> None:
        for start in range(0, len(events), 50):
            self._wait_while_working(lambda: self._waiting() < _WINDOW)
            batch = events[start : start + 50]
            self._producer.send([self._backend.message(event) for event in batch], self._deadline)
            self.evidence.sent += len(batch)
            for event in batch:
                if event.id not in self.evidence.accepted:
                    self.evidence.accepted[event.id] = event
                    self._answerable += not event.kind.dies

    def _waiting(self) -> int:
        """Events that are on their way to a reply: not those whose doubt is left to a person, who is nobody here."""
        if time.monotonic() > self._doubts_counted + 1.0:
            self._doubts = self._settled_doubts()
            self._doubts_counted = time.monotonic()
        return self._answerable - len(self._replies.of[self.family]) - self._doubts

    def _settled_doubts(self) -> int:
        asked = "SELECT COUNT(*) FROM adaptor_ledger WHERE state = 'in doubt' AND due_at IS NULL"
        with self._ledger.connect() as connection:
            return int(connection.execute(sqlalchemy.text(asked)).scalar_one())

    def _recover(self) -> None:
        """Wait until work goes on after the last fault, so that the next one hits work and not its absence."""
        before = self._answered_before
        self._wait_while_working(lambda: len(self._replies.of[self.family]) > before or self._waiting() <= 0)

    def _strike(self, strike: Strike) -> None:
        time.sleep(strike.pause)
        self._crew.start()
        match strike.fault:
            case Fault.KILL:
                self._crew.pick(strike.aim).kill()
            case Fault.STOP:
                self._crew.pick(strike.aim).stop(strike.seconds)
            case Fault.CUT:
                self._proxy.cut()
            case Fault.HALF_OPEN:
                self._proxy.go_dead()
            case Fault.CLOCK:
                self._set_clock(strike.seconds)
            case Fault.UNBIND:
                self._unbind(strike.seconds)
        self._answered_before = len(self._replies.of[self.family])
        self.evidence.struck[strike.fault] = self.evidence.struck.get(strike.fault, 0) + 1

    def _set_clock(self, off: float) -> None:
        with self._clock.open("r+b") as clock:
            clock.write(struct.pack("d", off))

    def _unbind(self, seconds: float) -> None:
        """No queue wants the replies until `seconds` have passed, while work goes on."""
        kind = f"torture.{self.family}.done"
        # What is not wanted now comes up again after a while, and nobody can expect it sooner.
        self._excused_until = time.monotonic() + seconds + RESEND_DELAY
        with suppress(URLError, OSError):  # the broker may be down: then nothing is unbound
            self._broker.node.broker.api("DELETE", f"bindings/%2F/e/events/q/{REPLIES}/{kind}")
        self._binding = threading.Timer(seconds, self._replies.bind)
        self._binding.start()

    def _wait_while_working(self, done: Callable[[], bool]) -> None:
        """Wait until `done`. Raises TimeoutError when nothing is heard for longer than is promised."""
        began = time.monotonic()
        while not done():
            if self._tracers is not None:
                self._crew.start()
                self._tracers.attach(len(self._replies.of[self.family]))
            now = time.monotonic()
            if not self._broker.up.is_set():
                began = now
            heard = self._replies.last.get(self.family, 0.0)
            silence = now - max(began, self._broker.since, self._excused_until, heard)
            self.evidence.silence = max(self.evidence.silence, silence)
            if silence > min(self.evidence.silence_allowed, self._patience) or now > self._deadline:
                raise TimeoutError(f"{self._waiting()} events wait, and nothing was heard for {silence:.0f} s")
            time.sleep(0.01)

    # --- the end ---

    def _finish(self) -> None:
        self._broker.up.wait(60)
        if self._binding is not None:
            self._binding.join()
        try:
            self._wait(self._all_over, self._patience, "the work did not come to an end")
        except TimeoutError as error:
            self.evidence.trouble.append(str(error))
        if self._tracers is not None:
            self._tracers.end()
        self._crew.end()
        evidence = self.evidence
        try:
            evidence.left_on_broker = self._left()
        except AdaptorError as error:
            evidence.trouble.append(f"the queues cannot be looked at: {error}")
        evidence.rows, evidence.unreadable = self._rows()
        evidence.replies = {event: dict(ids) for event, ids in self._replies.of[self.family].items()}
        try:
            evidence.done = self._backend.done()
            evidence.trouble += self._backend.faults()
        except TimeoutError as error:
            evidence.trouble.append(f"the backend does not come to rest: {error}")
        evidence.tries = {file.name: file.stat().st_size for file in self._tries.iterdir()}
        evidence.own_ends = [status for process in self._crew.processes for status in process.own_ends]
        if self._inject is not None:
            evidence.struck[Fault.KILL] = evidence.own_ends.count(-signal.SIGKILL)
            evidence.own_ends = [status for status in evidence.own_ends if status != -signal.SIGKILL]
        evidence.largest = max(process.largest for process in self._crew.processes)

    def _all_over(self) -> bool:
        """Whether every event has come to an end, every reply has arrived, and nothing waits on the broker."""
        self._crew.start()
        if time.monotonic() - self._replies.last.get(self.family, 0.0) < 0.5:
            return False
        rows, unreadable = self._rows()
        over = all(row.final for row in rows.values())
        if not over or any(row.unsent for row in rows.values()):
            return False
        answered = sum(row.state == "applied" for row in rows.values())
        try:
            return (
                len(rows) + unreadable >= len(self.evidence.accepted)
                and len(self._replies.of[self.family]) >= answered
                and self._left() == 0
            )
        except AdaptorError:
            return False

    def _rows(self) -> tuple[dict[str, Row], int]:
        """The ledger by event id, and how many of its dead letters could not be read."""
        asked = "SELECT source, id, state, reason, due_at, unsent, attempts FROM adaptor_ledger"
        with self._ledger.connect() as connection:
            found = connection.execute(sqlalchemy.text(asked)).all()
        rows = {
            row.id: Row(row.state, row.reason, row.due_at is not None, bool(row.unsent), row.attempts)
            for row in found
            if row.source
        }
        return rows, sum(not row.source for row in found)

    def _wait(self, condition: Callable[[], bool], patience: float, what: str) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} within {patience:g} s")
            time.sleep(0.25)
