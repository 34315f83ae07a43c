"""Staging: files made ready and durable in a folder that no reader watches, one name per event.

`<key>.w` is being written and means nothing; `<key>` is whole and durable. What is gone from here was dropped: that is
why nothing but a release takes a staged file away, and why the folder has an identity that the ledger keeps.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from adapter_sdk.errors import AdaptorError
from adaptors.files.failures import translate
from adaptors.files.folder import Folder, start_writing

IDENTITY = "staging.id"
WRITING = ".w"
_MARKER = ".m"
_LEFT_OVER = 3600.0  # seconds after which a half-written file is nobody's any more


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be dropped for one event. `key` is its name in staging; `marker` the bytes of the marker, if any."""

    key: str
    data: bytes
    marker: bytes | None = None

    def files(self) -> list[tuple[str, bytes]]:
        """Every file of the parcel by its staged name, the marker last."""
        files = [(self.key, self.data)]
        return files if self.marker is None else [*files, (marker_key(self.key), self.marker)]


@dataclass(frozen=True, slots=True)
class Staged:
    """The ledger's evidence: a parcel is staged, and this is what it will be in the drop.

    `number` is the sequence number that the event keeps, `staging` the identity of the folder the parcel lies in.
    """

    name: str
    size: int
    sha256: str
    staging: str
    marker: str | None = None
    number: int | None = None

    @classmethod
    def of(cls, parcel: Parcel, name: str, staging: str, marker: str | None, number: int | None) -> Self:
        """The evidence of a parcel that is durable in staging."""
        return cls(name, len(parcel.data), hashlib.sha256(parcel.data).hexdigest(), staging, marker, number)

    @classmethod
    def read(cls, evidence: Mapping[str, Any] | None) -> Self | None:
        """What the ledger kept, or None if nothing is staged."""
        return cls(**evidence) if evidence and "name" in evidence else None

    def evidence(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return asdict(self)


def marker_key(key: str) -> str:
    """The staged name of a parcel's marker."""
    return key + _MARKER


def stage(
    staging: Folder, parcels: Sequence[Parcel], sync: Literal["files", "volume"] = "files"
) -> list[AdaptorError | None]:
    """Make parcels durable under their names: the error of each, None where it is done.

    All are written, then synced, then renamed, then the folder is synced once; so one parcel costs little among many.
    """
    batch = _Writing(staging, parcels)
    try:
        batch.each(batch.write)
        if sync == "volume":
            batch.all(staging.sync_volume)
        else:
            batch.each(batch.sync)
        batch.each(batch.close)
        batch.each(batch.name)
        batch.all(staging.sync)
    finally:
        batch.abandon()
    return batch.errors


class _Writing:
    """A batch of parcels on their way; a parcel that failed once is left alone from then on."""

    def __init__(self, staging: Folder, parcels: Sequence[Parcel]) -> None:
        self._staging = staging
        self._parcels = parcels
        self._open: dict[str, int] = {}
        self.errors: list[AdaptorError | None] = [None] * len(parcels)

    def each(self, step: Callable[[str, bytes], None]) -> None:
        """Take one step for every file of every sound parcel."""
        for index, parcel in enumerate(self._parcels):
            if self.errors[index] is None:
                try:
                    for name, data in parcel.files():
                        step(name, data)
                except OSError as error:
                    self.errors[index] = self._failure(error)

    def all(self, step: Callable[[], None]) -> None:
        """Take one step for all parcels together."""
        try:
            step()
        except OSError as error:
            self.errors = [known or self._failure(error) for known in self.errors]

    def _failure(self, error: OSError) -> AdaptorError:
        return translate(error, f"staging a file in {self._staging.path}")

    def write(self, name: str, data: bytes) -> None:
        self._open[name] = self._staging.create(name + WRITING, data)
        start_writing(self._open[name])

    def sync(self, name: str, data: bytes) -> None:
        os.fsync(self._open[name])

    def close(self, name: str, data: bytes) -> None:
        os.close(self._open.pop(name))  # a network file system may report a failed write only here

    def name(self, name: str, data: bytes) -> None:
        self._staging.move(name + WRITING, self._staging, name, replace=True)

    def abandon(self) -> None:
        """Close and delete what parcels that failed have left half-written."""
        for name, descriptor in self._open.items():
            with suppress(OSError):
                os.close(descriptor)
            with suppress(OSError):
                self._staging.remove(name + WRITING)


def discard(staging: Folder, key: str) -> None:
    """Take a staged parcel back. Only after the ledger no longer says that it is staged."""
    for name in (key, marker_key(key)):
        with suppress(FileNotFoundError):
            staging.remove(name)


def sweep(staging: Folder, prefix: str) -> int:
    """Delete half-written files that a crash left under names with this prefix, over an hour ago; how many."""
    swept = 0
    for name in os.listdir(staging.descriptor):  # noqa: PTH208  # pathlib cannot list a descriptor
        if name.startswith(prefix) and name.endswith(WRITING):
            with suppress(FileNotFoundError):
                if time.time() - os.stat(name, dir_fd=staging.descriptor).st_mtime > _LEFT_OVER:
                    staging.remove(name)
                    swept += 1
    return swept


def probe(staging: Folder) -> None:
    """Write, sync and delete a file. Raises OSError if that is not possible now."""
    name = f"probe.{uuid.uuid4().hex}{WRITING}"
    descriptor = staging.create(name, b"probe")
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        staging.remove(name)
    staging.sync()


def identity(staging: Folder) -> str:
    """What tells this folder from any other at the same path; made the first time.

    Without it an emptied or unmounted staging folder would say that all parcels were dropped.
    """
    with suppress(FileNotFoundError):
        return staging.read_text(IDENTITY)
    fresh = IDENTITY + "." + uuid.uuid4().hex + WRITING
    descriptor = staging.create(fresh, uuid.uuid4().hex.encode())
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        staging.move(fresh, staging, IDENTITY, replace=False)
    except FileExistsError:
        staging.remove(fresh)
    staging.sync()
    return staging.read_text(IDENTITY)
