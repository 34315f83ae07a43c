"""Files of many events, in real folders: who is to blame, how large they are, what is in the way, and crashes."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import (
    Adaptor,
    BackendUnavailable,
    ConfigError,
    Event,
    EventData,
    InDoubt,
    NotApplied,
    PermanentError,
    TransientError,
    handles,
)
from adapter_sdk.errors import AdaptorError, LedgerError
from adapter_sdk.family import Applied, Outcome
from adapter_sdk.ledger.base import Record, State
from adaptors.files import Batch, Drop, FileDropAdaptor, FormatError, Marker
from adaptors.files.release import Release
from adaptors.files.staging import stage
from tests.file_drops import MakePlace, Note, Place, error_of, places
from tests.file_servers import on_sftp
from tests.services.run import Run


class Killed(BaseException):
    """The process died here."""


class NoteBatches(FileDropAdaptor, batch=Batch(count=100, after=900)):
    """One line per note; the text says what goes wrong."""

    name = "note-batches"
    file_name = "NOTES{sequence:02d}.TXT"

    @handles
    def note(self, events: list[Event[Note]], drop: Drop) -> None:
        """Refuses `bad`, has trouble with `busy`, and cannot have `x` and `y` in one file."""
        texts = [event.data.text for event in events]
        if "bad" in texts:
            raise PermanentError("bad")
        if "busy" in texts:
            raise TransientError("busy")
        if "away" in texts:
            raise BackendUnavailable("away")
        if {"x", "y"} <= set(texts):
            raise PermanentError("x and y")
        if any(texts):
            drop.write_text(f"{drop.number}:" + ",".join(texts), encoding="ascii", records=len(texts))


class Small(NoteBatches, batch=Batch(count=100, after=900, bytes=12)):
    name = "small-batches"


class Checked(NoteBatches):
    name = "checked-batches"
    marker = (Marker("{stem}.CTL", "{name} {records}", before=True),)


class Replacing(NoteBatches):
    name = "replacing-batches"
    exists = "replace"


def write_all(events: list[Event[Note]], drop: Drop) -> None:
    """All texts in one line; refuses `bad`."""
    texts = [event.data.text for event in events]
    if "bad" in texts:
        raise PermanentError("bad")
    drop.write_text(f"{drop.number}:" + ",".join(texts), encoding="ascii", records=len(texts))


class Harmless(FileDropAdaptor, batch=Batch(count=100, after=900)):
    """Before a backend that knows a file that it has had."""

    name = "harmless-batches"
    file_name = NoteBatches.file_name

    @handles(idempotent=True)
    def note(self, events: list[Event[Note]], drop: Drop) -> None:
        write_all(events, drop)


class Asking(FileDropAdaptor, batch=Batch(count=100, after=900)):
    """Before a backend that can be asked: it has what says `there`, and cannot tell `who knows`."""

    name = "asking-batches"
    file_name = NoteBatches.file_name

    @handles
    def note(self, events: list[Event[Note]], drop: Drop) -> None:
        write_all(events, drop)

    @note.verify
    def was_noted(self, event: Event[Note], drop: Drop) -> NotApplied | None:
        if event.data.text == "who knows":
            raise InDoubt("nobody knows")
        return None if event.data.text == "there" else NotApplied()


@pytest.fixture
def make_place(tmp_path: Path) -> Iterator[MakePlace]:
    """Makes a place with empty folders for an adaptor class."""
    with places(tmp_path, lambda drop: {"drop": drop}) as make:
        yield make


def notes(*texts: str) -> list[tuple[str, str]]:
    """Events with these texts, numbered."""
    return [(str(number), text) for number, text in enumerate(texts)]


def kinds(outcomes: list[Outcome]) -> list[str]:
    """What became of each event."""
    return ["Applied" if isinstance(one, Applied) else str(error_of(one)) for one in outcomes]


def test_one_file_for_the_list(make_place: MakePlace) -> None:
    """All events are in one file in their order, and the row of each says which, with size and checksum."""
    place = make_place(Checked)
    assert kinds(place.apply(*notes("a", "b", "c"))) == ["Applied"] * 3
    assert place.dropped() == {"NOTES01.TXT": "1:a,b,c", "NOTES01.CTL": "NOTES01.TXT 3"}
    assert place.staged() == []
    names = [[file[1] for file in place.evidence(id_)["files"]] for id_ in "012"]
    assert names == [["NOTES01.CTL", "NOTES01.TXT"]] * 3


def test_nothing_to_write_is_no_file_and_no_number(make_place: MakePlace) -> None:
    """A handler that writes nothing for its list has applied it; the number is the next file's."""
    place = make_place(NoteBatches)
    assert kinds(place.apply(*notes("", ""))) == ["Applied"] * 2
    assert kinds(place.apply(("9", "a"))) == ["Applied"]
    assert place.dropped() == {"NOTES01.TXT": "1:a"}


