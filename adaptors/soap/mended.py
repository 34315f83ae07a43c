"""Habits of published WSDLs that zeep does not know, written in the way that it does."""

from lxml import etree

from adaptors.soap.encoded import write_name

_XSD = "http://www.w3.org/2001/XMLSchema"
_XOP = "http://www.w3.org/2004/08/xop/include"
_MIME = "http://schemas.xmlsoap.org/wsdl/mime/"
_SOAPS = ("http://schemas.xmlsoap.org/wsdl/soap/", "http://schemas.xmlsoap.org/wsdl/soap12/")
_HEADERS = [f"{{{soap}}}{name}" for soap in _SOAPS for name in ("header", "headerfault")]
_BODIES = [f"{{{soap}}}body" for soap in _SOAPS]
# The attributes of schemas and WSDLs that hold names of types, elements, and the like.
_NAMING = ("base", "element", "itemType", "memberTypes", "ref", "substitutionGroup", "type")


def mend(root: etree._Element) -> None:
    """Rewrite the habits in one document; what they mean stays."""
    for related in list(root.iter(f"{{{_MIME}}}multipartRelated")):
        _take_out_the_envelope(related)
    for header in root.iter(*_HEADERS):
        header.set("use", header.get("use", "literal"))
    for body in root.iter(*_BODIES):
        if body.get("namespace") == "":
            del body.attrib["namespace"]
    for element in list(root.iter(f"{{{_XSD}}}element")):  # lxml crashes when what it goes through is changed
        if _names(element, "ref", _XSD, "schema"):
            _allow_any(element)
        elif _names(element, "type", _XOP, "Include"):
            # gSOAP's way to say that this is binary, and comes by MTOM.
            write_name(element, "type", f"{{{_XSD}}}base64Binary")


def _take_out_the_envelope(related: etree._Element) -> None:
    """Of a message with attachments, what is bound to its envelope. The attachments come beside it, and are found."""
    for one in list(related.iter(*_HEADERS, *_BODIES)):
        related.addprevious(one)
    if (parent := related.getparent()) is not None:
        parent.remove(related)


def _names(element: etree._Element, attribute: str, namespace: str, name: str) -> bool:
    prefix, _, local = element.get(attribute, "").rpartition(":")
    return local == name and element.nsmap.get(prefix or None) == namespace


def _allow_any(element: etree._Element) -> None:
    """A .NET DataSet brings its schema along, which zeep would load; as any element it comes as it is."""
    element.tag = f"{{{_XSD}}}any"
    del element.attrib["ref"]
    element.set("namespace", _XSD)
    element.set("processContents", "skip")


def is_used(namespace: str, root: etree._Element) -> bool:
    """Whether any attribute in a document, but the import of it, has a name of this namespace."""
    return any(
        element.nsmap.get(name.rpartition(":")[0] or None) == namespace
        for element in root.iter(etree.Element)
        for attribute in _NAMING
        for name in element.get(attribute, "").split()
    )
