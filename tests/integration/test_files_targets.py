"""The same drop on every kind of server, with their habits; what arrives is seen in a folder of this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import BackendUnavailable, InDoubt
from adapter_sdk.family import Applied, Claim, Outcome
from adaptors.files import FileDropAdaptor, FileExists
from adaptors.files.targets.remote import RemoteFolder
from tests.file_drops import Controlled, MakePlace, Marked, Notes, Refusing, Replacing, Same, error_of, places
from tests.file_servers import HABITS, SERVERS, FileServer
from tests.services.run import Run


@pytest.fixture(scope="module", params=SERVERS | HABITS)
def server(request: pytest.FixtureRequest, service_run: Run) -> Iterator[FileServer]:
    """One kind of server."""
    with (SERVERS | HABITS)[request.param](service_run) as server:
        yield server


@pytest.fixture
def make_place(tmp_path: Path, server: FileServer) -> Iterator[MakePlace]:
    """Makes a place with empty folders for an adaptor class."""
    with places(tmp_path, server.settings) as make:
        yield make


def kinds(outcomes: list[Outcome]) -> list[str]:
    """What became of each event."""
    return [type(outcome).__name__ for outcome in outcomes]


def test_a_batch_arrives_whole_in_order_and_leaves_nothing_behind(make_place: MakePlace) -> None:
    """Each event has one file with its content under gap-free numbers; one failing event costs only itself."""
    place = make_place()
    outcomes = place.apply(("1", "one"), ("2", "bug"), ("3", "three"), ("4", "x" * 200_000), ("5", ""))
    assert kinds(outcomes) == ["Applied", "Failed", "Applied", "Applied", "Applied"]
    assert place.dropped() == {"NOTE001.TXT": "one", "NOTE002.TXT": "three", "NOTE003.TXT": "x" * 200_000}
    assert place.staged() == []


def test_what_was_left_in_staging_is_seen_although_its_name_begins_with_a_dot(make_place: MakePlace) -> None:
    """Else nobody would take it away: some servers name such files only to those who ask for all."""
    place = make_place()
    (place.staging / ".notes-left.0").write_text("half")
    with place.family._target.folders() as (staging, _):
        assert [name for name, _ in staging.names(".notes-")] == [".notes-left.0"]


def test_markers_stand_around_their_file(make_place: MakePlace) -> None:
    """Before and after it, with its number, size and checksum."""
    place = make_place(Controlled)
    assert place.apply(("1", "one")) == [Applied(())]
    assert place.dropped() == {"NOTE001.CTL": "NOTE001.TXT 3", "NOTE001.TXT": "one", "NOTE001.TXT.crc": "7a6c86f1"}
    assert place.staged() == []


@pytest.mark.parametrize(
    ("adaptor", "there", "expected"),
    [(Refusing, "b", "Failed"), (Refusing, "a", "Failed"), (Same, "a", "Applied"), (Same, "b", "Failed"),
     (Replacing, "b", "Applied")],
)  # fmt: skip
def test_what_a_taken_name_means_is_the_adaptors_choice(
    make_place: MakePlace, adaptor: type[FileDropAdaptor], there: str, expected: str
) -> None:
    """A file that is there is never replaced unless asked for, also where the server would."""
    place = make_place(adaptor)
    (place.drop / "1.TXT").write_text(there)
    [outcome] = place.apply(("1", "a"))
    assert type(outcome).__name__ == expected
    if expected == "Failed":
        assert isinstance(error_of(outcome), FileExists)
    assert place.dropped() == {"1.TXT": there if expected == "Failed" else "a"}
    assert place.staged() == []


def test_a_marker_left_over_by_the_reader_is_not_taken_for_one_of_ours(make_place: MakePlace) -> None:
    """Its file is not dropped, since a reader would take it before it is whole."""
    place = make_place(Marked)
    (place.drop / "1.OK").touch()
    [outcome] = place.apply(("1", "a"))
    assert "holds 1.OK without 1.TXT" in str(error_of(outcome))
    assert place.dropped() == {"1.OK": ""}


def interrupted(place: Any, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> list[Claim]:
    """An event whose process dies before, or after, its file is renamed into the drop: its claim, taken over."""
    move = RemoteFolder.move

    def dying(self: RemoteFolder, name: str, to: RemoteFolder, new_name: str, *, replace: bool) -> None:
        if after:
            move(self, name, to, new_name, replace=replace)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "move", dying)
        with pytest.raises(KeyboardInterrupt):
            place.family.apply(place.claim(("1", "a")), place.ledger)
    claims: list[Claim] = place.claim(("1", "a"))
    monkeypatch.setattr(Notes, "note", lambda self, event, drop: pytest.fail("the handler was asked again"))
    return claims


def test_what_is_still_staged_is_dropped(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was staged; the handler is not called again."""
    place = make_place()
    claims = interrupted(place, monkeypatch, after=False)
    assert place.family.apply(claims, place.ledger) == [Applied(())]
    assert place.dropped() == {"NOTE001.TXT": "a"}


def test_what_the_drop_holds_already_was_dropped(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """By size and checksum."""
    place = make_place()
    claims = interrupted(place, monkeypatch, after=True)
    assert place.family.apply(claims, place.ledger) == [Applied(())]
    assert place.dropped() == {"NOTE001.TXT": "a"}


def test_what_is_in_neither_folder_is_in_doubt(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader may have taken it; nobody asked the server to keep what it had."""
    place = make_place()
    claims = interrupted(place, monkeypatch, after=True)
    (place.drop / "NOTE001.TXT").unlink()
    [outcome] = place.family.apply(claims, place.ledger)
    assert isinstance(error_of(outcome), InDoubt)
    assert "NOTE001.TXT is neither in" in str(error_of(outcome))
    assert place.dropped() == {}


def test_a_removed_drop_folder_is_an_outage(make_place: MakePlace) -> None:
    """While the folder is away the event waits without loss, and is dropped when it is back."""
    place = make_place()
    place.drop.rmdir()
    [outcome] = place.family.apply(place.claim(("1", "a")), place.ledger)
    assert isinstance(error_of(outcome), BackendUnavailable), error_of(outcome)
    with pytest.raises(BackendUnavailable):
        place.family.probe()
    with pytest.raises(BackendUnavailable):
        place.family.open()
    place.drop.mkdir()
    place.family.open()
    place.family.probe()
    assert place.apply(("1", "a")) == [Applied(())]
    assert place.dropped() == {"NOTE001.TXT": "a"}


def test_checking_and_probing_leave_nothing_behind(make_place: MakePlace) -> None:
    """Neither in the drop nor in staging."""
    place = make_place()
    assert place.family.check() == []
    place.family.probe()
    assert (place.dropped(), place.staged()) == ({}, [])
