"""What happens to a test whose service is not there."""

import os
from typing import NoReturn

import pytest


class Missing(Exception):
    """A program is not installed; the message says how to get it."""

    def __init__(self, what: str, packages: str, variable: str | None = None) -> None:
        self.what, self.packages, self.variable = what, packages, variable
        instead = f", or set {variable} to the URL of one that runs" if variable else ""
        super().__init__(f"{what} is not installed: apt-get install {packages}{instead}")


def skip_or_fail(missing: Missing) -> NoReturn:
    """Skips the test, or fails it where real services are required (REQUIRE_REAL_SERVICES=1, as `make test` sets)."""
    if os.environ.get("REQUIRE_REAL_SERVICES") == "1":
        pytest.fail(str(missing), pytrace=False)
    pytest.skip(str(missing))
