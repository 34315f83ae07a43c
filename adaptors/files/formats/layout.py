"""Where each field of a fixed-width record stands, and how a record becomes bytes and back.

A layout is a tree of nodes: a field, a group of them, a table (OCCURS), a choice between layouts (REDEFINES). Where a
table depends on a count, what follows it slides, so offsets are known only while a record is walked.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from adaptors.files.formats.charset import Charset
from adaptors.files.formats.kinds import Kind
from adaptors.files.formats.record import STRICT, faults_of, hexed, shown

ModelT = TypeVar("ModelT", bound=BaseModel)
Scope = tuple[Any, Any]
"""The values of a group, a model when it is written and a dict while it is read, and the scope of the group around."""


class Group(BaseModel):
    """Fields that stand together in a fixed-width record, a group item in COBOL; nested as `address: Address`.

    Frozen and strict as a record. It has the encoding of the record that it stands in. Groups may hold groups.
    """

    model_config = STRICT


class Misfit(Exception):
    """A value, or bytes, that a node refuses: the reason, and the field's path, gathered on the way up.

    `offset` is in bytes from the start of the record, None where the way was not by reading.
    """

    def __init__(self, reason: str, length: int, offset: int | None = None) -> None:
        super().__init__(reason)
        self.length = length
        self.offset = offset
        self.path = ""

    def within(self, step: str) -> "Misfit":
        """The same, as seen from the node around."""
        self.path = f"{step}{self.path}" if self.path[:1] in ("", "[") else f"{step}.{self.path}"
        return self


class Node(ABC):
    """A part of a layout that takes `low` to `high` bytes."""

    low: int
    high: int

    @abstractmethod
    def encode(self, value: Any, scope: Scope | None, parts: list[bytes]) -> None:
        """Append the bytes of a value to the parts of its record. Raises Misfit."""

    @abstractmethod
    def decode(self, raw: bytes, at: int, scope: Scope | None) -> tuple[Any, int]:
        """The value of the bytes that begin at `at`, and where they end. Raises Misfit."""

    @abstractmethod
    def find(self, raw: bytes, at: int, scope: Scope | None, path: Sequence[int | str]) -> tuple[int, int]:
        """Where the bytes at a path within this node, which can be decoded, begin and end."""


@dataclass(frozen=True, slots=True)
class Field(Node):
    """A single value in its kind."""

    kind: Kind
    charset: Charset
    optional: bool
    decimal: bool
    low: int
    high: int

    def encode(self, value: Any, scope: Scope | None, parts: list[bytes]) -> None:
        if value is None and self.optional:
            parts.append(self.charset.space * self.low)
            return
        try:
            parts.append(self.kind.encode(value, self.charset))
        except ValueError as error:
            raise Misfit(str(error), self.low) from error

    def decode(self, raw: bytes, at: int, scope: Scope | None) -> tuple[Any, int]:
        end = at + self.low
        part = raw[at:end]
        if len(part) < self.low:
            raise Misfit(f"the record ends within the field, after {hexed(part)}", self.low, at)
        if self.optional and not part.strip(self.charset.space):
            return None, end
        try:
            value = self.kind.decode(part, self.charset)
        except ValueError as error:
            raise Misfit(str(error), self.low, at) from error
        return (Decimal(value) if self.decimal else value), end

    def find(self, raw: bytes, at: int, scope: Scope | None, path: Sequence[int | str]) -> tuple[int, int]:
        return at, at + self.low


@dataclass(frozen=True, slots=True)
class Blank(Node):
    """A group or table of fixed length that is all spaces for None."""

    node: Node
    space: bytes
    low: int
    high: int

    def encode(self, value: Any, scope: Scope | None, parts: list[bytes]) -> None:
        if value is None:
            parts.append(self.space * self.low)
        else:
            self.node.encode(value, scope, parts)

    def decode(self, raw: bytes, at: int, scope: Scope | None) -> tuple[Any, int]:
        if raw[at : at + self.low] == self.space * self.low:
            return None, at + self.low
        return self.node.decode(raw, at, scope)

    def find(self, raw: bytes, at: int, scope: Scope | None, path: Sequence[int | str]) -> tuple[int, int]:
        return self.node.find(raw, at, scope, path)


@dataclass(frozen=True, slots=True)
class Fields(Node):
    """The fields of a record or of a group, one after the other."""

    nodes: tuple[tuple[str, Node], ...]
    low: int
    high: int

    def encode(self, value: Any, scope: Scope | None, parts: list[bytes]) -> None:
        inner = (value, scope)
        for name, node in self.nodes:
            try:
                node.encode(getattr(value, name), inner, parts)
            except Misfit as misfit:
                raise misfit.within(name) from misfit.__cause__

    def decode(self, raw: bytes, at: int, scope: Scope | None) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        inner = (values, scope)
        for name, node in self.nodes:
            try:
                values[name], at = node.decode(raw, at, inner)
            except Misfit as misfit:
                raise misfit.within(name) from misfit.__cause__
        return values, at

    def find(self, raw: bytes, at: int, scope: Scope | None, path: Sequence[int | str]) -> tuple[int, int]:
        start, values = at, dict[str, Any]()
        inner = (values, scope)
        for name, node in self.nodes:
            if path and path[0] == name:
                return node.find(raw, at, inner, path[1:])
            values[name], at = node.decode(raw, at, inner)
        return start, at


@dataclass(frozen=True, slots=True)
class Reference:
    """An earlier field that a table or a choice depends on: so many groups up, then down by these names."""

    name: str
    up: int
    path: tuple[str, ...]

    def value(self, scope: Scope | None) -> Any:
        """The field's value in a record that is written or read."""
        for _ in range(self.up):
            assert scope is not None  # found when the layout was made
            scope = scope[1]
        assert scope is not None
        value = scope[0]
        for name in self.path:
            value = value[name] if isinstance(value, dict) else getattr(value, name)
        return value


