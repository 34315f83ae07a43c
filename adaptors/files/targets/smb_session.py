"""One connection to a share through smbprotocol's smbclient."""

import errno
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import smbclient
import smbclient.path
from smbprotocol.exceptions import SMBException, SMBOSError
from smbprotocol.header import NtStatus

from adaptors.files.location import Location
from adaptors.files.targets.base import Listed

# What it says of a lost line reaches the target as an error, and is said once.
logging.getLogger("smbprotocol").setLevel(logging.CRITICAL)

_BLOCK = 1 << 18  # bytes read at a time
_ERRNO = {
    NtStatus.STATUS_ACCESS_DENIED: errno.EACCES,
    NtStatus.STATUS_DISK_FULL: errno.ENOSPC,
    NtStatus.STATUS_OBJECT_PATH_NOT_FOUND: errno.ENOENT,
}


class SmbSession:
    """A connection of its own, in a cache of its own, so that it is never shared with another thread."""

    def __init__(self, location: Location, password: str, timeout: float) -> None:
        self.broken = False
        self._host = location.host
        self._root = location.folder.strip("/").partition("/")[0]
        self._timeout = timeout
        self._cache: dict[str, Any] = {}
        user = (location.user or "").replace(";", "\\")
        self._login = {"username": user, "password": password, "port": location.port, "connection_cache": self._cache}

    def log_in(self) -> None:
        """Connect, log in, and look for the share. Raises what smbprotocol raises."""
        with self._hanging_up_in_time():
            smbclient.register_session(self._host, connection_timeout=self._timeout, **self._login)
            smbclient.stat(self._unc(self._root), **self._login)

    def upload(self, path: str, data: bytes) -> None:
        """Flushed to the server's disk."""
        with (
            self._answers(),
            smbclient.open_file(self._unc(path), "wb", buffering=0, share_access="r", **self._login) as file,
        ):
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            file.flush()

    def rename(self, old: str, new: str) -> None:
        with self._answers():
            smbclient.rename(self._unc(old), self._unc(new), **self._login)

    def replace(self, old: str, new: str) -> None:
        with self._answers():
            smbclient.replace(self._unc(old), self._unc(new), **self._login)

    def size(self, path: str) -> int | None:
        try:
            with self._answers():
                return int(smbclient.lstat(self._unc(path), **self._login).st_size)
        except FileNotFoundError:
            return None

    def read(self, path: str) -> Iterator[bytes]:
        with self._answers(), smbclient.open_file(self._unc(path), "rb", share_access="rwd", **self._login) as file:
            while block := file.read(_BLOCK):
                yield block

    def delete(self, path: str) -> None:
        with self._answers():
            smbclient.remove(self._unc(path), **self._login)

    def files(self, folder: str) -> Iterator[Listed]:
        with self._answers(), smbclient.scandir(self._unc(folder), **self._login) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    found = entry.smb_info
                    yield Listed(entry.name, found.end_of_file, found.last_write_time.timestamp())

    def is_folder(self, path: str) -> bool:
        with self._answers():
            return bool(smbclient.path.isdir(self._unc(path), **self._login))

    def make_folder(self, path: str) -> None:
        with self._answers():
            smbclient.mkdir(self._unc(path), **self._login)

    def ask(self) -> None:
        with self._answers():
            smbclient.stat(self._unc(self._root), **self._login)

    def close(self) -> None:
        if self.broken:
            self._hang_up()
        with suppress(Exception), self._hanging_up_in_time():
            for connection in self._cache.values():
                connection.disconnect(close=not self.broken)
        self.broken = True

    def _unc(self, path: str) -> str:
        return f"//{self._host}/{path.strip('/')}".replace("/", "\\")

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """Refusals as OSError with what errno fits, a lost line as ConnectionError."""
        try:
            with self._hanging_up_in_time():
                yield
        except SMBOSError as error:
            code = _ERRNO.get(error.ntstatus, error.errno)
            raise (OSError(code, error.strerror) if code else OSError(error.strerror)) from error
        except (SMBException, ValueError, ConnectionError, TimeoutError) as error:
            self.broken = True
            raise ConnectionError(f"the line to the server is lost: {error}") from error

    @contextmanager
    def _hanging_up_in_time(self) -> Iterator[None]:
        """smbprotocol itself waits for ever for an answer that does not come."""
        timer = threading.Timer(self._timeout, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _hang_up(self) -> None:
        for connection in self._cache.values():
            with suppress(OSError, AttributeError):
                # Its own close waits until a send is over that never will be.
                connection.transport._sock.shutdown(socket.SHUT_RDWR)
