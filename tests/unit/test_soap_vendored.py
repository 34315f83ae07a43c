"""WSDLs from disk: everything is found in the folder or the catalog, or refused by name; nothing is fetched."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk.errors import ConfigError
from adaptors.soap import SoapSettings
from adaptors.soap.contract import Contract

_WSDL = """<wsdl:definitions targetNamespace="urn:t" xmlns:t="urn:t" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/">
  {outside}
  <wsdl:types>{types}</wsdl:types>
  <wsdl:message name="In"><wsdl:part name="p" element="t:Ask"/></wsdl:message>
  <wsdl:portType name="P"><wsdl:operation name="Ask"><wsdl:input message="t:In"/></wsdl:operation></wsdl:portType>
  <wsdl:binding name="B" type="t:P">
    <soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="Ask"><soap:operation soapAction=""/>
      <wsdl:input><soap:body use="literal"/></wsdl:input></wsdl:operation>
  </wsdl:binding>
  <wsdl:service name="S">
    <wsdl:port name="Q" binding="t:B"><soap:address location="{address}"/></wsdl:port>
  </wsdl:service>
</wsdl:definitions>"""
_ASK = '<xs:element name="Ask" type="xs:string"/>'
_XSD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{0}">{1}</xs:schema>'


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _write(folder: Path, schema: str = _ASK, *, outside: str = "", address: str = "http://t/", more: str = "") -> Path:
    types = f'<xs:schema targetNamespace="urn:t" elementFormDefault="qualified">{schema}</xs:schema>{more}'
    folder.mkdir(parents=True, exist_ok=True)
    wsdl = folder / "t.wsdl"
    wsdl.write_text(_WSDL.format(types=types, outside=outside, address=address))
    return wsdl


def _contract(wsdl: Path, **values: Any) -> Contract:
    return Contract(SoapSettings.model_validate({"wsdl": wsdl, "endpoint": "http://erp/soap", **values}))


def _fault(wsdl: Path, **values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        _contract(wsdl, **values)
    return str(caught.value)


def test_a_missing_schema_is_named_with_file_and_line(tmp_path: Path) -> None:
    """One start names every missing schema: the file and line that ask, the namespace, and what to do."""
    wsdl = _write(
        tmp_path,
        '\n<xs:import namespace="urn:one" schemaLocation="one.xsd"/>\n'
        '<xs:import namespace="urn:two" schemaLocation="http://erp.example/two.xsd"/>' + _ASK,
    )
    first, second = _fault(wsdl).splitlines()
    assert f"{wsdl}, line 5: {tmp_path}/one.xsd (namespace urn:one) is missing" in first
    assert f"{wsdl}, line 6: http://erp.example/two.xsd (namespace urn:two) is on the network" in second
    assert f'map it in {tmp_path}/catalog.xml: <uri name="http://erp.example/two.xsd" uri="FILE"/>' in second


def test_a_schema_missing_deeper_down_is_named_by_the_schema_that_asks(tmp_path: Path) -> None:
    """Not only the WSDL's own imports are followed before anything else is done."""
    wsdl = _write(tmp_path, '<xs:import namespace="urn:one" schemaLocation="x/one.xsd"/>' + _ASK)
    (tmp_path / "x").mkdir()
    (tmp_path / "x/one.xsd").write_text(_XSD.format("urn:one", '<xs:include schemaLocation="deep.xsd"/>'))
    assert f"{tmp_path}/x/one.xsd, line 1: {tmp_path}/x/deep.xsd is missing" in _fault(wsdl)


@pytest.mark.parametrize("form", ["../secret.xsd", "{0}/secret.xsd", "file://{0}/secret.xsd", "link.xsd"])
def test_nothing_outside_the_folder_is_read(tmp_path: Path, form: str) -> None:
    """Neither a relative path, nor an absolute one, nor a file URL, nor a link leads out of the folder."""
    (tmp_path / "secret.xsd").write_text(_XSD.format("urn:one", ""))
    location = form.format(tmp_path)
    wsdl = _write(tmp_path / "in", f'<xs:import namespace="urn:one" schemaLocation="{location}"/>' + _ASK)
    (tmp_path / "in/link.xsd").symlink_to(tmp_path / "secret.xsd")
    assert "lies outside of" in _fault(wsdl)
    assert "wsdl_folder" in _fault(wsdl)


