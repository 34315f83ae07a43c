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

# References to one large value multiply it. What may be copied: elements, and text as a multiple of an answer's limit.
_MOST_ELEMENTS = 200_000
_MOST_TIMES = 4
_SPARSE = etree.XPath(
    "descendant-or-self::*[@enc:position or @enc:offset[. != '[0]'] or contains(@enc:arrayType, ',')]",
    namespaces={"enc": ENCODING},
)


def unfold(body: etree._Element, limit: int) -> None:
    """Put a copy of what is referred to in the place of each reference, and take away what stands aside for it.

    `limit` is what an answer may have, in bytes. Raises UnreadableError.
    """
    elements = list(body.iter(etree.Element))
    references = {name for element in elements if (name := _reference(element)) is not None}
    if not references:
        return
    for element in elements:
        if (kind := type_name(element)) is not None:
            element.set(XSI_TYPE_NAME, kind)  # prefixes do not move along
    homes = {name: element for element in elements if (name := element.get("id")) is not None}
    for aside in [child for child in body if child.get("id") in references]:
        body.remove(aside)
    _Unfolding(homes, limit * _MOST_TIMES).fill(body, frozenset())
    for element in body.iter(etree.Element):
        _write_type(element)


def settle(wrapper: etree._Element, described: Any, types: Any) -> None:
    """Give the values in an unfolded answer the names and the order that the WSDL has for them.

    Raises UnreadableError if it is no response, which may be an error that is no fault, and for arrays that zeep would
    read as other lists than they are.
    """
    refuse_sparse(wrapper)
    members = _members(getattr(described.output.body, "type", None))
    given = [_local(child) for child in wrapper]
    if _local(wrapper) in (f"{described.name}Response", described.abstract.output_message.name.localname):
        first = next(iter(members), None)
        if given and first is not None and given[0] not in members and first not in given:
            wrapper[0].tag = members[first].qname.text  # the return value: it comes first, under any name
    elif members.keys().isdisjoint(given):
        raise UnreadableError(f"<{_local(wrapper)}> is no response to {described.name}")
    _settle_members(wrapper, members, types)


def refuse_sparse(value: etree._Element) -> None:
    """Raise UnreadableError if an array in it leaves places out, or has several dimensions."""
    if _SPARSE(value):
        raise UnreadableError("it has an array that is sparse or of several dimensions, which is not read")


class _Unfolding:
    def __init__(self, homes: dict[str, etree._Element], most_text: int) -> None:
        self._homes = homes
        self._most_text = most_text
        self._elements = self._text = 0

    def fill(self, element: etree._Element, inside: frozenset[str]) -> None:
        """Resolve the references in an element, which stands in those that have the names `inside`."""
        if (name := _reference(element)) is not None:
            del element.attrib["href"]
            self._copy(element, name, inside)
            self.fill(element, inside | {name})
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
        for copied in home.iter():
            self._elements += 1
            self._text += sum(map(len, (copied.text or "", copied.tail or "", *copied.attrib.values())))
        if self._elements > _MOST_ELEMENTS or self._text > self._most_text:
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


def _reference(element: etree._Element) -> str | None:
    href = element.get("href", "")
    return href[1:] if href.startswith("#") else None


def _write_type(element: etree._Element) -> None:
    name = element.get(XSI_TYPE_NAME, "")
    if not name.startswith("{"):
        return
    try:
        write_name(element, XSI_TYPE_NAME, name)
    except ValueError as error:
        raise UnreadableError(f"an xsi:type in it is no name: {name!r}") from error


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname
