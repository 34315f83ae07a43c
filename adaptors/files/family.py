"""FileDropFamily: stage durably, note that in the ledger, then rename into the drop."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from adapter_sdk.answer_methods import AnswerSpec
from adapter_sdk.answers import Answers
from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import BackendUnavailable, ConfigError, PermanentError, TransientError
from adapter_sdk.family import Applied, Claim, Failed, Family, Outcome
from adapter_sdk.ledger.base import ClaimLost, Journal, JournalTransaction, Reply, State
from adapter_sdk.pace import shared
from adapter_sdk.transport.base import Message
from adaptors.files.answers.receiving import Receiving
from adaptors.files.batch_files import BatchFiles
from adaptors.files.drop import Drop
from adaptors.files.failures import translate
from adaptors.files.form import Form
from adaptors.files.markers import FileContent
from adaptors.files.names import key_hash
from adaptors.files.release import Release
from adaptors.files.sequence import SEQUENCE
from adaptors.files.staging import Parcel, Staged, discard, kept_number, probe, stage, sweep, sweep_others
from adaptors.files.targets.base import Folder, Target

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Job:
    """One claim on its way to the drop; `error` ends it."""

    claim: Claim
    replies: tuple[Reply, ...] = ()
    content: FileContent | None = None
    number: int | None = None
    name: str = ""
    parcel: Parcel | None = None
    staged: Staged | None = None
    error: Exception | None = None

    def outcome(self) -> Outcome:
        return Applied(self.replies) if self.error is None else Failed(self.error)


class FileDropFamily(Family[Drop]):
    """Stage durably, note that in the ledger, then rename into the drop. What is gone from staging was dropped."""

    promise = "Each event in one whole file: a crash neither repeats a drop nor shows a part of a file."
    leaves_doubt = False

    def __init__(self, form: Form, target: Target, receiving: Receiving | None = None) -> None:
        self._form = form
        self._target = target
        self._receiving = receiving

    def check(self) -> list[str]:
        """What can be seen of the target, and of the folder of answers, without connecting anywhere."""
        return [*self._target.check(), *(self._receiving.check() if self._receiving is not None else ())]

    def open(self) -> None:
        """Make the default staging folder where it is missing, and sweep what a crash left half-written there."""
        with self._reached():
            self._target.open()
            with self._target.folders() as (staging, _):
                staging.identity()
                sweep(staging, self._form.adaptor)

    def close(self) -> None:
        """Let go of the target."""
        self._target.close()

    def probe(self) -> None:
        """Write, sync and delete a file in staging, and look for the drop."""
        with self._reached(), self._target.folders() as (staging, drop):
            probe(staging)
            if not drop.in_place():
                raise BackendUnavailable(f"{drop.place} is not there")

    def collect(self, answers: Answers) -> None:
        """Look once for answer files."""
        if self._receiving is not None:
            self._receiving.collect(answers)

    def read_answer(self, spec: AnswerSpec, message: Message) -> Any:
        """The one record of the file that an answer is kept as."""
        [record] = spec.record.decode_all(message.body)  # type: ignore[attr-defined]  # its form is read from a Record
        return record

    @contextmanager
    def handle(self, claim: Claim, journal: Journal | None) -> Iterator[Drop]:
        """A drop that keeps what the handler writes; `verify` gets one, too, that leads nowhere."""
        yield Drop(_number(claim))

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
        if self._form.batch is not None:
            gone_is_dropped = self._target.gone_is_dropped
            files = BatchFiles(self._form, self._folders, self.call_together, self.ask, gone_is_dropped=gone_is_dropped)
            return files.apply(claims, journal)
        sure = iter(self._run([claim for claim in claims if not claim.in_doubt], journal))
        return [self.apply_one(claim, journal) if claim.in_doubt else next(sure).outcome() for claim in claims]

    def without_doubt(self, evidence: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The file never reached the backend: of what was noted only the number of its name stays.

        One of many events goes into another file then, and each of the others may go into yet another: none keeps it.
        """
        if self._form.batch is not None:
            return {}
        return kept_number(evidence.get("number") if evidence else None)

    def forget_doubt(self, claim: Claim, journal: Journal) -> None:
        """The file never reached the backend: what may lie staged is made anew, under the number it has."""
        with self._translated(f"reaching {self._target.place}"), self._folders() as (staging, _):
            self._unstage(claim, staging, journal)

    def _run(self, claims: Sequence[Claim], journal: Journal) -> list[_Job]:
        jobs = [self._prepare(claim, journal) for claim in claims]
        going = [job for job in jobs if job.error is None and (job.parcel or job.staged)]
        if not going:
            return jobs
        try:
            if self._form.name_before_content:
                self._reserve(_unstaged(going), journal)
            with self._translated(f"dropping files into {self._target.place}"), self._folders() as (staging, drop):
                self._stage(_unstaged(going), staging)
                reach("files.staged")
                self._note(_unstaged(going), staging, journal)
                reach("files.noted")
                self._release([job for job in going if job.error is None], staging, drop, journal)
        except (BackendUnavailable, TransientError, PermanentError) as error:
            for job in going:
                job.error = job.error or error
        return jobs

    def _prepare(self, claim: Claim, journal: Journal) -> _Job:
        """Call the handler, unless an earlier attempt has staged the event's file already."""
        job = _Job(claim, number=_number(claim))
        job.staged = Staged.read(claim.evidence)
        if job.staged is not None:
            job.replies = claim.replies
            return job
        try:
            drop = _NumberedDrop(job.number, lambda: self._number_now(job, journal))
            job.replies = self.call(claim, drop)
            if drop.content is not None:
                # What cannot be named or marked is found before a number is taken for it.
                job.content = FileContent(drop.content, drop.records)
                self._pack(job, job.number or 1)
        except Exception as error:  # noqa: BLE001  # the handler's own failure is the outcome of this event
            job.error = error
        return job

    def _number_now(self, job: _Job, journal: Journal) -> int:
        """The number of a file whose handler writes it into the file. Raises what keeps it from being taken."""
        with journal.transaction() as transaction:
            number = self._reserved(job, transaction)
        job.number, job.claim.evidence = number, kept_number(number)
        return number

    def _reserve(self, jobs: Sequence[_Job], journal: Journal) -> None:
        """Take the numbers of files whose markers cannot be written without them."""
        unnumbered = [job for job in jobs if job.number is None]
        for job, number in zip(unnumbered, _in_one_commit(unnumbered, journal, self._reserved), strict=True):
            if number is not None:
                job.number, job.claim.evidence = number, kept_number(number)
                self._pack(job, number)

    def _reserved(self, job: _Job, transaction: JournalTransaction) -> int:
        number = transaction.next_number(SEQUENCE)
        self._form.file_name.of(job.claim.event, number)  # raises where the number outgrows the name
        transaction.note(job.claim.key, job.claim.token, State.CLAIMED, kept_number(number))
        return number

    def _stage(self, jobs: Sequence[_Job], staging: Folder) -> None:
        errors = stage(staging, [job.parcel for job in jobs if job.parcel is not None])
        for job, error in zip(jobs, errors, strict=True):
            job.error = error

    @shared
    def _note(self, jobs: Sequence[_Job], staging: Folder, journal: Journal) -> None:
        """Write down what is staged, with the names and number that it will have."""
        folder = staging.identity()
        noted = _in_one_commit(jobs, journal, lambda job, transaction: self._noted(job, folder, transaction))
        for job, staged in zip(jobs, noted, strict=True):
            if staged is not None:
                # An immediate second try is given this same claim and goes on from here.
                job.staged, job.claim.evidence, job.claim.replies = staged, staged.evidence(), job.replies
        # Earlier attempts may have left something in staging.
        sweep_others(staging, [job.staged for job in jobs if job.staged and job.claim.again])
        unwanted = [job.parcel for job in jobs if isinstance(job.error, (PermanentError, ClaimLost)) and job.parcel]
        with suppress(OSError):
            discard(staging, [file.name for parcel in unwanted for file in parcel.files()])

    def _noted(self, job: _Job, folder: str, transaction: JournalTransaction) -> Staged:
        assert job.parcel is not None  # only jobs with a parcel come here
        number, name = job.number, job.name
        if number is None and self._form.file_name.uses_sequence:
            number = transaction.next_number(SEQUENCE)
            name = self._form.file_name.of(job.claim.event, number)
        staged = Staged.of(job.parcel, self._form.markers.names_of(name), folder, number)
        transaction.note(job.claim.key, job.claim.token, State.STAGED, staged.evidence(), job.replies)
        return staged

    def _release(self, jobs: Sequence[_Job], staging: Folder, drop: Folder, journal: Journal) -> None:
        if not jobs:
            return
        release = Release(staging, drop, self._form.exists, gone_is_dropped=self._target.gone_is_dropped)
        for job, error in zip(jobs, release.run([job.staged for job in jobs if job.staged]), strict=True):
            job.error = error
            if isinstance(error, PermanentError):
                try:
                    self._unstage(job.claim, staging, journal)
                except ClaimLost as lost:
                    job.error = lost

    def _unstage(self, claim: Claim, staging: Folder, journal: Journal) -> None:
        """Give up a staged file: first in the ledger, for which a file that is gone was dropped. The number is kept."""
        staged, kept = Staged.read(claim.evidence), self.without_doubt(claim.evidence)
        with journal.transaction() as transaction:
            transaction.note(claim.key, claim.token, State.CLAIMED, kept)
        claim.evidence = kept
        if staged is not None:
            discard(staging, [file.staged for file in staged.files])

    def _pack(self, job: _Job, number: int) -> None:
        """Name and mark what is to be dropped; without its number, as if it had this one. Raises FormatError."""
        assert job.content is not None  # only jobs with content are packed
        markers = self._form.markers
        job.name = self._form.file_name.of(job.claim.event, number)
        markers.names_of(job.name)
        contents = markers.contents_of(job.content, job.name)
        job.parcel = Parcel.under(job.claim.token, self._form.adaptor, key_hash(job.claim.key), contents)

    @contextmanager
    def _folders(self) -> Iterator[tuple[Folder, Folder]]:
        """Staging and drop, in the middle of a run: a login that is refused now was not when it began."""
        try:
            with self._target.folders() as folders:
                yield folders
        except ConfigError as error:
            raise BackendUnavailable("; ".join(error.faults)) from error

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Before there is an event in hand every trouble with the target is an outage."""
        try:
            yield
        except OSError as error:
            raise BackendUnavailable(str(translate(error, f"reaching {self._target.place}"))) from error

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Trouble with the target while `doing` something, as the toolkit's errors."""
        try:
            yield
        except OSError as error:
            raise translate(error, doing) from error