@dataclass(frozen=True, slots=True)
class Table(Node):
    """As many items as are declared, or as the count that it depends on says."""

    item: Node
    least: int
    most: int
    count: Reference | None
    gather: Callable[[list[Any]], Sequence[Any]]
    low: int
    high: int

    def encode(self, value: Any, scope: Scope | None, parts: list[bytes]) -> None:
        if not self.least <= len(value) <= self.most:
            raise Misfit(f"{len(value)} items, and the table holds {self._bounds()}", self.high)
        if self.count is not None and (count := self.count.value(scope)) != len(value):
            raise Misfit(f"{len(value)} items, and {self.count.name} says {shown(count)}", self.high)
        for number, item in enumerate(value):
            try:
                self.item.encode(item, scope, parts)
            except Misfit as misfit:
                raise misfit.within(f"[{number}]") from misfit.__cause__

    def decode(self, raw: bytes, at: int, scope: Scope | None) -> tuple[Sequence[Any], int]:
        count = self.most if self.count is None else self.count.value(scope)
        if self.count is not None and not (count is not None and self.least <= count <= self.most):
            reason = f"{self.count.name} says {shown(count)} items, and the table holds {self._bounds()}"
            raise Misfit(reason, self.high, at)
        items = []
        for number in range(count):
            try:
                item, at = self.item.decode(raw, at, scope)
            except Misfit as misfit:
                raise misfit.within(f"[{number}]") from misfit.__cause__
            items.append(item)
        return self.gather(items), at

    def find(self, raw: bytes, at: int, scope: Scope | None, path: Sequence[int | str]) -> tuple[int, int]:
        if not path or not isinstance(path[0], int):
            return at, self.decode(raw, at, scope)[1]
        for _ in range(path[0]):
            _, at = self.item.decode(raw, at, scope)
        return self.item.find(raw, at, scope, path[1:])

    def _bounds(self) -> str:
        return str(self.most) if self.least == self.most else f"{self.least} to {self.most}"


@dataclass(frozen=True, slots=True)
class Choice(Node):
    """One of several groups over the same bytes, as the value of an earlier field says."""

    by: Reference
    groups: Mapping[Any, tuple[type[Group], Fields]]
    low: int
    high: int

    def encode(self, value: Any, scope: Scope | None, parts: list[bytes]) -> None:
        cls, fields = self._chosen(scope, None)
        if type(value) is not cls:
            by = shown(self.by.value(scope))
            raise Misfit(f"it is a {type(value).__name__}, and {self.by.name} is {by}: {cls.__name__}", self.high)
        fields.encode(value, scope, parts)

    def decode(self, raw: bytes, at: int, scope: Scope | None) -> tuple[Any, int]:
        cls, fields = self._chosen(scope, at)
        values, end = fields.decode(raw, at, scope)
        # An instance, since the same dict may fit another of the groups as well.
        return checked(cls, fields, values, raw, at, scope), end

    def find(self, raw: bytes, at: int, scope: Scope | None, path: Sequence[int | str]) -> tuple[int, int]:
        return self._chosen(scope, at)[1].find(raw, at, scope, path)

    def _chosen(self, scope: Scope | None, at: int | None) -> tuple[type[Group], Fields]:
        by = self.by.value(scope)
        try:
            return self.groups[by]
        except KeyError as error:
            known = ", ".join(map(repr, self.groups))
            reason = f"{self.by.name} is {shown(by)}, and there is a layout for {known} only"
            raise Misfit(reason, self.high, at) from error


def checked(
    cls: type[ModelT], fields: Fields, values: dict[str, Any], raw: bytes, at: int, scope: Scope | None
) -> ModelT:
    """The model of values that were read at `at`. Raises Misfit with the place and the hex of the first fault."""
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        first, *others = faults_of(error)
        start, end = fields.find(raw, at, scope, first.path)
        more = "".join(f"; {other}" for other in others)
        misfit = Misfit(f"{hexed(raw[start:end])}: {first.reason}{more}", end - start, start)
        raise misfit.within(first.field) from error
