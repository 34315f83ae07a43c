"""The envelope of an answer: parsed with nothing left open, whatever a server or somebody in between may send."""

from dataclasses import dataclass
from typing import Any

from lxml import etree

from adaptors.soap.hardened import XmlError, parse
from adaptors.soap.mime import MimeError, include, is_multipart, unpack

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_NILS = etree.XPath(".//*[@x:nil = 'true' or @x:nil = '1']", namespaces={"x": _XSI})
_ENVELOPES = {f"{{{namespace}}}Envelope": namespace for namespace in (SOAP_11, SOAP_12)}


class UnreadableError(Exception):
    """The answer arrived and is not what the WSDL promises; says what is wrong with it, without its content."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A SOAP envelope in the version that was asked for. `fault` is the Fault element in its body, if there is one."""

    root: etree._Element
    body: etree._Element
    fault: etree._Element | None


def open_envelope(body: bytes, content_type: str, version: str) -> Envelope:
    """Parse an answer. `version` is the envelope's namespace. Raises UnreadableError.

    Some servers answer SOAP 1.2 in an envelope of 1.1, and the reverse: the content counts, so the envelope is renamed.
    """
    root = parse_answer(body, content_type)
    found = _ENVELOPES.get(root.tag)
    if found is None:
        raise UnreadableError(f"it is no SOAP envelope but <{root.tag}> ({content_type or 'no content type'})")
    if found != version:
        _rename(root, found, version)
    content = root.find(f"{{{version}}}Body")
    if content is None:
        raise UnreadableError("its envelope has no Body")
    return Envelope(root, content, content.find(f"{{{version}}}Fault"))


def parse_answer(body: bytes, content_type: str) -> etree._Element:
    """The root of an answer, with what came beside it (MTOM) in its place. Raises UnreadableError."""
    try:
        if not is_multipart(content_type):
            return parse(body)
        envelope, parts = unpack(body, content_type)
        root = parse(envelope)
        include(root, parts)
        return root
    except (XmlError, MimeError) as error:
        raise UnreadableError(str(error)) from error


def header_of(envelope: etree._Element) -> etree._Element:
    """The Header of an envelope, made if there is none."""
    name = f"{{{etree.QName(envelope).namespace}}}Header"
    header = envelope.find(name)
    if header is None:
        header = etree.Element(name)
        envelope.insert(0, header)
    return header


def empty_nils(body: etree._Element, is_encoded: bool) -> None:
    """Leave nothing of what is nil but its element: zeep makes an object with None for each member of it otherwise.

    Attributes of its own are values, and stay; those of an encoded element only serve the encoding.
    """
    nils: Any = _NILS(body)
    for element in nils:
        if is_encoded or all(etree.QName(name).namespace == _XSI for name in element.attrib):
            element.clear(keep_tail=True)
        else:
            element[:] = []
            element.text = None


def _rename(root: etree._Element, found: str, version: str) -> None:
    own = [root, *(child for child in root if isinstance(child.tag, str))]
    own += [fault for child in own[1:] for fault in child.iterfind(f"{{{found}}}Fault")]
    for element in own:
        if etree.QName(element).namespace == found:
            element.tag = f"{{{version}}}{etree.QName(element).localname}"
