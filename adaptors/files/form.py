"""What a file drop adaptor's class declares of its files, read and checked once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from adapter_sdk.errors import ConfigError
from adapter_sdk.events import EventData
from adapter_sdk.gathering import Gathering
from adaptors.files.markers import Marker, Markers
from adaptors.files.names import FileName, NameTemplate
from adaptors.files.release import EXISTS_POLICIES, ExistsPolicy

_OF_A_BATCH = frozenset({"sequence", "time", "business_date"})
_BATCH_NAME = "a file of many is named by sequence, and by time or business_date, those of its first event's arrival"

DeclaredMarkers = str | Marker | Sequence[Marker] | None


@dataclass(frozen=True, slots=True)
class Form:
    """The names of an adaptor's files and markers, what to do where a name is taken, and when a file is cut."""

    adaptor: str
    file_name: NameTemplate
    markers: Markers
    exists: ExistsPolicy
    batch: Gathering | None = None

    @classmethod
    def read(
        cls,
        adaptor: str,
        file_name: str | FileName,
        marker: DeclaredMarkers,
        exists: ExistsPolicy,
        data_types: Sequence[type[EventData]],
        where: str,
        batch: Gathering | None = None,
    ) -> Self:
        """Raises ConfigError with every fault of the declaration, which stands in the class `where`."""
        faults: list[str] = []
        if exists not in EXISTS_POLICIES:
            faults.append(f"{where}.exists is {exists!r}; give one of {', '.join(EXISTS_POLICIES)}")
        names = markers = None
        try:
            names = NameTemplate(file_name, data_types, f"{where}.file_name")
            if batch is not None and (others := names.fields - _OF_A_BATCH):
                faults.append(f"{where}.file_name takes {', '.join(sorted(others))} of one event; {_BATCH_NAME}")
        except ConfigError as error:
            faults += error.faults
        try:
            sample, form = (names.sample(), names.form) if names else ("X", "any")
            markers = Markers(markers_of(marker), form, sample, f"{where}.marker")
        except ConfigError as error:
            faults += error.faults
        if faults or names is None or markers is None:
            raise ConfigError(*faults)
        return cls(adaptor, names, markers, exists, batch)

    @property
    def name_before_content(self) -> bool:
        """Whether the number of a file must be known before its markers can be written."""
        return self.markers.need_name and self.file_name.uses_sequence


def markers_of(declared: DeclaredMarkers) -> Sequence[Marker]:
    """The markers that a class declares, in whatever way."""
    if declared is None:
        return ()
    if isinstance(declared, str):
        return (Marker(declared),)
    return (declared,) if isinstance(declared, Marker) else declared
