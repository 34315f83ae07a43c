"""rpc/encoded, as servers of twenty years ago speak it: PHP's, and the answers of others byte by byte."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapter_sdk.errors import InvalidData
from adaptors.soap import SoapSettings, connect
from adaptors.soap.contract import Contract
from adaptors.soap.record import Answer

_ENC = "http://schemas.xmlsoap.org/soap/encoding/"
_WSDL = f"""<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:t="urn:old" xmlns:enc="{_ENC}"
    xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" targetNamespace="urn:old">
  <types><xs:schema targetNamespace="urn:old"><xs:import namespace="{_ENC}"/>
    <xs:complexType name="Line"><xs:sequence><xs:element name="sku" type="xs:string"/>
      <xs:element name="qty" type="xs:int"/><xs:element name="note" type="enc:string" nillable="true"/>
    </xs:sequence></xs:complexType>
    <xs:complexType name="Lines"><xs:complexContent><xs:restriction base="enc:Array">
      <xs:attribute ref="enc:arrayType" wsdl:arrayType="t:Line[]"/>
    </xs:restriction></xs:complexContent></xs:complexType>
    <xs:complexType name="Names"><xs:complexContent><xs:restriction base="enc:Array"><xs:sequence>
      <xs:element name="item" type="xs:string" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
      <xs:attribute ref="enc:arrayType" wsdl:arrayType="xs:string[]"/>
    </xs:restriction></xs:complexContent></xs:complexType>
    <xs:complexType name="Order"><xs:sequence>
      <xs:element name="no" type="xs:string"/><xs:element name="lines" type="t:Lines"/></xs:sequence></xs:complexType>
    <xs:complexType name="Rush"><xs:complexContent><xs:extension base="t:Order"><xs:sequence>
      <xs:element name="by" type="xs:string"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>
  </xs:schema></types>
  <message name="PlaceIn"><part name="order" type="t:Order"/><part name="names" type="t:Names"/>
    <part name="times" type="xs:int"/></message>
  <message name="PlaceOut"><part name="number" type="xs:string"/><part name="lines" type="t:Lines"/>
    <part name="note" type="enc:string"/></message>
  <portType name="P"><operation name="Place"><input message="t:PlaceIn"/><output message="t:PlaceOut"/></operation>
  </portType>
  <binding name="B" type="t:P"><soap:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="Place"><soap:operation soapAction="urn:old#Place"/>
      <input><soap:body use="encoded" namespace="urn:old" encodingStyle="{_ENC}"/></input>
      <output><soap:body use="encoded" namespace="urn:old" encodingStyle="{_ENC}"/></output></operation></binding>
  <service name="S"><port name="Q" binding="t:B"><soap:address location="http://old/"/></port></service>
