"""From the bytes of a copybook to the text of a module."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from adaptors.files.errors import FormatError
from adaptors.files.formats.copybook.entries import records_of
from adaptors.files.formats.copybook.fields import Machine
from adaptors.files.formats.copybook.module import Module
from adaptors.files.formats.copybook.source import SourceFormat
from adaptors.files.formats.copybook.views import choice_of


class Converted(NamedTuple):
    """The text of a module, and what a reader should know of it and it does not say."""

    text: str
    notes: list[str]


def converted(
    name: str,
    copybook: bytes,
    encoding: str,
    redefines: Sequence[str] = (),
    command: str = "adaptor format from-copybook",
    *,
    record: str | None = None,
    source_format: SourceFormat | None = None,
    **machine: Any,
) -> Converted:
    """The models of a copybook; `machine` are further fields of `Machine`, `name` is what errors call the file.

    Raises FormatError, with file and line, at what is not understood.
    """
    try:
        target = Machine(encoding, **machine)
        target.charset  # noqa: B018  # says what is wrong with the encoding before anything is read
        choices = [choice_of(text) for text in redefines]
    except ValueError as error:
        raise FormatError(str(error)) from error
    try:
        text = copybook.decode("utf-8")
    except UnicodeDecodeError:
        # Only comments and literals can hold more than ASCII; Latin-1 reads any bytes.
        text = copybook.decode("latin-1")
    records = records_of(name, text, source_format, record or PurePath(name).stem.upper())
    module = Module(name, target, choices)
    return Converted(module.text(records, command), module.notes)
