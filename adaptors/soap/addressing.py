"""WS-Addressing 1.0 (W3C): a name for each message, and whether the WSDL asks for it."""

from collections.abc import Iterator
from typing import Any

from lxml import etree

from adaptors.soap.envelope import ADDRESSING, header_of
from adaptors.soap.vendored import WSDL, Vendored

_POLICY_ID = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}Id"
_POLICIES = ("http://schemas.xmlsoap.org/ws/2004/09/policy", "http://www.w3.org/ns/ws-policy")
_ASKED_BY = (
    "{http://www.w3.org/2006/05/addressing/wsdl}UsingAddressing",
    "{http://www.w3.org/2007/05/addressing/metadata}Addressing",
)


class Addressing:
    """What one binding says of addressing. `is_asked_for` is whether it wants every message to have it."""

    def __init__(self, vendored: Vendored, binding: Any) -> None:
        self._documents = list(vendored.documents.values())
        self._port_type = etree.QName(binding.port_name)
        self.is_asked_for = any(
            next(place.iter(*_ASKED_BY), None) is not None
            for element in self._found("binding", etree.QName(binding.name).localname)
            for place in (element, *self._policies(element))
        )

    def action(self, operation: Any) -> str:
        """What wsa:Action names: the WSDL's own, else that of SOAP, else one made of names, by section 4.4.4."""
        if operation.abstract.wsa_action or operation.soapaction:
            return str(operation.abstract.wsa_action or operation.soapaction)
        namespace = self._port_type.namespace or ""
        mark = ":" if namespace.startswith("urn:") else "/"
        return mark.join((namespace.removesuffix(mark), self._port_type.localname, self._input_name(operation)))

    def _input_name(self, operation: Any) -> str:
        for port_type in self._found("portType", self._port_type.localname):
            for element in port_type.iterfind(f"{{{WSDL}}}operation"):
                given = element.find(f"{{{WSDL}}}input")
                if element.get("name") == operation.name and given is not None and given.get("name"):
                    return str(given.get("name"))
        return f"{operation.name}Request" if operation.abstract.output_message else str(operation.name)

    def _found(self, kind: str, name: str) -> Iterator[etree._Element]:
        for root in self._documents:
            yield from (element for element in root.iterfind(f"{{{WSDL}}}{kind}") if element.get("name") == name)

    def _policies(self, binding: etree._Element) -> Iterator[etree._Element]:
        """The policies that a binding refers to."""
        for namespace in _POLICIES:
            wanted = {item.get("URI") for item in binding.iter(f"{{{namespace}}}PolicyReference")}
            for root in self._documents:
                for policy in root.iter(f"{{{namespace}}}Policy"):
                    if f"#{policy.get(_POLICY_ID)}" in wanted:
                        yield policy


def address(envelope: etree._Element, action: str, message_id: str, to: str) -> None:
    """Add the headers. Nobody is named to reply to, which means: answer on this connection."""
    header = header_of(envelope)
    for name, value in (("Action", action), ("MessageID", message_id), ("To", to)):
        etree.SubElement(header, f"{{{ADDRESSING}}}{name}", nsmap={"wsa": ADDRESSING}).text = value