</definitions>"""

_PHP = """<?php
class Old {
    function Place($order, $names, $times) {
        return ["number" => $order->no . "x" . $times . ":" . $order->by . implode("+", $names),
                "lines" => $order->lines, "note" => gettype($order->lines) . gettype($times)];
    }
}
$server = new SoapServer(getenv("WSDL"), ["features" => SOAP_SINGLE_ELEMENT_ARRAYS]);
$server->setClass("Old");
$server->handle();
"""

_ORDER: dict[str, Any] = {
    "order": {
        "xsi:type": "{urn:old}Rush",
        "no": "4711",
        "lines": [{"sku": "KETTLE", "qty": 2, "note": None}, {"sku": "CUP", "qty": 1, "note": "blue & white"}],
        "by": "noon",
    },
    "names": ["Ada", "Zoë"],
    "times": 3,
}


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """A contract of the old kind."""
    wsdl = tmp_path / "old.wsdl"
    wsdl.write_text(_WSDL)
    return Contract(SoapSettings(wsdl=wsdl))


def test_php_understands_our_encoding_and_we_its_own(php_soap_server: Callable[..., str], tmp_path: Path) -> None:
    """Structures, arrays of them and of values, nil, numbers and a derived type, there and back."""
    wsdl = tmp_path / "old.wsdl"
    wsdl.write_text(_WSDL)
    router = tmp_path / "old.php"
    router.write_text(_PHP)
    url = php_soap_server(router, WSDL=str(wsdl))
    with connect(SoapSettings(wsdl=wsdl, endpoint=url, timeout=10)) as old:
        answer = old.Place(**_ORDER)
    assert answer.number == "4711x3:noonAda+Zoë"
    assert answer.note == "arrayinteger"
    kettle, cup = answer.lines
    assert (kettle.sku, kettle.qty, kettle.note) == ("KETTLE", 2, None)
    assert (cup.sku, cup.note) == ("CUP", "blue & white")


def _types(element: etree._Element) -> list[tuple[str, str | None, str | None]]:
    """Name, type and length of each element below, with the namespaces of their prefixes written out."""
    found = []
    for child in element.iterdescendants():
        texts = [child.get("{http://www.w3.org/2001/XMLSchema-instance}type"), child.get(f"{{{_ENC}}}arrayType")]
        full = [
            text and text.replace(f"{text.split(':')[0]}:", f"{child.nsmap[text.split(':')[0]]}|") for text in texts
        ]
        found.append((etree.QName(child).localname, *full))
    return found  # type: ignore[return-value]


def test_each_element_says_its_type_and_each_array_its_length(contract: Contract) -> None:
    """What old Perl stacks insist on, with the plain type where the WSDL has one of the encoding's own."""
    root = etree.fromstring(contract.build("Place", (), _ORDER, "").body)
    (wrapper,) = root.iter("{urn:old}Place")
    assert wrapper.get("{http://schemas.xmlsoap.org/soap/envelope/}encodingStyle") == _ENC
    xs = "http://www.w3.org/2001/XMLSchema|"
    string = f"{xs}string"
    line = [("sku", string, None), ("qty", f"{xs}int", None)]
    assert _types(wrapper) == [
        ("order", "urn:old|Rush", None),
        ("no", string, None),
        ("lines", f"{_ENC}|Array", "urn:old|Line[2]"),
        ("item", "urn:old|Line", None),
        *line,
        ("note", None, None),
        ("item", "urn:old|Line", None),
        *line,
        ("note", string, None),
        ("by", string, None),
        ("names", f"{_ENC}|Array", f"{xs}string[2]"),
        ("item", string, None),
        ("item", string, None),
        ("times", f"{xs}int", None),
    ]


def _envelope(body: str) -> Answer:
    spaces = f'xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:enc="{_ENC}" xmlns:t="urn:old"'
    schema = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
    return Answer(200, "text/xml", f"<e:Envelope {spaces} {schema}><e:Body>{body}</e:Body></e:Envelope>".encode())


_LINE = '<sku xsi:type="xsd:string">a</sku><qty xsi:type="xsd:int">1</qty><note xsi:type="enc:string">hm</note>'


_IN_PLACE = f"""<t:PlaceResponse><number xsi:type="xsd:string">17</number>
    <lines xsi:type="enc:Array" enc:arrayType="t:Line[1]"><item xsi:type="t:Line">{_LINE}</item></lines>
    <note xsi:type="enc:string">well</note></t:PlaceResponse>"""
_BY_REFERENCE = f"""<t:PlaceResponse><number xsi:type="xsd:string">17</number>
    <lines xsi:type="enc:Array" enc:arrayType="t:Line[1]"><item href="#id1"/></lines>
    <note href="#id2"/></t:PlaceResponse>
    <multiRef id="id1" enc:root="0" e:encodingStyle="{_ENC}" xsi:type="t:Line">{_LINE}</multiRef>
    <multiRef id="id2" xsi:type="enc:string">well</multiRef>"""


@pytest.mark.parametrize("body", [_IN_PLACE, _BY_REFERENCE], ids=["in place", "by reference"])
def test_answers_of_old_java_stacks_are_plain_values(contract: Contract, body: str) -> None:
    """The encoding's own strings are strings, whether they stand in place or are referred to."""
    answer = contract.read("Place", _envelope(body))
    assert (answer.number, answer.note) == ("17", "well")
    assert [(line.sku, line.qty, line.note) for line in answer.lines] == [("a", 1, "hm")]


def test_arguments_that_do_not_fit_are_still_refused(contract: Contract) -> None:
    """Encoded bodies are not held against the schema, but what zeep sees is seen."""
    with pytest.raises(InvalidData, match="nothing was sent"):
        contract.build("Place", (), {**_ORDER, "order": {"no": "1", "lines": [{"qty": 1, "note": None}]}}, "")
