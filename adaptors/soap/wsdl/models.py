"""Models: from the types that zeep knows to definitions of classes. No text of Python yet but annotations.

zeep's names are the aliases of the fields, so that what a model holds is what zeep takes and gives.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree
from zeep import xsd
from zeep.xsd.elements.any import AnyAttribute
from zeep.xsd.elements.indicators import Choice, Group, Indicator

from adaptors.soap.vendored import XSD
from adaptors.soap.wsdl.annotations import constraints, enumeration, python_type
from adaptors.soap.wsdl.names import ClassNames, identifier
from adaptors.soap.wsdl.schemas import Schemas, documentation
from adaptors.soap.wsdl.text import literal

# Characters. A longer annotation of a field gets a name.
_LONGEST_INLINE = 60
_SOAP_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"


@dataclass(frozen=True, slots=True)
class FieldOf:
    """A field of a model, or a parameter of an operation. `key` is zeep's name for it.

    `one` annotates one value, `repeats` says that there may be several, `required` that it must be given, `nillable`
    that one value may be None.
    """

    name: str
    key: str
    one: str
    repeats: bool = False
    required: bool = True
    nillable: bool = False

    @property
    def annotation(self) -> str:
        """The annotation without the alias."""
        if self.repeats:
            return f"Sequence[{or_none(self.one) if self.nillable else self.one}]"
        return self.one if self.required and not self.nillable else or_none(self.one)

    @property
    def default(self) -> str | None:
        """What the field is when it is not given, as Python writes it; None if it must be given."""
        if self.required:
            return None
        return "()" if self.repeats else "None"

    @property
    def metadata(self) -> list[str]:
        """What stands in `Annotated` beside the annotation."""
        return [] if self.name == self.key else [f"Field(alias={literal(self.key)})"]


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a restricted simple type: one of `values`, as Python writes them, or `python` within `limits`."""

    name: str
    python: str
    values: tuple[str, ...]
    limits: list[str]


@dataclass(slots=True)
class Model:
    """A class to write. `xml_type` is the qualified name of a type that has one, `doc` what the schema says of it."""

    name: str
    kind: Any
    summary: str
    doc: str = ""
    xml_type: str | None = None
    base: "Model | None" = None
    fields: list[FieldOf] = field(default_factory=list)


