"""BodySchema: is this body what the WSDL's own schema allows? zeep checks neither simple types nor facets."""

import re
import threading
from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

from lxml import etree

from adapter_sdk.errors import ConfigError
from adaptors.soap.vendored import WSDL, XSD, Vendored, references

_XS = f"{{{XSD}}}"
# More than these are the same fault again and again. Errors.
_SHOWN = 5
_PLACE = re.compile(r"Element '([^']*)'(?:, attribute '([^']*)')?:")


class BodySchema:
    """All schemas of a WSDL as one. Raises ConfigError if libxml2, which is stricter than zeep, cannot use them.

    `parts` are the parts of rpc operations, which have a type and are no element of any schema: a name of our own for
    each, and its type as "{namespace}name". `secret` names elements and attributes whose values no fault may show.
    """

    def __init__(self, vendored: Vendored, parts: Mapping[str, str], secret: Collection[str] = ()) -> None:
        self._secret = frozenset(secret)
        # A compiled schema has one list of errors, so that two threads must not validate at a time.
        self._lock = threading.Lock()
        pieces = _Pieces(vendored)
        parser = etree.XMLParser(no_network=True, resolve_entities=False)
        parser.resolvers.add(pieces)
        try:
            self._schema = etree.XMLSchema(etree.fromstring(pieces.driver(parts), parser))
        except etree.XMLSchemaParseError as error:
            raise ConfigError(
                f"{vendored.root}: its schemas cannot be compiled, so requests cannot be validated:"
                f" {_first(error.error_log)}. Mend the schema, or send requests unvalidated with"
                " `validate_requests = false`"
            ) from error

    def faults(self, element: etree._Element) -> str:
        """What is wrong with a body element: each element, its value and the rule that it breaks. "" if nothing is."""
        with self._lock:
            return "" if self._schema.validate(element) else _first(self._schema.error_log, self._secret)

    def faults_of_part(self, name: str, element: etree._Element) -> str:
        """As `faults`, for the part that was announced under this name."""
        part = deepcopy(element)
        part.tag = name
        return self.faults(part)


class _Pieces(etree.Resolver):
    """Gives libxml2 the schemas out of memory, so that nothing is left for it to look for.

    It takes only one document per namespace by import, while a WSDL may have many. So each namespace is given a
    document that includes all of its documents, and every import is turned to that one.
    """

    def __init__(self, vendored: Vendored) -> None:
        self._schemas: dict[str, etree._Element] = {}
        entries: dict[str, list[str]] = {}
        copies = {key: deepcopy(root) for key, root in vendored.documents.items()}
        imported = {
            found.key for key, root in copies.items() for found in references(key, root) if _is_import(found.element)
        }
        for key, root in copies.items():
            named = {f"{key}#{n}": schema for n, schema in enumerate(root.iterfind(f"{{{WSDL}}}types/{_XS}schema"))}
            self._schemas |= named
            if root.tag == f"{_XS}schema":
                self._schemas[key] = root
                named = {key: root} if key in imported else {}
            for name, schema in named.items():
                entries.setdefault(schema.get("targetNamespace", ""), []).append(name)
        entries.pop(XSD, None)
        self._urls = {key: f"vendored:/{number}.xsd" for number, key in enumerate(self._schemas)}
        self._namespaces = {namespace: f"vendored:/of/{number}.xsd" for number, namespace in enumerate(entries)}
        for key, root in copies.items():
            self._turn_references(key, root)
        for schema in self._schemas.values():
            self._import_what_is_used(schema)
        self._served = {self._urls[key]: _serialised(schema) for key, schema in self._schemas.items()}
        self._served |= {
            self._namespaces[name]: _schema(name, "include", [{"schemaLocation": self._urls[key]} for key in keys])
            for name, keys in entries.items()
        }

    def driver(self, parts: Mapping[str, str]) -> bytes:
        """The schema that imports every namespace, and has an element for each part."""
        imports = [
            {"schemaLocation": url, "namespace": namespace} for namespace, url in self._namespaces.items() if namespace
        ]
        root = etree.fromstring(_schema("", "import", imports))
        if "" in self._namespaces:  # the driver has no namespace either
            etree.SubElement(root, f"{_XS}include", {"schemaLocation": self._namespaces[""]})
        for name, kind in parts.items():
            of = etree.QName(kind)
            typed = f"of:{of.localname}" if of.namespace else of.localname
            nsmap = {"of": of.namespace} if of.namespace else None
            etree.SubElement(root, f"{_XS}element", {"name": name, "type": typed}, nsmap=nsmap)
        return etree.tostring(root)

    def resolve(self, system_url: str, public_id: str, context: Any = None) -> Any:
        return self.resolve_string(self._served[system_url], context, base_url=system_url)

    def _turn_references(self, key: str, root: etree._Element) -> None:
        for found in references(key, root):
            if not _is_import(found.element):
                found.element.set("schemaLocation", self._urls[found.key])
        for element in list(root.iter(f"{_XS}import")):
            schema = element.getparent()
            if schema is not None and element.get("namespace") == schema.get("targetNamespace"):
                schema.remove(element)  # libxml2 refuses it; the driver imports what it names
            elif (namespace := element.get("namespace", "")) in self._namespaces:
                element.set("schemaLocation", self._namespaces[namespace])
            elif element.get("schemaLocation") is not None:
                del element.attrib["schemaLocation"]

    def _import_what_is_used(self, schema: etree._Element) -> None:
        """Add the imports that a schema leaves out, and libxml2 insists on. Its prefixes say what it may use."""
        imported = {element.get("namespace", "") for element in schema.iterfind(f"{_XS}import")}
        for namespace in {*schema.nsmap.values()} & {*self._namespaces} - imported - {schema.get("targetNamespace")}:
            location = {"namespace": namespace, "schemaLocation": self._namespaces[namespace]}
            schema.insert(0, etree.Element(f"{_XS}import", location))


def _is_import(element: etree._Element) -> bool:
    return etree.QName(element).localname == "import"


def _serialised(schema: etree._Element) -> bytes:
    # Serialising takes along the prefixes that are declared outside of the element; lxml's XMLSchema does not.
    return etree.tostring(schema, with_tail=False)


def _schema(namespace: str, kind: str, children: list[dict[str, str]]) -> bytes:
    root = etree.Element(f"{_XS}schema", {"targetNamespace": namespace} if namespace else {})
    for attributes in children:
        etree.SubElement(root, f"{_XS}{kind}", attributes)
    return etree.tostring(root)


def _first(log: Any, secret: frozenset[str] = frozenset()) -> str:
    # What was rendered from values has no line numbers: they are 0.
    lines = [(f"line {entry.line}: " if entry.line else "") + _shown(entry.message, secret) for entry in log]
    more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "; ".join(lines[:_SHOWN]) + more


def _shown(message: str, secret: frozenset[str]) -> str:
    """What libxml2 says, which begins with what it speaks of."""
    place = _PLACE.match(message)
    if place and not secret.isdisjoint(place.groups()):
        return f"{place.group()} breaks its type; its value is not shown"
    return message.rstrip(".")
