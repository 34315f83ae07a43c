"""Model: the base of the models that `adaptor wsdl models` writes, and the way from zeep's values to them and back."""

import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Generic, TypeVar

import zeep
from pydantic import (
    BaseModel,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    model_validator,
)

from adapter_sdk.errors import PermanentError
from adaptors.soap.contract import XSI_TYPE
from adaptors.soap.faults import Reject

DetailT = TypeVar("DetailT", covariant=True)

# The validation context of what a service sent, as against what a handler gives.
_ANSWER = object()
_NOT_TEXT = (bool, int, float, Decimal, date, datetime, time)


class SoapModel(BaseModel):
    """A complex type of a WSDL: frozen, and strict, so that it takes at run time what a type checker allows.

    A field whose XML name is no Python name has that as its alias, and can be given by either. None is left out of a
    request, or sent as xsi:nil where the element must be there.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        defer_build=True,
    )
    # The qualified name, "{namespace}name", of a type that has one: what xsi:type says.
    _xml_type: ClassVar[str | None] = None

    @model_validator(mode="wrap")
    @classmethod
    def _of_answer(cls, value: Any, build: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if info.context is not _ANSWER or isinstance(value, cls):
            return build(_frozen(value))
        kind = _named(cls, value)
        return build(_members(cls, value)) if kind is cls else kind.model_validate(value, context=_ANSWER)


class DeclaredFault(Reject, Generic[DetailT]):
    """A fault that the WSDL declares, with its detail as a model. `element` is the detail's "{namespace}name"."""

    element: ClassVar[str]

    @property
    def detail(self) -> DetailT:
        """The fault's detail. Raises PermanentError if the service sent one that is not what the WSDL declares."""
        bases = (base for kind in type(self).__mro__ for base in vars(kind).get("__orig_bases__", ()))
        (kind,) = typing.get_args(next(base for base in bases if typing.get_origin(base) is DeclaredFault))
        try:
            detail: DetailT = read_value(kind, super().detail)
        except ValidationError as error:
            raise PermanentError(
                f"{self} Its detail does not fit {type(self).__name__}: {summary_of(error)}"
            ) from error
        return detail


def declared_faults(*faults: type[DeclaredFault[Any]]) -> Mapping[str, type[Reject]]:
    """What the `faults` of an adaptor take, so that each of these faults is raised as its own class."""
    return {fault.element: fault for fault in faults}


def read_value(kind: Any, value: Any) -> Any:
    """A value of zeep as what an annotation says. Raises ValidationError."""
    shape = _shape("", kind, required=True)
    return _adapter(kind).validate_python(_filled(shape, value), context=_ANSWER)


def members_of(model: SoapModel) -> dict[str, Any]:
    """The fields of a model as zeep takes them, by its names. What is None stays away: it is absent, or nil."""
    return {
        shape.key: _sent(value, shape.kind)
        for name, shape in _shapes(type(model)).items()
        if (value := getattr(model, name)) is not None
    }


def summary_of(error: ValidationError) -> str:
    """Which field breaks which rule, without the values."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg']}" for fault in faults)


def _sent(value: Any, declared: Any) -> Any:
    if isinstance(value, SoapModel):
        members = members_of(value)
        name = value._xml_type
        return members if type(value) is declared or name is None else {XSI_TYPE: name, **members}
    if typing.get_origin(declared) is Sequence:
        (item,) = typing.get_args(declared)
        # zeep would leave a None out, and shift what follows it.
        return [zeep.xsd.Nil if one is None else _sent(one, _without_none(item)[0]) for one in value]
    return value


@dataclass(frozen=True, slots=True)
class _Shape:
    """A field as zeep sees it: its name there, its type, that of one value where it repeats, whether it may be None."""

    key: str
    kind: Any
    item: Any
    repeats: bool
    required: bool
    nillable: bool


@cache
def _shapes(cls: type[SoapModel]) -> dict[str, _Shape]:
    cls.model_rebuild()
    return {
        name: _shape(field.alias or name, field.annotation, required=field.is_required())
        for name, field in cls.model_fields.items()
    }


def _shape(key: str, annotation: Any, *, required: bool) -> _Shape:
    kind, nillable = _without_none(annotation)
    if typing.get_origin(kind) is not Sequence:
        return _Shape(key, kind, kind, repeats=False, required=required, nillable=nillable)
    item, nillable = _without_none(typing.get_args(kind)[0])
    return _Shape(key, kind, item, repeats=True, required=required, nillable=nillable)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    kind = annotation
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    members = typing.get_args(kind)
    if typing.get_origin(kind) not in (typing.Union, UnionType) or type(None) not in members:
        return kind, False
    (kind,) = (member for member in members if member is not type(None))
    return _without_none(kind)[0], True


def _frozen(value: Any) -> Any:
    """What a handler gives, with its lists as tuples, so that a model stays as it was made."""
    if not isinstance(value, dict):
        return value
    return {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}


def _named(cls: type[SoapModel], value: Any) -> type[SoapModel]:
    """The model for the type that xsi:type named. Raises ValueError if there is none."""
    if not isinstance(value, zeep.xsd.CompoundValue) or not value._xsd_type.is_global or value._xsd_type.qname is None:
        return cls
    name = value._xsd_type.qname.text
    if cls._xml_type in (None, name):
        return cls
    for kind in _derived(cls):
        if kind._xml_type == name:
            return kind
    raise ValueError(f"is of type {name}, which has no model")


def _derived(cls: type[SoapModel]) -> Iterator[type[SoapModel]]:
    for kind in cls.__subclasses__():
        yield kind
        yield from _derived(kind)


def _members(cls: type[SoapModel], value: Any) -> Any:
    """What zeep read, ready for validation."""
    if isinstance(value, zeep.xsd.CompoundValue):
        value = value.__values__
    if not isinstance(value, Mapping):
        return value
    given = {key: item for key, item in value.items() if item is not None}
    for shape in _shapes(cls).values():
        if shape.key in given or shape.required:
            given[shape.key] = _filled(shape, given.get(shape.key))
    return given


def _filled(shape: _Shape, value: Any) -> Any:
    """The value, with what an empty element means in its type where zeep has None for it."""
    if shape.repeats:
        # Where nothing of a repeated group came, zeep has a dict of what there might have been, or one in the list.
        items = value if isinstance(value, list | tuple) else ()
        return tuple(_one(shape, item) for item in items if not _is_hollow(item))
    return _one(shape, value)


def _is_hollow(item: Any) -> bool:
    return isinstance(item, Mapping) and bool(item) and all(value is None for value in item.values())


def _one(shape: _Shape, value: Any) -> Any:
    kind = shape.item
    if value is None:
        if shape.nillable:
            return None
        if isinstance(kind, type) and issubclass(kind, SoapModel):
            # An element without content, if it may be that; what must have content is missing altogether.
            return None if any(inner.required for inner in _shapes(kind).values()) else {}
        return kind() if kind in (str, bytes) else None
    # zeep gives the default of an absent attribute as it stands in the schema.
    if isinstance(value, str) and kind in _NOT_TEXT:
        return _adapter(kind).validate_strings(value)
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
