"""The line: ordered events that the ledger gives out again when their turn has come.

An ordered event does not wait on the broker: there its copy would come back behind whatever has arrived since. Its
message is in the ledger from the moment that it has to wait, for its next attempt or behind another event.
"""

import time
from collections.abc import Callable, Sequence

import structlog

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Entry, Ledger, State
from adapter_sdk.ordering import declared_order
from adapter_sdk.settings import Settings
from adapter_sdk.transport.base import Delivery
from adapter_sdk.waiting_room import LOOK_EVERY, WaitingRoom
from adapter_sdk.waits import Waits
from adapter_sdk.work import FromLedger

log = structlog.get_logger("adaptor")

# Events of one look at most, and of one order key among them.
_FIRSTS, _FOLLOWERS = 200, 50


class Line(WaitingRoom):
    """Looks for events whose turn has come, and hands them to the workers.

    At most about `most_out` events are given out and not done.
    """

    def __init__(
        self,
        adaptor: str,
        ledger: Ledger,
        *,
        past_dead: bool,
        max_held: int,
        most_out: int,
        on_trouble: Callable[[Exception], None],
        on_pressure: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        states = (State.CLAIMED, State.STAGED, State.CALLING)
        begun = any(entry.state in states for entry in ledger.next_in_line(past_dead, 1))
        super().__init__(
            adaptor, ledger, begun=begun, max_held=max_held, on_trouble=on_trouble, on_pressure=on_pressure
        )
        self._past_dead = past_dead
        self._most_out = most_out
        self._out: set[Key] = set()
        self._waits = Waits(clock)

    def start(self, put: Callable[[Sequence[Delivery]], None]) -> None:
        """Begin to look, and to hand what is found to `put`."""
        self._put = put
        if self.full:
            log.warning(
                "too many events held", adaptor=self._adaptor, count=self._held, limit=self._max_held, **_REMEDY
            )
        self._thread.start()

    def done(self, deliveries: Sequence[Delivery], *, held: int, progress: bool) -> None:
        """These are settled; so many are held now that were not before; some may have made room for the next."""
        given = {delivery.receipt.key for delivery in deliveries if isinstance(delivery.receipt, FromLedger)}
        with self._lock:
            self._out -= given
            self._held += held
            full = self._held >= self._max_held
        if full:
            self._press(True)
        if given and progress:
            self._look_now.set()

    def _look(self) -> float:
        """Give out what may be worked on now; seconds until the next look."""
        self._count()
        with self._lock:
            out = len(self._out)
        pause = LOOK_EVERY
        firsts = self._ledger.next_in_line(self._past_dead, _FIRSTS)
        self._waits.only(firsts)
        for entry in firsts:
            if out >= self._most_out or self._stopping:
                break
            wait = self._waits.left(entry)
            if wait > 0:
                pause = min(pause, wait)
            elif entry.key not in self._out:
                out += self._give_out(entry)
        return pause

    def _give_out(self, first: Entry) -> int:
        # What has been tried before may fail again, and would only send back those behind it.
        fresh = first.place if first.state is State.HELD else None
        entries = [first, *(self._ledger.held_behind(fresh, _FOLLOWERS) if fresh else ())]
        given = self._deliveries(entries)
        with self._lock:
            self._out.update(entry.key for entry in entries)
        log.debug("given out", adaptor=self._adaptor, order_key=first.place and first.place.order_key, count=len(given))
        self._put(given)
        return len(given)


_REMEDY = {"remedy": "see `adaptor dead list` and `adaptor doubt list` for what they wait behind"}


def line_of(
    adaptor: Adaptor,
    ledger: Ledger,
    settings: Settings,
    on_trouble: Callable[[Exception], None],
    on_pressure: Callable[[], None],
) -> Line | None:
    """The line of an adaptor that keeps order, or whose events still wait in the ledger because they once were to."""
    ordered = declared_order(type(adaptor)) is not None
    if not ordered and not ledger.held() and not ledger.next_in_line(past_dead=True, limit=1):
        return None
    return Line(
        adaptor.name,
        ledger,
        past_dead=not ordered or adaptor.on_dead == "continue",
        max_held=settings.runner.max_held,
        most_out=settings.broker.prefetch,
        on_trouble=on_trouble,
        on_pressure=on_pressure,
    )
