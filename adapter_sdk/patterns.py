"""EventBridge-compatible event patterns, as used in `@handles(where=...)`.

A pattern has the shape of the event: fields nest, and each leaf is a list of allowed values or operators. All fields
must match; within a list one match is enough; where the event holds a list, one of its items is enough. Operators:
prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists, cidr, and `$or` between fields. Their
meaning follows the Amazon EventBridge user guide, "Comparison operators for use in event patterns".

Fields of the envelope go by their CloudEvents names or by EventBridge's: `type` or `detail-type`, `data` or `detail`.
"""

import ipaddress
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from adapter_sdk.errors import ConfigError

Test = Callable[[Any], bool]
"""Whether one value of the event matches. A missing field is tested as `_MISSING`."""

_MISSING = object()
_ENVELOPE_NAMES = {"detail-type": "type", "detail": "data"}
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Pattern:
    """A compiled event pattern. Raises ConfigError, naming the field, if the pattern is not one."""

    def __init__(self, pattern: Mapping[str, Any]) -> None:
        self._source = pattern
        _need_fields(pattern, "where")
        self._test = _fields({_ENVELOPE_NAMES.get(name, name): value for name, value in pattern.items()}, "where")

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether an event matches, given as its context attributes and `data`, all as JSON values."""
        return self._test(event)

    def __repr__(self) -> str:
        return f"Pattern({self._source!r})"


def _need_fields(pattern: Any, path: str) -> None:
    if not isinstance(pattern, Mapping) or not pattern:
        raise ConfigError(f"{path}: a pattern is a non-empty object of fields; got {pattern!r}")


def _fields(pattern: Any, path: str) -> Test:
    _need_fields(pattern, path)
    tests: list[Test] = []
    for name, wanted in pattern.items():
        if name == "$or":
            tests.append(_alternatives(wanted, f"{path}.$or"))
        elif isinstance(wanted, Mapping):
            tests.append(_at(name, _fields(wanted, f"{path}.{name}")))
        else:
            tests.append(_at(name, _leaf(wanted, f"{path}.{name}")))

    def match(value: Any) -> bool:
        # In a list of objects all fields are looked for in the same one.
        if isinstance(value, list) and value:
            return any(match(item) for item in value)
        return all(test(value) for test in tests)

    return match


def _alternatives(wanted: Any, path: str) -> Test:
    if not isinstance(wanted, list) or not wanted:
        raise ConfigError(f"{path}: give a list of patterns")
    tests = [_fields(pattern, f"{path}[{index}]") for index, pattern in enumerate(wanted)]
    return lambda value: any(test(value) for test in tests)


def _at(name: str, test: Test) -> Test:
    """Apply `test` to a field of an object."""
    return lambda value: test(value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING)


def _leaf(wanted: Any, path: str) -> Test:
    if not isinstance(wanted, list) or not wanted:
        raise ConfigError(f"{path}: the values of a field stand in a non-empty list; write [{wanted!r}]")
    tests = [_value(item, path) for item in wanted]

    def match(value: Any) -> bool:
        if isinstance(value, list) and value:
            return any(test(item) for test in tests for item in value)
        return any(test(value) for test in tests)

    return match


def _value(wanted: Any, path: str) -> Test:
    if isinstance(wanted, Mapping):
        if len(wanted) != 1:
            raise ConfigError(f"{path}: one operator per object; got {sorted(wanted)}")
        ((name, operand),) = wanted.items()
        build = _OPERATORS.get(name)
        if build is None:
            raise ConfigError(f"{path}: unknown operator {name!r}; there are {', '.join(sorted(_OPERATORS))}")
        return build(operand, path)
    if not (wanted is None or isinstance(wanted, (str, int, float, bool))):
        raise ConfigError(f"{path}: {wanted!r} is not a JSON value")
    return lambda value: _same(value, wanted)


def _same(value: Any, wanted: Any) -> bool:
    # True == 1 in Python, not in JSON.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _need(operand: Any, kind: type | tuple[type, ...], path: str, example: str) -> Any:
    if not isinstance(operand, kind) or (isinstance(operand, bool) and kind is not bool):
        raise ConfigError(f"{path}: write {example}; got {operand!r}")
    return operand


def _affix(name: str, method: Callable[[str, str], bool]) -> Callable[[Any, str], Test]:
    def build(operand: Any, path: str) -> Test:
        fold = isinstance(operand, Mapping) and set(operand) == {"equals-ignore-case"}
        text = _need(operand["equals-ignore-case"] if fold else operand, str, path, f'{{"{name}": "text"}}')
        if fold:
            folded = text.lower()
            return lambda value: isinstance(value, str) and method(value.lower(), folded)
        return lambda value: isinstance(value, str) and method(value, text)

    return build


def _equals_ignore_case(operand: Any, path: str) -> Test:
    text = _need(operand, str, path, '{"equals-ignore-case": "text"}').lower()
    return lambda value: isinstance(value, str) and value.lower() == text


def _wildcard(operand: Any, path: str) -> Test:
    text = _need(operand, str, path, '{"wildcard": "a*b"}')
    if "**" in text:
        raise ConfigError(f"{path}: wildcard {text!r} has two stars in a row; one does the same")
    # A backslash takes the star or backslash behind it literally.
    parts = re.findall(r"\\[*\\]|\*|[^*\\]+|\\", text)
    expression = "".join(
        ".*" if part == "*" else re.escape(part[1:] if part in (r"\*", r"\\") else part) for part in parts
    )
    compiled = re.compile(expression, re.DOTALL)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _anything_but(operand: Any, path: str) -> Test:
    """Present, and none of the values; with an operator inside, present and not matching it."""
    items = operand if isinstance(operand, list) else [operand]
    if not items:
        raise ConfigError(f"{path}: anything-but needs at least one value")
    tests = []
    for item in items:
        if isinstance(item, Mapping):
            ((name, inner),) = item.items() if len(item) == 1 else (("", None),)
            if name not in ("prefix", "suffix", "equals-ignore-case", "wildcard"):
                raise ConfigError(f"{path}: anything-but takes values, prefix, suffix, equals-ignore-case or wildcard")
            tests += [_OPERATORS[name](text, path) for text in (inner if isinstance(inner, list) else [inner])]
        else:
            tests.append(_value(item, path))
    return lambda value: value is not _MISSING and not any(test(value) for test in tests)


def _numeric(operand: Any, path: str) -> Test:
    example = '{"numeric": [">", 0, "<=", 5]}'
    terms = _need(operand, list, path, example)
    if len(terms) not in (2, 4):
        raise ConfigError(f"{path}: write {example}; got {operand!r}")
    checks = []
    for sign, bound in zip(terms[::2], terms[1::2], strict=True):
        if not isinstance(sign, str) or sign not in _COMPARISONS:
            raise ConfigError(f"{path}: numeric compares with {', '.join(_COMPARISONS)}; got {sign!r}")
        checks.append((_COMPARISONS[sign], _need(bound, (int, float), path, example)))
    return lambda value: (
        isinstance(value, (int, float)) and not isinstance(value, bool) and all(test(value, to) for test, to in checks)
    )


def _exists(operand: Any, path: str) -> Test:
    wanted = _need(operand, bool, path, '{"exists": true}')
    return lambda value: (value is not _MISSING) is wanted


def _cidr(operand: Any, path: str) -> Test:
    try:
        network = ipaddress.ip_network(_need(operand, str, path, '{"cidr": "10.0.0.0/24"}'), strict=False)
    except ValueError as error:
        raise ConfigError(f"{path}: cidr: {error}") from error

    def inside(value: Any) -> bool:
        try:
            return isinstance(value, str) and ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return inside


_OPERATORS: Mapping[str, Callable[[Any, str], Test]] = {
    "prefix": _affix("prefix", str.startswith),
    "suffix": _affix("suffix", str.endswith),
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "exists": _exists,
    "cidr": _cidr,
}
