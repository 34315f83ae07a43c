"""FaultDetails: what a WSDL knows of the details of one operation's faults."""

from collections.abc import Iterator
from typing import Any

import zeep
from lxml import etree

from adaptors.soap.decoded import refuse_sparse, settle_value
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
    """The `Details` of one operation; see there. `is_encoded` says whether it follows SOAP 1.1, section 5."""

    def __init__(self, described: Any, types: Any, is_encoded: bool) -> None:
        self._types = types
        self._is_encoded = is_encoded
        declared = [(name, kind) for _, name, kind in declared_details(described)]
        self._elements = {name: kind for name, kind in declared if isinstance(kind, zeep.xsd.Element)}
        xsd: Any = zeep.xsd
        self._by_type = {name: xsd.Element(name, kind) for name, kind in declared if name not in self._elements}

    def name_of(self, element: etree._Element) -> str:
        """The element's name; or, where a fault is declared by its type, that of the type that it says it has."""
        name, kind = str(element.tag), type_name(element)
        if kind is None or self.is_declared(name):
            return name
        if kind in self._by_type:
            return kind
        if etree.QName(name).localname == "fault" and self._element(name) is None:  # so gSOAP calls every detail
            of_this = [one for one, declared in self._elements.items() if declared.type.qname == kind]
            return of_this[0] if len(of_this) == 1 else name
        return name

    def is_declared(self, name: str) -> bool:
        return name in self._elements or name in self._by_type

    def is_hollow(self, element: etree._Element) -> bool:
        empty = not len(element) and not (element.text or "").strip() and not element.attrib
        known = self._element(str(element.tag))
        return empty and known is not None and any(child.min_occurs for _, child in _children(known))

    def typed(self, element: etree._Element) -> Any:
        name = self.name_of(element)
        known = self._elements.get(name) or self._by_type.get(name) or self._element(name)
        if known is None:
            return None
        try:
            if self._is_encoded or name in self._by_type:
                refuse_sparse(element)
                settle_value(element, known.type, self._types)
            return flattened(known.parse(element, self._types))
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
