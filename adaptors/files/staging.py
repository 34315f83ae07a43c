"""Staging: files made ready and durable in a folder that no reader watches, one parcel per event.

A staged file counts once the ledger notes it. What the ledger notes and is gone from here was dropped: that is why
nothing but a release takes a noted file away, and why the folder has an identity that the ledger keeps.
"""

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from adapter_sdk.errors import AdaptorError
from adaptors.files.failures import translate
from adaptors.files.targets.base import WRITING, Folder, NewFile

_PROBE = ".probe."
_LEFT_OVER = 3600.0  # seconds after which a half-written file is nobody's any more
# A staged name: what it is for, the claim that it was made under, and its index.
_OF_A_CLAIM = re.compile(r"(.+)-[0-9a-f]{8}\.\d+")


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is to be dropped: a file and its markers, in the order in which they become visible.

    What another process that has lost its claim stages for the same file must not take this one's place: the key says
    what it is for and under which claim.
    """

    key: str
    contents: tuple[bytes, ...]

    @classmethod
    def under(cls, token: str, adaptor: str, file: str, contents: tuple[bytes, ...]) -> Self:
        """What an adaptor stages for this file under the claim with this token."""
        return cls(f"{adaptor}-{file}-{token[:8]}", contents)

    def files(self) -> list[NewFile]:
        """Every file by its staged name."""
        return [NewFile(staged_name(self.key, index), data) for index, data in enumerate(self.contents)]


class StagedFile(NamedTuple):
    """One file of a parcel: its name in staging, and what it is to be in the drop."""

    staged: str
    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Staged:
    """The ledger's evidence: a parcel is staged, and this is what it will be in the drop.

    `number` is the sequence number that the event keeps, `staging` the identity of the folder the parcel lies in,
    `events` of how many events the file is.
    """

    files: tuple[StagedFile, ...]
    staging: str
    number: int | None = None
    events: int = 1

    @classmethod
    def of(cls, parcel: Parcel, names: Sequence[str], staging: str, number: int | None, events: int = 1) -> Self:
        """The evidence of a parcel that is durable in staging."""
        files = tuple(
            StagedFile(staged_name(parcel.key, index), name, len(data), hashlib.sha256(data).hexdigest())
            for index, (name, data) in enumerate(zip(names, parcel.contents, strict=True))
        )
        return cls(files, staging, number, events)

    @classmethod
    def read(cls, evidence: Mapping[str, Any] | None) -> Self | None:
        """What the ledger kept, or None if nothing is staged."""
        if not evidence or "files" not in evidence:
            return None
        files = tuple(StagedFile(*file) for file in evidence["files"])
        return cls(files, evidence["staging"], evidence.get("number"), evidence.get("events", 1))

    def evidence(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        events = {"events": self.events} if self.events > 1 else {}
        return {"files": self.files, "staging": self.staging} | events | kept_number(self.number)


def kept_number(number: int | None) -> dict[str, Any]:
    """The evidence of an event for which nothing is staged: the number that it has taken, if any."""
    return {} if number is None else {"number": number}


def staged_name(key: str, index: int) -> str:
    """What a file of a parcel is called in staging: hidden, because on some servers readers watch this folder too."""
    return f".{key}.{index}"


def stage(staging: Folder, parcels: Sequence[Parcel]) -> list[AdaptorError | None]:
    """Make parcels durable: the error of each, None where it is done."""
    files = [parcel.files() for parcel in parcels]
    errors = iter(staging.put([file for one in files for file in one]))
    results: list[AdaptorError | None] = []
    for one in files:
        found = [error for error in (next(errors) for _ in one) if error is not None]
        results.append(translate(found[0], f"staging a file in {staging.place}") if found else None)
    return results


def discard(staging: Folder, names: Iterable[str]) -> None:
    """Take staged files back. Only if the ledger does not say that they are staged, or no longer does."""
    for name in names:
        with suppress(FileNotFoundError):
            staging.remove(name)


def sweep(staging: Folder, adaptor: str) -> None:
    """Delete what a crash left half-written for this adaptor, over an hour ago."""
    ours = (f".{adaptor}-", _PROBE)
    old = [name for name, age in staging.names(".") if name.startswith(ours) and (age or 0) > _LEFT_OVER]
    discard(staging, [name for name in old if name.endswith(WRITING)])


def sweep_others(staging: Folder, noted: Iterable[Staged]) -> None:
    """Delete what was staged for the same files under other claims: once these are noted nobody can note that.

    What cannot be deleted is left: that is no event's business.
    """
    ours = {file.staged for one in noted for file in one.files}
    if not ours:
        return
    for_what = {name.rpartition("-")[0] for name in ours}
    with suppress(OSError):
        claimed = [found for name, _ in staging.names(".") if (found := _OF_A_CLAIM.fullmatch(name))]
        discard(staging, [found[0] for found in claimed if found[1] in for_what and found[0] not in ours])


def probe(staging: Folder) -> None:
    """Write, sync and delete a file. Raises OSError if that is not possible now."""
    name = f"{_PROBE}{uuid.uuid4().hex}{WRITING}"
    [error] = staging.put([NewFile(name, b"probe")])
    if error is not None:
        with suppress(OSError):  # it may be there without being durable
            staging.remove(name)
        raise error
    staging.remove(name)
