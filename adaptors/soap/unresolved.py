"""Unresolved: names that a WSDL and its schemas use and nobody defines, each with file and line.

zeep stops at the first and says neither. Most often a schema is missing: its import has no location, or there is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from adaptors.soap.vendored import WSDL, XSD, Vendored

_XS, _W = f"{{{XSD}}}", f"{{{WSDL}}}"
_TYPES = ("simpleType", "complexType")
_KINDS = (*_TYPES, "element", "attribute", "group", "attributeGroup")
# Which attribute of which element of a schema names which kind of thing.
_SCHEMA_NAMES = {
    ("element", "ref"): ("element",),
    ("element", "substitutionGroup"): ("element",),
    ("element", "type"): _TYPES,
    ("attribute", "ref"): ("attribute",),
    ("attribute", "type"): _TYPES,
    ("group", "ref"): ("group",),
    ("attributeGroup", "ref"): ("attributeGroup",),
    ("extension", "base"): _TYPES,
    ("restriction", "base"): _TYPES,
    ("list", "itemType"): _TYPES,
    ("union", "memberTypes"): _TYPES,
}
_WSDL_NAMES = {
    ("part", "element"): ("element",),
    ("part", "type"): _TYPES,
    ("input", "message"): ("message",),
    ("output", "message"): ("message",),
    ("fault", "message"): ("message",),
    ("binding", "type"): ("portType",),
    ("port", "binding"): ("binding",),
}
# What zeep brings along, or takes as it comes.
_XML = "http://www.w3.org/XML/1998/namespace"
_BUILT_IN = frozenset({XSD, _XML, "http://schemas.xmlsoap.org/soap/encoding/"})


def unresolved(vendored: Vendored) -> list[str]:
    """One sentence for each name that is used and not defined, at its first use."""
    defined = _defined(vendored)
    namespaces = {namespace for _, namespace, _ in defined}
    found: dict[tuple[str, str], str] = {}
    for use in _uses(vendored):
        is_known = any((kind, namespace, use.name) in defined for kind in use.kinds for namespace in use.namespaces)
        if not is_known and not _BUILT_IN & set(use.namespaces):
            found.setdefault((use.namespaces[0], use.name), _sentence(use, namespaces))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Use:
    """A name in an attribute of `node`. Of several namespaces that it may be of, the first is the one to be named."""

    key: str
    node: etree._Element
    kinds: tuple[str, ...]
    namespaces: tuple[str, ...]
    name: str


def _sentence(use: _Use, there: set[str]) -> str:
    namespace = use.namespaces[0]
    kind = "type" if use.kinds == _TYPES else use.kinds[0]
    what = f"{use.key}, line {use.node.sourceline}: the {kind} {use.name}"
    if namespace in there:
        return f"{what} is not defined in any schema of the namespace {namespace or '(none)'}"
    return (
        f"{what} is of the namespace {namespace or '(none)'}, and no schema of it is here: put the schema beside the"
        f' WSDL, and its file name into <import namespace="{namespace}" schemaLocation="...">'
    )


def _defined(vendored: Vendored) -> set[tuple[str, str, str]]:
    of_wsdl = {
        (etree.QName(node).localname, root.get("targetNamespace", ""), node.get("name", ""))
        for root in vendored.documents.values()
        for node in root.iterchildren(*(f"{_W}{kind}" for kind in ("message", "portType", "binding")))
    }
    return of_wsdl | {
        (etree.QName(node).localname, namespace, node.get("name", ""))
        for _, namespace, schema in vendored.schemas()
        for level in (schema, *schema.iterfind(f"{_XS}redefine"))
        for node in level.iterchildren(*(f"{_XS}{kind}" for kind in _KINDS))
    }


def _uses(vendored: Vendored) -> Iterator[_Use]:
    for key, namespace, schema in vendored.schemas():
        for (tag, attribute), kinds in _SCHEMA_NAMES.items():
            for node in schema.iter(f"{_XS}{tag}"):
                # A schema without a namespace calls its own by their plain names, whosever it is included in.
                own = namespace if schema.get("targetNamespace") is None else None
                yield from _names(key, node, node.get(attribute, ""), kinds, own)
    for key, root in vendored.documents.items():
        for (tag, attribute), kinds in _WSDL_NAMES.items():
            for node in root.iter(f"{_W}{tag}"):
                yield from _names(key, node, node.get(attribute, ""), kinds, None)


def _names(key: str, node: etree._Element, names: str, kinds: tuple[str, ...], own: str | None) -> Iterator[_Use]:
    for name in names.split():
        prefix, _, local = name.rpartition(":")
        namespace = _XML if prefix == "xml" else node.nsmap.get(prefix or None, "")
        yield _Use(key, node, kinds, (namespace,) if prefix or own is None else (namespace, own), local)
