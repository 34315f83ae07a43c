"""rpc/encoded answers as Apache Axis 1.4, gSOAP 2.8 and Perl's SOAP::Lite 1.27 sent them, and what is nil."""

from pathlib import Path
from typing import Any

import pytest

from adaptors.soap import Reject, SoapSettings
from adaptors.soap.contract import Contract
from adaptors.soap.envelope import UnreadableError
from adaptors.soap.faults import SoapFault
from adaptors.soap.outcome import decide
from adaptors.soap.record import Answer, CallRecord, Phase
from adaptors.soap.wsdl.describe import describe
from adaptors.soap.wsdl.document import Wsdl
from adaptors.soap.wsdl.generate import generate
from samples.shop.erp.soap import WSDL_FILE

_ENC = "http://schemas.xmlsoap.org/soap/encoding/"
_WSDL = f"""<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:o="urn:orders" xmlns:enc="{_ENC}"
    xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" targetNamespace="urn:orders">
  <types><xs:schema targetNamespace="urn:orders"><xs:import namespace="{_ENC}"/>
    <xs:simpleType name="Status"><xs:restriction base="xs:string"><xs:enumeration value="OPEN"/></xs:restriction>
    </xs:simpleType>
    <xs:complexType name="Line"><xs:sequence><xs:element name="sku" type="xs:string" nillable="true"/>
      <xs:element name="qty" type="xs:int"/><xs:element name="price" type="xs:decimal"/></xs:sequence></xs:complexType>
    <xs:complexType name="Lines"><xs:complexContent><xs:restriction base="enc:Array">
      <xs:attribute ref="enc:arrayType" wsdl:arrayType="o:Line[]"/></xs:restriction></xs:complexContent>
    </xs:complexType>
    <xs:complexType name="Names"><xs:complexContent><xs:restriction base="enc:Array">
      <xs:attribute ref="enc:arrayType" wsdl:arrayType="xs:string[]"/></xs:restriction></xs:complexContent>
    </xs:complexType>
    <xs:complexType name="Booked"><xs:sequence>
      <xs:element name="number" type="xs:string"/><xs:element name="lines" type="o:Lines" nillable="true"/>
      <xs:element name="first" type="o:Line" nillable="true"/><xs:element name="again" type="o:Line" minOccurs="0"/>
      <xs:element name="names" type="o:Names" minOccurs="0"/></xs:sequence></xs:complexType>
    <xs:complexType name="Refusal"><xs:sequence><xs:element name="limit" type="xs:int"/>
      <xs:element name="reason" type="xs:string" nillable="true"/></xs:sequence></xs:complexType>
  </xs:schema></types>
  <message name="In"><part name="lines" type="o:Lines"/><part name="status" type="o:Status"/></message>
  <message name="Out"><part name="placeReturn" type="o:Booked"/></message>
  <message name="Refusal"><part name="fault" type="o:Refusal"/></message>
  <portType name="P"><operation name="place"><input message="o:In"/><output message="o:Out"/>
    <fault name="Refusal" message="o:Refusal"/></operation></portType>
  <binding name="B" type="o:P"><soap:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="place"><soap:operation soapAction=""/>
      <input><soap:body use="encoded" namespace="urn:orders" encodingStyle="{_ENC}"/></input>
      <output><soap:body use="encoded" namespace="urn:orders" encodingStyle="{_ENC}"/></output>
      <fault name="Refusal"><soap:fault name="Refusal" use="encoded" encodingStyle="{_ENC}"/></fault></operation>
  </binding>
  <service name="S"><port name="Q" binding="o:B"><soap:address location="http://old/"/></port></service>
</definitions>"""


@pytest.fixture
def wsdl(tmp_path: Path) -> Path:
    """The WSDL of a service of the old kind."""
    path = tmp_path / "orders.wsdl"
    path.write_text(_WSDL)
    return path


@pytest.fixture
def contract(wsdl: Path) -> Contract:
    """What that service promises."""
    return Contract(SoapSettings(wsdl=wsdl))


def _read(contract: Contract, body: str, status: int = 200) -> Any:
    spaces = f'xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:enc="{_ENC}"'
    spaces += ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
    envelope = f"<e:Envelope {spaces}><e:Body>{body}</e:Body></e:Envelope>"
    return contract.read("place", Answer(status, "text/xml", envelope.encode()))


def test_a_value_may_refer_to_one_that_stands_in_the_answer_itself(contract: Contract) -> None:
    """gSOAP writes a structure where it is met first, and refers to it from there on."""
    line = "<sku>again</sku><qty>1</qty><price>0.5</price>"
    answer = _read(
        contract,
        '<ns:placeResponse xmlns:ns="urn:orders"><result><number>17</number><lines enc:arrayType="ns:Line[1]">'
        f'<item href="#_5"/></lines><first id="_5">{line}</first><again href="#_5"/></result></ns:placeResponse>',
    )
    assert (answer.first.sku, answer.again.sku, answer.again.qty) == ("again", "again", 1)
    assert [item.sku for item in answer.lines] == ["again"]


