"""Document: a WSDL with everything that it names, read for people and for models, whether or not an adaptor uses it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lxml import etree
from zeep.wsdl.bindings import Soap11Binding, Soap12Binding

from adapter_sdk.errors import ConfigError
from adaptors.soap.port import address_of, read_document
from adaptors.soap.vendored import WSDL, collect
from adaptors.soap.wsdl.schemas import Schemas, documentation

_W = f"{{{WSDL}}}"
_BODIES = tuple(f"{{http://schemas.xmlsoap.org/wsdl/{soap}/}}body" for soap in ("soap", "soap12"))


@dataclass(frozen=True, slots=True)
class PortOf:
    """One port. `speaks` is "SOAP 1.1", "SOAP 1.2", or what else the binding is; only the first two have operations."""

    service: str
    name: str
    address: str
    speaks: str
    binding: Any

    @property
    def is_soap(self) -> bool:
        """Whether the toolkit can use it."""
        return isinstance(self.binding, Soap11Binding | Soap12Binding)

    @property
    def port_type(self) -> str:
        """The qualified name of its portType: ports of one have the same operations."""
        return str(self.binding.port_name.text)


class Wsdl:
    """A WSDL on disk, with its schemas in `folder` (default: its own).

    Raises ConfigError, with file and line, if it or a schema is missing or wrong.
    """

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self.path = path
        self.folder = folder
        vendored = collect(path, folder)
        root = vendored.documents[vendored.root]
        if root.tag != f"{_W}definitions":
            raise ConfigError(f"{path}: is no WSDL 1.1 but <{root.tag}>; give the WSDL, or ask for it in version 1.1")
        self.schemas = Schemas(vendored)
        self._definitions = [one for one in vendored.documents.values() if one.tag == f"{_W}definitions"]
        self.document, self.left_out = read_document(vendored, str(path))
        self.documents = len(vendored.documents)

    @property
    def types(self) -> Any:
        """zeep's schema."""
        return self.document.types

    def ports(self) -> list[PortOf]:
        """All ports of all services, as they stand in the WSDL."""
        return [
            PortOf(service.name, port.name, address_of(port), _speaks(port.binding), port.binding)
            for service in self.document.services.values()
            for port in service.ports.values()
        ]

    def bindings(self) -> list[PortOf]:
        """Every binding once, with the first of its ports; some WSDLs leave the ports to others, and have none."""
        found: dict[str, PortOf] = {}
        for port in self.ports():
            found.setdefault(port.binding.name.text, port)
        for name, binding in self.document.bindings.items():
            found.setdefault(name, PortOf("", "", "", _speaks(binding), binding))
        return list(found.values())

    @property
    def field_names(self) -> set[str]:
        """The names under which elements, attributes and parts can stand inside of others."""
        parts = (part for root in self._definitions for part in root.iterfind(f"{_W}message/{_W}part"))
        return self.schemas.field_names | {part.get("name", "") for part in parts}

    def use_of(self, port: PortOf, operation: str) -> str:
        """Whether the messages of an operation are "literal" or "encoded"."""
        node = self._operations.get(("binding", port.binding.name.text, operation))
        bodies = () if node is None else node.iter(*_BODIES)
        return next((body.get("use", "literal") for body in bodies), "literal")

    def documentation(self, port: PortOf, operation: str) -> str:
        """What the WSDL says of an operation for people to read."""
        return documentation(self._operations.get(("portType", port.port_type, operation)))

    @cached_property
    def _operations(self) -> dict[tuple[str, str, str], etree._Element]:
        """The operation nodes of bindings and portTypes, by the qualified name of these and their own."""
        return {
            (kind, f"{{{root.get('targetNamespace')}}}{node.get('name')}", operation.get("name", "")): operation
            for root in self._definitions
            for kind in ("binding", "portType")
            for node in root.iterfind(f"{_W}{kind}")
            for operation in node.iterfind(f"{_W}operation")
        }


def _speaks(binding: Any) -> str:
    if isinstance(binding, Soap12Binding):
        return "SOAP 1.2"
    return "SOAP 1.1" if isinstance(binding, Soap11Binding) else type(binding).__name__.removesuffix("Binding")
