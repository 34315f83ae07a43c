"""WSDLs as Metro, gSOAP, Axis and .NET publish them: their habits are understood, and mean what they say."""

from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapter_sdk.errors import ConfigError
from adaptors.soap import SoapSettings
from adaptors.soap.contract import Contract
from adaptors.soap.faults import SoapFault
from adaptors.soap.record import Answer
from adaptors.soap.wsdl.describe import describe
from adaptors.soap.wsdl.document import Wsdl

_WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_WSDL = """<wsdl:definitions targetNamespace="urn:d" xmlns:d="urn:d" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:mime="http://schemas.xmlsoap.org/wsdl/mime/" xmlns:{wsse}="{namespace}">
  <wsdl:types>{types}</wsdl:types>
  <wsdl:message name="In"><wsdl:part name="p" element="d:Ask"/></wsdl:message>
  <wsdl:message name="Out"><wsdl:part name="p" element="d:Answer"/></wsdl:message>
  <wsdl:message name="No"><wsdl:part name="fault" element="d:No"/></wsdl:message>
  {messages}
  <wsdl:portType name="P"><wsdl:operation name="Ask"><wsdl:input message="d:In"/><wsdl:output message="d:Out"/>
    <wsdl:fault name="No" message="d:No"/></wsdl:operation></wsdl:portType>
  <wsdl:binding name="B" type="d:P">
    <soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="Ask"><soap:operation soapAction=""/>
      <wsdl:input>{header}<soap:body use="literal"/></wsdl:input><wsdl:output>{output}</wsdl:output>
      <wsdl:fault name="No"><soap:fault name="No" use="literal"/></wsdl:fault></wsdl:operation>
  </wsdl:binding>
  <wsdl:service name="S"><wsdl:port name="Q" binding="d:B"><soap:address location="http://t/"/></wsdl:port>
    {ports}</wsdl:service>
</wsdl:definitions>"""
_ASK = '<xs:element name="Ask" type="xs:string"/>'
_NO = """<xs:complexType name="No"><xs:sequence><xs:element name="limit" type="xs:int"/></xs:sequence></xs:complexType>
    <xs:element name="No" type="d:No"/>"""
_BODY = '<soap:body use="literal"/>'


def _answers(inside: str) -> str:
    kind = f"<xs:complexType><xs:sequence>{inside}</xs:sequence></xs:complexType>"
    return f'{_ASK}{_NO}<xs:element name="Answer">{kind}</xs:element>'


_PLAIN = _answers('<xs:element name="text" type="xs:string"/>')


def _schema(inside: str) -> str:
    return f'<xs:schema targetNamespace="urn:d" elementFormDefault="qualified">{inside}</xs:schema>'


def _write(folder: Path, types: str, **parts: str) -> Path:
    wsdl = folder / "d.wsdl"
    empty = {"header": "", "messages": "", "ports": "", "output": _BODY, "wsse": "wsse", "namespace": _WSSE}
    wsdl.write_text(_WSDL.format(types=types, **(empty | parts)))
    return wsdl


def _contract(wsdl: Path) -> Contract:
    return Contract(SoapSettings(wsdl=wsdl))


def _read(contract: Contract, body: str) -> Any:
    envelope = f'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{body}</e:Body></e:Envelope>'
    return contract.read("Ask", Answer(200, "text/xml", envelope.encode()))


def test_types_may_be_nothing_but_an_import(tmp_path: Path) -> None:
    """Every service made with JAX-WS has a schema without a namespace that only imports; requests are validated."""
    (tmp_path / "d.xsd").write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:d="urn:d" targetNamespace="urn:d">'
        f"{_PLAIN}</xs:schema>"
    )
    imports = '<xs:schema><xs:import namespace="urn:d" schemaLocation="d.xsd"/></xs:schema>'
    contract = _contract(_write(tmp_path, imports))
    assert b">hello</" in contract.build("Ask", ("hello",), {}, "").body


def test_a_schema_may_use_others_of_the_wsdl_without_an_import(tmp_path: Path) -> None:
    """libxml2 insists on an import; who published the WSDL did not."""
    text = '<xs:simpleType name="T"><xs:restriction base="xs:string"/></xs:simpleType>'
    other = f'<xs:schema targetNamespace="urn:o">{text}</xs:schema>'
    using = _answers('<xs:element name="text" type="o:T" xmlns:o="urn:o"/>')
    types = other + _schema(using).replace("<xs:schema ", '<xs:schema xmlns:o="urn:o" ')
    assert _contract(_write(tmp_path, types)).operations == ["Ask"]


