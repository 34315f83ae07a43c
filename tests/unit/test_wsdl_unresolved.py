"""Names that nobody defines: each is said with the file, the line, and the namespace whose schema is missing."""

from pathlib import Path

import pytest

from adapter_sdk.errors import ConfigError
from adaptors.soap.port import read_document
from adaptors.soap.unresolved import unresolved
from adaptors.soap.vendored import collect

_WSDL = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:xs="http://www.w3.org/2001/XMLSchema"
    xmlns:t="urn:t" xmlns:far="urn:far" targetNamespace="urn:t">
  <types><xs:schema targetNamespace="urn:t">
    <xs:import namespace="urn:far"/>
    {schema}
  </xs:schema></types>
  <message name="In"><part name="p" element="{element}"/></message>
  <portType name="P"><operation name="Ask"><input message="{message}"/></operation></portType>
</definitions>"""


def _faults(folder: Path, schema: str, element: str = "t:Ask", message: str = "t:In") -> list[str]:
    """What is said of a WSDL that zeep refuses, or of one that it lets pass."""
    wsdl = folder / "t.wsdl"
    wsdl.write_text(_WSDL.format(schema=schema, element=element, message=message))
    vendored = collect(wsdl)
    try:
        read_document(vendored, str(wsdl))
    except ConfigError as error:
        return [fault.replace(f"{folder}/", "") for fault in error.faults]
    return unresolved(vendored)


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (
            '<xs:element name="Ask" type="far:Order"/>',
            "wsdl: t.wsdl, line 5: the type Order is of the namespace urn:far, and no schema of it is here",
        ),
        ('<xs:element name="Ask" type="t:Order"/>', "line 5: the type Order is not defined in any schema of the name"),
        (
            '<xs:element name="Ask"><xs:complexType><xs:attribute ref="far:E"/></xs:complexType></xs:element>',
            "line 5: the attribute E is of the namespace urn:far",
        ),
        (
            '<xs:element name="Ask"/>\n<xs:simpleType name="A"><xs:list itemType="far:Base"/></xs:simpleType>',
            "line 6: the type Base is of the namespace urn:far",
        ),
        (
            '<xs:element name="Ask"><xs:complexType><xs:group ref="t:G"/></xs:complexType></xs:element>',
            "line 5: the group G is not defined",
        ),
    ],
)
def test_a_name_of_a_missing_schema_is_said_with_file_and_line(tmp_path: Path, schema: str, sentence: str) -> None:
    """Whatever names it, a type or element that is nowhere is said with its place and its namespace."""
    (fault,) = _faults(tmp_path, schema)
    assert sentence in fault


def test_every_missing_name_is_said_at_once(tmp_path: Path) -> None:
    """All that is missing comes in one error, each name once."""
    fields = "".join(f'<xs:element name="f{n}" type="far:T{n % 3}"/>\n' for n in range(9))
    schema = f'<xs:element name="Ask"><xs:complexType><xs:sequence>{fields}</xs:sequence></xs:complexType></xs:element>'
    faults = _faults(tmp_path, schema)
    assert [f"the type T{n} " in fault and f"line {5 + n}:" in fault for n, fault in enumerate(faults)] == [True] * 3


def test_a_message_that_is_not_there_is_said(tmp_path: Path) -> None:
    """What the WSDL itself names is looked for too."""
    (fault,) = _faults(tmp_path, '<xs:element name="Ask" type="xs:string"/>', message="t:Gone")
    assert "line 8: the message Gone is not defined" in fault


def test_an_included_schema_without_a_namespace_is_of_its_includer(tmp_path: Path) -> None:
    """Names in a schema without a namespace are looked for in that of the schema that includes it."""
    (tmp_path / "part.xsd").write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="more.xsd"/>'
        '<xs:complexType name="A"><xs:sequence><xs:element name="b" type="B"/></xs:sequence></xs:complexType>'
        "</xs:schema>"
    )
    (tmp_path / "more.xsd").write_text(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:simpleType name="B">'
        '<xs:restriction base="xs:string"/></xs:simpleType></xs:schema>'
    )
    schema = '<xs:include schemaLocation="part.xsd"/><xs:element name="Ask" type="t:A"/>'
    assert _faults(tmp_path, schema) == []


def test_the_prefix_of_xml_itself_needs_no_declaration(tmp_path: Path) -> None:
    """A schema may use xml:lang without declaring `xml`, which every parser knows: it is not what is missing."""
    (fault,) = _faults(
        tmp_path,
        '<xs:import namespace="http://www.w3.org/XML/1998/namespace"/><xs:element name="Ask"><xs:complexType>'
        '<xs:attribute ref="xml:lang"/><xs:attribute ref="far:E"/></xs:complexType></xs:element>',
    )
    assert "urn:far" in fault
