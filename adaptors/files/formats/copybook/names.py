"""From COBOL's words to Python's names."""

import keyword
import re

from adaptors.files.formats.fixed_width import FixedWidth

# What a model has or its annotations use, and one letter that reads as a digit.
_TAKEN = {*keyword.kwlist, *dir(FixedWidth), "int", "str", "bytes", "tuple", "property", "self", "l"}
IMPORTS = {
    "decimal": {"Decimal"},
    "typing": {"Annotated"},
    "adaptors.files": {
        "Binary",
        "Bytes",
        "FixedWidth",
        "Group",
        "Number",
        "Occurs",
        "Packed",
        "Redefines",
        "Text",
        "Zoned",
    },
}
"""What a written module may import."""


def field_name(word: str, taken: set[str]) -> str:
    """ORDER-NO as order_no; what Python or pydantic uses otherwise has a _ behind, or a number. Adds it to `taken`."""
    name = re.sub(r"\W+", "_", word.lower()).strip("_")
    name = f"n{name}" if name[:1].isdigit() else name
    return _unique(f"{name}_" if name in _TAKEN else name, taken)


def class_name(words: list[str], taken: set[str]) -> str:
    """ORDER-LINE as OrderLine; with the words of the groups around it, innermost last, where that is taken."""
    parts = [_camel(word) for word in words]
    for first in range(len(parts) - 1, -1, -1):
        name = "".join(parts[first:])
        if name not in taken and not any(name in names for names in IMPORTS.values()):
            taken.add(name)
            return name
    return _unique(f"{''.join(parts)}Group", taken)


def _camel(word: str) -> str:
    name = "".join(part.capitalize() for part in re.split(r"[-_]+", word))
    return f"N{name}" if name[:1].isdigit() else name


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate
