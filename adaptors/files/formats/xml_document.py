"""XML documents: parsed without fetching or expanding anything, and held against an XML Schema."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lxml import etree

Element = etree._Element  # lxml publishes the type under no other name

# libxml2 names what breaks a schema as /orders/order[2]/number, or /*/*[2]/* in a default namespace.
_STEPS = re.compile(r"/[^/]+/[^/\[]+(?:\[(\d+)\])?")


def parse(data: bytes) -> Element:
    """The document element. Raises ValueError if it is not well-formed XML, or has a DTD."""
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not well-formed XML: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("the document has a DTD, which is refused")
    return root


class SchemaFault(NamedTuple):
    """What breaks a schema: in which child of the document element, from 1, or None for the document element itself."""

    child: int | None
    reason: str


class Schema:
    """An XML Schema from a file, with the files that it includes. Raises OSError or LxmlError if it cannot be used."""

    def __init__(self, file: Path) -> None:
        self._schema = etree.XMLSchema(etree.parse(file, _parser()))

    def faults(self, root: Element) -> Iterator[SchemaFault]:
        """Everything that breaks the schema in a document."""
        if self._schema.validate(root):
            return
        log: Any = self._schema.error_log  # lxml-stubs does not know that it can be iterated
        for fault in log:
            steps = _STEPS.match(fault.path or "")
            child = int(steps[1] or 1) if steps else None
            line = f"line {fault.line}, " if fault.line else ""
            yield SchemaFault(child, f"{line}{fault.path}: {fault.message}")


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
