"""Files of many events whose handler was in doubt itself: no file is noted, and the doubt is settled before one is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter_sdk import Event, InDoubt, NotApplied, PermanentError, handles
from adapter_sdk.ledger.base import Record, State
from adapter_sdk.outcomes import RetriesExhausted
from adaptors.files import Batch, Drop, FileDropAdaptor
from tests.file_drops import MakePlace, Note, Place, error_of, places


class Doubting(FileDropAdaptor, batch=Batch(count=100, after=900)):
    """Looks the events up in a backend that answers the first time too late; it has what says `there`."""

    name = "doubting-batches"
    file_name = "NOTES{sequence:02d}.TXT"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def made(self, events: list[Event[Note]], drop: Drop) -> None:
        """All texts in one line; refuses `bad`."""
        texts = [event.data.text for event in events]
        if "bad" in texts:
            raise PermanentError("bad")
        drop.write_text(f"{drop.number}:" + ",".join(texts), encoding="ascii")

    @handles
    def note(self, events: list[Event[Note]], drop: Drop) -> None:
        self.made(events, drop)

    @note.verify
    def was_noted(self, event: Event[Note], drop: Drop) -> NotApplied | None:
        self.asked.append(event.data.text)
        return None if event.data.text == "there" else NotApplied()


class Harmless(Doubting):
    """The same before a backend that may be asked twice."""

    name = "harmless-doubting-batches"

    @handles(idempotent=True)
    def note(self, events: list[Event[Note]], drop: Drop) -> None:
        self.made(events, drop)


@pytest.fixture
def make_place(tmp_path: Path) -> Iterator[MakePlace]:
    """Makes a place with empty folders for an adaptor class."""
    with places(tmp_path, lambda drop: {"drop": drop}) as make:
        yield make


def in_doubt(place: Place, monkeypatch: pytest.MonkeyPatch, *events: tuple[str, str]) -> None:
    """The handler has ended in doubt for these events."""

    def too_late(*_: object) -> None:
        raise InDoubt("the answer came too late")

    claims = place.claim(*events)
    with monkeypatch.context() as patched:
        patched.setattr(place.adaptor, "made", too_late)
        outcomes = place.family.apply(claims, place.ledger)
    assert [type(error_of(one)) for one in outcomes] == [InDoubt] * len(events)
    doubts = [Record(key=claim.key, token=claim.token, state=State.CALLING) for claim in claims]
    assert all(place.ledger.record(doubts, 0.0))


def test_verify_is_asked_before_a_file_is_made(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is there goes into no file; the others go into one."""
    place = make_place(Doubting)
    in_doubt(place, monkeypatch, ("0", "there"), ("1", "a"), ("2", "b"))
    assert all(not hasattr(one, "error") for one in place.apply(("0", "there"), ("1", "a"), ("2", "b"), ("3", "c")))
    assert place.family.adaptor.asked == ["there", "a", "b"]  # type: ignore[attr-defined]
    assert place.dropped() == {"NOTES01.TXT": "1:a,b,c"}


def test_after_the_last_attempt_only_verify_is_asked(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its "not applied" ends the event, and no file is made."""
    place = make_place(Doubting)
    in_doubt(place, monkeypatch, ("0", "a"))
    [claim] = place.claim(("0", "a"))
    claim.only_asks = True
    [outcome] = place.family.apply([claim], place.ledger)
    assert isinstance(error_of(outcome), RetriesExhausted)
    assert not claim.in_doubt
    assert place.dropped() == {}


def test_what_nobody_can_tell_stays_in_doubt(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it does no harm the file is made unasked; if it cannot be, the first effect is still in doubt."""
    place = make_place(Harmless)
    in_doubt(place, monkeypatch, ("0", "a"), ("1", "bad"))
    claims = place.claim(("0", "a"), ("1", "bad"))
    applied, failed = place.family.apply(claims, place.ledger)
    assert not hasattr(applied, "error")
    assert str(error_of(failed)) == "bad"
    assert [claim.in_doubt for claim in claims] == [False, True]
    assert place.dropped() == {"NOTES01.TXT": "1:a"}
