"""The verdicts as lines for people."""

import sys
from collections.abc import Sequence

from tests.torture.verdict import Verdict

_COLUMNS = {
    "family": "family",
    "events": "events",
    "kills": "kills",
    "stops": "stops",
    "broker restarts": "broker_restarts",
    "cuts": "cuts",
    "half-open": "half_open",
    "clock jumps": "clock_jumps",
    "interrupted": "interrupted",
    "lost": "lost",
    "duplicated": "duplicated",
    "order broken": "order_broken",
    "in doubt": "in_doubt",
    "dead": "dead",
    "replies missing": "replies_missing",
    "wrong reply ids": "replies_wrong",
    "repeated replies": "replies_again",
    "silence s": "longest_silence",
    "MiB": "largest_process",
    "seconds": "seconds",
}


def lines(verdicts: Sequence[Verdict], seed: int) -> list[str]:
    """A line per family, what was broken, and what the number of kills says."""
    shown = {**_COLUMNS}
    if all(verdict.order_broken is None for verdict in verdicts):
        del shown["order broken"]
    rows = [list(shown), *([str(getattr(verdict, name)) for name in shown.values()] for verdict in verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(shown))]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    where = ", ".join(f"{verdict.family}: {verdict.backend}" for verdict in verdicts)
    found = [f"BROKEN {verdict.family}: {sentence}" for verdict in verdicts for sentence in verdict.broken]
    return [f"seed {seed}; {where}", *table, *(found or [_statistics(verdicts)])]


def _statistics(verdicts: Sequence[Verdict]) -> str:
    """The rule of three: without a failure in n trials the rate is below 3/n, with a confidence of 95 %."""
    rates = [f"{verdict.family} below {300 / verdict.kills:.2g} % of kills" for verdict in verdicts if verdict.kills]
    return "Every promise was kept. Failures, at 95 % confidence: " + (", ".join(rates) or "nothing was killed")


def echo(text: Sequence[str]) -> None:
    """Lines to standard output, at once."""
    sys.stdout.write("\n".join(text) + "\n")
    sys.stdout.flush()
