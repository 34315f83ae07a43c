"""@handles: from a method of an adaptor to what the pipeline needs to know about it, checked at class creation."""

import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from adapter_sdk.errors import ConfigError, InvalidReply
from adapter_sdk.events import Event, EventData
from adapter_sdk.patterns import Pattern
from adapter_sdk.retry import LONGEST_DELAY, RetryPolicy

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


@dataclass(frozen=True, slots=True)
class NotApplied:
    """What a `verify` method answers when the backend shows that the effect did not happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What stands in `@handles(...)`.

    `where` is an event pattern that narrows the events taken; an event that does not match is passed over. `idempotent`
    declares that the effect may be asked for twice. `retry` replaces the adaptor's retry policy. `timeout` is the total
    time of one native call in seconds; None means the family's setting.
    """

    where: Pattern | None = None
    idempotent: bool = False
    retry: RetryPolicy | None = None
    timeout: float | None = None


class Handler(Generic[P, R]):
    """A handler as it stands in its class: called like the method it wraps, with `verify` to attach its question."""

    def __init__(self, function: Callable[Concatenate[Any, P], R], options: Options) -> None:
        self.function = function
        self.options = options
        self.verifier: Callable[..., Any] | None = None
        self.settle = 0.0
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, instance: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the method through its class, with the adaptor as first argument."""
        return self.function(instance, *args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type) -> "Handler[P, R]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[P, R]: ...
    def __get__(self, instance: object | None, owner: type) -> "Handler[P, R] | Callable[P, R]":
        if instance is None:
            return self
        return types.MethodType(self.function, instance)

    @overload
    def verify(
        self, function: Callable[Concatenate[Any, P], R | NotApplied], /
    ) -> Callable[Concatenate[Any, P], R | NotApplied]: ...
    @overload
    def verify(
        self, /, *, settle: float = 0.0
    ) -> Callable[[Callable[Concatenate[Any, P], R | NotApplied]], Callable[Concatenate[Any, P], R | NotApplied]]: ...
    def verify(self, function: Callable[..., Any] | None = None, /, *, settle: float = 0.0) -> Any:
        """Attach the method that is asked when an earlier attempt is in doubt, `settle` seconds after that attempt.

        It returns what the handler would have returned, or NotApplied, or raises InDoubt when it cannot tell. Choose
        `settle` longer than the backend's longest processing time: an early "no" is not a no. Raises ConfigError if it
        is not 0 to 30 days.
        """
        if not 0 <= settle <= LONGEST_DELAY:
            raise ConfigError(f"@{self.__name__}.verify: settle is {settle}; give seconds, from 0 to 30 days")

        def attach(
            function: Callable[Concatenate[Any, P], R | NotApplied],
        ) -> Callable[Concatenate[Any, P], R | NotApplied]:
            self.verifier = function
            self.settle = settle
            return function

        return attach if function is None else attach(function)


@overload
def handles(function: Callable[Concatenate[Any, P], R], /) -> Handler[P, R]: ...
@overload
def handles(
    *,
    where: Mapping[str, Any] | None = None,
    idempotent: bool = False,
    retry: RetryPolicy | None = None,
    timeout: float | None = None,
) -> Callable[[Callable[Concatenate[Any, P], R]], Handler[P, R]]: ...
def handles(
    function: Callable[Concatenate[Any, P], R] | None = None,
    /,
    *,
    where: Mapping[str, Any] | None = None,
    idempotent: bool = False,
    retry: RetryPolicy | None = None,
    timeout: float | None = None,
) -> Handler[P, R] | Callable[[Callable[Concatenate[Any, P], R]], Handler[P, R]]:
    """Make a method of an adaptor the handler for the event type that its first annotation names.

    Return means done: the returned event data become the reply events. Raise means not done: the kind of error says
    what happens next. Bare (`@handles`) or with options. Raises ConfigError if `where` is not an event pattern.
    """
    if timeout is not None and timeout <= 0:
        raise ConfigError(f"@handles: timeout is {timeout}; give seconds above 0")

    def decorate(function: Callable[Concatenate[Any, P], R]) -> Handler[P, R]:
        pattern = None if where is None else _pattern(function, where)
        return Handler(function, Options(where=pattern, idempotent=idempotent, retry=retry, timeout=timeout))

    return decorate if function is None else decorate(function)


def _pattern(function: Callable[..., Any], where: Mapping[str, Any]) -> Pattern:
    try:
        return Pattern(where)
    except ConfigError as error:
        code = function.__code__
        place = f"{function.__qualname__} ({code.co_filename}:{code.co_firstlineno})"
        raise ConfigError(*(f"{place}: {fault}" for fault in error.faults)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerSpec:
    """All that class creation learnt about one handler. `replies` are the types it may answer with."""

    name: str
    where_defined: str
    data_type: type[EventData]
    event_type: str
    replies: tuple[type[EventData], ...]
    replies_in_list: bool
    may_be_silent: bool
    takes_handle: bool
    options: Options
    verify: str | None = None
    settle: float = 0.0

    def check_replies(self, returned: object) -> tuple[EventData, ...]:
        """The reply data in what a handler returned. Raises InvalidReply if that is not what its annotation says."""
        if returned is None and self.may_be_silent:
            return ()
        if self.replies_in_list:
            if isinstance(returned, (list, tuple)):
                return tuple(self._check_reply(item) for item in returned)
            raise InvalidReply(f"{self.where_defined} returned {_describe(returned)}; its annotation promises a list")
        return (self._check_reply(returned),)

    def _check_reply(self, reply: object) -> EventData:
        if not isinstance(reply, EventData) or not isinstance(reply, self.replies or (type(None),)):
            wanted = " | ".join(kind.__name__ for kind in self.replies) or "None"
            raise InvalidReply(f"{self.where_defined} returned {_describe(reply)}; its annotation promises {wanted}")
        return reply


def _describe(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def read_handlers(cls: type, handle_type: type | None, localns: Mapping[str, Any]) -> dict[str, HandlerSpec]:
    """The handlers of an adaptor class by event type. Raises ConfigError with every fault of the class at once."""
    specs: dict[str, HandlerSpec] = {}
    faults: list[str] = []
    for name, handler in _members(cls, faults):
        try:
            spec = _read(cls, name, handler, handle_type, localns)
        except ConfigError as error:
            faults += error.faults
            continue
        if first := specs.get(spec.event_type):
            faults.append(
                f"{spec.where_defined}: handles {spec.event_type!r}, as does {first.name} ({first.where_defined}); "
                "an adaptor has one handler per event type"
            )
        specs.setdefault(spec.event_type, spec)
    if faults:
        raise ConfigError(*faults)
    return specs


def _members(cls: type, faults: list[str]) -> list[tuple[str, Handler[..., Any]]]:
    """The handlers that a class has or inherits. A plain method that hides one is a fault; `name = None` is not."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(found.get(name), Handler) and inspect.isfunction(value):
                faults.append(f"{_place(cls, value)}: overrides a handler; mark it with @handles too")
            found[name] = value
    return [(name, value) for name, value in found.items() if isinstance(value, Handler)]


