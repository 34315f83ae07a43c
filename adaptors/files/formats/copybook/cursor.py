"""A place among the tokens of a copybook, and how it moves on."""

from collections.abc import Iterable

from adaptors.files.formats.copybook.source import Token, wrong


class Cursor:
    """The tokens of one copybook, read one after the other; `name` is what errors call it by."""

    def __init__(self, name: str, tokens: Iterable[Token]) -> None:
        self.name = name
        self.tokens = list(tokens)
        self.at = 0

    @property
    def done(self) -> bool:
        """Whether all tokens have been read."""
        return self.at == len(self.tokens)

    def peek(self) -> str:
        """The next token's text; a full stop at the end."""
        return "." if self.done else self.tokens[self.at].text

    def accept(self, *words: str) -> bool:
        """Go past the next token if it is one of these words."""
        found = not self.done and self.peek() in words
        self.at += found
        return found

    def next(self, what: str) -> Token:
        """Go past the next token. Raises FormatError if the entry ends, where `what` was expected."""
        if self.peek() == ".":
            line = self.tokens[min(self.at, len(self.tokens) - 1)].line
            raise wrong(self.name, line, f"the entry ends where {what} was expected")
        self.at += 1
        return self.tokens[self.at - 1]

    def word(self, what: str) -> str:
        """Go past a COBOL word. Raises FormatError if it is none."""
        token = self.next(what)
        if not all(character.isalnum() or character in "-_" for character in token.text):
            hint = "; a copybook made for COPY REPLACING must have its text replaced first" if ":" in token.text else ""
            raise wrong(self.name, token.line, f"{token.text} stands where {what} was expected{hint}")
        return token.text

    def number(self, what: str) -> int:
        """Go past a whole number. Raises FormatError if it is none."""
        token = self.next(what)
        if not token.text.isdigit():
            raise wrong(self.name, token.line, f"{token.text} stands where {what} was expected")
        return int(token.text)
