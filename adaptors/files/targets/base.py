"""Target: where files are staged and dropped. Read this to write a new one; the staging protocol itself is elsewhere.

A target gives two folders, both open: staging, which no reader watches, and the drop. All that the protocol asks of
them stands in `Folder`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import PurePath
from typing import ClassVar, NamedTuple, Protocol, Self

WRITING = ".w"
"""The end of a name under which a file is being written; it means nothing until the file has its own name."""


class NewFile(NamedTuple):
    """A file to be made: its name and all of its bytes."""

    name: str
    data: bytes


UNKNOWN = -1
"""The size of a file that is there, from a server that does not tell it."""


class Listed(NamedTuple):
    """A file as a folder lists it: bytes or UNKNOWN, and when it was changed, in seconds by the clock of the target."""

    name: str
    size: int
    changed: float | None


class Folder(Protocol):
    """An open folder, reached by one thread at a time; names are those of files directly in it.

    All methods raise OSError: FileNotFoundError and FileExistsError where the target tells, ConnectionError or
    TimeoutError where the line to it is lost; then what was asked for may have happened.
    """

    @property
    def place(self) -> str:
        """What messages call it: a path or a URL, without secrets."""
        ...

    def put(self, files: Sequence[NewFile]) -> list[OSError | None]:
        """Make files whole, and as durable as the target can; the error of each, None where it is done.

        What has the name of one already is replaced in one step, never taken away first.
        """
        ...

    def move(self, name: str, to: Self, new_name: str, *, replace: bool) -> None:
        """Rename, into another folder of the same target.

        Without `replace` raises FileExistsError where the new name is taken. Raises FileNotFoundError where `name` is
        gone, or one of the folders.
        """
        ...

    def has(self, name: str) -> bool:
        """Whether there is anything of this name."""
        ...

    def remove(self, name: str) -> None:
        """Delete a file."""
        ...

    def files(self) -> Iterator[Listed]:
        """The files directly in it; folders and links are none, as far as the target tells."""
        ...

    def read(self, name: str) -> bytes:
        """All bytes of a file."""
        ...

    def digest(self, name: str) -> tuple[int, str]:
        """Size in bytes and SHA-256 of a file."""
        ...

    def sync(self) -> None:
        """Make the names in this folder durable, where the target lets one ask for that."""
        ...

    def identity(self) -> str:
        """What tells this folder from any other at the same place; made the first time."""
        ...

    def in_place(self) -> bool:
        """Whether the path still leads to this folder: it was neither deleted nor mounted over."""
        ...

    def names(self, prefix: str) -> Iterator[tuple[str, float | None]]:
        """Names with this prefix, with the seconds since something was written there; None if that is not told."""
        ...


class Target(Protocol):
    """A drop with its staging, on this host or on a server. One object serves all worker threads.

    `gone_is_dropped` says that a staged file that is not there any more proves that it was dropped; where it does not,
    and the drop does not hold it either, the drop is in doubt.
    """

    gone_is_dropped: ClassVar[bool]

    @property
    def place(self) -> str:
        """What messages call the drop, without secrets."""
        ...

    def check(self) -> list[str]:
        """Faults that can be seen without connecting anywhere, one sentence each."""
        ...

    def open(self) -> None:
        """Get ready, and make the default staging folder. Raises OSError, ConfigError or BackendUnavailable."""
        ...

    def folders(self) -> AbstractContextManager[tuple[Folder, Folder]]:
        """Staging and drop, open until the block ends. Raises OSError, or ConfigError where a login is refused."""
        ...

    def others(self, folders: Sequence[PurePath]) -> AbstractContextManager[Sequence[Folder]]:
        """Other folders on the same target, open until the block ends. Raises as `folders` does."""
        ...

    def check_others(self, folders: Mapping[str, PurePath]) -> list[str]:
        """Faults of folders that `others` would open, by the settings that name them, as `check` finds them."""
        ...

    def make_folder(self, folder: PurePath) -> None:
        """Make a folder where there is none. Raises as `folders` does."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