def test_references_may_lead_to_references(contract: Contract) -> None:
    """Axis sets everything aside that is no simple value, also what the values set aside are made of."""
    aside = f'enc:root="0" e:encodingStyle="{_ENC}"'
    answer = _read(
        contract,
        '<ns1:placeResponse xmlns:ns1="urn:orders"><placeReturn href="#id0"/></ns1:placeResponse>'
        f'<multiRef id="id0" {aside} xsi:type="ns2:Booked" xmlns:ns2="urn:orders">'
        '<again xsi:type="ns2:Line" xsi:nil="true"/><first href="#id2"/>'
        '<lines xsi:type="enc:Array" enc:arrayType="ns2:Line[1]"><lines href="#id2"/></lines>'
        '<number xsi:type="enc:string">A1</number></multiRef>'
        f'<multiRef id="id1" {aside} xsi:type="enc:decimal">1.5</multiRef>'
        f'<multiRef id="id2" {aside} xsi:type="ns3:Line" xmlns:ns3="urn:orders"><price href="#id1"/>'
        '<qty xsi:type="xsd:int">2</qty><sku xsi:type="enc:string" xsi:nil="true"/></multiRef>',
    )
    assert (answer.number, answer.again, answer.first.qty, str(answer.first.price)) == ("A1", None, 2, "1.5")
    assert [(item.qty, item.sku) for item in answer.lines] == [(2, None)]


def test_members_may_come_in_any_order_and_with_types_that_only_the_server_knows(contract: Contract) -> None:
    """SOAP::Lite sends a hash as it comes, in the namespace of the answer, and guesses its types from the values."""
    answer = _read(
        contract,
        '<placeResponse xmlns="urn:orders" xmlns:namesp1="http://namespaces.soaplite.com/perl"><s-gensym3>'
        '<lines enc:arrayType="namesp1:Line[1]" xsi:type="enc:Array"><item xsi:type="namesp1:Line">'
        '<price xsi:type="xsd:float">3.0</price><sku xsi:type="xsd:int">4711</sku><qty xsi:type="xsd:int">1</qty>'
        '</item></lines><first xsi:nil="true"/><number xsi:type="xsd:int">17</number></s-gensym3></placeResponse>',
    )
    assert (answer.number, answer.first) == ("17", None)
    assert [(item.sku, item.qty, str(item.price)) for item in answer.lines] == [("4711", 1, "3.0")]


def test_items_that_are_nil_keep_their_places(contract: Contract) -> None:
    """A list without them would have the names of others where theirs are."""
    names = (
        '<names xsi:type="enc:Array" enc:arrayType="xsd:string[3]"><item>a</item><item xsi:nil="true"/><item>c</item>'
    )
    answer = _read(
        contract,
        '<t:placeResponse xmlns:t="urn:orders"><r><number>1</number><lines xsi:nil="1"/>'
        f'<first xsi:nil="true"/>{names}</names></r></t:placeResponse>',
    )
    assert answer.names == ["a", None, "c"]
    assert answer.lines is None


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('<lines href="#x"/>', "'x', which is not in it"),
        ('<lines id="x"><item href="#x"/></lines>', "refers to itself"),
        ('<lines href="#a"/><names id="a" href="#b"/><names id="b" href="#a"/>', "refers to itself"),
        (
            "<lines>"
            + "".join(f'<i id="n{n}">' + f'<j href="#n{n + 1}"/>' * 10 + "</i>" for n in range(8))
            + '<i id="n8">ha</i></lines>',
            "too large",
        ),
    ],
)
def test_references_that_lead_nowhere_or_too_far_are_unreadable(contract: Contract, lines: str, says: str) -> None:
    """What is missing, goes in circles, or multiplies without end is no answer."""
    with pytest.raises(UnreadableError, match=says):
        _read(contract, f'<t:placeResponse xmlns:t="urn:orders"><r><number>1</number>{lines}</r></t:placeResponse>')


_REFUSED = """<e:Fault><faultcode>e:Server.userException</faultcode><faultstring>orders.Refusal</faultstring><detail>
    <orders.Refusal xsi:type="ns1:Refusal" xmlns:ns1="urn:orders"><reason xsi:type="enc:string">no credit</reason>
    <limit xsi:type="xsd:int">100</limit></orders.Refusal>
    <ns2:hostname xmlns:ns2="http://xml.apache.org/axis/">vm</ns2:hostname></detail></e:Fault>"""


def test_a_fault_that_is_declared_by_its_type_is_a_business_answer(contract: Contract) -> None:
    """Old Java stacks declare faults by type, and send them with the code Server and an element of any name."""
    fault = _read(contract, _REFUSED, status=500)
    assert isinstance(fault, SoapFault)
    assert (fault.detail_name, fault.declared) == ("{urn:orders}Refusal", True)
    assert (fault.detail.reason, fault.detail.limit) == ("no credit", 100)
    record = CallRecord("place", "http://old/", phase=Phase.PARSE, fault=fault)
    assert isinstance(decide(record, {}), Reject)


def test_a_fault_that_is_declared_by_its_type_has_a_class_and_is_described(wsdl: Path) -> None:
    """By the name of the type, which `faults` of an adaptor takes."""
    read = Wsdl(wsdl)
    module = generate(read, ["place"], None, None)
    assert 'class RefusalError(DeclaredFault[Refusal]):\n    """The fault {urn:orders}Refusal."""' in module
    (binding,) = describe(read, ()).bindings
    assert [item.name for item in binding.operations[0].faults["Refusal"].fields] == ["limit", "reason"]


def test_an_array_may_be_empty_and_an_enumeration_is_sent_without_its_type(contract: Contract) -> None:
    """SOAP::Lite refuses xsi:types of simple types that it was not told of."""
    body = contract.build("place", (), {"lines": [], "status": "OPEN"}, "").body.decode()
    assert ':Line[0]"' in body
    assert "<status>OPEN</status>" in body


def test_a_nil_structure_is_none() -> None:
    """.NET and Java say so that there is no such order; an object without values would be taken for one."""
    erp = Contract(SoapSettings(wsdl=WSDL_FILE, port="Soap11"))
    answer = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><FindOrderResponse xmlns="urn:erp">'
        '<Order xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/></FindOrderResponse></s:Body>'
        "</s:Envelope>"
    )
    assert erp.read("FindOrder", Answer(200, "text/xml", answer.encode())) is None
