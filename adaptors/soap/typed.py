"""Typed: a SOAP service as a Protocol, as the modules that `adaptor wsdl models` writes declare one.

The handler's handle is a SoapService all the same: behind it stands a TypedContract, which turns models into what zeep
takes, and zeep's answers into models.
"""

import sys
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from inspect import Parameter, signature
from typing import Any, TypeVar

from pydantic import ValidationError, create_model

from adapter_sdk.errors import InvalidData, PermanentError
from adaptors.soap.contract import Contract, Request, UnknownOperation
from adaptors.soap.envelope import UnreadableError
from adaptors.soap.faults import SoapFault
from adaptors.soap.model import SoapModel, members_of, read_value, summary_of
from adaptors.soap.record import Answer
from adaptors.soap.service import Backend, SoapService

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
ServiceT = TypeVar("ServiceT")
ViewT = TypeVar("ViewT", bound=type)


def typed_service(protocol: ViewT) -> ViewT:
    """Mark a Protocol as a view of SoapService: a handler may name it as the annotation of its handle."""
    protocol.__view_of__ = SoapService  # type: ignore[attr-defined]  # what `handles` asks a Protocol for
    return protocol


def soap_operation(name: str) -> Callable[[FunctionT], FunctionT]:
    """Say which operation of the WSDL a method stands for, where that is no Python name."""

    def mark(function: FunctionT) -> FunctionT:
        function.__operation__ = name  # type: ignore[attr-defined]  # kept where TypedContract looks
        return function

    return mark


@dataclass(frozen=True, slots=True)
class _Method:
    """`arguments` is a model of what the method takes; `answer` is the annotation of what it returns."""

    operation: str
    arguments: type[SoapModel]
    answer: Any


class TypedContract(Contract):
    """A contract as a typed service sees it: of one mind with `contract`, but models go in and models come out."""

    def __init__(self, contract: Contract, protocol: type) -> None:
        vars(self).update(vars(contract))
        self._untyped = contract
        self._protocol = protocol
        self._methods = _methods_of(protocol)
        self._names = {name: method.operation for name, method in self._methods.items()}

    @property
    def operations(self) -> list[str]:
        """The names of the methods, sorted."""
        return sorted(self._names)

    def check_operation(self, name: str) -> None:
        """Raise UnknownOperation unless the Protocol has the method, and the port its operation."""
        if name not in self._names:
            raise UnknownOperation(
                f"{self._protocol.__name__} has no operation {name!r}; name it when you run `adaptor wsdl models`"
            )
        self._untyped.check_operation(self._names[name])

    def methods_of(self, operations: Collection[str]) -> set[str]:
        """The methods that stand for these operations of the WSDL."""
        return {method for method, name in self._names.items() if name in operations}

    def build(self, operation: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], message_id: str) -> Request:
        """Render a request from models and plain values. Raises as `Contract.build`."""
        if args:
            raise PermanentError(f"{operation}: takes keyword arguments only, nothing was sent")
        try:
            arguments = self._methods[operation].arguments.model_validate(dict(kwargs))
        except ValidationError as error:
            raise InvalidData(f"{operation}: nothing was sent: {summary_of(error)}") from error
        return super().build(self._names[operation], (), members_of(arguments), message_id)

    def read(self, operation: str, answer: Answer) -> Any:
        """The model in an answer, or a SoapFault. Raises UnreadableError."""
        value = super().read(self._names[operation], answer)
        if isinstance(value, SoapFault):
            return value
        try:
            return read_value(self._methods[operation].answer, value)
        except ValidationError as error:
            raise UnreadableError(f"it does not fit the models of the WSDL: {summary_of(error)}") from error


@cache
def _methods_of(protocol: type) -> dict[str, _Method]:
    # pydantic finishes a model when it is first used, and two threads that do so at a time are in each other's way.
    for found in vars(sys.modules[protocol.__module__]).values():
        if isinstance(found, type) and issubclass(found, SoapModel):
            found.model_rebuild()
    functions = {name: found for name, found in vars(protocol).items() if callable(found) and not name.startswith("_")}
    return {name: _method(name, function) for name, function in functions.items()}


def _method(name: str, function: Callable[..., Any]) -> _Method:
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], ... if parameter.default is Parameter.empty else parameter.default)
        for parameter in list(signature(function).parameters.values())[1:]
    }
    arguments = create_model(name, __base__=SoapModel, **fields)
    arguments.model_rebuild()
    return _Method(getattr(function, "__operation__", name), arguments, hints["return"])


def typed_view(service: SoapService, protocol: Callable[..., ServiceT]) -> ServiceT:
    """A service that was made by `connect` as a typed one, for use by hand: `typed_view(service, ErpService)`."""
    view: Any = SoapService(typed_backend(service._backend, typing.cast(type, protocol)))
    return typing.cast(ServiceT, view)


def typed_backend(backend: Backend, protocol: type) -> Backend:
    """The backend behind a typed service."""
    contract = TypedContract(backend.contract, protocol)
    return replace(backend, contract=contract, queries=contract.methods_of(backend.queries))
