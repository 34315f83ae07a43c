"""Release: the one step in which staged parcels become visible to the legacy system.

A staged file that is there has not been dropped; one that is absent has been. The reader may take the dropped file away
at once, so looking for it in the drop tells nothing.
"""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import AdaptorError, BackendUnavailable, InDoubt, TransientError
from adaptors.files.errors import FileExists
from adaptors.files.failures import translate
from adaptors.files.folder import Folder
from adaptors.files.staging import Staged, identity, marker_key

ExistsPolicy = Literal["error", "same", "replace"]
"""What to do where the drop has a file of the name: refuse; take it for done if the content is the same; replace it."""

EXISTS_POLICIES: tuple[ExistsPolicy, ...] = get_args(ExistsPolicy)


_LOOKS = 3  # times that a name is tried which a reader takes away while it is looked at


@dataclass(frozen=True, slots=True)
class Release:
    """A staged parcel, by its name in staging, and what it is to be in the drop."""

    key: str
    staged: Staged


def release(
    staging: Folder, drop: Folder, releases: Sequence[Release], exists: ExistsPolicy
) -> list[AdaptorError | None]:
    """Drop each parcel that is still staged, markers last: the error of each, None where it is in the drop or was.

    A parcel is settled only after both folders are synced. Doing it again for what was dropped changes nothing.
    """
    mover = _Mover(staging, drop, exists, releases)
    mover.each(mover.move_data)
    reach("files.dropped")
    if any(one.staged.marker for one in releases):
        mover.sync(drop)  # the data is durable before its marker can be seen
        mover.each(mover.move_marker)
        reach("files.marked")
    mover.sync(drop, staging)
    return mover.errors


class _Mover:
    """A batch of releases; one that failed once is left alone from then on."""

    def __init__(self, staging: Folder, drop: Folder, exists: ExistsPolicy, releases: Sequence[Release]) -> None:
        self._staging = staging
        self._drop = drop
        self._exists = exists
        self._releases = releases
        self.errors: list[AdaptorError | None] = [None] * len(releases)

    def each(self, step: Callable[[Release], None]) -> None:
        """Take one step for every sound release."""
        for index, one in enumerate(self._releases):
            if self.errors[index] is None:
                try:
                    step(one)
                except AdaptorError as error:
                    self.errors[index] = error
                except OSError as error:
                    self.errors[index] = translate(error, f"dropping {one.staged.name} into {self._drop.path}")

    def sync(self, *folders: Folder) -> None:
        """Sync folders; if one cannot be, no release is settled."""
        try:
            for folder in folders:
                folder.sync()
        except OSError as error:
            failure = translate(error, f"syncing {self._drop.path}")
            self.errors = [known or failure for known in self.errors]

    def move_data(self, one: Release) -> None:
        marker = one.staged.marker
        # A marker that is already there would tell the reader that the data is complete before it is dropped.
        early = marker is not None and self._exists != "replace" and self._drop.has(marker)
        if early and self._staging.has(one.key) and not self._drop.has(one.staged.name):
            raise FileExists(f"{self._drop.path} holds the marker {marker} without its file: the reader left it behind")
        self._move(one.key, one.staged.name, one.staged.staging)

    def move_marker(self, one: Release) -> None:
        if one.staged.marker is not None:
            self._move(marker_key(one.key), one.staged.marker, one.staged.staging)

    def _move(self, staged: str, name: str, folder: str) -> None:
        for _ in range(_LOOKS):
            try:
                self._staging.move(staged, self._drop, name, replace=self._exists == "replace")
                return
            except FileNotFoundError:
                self._confirm_absence(staged, folder)
                return
            except FileExistsError as error:
                same = self._exists == "same" and self._same(staged, name)
                if same:
                    self._staging.remove(staged)
                    return
                if same is False:
                    raise FileExists(f"{self._drop.path} already holds a file named {name}") from error
        raise TransientError(f"{name} comes and goes in {self._drop.path}")

    def _confirm_absence(self, staged: str, folder: str) -> None:
        """The staged file is not found: was it dropped, or is a folder not what it was?"""
        for place in (self._staging, self._drop):
            if not place.in_place():
                raise BackendUnavailable(f"the folder {place.path} was removed or mounted over")
        if self._staging.has(staged):
            raise BackendUnavailable(f"{staged} cannot be moved from {self._staging.path} to {self._drop.path}")
        if identity(self._staging) != folder:
            raise InDoubt(
                f"{self._staging.path} is not the folder that the file was staged in; whether it was dropped is unknown"
            )

    def _same(self, staged: str, name: str) -> bool | None:
        """Whether the drop's file has the staged content; None if the reader has taken it meanwhile."""
        staged_digest = self._staging.digest(staged)
        try:
            return self._drop.digest(name) == staged_digest
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR):  # a link or a folder of that name
                return False
            raise
