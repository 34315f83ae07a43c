"""The code blocks of a Markdown page.

What becomes of a block is told by its language and by HTML comments in the lines above it, which a forge does not show:

    <!-- file: stock.py -->        the block is written to this file, and if it is Python, type-checked
    <!-- not run: why -->          the block is left alone
    <!-- after a moment -->        the commands of the block are repeated until they print what is shown
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"```(\w*)")
_COMMENT = re.compile(r"<!-- ([a-z ]+?)(?:: (.*))? -->")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is that of its fence, `marks` are the comments above it."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """Page and line, for a message."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    blocks: list[Block] = []
    marks: dict[str, str] = {}
    opened: tuple[int, str] | None = None
    text: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if opened is not None:
            if line == "```":
                blocks.append(Block(page, *opened, "".join(text), marks))
                opened, text, marks = None, [], {}
            else:
                text.append(f"{line}\n")
        elif fence:
            opened = (number, fence.group(1))
        elif comment := _COMMENT.fullmatch(line):
            marks[comment.group(1)] = comment.group(2) or ""
        elif line.strip():
            marks = {}
    assert opened is None, f"{page.name}:{opened[0] if opened else 0}: this block has no end"
    return blocks
