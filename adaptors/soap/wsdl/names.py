"""From names of XML to names of Python: kept where they can be, and never two alike."""

import builtins
import keyword
import re
import unicodedata
from collections.abc import Collection

# A name longer than this leaves no room for anything else in a line of 120 columns.
_LONGEST = 60

_BUILTINS = frozenset(name for name in dir(builtins) if not name.startswith("_"))


def identifier(name: str, taken: Collection[str] = ()) -> str:
    """A public Python name for an XML name: itself where that will do, else with underscores, and none of `taken`."""
    plain = re.sub(r"\W", "_", unicodedata.normalize("NFKC", name)).lstrip("_")
    if not plain or not plain.isidentifier():
        plain = f"x_{plain}"
    if keyword.iskeyword(plain) or plain in taken:
        plain += "_"
    return distinct(plain, taken)


def distinct(name: str, taken: Collection[str]) -> str:
    """`name`, or `name` with the first number from 2 on that makes it differ from all of `taken`."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}{number}", number + 1
    return found


class ClassNames:
    """Names of classes and aliases: one for each key, the same for as long as the keys come in the same order.

    `reserved` are names that a class must not take, because a field or a method of that name would hide it.
    """

    def __init__(self, reserved: Collection[str]) -> None:
        self._reserved = {*reserved, *_BUILTINS}
        self._names: dict[object, str] = {}
        self._taken = set(self._reserved)

    def of(self, key: object, wanted: str) -> str:
        """The name for `key`, made from `wanted` when it is asked for first."""
        if key not in self._names:
            plain = identifier(wanted)[:_LONGEST]
            if plain in self._reserved:
                plain = f"{plain.rstrip('_')}Type"
            self._names[key] = distinct(plain, self._taken)
            self._taken.add(self._names[key])
        return self._names[key]
