"""Markers: small files beside a dropped one that tell its reader that it is whole, how long it is, or its checksum."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError
from adaptors.files.name_forms import FORBIDDEN, NameForm, fitted
from adaptors.files.names import split_template

T = TypeVar("T")

_NAMES = ("name", "stem")
_CHECKSUMS: Mapping[str, Callable[[bytes], str]] = {
    "sha256": lambda data: hashlib.sha256(data).hexdigest(),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "crc32": lambda data: f"{zlib.crc32(data):08x}",
}
_FIELDS = (*_NAMES, "size", "records", *_CHECKSUMS)


@dataclass(frozen=True, slots=True)
class Marker:
    """A small file that is dropped beside each file: empty, or with its size, its records or a checksum in it.

    `name` is a template with `{name}`, the name of the file, or `{stem}`, the same without its last suffix. `content`
    may hold both, and `{size}` in bytes, `{records}`, `{sha256}`, `{sha1}`, `{md5}` and `{crc32}`, in hexadecimal, with
    a format such as `{size:010d}`. A marker is dropped after the file, or before it if `before` says so.

    `Marker("{name}.sha256", "{sha256}  {name}\\n")` is a checksum file as `sha256sum --check` reads it.
    """

    name: str
    content: str = ""
    before: bool = False
    encoding: str = "ascii"


@dataclass(frozen=True, slots=True)
class FileContent:
    """What is dropped for one event: all bytes of the file, and the number of its records if that is known."""

    data: bytes
    records: int | None = None


class Markers:
    """The markers of an adaptor, checked when they are made: `sample` is a file's name. Raises ConfigError."""

    def __init__(self, markers: Iterable[Marker], form: NameForm, sample: str, where: str = "marker") -> None:
        self._markers = sorted(markers, key=lambda marker: not marker.before)
        self._before = sum(marker.before for marker in self._markers)
        self._form: NameForm = form
        faults = [f"{where} {marker.name!r}: {fault}" for marker in self._markers for fault in _faults(marker)]
        if not faults:
            try:
                self.names_of(sample)
            except FormatError as error:
                faults.append(f"{where}: {error}")
        if faults:
            raise ConfigError(*faults)

    def __bool__(self) -> bool:
        return bool(self._markers)

    @property
    def end_files(self) -> bool:
        """Whether one is dropped after its file, and so tells that the file is whole."""
        return self._before < len(self._markers)

    @property
    def need_name(self) -> bool:
        """Whether the content of one depends on the name of the file."""
        return any(field in _NAMES for marker in self._markers for field in _fields(marker.content))

    def names_of(self, name: str) -> tuple[str, ...]:
        """The names of a file of this name and of its markers, in the order in which they are dropped.

        Raises FormatError if two would have the same, or one has not the form that it must have.
        """
        names = self._around(name, (self._name(marker, name) for marker in self._markers))
        if len(set(names)) < len(names):
            raise FormatError(f"a marker would have the name of its file {name!r}, or of another marker")
        return names

    def contents_of(self, content: FileContent, name: str) -> tuple[bytes, ...]:
        """The bytes of a file and of its markers, in the same order. Raises FormatError where one cannot be written."""
        return self._around(content.data, (_written(marker, content, name) for marker in self._markers))

    def _around(self, file: T, others: Iterable[T]) -> tuple[T, ...]:
        made = list(others)
        return (*made[: self._before], file, *made[self._before :])

    def _name(self, marker: Marker, name: str) -> str:
        return fitted(marker.name.format(name=name, stem=_stem(name)), self._form)


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _fields(template: str) -> set[str]:
    return {field for _, field, _, _ in split_template(template, "marker") if field is not None}


def _faults(marker: Marker) -> list[str]:
    try:
        fields, others = _fields(marker.name), _fields(marker.content) - set(_FIELDS)
    except ConfigError as error:
        return list(error.faults)
    faults = []
    if not fields or not fields <= set(_NAMES):
        faults.append("give a template with {name} or {stem}, such as {stem}.OK")
    elif marker.name == "{name}" or FORBIDDEN.search(marker.name):
        faults.append("a marker has another name than its file, in the same folder")
    if others:
        faults.append(f"its content has no {', '.join(sorted(others))}; known: {', '.join(_FIELDS)}")
        return faults
    try:
        _written(marker, FileContent(b"", 0), "x")
    except (FormatError, ValueError, LookupError) as error:
        faults.append(f"its content cannot be written: {error}")
    return faults


def _written(marker: Marker, content: FileContent, name: str) -> bytes:
    fields = _fields(marker.content)
    facts: dict[str, object] = {"name": name, "stem": _stem(name), "size": len(content.data)}
    facts |= {field: _CHECKSUMS[field](content.data) for field in fields & _CHECKSUMS.keys()}
    if "records" in fields:
        if content.records is None:
            raise FormatError(
                f"the marker of {name!r} needs the number of records: write records, or give `records` with the bytes"
            )
        facts["records"] = content.records
    try:
        return marker.content.format(**facts).encode(marker.encoding)
    except UnicodeEncodeError as error:
        raise FormatError(f"the marker of {name!r} cannot be written in {marker.encoding}") from error
