"""Gathering: events that wait in the ledger until there are enough of them, and then have their effect together.

What an adaptor declares about it, and the one decision that follows: is a group due? Pure; see gatherer.py.
"""

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from adapter_sdk.errors import ConfigError
from adapter_sdk.ledger.base import Gathered
from adapter_sdk.ordering import declared_order

if TYPE_CHECKING:
    from adapter_sdk.adaptor import Adaptor


class Gathering(Protocol):
    """When the events that are gathered for one handler are due together: at whatever comes first.

    `count` is how many a group has at most, and makes it due; so do `bytes` of messages, and `after` seconds since the
    first of them arrived. What arrived before the last cut-off is due, and does not go together with what came later.
    `empty` says what is due where nothing arrived before it: nothing, or the effect of an empty list.
    """

    @property
    def count(self) -> int: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def after(self) -> float | None: ...
    @property
    def empty(self) -> Literal["none", "file"]: ...

    def last_cut_off(self, now: float) -> float | None:
        """When the last cut-off was, in seconds since the epoch; None if there is none."""
        ...

    def described(self) -> str:
        """The same in a sentence, for `adaptor check`."""
        ...


class Due(NamedTuple):
    """A group is due, of those that arrived before this time; `why` goes into the log line."""

    why: str
    before: float = math.inf


def due(gathering: Gathering, gathered: Gathered, age: float, now: float) -> Due | None:
    """Whether a group is due of what is gathered, whose first event has waited for `age` seconds; None if not yet."""
    cut_off = gathering.last_cut_off(now)
    if cut_off is not None and gathered.oldest < cut_off:
        return Due("cut-off", cut_off)
    if gathered.count >= gathering.count:
        return Due("count")
    if gathering.bytes is not None and gathered.bytes >= gathering.bytes:
        return Due("bytes")
    if gathering.after is not None and age >= gathering.after:
        return Due("after")
    return None


def check_gathering(adaptor: "type[Adaptor]", *, may_gather: bool) -> None:
    """Raise ConfigError if the class declares a `batch` that cannot be."""
    if adaptor._gathering is None:
        return
    where = f"{adaptor.__qualname__} ({adaptor.__module__})"
    faults = [] if may_gather else [f"{where}: adaptors of this base gather nothing; take `batch` away"]
    faults += [
        f"{spec.where_defined}: takes one event; with `batch` a handler takes several, `list[Event[…]]`"
        for spec in adaptor._handlers.values()
        if not spec.takes_list
    ]
    if declared_order(adaptor) is not None:
        faults.append(f"{where}: has ordered_by and batch; a batch keeps the order of arrival, take one of them away")
    if faults:
        raise ConfigError(*faults)


def gathering_faults(adaptor: "type[Adaptor]", max_held: int) -> Collection[str]:
    """Why groups could never be due: consuming would pause before there are enough events. Empty if they can."""
    gathering = adaptor._gathering
    wanted = 0 if gathering is None else gathering.count * len(adaptor._handlers)
    if max_held >= wanted:
        return []
    gathers = f"{adaptor.name} gathers up to {wanted} events before it is given any"
    return [f"[runner] max_held is {max_held}, and {gathers}: set max_held to {wanted} or more, or gather fewer"]
