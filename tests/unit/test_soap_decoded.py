"""rpc/encoded answers as Apache Axis 1.4, gSOAP 2.8 and Perl's SOAP::Lite 1.27 sent them, and what is nil."""

from collections.abc import Callable
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


Changed = Callable[..., Contract]


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """What that service promises with other words in its WSDL."""

    def make(*changes: tuple[str, str], **settings: Any) -> Contract:
        text = _WSDL
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        path = tmp_path / "changed.wsdl"
        path.write_text(text)
        return Contract(SoapSettings(wsdl=path, **settings))

    return make


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


_VOID = ('<part name="placeReturn" type="o:Booked"/>', "")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("string", '<ns:errorResponse xmlns:ns="urn:orders"><message>database is down</message></ns:errorResponse>'),
        ("string", "<html><head>x</head></html>"),
        ("string", "<html/>"),
        ("boolean", '<ns:errorResponse xmlns:ns="urn:orders"><code>1</code></ns:errorResponse>'),
    ],
)
def test_what_is_not_the_response_returns_nothing(changed: Changed, kind: str, body: str) -> None:
    """An error in a body of its own is no return value, though it is one value: the call is in doubt."""
    returning = changed(('name="placeReturn" type="o:Booked"', f'name="placeReturn" type="xs:{kind}"'))
    with pytest.raises(UnreadableError, match="is no response to place"):
        _read(returning, body)
    with pytest.raises(UnreadableError, match="is no response to place"):
        _read(changed(_VOID), body)


def test_an_operation_may_return_nothing(changed: Changed) -> None:
    """Its response is known by its name alone."""
    assert _read(changed(_VOID), '<ns:placeResponse xmlns:ns="urn:orders"/>') is None


@pytest.mark.parametrize("wrapper", ["placeResponse", "Out"])
def test_a_return_value_has_any_name_in_the_response(changed: Changed, wrapper: str) -> None:
    """The response is named after its operation, or as its message in the WSDL."""
    contract = changed(('name="placeReturn" type="o:Booked"', 'name="placeReturn" type="xs:string"'))
    assert _read(contract, f'<ns:{wrapper} xmlns:ns="urn:orders"><gensym3>17</gensym3></ns:{wrapper}>') == "17"


_NUMBER = '<number xsi:type="xsd:string">1</number>'


@pytest.mark.parametrize(
    ("member", "sent", "read"),
    [
        (
            'name="v" type="xs:anyType"',
            '<v xsi:type="enc:Array" enc:arrayType="xsd:anyType[1]"><i xsi:type="xsd:int">2</i></v>',
            [2],
        ),
        (
            'name="v" type="enc:Array"',
            '<v xsi:type="enc:Array" enc:arrayType="xsd:string[1]"><i xsi:type="xsd:string">a</i></v>',
            ["a"],
        ),
    ],
)
def test_a_value_of_any_type_keeps_the_types_in_it(
    changed: Changed, member: str, sent: str, read: list[object]
) -> None:
    """The WSDL says nothing of what is in it: the xsi:types alone do, in place and where it is referred to."""
    contract = changed(('name="names" type="o:Names"', member))
    nil = '<lines xsi:nil="1"/><first xsi:nil="1"/>'
    wrapped = '<ns:placeResponse xmlns:ns="urn:orders"><r>{}</r></ns:placeResponse>{}'
    in_place = _read(contract, wrapped.format(_NUMBER + nil + sent, ""))
    aside = sent.replace("<v ", '<multiRef xmlns:ns="urn:orders" id="a" ').replace("</v>", "</multiRef>")
    by_reference = _read(contract, wrapped.format(_NUMBER + nil + '<v href="#a"/>', aside))
    assert in_place.v == by_reference.v == read


def test_any_element_keeps_its_type(changed: Changed) -> None:
    """What xsd:any lets in is of the type that it says."""
    contract = changed(
        ('<xs:element name="names" type="o:Names" minOccurs="0"/>', '<xs:any minOccurs="0" processContents="lax"/>'),
        validate_requests=False,  # libxml2 would not tell it from the optional one before
    )
    body = f'{_NUMBER}<lines xsi:nil="1"/><first xsi:nil="1"/><x xsi:type="xsd:int">3</x>'
    answer = _read(contract, f'<ns:placeResponse xmlns:ns="urn:orders"><r>{body}</r></ns:placeResponse>')
    assert answer._value_1 == 3


def test_what_stands_aside_may_come_first(contract: Contract) -> None:
    """The response is what nothing refers to, wherever it stands in the body."""
    answer = _read(
        contract,
        '<multiRef id="id0" xsi:type="ns:Booked" xmlns:ns="urn:orders"><number>1</number><lines xsi:nil="true"/>'
        '<first xsi:nil="true"/><names><i>a</i></names></multiRef>'
        '<ns:placeResponse xmlns:ns="urn:orders"><placeReturn href="#id0"/></ns:placeResponse>',
    )
    assert (answer.number, answer.names) == ("1", ["a"])


def test_an_xsi_type_that_is_no_name_is_unreadable(contract: Contract) -> None:
    """Beside a reference, where types are written anew."""
    typed = '<number xsi:type="xsd:no name">1</number><first href="#a"/><again id="a"/><x xsi:type="xsd:no name"/>'
    with pytest.raises(UnreadableError, match="no name"):
        _read(contract, f'<t:placeResponse xmlns:t="urn:orders"><r>{typed}</r></t:placeResponse>')


