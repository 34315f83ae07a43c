"""Files of many events: one list for the handler, one file in the drop, and every event's row noted with it.

Number, name, list and bytes of a file are fixed in one commit, after it is durable in staging and before it can be
seen. Until then the list may still change; from then on the same bytes are dropped, whatever dies. Where it is in doubt
whether they were, and they may be dropped again, the file is made again as it was.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter

from adapter_sdk.crashpoints import reach
from adapter_sdk.errors import AdaptorError, BackendUnavailable, InDoubt, LedgerError, TransientError
from adapter_sdk.events import Key
from adapter_sdk.family import Applied, Claim, Failed, Outcome
from adapter_sdk.ledger.base import ClaimLost, Journal, Reply, State
from adapter_sdk.outcomes import RetriesExhausted
from adaptors.files.drop import Drop
from adaptors.files.errors import FormatError
from adaptors.files.failures import translate
from adaptors.files.form import Form
from adaptors.files.markers import FileContent
from adaptors.files.release import Release
from adaptors.files.sequence import next_number, take
from adaptors.files.staging import Parcel, Staged, discard, stage, sweep_others
from adaptors.files.targets.base import Folder

_HANDLER = attrgetter("handler.name")

Call = Callable[[Sequence[Claim], Drop], list[tuple[Reply, ...]]]
"""Calls the handler of a list: the sealed replies of each of its events."""

Ask = Callable[[Claim], tuple[Reply, ...] | None]
"""Whether a doubtful effect happened: its replies, None if it may be made. Raises what keeps that from being told."""


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """What a handler made of these events; without a parcel it wants no file."""

    claims: Sequence[Claim]
    replies: Sequence[tuple[Reply, ...]]
    parcel: Parcel | None
    size: int


class BatchFiles:
    """Drops files of several events each, one file after the other, so that the next number is known beforehand."""

    def __init__(
        self,
        form: Form,
        folders: Callable[[], AbstractContextManager[tuple[Folder, Folder]]],
        call: Call,
        ask: Ask,
        *,
        gone_is_dropped: bool,
    ) -> None:
        self._form = form
        self._largest = (form.batch.bytes if form.batch else None) or sys.maxsize
        self._folders = folders
        self._call = call
        self._ask = ask
        self._gone_is_dropped = gone_is_dropped

    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        """Drop what is staged already, then the files of the other events, by handler: one outcome per claim."""
        outcomes: dict[Key, Outcome] = {}
        staged: list[Claim] = []
        doubtful: dict[Staged | None, list[Claim]] = {}
        for claim in claims:
            noted = Staged.read(claim.evidence)
            if claim.in_doubt:
                doubtful.setdefault(noted, []).append(claim)
            elif noted is not None:
                staged.append(claim)
        try:
            with self._folders() as (staging, drop):
                self._release(staged, staging, drop, outcomes)
                for noted, together in doubtful.items():
                    self._settle(noted, together, journal, staging, drop, outcomes)
                fresh = [claim for claim in claims if claim.key not in outcomes]
                for _, alike in groupby(sorted(fresh, key=_HANDLER), key=_HANDLER):
                    self._make_files(list(alike), journal, staging, drop, outcomes)
        except LedgerError:
            raise
        except (OSError, AdaptorError) as error:
            # It is no event's fault: the adaptor pauses, and all that is not done waits.
            known = translate(error, "dropping a file of many events") if isinstance(error, OSError) else error
            trouble = known if isinstance(known, TransientError) else _unavailable(known)
            outcomes |= {claim.key: Failed(trouble) for claim in claims if claim.key not in outcomes}
        return [outcomes[claim.key] for claim in claims]

    def _make_files(
        self, claims: list[Claim], journal: Journal, staging: Folder, drop: Folder, outcomes: dict[Key, Outcome]
    ) -> None:
        while claims:
            number = next_number(journal)
            file = self._fitting(claims, number, outcomes)
            if file is not None and file.parcel is None:
                outcomes |= {claim.key: Applied(made) for claim, made in zip(file.claims, file.replies, strict=True)}
            elif file is not None:
                self._stage(file, number, staging, journal)
                self._release(file.claims, staging, drop, outcomes)
            claims = [claim for claim in claims if claim.key not in outcomes]

    # --- what is in doubt ---

    def _settle(
        self,
        noted: Staged | None,
        claims: list[Claim],
        journal: Journal,
        staging: Folder,
        drop: Folder,
        outcomes: dict[Key, Outcome],
    ) -> None:
        """Settle the doubt whether these events' file was dropped. If all that were in it may be, it is made as it was.

        Otherwise nothing is noted any more of those that may be applied. They have no outcome, and go into another.
        Where no file is noted the doubt is the handler's: only what `verify` has said is noted then.
        """
        missing = [claim for claim in claims if self._is_missing(claim, outcomes)]
        whole = noted and noted.events == len(missing) and not any(claim.only_asks for claim in claims)
        number = noted.number if noted and whole else None
        if number is not None and (file := self._as_it_was(missing, number)) is not None:
            self._stage(file, number, staging, journal, again=True)
            self._release(missing, staging, drop, outcomes)
            return
        if noted is None:
            missing = [claim for claim in missing if claim.handler.verify is not None]
        with journal.transaction() as transaction:
            for claim in missing:
                transaction.note(claim.key, claim.token, State.CLAIMED, {})
        for claim in missing:
            claim.evidence, claim.in_doubt = {}, False
            if claim.only_asks:
                outcomes[claim.key] = Failed(RetriesExhausted())
        discard(staging, [file.staged for file in noted.files] if noted else [])

    def _is_missing(self, claim: Claim, outcomes: dict[Key, Outcome]) -> bool:
        """Whether the doubtful effect may be made; if not, the event has its outcome then."""
        try:
            replies = self._ask(claim)
        except (BackendUnavailable, LedgerError):
            raise
        except Exception as error:  # noqa: BLE001 - the failure of a handler's `verify` is the outcome of its event
            outcomes[claim.key] = Failed(error)
        else:
            if replies is None:
                return True
            outcomes[claim.key] = Applied(replies)
        return False

    def _as_it_was(self, claims: Sequence[Claim], number: int) -> _File | None:
        """The file of these events under its number; None if the handler makes no such file of them any more."""
        try:
            file = self._make(claims, number)
        except (BackendUnavailable, LedgerError):
            raise
        except Exception:  # noqa: BLE001 - whose failure it is turns out as they go into another file
            return None
        return file if file.parcel is not None and file.size <= self._largest else None

    # --- what the handler makes ---

    def _fitting(self, claims: Sequence[Claim], number: int, outcomes: dict[Key, Outcome]) -> _File | None:
        """The file of as many of these events as go into one. Those that go into none have their outcome then."""
        while claims:
            try:
                file = self._make(claims, number)
            except Exception as error:  # noqa: BLE001 - a handler's failure is the outcome of the event that it is about
                claims = self._without_guilty(claims, number, error, outcomes)
                continue
            if file.size <= self._largest:
                return file
            if len(claims) == 1:
                too_large = f"the file of this event alone has {file.size} bytes, and `bytes` is {self._largest}"
                outcomes[claims[0].key] = Failed(FormatError(too_large))
                return None
            claims = claims[: max(1, min(len(claims) - 1, len(claims) * self._largest // file.size))]
        return None

    def _make(self, claims: Sequence[Claim], number: int) -> _File:
        name = self._name(claims[0], number)
        drop = Drop(number)
        replies = self._call(claims, drop)
        if drop.content is None:
            return _File(claims, replies, None, 0)
        contents = self._form.markers.contents_of(FileContent(drop.content, drop.records), name)
        parcel = Parcel.under(claims[0].token, self._form.adaptor, str(number), contents)
        return _File(claims, replies, parcel, len(drop.content))

    def _without_guilty(
        self, claims: Sequence[Claim], number: int, error: Exception, outcomes: dict[Key, Outcome]
    ) -> Sequence[Claim]:
        """Those that are left when each event that fails by itself has its outcome; a half, if they only fail together.

        The backend's absence is nobody's fault: it is raised.
        """
        if isinstance(error, (BackendUnavailable, LedgerError)):
            raise error
        guilty = self._guilty(claims, number, error)
        outcomes |= {claim.key: Failed(failure) for claim, failure in guilty}
        return [claim for claim in claims if claim.key not in outcomes] if guilty else claims[: len(claims) // 2]

    def _guilty(self, claims: Sequence[Claim], number: int, error: Exception) -> list[tuple[Claim, Exception]]:
        """The events of a list that failed which fail by themselves as well, found by halves."""
        if len(claims) == 1:
            return [(claims[0], error)]
        found = []
        for half in (claims[: len(claims) // 2], claims[len(claims) // 2 :]):
            try:
                self._make(half, number)
            except (BackendUnavailable, LedgerError):
                raise
            except Exception as failure:  # noqa: BLE001 - as above
                found += self._guilty(half, number, failure)
        return found

    def _name(self, first: Claim, number: int) -> str:
        """The name of the file; its time is when the first event arrived. One that cannot be is nobody's fault."""
        arrived = replace(first.event, time=datetime.fromtimestamp(first.received_at, UTC))
        try:
            name = self._form.file_name.of(arrived, number)
            self._form.markers.names_of(name)
        except FormatError as error:
            raise _unavailable(error) from error
        return name

    # --- from staging into the drop ---

    def _stage(self, file: _File, number: int, staging: Folder, journal: Journal, *, again: bool = False) -> None:
        """Make a file durable, and fix in one commit its number, its name and whose it is.

        One that is made `again` has taken its number before.
        """
        assert file.parcel is not None  # only files with content come here
        [error] = stage(staging, [file.parcel])
        if error is not None:
            raise error
        reach("files.staged")
        names = self._form.markers.names_of(self._name(file.claims[0], number))
        staged = Staged.of(file.parcel, names, staging.identity(), number, len(file.claims))
        evidence = staged.evidence()
        try:
            with journal.transaction() as transaction:
                if not again:
                    take(number, transaction)
                for claim, replies in zip(file.claims, file.replies, strict=True):
                    transaction.note(claim.key, claim.token, State.STAGED, evidence, replies)
        except ClaimLost as lost:
            discard(staging, [one.name for one in file.parcel.files()])
            raise LedgerError(f"another process works with the ledger of this adaptor: {lost}") from lost
        for claim, replies in zip(file.claims, file.replies, strict=True):
            claim.evidence, claim.replies, claim.in_doubt = evidence, replies, False
        reach("files.noted")

    def _release(self, claims: Sequence[Claim], staging: Folder, drop: Folder, outcomes: dict[Key, Outcome]) -> None:
        """Drop the files of these events, each once. What is in the way is nobody's fault, and is waited for."""
        files = dict.fromkeys(staged for claim in claims if (staged := Staged.read(claim.evidence)))
        if not files:
            return
        release = Release(staging, drop, self._form.exists, gone_is_dropped=self._gone_is_dropped)
        errors = dict(zip(files, release.run(list(files)), strict=True))
        for claim in claims:
            staged = Staged.read(claim.evidence)
            error = errors[staged] if staged else None
            if error is None:
                outcomes[claim.key] = Applied(claim.replies)
            else:
                outcomes[claim.key] = Failed(error if isinstance(error, InDoubt) else _unavailable(error))
        sweep_others(staging, [staged for staged, error in errors.items() if error is None])
        blocked = [error for error in errors.values() if error is not None and not isinstance(error, InDoubt)]
        if blocked:  # the next number must not become visible before this one
            raise _unavailable(blocked[0])


def _unavailable(error: Exception) -> BackendUnavailable:
    if isinstance(error, BackendUnavailable):
        return error
    unavailable = BackendUnavailable(f"{error}; what is gathered waits until that is mended")
    unavailable.__cause__ = error
    return unavailable
