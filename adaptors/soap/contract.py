"""Contract: one port of one WSDL. From a handler's arguments to the bytes of a request, and from an answer to values.

zeep knows the types; the bytes go through `http`, and what zeep does not check is checked here.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import zeep
import zeep.exceptions
from lxml import etree

from adapter_sdk.errors import InvalidData, PermanentError
from adaptors.soap.addressing import Addressing, address
from adaptors.soap.conversions import counting
from adaptors.soap.decoded import settle, unfold
from adaptors.soap.details import FaultDetails, declared_details, element_of
from adaptors.soap.encoded import annotate, flattened
from adaptors.soap.envelope import SOAP_12, UnreadableError, empty_nils, header_of, open_envelope
from adaptors.soap.faults import read_fault
from adaptors.soap.port import Port
from adaptors.soap.record import Answer
from adaptors.soap.rendering import PlainRenderer
from adaptors.soap.security import Security
from adaptors.soap.settings import SoapSettings
from adaptors.soap.validation import BodySchema
from adaptors.soap.vendored import collect

# A server that has something large to say beside its envelope does so only if it is accepted.
_MTOM = "multipart/related"


XSI_TYPE = "xsi:type"
"""The key by which a dict says that it is of a derived type: "{namespace}name"."""


class UnknownOperation(PermanentError, AttributeError):
    """The WSDL's port has no operation of this name. Also an AttributeError, as Python asks of a missing attribute."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be sent. `digest` is of the body alone: the same for every attempt that asks for the same."""

    body: bytes
    headers: Mapping[str, str]
    digest: str


