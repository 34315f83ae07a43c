"""The targets: what the toolkit has to reach beside its peers, in the medians of one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.contenders import faststream_peer, files_by_hand, raw_pika, soap_by_hand, sql_by_hand, toolkit
from tests.benchmarks.results import Results
from tests.benchmarks.task import Contender

State = Literal["met", "missed", "not measured"]
Measure = Callable[[Results], float | None]

CPU, RATE = "cpu_us", "events_per_second"


@dataclass(frozen=True, slots=True)
class Target:
    """One promise about speed. `at_least` and `at_most` bound what `measure` makes of the run's medians."""

    job: str
    text: str
    measure: Measure
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "x"

    def judge(self, results: Results) -> tuple[float | None, State]:
        """What was measured, and whether that is enough."""
        value = self.measure(results)
        if value is None:
            return None, "not measured"
        low = self.at_least is not None and value < self.at_least
        high = self.at_most is not None and value > self.at_most
        return value, "missed" if low or high else "met"


def value(job: str, figure: str, contender: Contender) -> Measure:
    """The median of one contender."""
    return lambda results: results.median(job, contender.name, figure)


def ratio(job: str, figure: str, over: Contender, under: Contender) -> Measure:
    """The median of one contender as a multiple of another's."""

    def measure(results: Results) -> float | None:
        above, below = (results.median(job, contender.name, figure) for contender in (over, under))
        return above / below if above is not None and below else None

    return measure


def _consume() -> Sequence[Target]:
    pika, faststream = raw_pika.BLOCKING, faststream_peer.FASTSTREAM
    idempotent, ledger = toolkit.IDEMPOTENT, toolkit.LEDGER
    return (
        Target("a", f"CPU per event at most 1.6 x {pika.name}", ratio("a", CPU, idempotent, pika), at_most=1.6),
        Target("a", "CPU per event at least 5 x less than FastStream", ratio("a", CPU, faststream, idempotent), 5),
        Target("a", "events/s with the ledger at least 0.6 x without", ratio("a", RATE, ledger, idempotent), 0.6),
    )


def _reply() -> Sequence[Target]:
    pika, faststream = raw_pika.SELECT_CONFIRMED, faststream_peer.FASTSTREAM_REPLY
    idempotent, ledger = toolkit.REPLYING_IDEMPOTENT, toolkit.REPLYING_LEDGER
    return (
        Target("b", "events/s at least 8 x FastStream", ratio("b", RATE, idempotent, faststream), 8),
        Target("b", f"events/s at least 1.0 x {pika.name}", ratio("b", RATE, idempotent, pika), 1.0),
        Target("b", "events/s with the ledger at least 0.6 x without", ratio("b", RATE, ledger, idempotent), 0.6),
    )


def _sql(job: str) -> Sequence[Target]:
    each, batch, many = sql_by_hand.EACH, sql_by_hand.BATCH, sql_by_hand.MANY
    return (
        Target(job, "events/s at least 5 x a transaction per event by hand", ratio(job, RATE, toolkit.SQL, each), 5),
        Target(job, "events/s at least 0.7 x a transaction per batch", ratio(job, RATE, toolkit.SQL, batch), 0.7),
        Target(job, "events/s of a list at least 0.5 x executemany", ratio(job, RATE, toolkit.SQL_LIST, many), 0.5),
    )


def _files() -> Sequence[Target]:
    by_hand = ratio("d", RATE, toolkit.FILES, files_by_hand.FILES)
    return (Target("d", "files/s at least 4 x write + fsync + rename + folder fsync by hand", by_hand, 4),)


def _soap(job: str) -> Sequence[Target]:
    """Both ways to read it: the whole adaptor with broker and ledger, and the calls alone."""
    zeep = soap_by_hand.ZEEP
    return [
        Target(job, f"calls/s at least 1.6 x zeep: {contender.name}", ratio(job, RATE, contender, zeep), 1.6)
        for contender in (toolkit.SOAP, soap_by_hand.SERVICE)
    ]


def _latency() -> Sequence[Target]:
    pika = raw_pika.SELECT_CONFIRMED
    return [
        Target(
            "f",
            f"{way} p{rank} at most {most:g} x {pika.name}: {contender.name}",
            ratio("f", f"{way}_p{rank}", contender, pika),
            at_most=most,
        )
        for contender in (toolkit.REPLYING_IDEMPOTENT, toolkit.REPLYING_LEDGER)
        for way in ("handled", "replied")
        for rank, most in ((50, 1.5), (99, 3.0))
    ]


def _memory() -> Sequence[Target]:
    return [
        Target(
            "g",
            f"at most 20 MB more at the end than after 10,000: {contender.name}",
            value("g", "memory_growth", contender),
            at_most=20,
            unit="MB",
        )
        for contender in (toolkit.IDEMPOTENT, toolkit.LEDGER)
    ]


_PROCESSES = ratio("i", RATE, toolkit.PROCESSES[4], toolkit.PROCESSES[1])

TARGETS: Sequence[Target] = (
    *_consume(),
    *_reply(),
    *_sql("c.postgresql"),
    *_sql("c.sqlite"),
    *_files(),
    *_soap("e.1"),
    *_soap("e.8"),
    *_latency(),
    *_memory(),
    Target("h", "under 1.0 s to the first event", value("h", "first_event_s", toolkit.STARTING), at_most=1.0, unit="s"),
    Target("i", "events/s of 4 processes at least 2 x those of one", _PROCESSES, 2),
)