@pytest.mark.parametrize(("references", "is_read"), [(3, True), (60, False)])
def test_references_multiply_no_more_text_than_a_few_answers_may_have(
    changed: Changed, references: int, is_read: bool
) -> None:
    """An answer within `max_response_bytes` does not become one that fills the memory."""
    contract = changed(max_response_bytes=10_000)
    items = '<i href="#x"/>' * references
    body = (
        f'<t:placeResponse xmlns:t="urn:orders"><r><number>1</number><lines xsi:nil="1"/><first xsi:nil="1"/>'
        f'<names>{items}</names></r></t:placeResponse><m id="x">{"A" * 1000}</m>'
    )
    if is_read:
        assert _read(contract, body).names == ["A" * 1000] * references
    else:
        with pytest.raises(UnreadableError, match="too large"):
            _read(contract, body)


@pytest.mark.parametrize(
    "names",
    [
        '<names enc:arrayType="xsd:string[4]"><i enc:position="[2]">c</i><i enc:position="[0]">a</i></names>',
        '<names enc:arrayType="xsd:string[4]" enc:offset="[2]"><i>c</i><i>d</i></names>',
        '<names enc:arrayType="xsd:string[2,2]"><i>a</i><i>b</i><i>c</i><i>d</i></names>',
    ],
)
def test_an_array_that_is_no_list_is_unreadable(contract: Contract, names: str) -> None:
    """Places that are left out, and further dimensions, would be lost without a word."""
    body = f'<number>1</number><lines xsi:nil="1"/><first xsi:nil="1"/>{names}'
    with pytest.raises(UnreadableError, match="sparse or of several dimensions"):
        _read(contract, f'<t:placeResponse xmlns:t="urn:orders"><r>{body}</r></t:placeResponse>')


def _fault(detail: str) -> str:
    code = "<faultcode>e:Server</faultcode><faultstring>x</faultstring>"
    return f'<e:Fault>{code}<detail xmlns:ns="urn:orders">{detail}</detail></e:Fault>'


_BY_ELEMENT = (
    ('<part name="fault" type="o:Refusal"/>', '<part name="fault" element="o:refusal"/>'),
    ('<xs:complexType name="Booked">', '<xs:element name="refusal" type="o:Refusal"/><xs:complexType name="Booked">'),
)
_MEMBERS = '<reason xsi:type="enc:string">no</reason><limit xsi:type="xsd:int">3</limit>'


@pytest.mark.parametrize(
    "detail",
    [
        f"<ns:refusal>{_MEMBERS}</ns:refusal>",
        f'<fault xsi:type="ns:Refusal">{_MEMBERS}</fault>',
    ],
)
def test_a_fault_that_is_declared_by_its_element_has_its_value(changed: Changed, detail: str) -> None:
    """With members in any order and of types that are said; gSOAP calls each detail `fault`."""
    fault = _read(changed(*_BY_ELEMENT), _fault(detail), status=500)
    assert (fault.declared, fault.detail_name) == (True, "{urn:orders}refusal")
    assert (fault.detail.limit, fault.detail.reason) == (3, "no")


def test_a_detail_called_fault_is_none_of_two_that_have_its_type(changed: Changed) -> None:
    """Which of the two is meant, nobody knows."""
    second = '<fault name="Second" message="o:Second"/></operation></portType>'
    contract = changed(
        *_BY_ELEMENT,
        ('<xs:element name="refusal"', '<xs:element name="other" type="o:Refusal"/><xs:element name="refusal"'),
        (
            '<portType name="P">',
            '<message name="Second"><part name="p" element="o:other"/></message><portType name="P">',
        ),
        ("</operation></portType>", second),
        (
            "</fault></operation>",
            '</fault><fault name="Second"><soap:fault name="Second" use="encoded"/></fault></operation>',
        ),
    )
    fault = _read(contract, _fault(f'<fault xsi:type="ns:Refusal">{_MEMBERS}</fault>'), status=500)
    assert (fault.declared, fault.detail_name) == (False, "fault")
    assert _read(contract, _fault(f"<ns:other>{_MEMBERS}</ns:other>"), status=500).declared


def test_a_detail_may_have_the_name_of_its_type(contract: Contract) -> None:
    """As an element, without an xsi:type."""
    fault = _read(contract, _fault(f"<ns:Refusal>{_MEMBERS}</ns:Refusal>"), status=500)
    assert (fault.declared, fault.detail.limit, fault.detail.reason) == (True, 3, "no")


def test_a_detail_is_kept_as_it_came(contract: Contract) -> None:
    """Its XML is that of the service, not what was made of it to read it."""
    detail = f'<fault xsi:type="ns:Refusal">{_MEMBERS}</fault>'
    assert _read(contract, _fault(detail), status=500).detail_xml.endswith(f"{detail[6:]}</detail>")


def test_the_type_of_a_declared_fault_is_a_name_for_faults(contract: Contract) -> None:
    """No warning says that the WSDL does not know it."""
    assert contract.knows_detail("{urn:orders}Refusal")
    assert not contract.knows_detail("{urn:orders}Booked")
