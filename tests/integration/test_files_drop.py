"""The file drop on real folders and a real ledger: what arrives, what is refused, in which order it is made durable."""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import BackendUnavailable, ConfigError, InDoubt, TransientError
from adapter_sdk.family import Applied
from adapter_sdk.ledger.base import ClaimLost, Record, State
from adaptors.files import FileDropAdaptor, FileExists, FormatError
from adaptors.files.settings import FileSettings
from adaptors.files.targets.local import LocalFolder
from tests.file_drops import MakePlace, Marked, Notes, Numbered, Refusing, Replacing, Same, error_of, places


@pytest.fixture
def make_place(tmp_path: Path) -> Iterator[MakePlace]:
    """Makes a place with empty folders for an adaptor class."""
    with places(tmp_path, lambda drop: {"drop": drop}) as make:
        yield make


@pytest.mark.parametrize("sync", ["files", "volume", "auto"])
def test_a_batch_arrives_whole_in_order_and_leaves_nothing_behind(make_place: MakePlace, sync: str) -> None:
    """Each event has one file with its content under gap-free numbers; staging is empty afterwards."""
    place = make_place(sync=sync)
    outcomes = place.apply(*((f"e{n}", f"text {n}") for n in range(1, 21)))
    assert outcomes == [Applied(())] * 20
    assert place.dropped() == {f"NOTE{n:03d}.TXT": f"text {n}" for n in range(1, 21)}
    assert place.staged() == []


def test_a_failing_event_costs_only_itself_and_no_number(make_place: MakePlace) -> None:
    """A handler's bug and a character outside the encoding take no number from the events around them."""
    place = make_place()
    outcomes = place.apply(("1", "a"), ("2", "bug"), ("3", "é"), ("4", "b"), ("5", ""))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Applied", "Failed", "Failed", "Applied", "Applied"]
    assert isinstance(error_of(outcomes[1]), RuntimeError)
    assert isinstance(error_of(outcomes[2]), FormatError)
    assert place.dropped() == {"NOTE001.TXT": "a", "NOTE002.TXT": "b"}


def test_a_number_too_long_for_its_name_is_refused_and_not_taken(make_place: MakePlace) -> None:
    """After 999 the three digits are used up: the events are set aside and the sequence stands where it stood."""
    place = make_place()
    with place.ledger.transaction() as transaction:
        for _ in range(998):
            transaction.next_number("drop")
    outcomes = place.apply(("1", "a"), ("2", "b"), ("3", "c"))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Applied", "Failed", "Failed"]
    assert "sequence number 1000 is longer" in str(error_of(outcomes[1]))
    assert place.dropped() == {"NOTE999.TXT": "a"}
    with place.ledger.transaction() as transaction:
        assert transaction.next_number("drop") == 1000


def test_a_file_can_tell_its_own_number(make_place: MakePlace) -> None:
    """The one in its name. An event that fails after it has asked keeps its number until it is tried again."""
    place = make_place(Numbered)
    outcomes = place.apply(("1", "a"), ("2", "bug"), ("3", "c"))
    assert [type(outcome).__name__ for outcome in outcomes] == ["Applied", "Failed", "Applied"]
    assert place.dropped() == {"NOTE001.TXT": "1: a", "NOTE003.TXT": "3: c"}
    assert place.evidence("2") == {"number": 2}
    assert place.apply(("4", "d"), ("2", "b")) == [Applied(())] * 2
    assert place.dropped() == {
        "NOTE001.TXT": "1: a",
        "NOTE002.TXT": "2: b",
        "NOTE003.TXT": "3: c",
        "NOTE004.TXT": "4: d",
    }


def test_a_lost_claim_stops_its_own_drop_only(make_place: MakePlace) -> None:
    """An event that another worker has taken over is not dropped here, and takes no number."""
    place = make_place()
    claims = place.claim(("1", "a"), ("2", "b"))
    place.claim(("1", "a"))
    outcomes = place.family.apply(claims, place.ledger)
    assert isinstance(error_of(outcomes[0]), ClaimLost)
    assert outcomes[1] == Applied(())
    assert place.dropped() == {"NOTE001.TXT": "b"}


def test_an_event_whose_staged_file_is_gone_was_dropped(make_place: MakePlace) -> None:
    """After a crash between the drop and its record, the reader having taken the file, nothing is dropped again."""
    place = make_place()
    first = place.family.apply(place.claim(("1", "a")), place.ledger)
    (place.drop / "NOTE001.TXT").unlink()
    assert first == place.apply(("1", "a")) == [Applied(())]
    assert place.dropped() == {}


