"""Faults as servers send them: both versions, mixed shapes, every kind of prefix."""

import pytest
from lxml import etree

from adaptors.soap import Reject, SoapFault
from adaptors.soap.envelope import SOAP_11, SOAP_12, UnreadableError, open_envelope
from adaptors.soap.faults import read_fault, without_prefix

_11 = "<faultcode>{code}</faultcode><faultstring> order \n refused </faultstring><faultactor>erp</faultactor>{detail}"
_12 = (
    '<e:Code xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Value>{code}</e:Value>'
    "<e:Subcode><e:Value>x:Outer</e:Value><e:Subcode><e:Value>x:Inner.One</e:Value></e:Subcode></e:Subcode></e:Code>"
    '<e:Reason xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Text>order refused</e:Text></e:Reason>'
    '<e:Detail xmlns:e="http://www.w3.org/2003/05/soap-envelope">{inner}</e:Detail>'
)
_DETAIL = '<detail><trace xmlns="urn:java">at com.erp</trace><erp:Refused xmlns:erp="urn:erp">17</erp:Refused></detail>'


class _Wsdl:
    def name_of(self, element: etree._Element) -> str:
        return str(element.tag)

    def is_declared(self, name: str) -> bool:
        return name == "{urn:erp}Refused"

    def is_hollow(self, element: etree._Element) -> bool:
        return element.text is None and len(element) == 0

    def typed(self, element: etree._Element) -> object:
        return element.tag, element.text


def _read(version: str, content: str) -> SoapFault:
    envelope = f'<s:Envelope xmlns:s="{version}"><s:Body><s:Fault>{content}</s:Fault></s:Body></s:Envelope>'
    element = open_envelope(envelope.encode(), "text/xml", version).fault
    assert element is not None
    return read_fault(element, _Wsdl())


@pytest.mark.parametrize("version", [SOAP_11, SOAP_12])
def test_a_fault_in_the_shape_of_soap_11_is_read_in_either_envelope(version: str) -> None:
    """Code, reason, actor and detail are found by name, also where a server puts 1.1 children into a 1.2 envelope."""
    fault = _read(version, _11.format(code="SOAP-ENV:Server.userException", detail=_DETAIL))
    assert (fault.code, fault.reason, fault.actor) == ("Server.userException", "order refused", "erp")
    assert (fault.detail_name, fault.detail, fault.declared) == ("{urn:erp}Refused", ("{urn:erp}Refused", "17"), True)
    assert "at com.erp" in (fault.detail_xml or "")


@pytest.mark.parametrize("version", [SOAP_11, SOAP_12])
def test_a_fault_in_the_shape_of_soap_12_is_read_in_either_envelope(version: str) -> None:
    """The nested codes of SOAP 1.2 come out outermost first."""
    fault = _read(version, _12.format(code="env:Receiver", inner='<Refused xmlns="urn:erp">17</Refused>'))
    assert (fault.code, fault.subcodes, fault.reason) == ("Receiver", ("Outer", "Inner.One"), "order refused")
    assert fault.detail_name == "{urn:erp}Refused"


@pytest.mark.parametrize(
    ("sent", "local"),
    [
        ("SOAP-ENV:Client", "Client"), ("soap:Server", "Server"), ("s:Client", "Client"), ("env:Sender", "Sender"),
        ("S:Receiver", "Receiver"), ("soapenv:Server.userException", "Server.userException"), (" Client ", "Client"),
        ("soap11env:Client.SchemaValidationError", "Client.SchemaValidationError"), ("Client", "Client"),
        ("{http://www.w3.org/2003/05/soap-envelope}Sender", "Sender"),
        ("wsse:FailedAuthentication", "FailedAuthentication"),
    ],
)  # fmt: skip
def test_codes_are_compared_without_their_prefix(sent: str, local: str) -> None:
    """Prefixes are a server's own choice, and every one has been met."""
    assert without_prefix(sent) == local


def test_a_fault_without_anything_in_it_is_still_a_fault() -> None:
    """Code and detail may be missing; the summary says so."""
    fault = _read(SOAP_11, "")
    assert (fault.code, fault.reason, fault.detail_name, fault.detail_xml) == (None, "", None, None)
    assert fault.summary == "fault without a code: no reason given"


def test_a_detail_without_an_element_has_no_name() -> None:
    """Some servers write text into the detail; it is kept as it came."""
    fault = _read(SOAP_11, "<faultcode>Server</faultcode><detail>stack trace</detail>")
    assert fault.detail_name is None
    assert "stack trace" in (fault.detail_xml or "")


def test_a_hollow_detail_counts_as_none() -> None:
    """PHP adds the declared element, empty, to every fault: that is no business answer."""
    fault = _read(SOAP_11, '<faultcode>Server</faultcode><detail><Refused xmlns="urn:erp"/></detail>')
    assert (fault.detail_name, fault.declared) == (None, False)
    assert "Refused" in (fault.detail_xml or "")


def test_a_long_reason_is_cut_visibly() -> None:
    """A stack trace in the reason does not fill the log, and the text says how long it was."""
    summary = SoapFault(code="Server", reason="x" * 3000).summary
    assert len(summary) < 600
    assert "(3000 characters)" in summary


def test_a_reject_raised_by_hand_has_no_fault() -> None:
    """Tests of handlers may raise it with a text alone."""
    error = Reject("over the limit")
    assert (error.fault, error.detail, error.code, error.reason) == (None, None, None, "over the limit")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html><br></html>", "not XML"),
        (b"", "not XML"),
        (b"\x1f\x8b\x08", "not XML"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "DOCTYPE"),
        (b'<!DOCTYPE html PUBLIC "x" "http://127.0.0.1:9/x.dtd"><html/>', "DOCTYPE"),
        (b"<html/>", "no SOAP envelope but <html>"),
        (b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>', "no Body"),
        (b"<a>" * 300 + b"</a>" * 300, "not XML"),
        (b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>', "DOCTYPE"),
    ],
)
def test_what_is_no_envelope_is_unreadable(body: bytes, says: str) -> None:
    """Pages, compressed bytes, documents with a DOCTYPE and towers of elements end as one kind of error."""
    with pytest.raises(UnreadableError, match=says):
        open_envelope(body, "text/xml", SOAP_11)


def test_an_answer_in_parts_is_unreadable() -> None:
    """MTOM is not asked for, so a multipart answer is refused by its media type and not guessed at."""
    with pytest.raises(UnreadableError, match="multipart"):
        open_envelope(b"--x", 'Multipart/Related; boundary="x"', SOAP_11)


def test_a_success_in_the_other_version_is_read() -> None:
    """Some servers answer a 1.2 call in a 1.1 envelope: the answer counts, not its wrapping."""
    body = f'<s:Envelope xmlns:s="{SOAP_11}"><s:Header/><s:Body><a xmlns="urn:x"/></s:Body></s:Envelope>'
    envelope = open_envelope(body.encode(), "text/xml", SOAP_12)
    assert etree.QName(envelope.root).namespace == SOAP_12
    assert envelope.root.find(f"{{{SOAP_12}}}Body/{{urn:x}}a") is not None
