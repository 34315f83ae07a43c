"""@handles: from a method of an adaptor to what the pipeline needs to know about it, checked at class creation."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from adapter_sdk.annotations import (
    Returns,
    check_handle,
    event_data_type,
    hints_for_each,
    hints_of,
    parameters_of,
    place_of,
    reply_types,
    takes_list,
)
from adapter_sdk.answer_methods import AnswerMethod, AnswerSpec, read_answer_methods
from adapter_sdk.errors import ConfigError, InvalidReply
from adapter_sdk.events import Event, EventData
from adapter_sdk.patterns import Pattern
from adapter_sdk.pending import Pending
from adapter_sdk.retry import LONGEST_DELAY, RetryPolicy
from adapter_sdk.verify_methods import NotApplied, check_verify

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
EventT = TypeVar("EventT", bound=Event[Any])
HandleT = TypeVar("HandleT")
ReplyT = TypeVar("ReplyT")
RecordT = TypeVar("RecordT")


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


_OfOne = Callable[[Any, EventT, HandleT], ReplyT | NotApplied | None]
"""What answers for one event of a list."""
_OfRecord = Callable[[Any, RecordT], ReplyT]
"""What makes a reply of an answer that comes later."""


class Handler(Generic[P, R]):
    """A handler as it stands in its class: called like the method it wraps.

    `verify` attaches its question, `answer` what makes a reply of an answer that comes later.
    """

    def __init__(self, function: Callable[Concatenate[Any, P], R], options: Options) -> None:
        self.function = function
        self.options = options
        self.verifier: Callable[..., Any] | None = None
        self.settle = 0.0
        self.answer_methods: list[AnswerMethod] = []
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

    # A handler of a list is asked about each of its events. It comes first, because the others take every handler.
    @overload
    def verify(  # type: ignore[overload-overlap]
        self: "Handler[[list[EventT], HandleT], list[ReplyT] | None]", function: _OfOne[EventT, HandleT, ReplyT], /
    ) -> _OfOne[EventT, HandleT, ReplyT]: ...
    @overload
    def verify(  # type: ignore[overload-overlap]
        self: "Handler[[list[EventT], HandleT], list[ReplyT] | None]", /, *, settle: float = 0.0
    ) -> Callable[[_OfOne[EventT, HandleT, ReplyT]], _OfOne[EventT, HandleT, ReplyT]]: ...
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

        It returns what the handler would have returned (a handler of a list: for this one event), or NotApplied, or
        raises InDoubt when it cannot tell. Choose `settle` longer than the backend's longest processing time: an early
        "no" is not a no. Raises ConfigError if it is not 0 to 30 days.
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
    def answer(
        self: "Handler[..., Pending[ReplyT] | None]", /, *, key: str, **options: Any
    ) -> Callable[[_OfRecord[RecordT, ReplyT]], _OfRecord[RecordT, ReplyT]]: ...
    @overload
    def answer(
        self: "Handler[..., list[Pending[ReplyT]]]", /, *, key: str, **options: Any
    ) -> Callable[[_OfRecord[RecordT, ReplyT]], _OfRecord[RecordT, ReplyT]]: ...
    @overload
    def answer(
        self, /, *, key: str, **options: Any
    ) -> Callable[[_OfRecord[RecordT, ReplyT]], _OfRecord[RecordT, ReplyT]]: ...
    def answer(self, /, *, key: str, **options: Any) -> Any:
        """Attach a method that makes the reply of an answer which the backend gives later, for a handler with Pending.

        It takes the answer's record and returns the reply. `key` names the field of the record that carries the key
        which the handler gave to Pending. The other options say where answers are found: see the family. A handler can
        have several such methods, for answers that come in different forms.
        """

        def attach(function: Callable[..., Any]) -> Callable[..., Any]:
            self.answer_methods.append(AnswerMethod(function, key, options))
            return function

        return attach


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


Answered = EventData | Pending[Any]
"""What stands for one reply in what a handler returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerSpec:
    """All that class creation learnt about one handler. `replies` are the types it may answer with at once.

    `owed` are those that a later answer may become, and `answers` the methods that make them of it.

    What a handler that `takes_list` says of its replies is said here of each event's. `view` is the Protocol that the
    handler names instead of the family's handle.
    """

    name: str
    where_defined: str
    data_type: type[EventData]
    event_type: str
    replies: tuple[type[EventData], ...]
    replies_in_list: bool
    may_be_silent: bool
    takes_handle: bool
    takes_list: bool
    options: Options
    view: type | None = None
    owed: tuple[type[EventData], ...] = ()
    answers: tuple[AnswerSpec, ...] = ()
    verify: str | None = None
    settle: float = 0.0

    @property
    def all_replies(self) -> tuple[type[EventData], ...]:
        """What it may answer with, at once or later."""
        return tuple(dict.fromkeys((*self.replies, *self.owed)))

    def check_replies(self, returned: object) -> tuple[Answered, ...]:
        """The reply data in what a handler returned. Raises InvalidReply if that is not what its annotation says."""
        if returned is None and self.may_be_silent:
            return ()
        if self.replies_in_list:
            if isinstance(returned, (list, tuple)):
                return tuple(self._check_reply(item) for item in returned)
            raise InvalidReply(f"{self.where_defined} returned {_describe(returned)}; its annotation promises a list")
        return (self._check_reply(returned),)

    def check_list(self, returned: object, count: int) -> list[tuple[Answered, ...]]:
        """The reply data of each of `count` events in what a handler of a list returned. Raises InvalidReply."""
        if returned is None and not self.all_replies:
            return [()] * count
        if not isinstance(returned, list) or len(returned) != count:
            found = f"a list of {len(returned)}" if isinstance(returned, list) else _describe(returned)
            promised = "a list with one item for each event, in order"
            raise InvalidReply(f"{self.where_defined} returned {found} for {count} events; it promises {promised}")
        return [self.check_replies(item) for item in returned]

    def _check_reply(self, reply: object) -> Answered:
        if isinstance(reply, Pending) and self.owed:
            return reply
        if not isinstance(reply, EventData) or not isinstance(reply, self.replies or (type(None),)):
            wanted = Returns(self.replies, self.owed, in_list=False, silent=True).promised()
            raise InvalidReply(f"{self.where_defined} returned {_describe(reply)}; its annotation promises {wanted}")
        return reply


