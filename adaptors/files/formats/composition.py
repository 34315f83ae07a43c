"""From annotations to a layout: which kind, group, table or choice each field of a fixed-width record is."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from adapter_sdk.errors import ConfigError
from adaptors.files.formats.charset import Charset
from adaptors.files.formats.kinds import Kind
from adaptors.files.formats.layout import Blank, Choice, Field, Fields, Group, Node, Reference, Table
from adaptors.files.formats.record import declared_fields, label
from adaptors.files.formats.scalars import unwrap


@dataclass(frozen=True)
class Occurs:
    """In an annotation: a table, OCCURS. `lines: Annotated[tuple[Line, ...], Occurs(5)]` holds five, no more, no less.

    With `depending_on` it holds `least` to `most` items, as the field of that name says, which comes earlier in the
    record (`"header.count"` if it is in a group); what follows the table moves up. Its value is checked, not made.
    """

    least: int
    most: int
    depending_on: str | None

    def __init__(self, least: int, most: int | None = None, *, depending_on: str | None = None) -> None:
        object.__setattr__(self, "least", least)
        object.__setattr__(self, "most", least if most is None else most)
        object.__setattr__(self, "depending_on", depending_on)
        if not 0 <= least <= self.most or self.most < 1:
            raise ConfigError(f"{self}: a table holds at least 1 item at the most, and no fewer than none")
        if (least == self.most) != (depending_on is None):
            raise ConfigError(f"{self}: how many items there are is a number, or a range and depending_on")


@dataclass(frozen=True, eq=False)
class Redefines:
    """In an annotation: several groups over the same bytes, REDEFINES, told apart by an earlier field's value.

    `detail: Annotated[Order | Payment, Redefines("kind", {"O": Order, "P": Payment})]`.
    """

    by: str
    groups: Mapping[Any, type[Group]]


@dataclass(frozen=True, slots=True)
class Composition:
    """The layout of a class, and what a way of separating its records must know of it."""

    fields: Fields
    binary: bool
    """Whether a field may well hold the bytes of a line end."""
    uneven: bool
    """Whether a choice has layouts of different lengths."""


def compose(cls: type[BaseModel], charset: Charset) -> Composition:
    """The layout of a class. Raises ConfigError with every fault of its declaration."""
    composer = _Composer(charset)
    fields = composer.fields(cls, None)
    if composer.faults:
        raise ConfigError(*composer.faults)
    return Composition(fields, composer.binary, composer.uneven)


@dataclass(slots=True)
class _Seen:
    """The fields of a group that stand before the one being looked at, and the group around."""

    nodes: dict[str, Node]
    outer: "_Seen | None"


class _Composer:
    def __init__(self, charset: Charset) -> None:
        self._charset = charset
        self._within: list[type[BaseModel]] = []
        self.faults: list[str] = []
        self.binary = False
        self.uneven = False

    def fields(self, cls: type[BaseModel], outer: _Seen | None) -> Fields:
        seen = _Seen({}, outer)
        self._within.append(cls)
        for name, info in declared_fields(cls).items():
            try:
                seen.nodes[name] = self._node(info.annotation, tuple(info.metadata), seen)
            except _Wrong as wrong:
                self.faults += [f"{label(cls, name)}: {fault}" for fault in wrong.faults]
        self._within.pop()
        nodes = seen.nodes.values()
        return Fields(tuple(seen.nodes.items()), sum(one.low for one in nodes), sum(one.high for one in nodes))

    def _node(self, annotation: Any, metadata: tuple[Any, ...], seen: _Seen) -> Node:
        bare, optional, extras = unwrap(annotation)
        marks = [mark for mark in (*metadata, *extras) if isinstance(mark, (Kind, Occurs, Redefines))]
        if isinstance(bare, type) and issubclass(bare, Group) and not marks:
            return self._blank(self._group(bare, seen), optional)
        if len(marks) != 1:
            raise _Wrong(f"give it one kind, as in Annotated[int, Zoned(5)], or a Group; it has {len(marks)}")
        (mark,) = marks
        if isinstance(mark, Occurs):
            return self._blank(self._table(bare, mark, seen), optional)
        if isinstance(mark, Redefines):
            return self._blank(self._choice(bare, mark, seen), optional)
        if faults := mark.faults(self._charset, _plain_type(bare)):
            raise _Wrong(*faults)
        self.binary = self.binary or mark.binary
        return Field(mark, self._charset, optional, bare is Decimal, mark.length, mark.length)

    def _group(self, cls: type[Group], seen: _Seen) -> Fields:
        if cls in self._within:
            raise _Wrong("a group cannot hold groups of its own class")
        if not cls.model_fields:
            raise _Wrong(f"the group {cls.__name__} has no fields")
        return self.fields(cls, seen)

    def _table(self, bare: Any, occurs: Occurs, seen: _Seen) -> Table:
        origin, args = get_origin(bare), get_args(bare)
        if origin is not list and not (origin is tuple and args[1:] == (...,)):
            raise _Wrong(f"a table is a tuple[..., ...] or a list[...], and the field is declared {bare}")
        item = self._node(args[0], (), seen)
        count = None
        if occurs.depending_on is not None:
            count, node = _found(occurs.depending_on, seen)
            if not isinstance(node, Field) or int not in node.kind.types() or node.decimal:
                raise _Wrong(f"depending_on names {occurs.depending_on}, which is not declared int")
        return Table(item, occurs.least, occurs.most, count, origin, occurs.least * item.low, occurs.most * item.high)

    def _choice(self, bare: Any, redefines: Redefines, seen: _Seen) -> Choice:
        reference, _ = _found(redefines.by, seen)
        declared = set(get_args(bare)) or {bare}
        if declared != set(redefines.groups.values()) or not all(_is_group(one) for one in declared):
            names = ", ".join(sorted(getattr(one, "__name__", str(one)) for one in redefines.groups.values()))
            raise _Wrong(f"Redefines names the groups {names}, and the field is declared {bare}")
        layouts = {cls: self._group(cls, seen) for cls in declared}
        groups = {value: (cls, layouts[cls]) for value, cls in redefines.groups.items()}
        lengths = {length for one in layouts.values() for length in (one.low, one.high)}
        self.uneven = self.uneven or len(lengths) > 1
        return Choice(reference, groups, min(lengths), max(lengths))

    def _blank(self, node: Node, optional: bool) -> Node:
        if not optional:
            return node
        if node.low != node.high:
            raise _Wrong("its length varies, so it cannot be spaces for None")
        return Blank(node, self._charset.space, node.low, node.high)


class _Wrong(Exception):
    """A field that cannot be laid out; `faults` are sentences without its name."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults


def _found(name: str, seen: _Seen) -> tuple[Reference, Node]:
    """The field of this name that comes earlier in the group, or else in a group around it."""
    path, scope, up = name.split("."), seen, 0
    while path[0] not in scope.nodes:
        if scope.outer is None:
            raise _Wrong(f"there is no field {name} before it")
        scope, up = scope.outer, up + 1
    node = scope.nodes[path[0]]
    for step in path[1:]:
        inner = dict(node.nodes) if isinstance(node, Fields) else {}
        if step not in inner:
            raise _Wrong(f"there is no field {name} before it")
        node = inner[step]
    return Reference(name, up, tuple(path)), node


def _is_group(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, Group)


def _plain_type(bare: Any) -> Any:
    """The type behind a Literal, whose choices are of one type; any other type is itself."""
    return type(get_args(bare)[0]) if get_origin(bare) is not None and get_args(bare) else bare
