"""Ordering: which events of an adaptor are applied one after the other. The ledger keeps the line; see line.py."""

import hashlib
import inspect
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from adapter_sdk.envelopes import Opened
from adapter_sdk.errors import ConfigError, InvalidData
from adapter_sdk.events import Event

if TYPE_CHECKING:
    from adapter_sdk.adaptor import Adaptor


class KeyFunction(Protocol):
    """Takes the event, and gives its order key; None or an empty text for an event that waits for nobody."""

    def __call__(self, event: Event[Any], /) -> str | None: ...


# A protocol and not a Callable, which type checkers would bind to the adaptor as a method.
OrderedBy = str | KeyFunction | None
"""What gives an event its order key: the name of a context attribute, or a function of the event; None for no order."""

OnDead = Literal["hold", "continue"]
"""What happens to the events behind a dead letter with their order key."""

# Characters that the ledger's column takes. Longer keys, and what not every database takes, are known by their SHA-256.
_LONGEST_KEY = 255


def check_ordering(adaptor: "type[Adaptor]") -> None:
    """Raise ConfigError if the class declares an order that cannot be kept."""
    where = f"{adaptor.__qualname__} ({adaptor.__module__})"
    if adaptor.on_dead not in ("hold", "continue"):
        raise ConfigError(f'{where}: on_dead is {adaptor.on_dead!r}; write "hold" or "continue"')
    ordered_by = declared_order(adaptor)
    if ordered_by is None:
        return
    if isinstance(ordered_by, str):
        named = ordered_by.isascii() and ordered_by.isalnum() and ordered_by == ordered_by.lower()
        if not named or ordered_by == "data":
            raise ConfigError(
                f"{where}: ordered_by is {ordered_by!r}; name an attribute of the envelope, as subject, source or "
                "partitionkey, or give a function of the event"
            )
    elif not callable(ordered_by) or not _takes_one(ordered_by):
        raise ConfigError(
            f"{where}: ordered_by is {ordered_by!r}; give the name of an attribute of the envelope, or a function that "
            "takes the event alone"
        )


def _takes_one(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # one written in C, as operator.attrgetter, does not tell
        pass
    return True


def order_promise(adaptor: "type[Adaptor]") -> str | None:
    """What an adaptor promises about order, in one sentence; None for nothing."""
    ordered_by = declared_order(adaptor)
    if ordered_by is None:
        return None
    shared = f"the same {ordered_by}" if isinstance(ordered_by, str) else "the same key of `ordered_by`"
    behind = {
        "hold": "behind a dead letter or a doubt they wait for a person.",
        "continue": "behind a doubt they wait for a person, and past a dead letter they go on.",
    }
    return f"Events with {shared} are applied one after the other, as they arrived; {behind[adaptor.on_dead]}"


def order_key(ordered_by: OrderedBy, opened: Opened, event: Event[Any] | None) -> str | None:
    """The order key of an event; None if it has none, and waits for nobody.

    Raises InvalidData if the function fails, or gives something else than text. An event whose data is not valid
    (`event` is None) has the key that its envelope gives, and none that takes its data. An attribute that is a number
    or a truth value is taken as CloudEvents writes it.
    """
    if ordered_by is None:
        return None
    key: object
    if isinstance(ordered_by, str):
        key = opened.fields().get(ordered_by)
        key = json.dumps(key) if isinstance(key, int) else key
    elif event is None:
        return None
    else:
        try:
            key = ordered_by(event)
        except Exception as error:
            raise InvalidData(f"ordered_by failed: {type(error).__name__}: {error}") from error
    if key is None or key == "":
        return None
    if not isinstance(key, str):
        raise InvalidData(f"ordered_by gave a {type(key).__name__}; an order key is text")
    if len(key) <= _LONGEST_KEY and key.isprintable():
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def declared_order(adaptor: "type[Adaptor]") -> OrderedBy:
    """What the class says about order; a function as it stands there, not bound to an adaptor."""
    found = inspect.getattr_static(adaptor, "ordered_by")
    return found.__func__ if isinstance(found, staticmethod) else found