def _place(cls: type, function: Callable[..., Any]) -> str:
    code = inspect.unwrap(function).__code__
    return f"{cls.__qualname__}.{function.__name__} ({code.co_filename}:{code.co_firstlineno})"


def _read(
    cls: type, name: str, handler: Handler[..., Any], handle_type: type | None, localns: Mapping[str, Any]
) -> HandlerSpec:
    place = _place(cls, handler.function)
    parameters = _parameters(place, handler.function, handle_type)
    hints = _hints(place, handler.function, localns)
    data_type = _event_data_type(place, parameters[0], hints)
    if len(parameters) > 1:
        _check_handle(place, parameters[1], hints, handle_type)
    replies, in_list, silent = _reply_types(place, hints)
    verify = None
    if handler.verifier is not None:
        verify = handler.verifier.__name__
        asks = _place(cls, handler.verifier)
        _check_verify(asks, handler.verifier, parameters, handle_type)
        _check_verdict(asks, _hints(asks, handler.verifier, localns), replies, in_list, silent)
    return HandlerSpec(
        name=name,
        where_defined=place,
        data_type=data_type,
        event_type=typing.cast(str, data_type.event_type),
        replies=replies,
        replies_in_list=in_list,
        may_be_silent=silent,
        takes_handle=len(parameters) > 1,
        options=handler.options,
        verify=verify,
        settle=handler.settle,
    )


def _check_verify(
    place: str, function: Callable[..., Any], of_handler: Sequence[str], handle_type: type | None
) -> None:
    if len(_parameters(place, function, handle_type)) != len(of_handler):
        takes = ", ".join(("self", *of_handler))
        raise ConfigError(f"{place}: a `verify` takes what its handler takes: ({takes})")


