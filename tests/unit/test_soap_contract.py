"""From arguments to a request: what the WSDL's schema refuses, and what goes out."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapter_sdk.errors import ConfigError, InvalidData, PermanentError
from adaptors.soap import SoapSettings
from adaptors.soap.contract import Contract, Request
from adaptors.soap.envelope import UnreadableError
from adaptors.soap.record import Answer
from samples.shop.erp.soap import WSDL_FILE

_WSDL = """<wsdl:definitions targetNamespace="urn:t" xmlns:t="urn:t" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:wsaw="http://www.w3.org/2006/05/addressing/wsdl">
  <wsdl:types><xs:schema targetNamespace="urn:t" elementFormDefault="qualified">
    <xs:element name="Book"><xs:complexType><xs:sequence>
      <xs:element name="At" type="xs:dateTime" minOccurs="0"/>
      <xs:element name="Day" type="xs:date" minOccurs="0"/>
      <xs:element name="Rate" type="xs:double" minOccurs="0"/>
      <xs:element name="Flag" type="xs:boolean" minOccurs="0"/>
      <xs:element name="Kind" minOccurs="0"><xs:simpleType><xs:restriction base="xs:string">
        <xs:enumeration value="A"/><xs:enumeration value="B"/></xs:restriction></xs:simpleType></xs:element>
      <xs:element name="Line" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
        <xs:element name="Sku" type="xs:string"/><xs:element name="Qty" type="xs:int"/>
        <xs:element name="Price" type="xs:decimal" minOccurs="0"/></xs:sequence></xs:complexType></xs:element>
    </xs:sequence></xs:complexType></xs:element>
  </xs:schema></wsdl:types>
  <wsdl:message name="In"><wsdl:part name="p" element="t:Book"/></wsdl:message>
  <wsdl:portType name="P"><wsdl:operation name="Book">
    <wsdl:input message="t:In"{action}/></wsdl:operation></wsdl:portType>
  <wsdl:binding name="B" type="t:P"><soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="Book"><soap:operation soapAction="urn:t:Book"/>
      <wsdl:input><soap:body use="literal"/></wsdl:input></wsdl:operation></wsdl:binding>
  <wsdl:service name="S"><wsdl:port name="Q" binding="t:B"><soap:address location="http://t/"/></wsdl:port></wsdl:service>
</wsdl:definitions>"""


def _contract(folder: Path, action: str = "", **values: Any) -> Contract:
    wsdl = folder / "t.wsdl"
    wsdl.write_text(_WSDL.replace("{action}", action))
    return Contract(SoapSettings.model_validate({"wsdl": wsdl, **values}))


def _build(contract: Contract, **values: Any) -> Request:
    return contract.build("Book", (), values, "urn:uuid:1")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"At": date(2026, 1, 2)}, ["At", "'2026-01-02'", "dateTime"]),
        ({"At": "tomorrow"}, ["At", "'tomorrow'"]),
        ({"Flag": "maybe", "Kind": "C"}, ["Kind", "'C'", "enumeration"]),
        ({"Line": [{"Sku": "x", "Qty": 2**40}]}, ["Qty", str(2**40)]),
        ({"Line": [{"Sku": "x", "Qty": True}]}, ["Qty", "'True'"]),
        ({"Line": [{"Sku": "x", "Qty": "many"}]}, ["Qty", "many"]),
        ({"Line": [{"Sku": "x", "Qty": 1, "Price": 0.1 + 0.2}]}, ["Book.Line.Price", "0.30000000000000004", "Decimal"]),
        ({"Line": [{"Sku": "x", "Qty": 1.5}]}, ["Book.Line.Qty", "1.5"]),
        ({"Line": [{"Sku": "a\x00b", "Qty": 1}]}, ["XML compatible"]),
        ({"Line": [{"Qty": 1}]}, ["Sku"]),
        ({"Line": [{"Sku": None, "Qty": 1}]}, ["Sku"]),
    ],
)  # fmt: skip
def test_values_that_break_the_schema_are_not_sent(tmp_path: Path, values: dict[str, Any], says: list[str]) -> None:
    """Element, value and rule are named; zeep alone would have sent most of these."""
    with pytest.raises(InvalidData, match=r"nothing was sent|give a Decimal") as caught:
        _build(_contract(tmp_path), **values)
    for word in says:
        assert word in str(caught.value)


@pytest.mark.parametrize("values", [{"Lime": []}, {"Line": [{"Sku": "x", "Qty": 1, "Colour": "red"}]}])
def test_names_that_the_wsdl_does_not_know_are_permanent(tmp_path: Path, values: dict[str, Any]) -> None:
    """A misspelt element is a mistake in the handler: the event is set aside and nothing is sent."""
    with pytest.raises(PermanentError, match="do not fit the WSDL, nothing was sent"):
        _build(_contract(tmp_path), **values)


def test_a_float_in_a_position_is_found_too() -> None:
    """Arguments may be given by position; the check for floats follows them."""
    contract = Contract(SoapSettings(wsdl=WSDL_FILE, port="Soap11"))
    with pytest.raises(InvalidData, match=re.escape("CreateOrder.Total: 1.5 is a float")):
        contract.build("CreateOrder", ("1", "ACME", 1.5), {}, "")


def test_good_values_are_sent_as_the_schema_writes_them(tmp_path: Path) -> None:
    """Aware datetimes, dates, doubles, booleans, nested dicts and lists come out in XML Schema's own form."""
    lines = [{"Sku": "x", "Qty": 1, "Price": Decimal("1E+2")}, {"Sku": "y", "Qty": 2}]
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    body = _build(_contract(tmp_path), At=at, Day=at.date(), Rate=1e22, Flag=False, Kind="B", Line=lines).body.decode()
    for text in ("2026-01-02T03:04:05Z<", ">2026-01-02<", ">1e+22<", ">false<", ">B<", ">100<", ">y<"):
        assert text in body


