"""FaultDetails: what a WSDL knows of the details of one operation's faults."""

from collections.abc import Iterator
from typing import Any

import zeep
from lxml import etree

from adaptors.soap.decoded import settle_value
from adaptors.soap.encoded import flattened, type_name


def declared_details(described: Any) -> Iterator[tuple[str, str, Any]]:
    """The faults that an operation declares: name, qualified name of the detail, and its element, or its type.

    Old rpc services declare types. A structure is known by its own; that a detail is a string would say nothing.
    """
    for name, message in (described.abstract.fault_messages or {}).items():
        for part in message.parts.values():
            if part.element is not None:
                yield name, part.element.qname.text, part.element
            elif isinstance(part.type, zeep.xsd.ComplexType) and part.type.qname is not None:
                yield name, part.type.qname.text, part.type


class FaultDetails:
    """The `Details` of one operation; see there."""

    def __init__(self, described: Any, types: Any) -> None:
        self._types = types
        self._declared: set[str] = set()
        self._by_type: dict[str, tuple[str, Any]] = {}
        for _, name, kind in declared_details(described):
            self._declared.add(name)
            of = getattr(kind, "type", kind)
            if isinstance(of, zeep.xsd.ComplexType) and of.qname is not None:
                self._by_type[of.qname.text] = name, of

    def name_of(self, element: etree._Element) -> str:
        """The element's name; or that of the declared fault whose type it says it has: gSOAP calls it plain `fault`."""
        if element.tag in self._declared:
            return str(element.tag)
        return self._by_type.get(type_name(element) or "", (str(element.tag), None))[0]

    def is_declared(self, name: str) -> bool:
        return name in self._declared

    def is_hollow(self, element: etree._Element) -> bool:
        empty = not len(element) and not (element.text or "").strip() and not element.attrib
        known = self._element(str(element.tag))
        return empty and known is not None and any(child.min_occurs for _, child in _children(known))

    def typed(self, element: etree._Element) -> Any:
        try:
            _, kind = self._by_type.get(type_name(element) or "", ("", None))
            if kind is not None:
                settle_value(element, kind, self._types)
                return flattened(kind.parse_xmlelement(element, self._types))
            known = self._element(str(element.tag))
            return None if known is None else known.parse(element, self._types)
        except Exception:  # noqa: BLE001  # the fault counts; its detail is there as XML if it breaks its own type
            return None

    def _element(self, name: str) -> Any:
        return element_of(name, self._types)


def element_of(name: str, types: Any) -> Any:
    """The global element "{namespace}name", or None."""
    try:
        return types.get_element(etree.QName(name))
    except (zeep.exceptions.LookupError, zeep.exceptions.NamespaceError, ValueError):
        return None


def _children(element: Any) -> Any:
    return getattr(element.type, "elements", None) or ()