class Models:
    """The models and aliases of all types that have been referred to, in the order in which they were.

    `reserved` are names that no field may have, because annotations and base classes need them.
    """

    def __init__(self, types: Any, schemas: Schemas, names: ClassNames, reserved: Collection[str]) -> None:
        self._schemas = schemas
        self._names = names
        self._reserved = reserved
        self._models: dict[object, Model] = {}
        self._unfinished: list[Model] = []
        self._with_derived: set[str] = set()
        self._derived = derived_types(types)
        self.aliases: dict[str, Alias] = {}
        # All of them, whichever are used: adding an operation must not rename the types of others.
        for category in ("complexType", "simpleType", "element"):
            for name, node in schemas.named(category):
                if category != "element" or node.find(f"{{{XSD}}}complexType") is not None:
                    names.of((category, name), node.get("name", ""))

    def finished(self) -> list[Model]:
        """All models with their fields, each after the one that it derives from."""
        while self._unfinished:
            model = self._unfinished.pop(0)
            fields = self.fields(model.kind, model.name)
            inherited = {one.key for one in _inherited(model.base)}
            if model.base is not None and not inherited <= {one.key for one in fields}:
                model.base, inherited = None, set()
            model.fields = [one for one in fields if one.key not in inherited]
        return list(self._models.values())

    def of_message(self, kind: Any, name: str, summary: str) -> str:
        """The name of the model for a type that no schema has, such as that of the parts of an answer."""
        return self._add(id(kind), Model(self._names.of(id(kind), name), kind, summary)).name

    def fields(self, kind: Any, owner: str) -> list[FieldOf]:
        """The fields of a complex type. `owner` begins the names of the types in it that have no name."""
        found: dict[str, FieldOf] = {}
        for key, group in kind.elements_nested:
            if isinstance(group, xsd.Element):
                text = FieldOf(self._free("value", found), key, self.reference(group.type, None, f"{owner}Value"))
                found[key] = text
            else:
                self._group(found, key, group, owner, optional=False)
        for key, attribute in kind.attributes:
            self._attribute(found, key, attribute, owner)
        return list(found.values())

    def reference(self, kind: Any, node: etree._Element | None, hint: str) -> str:
        """The annotation of one value of a type. `node` is its element or attribute in the schema, if it has one."""
        if not isinstance(kind, xsd.ComplexType):
            return self._simple(kind, node, hint)
        if (inner := encoded_value(kind)) is not None:
            return python_type(inner)
        if kind._array_type is not None:
            item, default = _item_of(kind)
            return f"Sequence[{self.reference(item, self._schemas.node(default), hint)}]"
        return self._complex(kind, node, hint)

    def _complex(self, kind: Any, node: etree._Element | None, hint: str) -> str:
        model = self._model(kind, node, hint)
        name = model.xml_type
        if name is not None and name not in self._with_derived:
            # An answer may say by xsi:type that it has one of these.
            self._with_derived.add(name)
            for derived in self._derived.get(name, ()):
                self._complex(derived, None, derived.qname.localname)
        return model.name

    def _model(self, kind: Any, node: etree._Element | None, hint: str) -> Model:
        full_name = kind.qname.text if kind.qname is not None else hint
        key: object = id(kind)
        summary = f"What the element {full_name} holds."
        defined = None if node is None else node.find(f"{{{XSD}}}complexType")
        if kind.is_global:
            key, summary = ("complexType", full_name), f"The type {full_name}."
            defined = self._schemas.find("complexType", full_name)
            if defined is not None and defined.get("abstract") == "true":
                summary = f"The type {full_name}. It is abstract: what is sent is one of those that derive from it."
        elif node is not None and is_global(node) and defined is not None:
            key = ("element", full_name)
        if key in self._models:
            return self._models[key]
        base_kind = base_of(kind)
        base = None if base_kind is None else self._model(base_kind, None, base_kind.qname.localname)
        name = self._names.of(key, kind.qname.localname if kind.is_global else hint)
        doc = documentation(defined) or documentation(node)
        return self._add(key, Model(name, kind, summary, doc, full_name if kind.is_global else None, base))

    def _add(self, key: object, model: Model) -> Model:
        if key not in self._models:
            self._models[key] = model
            self._unfinished.append(model)
        return self._models[key]

    def _simple(self, kind: Any, node: etree._Element | None, hint: str) -> str:
        name = kind.qname.text if kind.qname is not None else None
        defined = self._schemas.find("simpleType", name) if name else None
        if node is not None:
            name, defined = self._schemas.simple_type(node)
        python, facets = python_type(kind), self._schemas.facets(defined)
        values, limits = enumeration(python, facets), constraints(python, facets)
        if not values and not limits:
            return python
        inline = f"Annotated[{python}, Field({', '.join(limits)})]"
        if name is None and not values and len(inline) <= _LONGEST_INLINE:
            return inline
        key, wanted = (("simpleType", name), name.rpartition("}")[2]) if name else ((hint, values), hint)
        alias = self._names.of(key, wanted)
        self.aliases[alias] = Alias(alias, python, values, limits)
        return alias

    def _group(self, found: dict[str, FieldOf], key: str, group: Any, owner: str, *, optional: bool) -> None:
        optional = optional or group.min_occurs == 0
        inside = group.child if isinstance(group, Group) else group
        if group.accepts_multiple:
            self._repeated_group(found, key, inside, owner, required=not optional and not isinstance(inside, Choice))
        elif inside is not group:
            self._group(found, key, inside, owner, optional=optional)
        else:
            self._particles(found, group, owner, optional=optional)

    def _particles(self, found: dict[str, FieldOf], group: Any, owner: str, *, optional: bool) -> None:
        optional = optional or isinstance(group, Choice)
        for key, particle in group.elements_nested:
            if isinstance(particle, Indicator):
                self._group(found, key, particle, owner, optional=optional)
            elif isinstance(particle, xsd.Any):
                repeats = particle.accepts_multiple
                name = self._free("any_elements" if repeats else "any_element", found)
                required = not optional and particle.min_occurs > 0
                found[key] = FieldOf(name, key, "Any", repeats, required)
            elif particle.max_occurs != 0:
                self._element(found, key, particle, owner, optional=optional)

    def _element(self, found: dict[str, FieldOf], key: str, element: Any, owner: str, *, optional: bool) -> None:
        node = self._schemas.node(element.default)
        one = FieldOf(
            name=found[key].name if key in found else self._free(key, found),
            key=key,
            one=self.reference(element.type, node, f"{owner}{key[:1].upper()}{key[1:]}"),
            repeats=element.accepts_multiple,
            required=not optional and element.min_occurs > 0,
            nillable=element.nillable,
        )
        # The same name may stand in two branches of a choice, with two types.
        known = found.get(key)
        found[key] = one if known is None or known.annotation == one.annotation else _either(known, one)

    def _repeated_group(self, found: dict[str, FieldOf], key: str, group: Any, owner: str, *, required: bool) -> None:
        name = self._names.of((owner, key), f"{owner}Item")
        model = self._models[owner, key] = Model(name, group, f"One of the repeated parts of {owner}.")
        inside: dict[str, FieldOf] = {}
        self._particles(inside, group, name, optional=False)
        model.fields = list(inside.values())
        found[key] = FieldOf(self._free("items", found), key, name, repeats=True, required=required)

    def _attribute(self, found: dict[str, FieldOf], key: str, attribute: Any, owner: str) -> None:
        if isinstance(attribute, AnyAttribute):
            name = self._free("any_attributes", found)
            found[key] = FieldOf(name, key, "Mapping[str, str]", required=False)
            return
        node = self._schemas.node(attribute.default)
        if node is None or node.get("use") != "prohibited":
            one = self.reference(attribute.type, node, f"{owner}{key[:1].upper()}{key[1:]}")
            found[key] = FieldOf(self._free(key, found), key, one, required=bool(attribute.required))

    def _free(self, key: str, found: dict[str, FieldOf]) -> str:
        return identifier(key, {*self._reserved, *(one.name for one in found.values())})


