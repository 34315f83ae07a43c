"""The data description entries of a copybook, as a tree of items."""

from collections.abc import Iterator

from adaptors.files.formats.copybook.clauses import Item, Sign, Usage, read_clauses, read_condition, starts_clause
from adaptors.files.formats.copybook.cursor import Cursor
from adaptors.files.formats.copybook.source import SourceFormat, tokens_of, wrong

_PROGRAM = "give the entries of its records alone"
_STATEMENTS = {
    "COPY": "put the text of that copybook in its place first",
    "REPLACE": "replace the text first",
    "EXEC": "put the text that it includes in its place first",
    **dict.fromkeys(("CBL", "PROCESS", "IDENTIFICATION", "ID", "DATA", "WORKING-STORAGE", "PROCEDURE"), _PROGRAM),
}


def records_of(name: str, text: str, source_format: SourceFormat | None, record: str) -> list[Item]:
    """The records of a copybook; entries without a level 01 are those of one record, whose name is given.

    Raises FormatError, with file and line, at what is not understood.
    """
    roots: list[Item] = []
    around: list[Item] = []
    for item in _items(Cursor(name, tokens_of(name, text, source_format))):
        while around and around[-1].level >= item.level:
            around.pop()
        if around and around[-1].picture:
            raise wrong(name, item.line, f"{item.title} stands within {around[-1].title}, which has a PICTURE")
        (around[-1].items if around else roots).append(item)
        around.append(item)
    if not roots:
        raise wrong(name, 1, "there is no data description entry")
    if all(root.level > 1 for root in roots):
        roots = [Item(1, record, roots[0].line, items=roots)]
    for root in roots:
        if root.level > 1 or root.occurs:
            raise wrong(name, root.line, f"{root.title} stands before the first level 01, or is a table")
        _inherit(name, root, None, None)
    return roots


def _items(cursor: Cursor) -> Iterator[Item]:
    """The items one after the other, not yet nested, with their conditions."""
    last: Item | None = None
    while not cursor.done:
        if cursor.accept(".") or _says_nothing_of_bytes(cursor):
            continue
        level = cursor.next("a level number")
        if level.text in _STATEMENTS:
            raise wrong(cursor.name, level.line, f"{level.text} is not understood; {_STATEMENTS[level.text]}")
        if not level.text.isdigit():
            raise wrong(cursor.name, level.line, f"{level.text} stands where a level number was expected")
        if int(level.text) == 88 and last is not None:
            last.conditions.append(read_condition(cursor, level.line))
        elif 1 <= int(level.text) <= 49:
            name = None if starts_clause(cursor.peek()) else cursor.word("a name")
            last = Item(int(level.text), None if name == "FILLER" else name, level.line)
            read_clauses(cursor, last)
            yield last
        else:
            what = f"level {level.text} is not understood here; a record has levels 01 to 49, and 88 within them"
            raise wrong(cursor.name, level.line, what)


def _says_nothing_of_bytes(cursor: Cursor) -> bool:
    """Go past a file description, or the table that Db2's DCLGEN declares in SQL in front of the record."""
    words = [token.text for token in cursor.tokens[cursor.at : cursor.at + 3]]
    if words[0] in ("FD", "SD"):
        end = "."
    elif words == ["EXEC", "SQL", "DECLARE"]:
        end = "END-EXEC"
    else:
        return False
    line = cursor.tokens[cursor.at].line
    while not cursor.accept(end):
        if cursor.done:
            raise wrong(cursor.name, line, f"{words[0]} is not closed by {end}")
        cursor.at += 1
    return True


def _inherit(name: str, item: Item, usage: Usage | None, sign: Sign | None) -> None:
    """Give USAGE and SIGN of a group to the items in it, and look at what the clauses of an item make together."""
    if item.sign and item.picture and not item.picture.signed:
        raise wrong(name, item.line, f"{item.title}: a SIGN clause needs an S in the PICTURE")
    item.usage, item.sign = item.usage or usage, item.sign or sign
    if item.picture is None:
        if not item.items:
            raise wrong(name, item.line, f"{item.title} has neither a PICTURE nor items within it")
        for inner in item.items:
            _inherit(name, inner, item.usage, item.sign)
        return
    if item.usage not in (None, "display") and item.picture.category != "number":
        raise wrong(name, item.line, f"{item.title}: its USAGE needs a numeric PICTURE")
    if item.usage in ("binary", "native"):
        if item.synchronized:
            what = "SYNCHRONIZED is not understood: its slack bytes depend on the compiler; write them as FILLER"
            raise wrong(name, item.line, f"{item.title}: {what}")
        if item.picture.digits > 18:
            raise wrong(name, item.line, f"{item.title}: a binary number of {item.picture.digits} digits, more than 18")
