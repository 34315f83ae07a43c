"""What can go wrong in the files family, grouped as `adapter_sdk.errors` groups it: by what happens next."""

from typing import NamedTuple

from adapter_sdk.errors import PermanentError, Refused


class Place(NamedTuple):
    """The field of a record that is at fault; offset and length in bytes within the record, where the form has them."""

    field: str
    offset: int | None = None
    length: int | None = None


class FormatError(PermanentError):
    """Data does not fit its form: it cannot be written as declared, or what was read is not what was declared.

    The message says where (record, field, offset, length, as far as the form has them) and shows the value or its hex.
    `place` says the same of the first field at fault to programs, None where it is not in one.
    """

    def __init__(self, message: str, place: Place | None = None) -> None:
        self.place = place
        super().__init__(message)


class FileExists(Refused):
    """The drop holds a file of this name with other content, and the exists policy forbids touching it."""
