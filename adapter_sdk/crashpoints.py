"""Crash points: the named moments between receiving a delivery and settling it at which a test can kill the process.

In production `reach` does nothing. With `ADAPTOR_CRASH_POINT=claimed` in the environment a running adaptor kills itself
with SIGKILL when it gets there; `claimed:3` waits for the third time.
"""

import os
import signal
from collections.abc import Mapping
from itertools import count
from types import MappingProxyType

from adapter_sdk.errors import ConfigError

VARIABLE = "ADAPTOR_CRASH_POINT"

POINTS: Mapping[str, str] = MappingProxyType(
    {
        "received": "deliveries are in hand, and nothing has been done with them",
        "admitted": "they are read and have found their handlers; what is unreadable is a dead letter in the ledger",
        "claimed": "the ledger says that they are worked on, and counts the attempt",
        "sql.made": "the handler's statements and the ledger's row stand in a transaction that is not committed",
        "sql.committed": "effect, record and replies are committed together",
        "files.staged": "the file is durable in staging, and the ledger does not know it",
        "files.noted": "the ledger knows the staged file, its final name and its replies",
        "files.dropped": "the file is renamed into the drop, where the reader may take it away",
        "files.marked": "the marker that tells the reader to begin is in the drop as well",
        "soap.calling": "the ledger says that a call is about to leave; nothing has left",
        "soap.sent": "all of a request is out, and nothing of an answer is read",
        "soap.answered": "the answer is read, and the ledger does not know it",
        "soap.noted": "the ledger keeps the answer, and the handler has not gone on",
        "applied": "the family has answered for each event; what it does not record itself is not recorded",
        "recorded": "the ledger knows how each attempt ended, and what is to be published",
        "published": "the broker has confirmed replies and copies, and the ledger does not know it",
        "marked": "the ledger knows that nothing is left to publish",
        "settling": "all is done but the ack",
        "settled": "the acks are on their way to the broker",
        "answers.completed": "answers and the replies made of them are in the ledger, and nothing else is done",
        "answers.sent": "the broker has these replies, and where the answers stood they have not been taken away",
        "overdue.announced": "the broker has confirmed reply.overdue, and the ledger does not know it",
    }
)
"""Every crash point, in the order of an event's life, with what is true there. The prefix names a family, or what
comes later than the rest of it."""

DOUBTFUL = frozenset(
    {"sql.made", "sql.committed", "files.dropped", "files.marked", "soap.calling", "soap.sent", "soap.answered"}
)
"""Where a crash may leave no trace that tells whether the effect happened.

For sql only if the ledger is elsewhere, for files only if the drop is on a server.
"""


class _Armed:
    def __init__(self, point: str, times: int) -> None:
        self._point = point
        self._times = times
        self._reached = count(1)

    def reach(self, point: str) -> None:
        if _known(point) == self._point and next(self._reached) == self._times:
            os.write(2, last_words(point).encode())
            os.kill(os.getpid(), signal.SIGKILL)


def last_words(point: str) -> str:
    """The line that a process writes to standard error before it dies at `point`."""
    return f"killed at crash point {point}\n"


def reach(point: str) -> None:
    """Say that the process has come to `point`: it goes on, or dies here if it was armed for that."""
    if _armed is not None:
        _armed.reach(point)


def arm(point: str, times: int = 1) -> None:
    """Make this process die when it comes to `point` for the `times`-th time. Raises LookupError for an unknown one."""
    global _armed  # noqa: PLW0603  # a name of the module is the cheapest thing that `reach` can look at
    _armed = _Armed(_known(point), times)


def arm_from_environment() -> None:
    """Do what `ADAPTOR_CRASH_POINT` asks for, if it is set. Raises ConfigError if that cannot be done."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    point, _, times = (wanted if ":" in wanted else f"{wanted}:1").partition(":")
    if point not in POINTS or not times.isdecimal() or int(times) < 1:
        raise ConfigError(
            f"{VARIABLE}={wanted} is not possible; give NAME or NAME:COUNT, with a COUNT from 1 and for NAME one of "
            f"{', '.join(POINTS)}"
        )
    arm(point, int(times))


def _known(point: str) -> str:
    if point not in POINTS:
        raise LookupError(f"{point!r} is not a crash point; they stand in adapter_sdk.crashpoints.POINTS")
    return point


_armed: _Armed | None = None
