"""The native calls under a drop: safe opens, syncs, and a rename that never replaces. Linux only."""

import ctypes
import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_RENAME_NOREPLACE = 1  # linux/fs.h
_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 1 << 20  # bytes read at a time

# Held over look-then-rename where the file system cannot do both in one.
_fallback = threading.Lock()


class Folder:
    """An open folder. Names in it are reached through its descriptor, so nobody can swap the folder underneath.

    All methods raise OSError as the system calls do.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def create(self, name: str, data: bytes) -> int:
        """Make a new file, never through a link, and write all of `data`; the open descriptor, not yet synced."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)
        descriptor = os.open(name, _CREATE, 0o666, dir_fd=self.descriptor)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                self.remove(name)
            raise
        return descriptor

    def move(self, name: str, to: "Folder", new_name: str, *, replace: bool) -> None:
        """Rename; without `replace` raises FileExistsError where the new name is taken."""
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
        """Delete a file."""
        os.unlink(name, dir_fd=self.descriptor)

    def digest(self, name: str) -> tuple[int, str]:
        """Size in bytes and SHA-256 of a file."""
        descriptor = os.open(name, _READ, dir_fd=self.descriptor)
        try:
            size, sha256 = 0, hashlib.sha256()
            while block := os.read(descriptor, _BLOCK):
                size += len(block)
                sha256.update(block)
        finally:
            os.close(descriptor)
        return size, sha256.hexdigest()

    def read_text(self, name: str) -> str:
        """A small text file of our own."""
        descriptor = os.open(name, _READ, dir_fd=self.descriptor)
        with os.fdopen(descriptor, encoding="ascii") as file:
            return file.read()

    def sync(self) -> None:
        """Make the names in this folder durable."""
        os.fsync(self.descriptor)

    def sync_volume(self) -> None:
        """Make everything on the volume durable, its files' contents included."""
        if _LIBC.syncfs(self.descriptor):
            raise _failure(str(self.path))

    def in_place(self) -> bool:
        """Whether the path still leads to this folder: it was neither deleted nor mounted over."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except FileNotFoundError:
            return False


@contextmanager
def open_folder(path: Path) -> Iterator[Folder]:
    """The folder at `path`, open until the block ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)


def start_writing(descriptor: int) -> None:
    """Let the kernel begin to write a file out, so that many files' syncs overlap. Only a hint: it makes no promise."""
    _LIBC.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


def _rename_without_replacing(source: Folder, name: str, target: Folder, new_name: str) -> None:
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
