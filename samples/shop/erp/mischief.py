"""Mischief: the ways in which this ERP can be told to misbehave, for demonstrations and tests."""

import itertools
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any


class Mode(StrEnum):
    """What happens to a call that is hit."""

    WELL = "well"
    DOWN = "down"
    """Answered 503, not done."""
    CLOSED = "closed"
    """The port is closed for `seconds`, starting at once."""
    SLOW = "slow"
    """Done and answered after `seconds`."""
    LOSE = "lose"
    """Done, and the connection cut instead of an answer."""
    GARBAGE = "garbage"
    """Done, and answered with a page of HTML."""
    REDIRECT = "redirect"
    """Not done; answered 302."""
    ODD = "odd"
    """Done, and the normal answer sent with status 500."""
    TRUNCATE = "truncate"
    """Done, and the connection cut in the middle of the answer."""
    DRIP = "drip"
    """Done, and answered one byte every `seconds`."""


@dataclass(frozen=True, slots=True)
class Mischief:
    """`mode` hits every `every`-th call. `retry_after` goes with a 503, in seconds; None: no such header."""

    mode: Mode = Mode.WELL
    seconds: float = 1.0
    every: int = 1
    retry_after: int | None = None

    @classmethod
    def of(cls, wanted: dict[str, Any]) -> "Mischief":
        """From JSON. Raises ValueError naming what is wrong."""
        unknown = set(wanted) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; there is mode, seconds, every, retry_after")
        made = cls(**{**wanted, "mode": Mode(wanted.get("mode", Mode.WELL))})
        if not (isinstance(made.every, int) and made.every >= 1):
            raise ValueError("every: give a whole number from 1")
        if not (isinstance(made.seconds, int | float) and 0 <= made.seconds <= 600):
            raise ValueError("seconds: give 0 to 600")
        return made

    def as_json(self) -> dict[str, Any]:
        """What `of` reads."""
        return asdict(self)


class Turns:
    """The mischief that is set, and whose turn it is."""

    def __init__(self, mischief: Mischief) -> None:
        self.set(mischief)

    def set(self, mischief: Mischief) -> None:
        """Set another mischief, and count calls from 1 again."""
        self.mischief = mischief
        self._calls = itertools.count(1)  # one step of it is one bytecode, so threads need no lock

    def next(self) -> Mode:
        """What happens to the call that has just come in."""
        return self.mischief.mode if next(self._calls) % self.mischief.every == 0 else Mode.WELL
