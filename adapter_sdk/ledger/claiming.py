"""Claiming: the deliveries of one batch ask for their events, in one transaction."""

from collections.abc import Sequence
from dataclasses import replace

from adapter_sdk.errors import LedgerError
from adapter_sdk.events import Key
from adapter_sdk.ledger import schema
from adapter_sdk.ledger.base import ClaimRequest, Entry, Place, State, Verdict, decide, may_be_held
from adapter_sdk.ledger.codec import pack_message
from adapter_sdk.ledger.database import Owner
from adapter_sdk.ledger.rows import claim_of, event_hash
from adapter_sdk.ledger.table import Table

_ARRIVALS = "arrivals"
# Where the state goes that is found when a claim is taken over: a planned attempt has begun, a doubt stays a doubt.
_TAKEN_OVER = {State.WAITING: State.CLAIMED, State.HELD: State.CLAIMED, State.IN_DOUBT: State.CALLING}

Answer = tuple[Verdict, Entry]


class Claiming:
    """One batch of claims of one adaptor, made at `now` under one `token`."""

    def __init__(self, table: Table, adaptor: str, owner: Owner | None, number: int, token: str, now: float) -> None:
        self._table = table
        self._adaptor = adaptor
        self._owner = owner
        self._number = number
        self._token = token
        self._now = now

    def answer(self, requests: Sequence[ClaimRequest]) -> list[Answer]:
        """One answer per request. New keys are one insert; the others are looked at one by one."""
        fresh = [self._fresh(request, place) for request, place in zip(requests, self._places(requests), strict=True)]
        # Rows are always changed in one order, so that processes with the same keys in hand wait in no circle.
        pairs = sorted(zip(fresh, requests, strict=True), key=_order)
        if self._table.rows.run(schema.CLAIM, [claim_of(entry, self._adaptor) for entry, _ in pairs]) == len(pairs):
            answers = {entry.key: (Verdict.GRANTED, entry) for entry, _ in pairs}
        else:
            answers = {entry.key: self._decide(request, entry) for entry, request in pairs}
        self._hold_back(requests, answers)
        return [answers[request.key] for request in requests]

    def _fresh(self, request: ClaimRequest, place: Place | None) -> Entry:
        return Entry(
            key=request.key,
            state=State.CLAIMED,
            type=request.type,
            subject=request.subject,
            correlation_id=request.correlation_id,
            digest=request.digest,
            attempts=1,
            token=self._token,
            owner=self._number,
            place=place,
            received_at=self._now,
            updated_at=self._now,
        )

    def _places(self, requests: Sequence[ClaimRequest]) -> list[Place | None]:
        ordered = sum(request.order_key is not None for request in requests)
        if not ordered:
            return [None] * len(requests)
        last = self._table.take_numbers(_ARRIVALS, ordered)
        numbers = iter(range(last - ordered + 1, last + 1))
        return [None if request.order_key is None else Place(request.order_key, next(numbers)) for request in requests]

    def _decide(self, request: ClaimRequest, fresh: Entry) -> Answer:
        found = self._table.get(request.key)
        if found is None:
            raise LedgerError(f"the row of {request.key} vanished from the ledger during a claim")
        if found.token == fresh.token:
            return Verdict.GRANTED, fresh
        verdict = decide(found, request, self._in_other_hands)
        if verdict is Verdict.BUSY and request.message and found.place and not found.message:
            # Its turn comes before that of events which are on the broker; there a copy would come after them.
            keep = {**self._table.id(found.key), "message": pack_message(request.message)}
            self._table.rows.run(schema.KEEP, [keep])
            found = replace(found, message=request.message)
        if verdict is Verdict.GRANTED and request.gathered and found.place and found.message:
            return Verdict.HELD, found  # it comes again, and the ledger has it already, in whatever state it is
        if verdict is not Verdict.GRANTED:
            return verdict, found
        attempts = found.attempts + 1
        changed = self._table.rows.run(
            schema.TAKE_OVER,
            [
                {
                    **self._table.id(found.key),
                    "token": fresh.token,
                    "owner": fresh.owner,
                    "found": found.token,
                    "found_state": found.state,
                    "attempts": attempts,
                    "state": _TAKEN_OVER.get(found.state, found.state),
                    "updated_at": fresh.updated_at,
                    "order_key": fresh.place.order_key if fresh.place else None,
                    "arrival": fresh.place.arrival if fresh.place else None,
                }
            ],
        )
        if not changed:  # another process was quicker, and what it did may decide otherwise
            return self._decide(request, fresh)
        return verdict, replace(found, token=fresh.token, attempts=attempts, place=found.place or fresh.place)

    def _in_other_hands(self, owner: int) -> bool:
        return self._owner is not None and self._owner.lives(self._table.rows, owner)

    def _hold_back(self, requests: Sequence[ClaimRequest], answers: dict[Key, Answer]) -> None:
        """Turn grants into waiting in line where an earlier event of the same order key has not ended."""
        ordered = [
            (request, entry, entry.place)
            for request in requests
            if request.order_key is not None and request.message is not None
            for verdict, entry in [answers[request.key]]
            if verdict is Verdict.GRANTED and entry.place is not None
        ]
        if not ordered:
            return
        lines = {place.order_key for request, _, place in ordered if not request.gathered}
        firsts = self._firsts(lines, any(item[0].past_dead for item in ordered)) if lines else {}
        held = []
        for request, entry, place in ordered:
            waits = request.gathered or firsts[place.order_key] < place.arrival
            if waits and may_be_held(entry):
                waiting = replace(entry, state=State.HELD, attempts=entry.attempts - 1)
                answers[request.key] = Verdict.HELD, waiting
                message = pack_message(request.message) if request.message and not entry.message else None
                values = {"token": entry.token, "attempts": waiting.attempts, "message": message}
                held.append({**self._table.id(entry.key), **values})
        if held:
            self._table.rows.run(schema.HOLD, held)

    def _firsts(self, order_keys: set[str], past_dead: bool) -> dict[str, int]:
        """The arrival of the first event of each order key that has not ended: at the latest one of this batch."""
        names = {f"key{number}": order_key for number, order_key in enumerate(sorted(order_keys))}
        listed = ", ".join(f":{name}" for name in names)
        found = self._table.rows.fetch(
            f"SELECT order_key, MIN(arrival) FROM adaptor_ledger WHERE adaptor = :adaptor AND {schema.NOT_ENDED} "
            f"AND order_key IN ({listed}) GROUP BY order_key",
            {"adaptor": self._adaptor, "past_dead": int(past_dead), **names},
        )
        return {row[0]: row[1] for row in found}


def _order(pair: tuple[Entry, ClaimRequest]) -> str:
    return event_hash(pair[0].key)
