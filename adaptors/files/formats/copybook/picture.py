"""PICTURE character-strings: what they say of a field's length, digits and point."""

import re
from dataclasses import dataclass
from typing import Literal

_REPEATED = re.compile(r"(.)\((\d+)\)")
# Digits with an implied point V, or with the scaling position P on one side.
_NUMBER = re.compile(
    r"(?P<sign>S?)(?:(?P<whole>9+)(?:V(?P<part>9*))?|V(?P<fraction>9+)|V?(?P<below>P+)(?P<small>9+)|(?P<big>9+)(?P<above>P+)V?)"
)
_TEXT = re.compile(r"[XA9]+")
_EDITED_TEXT = re.compile(r"[XA9B0/]+")
_EDITED_NUMBER = re.compile(r"[9VPZB0/,.*+\-$]+(?:CR|DB)?")


@dataclass(frozen=True, slots=True)
class Picture:
    """A field as its PICTURE has it: `length` in bytes for DISPLAY; `decimals` is negative after 9PPP."""

    category: Literal["text", "number", "edited"]
    length: int
    digits: int = 0
    decimals: int = 0
    signed: bool = False


def picture_of(string: str) -> Picture:
    """What a PICTURE character-string says. Raises ValueError if it is not understood."""
    text = _REPEATED.sub(lambda found: found[1] * int(found[2]), string)
    if found := _NUMBER.fullmatch(text):
        digits = "".join(found[name] or "" for name in ("whole", "part", "fraction", "small", "big"))
        decimals = len((found["part"] or "") + (found["fraction"] or "")) - len(found["above"] or "")
        if found["below"]:
            decimals = len(found["below"] + found["small"])
        return Picture("number", len(digits), len(digits), decimals, bool(found["sign"]))
    if _TEXT.fullmatch(text):
        return Picture("text", len(text))
    if _EDITED_TEXT.fullmatch(text) or _EDITED_NUMBER.fullmatch(text):
        return Picture("edited", len(text) - text.count("V") - text.count("P"))
    raise ValueError(f"PICTURE {string} is not understood")
