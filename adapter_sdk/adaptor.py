"""Adaptor: the class that integration engineers subclass."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from adapter_sdk.crashpoints import POINTS
from adapter_sdk.errors import ConfigError
from adapter_sdk.gathering import check_gathering
from adapter_sdk.handlers import HandlerSpec, read_handlers
from adapter_sdk.ordering import OnDead, OrderedBy, check_ordering

if TYPE_CHECKING:
    from pydantic import BaseModel

    from adapter_sdk.family import Family
    from adapter_sdk.gathering import Gathering

AdaptorT = TypeVar("AdaptorT", bound="Adaptor")


class Adaptor:
    """Stands in front of one legacy system: one method per event type, marked with `@handles`.

    A subclass gives `name`: lower-case letters, digits and dashes. It names the queue, the ledger's rows and the source
    of the replies, so a new name is a new adaptor that remembers nothing. What a class declares is checked when it is
    made: a fault raises ConfigError, naming class, method and line.

    Deriving from Adaptor itself, rather than from a family, gives handlers of the form `(self, event)` whose effect
    happens at least once.

    `ordered_by` keeps events in order: those with the same key are applied in the order in which they arrived, others
    beside them. It is the name of an attribute of the envelope (`"subject"`, `"partitionkey"`, ...) or a static method
    that takes the event and gives text; an event without a key waits for nobody. While one event of a key waits for its
    next attempt or for a person, those behind it are held in the ledger. `on_dead` says whether they also stay behind
    a dead letter until somebody replays or discards it ("hold"), or go on without it ("continue").
    """

    name: ClassVar[str] = ""
    ordered_by: ClassVar[OrderedBy] = None
    on_dead: ClassVar[OnDead] = "hold"

    _handlers: ClassVar[Mapping[str, HandlerSpec]] = {}
    _handle_type: ClassVar[type | None] = None
    _takes_lists: ClassVar[bool] = False
    _takes_batches: ClassVar[bool] = False
    _gathering: ClassVar["Gathering | None"] = None
    _takes_answers: ClassVar[bool] = False
    _settings_section: ClassVar[str | None] = None
    _settings_model: ClassVar["type[BaseModel] | None"] = None

    def __init_subclass__(cls, *, batch: "Gathering | None" = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._gathering = batch or cls._gathering
        # Classes made inside a function (tests, examples) name types that only that function's frame knows.
        localns = sys._getframe(1).f_locals
        lists = cls._takes_lists or cls._gathering is not None
        cls._handlers = read_handlers(
            cls, cls._handle_type, localns, takes_lists=lists, takes_answers=cls._takes_answers
        )
        if cls._handlers:
            _check_name(cls)
            check_ordering(cls)
            check_gathering(cls, may_gather=cls._takes_batches)
            cls._check_class()

    @classmethod
    def _check_class(cls) -> None:
        """Called when an adaptor class with handlers is made: families raise ConfigError for what it declares wrong."""

    @classmethod
    def _crash_points(cls) -> Sequence[str]:
        """The crash points that an effect passes inside the family: those with the name of its settings section."""
        return [point for point in POINTS if point.startswith(f"{cls._settings_section}.")]

    @classmethod
    def _family(cls, settings: Any) -> "Family[Any]":
        """The protocol that carries effects to this kind of backend. Families override it; adaptors do not."""
        from adapter_sdk.family import Direct

        return Direct()


def _check_name(cls: type[Adaptor]) -> None:
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789-"
    if not cls.name or not set(cls.name) <= set(allowed) or not cls.name[0].isalpha() or len(cls.name) > 60:
        raise ConfigError(
            f"{cls.__qualname__} ({cls.__module__}): name is {cls.name!r}; "
            "give 1 to 60 lower-case letters, digits and dashes, beginning with a letter"
        )
