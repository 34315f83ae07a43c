"""Parsing XML that somebody else has written."""

from typing import Any

from lxml import etree


class XmlError(ValueError):
    """Not well-formed, beyond libxml2's limits, or with a DOCTYPE."""


def parse(content: bytes) -> etree._Element:
    """The root of a document. Raises XmlError; a DOCTYPE is one, since it may name files and define entities.

    libxml2's own limits stay on: 256 levels, ten million characters of one text.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise XmlError(f"it is not XML: {error.msg}") from error
    document: Any = root.getroottree().docinfo
    if document.doctype:
        raise XmlError("it has a DOCTYPE, which is not read")
    return root
