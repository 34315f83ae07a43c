"""Many files made durable by one sync of their volume, and when that is wise. Linux only."""

import ctypes
import errno
import os
import platform
import re
from functools import cache
from pathlib import Path

from adapter_sdk.pace import shared

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
_STATFS_SIZE = 256  # bytes; more than struct statfs has on any machine
_JOURNALED = frozenset({0xEF53, 0x58465342})  # linux/magic.h: ext4 (also ext2 and ext3), XFS
_REPORTS_ERRORS = (5, 8)  # since this Linux syncfs fails where the writing of a file failed: syncfs(2)
_WAITING = re.compile(rb"^(?:Dirty|Writeback):\s+(\d+) kB$", re.MULTILINE)
# Kilobytes that are written in less time than the sync of a file takes: of what waits to be written on the whole host,
# and is written with ours, there may be so much for each of them.
_FOR_A_FILE = 2048


def worth_syncing(descriptor: int, files: int) -> bool:
    """Whether one sync of the volume is as safe as one of each of so many files on it, and takes no longer."""
    return _reports_errors() and _file_system(descriptor) in _JOURNALED and _waiting() <= files * _FOR_A_FILE


@shared
def sync_volume(descriptor: int) -> None:
    """Make everything on the volume of an open file durable. Raises OSError.

    What could not be written is told only if the descriptor was opened before it was tried.
    """
    if _LIBC.syncfs(descriptor):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def start_writing(descriptor: int) -> None:
    """Let the kernel begin to write a file out, so that many files' syncs overlap. Only a hint: it makes no promise."""
    _LIBC.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


@cache
def _reports_errors() -> bool:
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return release is not None and tuple(map(int, release.groups())) >= _REPORTS_ERRORS


def _file_system(descriptor: int) -> int:
    """The magic number of a descriptor's file system, which is the first word of struct statfs."""
    buffer = ctypes.create_string_buffer(_STATFS_SIZE)
    if _LIBC.fstatfs(descriptor, buffer):
        return -errno.ENOSYS
    return ctypes.c_long.from_buffer(buffer).value


def _waiting() -> int:
    """Kilobytes that the host has yet to write, for whatever program."""
    return sum(map(int, _WAITING.findall(Path("/proc/meminfo").read_bytes())))