def test_validation_can_be_switched_off(tmp_path: Path) -> None:
    """Some services want what their own WSDL forbids."""
    assert b">C<" in _build(_contract(tmp_path, validate_requests=False), Kind="C").body


def test_the_digest_is_of_the_body_alone(tmp_path: Path) -> None:
    """A message id in the header does not make another request of it; another value does."""
    contract = _contract(tmp_path, message_id_header=True)
    first = contract.build("Book", (), {"Kind": "A"}, "urn:uuid:1")
    second = contract.build("Book", (), {"Kind": "A"}, "urn:uuid:2")
    assert first.body != second.body
    assert first.digest == second.digest != _build(contract, Kind="B").digest


@pytest.mark.parametrize(
    ("action", "values", "sent"),
    [("", {}, None), (' wsaw:Action="urn:t:wsa"', {}, "urn:t:wsa"), ("", {"message_id_header": True}, "urn:t:Book")],
)
def test_ws_addressing_is_sent_where_the_wsdl_or_a_setting_asks_for_it(
    tmp_path: Path, action: str, values: dict[str, Any], sent: str | None
) -> None:
    """One set of headers, with the message id that was given and not a random one."""
    root = etree.fromstring(_build(_contract(tmp_path, action, **values), Kind="A").body)
    found = {etree.QName(child).localname: child.text for child in root.iter("{http://www.w3.org/2005/08/addressing}*")}
    assert found == ({"Action": sent, "MessageID": "urn:uuid:1", "To": "http://t/"} if sent else {})
    assert len(root) == (2 if sent else 1)


@pytest.mark.parametrize("action", ["urn:t&#10;Host: evil", "urn:bücher", "urn:&quot;t"])
def test_an_action_that_cannot_be_a_header_is_a_config_error(tmp_path: Path, action: str) -> None:
    """It is noticed when the WSDL is read, not call by call."""
    wsdl = tmp_path / "t.wsdl"
    wsdl.write_text(_WSDL.replace("{action}", "").replace("urn:t:Book", action))
    with pytest.raises(ConfigError, match="soapAction of Book is not plain ASCII"):
        Contract(SoapSettings(wsdl=wsdl))


def test_an_empty_answer_is_fine_where_none_is_promised(tmp_path: Path) -> None:
    """A one-way operation answers with a status alone; a refusal is still a refusal."""
    contract = _contract(tmp_path)
    for status in (200, 202, 204):
        assert contract.read("Book", Answer(status, "", b"")) is None
    with pytest.raises(UnreadableError, match="empty"):
        contract.read("Book", Answer(500, "", b""))


_RPC = {
    'element="t:Book"/>': 'type="t:Booking"/><wsdl:part name="times" type="xs:int"/>',
    "<soap:binding transport": '<soap:binding style="rpc" transport',
    '<soap:body use="literal"/>': '<soap:body use="literal" namespace="urn:rpc"/>',
    "</xs:schema>": """<xs:complexType name="Booking"><xs:sequence>
        <xs:element name="Kind"><xs:simpleType><xs:restriction base="xs:string"><xs:maxLength value="1"/>
        </xs:restriction></xs:simpleType></xs:element></xs:sequence></xs:complexType></xs:schema>""",
}


def _rpc_contract(folder: Path, **changes: str) -> Contract:
    text = _WSDL.replace("{action}", "")
    for old, new in {**_RPC, **changes}.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "t.wsdl").write_text(text)
    return Contract(SoapSettings(wsdl=folder / "t.wsdl"))


def test_the_parts_of_an_rpc_request_are_checked_with_their_types(tmp_path: Path) -> None:
    """An rpc wrapper is in no schema; what is in it is held against its types all the same."""
    contract = _rpc_contract(tmp_path)
    assert b"<times>2</times>" in _build(contract, p={"Kind": "A"}, times=2).body
    with pytest.raises(InvalidData, match=r"Kind.*maxLength.*Book\.times.*'many'"):
        _build(contract, p={"Kind": "too long"}, times="many")


def test_an_encoded_rpc_request_is_left_to_zeep(tmp_path: Path) -> None:
    """The encoding rules of SOAP 1.1 allow what the schema does not, so that such a body is not held against it."""
    contract = _rpc_contract(tmp_path, **{'use="literal" namespace': 'use="encoded" namespace'})
    assert b"too long" in _build(contract, p={"Kind": "too long"}, times=2).body


def test_an_operation_that_cannot_be_resolved_is_a_config_error(tmp_path: Path) -> None:
    """A part whose type is nowhere stops the start, and no warning of the library is left for the reader."""
    with pytest.raises(ConfigError, match=r"t\.wsdl: .*'p'.*; mend it, or take that operation out"):
        _rpc_contract(tmp_path, **{"t:Booking": "t:Gone"})