def test_an_import_that_nobody_makes_use_of_may_lead_nowhere(tmp_path: Path) -> None:
    """gSOAP writes an import for each namespace that it knows, with the namespace for a location."""
    idle = '<xs:import namespace="urn:saml" schemaLocation="urn:saml"/>'
    assert _contract(_write(tmp_path, _schema(idle + _PLAIN))).operations == ["Ask"]
    used = idle + _answers('<xs:element name="text" type="s:T" xmlns:s="urn:saml"/>')
    with pytest.raises(ConfigError, match=r"d\.wsdl, line \d+: .*urn:saml"):
        _contract(_write(tmp_path, _schema(used)))


def test_a_declared_security_header_needs_no_schema_from_the_web(tmp_path: Path) -> None:
    """The toolkit has the schemas of WS-Security and XOP; a header is literal unless it says that it is not."""
    imports = f'<xs:import namespace="{_WSSE}" schemaLocation="{_WSSE}"/>'
    wsdl = _write(
        tmp_path,
        _schema(imports + _PLAIN),
        messages='<wsdl:message name="H"><wsdl:part name="Security" element="wsse:Security"/></wsdl:message>',
        header='<soap:header message="d:H" part="Security"/>',
    )
    assert _contract(wsdl).knows_detail(f"{{{_WSSE}}}UsernameToken")


def test_an_answer_with_attachments_is_that_of_its_envelope(tmp_path: Path) -> None:
    """Its body stands within MIME's part of the binding; gSOAP names the type of what comes beside it."""
    imports = '<xs:import namespace="http://www.w3.org/2004/08/xop/include" schemaLocation="http://www.w3.org/2004/08/xop/include"/>'
    types = imports + _answers(
        '<xs:element name="pdf" type="xop:Include" xmlns:xop="http://www.w3.org/2004/08/xop/include"/>'
    )
    related = f"<mime:multipartRelated><mime:part>{_BODY}</mime:part></mime:multipartRelated>"
    contract = _contract(_write(tmp_path, _schema(types), output=related))
    assert _read(contract, '<Answer xmlns="urn:d"><pdf>AAEC</pdf></Answer>') == b"\x00\x01\x02"


def test_a_data_set_comes_as_it_is(tmp_path: Path) -> None:
    """.NET sends its schema and its rows, which no WSDL can describe."""
    wsdl = _write(tmp_path, _schema(_answers('<xs:element ref="xs:schema"/><xs:any/>')))
    shown = describe(Wsdl(wsdl), ())
    assert [item.name for item in shown.bindings[0].operations[0].output.fields] == ["*", "*"]  # type: ignore[union-attr]
    answer = _read(
        _contract(wsdl),
        '<Answer xmlns="urn:d"><xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:import namespace="urn:away"/>'
        '</xs:schema><diffgram xmlns="urn:schemas-microsoft-com:xml-diffgram-v1"><row>1</row></diffgram></Answer>',
    )
    schema, rows = answer["_value_1"], answer["_value_2"]
    assert (etree.QName(schema).localname, [row.text for row in rows]) == ("schema", ["1"])


def test_a_port_without_an_address_is_described(tmp_path: Path) -> None:
    """Some services are told theirs when they are installed."""
    wsdl = _write(tmp_path, _schema(_PLAIN), ports='<wsdl:port name="Later" binding="d:B"/>')
    assert [port.address for port in Wsdl(wsdl).ports()] == ["http://t/", ""]


def test_a_detail_that_says_its_declared_type_is_declared_whatever_it_is_called(tmp_path: Path) -> None:
    """gSOAP calls every detail `fault`; its type may be in the default namespace."""
    fault = _read(
        _contract(_write(tmp_path, _schema(_PLAIN))),
        '<e:Fault xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><faultcode>e:Server</faultcode>'
        "<faultstring>refused</faultstring><detail>"
        '<fault xmlns="urn:d" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="No"><limit>100</limit>'
        "</fault></detail></e:Fault>",
    )
    assert isinstance(fault, SoapFault)
    assert (fault.detail_name, fault.declared, fault.detail.limit) == ("{urn:d}No", True, 100)
