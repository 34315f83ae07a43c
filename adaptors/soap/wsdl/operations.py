"""Operations: what one port of a WSDL offers, as methods: parameters, what comes back, faults."""

from dataclasses import dataclass
from typing import Any

from zeep import xsd

from adaptors.soap.details import declared_details
from adaptors.soap.wsdl.document import PortOf, Wsdl
from adaptors.soap.wsdl.models import FieldOf, Models, encoded_value, or_none
from adaptors.soap.wsdl.names import identifier


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that an operation declares: the qualified name of its detail's element, and the annotation of that."""

    element: str
    detail: str


@dataclass(frozen=True, slots=True)
class Method:
    """One operation. `answer` is the annotation of what it returns."""

    name: str
    operation: str
    parameters: list[FieldOf]
    answer: str
    faults: list[Fault]
    doc: str


class Operations:
    """Makes methods of operations of one port, and tells `models` what they need."""

    def __init__(self, wsdl: Wsdl, port: PortOf, models: Models) -> None:
        self._wsdl = wsdl
        self._port = port
        self._models = models

    def method(self, name: str, method_name: str) -> Method:
        """The method for the operation `name`."""
        described = self._port.binding.get(name)
        return Method(
            name=method_name,
            operation=name,
            parameters=self._parameters(described.input, name),
            answer=self._answer(described.output, name),
            faults=self._faults(described),
            doc=self._wsdl.documentation(self._port, name),
        )

    def _parameters(self, message: Any, name: str) -> list[FieldOf]:
        found: list[FieldOf] = []
        body = message.body if message is not None else None
        if body is not None and isinstance(body.type, xsd.ComplexType) and encoded_value(body.type) is None:
            found = self._models.fields(body.type, f"{name}Request")
        elif body is not None:
            found = [FieldOf("value", "value", self._one(body, f"{name}Request"))]
        if message is not None and _has_headers(message):
            model = self._models.of_message(message.header.type, f"{name}Headers", f"The SOAP headers of {name}.")
            found.append(
                FieldOf(identifier("soap_headers", [one.name for one in found]), "_soapheaders", model, required=False)
            )
        return found

    def _answer(self, message: Any, name: str) -> str:
        """The annotation of what zeep makes of an answer: it takes wrappers of one child off, down to two levels."""
        if message is None or message.envelope is None or message.body is None:
            return "None"
        if _has_headers(message):
            return self._models.of_message(
                message.envelope.type, f"{name}Answer", f"What {name} answers, with headers."
            )
        body = message.body.type
        if not isinstance(body, xsd.ComplexType) or encoded_value(body) is not None or body._array_type is not None:
            return self._one(message.body, f"{name}Response")
        fields = self._models.fields(body, f"{name}Response")
        if not fields:
            return "None"
        if len(fields) > 1:
            is_message = body.qname is None
            return (
                self._models.of_message(body, f"{name}Answer", f"What {name} answers.")
                if is_message
                else self._one(message.body, "")
            )
        return self._unwrapped(body, fields[0], name)

    def _unwrapped(self, body: Any, only: FieldOf, name: str) -> str:
        elements = body.elements
        inner = elements[0][1].type if elements and isinstance(elements[0][1], xsd.Element) else None
        is_wrapper = (
            isinstance(inner, xsd.ComplexType)
            and not only.repeats
            and inner._array_type is None
            and encoded_value(inner) is None
            and len(inner.elements) == 1
            and not inner.attributes
        )
        if not is_wrapper:
            return only.annotation
        (child,) = self._models.fields(inner, f"{name}Response")
        can_be_none = not child.repeats and (only.annotation != only.one or child.annotation != child.one)
        return or_none(child.one) if can_be_none else child.annotation

    def _one(self, element: Any, hint: str) -> str:
        return self._models.reference(element.type, self._wsdl.schemas.node(element.default), hint)

    def _faults(self, described: Any) -> list[Fault]:
        return [Fault(detail, self._detail(kind)) for _, detail, kind in declared_details(described)]

    def _detail(self, kind: Any) -> str:
        if isinstance(kind, xsd.Element):
            return self._one(kind, kind.qname.localname)
        return self._models.reference(kind, None, kind.qname.localname)


def _has_headers(message: Any) -> bool:
    """Whether the WSDL binds headers to a message. Each of them may be left out, as servers do."""
    headers = message.header.type.elements if message.header is not None and message.header.type._element else []
    for element in (element for name, element in message.envelope.type.elements if name == "header"):
        element.min_occurs = 0
    for _, element in headers:
        element.min_occurs = 0
    return bool(headers)
