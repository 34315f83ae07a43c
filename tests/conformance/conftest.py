"""The conformance suite is product code, so pytest has to be told that its assertions are tests."""

import pytest

pytest.register_assert_rewrite("adapter_sdk.testing.conformance")
