"""Noticing the values that zeep gives up: what it cannot convert becomes None, and only its log says so.

A filter on those loggers counts, per thread, what they are given, and lets none of it out: it holds payload.
"""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOGGERS = ("zeep.xsd.types.simple", "zeep.xsd.elements.attribute")


class _Counter(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self.seen = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        self.seen.count = getattr(self.seen, "count", 0) + 1
        return False


_counter = _Counter()
for _name in _LOGGERS:
    # A level set by whoever configures logging would keep the filter from being asked.
    logging.getLogger(_name).setLevel(logging.ERROR)
    logging.getLogger(_name).addFilter(_counter)


def counting(parse: Callable[[], T]) -> tuple[T, int]:
    """What `parse` returns, and how many values zeep could not convert meanwhile, in this thread."""
    _counter.seen.count = 0
    return parse(), _counter.seen.count
