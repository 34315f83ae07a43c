"""Waiting for what other processes and threads do: a poll with a deadline instead of a sleep that hopes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 60.0, *, interval: float = 0.02) -> T:
    """Calls `condition` every `interval` seconds until it answers something true, and returns that.

    Raises TimeoutError, naming the condition and its last answer, after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            name = getattr(condition, "__qualname__", repr(condition))
            raise TimeoutError(f"{name} did not become true within {timeout:g} s; its last answer was {answer!r}")
        time.sleep(interval)
