"""A WSDL as large as they come: thousands of operations with a type or two for each."""

from collections.abc import Iterator
from pathlib import Path

_HEAD = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:b="urn:big" targetNamespace="urn:big">
<types><xs:schema targetNamespace="urn:big" elementFormDefault="qualified">
<xs:complexType name="Base"><xs:sequence><xs:element name="id" type="xs:string"/></xs:sequence></xs:complexType>
"""
_TYPES = """<xs:complexType name="Record{n}">
  <xs:annotation><xs:documentation>Record number {n} of the many that there are.</xs:documentation></xs:annotation>
  <xs:complexContent><xs:extension base="b:Base"><xs:sequence>
    <xs:element name="name" minOccurs="0"><xs:simpleType><xs:restriction base="xs:string">
      <xs:maxLength value="{n}"/></xs:restriction></xs:simpleType></xs:element>
    <xs:element name="amount" type="xs:decimal"/>
    <xs:element name="next" type="b:Record{next}" minOccurs="0"/>
    <xs:element name="kind" type="b:Kind{n}" maxOccurs="unbounded"/>
  </xs:sequence></xs:extension></xs:complexContent>
</xs:complexType>
<xs:simpleType name="Kind{n}"><xs:restriction base="xs:string">
  <xs:enumeration value="new"/><xs:enumeration value="old-{n}"/></xs:restriction></xs:simpleType>
<xs:element name="Do{n}"><xs:complexType><xs:sequence>
  <xs:element name="record" type="b:Record{n}"/><xs:element name="count" type="xs:int" minOccurs="0"/>
</xs:sequence></xs:complexType></xs:element>
<xs:element name="Do{n}Response"><xs:complexType><xs:sequence>
  <xs:element name="record" type="b:Record{n}" minOccurs="0" maxOccurs="unbounded"/>
</xs:sequence></xs:complexType></xs:element>
"""
_MESSAGES = """<message name="Do{n}In"><part name="body" element="b:Do{n}"/></message>
<message name="Do{n}Out"><part name="body" element="b:Do{n}Response"/></message>
"""
_OPERATION = '<operation name="Do{n}"><input message="b:Do{n}In"/><output message="b:Do{n}Out"/></operation>\n'
_BOUND = """<operation name="Do{n}"><soap:operation soapAction="urn:big:Do{n}"/>
  <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output></operation>
"""
_TAIL = """<service name="Big"><port name="Soap" binding="b:Soap"><soap:address location="http://big.example/"/></port></service>
</definitions>
"""


def write_large(wsdl: Path, operations: int) -> None:
    """Write a WSDL with operations Do0, Do1 and so on. Every type leads to the next but those of each tenth."""
    wsdl.write_text("".join(_lines(range(operations))))


def _lines(numbers: range) -> Iterator[str]:
    yield _HEAD
    yield from (_TYPES.format(n=n, next=n if n % 10 == 9 else min(n + 1, numbers[-1])) for n in numbers)
    yield "</xs:schema></types>\n"
    yield from (_MESSAGES.format(n=n) for n in numbers)
    yield '<portType name="Big">\n'
    yield from (_OPERATION.format(n=n) for n in numbers)
    yield '</portType>\n<binding name="Soap" type="b:Big">\n'
    yield '<soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>\n'
    yield from (_BOUND.format(n=n) for n in numbers)
    yield "</binding>\n"
    yield _TAIL
