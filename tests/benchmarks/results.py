"""The trials of a run, and their medians."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.benchmarks.watch import Figures


@dataclass(slots=True)
class Results:
    """What each contender did in each job, trial by trial; a failed trial is a sentence in place of figures."""

    trials: dict[tuple[str, str], list[Figures]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, job: str, contender: str, figures: Figures) -> None:
        """One more trial."""
        self.trials.setdefault((job, contender), []).append(figures)

    def fail(self, job: str, contender: str, why: str) -> None:
        """A trial came to nothing: then none of this contender's figures in this job count."""
        self.failures[job, contender] = why

    def tried(self, job: str, contender: str) -> bool:
        """Whether there was a trial at all."""
        return (job, contender) in self.trials or (job, contender) in self.failures

    def values(self, job: str, contender: str, figure: str) -> list[float]:
        """One figure of all trials, ascending; empty if it was not measured, or a trial failed."""
        if (job, contender) in self.failures:
            return []
        return sorted(trial[figure] for trial in self.trials.get((job, contender), []) if figure in trial)

    def median(self, job: str, contender: str, figure: str) -> float | None:
        """The median, None if there is nothing to take it of."""
        values = self.values(job, contender, figure)
        return median(values) if values else None

    def as_json(self, job: str, contenders: Sequence[str]) -> list[dict[str, Any]]:
        """All trials of a job."""
        return [
            {
                "contender": name,
                "failure": self.failures.get((job, name)),
                "trials": self.trials.get((job, name), []),
            }
            for name in contenders
            if self.tried(job, name)
        ]
