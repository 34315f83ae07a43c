"""Text of Python as `ruff format` leaves it: strings, and brackets that are opened where a line would be too long."""

import textwrap
from collections.abc import Sequence

WIDTH = 120

# In a docstring a backslash or a double quote would need an escape; the rest is what word processors write.
_PLAIN = str.maketrans({"\\": "/", '"': "'", "\u2018": "'", "\u2019": "'", "\u201c": "'", "\u201d": "'", "\u2013": "-"})


def literal(text: str, *, raw: bool = False) -> str:
    """A string in Python's notation: in double quotes, unless these would need more escapes."""
    quote = "'" if '"' in text and "'" not in text else '"'
    if raw and text.isprintable() and quote not in text and not text.endswith("\\"):
        return f"r{quote}{text}{quote}" if "\\" in text else f"{quote}{text}{quote}"
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return quote + "".join(char if char.isprintable() else _escape(char) for char in escaped) + quote


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def bracketed(before: str, items: Sequence[str], after: str, indent: int = 0) -> str:
    """`before`, the items and `after` in one line; if that is too long, each item in lines of its own."""
    margin = " " * indent
    line = f"{margin}{before}{', '.join(items)}{after}"
    if not items or ("\n" not in line and len(line) <= WIDTH):
        return line
    inner = "".join(f"{textwrap.indent(item, margin + '    ')},\n" for item in items)
    return f"{margin}{before}\n{inner}{margin}{after}"


def call(name: str, arguments: Sequence[str], indent: int) -> str:
    """A call as an item of `bracketed`, opened itself where it would be too long at this indent."""
    line = f"{name}({', '.join(arguments)})"
    if indent + len(line) + 1 <= WIDTH:
        return line
    return f"{name}(\n{textwrap.indent(''.join(f'{one},{chr(10)}' for one in arguments), '    ')})"


def text_line(before: str, text: str, indent: int) -> str:
    """A line that ends with a string, which is cut in two at the end of its namespace where the line would be long."""
    margin = " " * indent
    line = f"{margin}{before}{literal(text)}"
    if len(line) <= WIDTH:
        return line
    halves = [literal(half) for half in text.partition("}") if half not in ("", "}")]
    halves[0] = literal(text[: text.index("}") + 1]) if "}" in text else halves[0]
    inner = "".join(f"{margin}    {half}\n" for half in halves)
    return f"{margin}{before}(\n{inner}{margin})"


def docstring(summary: str, text: str, indent: int) -> str:
    """A docstring: a sentence, and what else there is to say, wrapped. Neither has line breaks."""
    margin = " " * indent
    first, rest = _clean(summary), _clean(text)
    if not rest and len(margin) + len(first) + 6 <= WIDTH:
        return f'{margin}"""{first}"""'
    if len(margin) + len(first) + 6 > WIDTH:
        first = f"\n{_wrapped(first, margin)}"
    body = f"\n\n{_wrapped(rest, margin)}" if rest else ""
    return f'{margin}"""{first}{body}\n{margin}"""'


def _clean(text: str) -> str:
    return "".join(char for char in text.translate(_PLAIN) if char.isprintable()).strip()


def _wrapped(text: str, margin: str) -> str:
    lines = textwrap.wrap(text, WIDTH - len(margin), break_on_hyphens=False)
    return "\n".join(margin + line for line in lines)
