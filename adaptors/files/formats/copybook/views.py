"""REDEFINES: several views of the same bytes, and what its user says of them, since a copybook does not."""

import re
from dataclasses import dataclass

from adaptors.files.formats.copybook.clauses import Item

_CHOICE = re.compile(r"(?P<base>[\w-]+)=(?:(?P<view>[\w-]+)|(?P<by>[\w-]+):(?P<values>.+))")


@dataclass(frozen=True)
class Choice:
    """Which view holds: always `view`, or as the field `by` says, by value."""

    base: str
    view: str | None
    by: str | None
    values: dict[str, str]


def choice_of(text: str) -> Choice:
    """AREA=VIEW, or AREA=FIELD:VALUE=VIEW,VALUE=VIEW. Raises ValueError if it is neither."""
    found = _CHOICE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is neither AREA=VIEW nor AREA=FIELD:VALUE=VIEW,VALUE=VIEW")
    values: dict[str, str] = {}
    for pair in (found["values"] or "").split(",") if found["by"] else ():
        value, equals, view = pair.rpartition("=")
        if not equals or value in values:
            raise ValueError(f"{pair!r} in {text!r} is not VALUE=VIEW, or gives a value again")
        values[value] = view.strip().upper()
    upper = {name: found[name].upper() if found[name] else None for name in ("base", "view", "by")}
    return Choice(upper["base"] or "", upper["view"], upper["by"], values)


def views_of(group: Item, base: Item) -> list[Item]:
    """An item of a group, and the items that redefine it, directly or through one another."""
    views = [base]
    for item in group.items:
        if item.redefines is not None and item.redefines in {view.name for view in views}:
            views.append(item)
    return views
