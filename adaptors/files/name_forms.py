"""What a whole file name may look like to the system that reads it: DOS and mainframe names beside today's."""

import re
from typing import Literal, get_args

from adaptors.files.errors import FormatError
from adaptors.files.formats.record import shown

NameForm = Literal["any", "upper", "8.3", "dsn"]
"""A file name of today; the same in upper case; a DOS name; the data set name of a mainframe."""

NAME_FORMS: tuple[NameForm, ...] = get_args(NameForm)

FORBIDDEN = re.compile(r'[/\\<>:"|?*\x00-\x1f]')
"""Path separators, and what Windows readers cannot open."""

_LONGEST_NAME = 255  # bytes; the limit of Linux and Windows file systems
_LONGEST_DSN = 44  # characters
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10))})
_EIGHT_THREE = re.compile(r"[A-Z0-9_$~!#%&{}()@'`^-]{1,8}(\.[A-Z0-9_$~!#%&{}()@'`^-]{1,3})?")
_QUALIFIER = "[A-Z@#$][A-Z0-9@#$-]{0,7}"
_DSN = re.compile(rf"{_QUALIFIER}(\.{_QUALIFIER})*")


def fitted(name: str, form: NameForm) -> str:
    """The name in its form, which is upper case for all but "any". Raises FormatError where it cannot have it.

    "8.3" is at most 8 characters, a dot and at most 3. "dsn" is at most 44: qualifiers of 1 to 8 letters, digits and
    @#$-, each beginning with a letter or one of @#$, with dots between them.
    """
    if form != "any":
        name = name.upper()
    if form == "8.3" and not _EIGHT_THREE.fullmatch(name):
        raise FormatError(f"the file name {shown(name)} is not of the form 8.3")
    if form == "dsn" and (len(name) > _LONGEST_DSN or not _DSN.fullmatch(name)):
        raise FormatError(
            f"the file name {shown(name)} is no data set name: at most {_LONGEST_DSN} characters in qualifiers of at "
            "most 8, each beginning with a letter or one of @#$"
        )
    if len(name) * 4 > _LONGEST_NAME and len(name.encode()) > _LONGEST_NAME:
        raise FormatError(f"the file name {shown(name)} is longer than {_LONGEST_NAME} bytes")
    if name.split(".", maxsplit=1)[0].strip().upper() in _DEVICES:
        raise FormatError(f"the file name {name!r} is a device on Windows")
    return name
