"""rpc/encoded: messages by the encoding rules of SOAP 1.1, section 5, which some old servers insist on.

zeep renders them as if they were literal. Here each element is told its type, and each array its length.
"""

from typing import Any

import zeep
from lxml import etree
from zeep.xsd.elements.indicators import Group

ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
_XSD = "http://www.w3.org/2001/XMLSchema"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
XSI_TYPE_NAME, _NIL = f"{{{_XSI}}}type", f"{{{_XSI}}}nil"


def name_items(types: Any) -> None:
    """Give each array whose items have no element in the WSDL one of the usual name, which is nillable.

    zeep would take any element for an item, send no empty array, and leave out what is nil.
    """
    for kind in types.types:
        of_items = getattr(getattr(kind, "_array_type", None), "array_type", None)
        if of_items is not None and isinstance(kind._element, Group):
            xsd: Any = zeep.xsd
            item = xsd.Element("item", of_items, min_occurs=0, max_occurs="unbounded", nillable=True)
            kind._element = xsd.Sequence([item])


def array_item(kind: Any) -> Any:
    """The element of an array's items; None if a type is no array."""
    if kind._array_type is None:
        return None
    return next((element for _, element in kind.elements if isinstance(element, zeep.xsd.Element)), None)


def annotate(body: etree._Element, described: Any, types: Any) -> None:
    """Add to a rendered request what the encoding asks for. `types` are those of the WSDL."""
    style = f"{{{etree.QName(body).namespace}}}encodingStyle"
    for wrapper in body:
        wrapper.set(style, ENCODING)
        _annotate_children(wrapper, described.input.body.type, types)


def type_name(element: etree._Element) -> str | None:
    """The xsi:type of an element as "{namespace}name", if it has one: from its prefixes, unless it is so already."""
    given = (element.get(XSI_TYPE_NAME) or "").strip()
    if not given:
        return None
    prefix, _, local = given.rpartition("}" if given.startswith("{") else ":")
    namespace = prefix[1:] if given.startswith("{") else element.nsmap.get(prefix or None)
    return f"{{{namespace}}}{local}" if namespace else local


def write_name(element: etree._Element, attribute: str, name: str) -> None:
    """Set an attribute to "{namespace}name", with a prefix for the namespace.

    Not by lxml's own way, to set a QName: where that namespace is the default one, lxml 6.1 ends the process.
    """
    namespace, local = etree.QName(name).namespace, etree.QName(name).localname
    if not namespace:
        element.set(attribute, local)
        return
    if (prefix := _prefix(element, namespace)) is None:
        # An attribute is never in the default namespace, so that lxml declares a prefix.
        element.set(f"{{{namespace}}}declared", "")
        del element.attrib[f"{{{namespace}}}declared"]
        prefix = _prefix(element, namespace)
    element.set(attribute, f"{prefix}:{local}")


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
    given = type_name(element)
    if given is not None:  # zeep writes it where a value is of a derived type
        kind = types.get_type(etree.QName(given))
    array = getattr(kind, "_array_type", None)
    if array is not None:
        _annotate_array(element, array.array_type, types)
        return
    if kind.qname is not None and kind.is_global and _is_worth_saying(kind):
        write_name(element, XSI_TYPE_NAME, _sendable(kind.qname))
    _annotate_children(element, kind, types)


def _annotate_array(element: etree._Element, kind: Any, types: Any) -> None:
    write_name(element, XSI_TYPE_NAME, f"{{{ENCODING}}}Array")
    attribute = f"{{{ENCODING}}}arrayType"
    write_name(element, attribute, _sendable(kind.qname))
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


def _is_worth_saying(kind: Any) -> bool:
    """Not for a simple type of the WSDL's own, such as an enumeration: Perl's SOAP::Lite does not know it by name."""
    return isinstance(kind, zeep.xsd.ComplexType) or kind.qname.namespace in (_XSD, ENCODING)


def _sendable(name: etree.QName) -> str:
    """`soapenc:string` is a string with an id, and not every server knows it."""
    return f"{{{_XSD}}}{name.localname}" if name.namespace == ENCODING else name.text


def _prefix(element: etree._Element, namespace: str) -> str | None:
    return next((prefix for prefix, one in element.nsmap.items() if prefix and one == namespace), None)
