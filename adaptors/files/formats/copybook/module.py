"""A copybook's records as the text of a Python module."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from adaptors.files.errors import FormatError
from adaptors.files.formats.copybook.clauses import Item
from adaptors.files.formats.copybook.conditions import property_of
from adaptors.files.formats.copybook.fields import Machine, bounds, filler, kind_of
from adaptors.files.formats.copybook.names import IMPORTS, class_name, field_name
from adaptors.files.formats.copybook.source import wrong
from adaptors.files.formats.copybook.text import WIDTH, Bracketed, Expression, annotated, call, literal, statement
from adaptors.files.formats.copybook.views import Choice, views_of


@dataclass(slots=True)
class _Class:
    """A class while it is written, within the class of the group around it."""

    item: Item
    words: list[str]
    outer: "_Class | None"
    names: set[str] = field(default_factory=set)
    fields: list[tuple[Item, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)
    fillers: int = 0


class Module:
    """Writes the classes of a copybook; `notes` are what a reader should know of it and the text does not say."""

    def __init__(self, name: str, machine: Machine, choices: Sequence[Choice] = ()) -> None:
        self.notes: list[str] = []
        self._name = name
        self._machine = machine
        self._choices: Mapping[str, Choice] = {choice.base: choice for choice in choices}
        self._chosen: set[str] = set()
        self._classes: list[str] = []
        self._code: list[str] = []
        self._taken: set[str] = set()
        self._inside: dict[int, _Class] = {}

    def text(self, records: Sequence[Item], command: str) -> str:
        """The whole module. Raises FormatError, with file and line, at what cannot be laid out."""
        for record in records:
            self._record(record, [record.name or "RECORD"], 0)
        if unknown := self._choices.keys() - self._chosen:
            raise FormatError(f"{self._name}: nothing redefines {', '.join(sorted(unknown))}")
        code = " ".join(self._code)
        imports = [
            f"from {module} import {', '.join(used)}"
            for module, names in IMPORTS.items()
            if (used := sorted(name for name in names if re.search(rf"\b{name}\b", code)))
        ]
        head = [*_docstring(f"Records of {self._name}, made by", command), "", *imports[:-1], "", *_import(imports[-1])]
        return "\n\n\n".join(["\n".join(head), *self._classes]) + "\n"

    def _record(self, item: Item, words: list[str], pad: int) -> str:
        """Write a class with an encoding of its own, and answer its name."""
        options = [f"encoding={literal(self._machine.encoding)}"]
        if self._machine.overpunch:
            options.append(f"overpunch={literal(self._machine.overpunch)}")
        return self._class(_as_group(item), words, None, ", ".join(["FixedWidth", *options]), pad)

    def _class(self, item: Item, words: list[str], outer: _Class | None, bases: str, pad: int = 0) -> str:
        name = class_name(words, self._taken)
        made = _Class(item, words, outer)
        self._inside[id(item)] = made
        for inner in item.items:
            if inner.redefines is None:
                self._place(made, inner)
            elif not any(inner in views_of(item, base) for base in item.items if base.redefines is None):
                raise wrong(
                    self._name, inner.line, f"{inner.title} redefines {inner.redefines}, which is not before it"
                )
        self._pad(made, pad)
        least, most = bounds(replace(item, occurs=None), self._machine)
        size = f"{most + pad}" if least == most else f"{least} to {most}"
        head = [f"class {name}({bases}):", f'    """{item.title}: {size} bytes."""', ""]
        self._classes.append("\n".join([*head, *made.lines, *made.properties]))
        self._code.append(bases)
        return name

    def _place(self, made: _Class, item: Item) -> None:
        views = views_of(made.item, item)
        if len(views) == 1:
            self._field(made, item)
            return
        for view in views:
            if bounds(view, self._machine)[0] != bounds(view, self._machine)[1]:
                raise wrong(self._name, view.line, f"{view.title}: a length that varies is not understood in REDEFINES")
        length = max(bounds(view, self._machine)[1] for view in views)
        choice = self._choices.get(item.name or "")
        if choice is None:
            self._bytes(made, views, length)
            return
        self._chosen.add(choice.base)
        if choice.view is not None:
            view = self._view(item, views, choice.view)
            self._field(made, replace(view, redefines=None))
            self._pad(made, length - bounds(view, self._machine)[1])
        else:
            self._choice(made, views, choice, length)

    def _field(self, made: _Class, item: Item) -> None:
        name = self._named(made, item)
        made.fields.append((item, name))
        default = ""
        inner: Expression
        if item.picture is None:
            inner = self._class(item, [*made.words, item.name or name], made, "Group")
        elif item.name is None:
            fill = filler(item, self._machine) * (item.occurs or (1, 1))[1]
            inner = annotated("bytes", f"Bytes({len(fill)})")
            default = f" = {_fill(fill)}"
            item = replace(item, occurs=None)
        else:
            kind, layout = kind_of(item, self._machine)
            inner = annotated(kind, call(layout))
            self._conditions(made, item, kind, name)
        if item.occurs is not None:
            inner = annotated(Bracketed("tuple[", (inner, "..."), "]"), self._occurs(made, item))
        self._line(made, name, inner, default, item.clauses if item.picture or item.occurs else "")

    def _occurs(self, made: _Class, item: Item) -> str:
        assert item.occurs is not None  # asked of tables only
        least, most = item.occurs
        if not item.depending_on:
            return f"Occurs({most})"
        path = self._path(made, item, item.depending_on)
        return f"Occurs({least}, {most}, depending_on={literal(path)})"

    def _bytes(self, made: _Class, views: Sequence[Item], length: int) -> None:
        """Nobody says which view holds: keep the bytes, and write a class of its own for each view."""
        base = views[0]
        name = self._named(made, base)
        classes = [
            self._record(
                replace(view, redefines=None),
                [*made.words, view.name or f"{base.name}-view"],
                length - bounds(view, self._machine)[1],
            )
            for view in views
        ]
        self._line(made, name, annotated("bytes", f"Bytes({length})"), "", f"REDEFINES: {', '.join(classes)}")
        self.notes.append(
            f"{self._name}:{views[1].line}: {base.title} is redefined, and a copybook does not tell which view holds: "
            f"{name} is {length} bytes, which {', '.join(classes)} decode; --redefines says more"
        )

    def _choice(self, made: _Class, views: Sequence[Item], choice: Choice, length: int) -> None:
        assert choice.by is not None  # else a single view was chosen
        base = views[0]
        by = self._path(made, base, (choice.by,))
        name = self._named(made, base)
        classes: dict[int, str] = {}
        pairs = []
        for value, view_name in choice.values.items():
            view = self._view(base, views, view_name)
            if id(view) not in classes:
                group = _as_group(replace(view, redefines=None))
                words = [*made.words, view.name or f"{base.name}-view"]
                classes[id(view)] = self._class(group, words, made, "Group", length - bounds(view, self._machine)[1])
            pairs.append(f"{self._key(made, choice.by, value)}: {classes[id(view)]}")
        # A text that is redefined only reserves the place for the others.
        reserved = base.picture is not None and base.picture.category == "text"
        left_out = [view.title for view in views[reserved:] if id(view) not in classes]
        if left_out:
            self.notes.append(f"{self._name}:{base.line}: no value of {choice.by} leads to {', '.join(left_out)}")
        redefines = Bracketed("Redefines(", (literal(by), Bracketed("{", pairs, "}")), ")")
        self._line(made, name, annotated(" | ".join(classes.values()), redefines), "", "")

    def _view(self, base: Item, views: Sequence[Item], name: str) -> Item:
        found = next((view for view in views if (view.name or "FILLER") == name), None)
        if found is None:
            names = ", ".join(view.name or "FILLER" for view in views)
            raise wrong(self._name, base.line, f"{name} is no view of {base.name}; there are {names}")
        return found

    def _key(self, made: _Class, by: str, value: str) -> str:
        item, _ = self._found(made, (by,))
        kind, _ = kind_of(item, self._machine)
        if kind == "str":
            return literal(value)
        try:
            return str(int(value))
        except ValueError as error:
            raise wrong(self._name, item.line, f"{item.title} is a number, and {value!r} is none") from error

    def _conditions(self, made: _Class, item: Item, kind: str, name: str) -> None:
        for condition in item.conditions:
            where = f"{self._name}:{condition.line}: 88 {condition.name}"
            if item.occurs is not None:
                self.notes.append(f"{where} is left out: it is of a table's item")
                continue
            try:
                lines = property_of(condition, item, kind, name, field_name(condition.name, made.names))
            except ValueError as error:
                self.notes.append(f"{where} is left out: {error}")
            else:
                made.properties += ["", *lines]

    def _named(self, made: _Class, item: Item) -> str:
        if item.name is not None:
            return field_name(item.name, made.names)
        made.fillers += 1
        return field_name(f"FILLER-{made.fillers}", made.names)

    def _pad(self, made: _Class, length: int) -> None:
        if length:
            space = self._machine.charset.space
            name = self._named(made, Item(made.item.level, None, made.item.line))
            self._line(made, name, annotated("bytes", f"Bytes({length})"), f" = {_fill(space * length)}", "")

    def _line(self, made: _Class, name: str, expression: Expression, default: str, comment: str) -> None:
        self._code.append(str(expression))
        lines = statement(f"{name}: ", expression, default)
        if comment and len(lines) == 1 and len(lines[0]) + 4 + len(comment) <= WIDTH:
            lines[0] += f"  # {comment}"
        elif comment:
            lines.insert(0, f"    # {comment}"[:WIDTH])
        made.lines += lines

    def _path(self, made: _Class, item: Item, names: Sequence[str]) -> str:
        try:
            return self._found(made, names)[1]
        except KeyError as error:
            what = (
                f"there is no field {' OF '.join(names)} before it in its record, outside of tables and redefinitions"
            )
            raise wrong(self._name, item.line, f"{item.title}: {what}") from error

    def _found(self, made: _Class, names: Sequence[str]) -> tuple[Item, str]:
        """An elementary item that is written already, by its name and those of groups around it, and its path."""
        scope: _Class | None = made
        while scope is not None:
            for item, path, around in self._before(scope):
                if item.name == names[0] and set(names[1:]) <= {*around, *scope.words}:
                    return item, path
            scope = scope.outer
        raise KeyError(names[0])

    def _before(self, scope: _Class) -> list[tuple[Item, str, list[str]]]:
        found = []
        for item, name in scope.fields:
            if item.occurs is not None:
                continue
            if item.picture is not None:
                found.append((item, name, [scope.item.name or ""]))
            elif inner := self._inside.get(id(item)):
                found += [
                    (one, f"{name}.{path}", [item.name or "", *around]) for one, path, around in self._before(inner)
                ]
        return found


def _as_group(item: Item) -> Item:
    """An item as a group, one of its own if it is a single field or a table."""
    if item.picture is None and item.occurs is None:
        return item
    return Item(item.level, item.name, item.line, items=[item])


def _fill(raw: bytes) -> str:
    return f"{literal(raw[:1])} * {len(raw)}" if len(raw) > 1 and len(set(raw)) == 1 else literal(raw)


def _docstring(start: str, command: str) -> list[str]:
    line = f'"""{start} `{command}`."""'
    if len(line) <= WIDTH:
        return [line]
    wrapped = textwrap.wrap(f"`{command}`", WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f'"""{start} `adaptor format from-copybook`.', "", *wrapped, '"""']


def _import(line: str) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    start, _, names = line.partition(" import ")
    return [f"{start} import (", *(f"    {name}," for name in names.split(", ")), ")"]