def test_wsdl_folder_widens_what_may_be_read(tmp_path: Path) -> None:
    """A layout of wsdl/ beside xsd/ works once the folder above both is named."""
    wsdl = _write(tmp_path / "wsdl", '<xs:import namespace="urn:one" schemaLocation="../xsd/one.xsd"/>' + _ASK)
    (tmp_path / "xsd").mkdir()
    (tmp_path / "xsd/one.xsd").write_text(_XSD.format("urn:one", ""))
    assert _contract(wsdl, wsdl_folder=tmp_path).operations == ["Ask"]
    assert "outside of wsdl_folder" in _fault(wsdl, wsdl_folder=tmp_path / "xsd")


def test_a_wsdl_in_a_folder_of_links_is_read(tmp_path: Path) -> None:
    """Mounted configuration often is a folder of links into a hidden folder beside it."""
    wsdl = _write(tmp_path / "..data", '<xs:import namespace="urn:one" schemaLocation="one.xsd"/>' + _ASK)
    (tmp_path / "..data/one.xsd").write_text(_XSD.format("urn:one", ""))
    for name in (wsdl.name, "one.xsd"):
        (tmp_path / name).symlink_to(Path("..data") / name)
    assert _contract(tmp_path / wsdl.name).operations == ["Ask"]


def test_a_folder_can_map_addresses_to_files(tmp_path: Path) -> None:
    """`catalog.xml` is the standard way to say which file stands for an address on the web."""
    wsdl = _write(tmp_path, '<xs:import namespace="urn:one" schemaLocation="http://erp.example/?xsd=1"/>' + _ASK)
    (tmp_path / "one.xsd").write_text(_XSD.format("urn:one", '<xs:element name="One" type="xs:int"/>'))
    (tmp_path / "catalog.xml").write_text(
        '<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">'
        '<uri name="http://erp.example/?xsd=1" uri="one.xsd"/></catalog>'
    )
    assert _contract(wsdl).knows_detail("{urn:one}One")