@pytest.mark.parametrize("trouble", ["bad", "busy"])
def test_a_bad_event_costs_only_itself(make_place: MakePlace, trouble: str) -> None:
    """Those that fail are found out, each with its own error, and the others are in one file without them."""
    place = make_place(NoteBatches)
    texts = [trouble if number in (0, 7, 8) else "abcdefghijk"[number] for number in range(11)]
    assert kinds(place.apply(*notes(*texts))) == [trouble if text == trouble else "Applied" for text in texts]
    assert place.dropped() == {"NOTES01.TXT": "1:" + ",".join(text for text in texts if text != trouble)}


def test_events_that_fail_only_together_get_two_files(make_place: MakePlace) -> None:
    """Where no event fails by itself none is to blame, and the list is divided."""
    place = make_place(NoteBatches)
    assert kinds(place.apply(*notes("a", "x", "y", "b"))) == ["Applied"] * 4
    assert place.dropped() == {"NOTES01.TXT": "1:a,x", "NOTES02.TXT": "2:y,b"}


def test_an_absent_backend_is_nobodys_fault(make_place: MakePlace) -> None:
    """What a handler needs and cannot reach keeps the whole list waiting; no event is tried by itself."""
    place = make_place(NoteBatches)
    outcomes = place.apply(*notes("a", "away", "b"))
    assert [type(error_of(one)) for one in outcomes] == [BackendUnavailable] * 3
    assert place.dropped() == {}


def test_no_file_is_larger_than_it_may_be(make_place: MakePlace) -> None:
    """A list whose file would be too large becomes several; an event that alone is too large is refused."""
    place = make_place(Small)
    outcomes = place.apply(*notes("aaaa", "bbbb", "cccc", "dddddddddddd", "eeee"))
    assert kinds(outcomes)[:3] == ["Applied"] * 3
    assert isinstance(error_of(outcomes[3]), FormatError)
    assert str(error_of(outcomes[3])) == "the file of this event alone has 14 bytes, and `bytes` is 12"
    assert isinstance(outcomes[4], Applied)
    dropped = place.dropped()
    assert all(len(content) <= 12 for content in dropped.values())
    assert [name for content in dropped.values() for name in content[2:].split(",")] == ["aaaa", "bbbb", "cccc", "eeee"]


def test_what_is_in_the_way_is_waited_for(make_place: MakePlace) -> None:
    """Where the drop holds a file of that name the adaptor pauses: the same bytes are dropped when it is gone."""
    place = make_place(NoteBatches)
    (place.drop / "NOTES01.TXT").write_text("another's")
    outcomes = place.apply(*notes("a", "b"))
    assert [type(error_of(one)) for one in outcomes] == [BackendUnavailable] * 2
    assert "already holds a file named NOTES01.TXT; what is gathered waits" in str(error_of(outcomes[0]))
    (place.drop / "NOTES01.TXT").unlink()
    assert kinds(place.apply(*notes("changed", "list"), ("2", "c"))) == ["Applied"] * 3
    assert place.dropped() == {"NOTES01.TXT": "1:a,b", "NOTES02.TXT": "2:c"}
    assert place.staged() == []


