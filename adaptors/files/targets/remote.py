"""Files on a server, over whatever protocol a `Session` speaks: temp name, look at the size, rename."""

import errno
import hashlib
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import PurePath, PurePosixPath
from typing import ClassVar, Protocol

import structlog

from adapter_sdk.errors import BackendUnavailable
from adaptors.files.location import Location
from adaptors.files.targets.base import UNKNOWN, WRITING, Listed, NewFile
from adaptors.files.targets.pool import SessionPool
from adaptors.files.targets.session import Session

log = structlog.get_logger("adaptor")

_IDENTITY = ".staging.id"


class Door(Protocol):
    """How to come to a server by one protocol."""

    def check(self) -> list[str]:
        """Faults that can be seen without connecting, one sentence each."""
        ...

    def connect(self) -> Session:
        """Log in. Raises ConfigError where the login is refused or the server is not who it should be, else OSError."""
        ...


class RemoteFolder:
    """A folder of a server, reached through one session.

    `looks` is held from looking for a name to taking it, where the server would overwrite; None where it refuses.
    """

    def __init__(self, session: Session, location: Location, folder: str, looks: "threading.Lock | None") -> None:
        self._session = session
        self._folder = folder
        self._looks = looks
        self.place = location.within(folder)

    def put(self, files: Sequence[NewFile]) -> list[OSError | None]:
        """Upload one after the other, each under a name of its own, and rename it once its size is right."""
        errors: list[OSError | None] = []
        for file in files:
            try:
                self._put(file)
                errors.append(None)
            except OSError as error:
                errors.append(error)
                if self._session.broken:
                    return errors + [error] * (len(files) - len(errors))
        return errors

    def move(self, name: str, to: "RemoteFolder", new_name: str, *, replace: bool) -> None:
        if replace or self._looks is None:
            self._rename(name, to, new_name, replace=replace)
            return
        with self._looks:
            if self.has(name) and to.has(new_name):
                raise FileExistsError(errno.EEXIST, f"{new_name} is in {to.place}")
            self._rename(name, to, new_name, replace=False)

    def has(self, name: str) -> bool:
        return self._session.size(self._path(name)) is not None

    def remove(self, name: str) -> None:
        self._session.delete(self._path(name))

    def files(self) -> Iterator[Listed]:
        return self._session.files(self._folder)

    def read(self, name: str) -> bytes:
        return b"".join(self._session.read(self._path(name)))

    def digest(self, name: str) -> tuple[int, str]:
        size, sha256 = 0, hashlib.sha256()
        for block in self._session.read(self._path(name)):
            size += len(block)
            sha256.update(block)
        return size, sha256.hexdigest()

    def sync(self) -> None:
        """No protocol has a word for it."""

    def identity(self) -> str:
        """A random text in a file of the folder."""
        with suppress(FileNotFoundError):
            return self._text(_IDENTITY)
        fresh = f"{_IDENTITY}.{uuid.uuid4().hex}{WRITING}"
        self._session.upload(self._path(fresh), uuid.uuid4().hex.encode())
        try:
            self.move(fresh, self, _IDENTITY, replace=False)
        except FileExistsError:
            self.remove(fresh)
        return self._text(_IDENTITY)

    def in_place(self) -> bool:
        return self._session.is_folder(self._folder)

    def names(self, prefix: str) -> Iterator[tuple[str, float | None]]:
        for name, _, changed in self._session.files(self._folder):
            if name.startswith(prefix):
                yield name, None if changed is None else time.time() - changed

    def overwrites(self) -> bool:
        """Whether the server renames a file over another, found out with two files of our own."""
        one, other = (f".probe.{uuid.uuid4().hex}{WRITING}" for _ in range(2))
        for name in (one, other):
            self._session.upload(self._path(name), b"probe")
        try:
            self._session.rename(self._path(one), self._path(other))
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            self.remove(one)
            return False
        finally:
            if not self._session.broken:
                self.remove(other)
        return True

    def _text(self, name: str) -> str:
        return self.read(name).decode("ascii", "replace")

    def _path(self, name: str) -> str:
        return f"{self._folder.rstrip('/')}/{name}"

    def _put(self, file: NewFile) -> None:
        path = self._path(f"{file.name}.{uuid.uuid4().hex[:8]}{WRITING}")
        try:
            self._session.upload(path, file.data)
            self._check_size(path, len(file.data))
            self._session.replace(path, self._path(file.name))
        except OSError as error:
            if not self._session.broken:
                with suppress(OSError):
                    self._session.delete(path)
                self._look_for_folder(error)
            if error.errno is None and not isinstance(error, (ConnectionError, TimeoutError)):
                # Name and folder are our own: no event is at fault. SFTP has no other word for a full disk.
                raise OSError(errno.EIO, str(error)) from error
            raise

    def _look_for_folder(self, error: OSError) -> None:
        """Many servers say no more than that something failed. Raises FileNotFoundError if the folder is not there."""
        if not self.in_place():
            raise FileNotFoundError(errno.ENOENT, f"{self.place} is not a folder") from error

    def _check_size(self, path: str, wanted: int) -> None:
        size = self._session.size(path)
        if size == UNKNOWN:
            size = sum(map(len, self._session.read(path)))
        if size != wanted:
            raise OSError(f"the server has {size} bytes of a file of {wanted}")

    def _rename(self, name: str, to: "RemoteFolder", new_name: str, *, replace: bool) -> None:
        try:
            (self._session.replace if replace else self._session.rename)(self._path(name), to._path(new_name))
        except (FileNotFoundError, FileExistsError, ConnectionError, TimeoutError):
            raise
        except OSError as error:
            if not self.has(name):
                raise FileNotFoundError(errno.ENOENT, f"{name} is not in {self.place}") from error
            if not replace and to.has(new_name):
                raise FileExistsError(errno.EEXIST, f"{new_name} is in {to.place}") from error
            to._look_for_folder(error)
            raise


