"""Condition names, level 88, as read-only properties of a model."""

from decimal import Decimal

from adaptors.files.formats.copybook.clauses import Condition, Item
from adaptors.files.formats.copybook.source import Token, text_of
from adaptors.files.formats.copybook.text import WIDTH, literal

_ZEROS = ("ZERO", "ZEROS", "ZEROES")
_SPACES = ("SPACE", "SPACES")


def property_of(condition: Condition, item: Item, kind: str, field: str, name: str) -> list[str]:
    """The lines of a property that tells whether the condition holds. Raises ValueError if Python cannot tell."""
    single = [_value(low, item, kind) for low, high in condition.values if high is None]
    ranges = [(_value(low, item, kind), _value(high, item, kind)) for low, high in condition.values if high is not None]
    tests = []
    if len(single) == 1:
        tests.append(f"self.{field} == {single[0]}")
    elif single:
        tests.append(f"self.{field} in ({', '.join(single)})")
    tests += [f"{low} <= self.{field} <= {high}" for low, high in ranges]
    shown = ", ".join(low.text + (f" THRU {high.text}" if high else "") for low, high in condition.values)
    shown = shown.replace("\\", "/").replace('"', "'")
    body = [f"        return {' or '.join(tests)}"]
    if len(body[0]) > WIDTH:
        body = [
            "        return (",
            *(f"            {'or ' * (n > 0)}{test}" for n, test in enumerate(tests)),
            "        )",
        ]
    return [
        "    @property",
        f"    def {name}(self) -> bool:",
        f'        """88 {condition.name}: {shown}."""',
        *body,
    ]


def _value(token: Token, item: Item, kind: str) -> str:
    text = token.text
    if token.is_literal:
        if text[0] not in "\"'":
            raise ValueError(f"the literal {text} is not text")
        text = text_of(text)
    if kind == "str":
        assert item.picture is not None  # of elementary items alone a condition is written
        if not token.is_literal and text not in (*_ZEROS, *_SPACES):
            raise ValueError(f"{text} is no text")
        plain = text if token.is_literal else "" if text in _SPACES else "0" * item.picture.length
        return literal(plain.lstrip(" ") if item.justified else plain.rstrip(" "))
    if text in _ZEROS:
        text = "0"
    try:
        number = Decimal(text)
    except ArithmeticError as error:
        raise ValueError(f"{text} is no number") from error
    return f'Decimal("{number}")' if kind == "Decimal" else str(int(number)) if number == int(number) else text
