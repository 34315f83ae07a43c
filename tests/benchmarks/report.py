"""Results as a table for people and as JSON for programs."""

import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.benchmarks.job import Job
from tests.benchmarks.results import Results
from tests.benchmarks.targets import TARGETS


def table(job: Job, results: Results, events: int) -> list[str]:
    """One job with so many events in a trial: a line per contender, with the median of each figure and its spread."""
    lines = [["contender", *job.columns.values(), "configuration"]]
    for contender in job.contenders:
        if not results.tried(job.key, contender.name):
            continue
        failure = results.failures.get((job.key, contender.name))
        cells = [_cell(results.values(job.key, contender.name, figure)) for figure in job.columns]
        lines.append([contender.name, *cells, f"FAILED: {failure}" if failure else contender.configuration])
    return [f"({job.key}) {job.title}; {events:,} event{'s' if events > 1 else ''}", *aligned(lines)]


def targets(results: Results, jobs: Sequence[Job]) -> list[str]:
    """The targets of these jobs: what was asked, what was measured, met or missed."""
    rows = []
    for target in TARGETS:
        if target.job in {job.key for job in jobs}:
            value, state = target.judge(results)
            rows.append(
                [f"({target.job}) {target.text}", "-" if value is None else f"{value:.2f} {target.unit}", state]
            )
    return ["Targets", *aligned(rows)]


def as_json(jobs: Sequence[Job], results: Results, facts: Mapping[str, Any]) -> dict[str, Any]:
    """All trials and all verdicts."""
    keys = {job.key for job in jobs}
    verdicts = [(target, *target.judge(results)) for target in TARGETS if target.job in keys]
    return {
        **facts,
        "jobs": {job.key: results.as_json(job.key, [contender.name for contender in job.contenders]) for job in jobs},
        "targets": [
            {"job": target.job, "text": target.text, "measured": value, "state": state}
            for target, value, state in verdicts
        ],
    }


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    spread = f" ({_number(values[0])} to {_number(values[-1])})" if len(values) > 1 else ""
    return f"{_number(median(values))}{spread}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def echo(*lines: str) -> None:
    """Lines to standard output, at once."""
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of one width; the first and the last to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    last = len(widths) - 1
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
