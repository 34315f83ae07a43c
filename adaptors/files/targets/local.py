"""Files on this host: safe opens, syncs, and a rename that never replaces. Linux only."""

import ctypes
import errno
import hashlib
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePath
from typing import ClassVar, Literal

from adapter_sdk.errors import BackendUnavailable
from adapter_sdk.pace import shared
from adaptors.files.targets.base import WRITING, Listed, NewFile
from adaptors.files.targets.writing import Writing

Sync = Literal["auto", "files", "volume"]

_LIBC = ctypes.CDLL(None, use_errno=True)
_RENAME_NOREPLACE = 1  # linux/fs.h
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 1 << 20  # bytes read at a time
_IDENTITY = "staging.id"

# Held over look-then-rename where the file system cannot do both in one.
_fallback = threading.Lock()


class LocalFolder:
    """An open folder. Names in it are reached through its descriptor, so nobody can swap the folder underneath."""

    def __init__(self, path: Path, descriptor: int, sync: Sync) -> None:
        self.path = path
        self.descriptor = descriptor
        self.sync_by = sync

    @property
    def place(self) -> str:
        """The path."""
        return str(self.path)

    def put(self, files: Sequence[NewFile]) -> list[OSError | None]:
        """Write all, sync all, and the names once; so one file costs little among many."""
        return Writing(self, files).run()

    def create(self, name: str, data: bytes) -> int:
        """Make a new file, never through a link, and write all of `data`; the open descriptor, not yet synced.

        Raises FileExistsError where the name is taken.
        """
        descriptor = os.open(name, _CREATE, 0o666, dir_fd=self.descriptor)
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, memoryview(data)[written:])
        except OSError:
            self.remove_own(name, descriptor)
            os.close(descriptor)
            raise
        return descriptor

    def remove_own(self, name: str, descriptor: int) -> None:
        """Delete the name of an open file, unless another file has it by now; nothing is said if that fails."""
        with suppress(OSError):
            if os.path.samestat(os.stat(name, dir_fd=self.descriptor, follow_symlinks=False), os.fstat(descriptor)):
                self.remove(name)

    def move(self, name: str, to: "LocalFolder", new_name: str, *, replace: bool) -> None:
        if replace:
            os.rename(name, new_name, src_dir_fd=self.descriptor, dst_dir_fd=to.descriptor)
        else:
            _rename_without_replacing(self, name, to, new_name)

    def has(self, name: str) -> bool:
        """Whether there is anything of this name, links that lead nowhere included."""
        try:
            os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self.descriptor)

    def files(self) -> Iterator[Listed]:
        with os.scandir(self.descriptor) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        found = entry.stat(follow_symlinks=False)
                        yield Listed(entry.name, found.st_size, found.st_mtime)

    def read(self, name: str) -> bytes:
        """As asked for; a link is not followed."""
        with os.fdopen(os.open(name, _READ, dir_fd=self.descriptor), "rb") as file:
            return file.read()

    def digest(self, name: str) -> tuple[int, str]:
        """As asked for; a link is not followed, and a folder is no file: OSError with ELOOP, EISDIR."""
        descriptor = os.open(name, _READ, dir_fd=self.descriptor)
        try:
            size, sha256 = 0, hashlib.sha256()
            while block := os.read(descriptor, _BLOCK):
                size += len(block)
                sha256.update(block)
        finally:
            os.close(descriptor)
        return size, sha256.hexdigest()

    @shared
    def sync(self) -> None:
        os.fsync(self.descriptor)

    def identity(self) -> str:
        """A random text in a file of the folder."""
        with suppress(FileNotFoundError):
            return self.read(_IDENTITY).decode("ascii")
        fresh = f"{_IDENTITY}.{uuid.uuid4().hex}{WRITING}"
        descriptor = self.create(fresh, uuid.uuid4().hex.encode())
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            self.move(fresh, self, _IDENTITY, replace=False)
        except FileExistsError:
            self.remove(fresh)
        self.sync()
        return self.read(_IDENTITY).decode("ascii")

    def in_place(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except FileNotFoundError:
            return False

    def names(self, prefix: str) -> Iterator[tuple[str, float | None]]:
        for name in os.listdir(self.descriptor):  # noqa: PTH208  # pathlib cannot list a descriptor
            if name.startswith(prefix):
                with suppress(FileNotFoundError):
                    yield name, time.time() - os.stat(name, dir_fd=self.descriptor).st_mtime


class LocalTarget:
    """A drop on this host, with its staging on the same volume."""

    gone_is_dropped: ClassVar[bool] = True

    def __init__(self, drop: Path, staging: Path | None, sync: Sync) -> None:
        self._drop = drop
        self._makes_staging = staging is None
        self._staging = staging or drop.parent / f".{drop.name}.staging"
        self._sync: Sync = sync

    @property
    def place(self) -> str:
        """The path of the drop."""
        return str(self._drop)

    def open(self) -> None:
        """Make the default staging folder, for this user alone, where it is missing."""
        if self._makes_staging and self._drop.is_dir() and not self._staging.exists():
            self._staging.mkdir(mode=0o700)
            with open_folder(self._staging.parent) as parent:
                parent.sync()
        if faults := self.check():
            raise BackendUnavailable("; ".join(faults))

    @contextmanager
    def folders(self) -> Iterator[tuple[LocalFolder, LocalFolder]]:
        with open_folder(self._staging, self._sync) as staging, open_folder(self._drop) as drop:
            yield staging, drop

    @contextmanager
    def others(self, folders: Sequence[PurePath]) -> Iterator[Sequence[LocalFolder]]:
        with ExitStack() as stack:
            yield [stack.enter_context(open_folder(Path(folder))) for folder in folders]

    def check_others(self, folders: Mapping[str, PurePath]) -> list[str]:
        """Whether they can be written, and are on one volume: the first one's."""
        paths = {name: Path(folder) for name, folder in folders.items()}
        if faults := [fault for name, path in paths.items() for fault in _access_faults(path, name)]:
            return faults
        first, *others = paths.items()
        return [
            f"[files] {name}: {path} is on another volume than {first[0]}, {first[1]}; a rename needs one volume"
            for name, path in others
            if path.stat().st_dev != first[1].stat().st_dev
        ]

    def make_folder(self, folder: PurePath) -> None:
        Path(folder).mkdir(exist_ok=True)

    def close(self) -> None:
        """Nothing is held between two uses."""

    def check(self) -> list[str]:
        """The drop is only looked at, since whatever is written there would be read; a file is tried in staging."""
        drop, staging = self._drop, self._staging
        faults = _access_faults(drop, "drop")
        if self._makes_staging and not staging.exists():
            # Ours to make, when consuming starts.
            if not os.access(staging.parent, os.W_OK | os.X_OK):
                faults.append(f"[files] staging: {staging} does not exist and cannot be made in {staging.parent}")
            return faults
        faults += _access_faults(staging, "staging")
        if faults:
            return faults
        inside, outside = staging.resolve(), drop.resolve()
        if inside == outside or outside in inside.parents:
            faults.append(f"[files] staging: {staging} is within the drop {drop}, where unfinished files would be read")
        if staging.stat().st_dev != drop.stat().st_dev:
            faults.append(
                f"[files] staging: {staging} is on another volume than the drop {drop}; a rename needs one volume"
            )
        return faults + _sync_faults(staging)


@contextmanager
def open_folder(path: Path, sync: Sync = "files") -> Iterator[LocalFolder]:
    """The folder at `path`, open until the block ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield LocalFolder(path, descriptor, sync)
    finally:
        os.close(descriptor)


def _access_faults(path: Path, setting: str) -> list[str]:
    place = f"[files] {setting}: {path}"
    if not path.exists():
        return [f"{place} does not exist; make it, or correct the setting"]
    if not path.is_dir():
        return [f"{place} is not a folder"]
    if not os.access(path, os.W_OK | os.X_OK):
        return [f"{place} is not writable for this user"]
    return []


def _sync_faults(staging: Path) -> list[str]:
    """Try to write, sync and delete a file in staging."""
    try:
        with open_folder(staging) as folder:
            [error] = folder.put([NewFile(name := f"probe.{uuid.uuid4().hex}{WRITING}", b"probe")])
            if error is not None:
                raise error
            folder.remove(name)
    except OSError as error:
        return [f"[files] staging: {staging} cannot be written and synced: {error.strerror}"]
    return []


def _rename_without_replacing(source: LocalFolder, name: str, target: LocalFolder, new_name: str) -> None:
    renameat2 = getattr(_LIBC, "renameat2", None)
    if renameat2 is not None:
        old, new = os.fsencode(name), os.fsencode(new_name)
        if renameat2(source.descriptor, old, target.descriptor, new, _RENAME_NOREPLACE) == 0:
            return
        failure = _failure(name, new_name)
        if failure.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise failure
    # NFS and SMB cannot refuse to replace. A hard link could, but a reader that takes the new name away in between
    # leaves the old one as if nothing had been dropped. So look first; only another program could come in between.
    with _fallback:
        if target.has(new_name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name, None, new_name)
        os.rename(name, new_name, src_dir_fd=source.descriptor, dst_dir_fd=target.descriptor)


def _failure(name: str, new_name: str | None = None) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), name, None, new_name)
