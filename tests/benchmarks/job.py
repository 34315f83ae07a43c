"""What a job is: a table of the report, and how one trial of it goes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.benchmarks.contenders import ROSTER
from tests.benchmarks.task import Contender
from tests.benchmarks.watch import Figures

if TYPE_CHECKING:
    from tests.benchmarks.stage import Stage

SPEED: Mapping[str, str] = {"events_per_second": "events/s", "cpu_us": "CPU µs/event"}
"""The figures of most jobs, and the headings of their columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`trial` plays one contender once. `full` and `quick` are how many events a trial has, unless options say else.

    The first letter of `key` is the job's in the report; what follows tells its tables apart. `repeats` is the most
    that make sense, None for what the options say.
    """

    key: str
    title: str
    trial: Callable[["Stage", "Job", Contender], Figures]
    full: int
    quick: int
    columns: Mapping[str, str] = field(default_factory=lambda: SPEED)
    repeats: int | None = None

    @property
    def contenders(self) -> Sequence[Contender]:
        """Who takes part."""
        return ROSTER[self.key]
