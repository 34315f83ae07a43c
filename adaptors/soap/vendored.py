"""Vendored: a WSDL and every document it names, found on disk or in the toolkit's own catalog. Never on the network.

The whole closure is collected before zeep sees any of it, so that one start names every missing schema with the file
and line that asks for it, and nothing outside the folder can be reached.
"""

import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from lxml import etree

from adapter_sdk.errors import ConfigError
from adaptors.soap import catalog
from adaptors.soap.hardened import XmlError, parse
from adaptors.soap.mended import is_used, mend

XSD = "http://www.w3.org/2001/XMLSchema"
WSDL = "http://schemas.xmlsoap.org/wsdl/"
_OASIS = "urn:oasis:names:tc:entity:xmlns:xml:catalog"
_REFERENCES = (f"{{{WSDL}}}import", *(f"{{{XSD}}}{name}" for name in ("import", "include", "redefine")))


@dataclass(frozen=True, slots=True)
class Reference:
    """One import or include: the element, the namespace it names, and the key of the document that it means."""

    element: etree._Element
    namespace: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Vendored:
    """`documents` maps each absolute location to its parsed root; `root` is the location of the WSDL."""

    root: str
    documents: Mapping[str, etree._Element]

    def content(self, location: str) -> bytes:
        """The document at `location`, serialised. Raises ConfigError if it was not collected.

        zeep asks for some schemas that nobody has imported, which the catalog has.
        """
        if location not in self.documents:
            own = catalog.find(location)
            if own is None:
                raise ConfigError(f"{self.root}: {location} is asked for, and no import names it")
            return own.read_bytes()
        return etree.tostring(self._as_included(location), encoding="utf-8")

    def _as_included(self, location: str) -> etree._Element:
        """The document, with the namespace of the one that includes it if it has none of its own.

        zeep would give it the default namespace of the including document, which in a WSDL is often that of WSDL.
        """
        root = self.documents[location]
        if root.tag != f"{{{XSD}}}schema" or None in root.nsmap:
            return root
        namespaces = list(self._namespaces(location, root, frozenset({location})))
        if root.get("targetNamespace") is not None or len(namespaces) != 1 or not namespaces[0]:
            return root
        nsmap: dict[Any, str] = {**root.nsmap, None: namespaces[0]}
        included = etree.Element(root.tag, {**dict(root.attrib), "targetNamespace": namespaces[0]}, nsmap)
        included.extend(deepcopy(child) for child in root)
        return included

    def schemas(self) -> Iterator[tuple[str, str, etree._Element]]:
        """Every schema with the location of its document and its namespace; "" is none.

        A schema without a namespace is of those that include it, and comes once for each of them.
        """
        for key, root in self.documents.items():
            inside = [root] if root.tag == f"{{{XSD}}}schema" else root.iterfind(f"{{{WSDL}}}types/{{{XSD}}}schema")
            for schema in inside:
                for namespace in self._namespaces(key, schema, frozenset({key})) or ("",):
                    yield key, namespace, schema

    def _namespaces(self, key: str, schema: etree._Element, seen: frozenset[str]) -> dict[str, None]:
        if (own := schema.get("targetNamespace")) is not None:
            return {own: None}
        found: dict[str, None] = {}
        for other, root in self.documents.items():
            for reference in references(other, root) if other not in seen else ():
                includer = reference.element.getparent()
                if reference.key == key and includer is not None and reference.element.tag != f"{{{XSD}}}import":
                    found |= self._namespaces(other, includer, seen | {other})
        return found


def collect(wsdl: Path, folder: Path | None = None) -> Vendored:
    """Read `wsdl` and all that it names inside `folder` (default: the folder of `wsdl`).

    Raises ConfigError with one sentence for each document that is missing, broken or outside of the folder.
    """
    root = Path(os.path.realpath(folder or wsdl.parent))
    walk = _Walk(root)
    location = os.path.realpath(wsdl)
    if not wsdl.is_file():
        raise ConfigError(f"wsdl: {wsdl} is not there, or is not a file; give the path of the WSDL file")
    if not Path(location).is_relative_to(root):
        raise ConfigError(f"wsdl: {wsdl} lies outside of wsdl_folder {root}; move it inside")
    walk.read(location, Path(location), str(wsdl))
    if walk.faults:
        raise ConfigError(*walk.faults)
    return Vendored(location, walk.documents)


