"""A pipeline on a broker of two lists and a clock moved by hand, so that each step can be watched, failed or killed."""

import json
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from adapter_sdk import Adaptor, Event, EventData, RetryPolicy
from adapter_sdk.envelopes import write_structured
from adapter_sdk.family import Claim, Family, Outcome
from adapter_sdk.ledger.base import ClaimRequest, Entry, Journal, Record, Verdict
from adapter_sdk.ledger.database import Rows
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.pipeline import Pipeline, Settlement
from adapter_sdk.topology import retry_queue
from adapter_sdk.transport.base import Confirm, Delivery, Message


@contextmanager
def no_logs() -> Iterator[None]:
    """Thousands of events in a moment are too many lines to write."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


class Killed(BaseException):
    """The process died here. No `except Exception` sees it, as none would see a SIGKILL."""


@dataclass
class Crash:
    """Dies at the points with the numbers `at`, counted from 1 in the order they are reached."""

    at: tuple[int, ...] = ()
    reached: int = 0
    names: list[str] = field(default_factory=list)

    def point(self, name: str) -> None:
        """Die here, if this is the point."""
        self.reached += 1
        self.names.append(name)
        if self.reached in self.at:
            raise Killed(name)

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        """A point before and one after."""
        self.point(f"before {name}")
        yield
        self.point(f"after {name}")


class BenchLedger(SqlLedger):
    """A ledger with points around every commit."""

    crash: Crash

    def claim(self, requests: Sequence[ClaimRequest], now: float) -> list[tuple[Verdict, Entry]]:
        with self.crash.around("claim"):
            return super().claim(requests, now)

    def record(self, records: Sequence[Record], now: float) -> list[bool]:
        with self.crash.around("record"):
            return super().record(records, now)

    def record_in(self, rows: Rows, records: Sequence[Record], now: float) -> list[bool]:
        with self.crash.around("write"):
            return super().record_in(rows, records, now)

    def sent(self, keys: Any) -> None:
        with self.crash.around("sent"):
            super().sent(keys)

    def set_aside(self, entry: Entry) -> None:
        with self.crash.around("set aside"):
            super().set_aside(entry)


class Bench:
    """One adaptor's pipeline. `ledger_of` and `family_of` make what a restart makes anew.

    Replies of the types in `unwanted` are returned. `publishing` is called before each publication and may raise.
    """

    def __init__(
        self,
        adaptor: type[Adaptor],
        family_of: Callable[[], Family[Any]],
        ledger_of: Callable[[Family[Any]], SqlLedger],
        *,
        retry: RetryPolicy | None = None,
        **options: Any,
    ) -> None:
        retry = retry or RetryPolicy(immediate=0, delays=(5, 30))
        self.now = 1_000_000.0
        self.jump = 0.0
        self.slept: list[float] = []
        self.queue: deque[Message] = deque()
        self.held: list[tuple[float, Message]] = []
        self.replies: list[Message] = []
        self.unwanted: set[str] = set()
        self.nacked: set[str] = set()
        self.publishing: Callable[[Sequence[Message]], None] = lambda messages: None
        self.crash = Crash()
        self._adaptor = adaptor
        self._family_of = family_of
        self._ledger_of = ledger_of
        self._options = {"retry": retry, **options}
        self._delays = {
            retry_queue(adaptor.name, delay): delay
            for delay in (*retry.delays, 30.0, *(max(h.settle, 1.0) for h in adaptor._handlers.values()))
        }
        self.start()

    def start(self) -> None:
        """A new process: nothing is left but the ledger and the broker."""
        self.family = self._family_of()
        self.family.bind(self._adaptor())
        self.ledger = self._ledger_of(self.family)
        self.ledger.clock = self.clock
        if isinstance(self.ledger, BenchLedger):
            self.ledger.crash = self.crash
        effects = self.family.apply

        def apply(claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
            with self.crash.around("effects"):
                return effects(claims, journal)

        setattr(self.family, "apply", apply)  # noqa: B010 - mypy lets nobody assign to a method
        self.pipeline = Pipeline(
            self.family.adaptor,
            self.family,
            self.ledger,
            self.publish,
            clock=self.clock,
            sleep=self.slept.append,
            **self._options,
        )

    def clock(self) -> float:
        """The wall clock of the adaptor, which may jump; the broker's waiting times do not."""
        return self.now + self.jump

    def close(self) -> None:
        """Let go of files and connections."""
        self.family.close()
        self.ledger.close()

    def restart(self) -> None:
        """Die and begin anew."""
        self.close()
        self.start()

    # --- the broker ---

    def send(self, *items: Event[EventData] | Message) -> None:
        """Put events into the adaptor's queue."""
        self.queue.extend(item if isinstance(item, Message) else write_structured(item, "events") for item in items)

    def publish(self, messages: Sequence[Message]) -> list[Confirm]:
        """Take messages as the broker would."""
        with self.crash.around("publish"):
            self.publishing(messages)
            return [self._take(message) for message in messages]

    def _take(self, message: Message) -> Confirm:
        if message.exchange == "events":
            if message.type in self.unwanted:
                return Confirm.RETURNED
            if message.type in self.nacked:
                return Confirm.NACKED
            self.replies.append(message)
        elif message.routing_key == self._adaptor.name:
            self.queue.append(message)
        elif message.routing_key in self._delays:
            self.held.append((self.now + self._delays[message.routing_key], message))
        else:
            return Confirm.RETURNED
        return Confirm.CONFIRMED

    # --- the runner ---

    def step(self, count: int = 100) -> Settlement:
        """Process one batch. What is not settled goes back to the queue, also when the process dies."""
        deliveries = [Delivery(self.queue.popleft(), None) for _ in range(min(count, len(self.queue)))]
        unsettled = list(deliveries)
        try:
            settlement = self.pipeline.process(deliveries)
            self.crash.point("before ack")
            unsettled = list(settlement.release)
            settled = Counter(id(delivery) for delivery in (*settlement.ack, *settlement.release))
            assert settled == Counter(id(delivery) for delivery in deliveries), "each delivery is settled once"
            return settlement
        finally:
            self.queue.extendleft(delivery.message for delivery in reversed(unsettled))

    def wait(self, seconds: float) -> None:
        """Let time pass: what is due comes back to the queue."""
        self.now += seconds
        due = [message for until, message in self.held if until <= self.now]
        self.held = [(until, message) for until, message in self.held if until > self.now]
        self.queue.extend(due)

    def run(self, count: int = 100) -> None:
        """Process until the broker holds nothing any more. A process that dies is started again."""
        for _ in range(200):
            try:
                if self.queue:
                    self.step(count)
                elif self.held:
                    self.wait(min(until for until, _ in self.held) - self.now)
                else:
                    return
            except Killed:
                self.restart()
        raise AssertionError(f"no end in sight: {len(self.queue)} queued, {len(self.held)} held")

    def reply_ids(self) -> set[str]:
        """The ids of the replies that were published."""
        return {json.loads(message.body)["id"] for message in self.replies}