def or_none(annotation: str) -> str:
    """The annotation of a value that may be None. Any may be anything as it is."""
    return annotation if annotation == "Any" else f"{annotation} | None"


def encoded_value(kind: Any) -> Any:
    """The type of the value in a type of SOAP encoding, such as soapenc:string, which is one with attributes."""
    if kind.qname is None or kind.qname.namespace != _SOAP_ENCODING:
        return None
    return next((element.type for _, element in kind.elements_nested if isinstance(element, xsd.Element)), None)


def derived_types(types: Any) -> dict[str, list[Any]]:
    """The complex types that extend each global one directly."""
    found: dict[str, list[Any]] = {}
    for kind in types.types:
        if isinstance(kind, xsd.ComplexType) and (base := base_of(kind)) is not None:
            found.setdefault(base.qname.text, []).append(kind)
    return found


def base_of(kind: Any) -> Any:
    """The complex type that a complex type extends, or None."""
    base = getattr(next(iter(kind._extension_types), None), "_xsd_type", None)
    return base if isinstance(base, xsd.ComplexType) and base.is_global else None


def _inherited(model: Model | None) -> Iterator[FieldOf]:
    while model is not None:
        yield from model.fields
        model = model.base


def _item_of(kind: Any) -> tuple[Any, str | None]:
    """The type of an array's items, and the default of their element."""
    elements = [] if isinstance(kind._element, Group) else kind.elements
    for _, element in elements:
        if isinstance(element, xsd.Element):
            return element.type, element.default
    any_type: Any = xsd.AnyType
    return kind._array_type.array_type or any_type(), None


def _either(one: FieldOf, other: FieldOf) -> FieldOf:
    same = one.one == other.one
    return FieldOf(one.name, one.key, one.one if same else "Any", one.repeats or other.repeats, required=False)


def is_global(node: etree._Element) -> bool:
    """Whether a node of a schema stands directly in it."""
    parent = node.getparent()
    return parent is not None and parent.tag == f"{{{XSD}}}schema"
