"""How the fields of a record become the attributes, elements and text of an XML element, and back."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args, get_origin

from lxml import etree

from adaptors.files.errors import FormatError
from adaptors.files.formats.charset import named
from adaptors.files.formats.record import Record, declared_fields, external_name, label, shown
from adaptors.files.formats.scalars import Reader, reader_of, to_text, unwrap
from adaptors.files.formats.xml_document import Element

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_HINTS = {f"{_XSI}schemaLocation", f"{_XSI}noNamespaceSchemaLocation"}


@dataclass(frozen=True)
class Attribute:
    """In an annotation: the field is an attribute of its record's element."""


@dataclass(frozen=True)
class Content:
    """In an annotation: the field is the text of its record's element, which then has no child elements."""


@dataclass(frozen=True, slots=True)
class Member:
    """One field in its XML shape. `many` is list or tuple where the element may be repeated; `read` is for scalars."""

    name: str
    tag: str
    place: type[Attribute] | type[Content] | None = None
    many: Callable[[list[Any]], Sequence[Any]] | None = None
    read: Reader | None = None
    members: tuple["Member", ...] = ()


def members_of(
    cls: type[Record], base: type[Record], prefix: str, faults: list[str], within: tuple[type[Record], ...] = ()
) -> tuple[Member, ...]:
    """The shape of a class and of the `base` subclasses nested in it; adds a sentence to `faults` per fault found."""
    members = []
    for name, info in declared_fields(cls).items():
        bare, _, extras = unwrap(info.annotation)
        place = next((type(mark) for mark in (*info.metadata, *extras) if isinstance(mark, (Attribute, Content))), None)
        item, many = _item_type(bare)
        nested = isinstance(item, type) and issubclass(item, base)
        tag = external_name(name, info) if place else f"{prefix}{external_name(name, info)}"
        read = None if nested else reader_of(item)
        if fault := _fault(tag, read, place, nested, many is not None, item in (cls, *within)):
            faults.append(f"{label(cls, name)}: {fault}")
            continue
        inner = members_of(item, base, prefix, faults, (cls, *within)) if nested else ()
        members.append(Member(name, tag, place, many, read, inner))
    if any(member.place is Content for member in members) and any(member.place is None for member in members):
        faults.append(f"{label(cls)}: an element with Content has no child elements; make the other fields attributes")
    return tuple(members)


def _item_type(bare: Any) -> tuple[Any, Callable[[list[Any]], Sequence[Any]] | None]:
    """The type of one element, and what gathers several: list[T] and tuple[T, ...] may be repeated."""
    origin, args = get_origin(bare), get_args(bare)
    if origin is not list and not (origin is tuple and args[1:] == (...,)):
        return bare, None
    item, optional, _ = unwrap(args[0])
    return (NoneType if optional else item), origin


def _fault(tag: str, read: Reader | None, place: object, nested: bool, many: bool, circular: bool) -> str | None:
    if circular:
        return "a record cannot hold records of its own class"
    if read is None and not nested:
        return "give it a single value, an XmlRecord, or a list of either"
    if place is not None and (nested or many):
        return "an attribute or the content of an element is a single value"
    try:
        etree.QName(tag)
    except ValueError as error:
        return str(error)
    return None


def fill(element: Element, members: tuple[Member, ...], values: dict[str, Any], where: str) -> None:
    """Write the values of one record into its element. Raises FormatError, naming the field, at what XML cannot be."""
    for member in members:
        value = values[member.name]
        here = f"{where}, field {member.name}"
        if value is None:
            continue
        if member.place is Attribute:
            element.set(member.tag, _text(value, here))
        elif member.place is Content:
            element.text = _text(value, here) or None
        else:
            for item in value if member.many else (value,):
                child = etree.SubElement(element, member.tag)
                if member.read is None:
                    fill(child, member.members, item, here)
                else:
                    child.text = _text(item, here) or None


def _text(value: object, where: str) -> str:
    try:
        text = to_text(value)
    except ValueError as error:
        raise FormatError(f"{where}: {error}") from error
    if found := _ILLEGAL.search(text):
        raise FormatError(f"{where}: {named(found[0])} in {shown(text)} is not allowed in XML")
    return text


def values_of(element: Element, members: tuple[Member, ...], where: str) -> dict[str, Any]:
    """The values that an element holds, by field. Raises FormatError at anything that the shape has no place for."""
    attributes = {str(name): str(value) for name, value in element.attrib.items() if name not in _HINTS}
    children: dict[str, list[Element]] = {}
    for child in element:
        children.setdefault(str(child.tag), []).append(child)
    content = element.text or ""
    between = "".join(child.tail or "" for child in element)
    values: dict[str, Any] = {}
    for member in members:
        if member.place is Attribute:
            if (text := attributes.pop(member.tag, None)) is not None:
                values[member.name] = _read(member, text)
        elif member.place is Content:
            values[member.name], content = _read(member, content), ""
        else:
            values.update(_children_of(member, children.pop(member.tag, []), where))
    if unknown := [*attributes, *children]:
        raise FormatError(f"{where}, line {element.sourceline}: {element.tag} has no place for {', '.join(unknown)}")
    if stray := (content + between).strip():
        raise FormatError(f"{where}, line {element.sourceline}: {element.tag} has no place for the text {shown(stray)}")
    return values


def _children_of(member: Member, found: list[Element], where: str) -> dict[str, Any]:
    items = [_item(member, child, f"{where}, field {member.name}") for child in found]
    if member.many:
        return {member.name: member.many(items)}
    if len(items) > 1:
        raise FormatError(f"{where}, field {member.name}: line {found[1].sourceline}: {member.tag} stands there again")
    return {member.name: items[0]} if items else {}


def _item(member: Member, child: Element, where: str) -> object:
    if member.read is None:
        return values_of(child, member.members, where)
    if len(child) or child.attrib:
        raise FormatError(f"{where}: line {child.sourceline}: {child.tag} holds more than a single value")
    return _read(member, child.text or "")


def _read(member: Member, text: str) -> object:
    """The value of a text; white space around anything but text itself means nothing, as XML Schema has it."""
    assert member.read is not None  # only scalars are read from text
    value = member.read(text.strip())
    return text if type(value) is str else value
