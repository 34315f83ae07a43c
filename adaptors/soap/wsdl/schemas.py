"""Schemas: what zeep leaves out of the types that it makes, read from the documents. Facets, documentation, use.

zeep hands an element's `default` through as it is written, so that it can carry a number: by it the node of the schema
is found again that a zeep element was made from, wherever groups, references and extensions have taken it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cached_property

from lxml import etree

from adaptors.soap.vendored import WSDL, XSD, Vendored

_XS = f"{{{XSD}}}"
_ELEMENT, _ATTRIBUTE = f"{_XS}element", f"{_XS}attribute"
_MARK = "node-of-the-schema-"
_NAMED = tuple(f"{_XS}{kind}" for kind in ("simpleType", "complexType", "element"))


@dataclass(frozen=True, slots=True)
class Facets:
    """What a simple type allows. `values` are those of an enumeration; lengths count characters or bytes."""

    values: tuple[str, ...] = ()
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    ge: Decimal | None = None
    gt: Decimal | None = None
    le: Decimal | None = None
    lt: Decimal | None = None
    total_digits: int | None = None
    fraction_digits: int | None = None

    def __str__(self) -> str:
        shown = [repr(value) for value in self.values[:_SHOWN]]
        values = ", ".join(shown) + (f" and {len(self.values) - _SHOWN} more" if len(self.values) > _SHOWN else "")
        rules = (
            ("one of", values or None),
            ("pattern", self.pattern),
            ("length at least", self.min_length or None),
            ("length at most", self.max_length),
            (">=", self.ge),
            (">", self.gt),
            ("<=", self.le),
            ("<", self.lt),
            ("digits at most", self.total_digits),
            ("fraction digits at most", self.fraction_digits),
        )
        return ", ".join(f"{name} {value}" for name, value in rules if value is not None)


# Values of an enumeration that are worth a place in a line.
_SHOWN = 12

_BOUNDS = {"minInclusive": "ge", "minExclusive": "gt", "maxInclusive": "le", "maxExclusive": "lt"}
_COUNTS = {
    "length": ("min_length", "max_length"),
    "minLength": ("min_length",),
    "maxLength": ("max_length",),
    "totalDigits": ("total_digits",),
    "fractionDigits": ("fraction_digits",),
}


class Schemas:
    """All schemas of a WSDL. Numbers the elements and attributes of its documents, so that it comes before zeep."""

    def __init__(self, vendored: Vendored) -> None:
        self._roots = [(namespace, schema) for _, namespace, schema in vendored.schemas()]
        self._numbered: list[etree._Element] = []
        self._named: dict[tuple[str, str], etree._Element] = {}
        self._unqualified: dict[str, etree._Element] = {}
        for namespace, schema in self._roots:
            for node in schema.iterchildren(*_NAMED):
                self._named.setdefault((str(node.tag), _qualified(namespace, node.get("name", ""))), node)
                if node.tag == f"{_XS}simpleType" and schema.get("targetNamespace") is None:
                    self._unqualified.setdefault(node.get("name", ""), node)
            for node in schema.iter(_ELEMENT, _ATTRIBUTE):
                if node.get("name") is not None:
                    node.set("default", f"{_MARK}{len(self._numbered)}")
                    self._numbered.append(node)

    @cached_property
    def field_names(self) -> set[str]:
        """The local names under which elements and attributes can stand inside of others."""
        nodes = (node for _, schema in self._roots for node in schema.iter(_ELEMENT, _ATTRIBUTE))
        return {
            str(node.get("name") or node.get("ref", "").rpartition(":")[2])
            for node in nodes
            if _parent_tag(node) != f"{_XS}schema"
        }

    def named(self, kind: str) -> Iterator[tuple[str, etree._Element]]:
        """The global nodes of one kind, such as "complexType", with their "{namespace}name", in order."""
        return ((name, node) for (tag, name), node in self._named.items() if tag == f"{_XS}{kind}")

    def find(self, kind: str, name: str) -> etree._Element | None:
        """The global node with this "{namespace}name"."""
        return self._named.get((f"{_XS}{kind}", name))

    def node(self, default: str | None) -> etree._Element | None:
        """The node that a zeep element or attribute with this default was made from."""
        number = (default or "").removeprefix(_MARK)
        return self._numbered[int(number)] if number != (default or "") else None

    def simple_type(self, node: etree._Element) -> tuple[str | None, etree._Element | None]:
        """The simple type of an element or attribute: the name of it, if it has one, and its node, if it is defined."""
        own = node.find(f"{_XS}simpleType")
        if own is not None:
            return None, own
        name = _resolved(node, node.get("type"))
        return name, self._type(name)

    def facets(self, node: etree._Element | None) -> Facets:
        """What the node of a simple type allows, with what it has from those that it restricts."""
        if node is None:
            return Facets()
        restriction, union = node.find(f"{_XS}restriction"), node.find(f"{_XS}union")
        if union is not None:
            return Facets(values=self._values_of_union(union))
        if restriction is None:
            return Facets()
        base = restriction.find(f"{_XS}simpleType")
        if base is None:
            base = self._type(_resolved(restriction, restriction.get("base")))
        return _restricted(self.facets(base), restriction)

    def _values_of_union(self, union: etree._Element) -> tuple[str, ...]:
        """All values of a union of enumerations; none if one of its members is something else."""
        members = [self._type(_resolved(union, name)) for name in union.get("memberTypes", "").split()]
        found = [self.facets(member).values for member in [*members, *union.iterfind(f"{_XS}simpleType")]]
        return tuple(dict.fromkeys(value for values in found for value in values)) if all(found) else ()

    def _type(self, name: str | None) -> etree._Element | None:
        """The node of a simple type. A schema without a namespace calls its own types by their plain names."""
        if not name:
            return None
        found = self.find("simpleType", name)
        return self._unqualified.get(name) if found is None else found


def documentation(node: etree._Element | None) -> str:
    """What the schema or the WSDL says of a node for people to read, in one line."""
    if node is None:
        return ""
    texts = [
        "".join(str(text) for text in found.itertext())
        for path in (f"{_XS}annotation/{_XS}documentation", f"{{{WSDL}}}documentation")
        for found in node.iterfind(path)
    ]
    return " ".join(" ".join(texts).split())


def _restricted(facets: Facets, restriction: etree._Element) -> Facets:
    found: dict[str, object] = {}
    values, patterns = [], []
    for node in restriction.iterchildren(f"{_XS}*"):
        name, value = etree.QName(node).localname, node.get("value", "")
        if name == "enumeration":
            values.append(value)
        elif name == "pattern":
            patterns.append(value)
        elif name in _BOUNDS:
            found[_BOUNDS[name]] = _number(value)
        elif name in _COUNTS and value.strip().isdecimal():
            found |= dict.fromkeys(_COUNTS[name], int(value))
    if values:
        found["values"] = tuple(dict.fromkeys(values))
    if patterns:
        found["pattern"] = "|".join(patterns)
    return replace(facets, **found)  # type: ignore[arg-type]  # the names above are those of its fields


def _number(value: str) -> Decimal | None:
    try:
        number = Decimal(value.strip())
    except InvalidOperation:  # the bound of a date
        return None
    return number if number.is_finite() else None


def _resolved(node: etree._Element, name: str | None) -> str | None:
    """The "{namespace}name" that a prefixed name in an attribute means."""
    if not name:
        return None
    prefix, _, local = name.strip().rpartition(":")
    namespace: Mapping[str | None, str] = node.nsmap
    return _qualified(namespace.get(prefix or None, ""), local)


def _qualified(namespace: str, name: str) -> str:
    return f"{{{namespace}}}{name}" if namespace else name


def _parent_tag(node: etree._Element) -> str:
    parent = node.getparent()
    return "" if parent is None else str(parent.tag)