def references(key: str, root: etree._Element) -> Iterator[Reference]:
    """What a document names, with absolute locations. References that lead nowhere are left out."""
    for element in root.iter(*_REFERENCES):
        namespace = element.get("namespace")
        location = element.get("location" if element.tag == f"{{{WSDL}}}import" else "schemaLocation")
        if not location:
            location = catalog.usual_location(namespace)
        if location:
            yield Reference(element, namespace, absolute(location.strip(), key))


def is_idle(reference: Reference) -> bool:
    """Whether it imports a namespace of no use to its document, and names no place: gSOAP writes all that it knows."""
    namespace = reference.namespace
    if not namespace or reference.element.get("schemaLocation") != namespace:
        return False
    return not is_used(namespace, reference.element.getroottree().getroot())


def absolute(location: str, base: str) -> str:
    """`location` as seen from `base`, in the form that zeep asks for it: a URL, or a real path."""
    if urlsplit(location).scheme in ("http", "https", "file"):
        return location
    if urlsplit(base).scheme in ("http", "https", "file"):
        return urljoin(base, location)
    return location if os.path.isabs(location) else os.path.realpath(os.path.join(os.path.dirname(base), location))  # noqa: PTH117, PTH118, PTH120  # zeep's own arithmetic on strings


class _Walk:
    """One collection in progress. Documents are keyed by the location under which they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents: dict[str, etree._Element] = {}
        self.faults: list[str] = []
        self._missing: set[str] = set()
        self._mapped = _folder_catalog(folder)

    def read(self, key: str, file: Path, shown: str) -> None:
        try:
            root = parse(file.read_bytes())
        except (OSError, XmlError) as error:
            self.faults.append(f"{shown}: cannot be read: {error}")
            return
        mend(root)
        self.documents[key] = root
        for reference in references(key, root):
            if reference.key not in self.documents and reference.key not in self._missing:
                self._follow(reference, shown)

    def _follow(self, reference: Reference, shown: str) -> None:
        file = self._find(reference)
        if file is not None:
            self.read(reference.key, file, str(file))
            return
        if is_idle(reference):
            self.documents[reference.key] = etree.Element(
                f"{{{XSD}}}schema", {"targetNamespace": str(reference.namespace)}
            )
            return
        self._missing.add(reference.key)
        place = f"{shown}, line {reference.element.sourceline}"
        namespace = f" (namespace {reference.namespace})" if reference.namespace else ""
        self.faults.append(f"{place}: {reference.key}{namespace} {self._why_not(reference.key)}")

    def _find(self, reference: Reference) -> Path | None:
        """The folder first, so that a site's own copy wins; then the catalog, by location and by namespace."""
        mapped = self._mapped.get(reference.key)
        for candidate in ([mapped] if mapped else []) + _paths(reference.key):
            if self._is_inside(candidate) and candidate.is_file():
                return candidate
        return catalog.find(reference.key) or catalog.find(reference.namespace)

    def _is_inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self.folder)

    def _why_not(self, key: str) -> str:
        paths = _paths(key)
        if not paths:
            return (
                f"is on the network, and nothing is fetched: save it in {self.folder} and write its file name into the"
                f' import, or map it in {self.folder / "catalog.xml"}: <uri name="{key}" uri="FILE"/>'
            )
        if not any(self._is_inside(path) for path in paths):
            return (
                f"lies outside of {self.folder}, and nothing outside is read: move it inside, or set `wsdl_folder` (for"
                " `adaptor wsdl`: --folder) to a folder that holds both"
            )
        return "is missing: put the file there; whoever runs the service can give it to you"


def _paths(key: str) -> list[Path]:
    """The files that a location may mean: as it is written, percent-decoded, or with the separators of Windows."""
    parts = urlsplit(key)
    if parts.scheme in ("http", "https"):
        return []
    path = url2pathname(parts.path) if parts.scheme == "file" else key
    return [Path(form) for form in dict.fromkeys((path, unquote(path), unquote(path).replace("\\", "/")))]


def _folder_catalog(folder: Path) -> dict[str, Path]:
    """`catalog.xml` (OASIS XML Catalogs 1.1) in the folder, if there is one: `uri` and `system` entries."""
    file = folder / "catalog.xml"
    if not file.is_file():
        return {}
    try:
        root = parse(file.read_bytes())
    except (OSError, XmlError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    return {
        name: folder / url2pathname(target)
        for entry in root.iter(f"{{{_OASIS}}}uri", f"{{{_OASIS}}}system")
        if (name := entry.get("name") or entry.get("systemId")) and (target := entry.get("uri"))
    }
