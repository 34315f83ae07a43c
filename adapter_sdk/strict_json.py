"""Strict JSON: bytes to a value, refusing what parsers elsewhere would read otherwise or not at all.

UTF-8 only; no NaN, no name twice in one object, no half surrogate pairs, no number that would lose digits unnoticed.
A parser in Rust reads what is plain, which is nearly everything; the rest is read slowly, to say what is wrong with it.
"""

import json
import re
from decimal import Decimal
from typing import Any

import jiter

from adapter_sdk.errors import MalformedEvent

# Digits and points as one character: a run of 17 may be a number with more digits than a float holds. And what may be
# the end of an exponent with three digits or more, by which a float can overflow or underflow.
_CLASSES = bytes.maketrans(b"0123456789.E]} \n\r\t", b"00000000000e,,,,,,")
_LONG = b"0" * 17
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_LARGE = re.compile(rb"[eE][+-]?\d{5,}[\s,\]}]")


def parse_json(body: bytes, max_depth: int) -> Any:
    """The JSON value in `body`, nested at most `max_depth` levels. Raises MalformedEvent, which says what is wrong.

    Numbers that no float holds exactly come as text, which a Decimal field reads without loss.
    """
    return read_json(body, max_depth)[0]


def read_json(body: bytes, max_depth: int) -> tuple[Any, bool]:
    """As `parse_json`; and whether the bytes are plain: any parser of JSON reads the same in them, without loss."""
    try:
        value = jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys")
    except ValueError:
        return _read_slowly(body, max_depth), False
    suspicious = _may_lose_digits(body)
    if suspicious or _may_nest_deeper(body, max_depth):
        return _read_slowly(body, max_depth), not suspicious
    return value, True


def _may_lose_digits(body: bytes) -> bool:
    """Whether there may be a number that no float holds: a search for fixed bytes, which costs little."""
    text = body.translate(_CLASSES, b"+-")
    if _LONG in text:
        return True
    if b"0e000" not in text:
        return False
    # Digits around an `e` are common within identifiers, too; those do not end as numbers do.
    return b"0e000," in text or b"0e0000," in text or (b"0e00000" in text and _LARGE.search(body) is not None)


def _may_nest_deeper(body: bytes, max_depth: int) -> bool:
    """Whether brackets could stand deeper: each round takes the innermost pairs away. Those within texts count too."""
    if body.count(b"{") + body.count(b"[") <= max_depth:
        return False
    brackets = body.translate(None, _NO_BRACKETS)
    for _ in range(max_depth):
        if not brackets:
            return False
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return bool(brackets)


def _read_slowly(body: bytes, max_depth: int) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = f"byte 0x{body[error.start]:02x} at offset {error.start}"
        raise MalformedEvent(f"the body is not UTF-8: {bad}") from error
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_float=_number, parse_constant=_no_constant)
    except RecursionError as error:
        raise MalformedEvent(f"the JSON nests deeper than {max_depth} levels") from error
    except ValueError as error:
        # Python's advice about its digit limit is for programmers; see sys.get_int_max_str_digits.
        why = str(error).partition("; use sys.")[0]
        raise MalformedEvent(f"the body is not JSON: {why}") from error
    if text.count("{") + text.count("[") > max_depth and _depth(value) > max_depth:
        raise MalformedEvent(f"the JSON nests deeper than {max_depth} levels")
    if "\\ud" in text or "\\uD" in text:
        _check_surrogates(value)
    return value


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedEvent("the JSON holds half of a surrogate pair, which no text can hold") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} stands twice in one object, and which value is meant is not known")
    return result


def _number(literal: str) -> float | str:
    """A float where it holds all that was written; else the text itself, which a Decimal field reads exactly."""
    value = float(literal)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {literal[:40]} is too large")
    if value == 0:
        if re.match("[-0.]*[1-9]", literal):
            raise ValueError(f"the number {literal[:40]} is too small")
        return value
    return value if Decimal(repr(value)) == Decimal(literal) else literal


def _no_constant(literal: str) -> None:
    raise ValueError(f"{literal} is not a JSON value")


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            item
            for node in level
            if isinstance(node, (dict, list))
            for item in (node.values() if isinstance(node, dict) else node)
        ]
    return depth - 1
