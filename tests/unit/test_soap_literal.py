"""document/literal answers: what stands in them is neither reordered nor renamed, and nothing of it is lost."""

from pathlib import Path
from typing import Any

import pytest

from adapter_sdk.errors import InDoubt
from adaptors.soap import Reject, SoapSettings
from adaptors.soap.contract import Contract
from adaptors.soap.outcome import decide
from adaptors.soap.record import Answer, CallRecord, Phase

_WSDL = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:o="urn:o" targetNamespace="urn:o">
  <types><xs:schema targetNamespace="urn:o" elementFormDefault="qualified">
    <xs:complexType name="Info"><xs:sequence><xs:element name="k" type="xs:string"/></xs:sequence></xs:complexType>
    <xs:element name="FA" type="o:Info"/><xs:element name="FB" type="o:Info"/><xs:element name="FC" type="o:Info"/>
    <xs:element name="in" type="o:Info"/>
    <xs:complexType name="Part"><xs:sequence><xs:element name="k" type="xs:string"/></xs:sequence>
      <xs:attribute name="why" type="xs:string"/></xs:complexType>
    <xs:element name="out"><xs:complexType><xs:sequence>
      <xs:element name="price" nillable="true"><xs:complexType><xs:simpleContent><xs:extension base="xs:decimal">
        <xs:attribute name="why" type="xs:string"/></xs:extension></xs:simpleContent></xs:complexType></xs:element>
      <xs:element name="part" type="o:Part" nillable="true"/></xs:sequence></xs:complexType></xs:element>
  </xs:schema></types>
  <message name="In"><part name="p" element="o:in"/></message>
  <message name="Out"><part name="p" element="o:out"/></message>
  <message name="FA"><part name="p" element="o:FA"/></message>
  <message name="FB"><part name="p" element="o:FB"/></message>
  <portType name="P"><operation name="place"><input message="o:In"/><output message="o:Out"/>
    <fault name="FA" message="o:FA"/><fault name="FB" message="o:FB"/></operation></portType>
  <binding name="B" type="o:P"><soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="place"><soap:operation soapAction=""/><input><soap:body use="literal"/></input>
      <output><soap:body use="literal"/></output><fault name="FA"><soap:fault name="FA" use="literal"/></fault>
      <fault name="FB"><soap:fault name="FB" use="literal"/></fault></operation></binding>
  <service name="S"><port name="Q" binding="o:B"><soap:address location="http://old/"/></port></service>
</definitions>"""


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """What a service promises that declares two faults of one type."""
    path = tmp_path / "orders.wsdl"
    path.write_text(_WSDL)
    return Contract(SoapSettings(wsdl=path))


def _read(contract: Contract, body: str, status: int = 200) -> Any:
    spaces = 'xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:o="urn:o"'
    spaces += ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    envelope = f"<e:Envelope {spaces}><e:Body>{body}</e:Body></e:Envelope>"
    return contract.read("place", Answer(status, "text/xml", envelope.encode()))


@pytest.mark.parametrize("said", ["", ' xsi:type="o:Info"'])
@pytest.mark.parametrize(("name", "error"), [("FA", Reject), ("FC", InDoubt)])
def test_a_fault_is_known_by_its_element_alone(
    contract: Contract, name: str, error: type[Exception], said: str
) -> None:
    """One that is not declared is in doubt, also where its type is that of a declared one."""
    detail = f"<o:{name}{said}><o:k>1</o:k></o:{name}>"
    fault = _read(
        contract,
        f"<e:Fault><faultcode>e:Server</faultcode><faultstring>x</faultstring><detail>{detail}</detail></e:Fault>",
        500,
    )
    assert fault.detail_name == f"{{urn:o}}{name}"
    assert fault.detail.k == "1"
    record = CallRecord("place", "http://old/", phase=Phase.PARSE, fault=fault)
    assert type(decide(record, {})) is error


def test_what_is_nil_keeps_its_attributes(contract: Contract) -> None:
    """They say why there is no value."""
    answer = _read(contract, '<o:out><o:price xsi:nil="true" why="none yet"/><o:part xsi:nil="1" why="sold"/></o:out>')
    assert (answer.price._value_1, answer.price.why) == (None, "none yet")
    assert (answer.part.k, answer.part.why) == (None, "sold")


def test_what_is_nil_without_attributes_of_its_own_is_none(contract: Contract) -> None:
    """That its type is said is no value."""
    answer = _read(contract, '<o:out><o:price xsi:nil="true"/><o:part xsi:nil="1" xsi:type="o:Part"/></o:out>')
    assert answer.part is None