@pytest.mark.parametrize("location", ["my types.xsd", "my%20types.xsd", "sub\\..\\my%20types.xsd"])
def test_locations_are_understood_as_people_write_them(tmp_path: Path, location: str) -> None:
    """Blanks, percent codes and backslashes are met in real WSDLs."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "my types.xsd").write_text(_XSD.format("urn:one", '<xs:element name="One" type="xs:int"/>'))
    wsdl = _write(tmp_path, f'<xs:import namespace="urn:one" schemaLocation="{location}"/>' + _ASK)
    assert _contract(wsdl).knows_detail("{urn:one}One")


@pytest.mark.parametrize(
    ("namespace", "location", "element"),
    [
        ("http://schemas.xmlsoap.org/soap/encoding/", "http://schemas.xmlsoap.org/soap/encoding/", "Array"),
        ("http://schemas.xmlsoap.org/soap/envelope/", "http://schemas.xmlsoap.org/soap/envelope/", "Envelope"),
        ("http://www.w3.org/2003/05/soap-envelope", "http://www.w3.org/2003/05/soap-envelope/", "Envelope"),
        ("http://www.w3.org/2005/08/addressing", "http://www.w3.org/2006/03/addressing/ws-addr.xsd", "MessageID"),
        ("http://www.w3.org/2005/08/addressing", "ws-addr.xsd", "EndpointReference"),
        (
            "http://schemas.xmlsoap.org/ws/2004/08/addressing",
            "http://schemas.xmlsoap.org/ws/2004/08/addressing",
            "ReplyTo",
        ),
        (
            "http://www.w3.org/2000/09/xmldsig#",
            "https://www.w3.org/TR/2002/REC-xmldsig-core-20020212/xmldsig-core-schema.xsd",
            "Signature",
        ),
        ("http://www.w3.org/2005/05/xmlmime", "http://www.w3.org/2005/05/xmlmime", None),
        ("http://ws-i.org/profiles/basic/1.1/xsd", "http://ws-i.org/profiles/basic/1.1/swaref.xsd", None),
        ("http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2001/xml.xsd", None),
        ("http://www.w3.org/XML/1998/namespace", None, None),
        ("http://www.w3.org/2001/XMLSchema", "http://www.w3.org/2001/XMLSchema.xsd", None),
    ],
)
def test_the_catalog_has_the_schemas_that_wsdls_leave_out(
    tmp_path: Path, namespace: str, location: str | None, element: str | None
) -> None:
    """By address and, where the file that is named is missing, by namespace; compiled with the rest."""
    place = f' schemaLocation="{location}"' if location else ""
    contract = _contract(_write(tmp_path, f'<xs:import namespace="{namespace}"{place}/>' + _ASK))
    assert element is None or contract.knows_detail(f"{{{namespace}}}{element}")


def test_references_into_the_catalog_are_used(tmp_path: Path) -> None:
    """Types out of catalog schemas can be part of a message, and are validated."""
    schema = """
      <xs:import namespace="http://www.w3.org/2005/08/addressing" schemaLocation="http://elsewhere/ws-addr.xsd"/>
      <xs:import namespace="http://www.w3.org/XML/1998/namespace"/>
      <xs:import namespace="http://www.w3.org/2005/05/xmlmime" schemaLocation="nowhere.xsd"/>
      <xs:element name="Ask"><xs:complexType><xs:sequence>
          <xs:element ref="a:MessageID" xmlns:a="http://www.w3.org/2005/08/addressing"/>
          <xs:element name="File" type="m:base64Binary" xmlns:m="http://www.w3.org/2005/05/xmlmime"/>
        </xs:sequence><xs:attribute ref="xml:lang"/></xs:complexType></xs:element>"""
    contract = _contract(_write(tmp_path, schema))
    request = contract.build("Ask", (), {"MessageID": "urn:x", "File": {"_value_1": b"abc"}}, "urn:uuid:1")
    assert b"YWJj" in request.body


def test_an_rpc_encoded_wsdl_loads_without_the_network(tmp_path: Path) -> None:
    """zeep asks for the schema of the SOAP encoding by itself, and is given the catalog's."""
    schema = """<xs:complexType name="Lines" xmlns:c="http://schemas.xmlsoap.org/soap/encoding/"
        xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"><xs:complexContent><xs:restriction base="c:Array">
        <xs:attribute ref="c:arrayType" wsdl:arrayType="xs:string[]"/>
        </xs:restriction></xs:complexContent></xs:complexType>"""
    wsdl = _write(tmp_path, '<xs:import namespace="http://schemas.xmlsoap.org/soap/encoding/"/>' + schema + _ASK)
    assert _contract(wsdl).operations == ["Ask"]


def test_many_documents_of_one_namespace_are_one_schema(tmp_path: Path) -> None:
    """Includes, circles, two inline schemas of one namespace and imports without a location are all met in WSDLs."""
    (tmp_path / "a.xsd").write_text(
        _XSD.format("urn:one", '<xs:include schemaLocation="b.xsd"/><xs:element name="A" type="xs:int"/>')
    )
    (tmp_path / "b.xsd").write_text(
        _XSD.format("urn:one", '<xs:include schemaLocation="a.xsd"/><xs:element name="B" type="xs:int"/>')
    )
    (tmp_path / "c.xsd").write_text(_XSD.format("urn:one", '<xs:element name="C" type="xs:int"/>'))
    refs = "".join(f'<xs:element ref="o:{name}" xmlns:o="urn:one"/>' for name in "ABC")
    more = (
        '<xs:schema targetNamespace="urn:two"><xs:import namespace="urn:one" schemaLocation="c.xsd"/></xs:schema>'
        '<xs:schema targetNamespace="urn:t" elementFormDefault="qualified"><xs:element name="Other" type="xs:int"/>'
        "</xs:schema>"
    )
    ask = f'<xs:element name="Ask"><xs:complexType><xs:sequence>{refs}</xs:sequence></xs:complexType></xs:element>'
    wsdl = _write(tmp_path, '<xs:import namespace="urn:one" schemaLocation="a.xsd"/>' + ask, more=more)
    contract = _contract(wsdl)
    assert b">3<" in contract.build("Ask", (), {"A": 1, "B": 2, "C": 3}, "").body
    with pytest.raises(Exception, match="C"):
        contract.build("Ask", (), {"A": 1, "B": 2, "C": "three"}, "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("not xml", "cannot be read: it is not XML"),
        ("<!DOCTYPE x><x/>", "DOCTYPE"),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><x>&e;</x>', "DOCTYPE"),
        ("<html/>", "has no port that speaks SOAP"),
    ],
)
def test_a_file_that_is_no_wsdl_is_named(tmp_path: Path, content: str, says: str) -> None:
    """What was saved by mistake, such as a login page, is one clear sentence."""
    wsdl = tmp_path / "t.wsdl"
    wsdl.write_text(content)
    fault = _fault(wsdl)
    assert says in fault
    assert "t.wsdl" in fault


