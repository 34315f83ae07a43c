"""Port: one port of one WSDL as zeep reads it, out of vendored files alone."""

import warnings
from collections.abc import Mapping
from typing import Any

import zeep
from lxml import etree
from zeep.wsdl import Document
from zeep.wsdl.bindings import Soap11Binding, Soap12Binding

from adapter_sdk.errors import ConfigError
from adaptors.soap.encoded import name_items
from adaptors.soap.envelope import SOAP_11, SOAP_12
from adaptors.soap.settings import SoapSettings, check_endpoint
from adaptors.soap.unresolved import unresolved
from adaptors.soap.vendored import WSDL, Vendored


class Port:
    """The port that the settings choose. Raises ConfigError.

    `version` is the namespace of its envelopes, `encoded` names the operations whose requests follow the encoding rules
    of SOAP 1.1, section 5.
    """

    def __init__(self, vendored: Vendored, settings: SoapSettings) -> None:
        wsdl = str(settings.wsdl)
        document, left_out = read_document(vendored, wsdl)
        # What zeep cannot resolve it leaves out with a warning, and a handler would find the operation missing.
        if left_out:
            raise ConfigError(*(f"{fault}; mend it, or take that operation out" for fault in left_out))
        self.types = document.types
        port = _choose(_soap_ports(document.services), settings)
        self.binding = port.binding
        _check_actions(port.binding, wsdl)
        self.encoded = _encoded(vendored, etree.QName(port.binding.name).localname)
        self.version = SOAP_12 if isinstance(port.binding, Soap12Binding) else SOAP_11
        self.endpoint = settings.endpoint or _published(port, wsdl)


class _Files(zeep.Transport):
    """What zeep reads files through: it is given what was collected, and nothing else."""

    def __init__(self, vendored: Vendored) -> None:
        self._vendored = vendored
        self._close_session = False  # zeep's destructor asks for it

    def load(self, url: str) -> bytes:
        return self._vendored.content(url)


def read_document(vendored: Vendored, wsdl: str) -> tuple[Document, list[str]]:
    """What zeep makes of a WSDL, and a sentence for each operation that it leaves out. Raises ConfigError."""
    settings = zeep.Settings(strict=True, forbid_dtd=True, forbid_entities=True, xml_huge_tree=False)
    with warnings.catch_warnings(record=True) as left_out:
        warnings.simplefilter("always", UserWarning)
        try:
            files: Any = _Files(vendored)  # zeep annotates the class where it takes an object
            document = Document(vendored.root, files, settings=settings)
        except ConfigError:
            raise
        except Exception as error:  # zeep fails in many ways on a WSDL that is not one
            faults = [f"wsdl: {fault}" for fault in unresolved(vendored)]
            raise ConfigError(*(faults or [f"wsdl: {wsdl} cannot be used: {type(error).__name__}: {error}"])) from error
    name_items(document.types)
    omitted = [f"wsdl: {wsdl}: {one.message}" for one in left_out if one.category is UserWarning]
    # What is left out, and where that is named which is missing for it.
    return document, [*omitted, *(f"wsdl: {fault}" for fault in unresolved(vendored))] if omitted else []


def _soap_ports(services: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    return [
        (service.name, port.name, port)
        for service in services.values()
        for port in service.ports.values()
        if isinstance(port.binding, Soap11Binding | Soap12Binding)
    ]


def _choose(ports: list[tuple[str, str, Any]], settings: SoapSettings) -> Any:
    chosen = [
        port for service, name, port in ports if settings.service in (None, service) and settings.port in (None, name)
    ]
    if len(chosen) == 1:
        return chosen[0]
    if not ports:
        raise ConfigError(f"wsdl: {settings.wsdl} has no port that speaks SOAP over HTTP")
    choices = "; ".join(f'service = "{service}", port = "{name}" ({_speaks(port)})' for service, name, port in ports)
    asked = f"service {settings.service or '(any)'}, port {settings.port or '(any)'}"
    fault = "several ports fit" if chosen else "no port fits"
    raise ConfigError(f"wsdl: {settings.wsdl}: {fault} {asked}; set `service` and `port` to one of: {choices}")


def _encoded(vendored: Vendored, binding: str) -> frozenset[str]:
    bodies = [f"{{http://schemas.xmlsoap.org/wsdl/{soap}/}}body" for soap in ("soap", "soap12")]
    return frozenset(
        operation.get("name", "")
        for root in vendored.documents.values()
        for found in root.iterfind(f"{{{WSDL}}}binding")
        if found.get("name") == binding
        for operation in found.iterfind(f"{{{WSDL}}}operation")
        for message in operation.iterfind(f"{{{WSDL}}}input")
        if any(body.get("use") == "encoded" for body in message.iterchildren(*bodies))
    )


def _check_actions(binding: Any, wsdl: str) -> None:
    wrong = [op.name for op in binding.all().values() if not _is_header_text(op.soapaction or "")]
    if wrong:
        raise ConfigError(*(f"wsdl: {wsdl}: the soapAction of {name} is not plain ASCII text" for name in wrong))


def _is_header_text(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text


def _speaks(port: Any) -> str:
    return "SOAP 1.2" if isinstance(port.binding, Soap12Binding) else "SOAP 1.1"


def address_of(port: Any) -> str:
    """What the WSDL publishes as the address of a port; "" if that is nothing."""
    return str((port.binding_options or {}).get("address") or "")


def _published(port: Any, wsdl: str) -> str:
    address = address_of(port)
    try:
        check_endpoint(address)
    except ValueError as error:
        raise ConfigError(f"endpoint: not set, and the address in {wsdl} is {address!r}: {error}") from error
    return address
