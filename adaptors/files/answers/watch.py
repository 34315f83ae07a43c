"""Which files of a folder are whole, by what is seen of it from look to look. No clock and no disk in here."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from adaptors.files.answers.form import AnswerForm
from adaptors.files.errors import FormatError
from adaptors.files.targets.base import UNKNOWN, Listed

_PATIENCE = 600.0  # seconds that a marker may be missing before somebody is told


class Whole(NamedTuple):
    """A file that can be read, and what it is declared to be."""

    file: Listed
    form: AnswerForm


@dataclass
class Look:
    """What one look at the folder has shown: whole files, oldest first, and by name what keeps others from it."""

    whole: list[Whole] = field(default_factory=list)
    stuck: dict[str, str] = field(default_factory=dict)


class Watch:
    """Remembers since when each file has been as it is.

    A file is whole when all of its markers are there. If it has none, or none that comes after it, it is whole when it
    has not changed for `stable` seconds, by its size and time.
    """

    def __init__(self, forms: Sequence[AnswerForm], stable: float) -> None:
        self._forms = forms
        self._stable = stable
        self._since: dict[Listed, float] = {}

    def look(self, listed: Sequence[Listed], now: float) -> Look:
        """What is seen at `now`, in seconds of a clock that does not jump."""
        look, names = Look(), {file.name for file in listed}
        mine = [(file, forms) for file in listed if (forms := [form for form in self._forms if form.takes(file.name)])]
        self._since = {file: self._since.get(file, now) for file, _ in mine}
        for file, forms in sorted(mine, key=lambda one: (one[0].changed or 0.0, one[0].name)):
            if len(forms) > 1:
                methods = " and ".join(form.spec.name for form in forms)
                look.stuck[file.name] = f"its name matches the patterns of {methods}; narrow one of them"
            elif why := self._stuck(file, forms[0], names, now):
                look.stuck[file.name] = why
            elif why is None:
                look.whole.append(Whole(file, forms[0]))
        return look

    def _stuck(self, file: Listed, form: AnswerForm, names: Collection[str], now: float) -> str | None:
        """What keeps a file from being read, None if nothing does; empty for what will soon pass by itself."""
        rest = now - self._since[file]
        try:
            missing = [marker for marker in form.markers_of(file.name) if marker not in names]
        except FormatError as error:
            return str(error)
        if missing:
            return f"for {_PATIENCE:g} s it has had no marker {missing[0]}: is it whole?" if rest > _PATIENCE else ""
        if form.markers.end_files:
            return None
        if file.size == UNKNOWN:
            return "the server tells no sizes, so only a marker could say when a file is whole"
        return None if rest >= self._stable else ""
