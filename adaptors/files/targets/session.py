"""Session: one connection to a file server, as the remote target needs it. Read this to add a protocol."""

from collections.abc import Iterator
from typing import Protocol

from adaptors.files.targets.base import Listed


class Session(Protocol):
    """Logged in, and used by one thread at a time. Paths are those of the server.

    All methods raise OSError: FileNotFoundError and FileExistsError where the server tells, ConnectionError or
    TimeoutError where the line is lost; `broken` then says that the session is of no more use.
    """

    broken: bool

    def upload(self, path: str, data: bytes) -> None:
        """Make or overwrite a file, as durable as the server can."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Rename a file. What the server does where `new` is taken is found out by trying: refuse, or overwrite."""
        ...

    def replace(self, old: str, new: str) -> None:
        """Rename a file over whatever has the name."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes of a file or UNKNOWN, None if there is nothing of that name. A folder or a link has some size, too."""
        ...

    def read(self, path: str) -> Iterator[bytes]:
        """A file's content, in blocks."""
        ...

    def delete(self, path: str) -> None:
        """Delete a file."""
        ...

    def files(self, folder: str) -> Iterator[Listed]:
        """The files of a folder. A server that does not tell sizes and times may also list what is no file."""
        ...

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder at this path."""
        ...

    def make_folder(self, path: str) -> None:
        """Make a folder."""
        ...

    def ask(self) -> None:
        """Have the server answer something, to know that it still does."""
        ...

    def close(self) -> None:
        """Log out, or just hang up. Raises nothing."""
        ...
