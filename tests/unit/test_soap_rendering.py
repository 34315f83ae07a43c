"""Plain arguments are rendered as zeep renders them; everything else is zeep's."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adaptors.soap import SoapSettings
from adaptors.soap.port import Port
from adaptors.soap.rendering import PlainRenderer
from adaptors.soap.vendored import collect

_WSDL = """<wsdl:definitions targetNamespace="urn:t" xmlns:t="urn:t" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/">
  <wsdl:types><xs:schema targetNamespace="urn:t" elementFormDefault="{form}">
    <xs:complexType name="Line"><xs:sequence>
      <xs:element name="Sku" type="xs:string"/><xs:element name="Qty" type="xs:int"/>
      <xs:element name="Price" type="xs:decimal" minOccurs="0"/>
      <xs:element name="Part" type="t:Line" minOccurs="0" maxOccurs="unbounded"/>
    </xs:sequence></xs:complexType>
    <xs:complexType name="Base"><xs:sequence><xs:element name="No" type="xs:token"/></xs:sequence></xs:complexType>
    <xs:complexType name="Rush"><xs:complexContent><xs:extension base="t:Base"><xs:sequence>
      <xs:element name="By" type="xs:time" minOccurs="0"/>
    </xs:sequence></xs:extension></xs:complexContent></xs:complexType>
    <xs:complexType name="Money"><xs:simpleContent><xs:extension base="xs:decimal">
      <xs:attribute name="currency" type="xs:string"/></xs:extension></xs:simpleContent></xs:complexType>
    <xs:element name="Ask"><xs:complexType><xs:sequence>
      <xs:element name="At" type="xs:dateTime" minOccurs="0"/><xs:element name="Day" type="xs:date" minOccurs="0"/>
      <xs:element name="Rate" type="xs:double" minOccurs="0"/><xs:element name="Flag" type="xs:boolean"/>
      <xs:element name="Kind" minOccurs="0" nillable="true"><xs:simpleType><xs:restriction base="xs:string">
        <xs:enumeration value="A"/></xs:restriction></xs:simpleType></xs:element>
      <xs:element name="Line" type="t:Line" minOccurs="0" maxOccurs="3"/>
      <xs:element name="Rush" type="t:Rush" minOccurs="0"/>
      <xs:element name="Paid" type="t:Money" minOccurs="0"/>
      <xs:element name="Mode" type="xs:string" minOccurs="0" default="slow"/>
    </xs:sequence></xs:complexType></xs:element>
    <xs:element name="Pick"><xs:complexType><xs:choice>
      <xs:element name="A" type="xs:int"/><xs:element name="B" type="xs:int"/></xs:choice></xs:complexType></xs:element>
  </xs:schema></wsdl:types>
  <wsdl:message name="In"><wsdl:part name="p" element="t:Ask"/></wsdl:message>
  <wsdl:message name="PickIn"><wsdl:part name="p" element="t:Pick"/></wsdl:message>
  <wsdl:message name="RpcIn"><wsdl:part name="line" type="t:Line"/>
    <wsdl:part name="times" type="xs:int"/></wsdl:message>
  <wsdl:message name="EmptyIn"/>
  <wsdl:portType name="P"><wsdl:operation name="Ask"><wsdl:input message="t:In"/></wsdl:operation>
    <wsdl:operation name="Pick"><wsdl:input message="t:PickIn"/></wsdl:operation>
    <wsdl:operation name="Rpc"><wsdl:input message="t:RpcIn"/></wsdl:operation>
    <wsdl:operation name="Empty"><wsdl:input message="t:EmptyIn"/></wsdl:operation></wsdl:portType>
  <wsdl:binding name="B" type="t:P"><soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="Ask"><soap:operation soapAction=""/>
      <wsdl:input><soap:body use="literal"/></wsdl:input></wsdl:operation>
    <wsdl:operation name="Pick"><soap:operation soapAction=""/>
      <wsdl:input><soap:body use="literal"/></wsdl:input></wsdl:operation>
    <wsdl:operation name="Rpc"><soap:operation style="rpc" soapAction=""/>
      <wsdl:input><soap:body use="literal" namespace="urn:r"/></wsdl:input></wsdl:operation>
    <wsdl:operation name="Empty"><soap:operation soapAction=""/>
      <wsdl:input><soap:body use="literal"/></wsdl:input></wsdl:operation></wsdl:binding>
  <wsdl:service name="S"><wsdl:port name="Q" binding="t:B"><soap:address location="http://t/"/></wsdl:port></wsdl:service>
