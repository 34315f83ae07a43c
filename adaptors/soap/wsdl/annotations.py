"""Annotations: the Python type of one value of a simple type, and its facets as pydantic constraints."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from pydantic_core import SchemaError
from zeep import xsd
from zeep.xsd.types import builtins
from zeep.xsd.types.collection import ListType, UnionType

from adaptors.soap.wsdl.schemas import Facets
from adaptors.soap.wsdl.text import literal

# The first that fits counts: xsd.Integer is an xsd.Decimal, and xsd.DateTime is nobody's.
_PYTHON_TYPES = (
    (builtins.Boolean, "bool"),
    (builtins.Integer, "int"),
    (builtins.Decimal, "Decimal"),
    ((builtins.Float, builtins.Double), "float"),
    (builtins.Duration, "dt.timedelta"),
    (builtins.DateTime, "dt.datetime"),
    (builtins.Time, "dt.time"),
    (builtins.Date, "dt.date"),
    (builtins.Base64Binary, "bytes"),
    ((builtins.gYearMonth, builtins.gMonthDay), "tuple[int, int, dt.tzinfo | None]"),
    ((builtins.gYear, builtins.gMonth, builtins.gDay), "tuple[int, dt.tzinfo | None]"),
    (builtins.BuiltinType, "str"),
)

# Characters of one string; a longer one fits into no line.
_LONGEST = 85

# What the patterns of XML Schema have and those of pydantic do not, or read otherwise.
_FOREIGN = re.compile(r"\\[icIC]|\\[pP]\{Is|-\[|&&|--|~~")


def python_type(kind: Any) -> str:
    """The annotation of a value of a zeep type that is no complex type."""
    if isinstance(kind, ListType):
        item = kind.item_type if isinstance(kind.item_type, xsd.AnySimpleType) else None
        return f"Sequence[{python_type(item) if item else 'str'}]"
    if isinstance(kind, UnionType):
        return python_type(kind.item_class()) if kind.item_class else "str"
    return next((name for known, name in _PYTHON_TYPES if isinstance(kind, known)), "Any")


def enumeration(python: str, facets: Facets) -> tuple[str, ...]:
    """The values of an enumeration as Python writes them; none where Literal cannot hold them."""
    if python == "str" and all(len(value) <= _LONGEST for value in facets.values):
        return tuple(literal(value) for value in facets.values)
    if python == "int" and all(re.fullmatch(r"\s*[+-]?\d+\s*", value) for value in facets.values):
        return tuple(dict.fromkeys(str(int(value)) for value in facets.values))
    return ()


def constraints(python: str, facets: Facets) -> list[str]:
    """The arguments of `Field` that hold the facets."""
    if python == "str":
        return [*_lengths(facets), *_pattern(facets.pattern)]
    if python == "bytes":
        return _lengths(facets)
    if python in ("int", "float", "Decimal"):
        return [*_bounds(python, facets), *(_digits(facets) if python == "Decimal" else ())]
    return []


def _lengths(facets: Facets) -> list[str]:
    lengths = {"min_length": facets.min_length or None, "max_length": facets.max_length}
    return [f"{name}={length}" for name, length in lengths.items() if length is not None]


def _pattern(pattern: str | None) -> list[str]:
    """A pattern that pydantic cannot read is left out: a request is held against the schema all the same."""
    if pattern is None or len(pattern) > _LONGEST or _FOREIGN.search(pattern):
        return []
    anchored = f"^(?:{pattern})$"
    try:
        TypeAdapter(Annotated[str, Field(pattern=anchored)])
    except SchemaError:
        return []
    return [f"pattern={literal(anchored, raw=True)}"]


def _bounds(python: str, facets: Facets) -> list[str]:
    bounds = {"ge": facets.ge, "gt": facets.gt, "le": facets.le, "lt": facets.lt}
    return [f"{name}={_number(python, bound)}" for name, bound in bounds.items() if bound is not None]


def _number(python: str, bound: Decimal) -> str:
    if bound == bound.to_integral_value():
        return str(int(bound))
    return f'Decimal("{bound}")' if python == "Decimal" else repr(float(bound))


def _digits(facets: Facets) -> list[str]:
    # With both, pydantic takes the difference for the most digits before the point, which XML Schema does not.
    if facets.fraction_digits is not None:
        return [f"decimal_places={facets.fraction_digits}"]
    return [f"max_digits={facets.total_digits}"] if facets.total_digits is not None else []
