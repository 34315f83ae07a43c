"""Event and EventData: the value that travels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from adapter_sdk.errors import ConfigError

# The routing key is a short string of AMQP 0-9-1. Bytes.
_LONGEST_TYPE = 255

ExtensionValue = str | int | bool | bytes | tuple[str, ...]
"""What an extension attribute may hold. The tuple is EventBridge's `resources`; CloudEvents has the others."""


class Key(NamedTuple):
    """The identity of an event, as CloudEvents 1.0 has it: two events with one key are the same event."""

    source: str
    id: str

    def __str__(self) -> str:
        return f"{self.source} {self.id}"


class EventData(BaseModel):
    """The typed payload of an event: a frozen pydantic model that knows its event type.

    The type stands in the class line: `class OrderPlaced(EventData, type="com.shop.order.placed")`. A subclass without
    `type=` inherits it; a common base without one can carry shared fields but cannot travel. Unknown fields of received
    data are ignored, so that a producer may add some. NaN and infinities are refused.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    event_type: ClassVar[str | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, *, type: str | None = None, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if type is not None:
            if not type.strip():
                raise ConfigError(f"{cls.__module__}.{cls.__qualname__}: the event type is empty")
            if len(type.encode("utf-8")) > _LONGEST_TYPE:
                raise ConfigError(
                    f"{cls.__module__}.{cls.__qualname__}: the event type has {len(type.encode('utf-8'))} bytes; "
                    f"it is the routing key, and AMQP allows {_LONGEST_TYPE}"
                )
            cls.event_type = type

    def __init_subclass__(cls, *, type: str | None = None, **kwargs: Any) -> None:
        # pydantic hands the class keywords to both hooks; this one only lets `type` pass a type checker and Python.
        super().__init_subclass__(**kwargs)


DataT_co = TypeVar("DataT_co", bound=EventData, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Generic[DataT_co]):
    """An immutable fact in a CloudEvents 1.0 envelope; its identity is `source` + `id`.

    `time` is when the producer says that it happened, or None if the producer does not say: nothing is invented.
    `extensions` are the remaining context attributes by their lower-case names.
    """

    source: str
    id: str
    type: str
    data: DataT_co
    subject: str | None = None
    time: datetime | None = None
    dataschema: str | None = None
    extensions: Mapping[str, ExtensionValue] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """The identity: what the ledger remembers the event by."""
        return Key(self.source, self.id)

    @property
    def correlation_id(self) -> str | None:
        """The extension `correlationid`: common to all events of one business conversation."""
        return self._text("correlationid")

    @property
    def causation_id(self) -> str | None:
        """The extension `causationid`: the id of the event that this one answers."""
        return self._text("causationid")

    @property
    def traceparent(self) -> str | None:
        """The extension `traceparent` of the CloudEvents Distributed Tracing extension, in W3C form."""
        return self._text("traceparent")

    def _text(self, name: str) -> str | None:
        value = self.extensions.get(name)
        return value if isinstance(value, str) else None