</wsdl:definitions>"""


@pytest.fixture(scope="module", params=["qualified", "unqualified"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Port:
    """A port whose schema has qualified or unqualified elements."""
    wsdl: Path = tmp_path_factory.mktemp("rendering") / "t.wsdl"
    wsdl.write_text(_WSDL.replace("{form}", request.param))
    return Port(collect(wsdl), SoapSettings(wsdl=wsdl))


def _plain(port: Port, operation: str, values: dict[str, Any]) -> bytes | None:
    envelope = PlainRenderer(port.version, port.types).envelope(port.binding.get(operation), values)
    return None if envelope is None else etree.tostring(envelope)


def _zeeps(port: Port, operation: str, values: dict[str, Any]) -> bytes:
    return etree.tostring(port.binding.get(operation).create(**values).content)


_text = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), max_size=9
)
_decimals = st.decimals(allow_nan=False, allow_infinity=False, places=2)
_lines = st.recursive(
    st.fixed_dictionaries({"Sku": _text, "Qty": st.integers()}, optional={"Price": _decimals}),
    lambda inner: st.fixed_dictionaries({"Sku": _text, "Qty": st.integers(), "Part": st.lists(inner, max_size=2)}),
    max_leaves=5,
)
_requests = st.fixed_dictionaries(
    {"Flag": st.booleans()},
    optional={
        "At": st.datetimes(timezones=st.just(UTC)),
        "Day": st.dates(),
        "Rate": st.floats(),
        "Kind": _text,
        "Line": st.lists(_lines, max_size=3),
        "Rush": st.fixed_dictionaries({"No": _text}, optional={"By": st.times()}),
        "Mode": _text,
    },
).flatmap(lambda values: st.permutations(list(values.items())).map(dict))


@given(values=_requests)
def test_plain_arguments_are_rendered_as_zeep_renders_them(port: Port, values: dict[str, Any]) -> None:
    """Byte for byte, in whatever order the arguments come, nested and recursive types included."""
    made = _plain(port, "Ask", values)
    if made is None:
        assert "Mode" not in values, "only the default that is left out is for zeep"
    else:
        assert made == _zeeps(port, "Ask", values)


@given(line=_lines, times=st.integers())
def test_the_parts_of_an_rpc_request_are_plain_too(port: Port, line: dict[str, Any], times: int) -> None:
    """The wrapper has the binding's namespace, the parts have none."""
    values = {"line": line, "times": times}
    assert _plain(port, "Rpc", values) == _zeeps(port, "Rpc", values)


@pytest.mark.parametrize(
    "values",
    [
        {"Mode": "x"},
        {"Flag": None, "Mode": "x"},
        {"Flag": True},
        {"Flag": True, "Mode": "x", "Flagg": True},
        {"Flag": True, "Mode": "x", "Line": {"Sku": "x", "Qty": 1}},
        {"Flag": True, "Mode": "x", "Line": [{"Sku": "x", "Qty": 1}] * 4},
        {"Flag": True, "Mode": "x", "Line": [{"Sku": "x", "Qty": 1, "Price": 0.1}]},
        {"Flag": True, "Mode": "x", "Line": [{"Sku": "x", "Qty": 1, "Colour": "red"}]},
        {"Flag": True, "Mode": "x", "Line": [{"Sku": "a\x00b", "Qty": 1}]},
        {"Flag": True, "Mode": "x", "Line": [{"Sku": ["x"], "Qty": 1}]},
        {"Flag": True, "Mode": "x", "Rush": "now"},
        {"Flag": True, "Mode": "x", "Paid": {"_value_1": Decimal(1), "currency": "EUR"}},
        {"Flag": True, "Mode": "x", "_soapheaders": []},
    ],
)
def test_what_is_not_plain_or_wrong_is_left_to_zeep(port: Port, values: dict[str, Any]) -> None:
    """Missing, misspelt, repeated too often, of another kind, with attributes or a default: zeep renders or refuses."""
    assert _plain(port, "Ask", values) is None


@pytest.mark.parametrize(("operation", "values"), [("Pick", {"A": 1}), ("Empty", {})])
def test_whole_messages_that_are_not_plain_are_left_to_zeep(port: Port, operation: str, values: dict[str, Any]) -> None:
    """A choice, and a message without a part."""
    assert _plain(port, operation, values) is None
    assert _zeeps(port, operation, values)


def test_an_optional_element_that_is_none_is_left_out(port: Port) -> None:
    """As zeep does: None means absent, also where the element may be nil."""
    values = {
        "Flag": True,
        "Mode": "x",
        "Kind": None,
        "Line": None,
        "Day": date(2026, 1, 2),
        "Rush": {"No": "1", "By": None},
    }
    made = _plain(port, "Ask", values)
    assert made == _zeeps(port, "Ask", values)
    assert b"Kind" not in (made or b"")


def test_datetimes_and_times_come_out_as_xml_schema_writes_them(port: Port) -> None:
    """An aware datetime in UTC ends in Z."""
    values = {
        "Flag": True,
        "Mode": "x",
        "At": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "Rush": {"No": "1", "By": time(7)},
    }
    made = _plain(port, "Ask", values) or b""
    assert b"2026-01-02T03:04:05Z<" in made
    assert b">07:00:00<" in made