def _check_verdict(
    place: str, hints: Mapping[str, Any], replies: tuple[type[EventData], ...], in_list: bool, silent: bool
) -> None:
    """A `verify` answers what its handler would have, or NotApplied."""
    if "return" not in hints:
        raise ConfigError(f"{place}: has no return annotation; write the handler's own, and `| NotApplied`")
    members, says_none = _members_of_union(hints["return"])
    answers = [member for member in members if member is not NotApplied]
    given: tuple[type[EventData], ...] = ()
    lists = False
    if answers:
        given, lists, _ = _reply_types(place, {"return": functools.reduce(operator.or_, answers)})
    if not set(given) <= set(replies) or (answers and lists is not in_list) or (says_none and not silent):
        wanted = " | ".join(kind.__name__ for kind in replies) or "None"
        wanted = f"list[{wanted}]" if in_list else wanted
        raise ConfigError(f"{place}: a `verify` answers as its handler would, {wanted}, or NotApplied")


def _parameters(place: str, function: Callable[..., Any], handle_type: type | None) -> list[str]:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{place}: is async; a handler is a plain function, run in a worker thread: remove `async`")
    if inspect.isgeneratorfunction(function):
        raise ConfigError(f"{place}: yields; a handler returns its replies, several of them as a list")
    names = list(inspect.signature(function).parameters)[1:]
    allowed = (1, 2) if handle_type else (1,)
    if len(names) not in allowed:
        takes = f"(self, event, {handle_type.__name__})" if handle_type else "(self, event)"
        raise ConfigError(f"{place}: takes (self, {', '.join(names)}); a handler of this base takes {takes}")
    return names


def _hints(place: str, function: Callable[..., Any], localns: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, localns=dict(localns))
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ConfigError(f"{place}: an annotation cannot be read: {error}; import or define that name") from error


def _event_data_type(place: str, parameter: str, hints: Mapping[str, Any]) -> type[EventData]:
    hint = hints.get(parameter)
    if hint is None:
        raise ConfigError(f"{place}: parameter {parameter!r} has no annotation; write `{parameter}: Event[YourData]`")
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is not Event or len(arguments) != 1:
        raise ConfigError(f"{place}: parameter {parameter!r} is annotated {hint}; write `{parameter}: Event[YourData]`")
    return _travelling(place, arguments[0])


def _travelling(place: str, kind: Any) -> type[EventData]:
    if not (inspect.isclass(kind) and issubclass(kind, EventData)):
        raise ConfigError(f"{place}: {_name(kind)} is not event data; derive it from EventData")
    if kind.event_type is None:
        raise ConfigError(f'{place}: {_name(kind)} has no event type; write `class {_name(kind)}(EventData, type="…")`')
    return kind


def _name(kind: Any) -> str:
    return kind.__name__ if inspect.isclass(kind) else str(kind)


def _check_handle(place: str, parameter: str, hints: Mapping[str, Any], handle_type: type | None) -> None:
    hint = hints.get(parameter)
    wanted = handle_type.__name__ if handle_type else "nothing"
    if hint is None:
        raise ConfigError(f"{place}: parameter {parameter!r} has no annotation; write `{parameter}: {wanted}`")
    if handle_type and hint is not handle_type and not (inspect.isclass(hint) and issubclass(handle_type, hint)):
        raise ConfigError(f"{place}: parameter {parameter!r} is annotated {_name(hint)}; this base gives a {wanted}")


def _reply_types(place: str, hints: Mapping[str, Any]) -> tuple[tuple[type[EventData], ...], bool, bool]:
    if "return" not in hints:
        raise ConfigError(f"{place}: has no return annotation; write the reply's type, or `-> None` for no reply")
    members, silent = _members_of_union(hints["return"])
    lists = [member for member in members if typing.get_origin(member) in (list, tuple, Sequence)]
    if lists and len(members) > 1:
        raise ConfigError(f"{place}: mixes a list with single replies; write `list[A | B]`")
    if lists:
        # `tuple[A, B]` and `tuple[A, ...]` are lists of A and B, and of A.
        items = [_members_of_union(item) for item in typing.get_args(lists[0]) if item is not ...]
        members = [member for inside, _ in items for member in inside]
        if any(inner_none for _, inner_none in items):
            raise ConfigError(f"{place}: promises None inside a list of replies; leave it out of the list instead")
    return tuple(_travelling(place, member) for member in members), bool(lists), silent


def _members_of_union(hint: Any) -> tuple[list[Any], bool]:
    """The members of `A | B | None` without None, and whether None was among them."""
    if hint is None or hint is type(None):
        return [], True
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = typing.get_args(hint)
        return [member for member in members if member is not type(None)], type(None) in members
    return [hint], False
