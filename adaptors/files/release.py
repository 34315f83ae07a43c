"""Release: the one step in which staged parcels become visible to the legacy system.

A staged file that is there has not been dropped. One that is absent has been, on this host; on a server that is known
only if the drop holds it. The reader may take the dropped file away at once, so not finding it there tells nothing.
"""

import errno
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import AdaptorError, BackendUnavailable, InDoubt, TransientError
from adaptors.files.errors import FileExists
from adaptors.files.failures import translate
from adaptors.files.staging import Staged, StagedFile
from adaptors.files.targets.base import Folder

ExistsPolicy = Literal["error", "same", "replace"]
"""What to do where the drop has a file of the name: refuse; take it for done if the content is the same; replace it."""

EXISTS_POLICIES: tuple[ExistsPolicy, ...] = get_args(ExistsPolicy)

_LOOKS = 3  # times that a name is tried which a reader takes away while it is looked at


class Release:
    """A batch of parcels on their way into the drop; one that failed once is left alone from then on.

    `gone_is_dropped`: a staged file that is absent was dropped, whatever the drop holds.
    """

    def __init__(self, staging: Folder, drop: Folder, exists: ExistsPolicy, *, gone_is_dropped: bool) -> None:
        self._staging = staging
        self._drop = drop
        self._exists = exists
        self._gone_is_dropped = gone_is_dropped
        self._parcels: Sequence[Staged] = ()
        self._errors: list[AdaptorError | None] = []

    def run(self, parcels: Sequence[Staged]) -> list[AdaptorError | None]:
        """Drop each parcel that is still staged, one file after the other: its error, None if it is in the drop or was.

        Each file of a parcel is durable in the drop before the next one can be seen, and a parcel is settled only after
        both folders are synced. Doing it again for what was dropped changes nothing.
        """
        self._parcels, self._errors = parcels, [None] * len(parcels)
        self._each(self._look_ahead)
        for position in range(max(len(parcel.files) for parcel in parcels)):
            if position:
                self._sync(self._drop)
            self._each(lambda parcel: self._release(parcel, position))  # noqa: B023  # called within this turn
            if position:
                reach("files.marked")
            else:
                reach("files.dropped")
        self._sync(self._drop, self._staging)
        return self._errors

    def _each(self, step: Callable[[Staged], None]) -> None:
        for index, parcel in enumerate(self._parcels):
            if self._errors[index] is None:
                try:
                    step(parcel)
                except AdaptorError as error:
                    self._errors[index] = error
                except OSError as error:
                    self._errors[index] = translate(error, f"dropping {parcel.files[0].name} into {self._drop.place}")

    def _sync(self, *folders: Folder) -> None:
        """Sync folders; if one cannot be, no parcel is settled."""
        try:
            for folder in folders:
                folder.sync()
        except OSError as error:
            failure = translate(error, f"syncing {self._drop.place}")
            self._errors = [known or failure for known in self._errors]

    def _look_ahead(self, parcel: Staged) -> None:
        """A marker that is there already would tell the reader that a file is whole before it is there at all."""
        if len(parcel.files) == 1 or self._exists == "replace":
            return
        first, *others = parcel.files
        for other in others:
            taken = self._drop.has(other.name) and self._staging.has(first.staged) and not self._drop.has(first.name)
            if taken:
                raise FileExists(
                    f"{self._drop.place} holds {other.name} without {first.name}: its reader left it behind"
                )

    def _release(self, parcel: Staged, position: int) -> None:
        if position >= len(parcel.files):
            return
        file = parcel.files[position]
        for _ in range(_LOOKS):
            try:
                self._staging.move(file.staged, self._drop, file.name, replace=self._exists == "replace")
                return
            except FileNotFoundError:
                self._confirm_absence(file, parcel.staging)
                return
            except FileExistsError as error:
                same = self._exists == "same" and self._same(file)
                if same:
                    self._staging.remove(file.staged)
                    return
                if same is False:
                    raise FileExists(f"{self._drop.place} already holds a file named {file.name}") from error
        raise TransientError(f"{file.name} comes and goes in {self._drop.place}")

    def _confirm_absence(self, file: StagedFile, folder: str) -> None:
        """The staged file is not found: was it dropped, or is a folder not what it was?"""
        for place in (self._staging, self._drop):
            if not place.in_place():
                raise BackendUnavailable(f"the folder {place.place} was removed or mounted over")
        if self._staging.has(file.staged):
            raise BackendUnavailable(f"{file.staged} cannot be moved from {self._staging.place} to {self._drop.place}")
        if not self._gone_is_dropped and self._same(file):
            return
        if self._staging.identity() != folder:
            raise InDoubt(
                f"{self._staging.place} is not the folder that {file.name} was staged in; whether it was dropped is "
                "unknown"
            )
        if not self._gone_is_dropped:
            raise InDoubt(
                f"{file.name} is neither in {self._staging.place} nor in {self._drop.place}: its reader may have taken "
                "it, or it was lost"
            )

    def _same(self, file: StagedFile) -> bool | None:
        """Whether the drop's file has the staged content; None if the reader has taken it meanwhile."""
        try:
            return self._drop.digest(file.name) == (file.size, file.sha256)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR):  # a link or a folder of that name
                return False
            raise
