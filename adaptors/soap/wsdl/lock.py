"""Lock: what was fetched, from where, with the SHA-256 of each file, in `wsdl.lock` beside the files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapter_sdk.errors import ConfigError
from adaptors.soap.wsdl.closure import Fetched

NAME = "wsdl.lock"

# No lock, whoever has written it, leads out of its folder.
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+\.(wsdl|xsd)$")]


class LockedFile(BaseModel):
    """One file: where it came from, its SHA-256 as it is here, and as the server sent it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    sha256: str
    source_sha256: str


class Lock(BaseModel):
    """All files of one fetch, by name. `wsdl` is the one to begin with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    wsdl: _FileName
    files: dict[_FileName, LockedFile] = Field(min_length=1)

    @property
    def names(self) -> dict[str, str]:
        """The file names by URL."""
        return {locked.url: name for name, locked in self.files.items()}


def lock_of(url: str, files: Sequence[Fetched]) -> Lock:
    """The lock for files that have been fetched."""
    return Lock(
        url=url,
        wsdl=files[0].name,
        files={one.name: LockedFile(url=one.url, sha256=one.sha256, source_sha256=one.source_sha256) for one in files},
    )


def read_lock(folder: Path) -> Lock | None:
    """The lock in a folder, or None if there is none. Raises ConfigError if it is not one."""
    path = folder / NAME
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path}: is no lock that `adaptor wsdl fetch` has written; move it away") from error


def differences(lock: Lock, folder: Path, files: Sequence[Fetched]) -> list[str]:
    """One sentence for each file that is not as it was: at its source, or here."""
    fetched = {one.name: one for one in files}
    found = [
        f"{name}: has changed at {locked.url}"
        for name, locked in lock.files.items()
        if name in fetched and fetched[name].sha256 != locked.sha256
    ]
    found += [f"{one.name}: is new at {one.url}" for one in files if one.name not in lock.files]
    found += [f"{name}: is no longer named by the WSDL" for name in lock.files if name not in fetched]
    for name, locked in lock.files.items():
        here = folder / name
        if not here.is_file():
            found.append(f"{name}: is missing from {folder}")
        elif hashlib.sha256(here.read_bytes()).hexdigest() != locked.sha256:
            found.append(f"{name}: has been edited in {folder}")
    return found


def write(folder: Path, lock: Lock, files: Sequence[Fetched], before: Lock | None) -> None:
    """Write the files, the lock last, and remove those of `before` that are no longer named. Raises ConfigError."""
    own = set() if before is None else set(before.files)
    foreign = [one.name for one in files if one.name not in own and (folder / one.name).exists()]
    if foreign:
        raise ConfigError(f"{folder}: has files of other origin: {', '.join(foreign)}; fetch --into another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for one in files:
        _replace(folder / one.name, one.content)
    for name in own - set(lock.files):
        (folder / name).unlink(missing_ok=True)
    _replace(folder / NAME, lock.model_dump_json(indent=2).encode() + b"\n")


def _replace(path: Path, content: bytes) -> None:
    """Put a whole file in its place, so that an interrupted fetch leaves none that is cut off."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
