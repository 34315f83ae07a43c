"""What the annotations of a handler say: which event it takes, which handle, and which replies it may give."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_sdk.errors import ConfigError
from adapter_sdk.events import Event, EventData
from adapter_sdk.pending import Pending


def place_of(cls: type, function: Callable[..., Any]) -> str:
    """Class, method, file and line, for a message."""
    code = inspect.unwrap(function).__code__
    return f"{cls.__qualname__}.{function.__name__} ({code.co_filename}:{code.co_firstlineno})"


def parameters_of(place: str, function: Callable[..., Any], handle_type: type | None) -> list[str]:
    """The names of what a handler takes beside `self`. Raises ConfigError if it cannot be called as one."""
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


def hints_of(place: str, function: Callable[..., Any], localns: Mapping[str, Any]) -> dict[str, Any]:
    """The annotations of a function as types. Raises ConfigError if one cannot be read."""
    try:
        return typing.get_type_hints(function, localns=dict(localns))
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ConfigError(f"{place}: an annotation cannot be read: {error}; import or define that name") from error


def takes_list(hint: Any) -> bool:
    """Whether the annotation of the first parameter asks for the events of a batch together."""
    return hint is list or typing.get_origin(hint) is list


def hints_for_each(place: str, parameter: str, hints: Mapping[str, Any]) -> dict[str, Any]:
    """What a handler of a list says of each event: `list[Event[A]]` and `list[B | None]` as `Event[A]` and `B | None`.

    Raises ConfigError if it does not return a list or None.
    """
    events = typing.get_args(hints[parameter])
    if len(events) != 1 or typing.get_origin(events[0]) is not Event:
        wanted = f"{parameter}: list[Event[YourData]]"
        raise ConfigError(f"{place}: parameter {parameter!r} is annotated {hints[parameter]}; write `{wanted}`")
    returned = hints.get("return", ...)
    if returned not in (None, type(None), ...):
        items = typing.get_args(returned)
        if typing.get_origin(returned) is not list or len(items) != 1:
            raise ConfigError(
                f"{place}: returns {_name(returned)}; a handler of a list returns a list with one item for each event "
                "in order, `list[YourReply]` or `list[YourReply | None]`, or None for no replies"
            )
        returned = items[0]
    return {**hints, parameter: events[0], **({} if returned is ... else {"return": returned})}


def event_data_type(place: str, parameter: str, hints: Mapping[str, Any]) -> type[EventData]:
    """The event data of the first parameter's annotation. Raises ConfigError if it is not `Event[...]` of some."""
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


def check_handle(place: str, parameter: str, hints: Mapping[str, Any], handle_type: type | None) -> type | None:
    """The view of the family's handle that the second parameter asks for, or None for the handle itself.

    A view is a Protocol whose `__view_of__` is the handle's class. Raises ConfigError for any other annotation.
    """
    hint = hints.get(parameter)
    wanted = handle_type.__name__ if handle_type else "nothing"
    if hint is None:
        raise ConfigError(f"{place}: parameter {parameter!r} has no annotation; write `{parameter}: {wanted}`")
    if handle_type is None or hint is handle_type:
        return None
    if inspect.isclass(hint) and vars(hint).get("__view_of__") is handle_type:
        return hint
    if not (inspect.isclass(hint) and not getattr(hint, "_is_protocol", False) and issubclass(handle_type, hint)):
        raise ConfigError(f"{place}: parameter {parameter!r} is annotated {_name(hint)}; this base gives a {wanted}")
    return None


@dataclass(frozen=True, slots=True)
class Returns:
    """What a return annotation promises.

    `replies` are given at once, `owed` are the types inside `Pending[...]`; `in_list` says that they come in a list,
    `silent` that None may come instead.
    """

    replies: tuple[type[EventData], ...]
    owed: tuple[type[EventData], ...]
    in_list: bool
    silent: bool

    def promised(self) -> str:
        """The annotation in short, for a message: what stands for one reply, and whether it is a list."""
        names = [kind.__name__ for kind in self.replies]
        if self.owed:
            names.append(f"Pending[{' | '.join(kind.__name__ for kind in self.owed)}]")
        one = " | ".join(names) or "None"
        return f"list[{one}]" if self.in_list else one


def reply_types(place: str, hints: Mapping[str, Any]) -> Returns:
    """What the return annotation promises. Raises ConfigError if that is missing or cannot be a reply."""
    if "return" not in hints:
        raise ConfigError(f"{place}: has no return annotation; write the reply's type, or `-> None` for no reply")
    members, silent = members_of_union(hints["return"])
    lists = [member for member in members if typing.get_origin(member) in (list, tuple, Sequence)]
    if lists and len(members) > 1:
        raise ConfigError(f"{place}: mixes a list with single replies; write `list[A | B]`")
    if lists:
        # `tuple[A, B]` and `tuple[A, ...]` are lists of A and B, and of A.
        items = [members_of_union(item) for item in typing.get_args(lists[0]) if item is not ...]
        members = [member for inside, _ in items for member in inside]
        if any(inner_none for _, inner_none in items):
            raise ConfigError(f"{place}: promises None inside a list of replies; leave it out of the list instead")
    later = [member for member in members if member is Pending or typing.get_origin(member) is Pending]
    return Returns(
        replies=tuple(_travelling(place, member) for member in members if member not in later),
        owed=tuple(kind for member in later for kind in _owed_types(place, member)),
        in_list=bool(lists),
        silent=silent,
    )


def _owed_types(place: str, pending: Any) -> list[type[EventData]]:
    arguments = typing.get_args(pending)
    members, none = members_of_union(arguments[0]) if arguments else ([], True)
    if none:
        raise ConfigError(f"{place}: write what the answer becomes: `Pending[YourReply]` or `Pending[A | B]`")
    return [_travelling(place, member) for member in members]


def members_of_union(hint: Any) -> tuple[list[Any], bool]:
    """The members of `A | B | None` without None, and whether None was among them."""
    if hint is None or hint is type(None):
        return [], True
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = typing.get_args(hint)
        return [member for member in members if member is not type(None)], type(None) in members
    return [hint], False
