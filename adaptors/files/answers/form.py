"""What `@handler.answer(...)` says of the files in which a backend answers, read and checked once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self, cast

from adapter_sdk.answer_methods import AnswerSpec
from adapter_sdk.errors import ConfigError
from adaptors.files.answers.faults import REPORT
from adaptors.files.errors import FormatError
from adaptors.files.form import markers_of
from adaptors.files.formats.parts import JOINED, cutting_fault
from adaptors.files.formats.record import Record
from adaptors.files.markers import Markers
from adaptors.files.totals import Totals

_OPTIONS = ("files", "marker", "header", "trailer", "totals")
_UNFINISHED_BEGIN, _UNFINISHED_END = (".", "~"), (".tmp", ".temp", ".part", ".partial", ".filepart", ".w", "~")

TotalsOf = Callable[[Totals], Mapping[str, object]]
"""What a trailer is to say of the records before it, by its fields."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """The names and the parts of the files for one answer method."""

    spec: AnswerSpec
    record: type[Record]
    files: str
    markers: Markers
    header: type[Record] | None
    trailer: type[Record] | None
    totals: TotalsOf | None

    @classmethod
    def read(cls, spec: AnswerSpec) -> Self:
        """Raises ConfigError with every fault of the declaration."""
        where, options = spec.where_defined, spec.options
        faults = [f"{where}: {fault}" for fault in _faults(spec.record, options)]
        markers = None
        try:
            markers = Markers(markers_of(options.get("marker")), "any", _sample(options), f"{where}: marker")
        except ConfigError as error:
            faults += error.faults
        if faults or markers is None:
            raise ConfigError(*faults)
        form = cls(
            spec,
            cast(type[Record], spec.record),
            options["files"],
            markers,
            options.get("header"),
            options.get("trailer"),
            options.get("totals"),
        )
        if any(form.takes(name) for name in form.markers_of(_sample(options))):
            raise ConfigError(f"{where}: files {form.files!r} matches the names of its markers; narrow it")
        return form

    def takes(self, name: str) -> bool:
        """Whether a file of this name is for the method; what looks unfinished, or is a report of ours, is not."""
        lower = name.lower()
        ours = lower.startswith(_UNFINISHED_BEGIN) or lower.endswith((*_UNFINISHED_END, REPORT))
        return not ours and name.isprintable() and fnmatchcase(name, self.files)

    def markers_of(self, name: str) -> tuple[str, ...]:
        """The names of the markers of a file, none if it has none. Raises FormatError where one would be too long."""
        return tuple(one for one in self.markers.names_of(name) if one != name)


def _faults(record: type, options: Mapping[str, Any]) -> Iterator[str]:
    if not issubclass(record, Record):
        yield f"the answer is a {record.__name__}; annotate it with a record class of adaptors.files"
    if unknown := sorted(set(options) - set(_OPTIONS)):
        yield f"answer has no option {', '.join(unknown)}; known: key, {', '.join(_OPTIONS)}"
    files = options.get("files")
    if not isinstance(files, str) or not files or "/" in files:
        yield 'say which files hold the answers, by a pattern without a folder: files="CONF*.DAT"'
    header, trailer, totals = options.get("header"), options.get("trailer"), options.get("totals")
    for name, part in (("header", header), ("trailer", trailer)):
        if part is None:
            continue
        if not (isinstance(part, type) and issubclass(part, Record)):
            yield f"{name} is {part!r}; give a record class"
        elif fault := cutting_fault(part):
            yield f"{name}: {fault}"
        elif not issubclass(record, JOINED):
            yield f"{name}: {record.__name__} is a whole file, without header or trailer"
    if totals is not None:
        yield from _faults_of_totals(totals, trailer)


def _faults_of_totals(totals: Any, trailer: Any) -> Iterator[str]:
    if trailer is None or not callable(totals):
        yield "totals is a function of the Totals, and needs a trailer whose fields it says"
        return
    try:
        said = totals(Totals([]))
    except Exception as error:  # noqa: BLE001  # an author's function may fail in any way
        yield f"totals cannot be made for a file without records: {error!r}"
        return
    fields = getattr(trailer, "model_fields", {})
    if not isinstance(said, Mapping) or not said or (unknown := sorted(set(said) - set(fields))):
        wrong = unknown if isinstance(said, Mapping) and said else said
        yield f"totals says {wrong!r}; give a dict of fields of the trailer, which has {', '.join(fields)}"


def _sample(options: Mapping[str, Any]) -> str:
    """A name as the pattern takes it, as far as one can say."""
    return str(options.get("files", "")).replace("*", "X").replace("?", "X") or "X"


def read_forms(specs: Sequence[AnswerSpec]) -> tuple[AnswerForm, ...]:
    """The forms of all answer methods of an adaptor. Raises ConfigError with every fault."""
    forms: list[AnswerForm] = []
    faults: list[str] = []
    for spec in specs:
        try:
            forms.append(AnswerForm.read(spec))
        except (ConfigError, FormatError) as error:
            faults += error.faults if isinstance(error, ConfigError) else [f"{spec.where_defined}: {error}"]
    if faults:
        raise ConfigError(*faults)
    return tuple(forms)
