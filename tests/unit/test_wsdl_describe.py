"""`adaptor wsdl describe`: services, ports, operations, messages, faults and types, as text and as JSON."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.command import adaptor, document
from tests.wsdl import DEPOT, RPC, asking


def _described(wsdl: Path, *arguments: str) -> str:
    return adaptor("wsdl", "describe", wsdl, *arguments).output


def _json(wsdl: Path, *arguments: str) -> Any:
    return document(adaptor("wsdl", "describe", wsdl, "--json", *arguments))


def test_services_ports_and_bindings_are_listed() -> None:
    """Each port has its protocol, binding and address; a port that speaks no SOAP is listed too."""
    text = _described(DEPOT)
    assert "service Depot\n" in text
    assert "  port Soap: SOAP 1.1, binding DepotSoap, http://depot.example/soap\n" in text
    assert "  port Soap12: SOAP 1.2, binding DepotSoap12, http://depot.example/soap12\n" in text
    assert "  port Get: HttpGet, binding DepotGet" in text


def test_an_operation_has_style_use_action_messages_and_faults() -> None:
    """What goes out, what comes back and what may be raised, with the fields of each."""
    text = _described(DEPOT, "--operation", "PlaceOrder")
    assert '  PlaceOrder: document/literal, soapAction "urn:depot:PlaceOrder"\n' in text
    assert "    Books an order. It is shipped the same day.\n" in text
    assert "    in: PlaceOrder\n      Order: Order\n      from: string (optional)\n" in text
    assert "    fault SoldOut: SoldOut\n      Sku: Sku (string; pattern [A-Z]{2}-\\d{4})\n" in text
    assert "    fault Closed: Closed\n      string\n" in text
    assert "Find-Lines" not in text
    assert "Add: rpc/encoded" in _described(RPC)
    assert "      header Session: {urn:depot}Session\n".replace("{urn:depot}", "") in _described(DEPOT)


@pytest.mark.parametrize(
    "line",
    [
        "    class: Rank (int; one of '1', '2')",
        "    Line: Line (repeated, at least 1)",
        "    Hint: string (0 to 3, nillable)",
        "    Codes: Codes (optional, a list of int)",
        "    Batch: long (one of a choice)",
        "    Line2: Line (repeated, one of a choice)",
        "    no: positiveInteger (attribute)",
        "    kind: Unit (attribute, optional, token; one of 'piece', 'kilo', '2-pack')",
        "    Amount (decimal; >= 0, < 99999.5, fraction digits at most 2)",
        "  {urn:depot}Party: abstract",
        "  {urn:depot}Person: extends Party",
        '    Where goods go. "Street" may have a house number.',
    ],
)
def test_a_field_is_described_in_a_line(line: str) -> None:
    """Type, how often, whether it may be nil, and the rules that it obeys."""
    assert f"{line}\n" in _described(DEPOT) + "\n"


def test_types_that_may_stand_for_an_abstract_one_are_described_too() -> None:
    """Whoever reads of Party reads of Company and Person as well; and each type once, however often it is used."""
    text = _described(DEPOT, "--operation", "PlaceOrder")
    assert "{urn:depot}Company: extends Party" in text
    assert text.count("  {urn:depot}Line\n") == 1


def test_bindings_of_one_port_type_are_not_repeated(tmp_path: Path) -> None:
    """The second binding with the same operations only says so."""
    text = DEPOT.read_text()
    # With the same header in both bindings there is no difference left.
    text = text.replace('<soap:header message="d:Session" part="session" use="literal"/>', "")
    wsdl = tmp_path / "same.wsdl"
    wsdl.write_text(text)
    assert "binding DepotSoap12: SOAP 1.2, portType Depot\n  the operations of DepotSoap\n" in _described(wsdl)


def test_json_has_all_of_it_with_qualified_names() -> None:
    """Programs get the same facts: names with namespaces, and counts as numbers."""
    told = _json(DEPOT, "--operation", "PlaceOrder")
    assert [port["speaks"] for port in told["ports"]] == ["SOAP 1.1", "SOAP 1.2", "HttpGet"]
    (operation,) = told["bindings"][0]["operations"]
    assert operation["input"]["element"] == "{urn:depot}PlaceOrder"
    assert operation["faults"]["SoldOut"]["element"] == "{urn:depot}SoldOut"
    order = next(one for one in told["types"] if one["name"] == "{urn:depot}Order")
    line = next(one for one in order["fields"] if one["name"] == "Line")
    assert (line["type"], line["lowest"], line["highest"]) == ("{urn:depot}Line", 1, None)


def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path) -> None:
    """A missing schema, a WSDL of version 2.0, an operation that is not there."""
    wsdl = asking(tmp_path / "t.wsdl", "", '\n<xs:import namespace="urn:u" schemaLocation="gone.xsd"/>')
    told = adaptor("wsdl", "describe", wsdl, status=3).stderr
    assert re.search(rf"error: {wsdl}, line 4: \S*gone\.xsd \(namespace urn:u\) is missing", told)
    wsdl.write_text('<description xmlns="http://www.w3.org/ns/wsdl"/>')
    assert (
        "is no WSDL 1.1 but <{http://www.w3.org/ns/wsdl}description>"
        in adaptor("wsdl", "describe", wsdl, status=3).stderr
    )
    assert (
        "no operation 'Pong'; there is Ping"
        in adaptor("wsdl", "describe", DEPOT, "--operation", "Pong", status=3).stderr
    )


def test_an_operation_that_cannot_be_used_takes_the_others_not_along(tmp_path: Path) -> None:
    """What is left out, and why, is said above the rest."""
    wsdl = tmp_path / "part.wsdl"
    wsdl.write_text(DEPOT.read_text().replace('element="d:Ping"', 'element="d:Gone"'))
    text = _described(wsdl)
    assert "left out: " in text
    assert re.search(r"part\.wsdl, line \d+: the element Gone is not defined in any schema", text)
    assert "  PlaceOrder: document/literal" in text
    assert "  Ping: document" not in text


def test_schemas_may_stand_in_folders_beside_that_of_the_wsdl(tmp_path: Path) -> None:
    """ONVIF's are published so; the error names the option that lets them be read, and models are made likewise."""
    (tmp_path / "schema").mkdir()
    (tmp_path / "wsdl").mkdir()
    xsd = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:far">{}</xs:schema>'
    (tmp_path / "schema" / "far.xsd").write_text(xsd.format('<xs:element name="Far" type="xs:int"/>'))
    wsdl = tmp_path / "wsdl" / "depot.wsdl"
    beside = '<xs:import namespace="urn:far" schemaLocation="../schema/far.xsd"/>'
    text, changed = re.subn(r"(<xs:schema [^>]*>)", rf"\1{beside}", DEPOT.read_text(), count=1)
    assert changed
    wsdl.write_text(text)
    assert "--folder" in adaptor("wsdl", "describe", wsdl, status=3).stderr
    assert ", 2 documents" in adaptor("wsdl", "describe", wsdl, "--folder", tmp_path).output
    assert "Protocol" in adaptor("wsdl", "models", wsdl, "--folder", tmp_path, "--all").output
