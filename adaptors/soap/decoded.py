"""rpc/encoded answers, put as the WSDL says it before zeep reads them.

SOAP 1.1, section 5, leaves much to the server: values may stand elsewhere and be referred to, the members of a
structure come in any order, and names of array items and return values mean nothing.
"""

from copy import deepcopy
from typing import Any

import zeep
from lxml import etree

from adaptors.soap.encoded import ENCODING, XSI_TYPE_NAME, array_item, type_name, write_name
from adaptors.soap.envelope import UnreadableError

# References to one large value multiply it. Elements.
_MOST_COPIED = 200_000


def unfold(body: etree._Element) -> None:
    """Put a copy of what is referred to in the place of each reference. Raises UnreadableError.

    Each xsi:type is left in the form "{namespace}name", as prefixes do not move along.
    """
    for element in body.iter(etree.Element):
        if (kind := type_name(element)) is not None:
            element.set(XSI_TYPE_NAME, kind)
    homes = {name: element for element in body.iter(etree.Element) if (name := element.get("id")) is not None}
    _Unfolding(homes).fill(body, frozenset())


def settle(wrapper: etree._Element, kind: Any, types: Any) -> None:
    """Give the values in an unfolded answer the names and the order that the WSDL has for them."""
    members = _members(kind)
    given = list(wrapper)
    if given and members and _local(given[0]) not in members and next(iter(members)) not in map(_local, given):
        given[0].tag = next(iter(members.values())).qname.text  # the return value: it comes first, under any name
    _settle_members(wrapper, members, types)


class _Unfolding:
    def __init__(self, homes: dict[str, etree._Element]) -> None:
        self._homes = homes
        self._copied = 0

    def fill(self, element: etree._Element, inside: frozenset[str]) -> None:
        """Resolve the references in an element, which stands in those that have the names `inside`."""
        reference = element.get("href", "")
        if reference.startswith("#"):
            del element.attrib["href"]
            self._copy(element, reference[1:], inside)
            self.fill(element, inside | {reference[1:]})
            return
        inside |= {element.get("id", "")}
        for child in element.iterchildren(etree.Element):
            self.fill(child, inside)

    def _copy(self, element: etree._Element, name: str, inside: frozenset[str]) -> None:
        home = self._homes.get(name)
        if home is None:
            raise UnreadableError(f"it refers to {name!r}, which is not in it")
        if name in inside:
            raise UnreadableError(f"{name!r} in it refers to itself")
        self._copied += sum(1 for _ in home.iter())
        if self._copied > _MOST_COPIED:
            raise UnreadableError("its references to its own values make it too large")
        for key, value in home.attrib.items():
            if key != "id":
                element.set(key, value)
        element.text = home.text
        element.extend(deepcopy(child) for child in home)


def settle_value(element: etree._Element, kind: Any, types: Any) -> None:
    """`settle` for one value, which may say by xsi:type that it is of another type than the WSDL has in its place."""
    name = type_name(element)
    given = None if name is None else _known(name, types)
    if name is not None and given is not None and _says_more(given, kind):
        write_name(element, XSI_TYPE_NAME, name)
        kind = given
    elif name is not None:
        del element.attrib[XSI_TYPE_NAME]
    if not isinstance(kind, zeep.xsd.ComplexType):
        return
    item = array_item(kind)
    if item is None:
        _settle_members(element, _members(kind), types)
        return
    for child in element.iterchildren(etree.Element):
        child.tag = item.qname.text
        settle_value(child, item.type, types)


def _settle_members(element: etree._Element, members: dict[str, Any], types: Any) -> None:
    order = {name: number for number, name in enumerate(members)}
    for child in element.iterchildren(etree.Element):
        member = members.get(_local(child))
        if member is not None:
            child.tag = member.qname.text
            settle_value(child, member.type, types)
    element[:] = sorted(element, key=lambda child: order.get(_local(child), len(order)))


def _members(kind: Any) -> dict[str, Any]:
    return {
        member.qname.localname: member
        for _, member in getattr(kind, "elements", ())
        if isinstance(member, zeep.xsd.Element) and member.qname is not None
    }


def _says_more(given: Any, kind: Any) -> bool:
    """Whether an xsi:type that came tells more than the WSDL: untyped languages call a text of digits an int."""
    if type(kind) in (zeep.xsd.AnyType, zeep.xsd.AnySimpleType):
        return True
    return isinstance(given, zeep.xsd.ComplexType) and given.qname.namespace != ENCODING


def _known(name: str, types: Any) -> Any:
    """The type of this name; None if only the server knows it, and means the one that the WSDL has in this place."""
    try:
        return types.get_type(etree.QName(name))
    except (zeep.exceptions.LookupError, zeep.exceptions.NamespaceError, ValueError):
        return None


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname
