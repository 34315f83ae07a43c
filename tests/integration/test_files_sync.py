"""How the files of a batch are made durable: one sync of the volume where that is safe and quick, else one of each."""

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adaptors.files.targets import volume, writing
from adaptors.files.targets.base import NewFile
from adaptors.files.targets.local import Sync, open_folder

MANY = [NewFile(f"{number}", b"x" * number) for number in range(20)]


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced, in order: "file", "folder" or "volume"."""
    seen: list[str] = []
    fsync, sync_volume = os.fsync, volume.sync_volume

    def record_fsync(descriptor: int) -> None:
        seen.append("folder" if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir() else "file")
        fsync(descriptor)

    def record_volume(descriptor: int) -> None:
        seen.append("volume")
        sync_volume(descriptor)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(writing, "sync_volume", record_volume)
    return seen


def put(folder: Path, files: list[NewFile], sync: Sync = "auto") -> list[OSError | None]:
    """Make files in a folder."""
    with open_folder(folder, sync) as opened:
        return opened.put(files)


@contextmanager
def on_any_volume(
    monkeypatch: pytest.MonkeyPatch, *, magic: int = 0xEF53, release: str = "6.1.0", kb: int = 0
) -> Iterator[None]:
    """As if the folder were on a volume of that kind, under that kernel, with so much waiting to be written."""
    with monkeypatch.context() as patch:
        volume._reports_errors.cache_clear()
        patch.setattr(volume, "_file_system", lambda descriptor: magic)
        patch.setattr(volume, "_waiting", lambda: kb)
        patch.setattr(platform, "release", lambda: release)
        yield
    volume._reports_errors.cache_clear()


def test_many_files_are_synced_as_one_volume(tmp_path: Path, syncs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and contents in one, so that the folder needs no sync of its own; with 2 MB of others' for each at most."""
    with on_any_volume(monkeypatch, kb=40_000):
        assert put(tmp_path, MANY) == [None] * 20
    assert syncs == ["volume"]
    assert {file.name: file.stat().st_size for file in tmp_path.iterdir()} == {str(n): n for n in range(20)}


@pytest.mark.parametrize(
    ("magic", "release", "kb", "count"),
    [
        (0x6969, "6.1.0", 0, 20),  # NFS
        (0xEF53, "5.4.0", 0, 20),
        (0xEF53, "6.1.0", 50_000, 20),
        (0xEF53, "6.1.0", 0, 3),
    ],
    ids=["network volume", "old kernel", "much else to write", "few files"],
)
def test_elsewhere_each_file_is_synced_by_itself(
    tmp_path: Path, syncs: list[str], monkeypatch: pytest.MonkeyPatch, magic: int, release: str, kb: int, count: int
) -> None:
    """Where a sync of the volume would tell no errors, wait for others' data, or cost more than it saves."""
    with on_any_volume(monkeypatch, magic=magic, release=release, kb=kb):
        assert put(tmp_path, MANY[:count]) == [None] * count
    assert syncs == ["file"] * count + ["folder"]


@pytest.mark.parametrize(("sync", "expected"), [("volume", ["volume"]), ("files", ["file"] * 20 + ["folder"])])
def test_a_setting_decides_for_good(tmp_path: Path, syncs: list[str], sync: Sync, expected: list[str]) -> None:
    """Whatever the volume is."""
    put(tmp_path, MANY, sync)
    assert syncs == expected


def test_a_volume_that_cannot_be_synced_fails_every_file_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell which of them is on the disk."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(writing, "sync_volume", fail)
    errors = put(tmp_path, MANY, "volume")
    assert [error.errno for error in errors if error] == [errno.EIO] * 20
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_an_earlier_attempt_has_left_is_never_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is made beside it and renamed over it: another owner of the event may count on what is there."""
    (tmp_path / "7").write_bytes(b"earlier")
    removed: list[object] = []
    monkeypatch.setattr(os, "unlink", lambda name, **_: removed.append(name))
    assert put(tmp_path, MANY) == [None] * 20
    assert (tmp_path / "7").read_bytes() == b"x" * 7
    assert removed == []
    assert len(list(tmp_path.iterdir())) == 20


def test_a_file_that_failed_is_taken_away_only_if_it_is_still_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another attempt may have put its own under the name meanwhile, and the ledger may count on that one."""

    def fail(descriptor: int) -> None:
        (tmp_path / "theirs").write_bytes(b"theirs")
        (tmp_path / "theirs").replace(tmp_path / "1")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    [error] = put(tmp_path, [NewFile("1", b"ours")])
    assert error is not None
    assert (tmp_path / "1").read_bytes() == b"theirs"


def test_what_this_machine_says_of_itself_can_be_read(tmp_path: Path) -> None:
    """The kind of a volume, and what waits to be written on the host."""
    descriptor = os.open("/proc", os.O_RDONLY)
    try:
        assert volume._file_system(descriptor) == 0x9FA0  # linux/magic.h: PROC_SUPER_MAGIC
        assert not volume.worth_syncing(descriptor, 1000)
    finally:
        os.close(descriptor)
    assert volume._waiting() >= 0
