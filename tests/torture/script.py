"""What is sent and what goes wrong when: drawn from a seed, so that the same seed tortures in the same way. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SLOW_STOP = 5.0
"""Seconds: a pause longer than this outlasts the heartbeats, so the broker gives the events to somebody else."""


_KEYS = 20  # an even number: every second key is that of events with odd numbers alone


class Kind(StrEnum):
    """What is to become of an event."""

    PLAIN = "plain"
    FLAKY = "flaky"
    """Its first calls fail."""
    HOPELESS = "hopeless"
    """Every call fails: a dead letter once the attempts are used up."""
    REFUSED = "refused"
    """The backend says no: a dead letter at once."""
    MALFORMED = "malformed"
    """No event at all: a dead letter without an identity."""
    UNASKED = "unasked"
    """Its handler has no `verify` (soap): applied, or in doubt for a person."""

    @property
    def dies(self) -> bool:
        """Whether it ends as a dead letter."""
        return self in (Kind.HOPELESS, Kind.REFUSED, Kind.MALFORMED)


_USUAL = {Kind.MALFORMED: 0.01, Kind.REFUSED: 0.01, Kind.HOPELESS: 0.005, Kind.FLAKY: 0.02}
_TROUBLED = {Kind.MALFORMED: 0.01, Kind.REFUSED: 0.02, Kind.HOPELESS: 0.01, Kind.FLAKY: 0.1}


class Fault(StrEnum):
    """What goes wrong for one family. Broker restarts strike all of them and are not among these."""

    KILL = "kill"
    """SIGKILL to an adaptor process, which is started again at once."""
    STOP = "stop"
    """SIGSTOP to an adaptor process, and SIGCONT after some seconds."""
    CUT = "cut"
    """Every connection to the broker is reset."""
    HALF_OPEN = "half-open"
    """Every connection to the broker falls silent, without an end."""
    CLOCK = "clock"
    """The wall clock of the adaptor's processes jumps, by up to two days, forward or back."""
    UNBIND = "unbind"
    """No queue wants the replies for some seconds."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One event. `fails` is how many calls of its handler fail first, -1 for all; `key` is its subject."""

    number: int
    kind: Kind
    fails: int = 0

    @property
    def id(self) -> str:
        """The event's id, and the order number in the backend."""
        return f"{self.number:08d}"

    @property
    def key(self) -> str:
        """What events that are to be kept in order share."""
        return f"K{self.number % _KEYS:02d}"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: `pause` seconds after the events before it were sent; `aim` from 0 to 1 picks the process.

    `seconds` is how long it lasts, or how far the clock is off from then on.
    """

    fault: Fault
    aim: float
    pause: float
    seconds: float = 0.0


@dataclass(slots=True)
class Step:
    """Events to send, then a fault. The end of a script has none."""

    events: list[Planned] = field(default_factory=list)
    strike: Strike | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much one family is given. The faults beside kills follow from the kills."""

    events: int
    kills: int

    @property
    def faults(self) -> dict[Fault, int]:
        """How often each fault strikes."""
        return {
            Fault.KILL: self.kills,
            Fault.STOP: -(-self.kills // 5),
            Fault.CUT: -(-self.kills // 6),
            Fault.HALF_OPEN: -(-self.kills // 30),
            Fault.CLOCK: -(-self.kills // 10),
            # An unwanted reply is looked at again after half a minute: too long for the short form.
            Fault.UNBIND: self.kills // 20 and -(-self.kills // 100),
        }


def script(family: str, size: Size, seed: int, *, ordered: bool = False) -> list[Step]:
    """What happens to one family, in order. With `ordered` half the keys have all the trouble, and much of it."""
    chance = random.Random(f"{seed} {family}")
    numbers = range(1, size.events + 1)
    sendings = _sendings([_planned(chance, number, _shares(family, number, ordered)) for number in numbers], chance)
    strikes = [_strike(chance, fault) for fault, count in size.faults.items() for _ in range(count)]
    chance.shuffle(strikes)
    cuts = sorted(chance.randrange(len(sendings)) for _ in strikes)
    steps = [Step(sendings[start:end], strike) for start, end, strike in zip([0, *cuts], cuts, strikes, strict=False)]
    return [*steps, Step(sendings[cuts[-1] if cuts else 0 :])]


def broker_faults(restarts: int, seed: int) -> list[bool]:
    """For each restart of the broker whether it is killed first, rather than stopped in good order."""
    chance = random.Random(f"{seed} broker")
    return [chance.random() < 0.5 for _ in range(restarts)]


def _shares(family: str, number: int, ordered: bool) -> Mapping[Kind, float]:
    """How many events are of each kind; the rest is plain. A doubt for a person would hold its key for good."""
    if ordered:
        return _TROUBLED if number % 2 else {}
    return _USUAL | ({Kind.UNASKED: 0.1} if family == "soap" else {})


def _planned(chance: random.Random, number: int, shares: Mapping[Kind, float]) -> Planned:
    draw = chance.random()
    for kind, share in shares.items():
        if draw < share:
            return Planned(number, kind, {Kind.HOPELESS: -1, Kind.FLAKY: chance.randint(1, 3)}.get(kind, 0))
        draw -= share
    return Planned(number, Kind.PLAIN)


def _sendings(events: list[Planned], chance: random.Random) -> list[Planned]:
    """Every event, and one in ten a second time: at once, or up to 300 events later."""
    order = [(float(index), event) for index, event in enumerate(events)]
    order += [
        (index + chance.choice((0.5, chance.random() * 300)), event) for index, event in order if chance.random() < 0.1
    ]
    return [event for _, event in sorted(order, key=lambda sending: sending[0])]


def _strike(chance: random.Random, fault: Fault) -> Strike:
    seconds = 0.0
    if fault is Fault.STOP:
        slow = chance.random() < 0.25
        seconds = chance.uniform(SLOW_STOP, SLOW_STOP + 3) if slow else chance.uniform(0.1, 2)
    elif fault is Fault.CLOCK:
        seconds = chance.uniform(-2, 2) * 86_400
    elif fault is Fault.UNBIND:
        seconds = chance.uniform(1.5, 3)
    return Strike(fault, chance.random(), chance.random() * 0.2, seconds)