class Contract:
    """What the service promises. Made once and used by all threads. Raises ConfigError, naming each fault.

    `security` is applied to each request when it is complete.
    """

    def __init__(self, settings: SoapSettings, security: Security | None = None) -> None:
        self._wsdl = str(settings.wsdl)
        vendored = collect(settings.wsdl, settings.wsdl_folder)
        port = Port(vendored, settings)
        self._types, self._binding = port.types, port.binding
        self.version, self.endpoint = port.version, port.endpoint
        self._encoded = port.encoded
        self._parts = _typed_parts(port)
        self._schema = BodySchema(vendored, self._parts, settings.redact) if settings.validate_requests else None
        self._plain = PlainRenderer(port.version, port.types)
        self._addressing = Addressing(vendored, port.binding)
        self._is_addressed = settings.message_id_header or self._addressing.is_asked_for
        self._headers = settings.soap_headers
        self._max_bytes = settings.max_response_bytes
        self._security = security

    @property
    def operations(self) -> list[str]:
        """The names of the operations, sorted."""
        return sorted(self._binding.all())

    def check_operation(self, name: str) -> None:
        """Raise UnknownOperation, naming near ones, unless the port has operation `name`."""
        if name not in self._binding.all():
            near = get_close_matches(name, self.operations, n=3) or self.operations[:10]
            raise UnknownOperation(f"{self._wsdl}: no operation {name!r}; there is {', '.join(near) or 'none'}")

    def knows_detail(self, name: str) -> bool:
        """Whether the detail of a fault may have the name "{namespace}name": an element's, or a declared type's."""
        declared = (one for operation in self._binding.all().values() for _, one, _ in declared_details(operation))
        return element_of(name, self._types) is not None or name in declared

    def build(self, operation: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], message_id: str) -> Request:
        """Render and validate a request. Raises InvalidData for values, PermanentError for names that do not fit."""
        described = self._binding.get(operation)
        envelope = None if args else self._plain.envelope(described, kwargs)
        if envelope is None:
            envelope = self._render(described, args, kwargs)
        (body,) = envelope.iterchildren(f"{{{self.version}}}Body")
        if operation in self._encoded:
            annotate(body, described, self._types)
        else:
            self._validate(operation, described, body)
        digest = hashlib.sha256(etree.tostring(body)).hexdigest()
        if described.abstract.wsa_action or self._is_addressed:
            address(envelope, self._addressing.action(described), message_id, self.endpoint)
        for name, value in self._headers.items():
            etree.SubElement(header_of(envelope), name).text = value.get_secret_value()
        if self._security is not None:
            self._security.secure(envelope)
        content = etree.tostring(envelope, xml_declaration=True, encoding="utf-8")
        return Request(content, self._http_headers(described.soapaction or ""), digest)

    def read(self, operation: str, answer: Answer) -> Any:
        """The value in an answer, or a SoapFault. Raises UnreadableError.

        zeep's rules hold: an answer that is one element of one child is that child's value.
        """
        described = self._binding.get(operation)
        if not answer.body.strip():
            if described.output is None and 200 <= answer.status < 300:
                return None
            raise UnreadableError("its body is empty")
        envelope = open_envelope(answer.body, answer.content_type, self.version)
        is_encoded = operation in self._encoded
        if is_encoded:
            unfold(envelope.body, self._max_bytes)
        if envelope.fault is not None:
            return read_fault(envelope.fault, FaultDetails(described, self._types, is_encoded))
        if not 200 <= answer.status < 300:
            raise UnreadableError(f"it is a normal answer, which HTTP {answer.status} contradicts")
        if is_encoded and described.output is not None and len(envelope.body):
            settle(envelope.body[0], described, self._types)
        empty_nils(envelope.body, is_encoded)
        try:
            value, unconverted = counting(lambda: described.process_reply(envelope.root))
        except Exception as error:  # zeep's parser fails in many ways, and each means that the answer cannot be read
            raise UnreadableError(f"it breaks the WSDL's types: {type(error).__name__}: {error}") from error
        if unconverted:
            raise UnreadableError(f"{unconverted} of its values are not of the type that the WSDL gives them")
        if _has_raw_elements(value):
            raise UnreadableError("it has elements that the WSDL does not know in this place")
        return flattened(value) if is_encoded else value

    def _render(self, described: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> etree._Element:
        """The envelope as zeep makes it. Raises InvalidData or PermanentError."""
        operation = described.name
        names = (name for name, _ in _children(described.input.body))
        _refuse_floats(described.input.body, {**dict(zip(names, args, strict=False)), **kwargs}, operation)
        try:
            given = [self._typed(value) for value in args], {name: self._typed(value) for name, value in kwargs.items()}
            envelope: etree._Element = described.create(*given[0], **given[1]).content
        except (zeep.exceptions.ValidationError, ValueError) as error:
            raise InvalidData(f"{operation}: the request breaks the WSDL's types, nothing was sent: {error}") from error
        except (TypeError, AttributeError, zeep.exceptions.Error) as error:
            raise PermanentError(
                f"{operation}: the arguments do not fit the WSDL, nothing was sent: {error}"
            ) from error
        return envelope

    def _typed(self, value: Any) -> Any:
        """A value in which each dict that names its type, by "xsi:type", is an object of zeep's of that type."""
        if isinstance(value, list):
            return [self._typed(item) for item in value]
        if not isinstance(value, dict):
            return value
        members = {name: self._typed(item) for name, item in value.items() if name != XSI_TYPE}
        if XSI_TYPE not in value:
            return members
        types: Any = self._types
        return types.get_type(etree.QName(value[XSI_TYPE]))(**members)

    def _validate(self, operation: str, described: Any, body: etree._Element) -> None:
        if self._schema is None:
            return
        if described.style == "rpc":
            # The wrapper is no element of the schema, and zeep makes it; what is in it has types.
            parts = [(_part(operation, str(part.tag)), part) for wrapper in body for part in wrapper]
            found = [self._schema.faults_of_part(name, part) for name, part in parts if name in self._parts]
        else:
            found = [self._schema.faults(element) for element in body]
        if faults := "; ".join(fault for fault in found if fault):
            raise InvalidData(f"{operation}: the request breaks the WSDL's schema, nothing was sent: {faults}")

    def _http_headers(self, action: str) -> dict[str, str]:
        if self.version == SOAP_12:
            kind = "application/soap+xml"
            return {"Content-Type": f'{kind}; charset=utf-8; action="{action}"', "Accept": f"{kind}, {_MTOM}"}
        accept = f"text/xml, {_MTOM}"
        return {"Content-Type": "text/xml; charset=utf-8", "Accept": accept, "SOAPAction": f'"{action}"'}


def _part(operation: str, name: str) -> str:
    """A name for one part of one rpc operation that no other has."""
    return f"{operation}.{name}"


def _typed_parts(port: Port) -> dict[str, str]:
    """The parts of all rpc operations, each with its type. What is encoded does not follow the schema alone."""
    return {
        _part(name, part): str(element.type.qname)
        for name, operation in port.binding.all().items()
        if operation.style == "rpc" and operation.input is not None and name not in port.encoded
        for part, element in _children(operation.input.body)
        if element.qname.namespace is None
    }


def _refuse_floats(element: Any, value: Any, path: str) -> None:
    """Raise InvalidData for a float given to a decimal: zeep would send 0.1 + 0.2 as 0.30000000000000004."""
    if isinstance(value, float) and isinstance(getattr(element, "type", None), zeep.xsd.Decimal):
        raise InvalidData(f"{path}: {value!r} is a float, and the WSDL wants a decimal: give a Decimal or an int")
    children = dict(_children(element))
    for name, inner in _members(value):
        if name in children:
            for item in inner if isinstance(inner, list | tuple) else (inner,):
                _refuse_floats(children[name], item, f"{path}.{name}")


def _children(element: Any) -> Iterable[tuple[str, Any]]:
    return getattr(getattr(element, "type", None), "elements", None) or ()


def _members(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, zeep.xsd.CompoundValue):
        return value.__values__.items()
    return value.items() if isinstance(value, Mapping) else ()


def _has_raw_elements(value: Any) -> bool:
    """Whether zeep met something that it could not place; it puts that aside without a word."""
    if isinstance(value, list):
        return any(_has_raw_elements(item) for item in value)
    return isinstance(value, zeep.xsd.CompoundValue) and any(
        bool(inner) if name == "_raw_elements" else _has_raw_elements(inner) for name, inner in value.__values__.items()
    )
