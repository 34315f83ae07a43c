"""Describe: what a WSDL promises, as plain data for people and programs. Fields have the names and types of the XML."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from lxml import etree
from zeep import xsd
from zeep.xsd.elements.any import AnyAttribute
from zeep.xsd.elements.indicators import Choice, Group, Indicator
from zeep.xsd.types.collection import ListType

from adapter_sdk.errors import ConfigError
from adaptors.soap.details import declared_details
from adaptors.soap.vendored import XSD
from adaptors.soap.wsdl.document import PortOf, Wsdl
from adaptors.soap.wsdl.models import base_of, derived_types, is_global
from adaptors.soap.wsdl.schemas import documentation

_XS = f"{{{XSD}}}"


@dataclass(frozen=True, slots=True)
class Item:
    """An element or an attribute. `type` is "{namespace}name"; `highest` None is unbounded; `rules` are facets."""

    name: str
    type: str
    lowest: int = 1
    highest: int | None = 1
    nillable: bool = False
    attribute: bool = False
    in_choice: bool = False
    rules: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What travels. `element` is the qualified name of what the body or a fault detail holds; "" if it is empty."""

    element: str
    fields: list[Item]
    headers: list[Item] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OperationInfo:
    """One operation of one binding. `faults` are by the names that the WSDL gives them."""

    name: str
    style: str
    use: str
    soap_action: str
    documentation: str
    input: Message
    output: Message | None
    faults: dict[str, Message]


@dataclass(frozen=True, slots=True)
class BindingInfo:
    """One binding of a portType to SOAP, with its operations in the order of the WSDL."""

    name: str
    speaks: str
    port_type: str
    operations: list[OperationInfo]


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A complex type, or a simple one with rules. `base` is the type that it extends."""

    name: str
    documentation: str
    base: str | None
    abstract: bool
    fields: list[Item]


@dataclass(frozen=True, slots=True)
class Description:
    """The whole. `left_out` has a sentence for each operation that cannot be used."""

    wsdl: str
    documents: int
    ports: list[dict[str, str]]
    bindings: list[BindingInfo]
    types: list[TypeInfo]
    left_out: list[str]


def describe(wsdl: Wsdl, operations: Collection[str] = ()) -> Description:
    """The WSDL, or only these operations and the types that they need. Raises ConfigError if one is not there."""
    types = _Types(wsdl)
    ports = wsdl.ports()
    soap = {port.binding.name.text: port for port in wsdl.bindings() if port.is_soap}
    known = {name for port in soap.values() for name in port.binding.all()}
    if faults := [_unknown(wsdl, name, known) for name in operations if name not in known]:
        raise ConfigError(*faults)
    bindings = [
        BindingInfo(name, port.speaks, port.port_type, [_operation(wsdl, port, types, one) for one in wanted])
        for name, port in soap.items()
        if (wanted := [one for one in port.binding.all() if not operations or one in operations])
    ]
    return Description(
        wsdl=str(wsdl.path),
        documents=wsdl.documents,
        ports=[
            {"service": one.service, "port": one.name, "speaks": one.speaks}
            | {"address": one.address, "binding": one.binding.name.text}
            for one in ports
        ],
        bindings=bindings,
        types=types.all(),
        left_out=wsdl.left_out,
    )


def _unknown(wsdl: Wsdl, name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=3) or sorted(known)[:10]
    return f"{wsdl.path}: no operation {name!r}; there is {', '.join(near) or 'none'}"


def _operation(wsdl: Wsdl, port: PortOf, types: "_Types", name: str) -> OperationInfo:
    described = port.binding.get(name)
    return OperationInfo(
        name=name,
        style=described.style,
        use=wsdl.use_of(port, name),
        soap_action=described.soapaction or "",
        documentation=wsdl.documentation(port, name),
        input=_message(types, described.input),
        output=None if described.output is None else _message(types, described.output),
        faults={
            name: Message(detail, _fields_of_detail(types, kind)) for name, detail, kind in declared_details(described)
        },
    )


def _fields_of_detail(types: "_Types", kind: Any) -> list[Item]:
    if isinstance(kind, xsd.Element):
        return types.fields(kind.type, kind.qname.localname, kind)
    return types.fields(kind, kind.qname.localname, None)


def _message(types: "_Types", message: Any) -> Message:
    if message is None:
        return Message("", [], [])
    body, header = message.body, message.header
    headers = [types.item(one, name) for name, one in header.type.elements] if header and header.type._element else []
    if body is None:
        return Message("", [], headers)
    return Message(body.qname.text, types.fields(body.type, body.name, body), headers)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an element stands: within groups of which one may be absent, one may repeat, or one is a choice."""

    optional: bool = False
    repeats: bool = False
    in_choice: bool = False

    def inside(self, group: Any) -> "_Place":
        return _Place(
            self.optional or group.min_occurs == 0,
            self.repeats or group.accepts_multiple,
            self.in_choice or isinstance(group, Choice),
        )

    def lowest(self, element: Any) -> int:
        return 0 if self.optional or self.in_choice else int(element.min_occurs)

    def highest(self, element: Any) -> int | None:
        return None if self.repeats or element.max_occurs == "unbounded" else int(element.max_occurs)


