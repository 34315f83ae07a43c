"""The targets: what the toolkit has to reach beside its peers, in the medians of one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.contenders import raw_pika, toolkit
from tests.benchmarks.results import Results

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


def ratio(job: str, figure: str, over: str, under: str) -> Measure:
    """The median of one contender as a multiple of another's."""

    def measure(results: Results) -> float | None:
        above, below = (results.median(job, name, figure) for name in (over, under))
        return above / below if above is not None and below else None

    return measure


_IDEMPOTENT, _LEDGER = toolkit.IDEMPOTENT.name, toolkit.LEDGER.name
_FASTSTREAM = "FastStream"

TARGETS: Sequence[Target] = (
    Target(
        "a",
        "CPU per event at most 1.6 x pika Blocking, coalesced",
        ratio("a", CPU, _IDEMPOTENT, raw_pika.BLOCKING.name),
        at_most=1.6,
    ),
    Target(
        "a",
        "CPU per event at least 5 x less than FastStream",
        ratio("a", CPU, _FASTSTREAM, _IDEMPOTENT),
        at_least=5,
    ),
    Target(
        "b",
        "events/s at least 8 x FastStream",
        ratio("b", RATE, _IDEMPOTENT, _FASTSTREAM),
        at_least=8,
    ),
    Target(
        "b",
        "events/s at least 1.0 x pika Select with asynchronous confirms",
        ratio("b", RATE, _IDEMPOTENT, raw_pika.SELECT_CONFIRMED.name),
        at_least=1.0,
    ),
    Target("a", "events/s with the ledger at least 0.6 x without", ratio("a", RATE, _LEDGER, _IDEMPOTENT), 0.6),
    Target("b", "events/s with the ledger at least 0.6 x without", ratio("b", RATE, _LEDGER, _IDEMPOTENT), 0.6),
)