class _NumberedDrop(Drop):
    """A drop whose number is taken when it is first asked for."""

    def __init__(self, number: int | None, take: Callable[[], int]) -> None:
        super().__init__(number)
        self._take = take

    def _take_number(self) -> int:
        return self._take()


class RemoteDropFamily(FileDropFamily):
    """The same on a server. What is gone from staging was dropped if the drop holds it, and else is in doubt."""

    promise = (
        "Each event in one whole file, never a part of one and never twice. If line or process dies in the moment "
        "of a drop, and the reader has taken the file by the time that it is looked for, the event is in doubt."
    )
    leaves_doubt = True


class OverwritingDropFamily(RemoteDropFamily):
    """The same by a protocol that does not say whether a rename overwrites."""

    promise = (
        f"{RemoteDropFamily.promise} The server may rename over what is there: names are looked for first, and a file "
        "that another program puts there in that moment is lost."
    )


def _number(claim: Claim) -> int | None:
    """The sequence number that an earlier attempt took for this event."""
    return claim.evidence.get("number") if claim.evidence else None


def _unstaged(jobs: Sequence[_Job]) -> list[_Job]:
    """The jobs that have not failed and whose parcel is yet to be staged."""
    return [job for job in jobs if job.error is None and job.staged is None]


def _in_one_commit(
    jobs: Sequence[_Job], journal: Journal, step: Callable[[_Job, JournalTransaction], T]
) -> list[T | None]:
    """What a step makes of each job, in one commit where all goes well; else each in its own, and a failed one None."""
    if not jobs:
        return []
    try:
        with journal.transaction() as transaction:
            return [step(job, transaction) for job in jobs]
    except (ClaimLost, PermanentError) as error:
        if len(jobs) == 1:
            jobs[0].error = error
            return [None]
        return [made for job in jobs for made in _in_one_commit([job], journal, step)]