def test_a_wsdl_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong path is the most usual mistake."""
    assert "give the path of the WSDL file" in _fault(tmp_path / "erp.wsdl")
    assert "not a file" in _fault(tmp_path)


def test_an_unreadable_schema_beside_the_wsdl_is_named(tmp_path: Path) -> None:
    """The schema's own file is named, with the line where it breaks."""
    wsdl = _write(tmp_path, '<xs:import namespace="urn:one" schemaLocation="one.xsd"/>' + _ASK)
    (tmp_path / "one.xsd").write_text("<xs:schema>\n<oops")
    assert f"{tmp_path}/one.xsd: cannot be read: it is not XML" in _fault(wsdl)


def test_a_schema_that_libxml2_refuses_can_be_sent_unvalidated(tmp_path: Path) -> None:
    """Some WSDLs break rules that zeep never looks at; the error names the way around."""
    wsdl = _write(tmp_path, '<xs:element name="Ask" type="xs:string" minOccurs="0"/>')
    assert "validate_requests = false" in _fault(wsdl)
    assert _contract(wsdl, validate_requests=False).operations == ["Ask"]


def test_an_unknown_type_is_a_config_error(tmp_path: Path) -> None:
    """What zeep raises on a WSDL that contradicts itself names the WSDL."""
    assert "t.wsdl cannot be used" in _fault(_write(tmp_path, '<xs:element name="Ask" type="xs:nonsense"/>'))


def test_several_ports_are_listed_and_one_must_be_chosen() -> None:
    """Nothing is guessed where the WSDL offers SOAP 1.1 and 1.2."""
    wsdl = Path(__file__).parents[2] / "samples/shop/erp/erp.wsdl"
    fault = _fault(wsdl)
    assert "several ports fit" in fault
    assert 'service = "Erp", port = "Soap11" (SOAP 1.1); service = "Erp", port = "Soap12" (SOAP 1.2)' in fault
    assert "no port fits service (any), port Soap13" in _fault(wsdl, port="Soap13")


def test_the_published_address_must_be_usable(tmp_path: Path) -> None:
    """Without `endpoint` the WSDL's address is used, unless it is none."""
    assert Contract(SoapSettings(wsdl=_write(tmp_path, address="http://erp/soap"))).endpoint == "http://erp/soap"
    with pytest.raises(ConfigError, match=r"endpoint: not set, and the address in .* is 'REPLACE_ME'"):
        Contract(SoapSettings(wsdl=_write(tmp_path, address="REPLACE_ME")))


def test_a_wsdl_may_be_spread_over_files(tmp_path: Path) -> None:
    """Imported WSDL files are read like schemas, and a missing one is named like one."""
    wsdl = _write(tmp_path, outside='<wsdl:import namespace="urn:u" location="u.wsdl"/>')
    assert f"{wsdl}, line 3: {tmp_path}/u.wsdl (namespace urn:u) is missing" in _fault(wsdl)
    (tmp_path / "u.wsdl").write_text(
        '<wsdl:definitions targetNamespace="urn:u" xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"/>'
    )
    assert _contract(wsdl).operations == ["Ask"]


def test_a_relative_wsdl_path_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path may be relative to where the process stands."""
    _write(tmp_path, '<xs:import namespace="urn:one" schemaLocation="one.xsd"/>' + _ASK)
    (tmp_path / "one.xsd").write_text(_XSD.format("urn:one", ""))
    monkeypatch.chdir(tmp_path)
    assert _contract(Path("t.wsdl")).operations == ["Ask"]
    assert os.getcwd() == os.path.realpath(tmp_path)  # noqa: PTH109  # nothing changed the folder
