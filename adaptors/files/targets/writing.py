"""Many files of this host written and made durable together: their syncs overlap, or are one."""

import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaptors.files.targets.base import WRITING, NewFile
from adaptors.files.targets.volume import start_writing, sync_volume, worth_syncing

if TYPE_CHECKING:
    from adaptors.files.targets.local import LocalFolder

_MANY = 8  # files from which on one sync of the volume costs less than one of each


@dataclass(slots=True)
class _Open:
    """A file that is being made, under the name that it has so far; `descriptor` is None once it is closed."""

    file: NewFile
    name: str
    descriptor: int | None
    error: OSError | None = None


class Writing:
    """A batch of files on their way; one that failed once is left alone from then on.

    A file is made under its own name: nobody looks at it before it is known to be whole. Only where the name is taken,
    by an earlier attempt, is it made under another and renamed, so that there is no moment without a file.
    """

    def __init__(self, folder: "LocalFolder", files: Sequence[NewFile]) -> None:
        self._folder = folder
        self._files = [_Open(file, file.name, None) for file in files]

    def run(self) -> list[OSError | None]:
        """Make them: the error of each, None where it is done."""
        try:
            self._each(self._create)
            as_one = self._as_one()
            if as_one:
                self._all(lambda: sync_volume(self._folder.descriptor))
            else:
                self._each(_start)
                self._each(_sync)
            self._each(_close)
        finally:
            self._abandon()
        renamed = [one for one in self._files if one.name != one.file.name]
        if renamed:
            self._each(self._rename)
        if renamed or not as_one:
            self._all(self._folder.sync)
        return [one.error for one in self._files]

    def _each(self, step: Callable[[_Open], None]) -> None:
        for one in self._files:
            if one.error is None:
                try:
                    step(one)
                except OSError as error:
                    one.error = error

    def _all(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            for one in self._files:
                one.error = one.error or error

    def _as_one(self) -> bool:
        by, descriptor, count = self._folder.sync_by, self._folder.descriptor, len(self._files)
        return by == "volume" or (by == "auto" and count >= _MANY and worth_syncing(descriptor, count))

    def _create(self, one: _Open) -> None:
        try:
            one.descriptor = self._folder.create(one.name, one.file.data)
        except FileExistsError:
            one.name = f"{one.name}.{uuid.uuid4().hex[:8]}{WRITING}"
            one.descriptor = self._folder.create(one.name, one.file.data)

    def _rename(self, one: _Open) -> None:
        if one.name != one.file.name:
            self._folder.move(one.name, self._folder, one.file.name, replace=True)

    def _abandon(self) -> None:
        """Close what is open still, and delete what has failed, unless another attempt has its name by now."""
        for one in self._files:
            if one.descriptor is not None:
                if one.error is not None:
                    self._folder.remove_own(one.name, one.descriptor)
                with suppress(OSError):
                    os.close(one.descriptor)


def _start(one: _Open) -> None:
    if one.descriptor is not None:
        start_writing(one.descriptor)


def _sync(one: _Open) -> None:
    if one.descriptor is not None:
        os.fsync(one.descriptor)


def _close(one: _Open) -> None:
    descriptor, one.descriptor = one.descriptor, None
    if descriptor is not None:
        os.close(descriptor)  # a network file system may report a failed write only here
