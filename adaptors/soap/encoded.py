"""rpc/encoded: messages by the encoding rules of SOAP 1.1, section 5, which some old servers insist on.

zeep renders them as if they were literal. Here each element is told its type, and each array its length.
"""

from typing import Any

import zeep
from lxml import etree

ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
_XSD = "http://www.w3.org/2001/XMLSchema"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE, _NIL = f"{{{_XSI}}}type", f"{{{_XSI}}}nil"


def annotate(body: etree._Element, described: Any, types: Any) -> None:
    """Add to a rendered request what the encoding asks for. `types` are those of the WSDL."""
    style = f"{{{etree.QName(body).namespace}}}encodingStyle"
    for wrapper in body:
        wrapper.set(style, ENCODING)
        _annotate_children(wrapper, described.input.body.type, types)


def flattened(value: Any) -> Any:
    """A decoded answer in which `soapenc:string` and its like are the plain values that they stand for."""
    if isinstance(value, list):
        value[:] = [flattened(item) for item in value]
    elif isinstance(value, zeep.xsd.CompoundValue):
        kind = value._xsd_type.qname
        if kind is not None and kind.namespace == ENCODING and "_value_1" in value:
            return value["_value_1"]
        for name, inner in value.__values__.items():
            value.__values__[name] = flattened(inner)
    return value


def _annotate(element: etree._Element, kind: Any, types: Any) -> None:
    if element.get(_NIL) is not None:
        return
    given = element.get(_TYPE)
    if given is not None:  # zeep writes it where a value is of a derived type
        prefix, _, name = given.rpartition(":")
        kind = types.get_type(etree.QName(element.nsmap[prefix or None], name))
    array = getattr(kind, "_array_type", None)
    if array is not None:
        _annotate_array(element, array.array_type, types)
        return
    if kind.qname is not None and kind.is_global:
        element.set(_TYPE, _sendable(kind.qname))
    _annotate_children(element, kind, types)


def _annotate_array(element: etree._Element, kind: Any, types: Any) -> None:
    element.set(_TYPE, _named(ENCODING, "Array"))
    attribute = f"{{{ENCODING}}}arrayType"
    element.set(attribute, _sendable(kind.qname))
    element.set(attribute, f"{element.get(attribute)}[{len(element)}]")
    for child in element:
        _annotate(child, kind, types)


def _annotate_children(element: etree._Element, kind: Any, types: Any) -> None:
    members = {
        member.qname.text: member.type for _, member in getattr(kind, "elements", ()) if member.qname is not None
    }
    for child in element:
        if child.tag in members:
            _annotate(child, members[str(child.tag)], types)


def _sendable(name: etree.QName) -> Any:
    """`soapenc:string` is a string with an id, and not every server knows it."""
    return _named(_XSD if name.namespace == ENCODING else name.namespace, name.localname)


def _named(namespace: str | None, name: str) -> Any:
    """A name as the value of an attribute: lxml finds, or declares, its prefix. Its stubs know nothing of that."""
    return etree.QName(namespace, name)