def _describe(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def read_handlers(
    cls: type,
    handle_type: type | None,
    localns: Mapping[str, Any],
    *,
    takes_lists: bool = False,
    takes_answers: bool = False,
) -> dict[str, HandlerSpec]:
    """The handlers of an adaptor class by event type. Raises ConfigError with every fault of the class at once."""
    specs: dict[str, HandlerSpec] = {}
    faults: list[str] = []
    for name, handler in _members(cls, faults):
        try:
            spec = _read(cls, name, handler, handle_type, localns)
        except ConfigError as error:
            faults += error.faults
            continue
        if spec.takes_list and not takes_lists:
            faults.append(f"{spec.where_defined}: takes a list; a handler of this base takes one event, `Event[…]`")
        if spec.owed and not takes_answers:
            faults.append(f"{spec.where_defined}: returns Pending; this base looks for no answers that come later")
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
                faults.append(f"{place_of(cls, value)}: overrides a handler; mark it with @handles too")
            found[name] = value
    return [(name, value) for name, value in found.items() if isinstance(value, Handler)]


def _read(
    cls: type, name: str, handler: Handler[..., Any], handle_type: type | None, localns: Mapping[str, Any]
) -> HandlerSpec:
    place = place_of(cls, handler.function)
    parameters = parameters_of(place, handler.function, handle_type)
    hints = hints_of(place, handler.function, localns)
    in_batches = takes_list(hints.get(parameters[0]))
    if in_batches:
        hints = hints_for_each(place, parameters[0], hints)
    data_type = event_data_type(place, parameters[0], hints)
    view = check_handle(place, parameters[1], hints, handle_type) if len(parameters) > 1 else None
    returns = reply_types(place, hints)
    event_type = typing.cast(str, data_type.event_type)
    verify = None
    if handler.verifier is not None:
        verify = handler.verifier.__name__
        check_verify(place_of(cls, handler.verifier), handler.verifier, parameters, handle_type, returns, localns)
    return HandlerSpec(
        name=name,
        where_defined=place,
        data_type=data_type,
        event_type=event_type,
        replies=returns.replies,
        replies_in_list=returns.in_list,
        may_be_silent=returns.silent,
        owed=returns.owed,
        answers=read_answer_methods(
            cls, handler.answer_methods, handler=place, event_type=event_type, owed=returns.owed, localns=localns
        ),
        takes_handle=len(parameters) > 1,
        view=view,
        takes_list=in_batches,
        options=handler.options,
        verify=verify,
        settle=handler.settle,
    )
