"""The gatherer: events that wait in the ledger are given out together when their group is due.

The ledger has them from the moment that they arrive, so a group is neither lost nor made twice, whatever dies; how long
they have waited is known there as well.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

import structlog

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.cut_offs import BEFORE, CutOff, cut_off_request
from adapter_sdk.gathering import Due, Gathering, due
from adapter_sdk.ledger.base import Entry, Ledger
from adapter_sdk.settings import Settings
from adapter_sdk.transport.base import Delivery
from adapter_sdk.waiting_room import LOOK_EVERY, WaitingRoom
from adapter_sdk.waits import Waits
from adapter_sdk.work import FromLedger

log = structlog.get_logger("adaptor")

# A group that has killed the process more than once is worked on in parts, each time in so many more.
_PARTS = 8


class Gatherer(WaitingRoom):
    """Looks for groups that are due, and has one after the other worked on.

    `most_attempts` are those that an event of each type has; events of other types no handler takes any more, and they
    are given out at once. `clock` is in seconds since the epoch, and may jump; `monotonic` does not.
    """

    def __init__(
        self,
        adaptor: str,
        ledger: Ledger,
        gathering: Gathering,
        most_attempts: Mapping[str, int],
        *,
        max_held: int,
        on_trouble: Callable[[Exception], None],
        on_pressure: Callable[[], None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        begun = bool(ledger.begun_groups())
        super().__init__(
            adaptor, ledger, begun=begun, max_held=max_held, on_trouble=on_trouble, on_pressure=on_pressure
        )
        self._gathering = gathering
        self._most_attempts = most_attempts
        self._clock = clock
        self._monotonic = monotonic
        self._waits = Waits(clock, monotonic)
        self._first_seen: dict[tuple[str, float], float] = {}
        self._served: dict[str, float] = {}

    def start(self, work_on: Callable[[list[Delivery]], bool]) -> None:
        """Begin to look. `work_on` settles a group that is given out, and says whether to go on."""
        self._work_on = work_on
        if self.full:
            log.warning("too many events gathered", adaptor=self._adaptor, count=self._held, limit=self._max_held)
        self._thread.start()

    def done(self, deliveries: Sequence[Delivery], *, held: int, progress: bool) -> None:
        """These are settled; so many are held now that were not before."""
        given = sum(isinstance(delivery.receipt, FromLedger) for delivery in deliveries)
        with self._lock:
            self._held += held - given
            enough, full = self._held >= self._gathering.count, self._held >= self._max_held
        if held and enough:
            self._look_now.set()
        if full:
            self._press(True)

    def look(self, work_on: Callable[[list[Delivery]], bool]) -> float:
        """Have every group worked on that is due now; seconds until the next look."""
        # Only this thread works on groups: what is begun now a process left that died, or another one has in hand.
        for part in self._parts(self._ledger.begun_groups()):
            if not self._give_out(part, "begun before", work_on):
                return LOOK_EVERY
        for settled in self._settled():
            if not self._give_out(settled, "in doubt", work_on):
                return LOOK_EVERY
        while (found := self._first_due() or self._empty_group()) is not None:
            entries, why = found
            if not self._give_out(entries, why, work_on):
                return LOOK_EVERY
        self._count()
        return self._soonest()

    def _look(self) -> float:
        return self.look(self._work_on)

    def _settled(self) -> Iterator[list[Entry]]:
        """The doubts that have waited their time, as they are to be asked about: together where noted together."""
        doubts = self._ledger.gathered_doubts()
        self._waits.only(doubts)
        together: dict[tuple[str, str], list[Entry]] = {}
        for entry in doubts:
            together.setdefault((entry.type, repr(entry.evidence or "")), []).append(entry)
        for alike in together.values():
            settled = [entry for entry in alike if self._waits.left(entry) <= 0]
            if not alike[0].evidence:
                for first in range(0, len(settled), self._gathering.count):
                    yield settled[first : first + self._gathering.count]
            elif len(settled) == len(alike):
                yield alike

    def _first_due(self) -> tuple[list[Entry], str] | None:
        """The events of a group that is due, and why it is; None if none is."""
        now = self._clock()
        gathered = self._ledger.gathered(now)
        seen = {(kind, one.oldest) for kind, one in gathered.items()}
        self._first_seen = {mark: self._first_seen.get(mark, self._monotonic()) for mark in seen}
        for kind, one in gathered.items():
            answer = due(self._gathering, one, self._age((kind, one.oldest), now), now)
            if kind not in self._most_attempts:
                answer = Due("cut-off" if kind == CutOff.event_type else "no handler")
            if answer and (entries := self._ledger.group(kind, answer.before, now, self._gathering.count)):
                return entries, answer.why
        return None

    def _empty_group(self) -> tuple[list[Entry], str] | None:
        """What stands for a cut-off at which nothing is left to be cut, if one is wanted and there was none yet."""
        now = self._clock()
        cut_off = self._gathering.last_cut_off(now) if self._gathering.empty == "file" else None
        if cut_off is None:
            return None
        asked = False
        for kind in self._most_attempts:
            if self._served.get(kind) == cut_off or self._ledger.at_work_from_before(kind, cut_off):
                continue
            if self._ledger.idle_over(kind, cut_off):
                self._ledger.claim([cut_off_request(self._adaptor, kind, cut_off)], cut_off - BEFORE)
                asked = True
            self._served[kind] = cut_off
        return self._first_due() if asked else None

    def _age(self, mark: tuple[str, float], now: float) -> float:
        """Seconds that the first event has waited; a clock that was put back cannot make it wait longer."""
        return max(now - mark[1], self._monotonic() - self._first_seen[mark])

    def _soonest(self) -> float:
        """Seconds until the next look: until the first group is due by its age, if that is sooner than usual."""
        after, now = self._gathering.after, self._clock()
        if after is None:
            return LOOK_EVERY
        return min([LOOK_EVERY, *(max(0.0, after - self._age(mark, now)) for mark in self._first_seen)])

    def _parts(self, begun: Sequence[Entry]) -> Iterator[list[Entry]]:
        """What was interrupted, as it is to be done again.

        What a family has noted something of belongs together as it was. Of the rest some event may be what kills the
        process: it is found out in ever smaller parts, and the last attempt that is allowed each has to itself. The
        least suspicious go first.
        """
        if noted := [entry for entry in begun if entry.evidence]:
            yield noted
        others = sorted((entry for entry in begun if not entry.evidence), key=self._company, reverse=True)
        for company, entries in groupby(others, key=self._company):
            alike = sorted(entries, key=_arrival)
            for first in range(0, len(alike), company):
                yield alike[first : first + company]

    def _company(self, entry: Entry) -> int:
        """With how many others at most an interrupted event is tried again, itself among them."""
        if entry.attempts >= self._most_attempts.get(entry.type, 1) - 1:
            return 1
        return max(1, self._gathering.count // int(_PARTS ** max(0, entry.attempts - 1)))

    def _give_out(self, entries: Sequence[Entry], why: str, work_on: Callable[[list[Delivery]], bool]) -> bool:
        if self._stopping:
            return False
        log.info("group given out", adaptor=self._adaptor, event_type=entries[0].type, count=len(entries), why=why)
        return work_on(self._deliveries(entries))


def _arrival(entry: Entry) -> int:
    return entry.place.arrival if entry.place else 0


def gatherer_of(
    adaptor: Adaptor,
    ledger: Ledger,
    settings: Settings,
    on_trouble: Callable[[Exception], None],
    on_pressure: Callable[[], None],
) -> Gatherer | None:
    """The gatherer of an adaptor; None if it gathers nothing."""
    gathering = adaptor._gathering
    if gathering is None:
        return None
    usual, handlers = settings.retry.policy(), adaptor._handlers.values()
    return Gatherer(
        adaptor.name,
        ledger,
        gathering,
        {spec.event_type: (spec.options.retry or usual).max_attempts for spec in handlers},
        max_held=settings.runner.max_held,
        on_trouble=on_trouble,
        on_pressure=on_pressure,
    )
