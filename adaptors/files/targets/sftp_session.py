"""One SFTP channel through paramiko, and the parts of the protocol that paramiko knows and does not offer."""

import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paramiko

from adaptors.files.targets.base import UNKNOWN, Listed

# What it says of a lost line, with a traceback, reaches the target as an error, and is said once.
logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)

_BLOCK = 1 << 18  # bytes read at a time
_KEEPALIVE = 15  # seconds
_CLOSE, _VERSION, _EXTENDED = 4, 2, 200  # packet types of the protocol
_FSYNC, _POSIX_RENAME = "fsync@openssh.com", "posix-rename@openssh.com"


class Client(paramiko.SFTPClient):
    """A channel that knows what the server can do, and hears what it says when a file is closed."""

    _request: Any
    _finish_responses: Any

    def __init__(self, channel: paramiko.Channel) -> None:
        self.extensions: frozenset[str] = frozenset()
        super().__init__(channel)

    def _read_packet(self) -> tuple[int, bytes]:
        kind, data = super()._read_packet()  # type: ignore[misc]
        if kind == _VERSION:
            self.extensions = _extensions(data)
        return kind, data

    def write_whole(self, path: str, data: bytes) -> None:
        """Make or overwrite a file, synced where the server knows how."""
        file: Any = self.open(path, "wb")
        try:
            file.set_pipelined(True)
            file.write(data)
            self._finish_responses(file)
            if _FSYNC in self.extensions:
                self._request(_EXTENDED, _FSYNC, file.handle)
        finally:
            # paramiko's own close keeps to itself what the server says, such as that the disk was full.
            file._closed = True
            self._request(_CLOSE, file.handle)


class SftpSession:
    """One SFTP channel."""

    def __init__(self, ssh: paramiko.SSHClient, timeout: float) -> None:
        transport = ssh.get_transport()
        sftp = Client.from_transport(transport) if transport else None
        channel = sftp.get_channel() if sftp else None
        if transport is None or sftp is None or channel is None:
            raise ConnectionError("the server opens no SFTP channel")
        transport.set_keepalive(_KEEPALIVE)
        channel.settimeout(timeout)
        self.broken = False
        self._ssh, self._transport, self._channel, self._sftp = ssh, transport, channel, sftp

    def upload(self, path: str, data: bytes) -> None:
        """Synced, where the server knows fsync@openssh.com."""
        with self._answers():
            self._sftp.write_whole(path, data)

    def rename(self, old: str, new: str) -> None:
        with self._answers():
            self._sftp.rename(old, new)

    def replace(self, old: str, new: str) -> None:
        """In one step where the server knows posix-rename@openssh.com; else there may be a moment without the file."""
        with self._answers():
            if _POSIX_RENAME in self._sftp.extensions:
                self._sftp.posix_rename(old, new)
                return
            try:
                self._sftp.rename(old, new)
            except OSError:
                if self.size(old) is None or self.size(new) is None:
                    raise
                self._sftp.remove(new)
                self._sftp.rename(old, new)

    def size(self, path: str) -> int | None:
        with self._answers():
            try:
                return self._sftp.lstat(path).st_size or 0
            except FileNotFoundError:
                return None

    def read(self, path: str) -> Iterator[bytes]:
        with self._answers(), self._sftp.open(path, "rb") as file:
            while block := file.read(_BLOCK):
                yield block

    def delete(self, path: str) -> None:
        with self._answers():
            self._sftp.remove(path)

    def files(self, folder: str) -> Iterator[Listed]:
        with self._answers():
            for found in self._sftp.listdir_attr(folder):
                if found.st_mode is None or stat.S_ISREG(found.st_mode):
                    size = UNKNOWN if found.st_size is None else found.st_size
                    yield Listed(found.filename, size, found.st_mtime)

    def is_folder(self, path: str) -> bool:
        with self._answers():
            try:
                mode = self._sftp.stat(path).st_mode
            except FileNotFoundError:
                return False
            # A server need not tell the kind of a file; then it is found out when something is put there.
            return mode is None or stat.S_ISDIR(mode)

    def make_folder(self, path: str) -> None:
        with self._answers():
            self._sftp.mkdir(path, 0o700)

    def ask(self) -> None:
        with self._answers():
            self._sftp.normalize(".")

    def close(self) -> None:
        self.broken = True
        with suppress(Exception):
            self._ssh.close()

    @contextmanager
    def _answers(self) -> Iterator[None]:
        """A lost line as ConnectionError or TimeoutError; what the server answers stays paramiko's OSError."""
        try:
            yield
        except (EOFError, paramiko.SSHException, paramiko.SFTPError) as error:
            self.broken = True
            raise ConnectionError(f"the line to the server is lost: {error or type(error).__name__}") from error
        except (ConnectionError, TimeoutError):
            self.broken = True
            raise
        except OSError as error:
            if not self._transport.is_active() or self._channel.closed:
                self.broken = True
                raise ConnectionError(f"the line to the server is lost: {error}") from error
            raise


def _extensions(packet: bytes) -> frozenset[str]:
    """The names in a version packet: a number, then pairs of name and data."""
    message = paramiko.Message(packet)
    message.get_int()
    names = []
    while message.get_remainder():
        names.append(message.get_text())
        message.get_binary()
    return frozenset(names)