class RemoteTarget:
    """A drop on a server, with its staging on the same."""

    gone_is_dropped: ClassVar[bool] = False

    def __init__(self, location: Location, staging: PurePath | None, door: Door) -> None:
        self._location = location
        self._makes_staging = staging is None
        drop = PurePosixPath(location.folder)
        self._staging = str(staging or drop.parent / f".{drop.name}.staging")
        self._door = door
        self._pool = SessionPool(self._connect)
        self._one_at_a_time = threading.Lock()
        self._looks: threading.Lock | None = self._one_at_a_time

    @property
    def place(self) -> str:
        """The URL of the drop."""
        return str(self._location)

    def check(self) -> list[str]:
        """What the protocol needs before it can connect."""
        if self._makes_staging and not PurePosixPath(self._location.folder).name:
            return [f"[files] staging: {self.place} has no folder above it in which one could be made; name one"]
        return self._door.check()

    def open(self) -> None:
        """Look at the folders, and find out whether the server renames over what is there."""
        with self._pool.take() as session:
            staging, drop = self._folders(session)
            if not drop.in_place():
                raise BackendUnavailable(f"{drop.place} is not a folder")
            if not staging.in_place():
                if not self._makes_staging:
                    raise BackendUnavailable(f"{staging.place} is not a folder")
                self._make_staging(session)
            overwrites = staging.overwrites()
        self._looks = self._one_at_a_time if overwrites else None
        if overwrites:
            log.warning(
                "server overwrites",
                place=self.place,
                error="it renames over what is there, so names are looked for first; a file that another program puts "
                "there in that moment is lost",
            )

    @contextmanager
    def folders(self) -> Iterator[tuple[RemoteFolder, RemoteFolder]]:
        with self._pool.take() as session:
            yield self._folders(session)

    @contextmanager
    def others(self, folders: Sequence[PurePath]) -> Iterator[Sequence[RemoteFolder]]:
        with self._pool.take() as session:
            yield [RemoteFolder(session, self._location, str(folder), self._looks) for folder in folders]

    def check_others(self, folders: Mapping[str, PurePath]) -> list[str]:
        """Whether they are there is seen only by connecting."""
        return []

    def make_folder(self, folder: PurePath) -> None:
        with self._pool.take() as session:
            if not session.is_folder(str(folder)):
                session.make_folder(str(folder))

    def _make_staging(self, session: Session) -> None:
        try:
            session.make_folder(self._staging)
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            raise BackendUnavailable(
                f"{self.place}: the staging folder {self._staging} cannot be made ({error}); set `staging` in [files]"
                " to a folder that this user may write to, or to the drop itself"
            ) from error

    def close(self) -> None:
        """Close the idle sessions."""
        self._pool.close()

    def _connect(self) -> Session:
        try:
            return self._door.connect()
        except OSError as error:
            lost = TimeoutError if isinstance(error, TimeoutError) else ConnectionError
            raise lost(f"{self._location.server}: {error.strerror or error}") from error

    def _folders(self, session: Session) -> tuple[RemoteFolder, RemoteFolder]:
        return (
            RemoteFolder(session, self._location, self._staging, self._looks),
            RemoteFolder(session, self._location, self._location.folder, self._looks),
        )