_PLAIN = _Place()


class _Types:
    """The types that have been met, each described once, in the order in which they were met."""

    def __init__(self, wsdl: Wsdl) -> None:
        self._schemas = wsdl.schemas
        self._derived = derived_types(wsdl.types)
        self._met: dict[object, tuple[str, Any, etree._Element | None]] = {}

    def all(self) -> list[TypeInfo]:
        """All of them, with those that they lead to."""
        done: list[TypeInfo] = []
        while len(done) < len(self._met):
            name, kind, node = list(self._met.values())[len(done)]
            base = base_of(kind)
            done.append(
                TypeInfo(
                    name=name,
                    documentation=documentation(node),
                    base=None if base is None else base.qname.text,
                    abstract=node is not None and node.get("abstract") == "true",
                    fields=self.fields(kind, name, None),
                )
            )
        return done

    def fields(self, kind: Any, owner: str, element: Any) -> list[Item]:
        """What a type is made of; a simple type is one item without a name."""
        if not isinstance(kind, xsd.ComplexType):
            name, rules = self._simple(kind, self._node(element))
            return [Item("", name, rules=rules)]
        found = [item for _, group in kind.elements_nested for item in self._particle(group, owner, _PLAIN)]
        for _, attribute in kind.attributes:
            if isinstance(attribute, AnyAttribute):
                found.append(Item("*", f"{_XS}anySimpleType", 0, attribute=True))
            else:
                found.append(self.item(attribute, owner, attribute=True))
        return found

    def item(self, element: Any, owner: str, place: "_Place | None" = None, *, attribute: bool = False) -> Item:
        """An element or attribute with its type."""
        place = place or _PLAIN
        name, rules = self._reference(element, self._node(element), owner)
        return Item(
            # zeep's name for the text of an element that has attributes.
            name="" if element.name == "_value_1" else element.name,
            type=name,
            lowest=int(element.required) if attribute else place.lowest(element),
            highest=place.highest(element),
            nillable=element.nillable,
            attribute=attribute,
            in_choice=place.in_choice,
            rules=rules,
        )

    def _particle(self, particle: Any, owner: str, place: "_Place") -> Iterator[Item]:
        if isinstance(particle, xsd.Element):
            yield self.item(particle, owner, place)
        elif isinstance(particle, Group):
            yield from self._particle(particle.child, owner, place.inside(particle))
        elif isinstance(particle, Indicator):
            parts: Any = particle
            for one in parts:
                yield from self._particle(one, owner, place.inside(particle))
        elif particle is not None:
            yield Item("*", f"{_XS}any", place.lowest(particle), place.highest(particle), in_choice=place.in_choice)

    def _reference(self, element: Any, node: etree._Element | None, owner: str) -> tuple[str, str]:
        kind = element.type
        if not isinstance(kind, xsd.ComplexType):
            return self._simple(kind, node)
        if kind.is_global:
            self._meet(kind)
            return kind.qname.text, ""
        is_named = node is not None and is_global(node)
        name = kind.qname.text if is_named else f"{owner}/{element.name}"
        return self._met.setdefault(id(kind), (name, kind, node))[0], ""

    def _meet(self, kind: Any) -> None:
        """Note a type and all that derive from it: any of them may come where it is declared."""
        name = kind.qname.text
        if name not in self._met:
            self._met[name] = (name, kind, self._schemas.find("complexType", name))
            for derived in self._derived.get(name, ()):
                self._meet(derived)

    def _simple(self, kind: Any, node: etree._Element | None) -> tuple[str, str]:
        built_in = kind.item_type if isinstance(kind, ListType) else kind
        base = f"{_XS}{getattr(built_in, '_default_qname', etree.QName('anyType')).localname}"
        name, defined = (None, None) if node is None else self._schemas.simple_type(node)
        if node is None and kind.qname is not None:
            name, defined = kind.qname.text, self._schemas.find("simpleType", kind.qname.text)
        rules = str(self._schemas.facets(defined))
        if name is None or defined is None:
            return base, f"a list; {rules}" if isinstance(kind, ListType) else rules
        shown = (
            f"a list of {etree.QName(base).localname}" if isinstance(kind, ListType) else etree.QName(base).localname
        )
        return name, f"{shown}; {rules}" if rules else shown

    def _node(self, element: Any) -> etree._Element | None:
        return None if element is None else self._schemas.node(element.default)
