"""The table of what each transport supports, made from the results of a run of the conformance suite."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

Results = Mapping[str, Mapping[str, str]]
"""For each feature and each transport: "yes", "FAILED", or "no: " and the reason."""

_RANK = {"yes": 0, "no": 1, "FAILED": 2}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table at the end of a run in which conformance tests took part; pytest calls this."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    results = collect(report for report in reports if isinstance(report, pytest.TestReport))
    if results:
        terminalreporter.section("what each transport supports")
        terminalreporter.write(render(results))


def collect(reports: Iterable[pytest.TestReport]) -> Results:
    """Gather results by feature and transport, features in the order of the suite, in whatever order they ran.

    One failed test of a feature outweighs any that passed.
    """
    results: dict[tuple[int, str], dict[str, str]] = {}
    for report in reports:
        for key, value in report.user_properties:
            if key != "conformance" or not isinstance(value, tuple | list):
                continue
            line, feature, transport = value
            row = results.setdefault((line, feature), {})
            row[transport] = max(
                row.get(transport, "yes"), _result(report), key=lambda text: _RANK[text.partition(":")[0]]
            )
    return {feature: row for (_, feature), row in sorted(results.items())}


def render(results: Results) -> str:
    """The table as text: a line for each feature, a column for each transport."""
    transports = sorted({transport for row in results.values() for transport in row})
    wide = max(len(feature) for feature in results)
    lines = [" ".join([" " * wide, *(f"{name:<10}" for name in transports)]).rstrip()]
    for feature, row in results.items():
        lines.append(
            " ".join([f"{feature:<{wide}}", *(f"{row.get(name, 'not run'):<10}" for name in transports)]).rstrip()
        )
    return "\n".join(lines) + "\n"


def _result(report: pytest.TestReport) -> str:
    if report.failed:
        return "FAILED"
    if report.skipped:
        longrepr: Any = report.longrepr
        return f"no: {longrepr[2].removeprefix('Skipped: ')}"
    return "yes"