def test_an_event_whose_staged_file_is_there_is_dropped_as_it_was_staged(
    make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that failed is done later with the same name and bytes, and the handler is not asked again."""
    place = make_place()
    claims = place.claim(("1", "a"))
    with monkeypatch.context() as patch:
        patch.setattr(LocalFolder, "move", _failing_into(place.drop, LocalFolder.move))
        assert isinstance(error_of(place.family.apply(claims, place.ledger)[0]), TransientError)
    assert len(place.staged()) == 1
    monkeypatch.setattr(Notes, "note", lambda self, event, drop: pytest.fail("the handler was asked again"))
    # Once with the claim in hand, as an immediate try, and it would be the same with a claim of the ledger.
    assert place.family.apply(claims, place.ledger) == [Applied(())]
    assert place.dropped() == {"NOTE001.TXT": "a"}


def _failing_into(folder: Path, move: Callable[..., None]) -> Callable[..., None]:
    def failing(self: LocalFolder, name: str, to: LocalFolder, new_name: str, *, replace: bool) -> None:
        if to.path == folder:
            raise OSError(11, "busy")
        move(self, name, to, new_name, replace=replace)

    return failing


def test_what_could_not_be_staged_is_not_left_behind(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails in the middle of staging leaves a file there, which goes when the event comes again."""
    place = make_place()
    claims = place.claim(("1", "a"))
    with monkeypatch.context() as patch:
        patch.setattr(LocalFolder, "sync", _failing)
        assert isinstance(error_of(place.family.apply(claims, place.ledger)[0]), BackendUnavailable)
    assert len(place.staged()) == 1
    released = [Record(key=claim.key, token=claim.token, state=State.CLAIMED, attempts=0) for claim in claims]
    assert all(place.ledger.record(released, 0.0))
    assert place.apply(("1", "a")) == [Applied(())]
    assert place.dropped() == {"NOTE001.TXT": "a"}
    assert place.staged() == []


def test_what_cannot_be_swept_is_no_events_business(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A staging folder that cannot be listed, once for all events that come again, costs no file and no number."""
    place, looks = make_place(), []

    def failing(folder: LocalFolder, prefix: str) -> Iterator[tuple[str, float | None]]:
        looks.append(prefix)
        raise OSError(11, "busy")

    events = ("1", "a"), ("2", "b"), ("3", "c")
    place.claim(*events)
    with monkeypatch.context() as patch:
        patch.setattr(LocalFolder, "names", failing)
        assert place.apply(*events) == [Applied(())] * 3
    assert len(looks) == 1
    assert place.dropped() == {"NOTE001.TXT": "a", "NOTE002.TXT": "b", "NOTE003.TXT": "c"}


def _failing(_: LocalFolder) -> None:
    raise OSError(5, "Input/output error")


def test_another_staging_folder_at_the_same_path_leaves_a_doubt(
    make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emptied or exchanged staging folder proves nothing: the event is in doubt, neither repeated nor forgotten."""
    place = make_place()
    with monkeypatch.context() as patch:
        patch.setattr(LocalFolder, "move", _failing_into(place.drop, LocalFolder.move))
        place.family.apply(place.claim(("1", "a")), place.ledger)
    for file in place.staging.iterdir():
        file.unlink()
    [outcome] = place.family.apply(place.claim(("1", "a")), place.ledger)
    assert isinstance(error_of(outcome), InDoubt)
    assert place.dropped() == {}


def test_a_removed_drop_folder_is_an_outage_and_not_a_drop(make_place: MakePlace) -> None:
    """While the folder is away the event waits without loss, and is dropped when it is back."""
    place = make_place()
    place.drop.rmdir()
    [outcome] = place.family.apply(place.claim(("1", "a")), place.ledger)
    assert isinstance(error_of(outcome), BackendUnavailable)
    with pytest.raises(BackendUnavailable):
        place.family.probe()
    place.drop.mkdir()
    place.family.probe()
    assert place.apply(("1", "a")) == [Applied(())]
    assert place.dropped() == {"NOTE001.TXT": "a"}


def test_any_trouble_before_an_event_is_in_hand_is_an_outage(
    make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what would be tried again, or set aside, if it met an event: there is none, and the process lives on."""
    place = make_place()

    def fail(*_: object) -> str:
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(LocalFolder, "identity", fail)
    monkeypatch.setattr(LocalFolder, "put", fail)
    for step in (place.family.open, place.family.probe):
        with pytest.raises(BackendUnavailable, match="File too large"):
            step()


def test_a_name_that_is_taken_is_an_error_by_default(make_place: MakePlace) -> None:
    """A file of the same name is never replaced; the event is refused, keeps its number, and can be replayed."""
    place = make_place()
    (place.drop / "NOTE001.TXT").write_text("other")
    outcomes = place.apply(("1", "a"), ("2", "b"))
    assert isinstance(error_of(outcomes[0]), FileExists)
    assert place.dropped() == {"NOTE001.TXT": "other", "NOTE002.TXT": "b"}
    assert place.staged() == []
    assert place.evidence("1") == {"number": 1}
    (place.drop / "NOTE001.TXT").unlink()
    assert place.apply(("1", "a")) == [Applied(())]
    assert place.dropped() == {"NOTE001.TXT": "a", "NOTE002.TXT": "b"}


@pytest.mark.parametrize(
    ("adaptor", "there", "expected"),
    [(Same, "a", "Applied"), (Same, "b", "Failed"), (Replacing, "b", "Applied"), (Refusing, "a", "Failed")],
)
def test_what_a_taken_name_means_is_the_adaptors_choice(
    make_place: MakePlace, adaptor: type[FileDropAdaptor], there: str, expected: str
) -> None:
    """Policy "same" takes equal content for done and refuses other, "replace" replaces, "error" refuses even equal."""
    place = make_place(adaptor)
    (place.drop / "1.TXT").write_text(there)
    [outcome] = place.apply(("1", "a"))
    assert type(outcome).__name__ == expected
    assert place.dropped() == {"1.TXT": there if expected == "Failed" else "a"}
    assert place.staged() == []


def test_a_link_in_the_drop_is_neither_followed_nor_replaced(make_place: MakePlace, tmp_path: Path) -> None:
    """A symbolic link with the file's name is a taken name, even if it leads to the same content or nowhere."""
    place = make_place(Same)
    (tmp_path / "elsewhere").write_text("a")
    (place.drop / "1.TXT").symlink_to(tmp_path / "elsewhere")
    (place.drop / "2.TXT").symlink_to(tmp_path / "nowhere")
    for outcome in place.apply(("1", "a"), ("2", "a")):
        assert isinstance(error_of(outcome), FileExists)
    assert not (tmp_path / "nowhere").exists()


def test_without_the_kernels_rename_a_taken_name_is_still_refused(
    make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that cannot refuse to replace, a look before the rename does it."""
    place = make_place(Refusing)
    asked = []

    def renameat2(*arguments: object) -> int:
        asked.append(arguments)
        return -1

    monkeypatch.setattr("adaptors.files.targets.local._LIBC.renameat2", renameat2, raising=False)
    monkeypatch.setattr("adaptors.files.targets.local.ctypes.get_errno", lambda: 22)
    (place.drop / "1.TXT").write_text("other")
    outcomes = place.apply(("1", "a"), ("2", "b"))
    assert isinstance(error_of(outcomes[0]), FileExists)
    assert place.dropped() == {"1.TXT": "other", "2.TXT": "b"}
    assert len(asked) == 2


def test_a_marker_follows_its_file(make_place: MakePlace) -> None:
    """Each file has its empty marker, and a marker left over by the reader is not taken for one of ours."""
    place = make_place(Marked)
    (place.drop / "2.OK").touch()
    outcomes = place.apply(("1", "a"), ("2", "b"))
    assert outcomes[0] == Applied(())
    assert "holds 2.OK without 2.TXT" in str(error_of(outcomes[1]))
    assert place.dropped() == {"1.OK": "", "1.TXT": "a", "2.OK": ""}
    assert place.staged() == []


def test_the_file_is_durable_before_it_is_seen_and_the_ledger_knows_before_it_can_be_gone(
    make_place: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content synced, staging synced, noted in the ledger, data in the drop and synced, marker, both folders synced."""
    place = make_place(Marked)
    steps: list[str] = []
    fsync, move, commit = os.fsync, LocalFolder.move, place.ledger.database.transaction

    def record_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        kind = "marker" if path.name.endswith(".1") else "file"
        steps.append(f"sync {path.name if path.is_dir() else kind}")
        fsync(descriptor)

    def record_move(self: LocalFolder, name: str, to: LocalFolder, new_name: str, *, replace: bool) -> None:
        steps.append(f"{'marker' if name.endswith('.1') else 'file'} to {to.path.name}")
        move(self, name, to, new_name, replace=replace)

    def record_commit(**named: Any) -> Any:
        steps.append("ledger")
        return commit(**named)

    claims = place.claim(("1", "a"))
    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(LocalFolder, "move", record_move)
    monkeypatch.setattr(place.ledger.database, "transaction", record_commit)
    assert place.family.apply(claims, place.ledger) == [Applied(())]
    assert steps == [
        "sync file",
        "sync marker",
        "sync .in.staging",
        "ledger",
        "file to in",
        "sync in",
        "marker to in",
        "sync in",
        "sync .in.staging",
    ]


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_a_full_disk_is_an_outage_and_leaves_no_half_file(
    make_place: MakePlace, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Content that cannot be made durable is not dropped; what was half-written is deleted."""
    place = make_place()

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, full)
        [outcome] = place.family.apply(place.claim(("1", "a")), place.ledger)
    assert isinstance(error_of(outcome), BackendUnavailable)
    assert "No space left on device (ENOSPC)" in str(error_of(outcome))
    assert (place.dropped(), place.staged()) == ({}, [])
    assert place.apply(("1", "a")) == [Applied(())]
    assert place.dropped() == {"NOTE001.TXT": "a"}


def test_a_probe_that_fails_leaves_nothing_behind(make_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an outage lasts in which files can be made and not made durable, staging does not fill up."""
    place = make_place()
    with monkeypatch.context() as patch:
        patch.setattr(LocalFolder, "sync", _failing)
        with pytest.raises(BackendUnavailable):
            place.family.probe()
    assert place.staged() == []


def test_old_half_written_files_are_swept_at_the_start(make_place: MakePlace) -> None:
    """What a crash left half-written over an hour ago is deleted; younger files and those of others stay."""
    place = make_place()
    ages = {".notes-1.w": 4000, ".notes-2.w": 10, ".other-1.w": 4000, ".notes-3.0": 4000, ".probe.1.w": 4000}
    for name, age in ages.items():
        file = place.staging / name
        file.write_text("half")
        at = file.stat().st_mtime - age
        os.utime(file, (at, at))
    place.family.open()
    assert place.staged() == [".notes-2.w", ".notes-3.0", ".other-1.w"]


def test_the_default_staging_folder_is_made_beside_the_drop_for_us_alone(make_place: MakePlace) -> None:
    """It is on the drop's volume, outside it, and nobody else may look into it."""
    place = make_place()
    assert place.staging == place.drop.parent / ".in.staging"
    assert stat.S_IMODE(place.staging.stat().st_mode) == 0o700


def faults_of(**settings: Any) -> Sequence[str]:
    """What `adaptor check` says of these settings."""
    return Notes._family(FileSettings(**settings)).check()


def test_every_fault_of_the_folders_is_said_at_once(tmp_path: Path) -> None:
    """Missing folders, and files in place of folders, are each a sentence that names the setting and the path."""
    (tmp_path / "file").touch()
    faults = faults_of(drop=tmp_path / "none", staging=tmp_path / "file")
    assert faults == [
        f"[files] drop: {tmp_path}/none does not exist; make it, or correct the setting",
        f"[files] staging: {tmp_path}/file is not a folder",
    ]


def test_staging_within_the_drop_is_refused_even_through_a_link(tmp_path: Path) -> None:
    """A reader of the drop must never meet unfinished files."""
    inside = tmp_path / "in" / "stage"
    inside.mkdir(parents=True)
    (tmp_path / "link").symlink_to(inside)
    for staging in (inside, tmp_path / "link", tmp_path / "in"):
        assert "is within the drop" in faults_of(drop=tmp_path / "in", staging=staging)[0]


def test_staging_on_another_volume_is_refused(tmp_path: Path) -> None:
    """A rename cannot cross volumes."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second volume here")
    assert any("is on another volume" in fault for fault in faults_of(drop=tmp_path, staging=shm))


def test_sound_folders_have_no_faults_and_checking_leaves_nothing(tmp_path: Path) -> None:
    """The check writes and syncs in staging only, and takes its file away again."""
    (tmp_path / "in").mkdir()
    (tmp_path / "stage").mkdir()
    assert faults_of(drop=tmp_path / "in") == []
    assert faults_of(drop=tmp_path / "in", staging=tmp_path / "stage") == []
    assert [*(tmp_path / "in").iterdir(), *(tmp_path / "stage").iterdir()] == []


def test_a_wrong_declaration_is_said_with_all_its_faults() -> None:
    """A template, policy or marker that cannot work is refused when the class is made, each fault a sentence."""
    with pytest.raises(ConfigError) as caught:

        class Wrong(Notes):
            name = "wrong"
            file_name = "{data.nope}"
            exists = "perhaps"  # type: ignore[assignment]
            marker = "done"

    assert len(caught.value.faults) == 3
    assert all("Wrong." in fault for fault in caught.value.faults)
