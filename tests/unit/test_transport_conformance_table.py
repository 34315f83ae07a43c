"""The table of what each transport supports."""

import pytest

from adapter_sdk.testing.conformance.table import collect, render


def report(line: int, feature: str, transport: str, outcome: str, reason: str = "") -> pytest.TestReport:
    """A test report as pytest makes it."""
    return pytest.TestReport(
        nodeid="t",
        location=("t", 1, "t"),
        keywords={},
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=("t.py", 1, f"Skipped: {reason}") if outcome == "skipped" else None,
        when="call",
        user_properties=[("conformance", [line, feature, transport])],
    )


def test_table() -> None:
    """One failure outweighs a success, a skip shows its reason, a gap says so, and features keep the suite's order."""
    results = collect(
        [
            report(9, "later", "real", "passed"),
            report(1, "acks", "real", "failed"),
            report(1, "acks", "real", "passed"),
            report(1, "acks", "fake", "skipped", "no such thing"),
        ]
    )
    assert render(results).splitlines() == [
        "      fake       real",
        "acks  no: no such thing FAILED",
        "later not run    yes",
    ]
