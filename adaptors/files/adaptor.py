"""FileDropAdaptor: whole files, of one event or of many, dropped where the legacy system looks for them."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from adapter_sdk.adaptor import Adaptor
from adaptors.files.answers.form import AnswerForm, read_forms
from adaptors.files.answers.receiving import Receiving
from adaptors.files.drop import Drop
from adaptors.files.family import FileDropFamily, OverwritingDropFamily, RemoteDropFamily
from adaptors.files.form import DeclaredMarkers, Form
from adaptors.files.location import Location, Scheme
from adaptors.files.names import FileName
from adaptors.files.release import ExistsPolicy
from adaptors.files.settings import FileSettings
from adaptors.files.targets import target_of

_FAMILIES: Mapping[Scheme, type[FileDropFamily]] = {
    "sftp": RemoteDropFamily,
    "smb": RemoteDropFamily,
    "ftp": OverwritingDropFamily,
    "ftps": OverwritingDropFamily,
}


class FileDropAdaptor(Adaptor):
    """Base of adaptors whose backend reads files from a folder, on this host or on a server.

    Handlers take `(self, event, drop)` with `drop: Drop`. A subclass gives `file_name`, a template such as
    `"PICK{sequence:06d}.DAT"`, or a `FileName` where names have limits or a business date. `exists` says what to do
    where the folder holds a file of that name: "error" sets the event aside, "same" takes equal content for done and
    sets the event aside otherwise, "replace" overwrites. `marker`, such as `"{stem}.OK"`, is the name of an empty file
    that is dropped after each file; a `Marker`, or several, may come before it, and hold its size or a checksum.

    `class Payments(FileDropAdaptor, batch=Batch(...))` has many events in one file: its handlers take `(self, events,
    drop)` with `events: list[Event[…]]`, and are called when a file is cut. A list that fails is tried in parts, to
    find who is to blame: so a handler does nothing but read its events and write the drop.

    Answers come in files, in the folder `[files] answers`: `@pick.answer(key="order_id", files="CONF*.DAT")` marks the
    method that takes their records. Other options: `marker`, as above, without which a file is whole when it has
    rested; `header` and `trailer`, the classes of the first and the last record; `totals`, a function that says of the
    `Totals` what the trailer must say, as a dict of its fields.
    """

    file_name: ClassVar[str | FileName] = ""
    exists: ClassVar[ExistsPolicy] = "error"
    marker: ClassVar[DeclaredMarkers] = None

    _takes_batches = True
    _handle_type = Drop
    _takes_answers = True
    _settings_section = "files"
    _settings_model = FileSettings

    @classmethod
    def _check_class(cls) -> None:
        cls._form()
        cls._answer_forms()

    @classmethod
    def _form(cls) -> Form:
        data_types = [handler.data_type for handler in cls._handlers.values()]
        where = f"{cls.__module__}.{cls.__qualname__}"
        return Form.read(cls.name, cls.file_name, cls.marker, cls.exists, data_types, where, cls._gathering)

    @classmethod
    def _crash_points(cls) -> Sequence[str]:
        points = super()._crash_points()
        return points if cls.marker is not None else [point for point in points if point != "files.marked"]

    @classmethod
    def _family(cls, settings: Any) -> FileDropFamily:
        family = _FAMILIES[settings.drop.scheme] if isinstance(settings.drop, Location) else FileDropFamily
        target = target_of(settings)
        forms = cls._answer_forms()
        return family(cls._form(), target, Receiving(forms, settings, target) if forms else None)

    @classmethod
    def _answer_forms(cls) -> Sequence[AnswerForm]:
        return read_forms([spec for handler in cls._handlers.values() for spec in handler.answers])