def test_a_file_may_be_replaced(make_place: MakePlace) -> None:
    """With exists = "replace" what is in the way is overwritten."""
    place = make_place(Replacing)
    (place.drop / "NOTES01.TXT").write_text("another's")
    assert kinds(place.apply(("1", "a"))) == ["Applied"]
    assert place.dropped() == {"NOTES01.TXT": "1:a"}


def test_a_number_that_outgrows_the_name_is_nobodys_fault(make_place: MakePlace) -> None:
    """When no name is left the adaptor pauses and says why; no event becomes a dead letter for it."""
    place = make_place(NoteBatches)
    with place.ledger.transaction() as transaction:
        for _ in range(99):
            transaction.next_number("drop")
    error = error_of(place.apply(("1", "a"))[0])
    assert isinstance(error, BackendUnavailable)
    assert "sequence number 100 is longer than" in str(error)
    assert place.staged() == []


@pytest.mark.parametrize("before", [True, False])
def test_a_noted_file_keeps_list_number_and_bytes(
    make_place: MakePlace, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Dead after the note, before or after the drop: the same file is dropped once, whatever the events say then."""
    place = make_place(NoteBatches)
    run = Release.run

    def die(release: Release, parcels: Any) -> None:
        if not before:
            run(release, parcels)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Release, "run", die)
        with pytest.raises(Killed):
            place.apply(*notes("a", "b"))
    taken = place.dropped()  # the reader takes it away at once
    for name in taken:
        (place.drop / name).unlink()
    outcomes = place.apply(*notes("changed", "bad"), ("2", "c"))
    assert kinds(outcomes) == ["Applied"] * 3
    assert taken | place.dropped() == {"NOTES01.TXT": "1:a,b", "NOTES02.TXT": "2:c"}
    assert place.staged() == []


def test_a_file_that_was_not_noted_is_made_anew(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead before the note nothing can be seen: the next list has the number, and nothing is left in staging."""
    place = make_place(NoteBatches)

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("adaptors.files.batch_files.Staged.of", die)
        with pytest.raises(Killed):
            place.apply(*notes("a", "b"))
    assert len(place.staged()) == 1
    assert kinds(place.apply(*notes("a", "b", "c"))) == ["Applied"] * 3
    assert place.dropped() == {"NOTES01.TXT": "1:a,b,c"}
    assert place.staged() == []


def test_who_wakes_too_late_changes_no_noted_file(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was held up while it staged a file, and has lost its events, leaves the file of the next alone."""
    place = make_place(NoteBatches)
    (place.drop / "NOTES01.TXT").write_text("another's")

    def held_up(*staging_and_parcels: Any) -> list[AdaptorError | None]:
        monkeypatch.undo()
        assert [type(error_of(one)) for one in place.apply(*notes("c", "d"))] == [BackendUnavailable] * 2
        return stage(*staging_and_parcels)

    monkeypatch.setattr("adaptors.files.batch_files.stage", held_up)
    with pytest.raises(LedgerError, match="the number 1 of its files is taken"):
        place.apply(*notes("a", "b"))
    (place.drop / "NOTES01.TXT").unlink()
    assert kinds(place.apply(*notes("c", "d"))) == ["Applied"] * 2
    assert place.dropped() == {"NOTES01.TXT": "1:c,d"}
    assert place.staged() == []


class TestOnAServer:
    """What is gone from staging there was dropped if the drop holds it."""

    @pytest.fixture
    def make_place(self, tmp_path: Path, service_run: Run) -> Iterator[MakePlace]:
        """A place whose drop is reached over SFTP."""
        with on_sftp(service_run) as server, places(tmp_path, server.settings) as make:
            yield make

    @pytest.mark.parametrize("taken", [False, True])
    def test_a_crash_after_the_drop(self, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
        """Found in the drop, all its events are applied; taken by the reader meanwhile, all of them are in doubt.

        None of them is in a second file.
        """
        place = make_place(NoteBatches)
        run = Release.run

        def die(release: Release, parcels: Any) -> None:
            run(release, parcels)
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(Release, "run", die)
            with pytest.raises(Killed):
                place.apply(*notes("a", "b"))
        assert place.dropped() == {"NOTES01.TXT": "1:a,b"}
        if taken:
            (place.drop / "NOTES01.TXT").unlink()
        outcomes = place.apply(*notes("a", "b"), ("2", "c"))
        assert [isinstance(one, Applied) or type(error_of(one)) for one in outcomes] == (
            [InDoubt, InDoubt, True] if taken else [True] * 3
        )
        assert place.dropped() == {"NOTES02.TXT": "2:c"} | ({} if taken else {"NOTES01.TXT": "1:a,b"})

    @staticmethod
    def in_doubt(place: Place, monkeypatch: pytest.MonkeyPatch, *events: tuple[str, str]) -> dict[str, str]:
        """Dead after the drop of these events, and the reader was quick: what it took. All are in doubt then."""
        run = Release.run

        def die(release: Release, parcels: Any) -> None:
            run(release, parcels)
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(Release, "run", die)
            with pytest.raises(Killed):
                place.apply(*events)
        taken = place.dropped()
        for name in taken:
            (place.drop / name).unlink()
        claims = place.claim(*events)
        assert [type(error_of(one)) for one in place.family.apply(claims, place.ledger)] == [InDoubt] * len(events)
        doubts = [Record(key=claim.key, token=claim.token, state=State.CALLING) for claim in claims]
        assert all(place.ledger.record(doubts, 0.0))
        return taken

    def test_a_file_that_may_come_twice_comes_as_it_was(
        self, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where it does no harm the file in doubt is made again: the same name, number and bytes."""
        place = make_place(Harmless)
        taken = self.in_doubt(place, monkeypatch, *notes("a", "b"))
        assert kinds(place.apply(*notes("a", "b"), ("2", "c"))) == ["Applied"] * 3
        assert place.dropped() == taken | {"NOTES02.TXT": "2:c"}
        assert place.staged() == []

    def test_two_files_in_doubt_come_as_they_were(self, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
        """Asked for together, the events of each go into their own file again, the earlier file first."""
        place = make_place(Harmless)
        taken = self.in_doubt(place, monkeypatch, ("0", "a"), ("1", "b"))
        taken |= self.in_doubt(place, monkeypatch, ("2", "c"))
        assert kinds(place.apply(("0", "a"), ("1", "b"), ("2", "c"))) == ["Applied"] * 3
        assert place.dropped() == taken == {"NOTES01.TXT": "1:a,b", "NOTES02.TXT": "2:c"}

    @pytest.mark.parametrize("before", [True, False])
    def test_a_crash_while_it_is_made_again(
        self, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch, before: bool
    ) -> None:
        """Dead before or after the note of the second making: still that file, and no other."""
        place = make_place(Harmless)
        taken = self.in_doubt(place, monkeypatch, *notes("a", "b"))

        def die(*_: Any) -> None:
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr("adaptors.files.batch_files." + ("Staged.of" if before else "Release.run"), die)
            with pytest.raises(Killed):
                place.apply(*notes("a", "b"))
        assert kinds(place.apply(*notes("a", "b"), ("2", "c"))) == ["Applied"] * 3
        assert place.dropped() == taken | {"NOTES02.TXT": "2:c"}
        assert place.staged() == []

    def test_a_file_of_which_nothing_was_applied_comes_as_it_was(
        self, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When `verify` says of each of its events that it was not applied, the file is made again as it was."""
        place = make_place(Asking)
        taken = self.in_doubt(place, monkeypatch, *notes("a", "b"))
        assert kinds(place.apply(*notes("a", "b"), ("2", "c"))) == ["Applied"] * 3
        assert place.dropped() == taken | {"NOTES02.TXT": "2:c"}

    def test_a_file_of_which_a_part_was_applied_does_not_come_again(
        self, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its events that are known not to be applied go into another file; of those that nobody knows none does."""
        place = make_place(Asking)
        self.in_doubt(place, monkeypatch, *notes("a", "there", "b", "who knows"))
        outcomes = place.apply(*notes("a", "there", "b", "who knows"))
        assert kinds(outcomes) == ["Applied"] * 3 + ["nobody knows"]
        assert place.dropped() == {"NOTES02.TXT": "2:a,b"}
        assert kinds(place.apply(("3", "who knows"))) == ["nobody knows"]

    @pytest.mark.parametrize(
        ("trouble", "then"),
        [
            (InDoubt("nobody knows"), {"NOTES02.TXT": "2:b", "NOTES03.TXT": "3:slow"}),
            (BackendUnavailable("away"), {"NOTES02.TXT": "2:slow,b"}),
        ],
    )
    def test_what_is_told_later_of_a_part_takes_another_number(
        self, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch, trouble: Exception, then: dict[str, str]
    ) -> None:
        """A file comes as it was with all its events only: not with what is left when the others are settled."""

        def fails(asking: Asking, event: Event[Note], drop: Drop) -> NotApplied | None:
            if event.data.text == "slow":
                raise trouble
            return None if event.data.text == "there" else NotApplied()

        place = make_place(Asking)
        self.in_doubt(place, monkeypatch, *notes("there", "slow", "b"))
        with monkeypatch.context() as patched:
            patched.setattr(Asking, "was_noted", fails)
            outcomes = place.apply(*notes("there", "slow", "b"))
        left = [event for event, one in zip(notes("there", "slow", "b"), outcomes, strict=True) if one != Applied(())]
        assert left[0] == ("1", "slow")
        assert kinds(place.apply(*left)) == ["Applied"] * len(left)
        assert place.dropped() == then

    def test_what_spoils_the_file_is_left_out_of_the_next(
        self, make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that the handler cannot make again becomes another one, of the events that it can be made of."""
        place = make_place(Harmless)
        self.in_doubt(place, monkeypatch, *notes("a", "b"))
        assert kinds(place.apply(("0", "a"), ("1", "bad"))) == ["Applied", "bad"]
        assert place.dropped() == {"NOTES02.TXT": "2:a"}

    def test_a_file_that_never_arrived_keeps_no_number(self, make_place: MakePlace) -> None:
        """When a person says of an event in doubt that its file never came, it goes into another, with a new number."""
        place = make_place(NoteBatches)
        place.apply(*notes("a", "b"))
        assert place.family.without_doubt(place.evidence("0")) == {}


class TestDeclaration:
    """What the class says about its files."""

    def declared(self, **body: Any) -> None:
        """A class with this body."""

        def take(self: object, events: list[Event[Note]], drop: Drop) -> None:
            return None

        whole = {"name": "made", "file_name": "{sequence}", "take": handles(take), **body}
        types.new_class("Made", (FileDropAdaptor,), {"batch": Batch(after=1)}, lambda space: space.update(whole))

    def test_a_handler_of_one_event_is_refused(self) -> None:
        """With `batch` every handler takes a list."""

        class Other(EventData, type="com.shop.other"):
            text: str

        def other(self: object, event: Event[Other], drop: Drop) -> None:
            return None

        other.__annotations__["event"] = Event[Other]
        with pytest.raises(ConfigError, match=r"Made\.other .*: takes one event; with `batch` a handler takes several"):
            self.declared(other=handles(other))

    def test_a_name_of_one_event_is_refused(self) -> None:
        """A file of many is not named by what one of them says."""
        with pytest.raises(ConfigError, match=r"file_name takes id, subject of one event; a file of many is named by"):
            self.declared(file_name="{id}-{subject}-{time:%Y}-{sequence}")

    def test_other_bases_gather_nothing(self) -> None:
        """A `batch` where effects are not made together is a fault of the class."""
        with pytest.raises(ConfigError, match="adaptors of this base gather nothing; take `batch` away"):

            class Booking(Adaptor, batch=Batch(after=1)):
                name = "booking"

                @handles
                def book(self, events: list[Event[Note]]) -> None:
                    return None

    def test_an_order_is_refused(self) -> None:
        """Events that wait for each other and for their file would be two promises about order."""
        with pytest.raises(ConfigError, match="has ordered_by and batch; a batch keeps the order of arrival"):
            self.declared(ordered_by="subject")
