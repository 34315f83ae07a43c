"""Receiving: looks for answer files, has their answers completed, and only then takes the files away."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from adapter_sdk.answers import Answers, Completion
from adapter_sdk.errors import ConfigError
from adaptors.files.answers.completing import Completing
from adaptors.files.answers.faults import REPORT, Fault, fault_of_file
from adaptors.files.answers.form import AnswerForm
from adaptors.files.answers.reading import BadOne, Reading, read_file
from adaptors.files.answers.shelf import free_name, keep, move_away
from adaptors.files.answers.watch import Watch, Whole
from adaptors.files.failures import translate
from adaptors.files.formats.parts import JOINED
from adaptors.files.settings import FileSettings
from adaptors.files.targets.base import UNKNOWN, Folder, Listed, Target

log = structlog.get_logger("adaptor")

_FOLDERS = ""  # stands for the folders, among the names of files with trouble
_TAKEN, _REJECTED = ".taken", ".rejected"  # what ends the name of a file that is leaving after its markers


class _Places(NamedTuple):
    """The folders of answers, open."""

    inbox: Folder
    done: Folder
    error: Folder


class Receiving:
    """The answer files of one adaptor. Its methods are called by one thread."""

    def __init__(self, forms: Sequence[AnswerForm], settings: FileSettings, target: Target) -> None:
        self._forms = forms
        self._settings = settings
        self._target = target
        self._watch = Watch(forms, settings.stable)
        self._completing = Completing()
        self._said: dict[str, str] = {}
        self._ready = False
        self._inbox = settings.answers or Path()
        self._done = settings.done or self._inbox / "done"
        self._error = settings.error or self._inbox / "error"

    def check(self) -> Iterator[str]:
        """What can be seen without connecting anywhere."""
        if self._settings.answers is None:
            methods = ", ".join(form.spec.name for form in self._forms)
            yield f"[files] answers: {methods} waits for answer files; name the folder in which the backend leaves them"
            return
        named = {"done": self._settings.done, "error": self._settings.error}
        others = {name: folder for name, folder in named.items() if folder is not None}
        for name, folder in others.items():
            if folder == self._inbox:
                yield f"[files] {name}: {folder} is the folder of the answers themselves; name another on its volume"
        yield from self._target.check_others({"answers": self._inbox, **others})
        if self._settings.bad_records == "record":
            for form in self._forms:
                if form.trailer is not None or not issubclass(form.record, JOINED):
                    why = "have a trailer" if form.trailer is not None else "are one document each"
                    yield (
                        f"[files] bad_records: the files of {form.spec.where_defined} {why}, and are taken whole or "
                        'not at all; set "file"'
                    )

    def collect(self, answers: Answers) -> None:
        """Look once. Raises what `answers` raises; trouble with the folders is said once, and keeps no drop waiting."""
        try:
            with self._places() as places:
                self._look(places, answers)
        except OSError as error:
            self._ready = False
            self._say(_FOLDERS, str(translate(error, f"looking for answers in {self._inbox}")))
        except ConfigError as error:
            self._say(_FOLDERS, "; ".join(error.faults))

    def _look(self, places: _Places, answers: Answers) -> None:
        listed = list(places.inbox.files())
        self._finish_what_a_crash_left(listed, places)
        look = self._watch.look(listed, time.monotonic())
        for name, why in look.stuck.items():
            self._say(name, why)
        trouble = {whole.file.name for whole in look.whole if not self._took(whole, places, answers)}
        self._said = {name: why for name, why in self._said.items() if name in trouble or name in look.stuck}

    def _took(self, whole: Whole, places: _Places, answers: Answers) -> bool:
        """Whether there was no trouble with a file; trouble is said once, and the file is tried at the next look."""
        try:
            self._take(whole, places, answers)
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not places.inbox.has(whole.file.name):
                return True  # somebody else has taken it
            self._say(whole.file.name, str(translate(error, f"taking it from {places.inbox.place}")))
            return False
        return True

    def _take(self, whole: Whole, places: _Places, answers: Answers) -> None:
        name, form = whole.file.name, whole.form
        data = places.inbox.read(name)
        if whole.file.size not in (UNKNOWN, len(data)):
            return  # it grew while it was looked at
        markers = {marker: places.inbox.read(marker) for marker in form.markers_of(name)}
        apart = self._settings.bad_records == "record"
        try:
            reading = read_file(form, name, data, markers, apart=apart)
        except Exception as error:  # a bug, also one in `totals`, must not keep later files waiting
            log.exception("answer file not readable", file=name)
            reading = Reading(faults=[fault_of_file(name, "file", f"reading it failed, which is a bug: {error!r}")])
        if reading.faults or (reading.bad and not apart):
            if not _replaced(name, data, places.inbox):
                self._reject(whole, reading, places)
            return
        completions = self._completing.complete(name, data, form.spec, reading.good, answers)
        if completions[Completion.EARLY]:
            return  # what it answers may not be recorded yet
        if reading.bad:
            self._set_apart(name, reading.bad, places)
        if not _replaced(name, data, places.inbox):
            self._put_away(name, form, places, places.done)
        counts = {kind.value: number for kind, number in completions.items()}
        log.info("answer file taken", file=name, records=len(reading.good), **counts)

    def _reject(self, whole: Whole, reading: Reading, places: _Places) -> None:
        """Nothing of the file is taken: it goes to the error folder, where its report is before it."""
        name = whole.file.name
        kept = free_name(places.error, name)
        action = f"nothing of {name} was taken: mend it and put it back into {places.inbox.place}, or have it sent anew"
        faults = [bad.fault for bad in reading.bad] + reading.faults
        report = keep(places.error, f"{kept}{REPORT}", _report(faults, kept, action))
        self._put_away(name, whole.form, places, places.error)
        self._log_faults("bad answer file", name, faults, places.error, report)

    def _set_apart(self, name: str, bad: Sequence[BadOne], places: _Places) -> None:
        """The bad records of a file become files of their own in the error folder; the others are taken."""
        path = Path(name)
        faults = []
        for one in bad:
            kept = keep(places.error, f"{path.stem}-record{one.number}{path.suffix}", one.data)
            action = f"the other records of {name} were taken: mend {kept}, and put it back into {places.inbox.place}"
            faults.append(one.fault.model_copy(update={"file": kept, "action": action}))
        report = keep(places.error, f"{name}{REPORT}", Fault.encode_all(faults))
        self._log_faults("bad answer records", name, faults, places.error, report)

    def _put_away(self, name: str, form: AnswerForm, places: _Places, to: Folder) -> None:
        """Take a file and its markers out of the folder of answers.

        One with markers first gets a name that no form takes: a crash between them leaves neither a file that waits for
        its marker for ever, nor a marker that makes half of a later file whole.
        """
        leaving = name
        if form.markers:
            leaving = f".{name}{_TAKEN if to is places.done else _REJECTED}"
            places.inbox.move(name, places.inbox, leaving, replace=False)
        self._finish(name, leaving, form, places, to)

    def _finish(self, name: str, leaving: str, form: AnswerForm, places: _Places, to: Folder) -> None:
        inbox = places.inbox
        new_name = free_name(to, name)
        moves = zip((*form.markers_of(name), leaving), (*form.markers_of(new_name), new_name), strict=True)
        for one, new_one in moves:
            if one != leaving and not inbox.has(one):
                continue
            if to is places.done and self._settings.done_files == "delete":
                inbox.remove(one)
            else:
                move_away(inbox, one, to, new_one)

    def _finish_what_a_crash_left(self, listed: Sequence[Listed], places: _Places) -> None:
        for file in listed:
            for sign, to in ((_TAKEN, places.done), (_REJECTED, places.error)):
                name = file.name[1:].removesuffix(sign)
                form = next((form for form in self._forms if form.takes(name)), None)
                if file.name == f".{name}{sign}" and form is not None:
                    with suppress(FileNotFoundError):  # another process is not dead, and finishes it itself
                        self._finish(name, file.name, form, places, to)

    def _log_faults(self, line: str, name: str, faults: Sequence[Fault], error: Folder, report: str) -> None:
        log.error(line, file=name, faults=len(faults), error=faults[0].error, report=f"{error.place}/{report}")

    def _say(self, name: str, why: str) -> None:
        if self._said.get(name) != why:
            self._said[name] = why
            if name == _FOLDERS:
                log.warning("answers not looked for", error=why)
            else:
                log.warning("answer file not taken", file=name, error=why)

    @contextmanager
    def _places(self) -> Iterator[_Places]:
        """The three folders, where the default ones are made at the first look."""
        if not self._ready:
            for folder, made in ((self._done, self._settings.done), (self._error, self._settings.error)):
                if made is None:
                    self._target.make_folder(folder)
            self._ready = True
        with self._target.others([self._inbox, self._done, self._error]) as folders:
            yield _Places(*folders)


def _replaced(name: str, data: bytes, inbox: Folder) -> bool:
    """Whether other bytes than those that were read have this name now, which the next look reads."""
    if inbox.digest(name) == (len(data), hashlib.sha256(data).hexdigest()):
        return False
    log.warning("answer file replaced", file=name)
    return True


def _report(faults: Sequence[Fault], kept: str, action: str) -> bytes:
    return Fault.encode_all([fault.model_copy(update={"file": kept, "action": action}) for fault in faults])
