"""Ends every run of the conformance suite with the table of what each transport supports."""

import pytest

pytest.register_assert_rewrite("adapter_sdk.testing.conformance")

from adapter_sdk.testing.conformance.table import pytest_terminal_summary  # noqa: E402 - rewritten asserts first

__all__ = ["pytest_terminal_summary"]
