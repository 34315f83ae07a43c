"""FileDropAdaptor: one whole file per event, dropped where the legacy system looks for it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import BackendUnavailable, ConfigError, PermanentError
from adapter_sdk.family import Applied, Claim, Failed, Family, Outcome
from adapter_sdk.ledger.base import ClaimLost, Journal, JournalTransaction, Reply, State
from adaptors.files.checks import folder_faults
from adaptors.files.drop import Drop
from adaptors.files.failures import translate
from adaptors.files.folder import Folder, open_folder
from adaptors.files.names import FileName, MarkerName, key_hash
from adaptors.files.release import EXISTS_POLICIES, ExistsPolicy, Release, release
from adaptors.files.settings import FileSettings
from adaptors.files.staging import Parcel, Staged, discard, identity, probe, stage, sweep

_SEQUENCE = "drop"


class FileDropAdaptor(Adaptor):
    """Base of adaptors whose backend reads files from a folder on this host.

    Handlers take `(self, event, drop)` with `drop: Drop`. A subclass gives `file_name`, a template such as
    `"PICK{sequence:06d}.DAT"` (see `FileName`). `exists` says what to do where the folder holds a file of that name:
    "error" sets the event aside, "same" takes equal content for done and sets the event aside otherwise, "replace"
    overwrites. `marker`, such as `"{stem}.OK"` or `"{name}.done"`, is the name of an empty file that is dropped after
    each file.
    """

    file_name: ClassVar[str] = ""
    exists: ClassVar[ExistsPolicy] = "error"
    marker: ClassVar[str | None] = None

    _handle_type = Drop
    _settings_section = "files"
    _settings_model = FileSettings

    @classmethod
    def _check_class(cls) -> None:
        _Form.of(cls)

    @classmethod
    def _crash_points(cls) -> Sequence[str]:
        points = super()._crash_points()
        return points if cls.marker is not None else [point for point in points if point != "files.marked"]

    @classmethod
    def _family(cls, settings: Any) -> "FileDropFamily":
        return FileDropFamily(_Form.of(cls), settings)


@dataclass(frozen=True, slots=True)
class _Form:
    """What a class declares of its files, read once."""

    adaptor: str
    file_name: FileName
    marker: MarkerName | None
    exists: ExistsPolicy

    @classmethod
    def of(cls, adaptor: type[FileDropAdaptor]) -> "_Form":
        """Raises ConfigError with every fault of the declaration."""
        faults: list[str] = []
        where = f"{adaptor.__module__}.{adaptor.__qualname__}"
        if adaptor.exists not in EXISTS_POLICIES:
            faults.append(f"{where}.exists is {adaptor.exists!r}; give one of {', '.join(EXISTS_POLICIES)}")
        file_name = marker = None
        try:
            data_types = [handler.data_type for handler in adaptor._handlers.values()]
            file_name = FileName(adaptor.file_name, data_types, f"{where}.file_name")
        except ConfigError as error:
            faults += error.faults
        try:
            marker = None if adaptor.marker is None else MarkerName(adaptor.marker, f"{where}.marker")
        except ConfigError as error:
            faults += error.faults
        if faults or file_name is None:
            raise ConfigError(*faults)
        return cls(adaptor.name, file_name, marker, adaptor.exists)


@dataclass(slots=True, eq=False)
class _Job:
    """One claim on its way to the drop; `error` ends it."""

    claim: Claim
    key: str
    replies: tuple[Reply, ...] = ()
    parcel: Parcel | None = None
    staged: Staged | None = None
    error: Exception | None = None

    def outcome(self) -> Outcome:
        return Applied(self.replies) if self.error is None else Failed(self.error)


class FileDropFamily(Family[Drop]):
    """Stage durably, note that in the ledger, then rename into the drop. What is gone from staging was dropped."""

    promise = "One whole file per event: a crash neither repeats a drop nor shows a part of a file."

    def __init__(self, form: _Form, settings: FileSettings) -> None:
        self._form = form
        self._settings = settings

    def check(self) -> list[str]:
        """Look at the folders and try to sync a file in staging."""
        return folder_faults(self._settings)

    def open(self) -> None:
        """Make the default staging folder where it is missing, and sweep what a crash left half-written there."""
        staging = self._settings.staging_folder
        try:
            if self._settings.staging is None and self._settings.drop.is_dir() and not staging.exists():
                staging.mkdir(mode=0o700)
                with open_folder(staging.parent) as parent:
                    parent.sync()
            with open_folder(staging) as folder:
                identity(folder)
                sweep(folder, f"{self._form.adaptor}-")
        except OSError as error:
            raise translate(error, f"opening the staging folder {staging}") from error
        if faults := self.check():
            raise BackendUnavailable("; ".join(faults))

    def probe(self) -> None:
        """Write, sync and delete a file in staging, and open the drop."""
        try:
            with self._folders() as (staging, _):
                probe(staging)
        except OSError as error:
            raise translate(error, f"reaching {self._settings.drop}") from error

    @contextmanager
    def handle(self, claim: Claim, journal: Journal | None) -> Iterator[Drop]:
        """A drop that keeps what the handler writes; `verify` gets one, too, that leads nowhere."""
        yield Drop()

    def effect(self, claim: Claim, journal: Journal) -> tuple[Reply, ...]:
        """Drop the file of one event. One in doubt comes here only when it may be dropped anew."""
        if claim.in_doubt and Staged.read(claim.evidence):
            self.forget_doubt(claim, journal)
        [job] = self._run([claim], journal)
        if job.error is not None:
            raise job.error
        return job.replies

    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        """Drop the files of several events: their syncs, and their notes in the ledger, are shared."""
        sure = iter(self._run([claim for claim in claims if not claim.in_doubt], journal))
        return [self.apply_one(claim, journal) if claim.in_doubt else next(sure).outcome() for claim in claims]

    def without_doubt(self, evidence: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The file never reached the backend: of what was noted only the number of its name stays."""
        return {"number": evidence["number"]} if evidence and evidence.get("number") is not None else {}

    def forget_doubt(self, claim: Claim, journal: Journal) -> None:
        """The file never reached the backend: what may lie staged is made anew, under the number it has."""
        with self._folders() as (staging, _):
            self._unstage(_Job(claim, self._key(claim)), staging, journal)

    def _run(self, claims: Sequence[Claim], journal: Journal) -> list[_Job]:
        jobs = [self._prepare(claim) for claim in claims]
        try:
            with self._folders() as (staging, drop):
                self._stage(jobs, staging)
                reach("files.staged")
                self._note(_sound(jobs, staged=False), identity(staging), journal)
                reach("files.noted")
                self._release(jobs, staging, drop, journal)
        except OSError as error:
            failure = translate(error, f"dropping files into {self._settings.drop}")
            for job in jobs:
                if job.parcel is not None or job.staged is not None:
                    job.error = job.error or failure
        return jobs

    def _prepare(self, claim: Claim) -> _Job:
        """Call the handler, unless an earlier attempt has staged the event's file already."""
        job = _Job(claim, self._key(claim))
        job.staged = Staged.read(claim.evidence)
        if job.staged is not None:
            job.replies = claim.replies
            return job
        try:
            drop = Drop()
            job.replies = self.call(claim, drop)
            if drop.content is not None:
                # A name that cannot be made is found before a number is taken for it.
                self._form.file_name.of(claim.event, sequence=1)
                job.parcel = Parcel(job.key, drop.content, None if self._form.marker is None else b"")
        except Exception as error:  # noqa: BLE001  # the handler's own failure is the outcome of this event
            job.error = error
        return job

    def _stage(self, jobs: Sequence[_Job], staging: Folder) -> None:
        ready = _sound(jobs, staged=False)
        parcels = [job.parcel for job in ready if job.parcel is not None]
        if parcels:
            for job, error in zip(ready, stage(staging, parcels, self._settings.sync), strict=True):
                job.error = error

    def _note(self, jobs: Sequence[_Job], folder: str, journal: Journal) -> None:
        """Write down what is staged, with the name and number it will have, in one commit where all goes well."""
        if not jobs:
            return
        try:
            with journal.transaction() as transaction:
                noted = [self._noted(job, folder, transaction) for job in jobs]
        except (ClaimLost, PermanentError) as error:
            if len(jobs) == 1:
                jobs[0].error = error
                return
            for job in jobs:
                self._note([job], folder, journal)
        else:
            for job, staged in zip(jobs, noted, strict=True):
                job.staged = staged
                # An immediate second try is given this same claim and goes on from here.
                job.claim.evidence, job.claim.replies = staged.evidence(), job.replies

    def _noted(self, job: _Job, folder: str, transaction: JournalTransaction) -> Staged:
        assert job.parcel is not None  # only jobs with a parcel come here
        number = _number(job.claim)
        if number is None and self._form.file_name.uses_sequence:
            number = transaction.next_number(_SEQUENCE)
        name = self._form.file_name.of(job.claim.event, number)
        marker = None if self._form.marker is None else self._form.marker.of(name)
        staged = Staged.of(job.parcel, name, folder, marker, number)
        transaction.note(job.claim.key, job.claim.token, State.STAGED, staged.evidence(), job.replies)
        return staged

    def _release(self, jobs: Sequence[_Job], staging: Folder, drop: Folder, journal: Journal) -> None:
        ready = _sound(jobs, staged=True)
        releases = [Release(job.key, job.staged) for job in ready if job.staged is not None]
        if not releases:
            return
        for job, error in zip(ready, release(staging, drop, releases, self._form.exists), strict=True):
            job.error = error
            if isinstance(error, PermanentError):
                try:
                    self._unstage(job, staging, journal)
                except ClaimLost as lost:
                    job.error = lost

    def _unstage(self, job: _Job, staging: Folder, journal: Journal) -> None:
        """Give up a staged file: first in the ledger, for which a file that is gone was dropped. The number is kept."""
        kept = self.without_doubt(job.claim.evidence)
        with journal.transaction() as transaction:
            transaction.note(job.claim.key, job.claim.token, State.CLAIMED, kept)
        job.claim.evidence = kept
        discard(staging, job.key)

    @contextmanager
    def _folders(self) -> Iterator[tuple[Folder, Folder]]:
        with open_folder(self._settings.staging_folder) as staging, open_folder(self._settings.drop) as drop:
            yield staging, drop

    def _key(self, claim: Claim) -> str:
        return f"{self._form.adaptor}-{key_hash(claim.key)}"


def _sound(jobs: Sequence[_Job], *, staged: bool) -> list[_Job]:
    """The jobs that have not failed and that are staged, or that have a parcel yet to be."""
    if staged:
        return [job for job in jobs if job.error is None and job.staged is not None]
    return [job for job in jobs if job.error is None and job.staged is None and job.parcel is not None]


def _number(claim: Claim) -> int | None:
    """The sequence number that an earlier attempt took for this event."""
    return claim.evidence.get("number") if claim.evidence else None
