"""@handler.answer: the method that makes a reply of a later answer, checked at class creation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from adapter_sdk.annotations import hints_of, parameters_of, place_of, reply_types
from adapter_sdk.errors import ConfigError, InvalidReply
from adapter_sdk.events import EventData


@dataclass(frozen=True, slots=True)
class AnswerMethod:
    """A method as it is marked in its class: `key` names the field that carries the key, `options` are the family's."""

    function: Callable[..., Any]
    key: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSpec:
    """All that class creation learnt about one answer method of the handler for `event_type`.

    `record` is the class that the method takes, `replies` the types that it may return, `options` what stands beside
    `key` in the decorator: the family knows what they mean.
    """

    name: str
    where_defined: str
    event_type: str
    key: str
    record: type[BaseModel]
    replies: tuple[type[EventData], ...]
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def check_reply(self, returned: object) -> EventData:
        """The reply data that the method returned. Raises InvalidReply if its annotation does not promise it."""
        if isinstance(returned, EventData) and isinstance(returned, self.replies):
            return returned
        wanted = " | ".join(kind.__name__ for kind in self.replies)
        given = "None" if returned is None else f"a {type(returned).__name__}"
        raise InvalidReply(f"{self.where_defined} returned {given}; its annotation promises {wanted}")


def read_answer_methods(
    cls: type,
    methods: Sequence[AnswerMethod],
    *,
    handler: str,
    event_type: str,
    owed: tuple[type[EventData], ...],
    localns: Mapping[str, Any],
) -> tuple[AnswerSpec, ...]:
    """The answer methods of the handler at the place `handler`. Raises ConfigError with every fault of theirs."""
    faults: list[str] = []
    specs = []
    if owed and not methods:
        faults.append(f"{handler}: returns Pending, and no method makes a reply of the answer: mark one with `.answer`")
    for method in methods:
        try:
            specs.append(_read(place_of(cls, method.function), method, event_type, owed, localns))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(*faults)
    return tuple(specs)


def _read(
    place: str, method: AnswerMethod, event_type: str, owed: tuple[type[EventData], ...], localns: Mapping[str, Any]
) -> AnswerSpec:
    if not owed:
        raise ConfigError(f"{place}: answers a handler that owes no reply; let it return `Pending[YourReply]`")
    parameter, *more = parameters_of(place, method.function, BaseModel)
    if more:
        raise ConfigError(f"{place}: takes (self, {parameter}, {more[0]}); an answer method takes (self, record)")
    hints = hints_of(place, method.function, localns)
    record = hints.get(parameter)
    if not (isinstance(record, type) and issubclass(record, BaseModel)):
        raise ConfigError(f"{place}: parameter {parameter!r} is the answer; annotate it with the model of its record")
    if method.key not in record.model_fields:
        known = ", ".join(record.model_fields)
        raise ConfigError(f"{place}: {record.__name__} has no field {method.key!r} for the key; it has {known}")
    returns = reply_types(place, hints)
    one = returns.replies and not (returns.in_list or returns.silent or returns.owed)
    if not (one and set(returns.replies) <= set(owed)):
        wanted = " | ".join(kind.__name__ for kind in owed)
        raise ConfigError(f"{place}: an answer becomes one reply that its handler owes; return {wanted}")
    return AnswerSpec(
        name=method.function.__name__,
        where_defined=place,
        event_type=event_type,
        key=method.key,
        record=record,
        replies=returns.replies,
        options=method.options,
    )
