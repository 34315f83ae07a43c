"""What can go wrong in the files family, grouped as `adapter_sdk.errors` groups it: by what happens next."""

from adapter_sdk.errors import PermanentError, Refused


class FormatError(PermanentError):
    """Data does not fit its form: it cannot be written as declared, or what was read is not what was declared.

    The message says where (record, field, offset, length, as far as the form has them) and shows the value or its hex.
    """


class FileExists(Refused):
    """The drop holds a file of this name with other content, and the exists policy forbids touching it."""
