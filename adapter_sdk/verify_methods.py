"""@handler.verify: the method that is asked about an effect in doubt, checked at class creation."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_sdk.annotations import Returns, hints_of, members_of_union, parameters_of, reply_types, takes_list
from adapter_sdk.errors import ConfigError


@dataclass(frozen=True, slots=True)
class NotApplied:
    """What a `verify` method answers when the backend shows that the effect did not happen."""


def check_verify(
    place: str,
    function: Callable[..., Any],
    of_handler: Sequence[str],
    handle_type: type | None,
    handler: Returns,
    localns: Mapping[str, Any],
) -> None:
    """Hold a `verify` against what its handler takes and returns. Raises ConfigError."""
    hints = hints_of(place, function, localns)
    parameters = parameters_of(place, function, handle_type)
    if takes_list(hints.get(parameters[0])):
        raise ConfigError(f"{place}: a `verify` is asked about one event: write `{parameters[0]}: Event[YourData]`")
    if len(parameters) != len(of_handler):
        takes = ", ".join(("self", *of_handler))
        raise ConfigError(f"{place}: a `verify` takes what its handler takes: ({takes})")
    _check_verdict(place, hints, handler)


def _check_verdict(place: str, hints: Mapping[str, Any], handler: Returns) -> None:
    """A `verify` answers what its handler would have, or NotApplied."""
    if "return" not in hints:
        raise ConfigError(f"{place}: has no return annotation; write the handler's own, and `| NotApplied`")
    members, says_none = members_of_union(hints["return"])
    answers = [member for member in members if member is not NotApplied]
    given = Returns((), (), handler.in_list, says_none)
    if answers:
        given = reply_types(place, {"return": functools.reduce(operator.or_, answers)})
    if (
        not set(given.replies) <= set(handler.replies)
        or not set(given.owed) <= set(handler.owed)
        or given.in_list is not handler.in_list
        or (says_none and not handler.silent)
    ):
        raise ConfigError(f"{place}: a `verify` answers as its handler would, {handler.promised()}, or NotApplied")
