"""Redactor: messages and texts without their secrets, and otherwise as they were, byte for byte.

Secrets are known by where they stand (qualified names of elements and attributes) and by what they are (the values that
the settings hold), for servers repeat in a fault what they were sent. Messages need not be whole, nor XML at all.
"""

import re
from base64 import b64encode
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Mapping
from xml.parsers import expat
from xml.sax.saxutils import escape

from pydantic import SecretStr

from adaptors.soap.settings import SoapSettings

_MARK = b"***"
# Passwords, nonces, and tokens that are as good as a password.
_ALWAYS = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}Security"
# A shorter one is masked only where it stands alone, or half of all words would be masked. Characters.
_ANYWHERE = 8
_START_TAG = re.compile(rb"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")


class Redactor:
    """Knows which names and values are secret. For any number of threads."""

    def __init__(self, settings: SoapSettings) -> None:
        # As expat writes them: "namespace}name".
        self._names = frozenset(name.removeprefix("{") for name in (_ALWAYS, *settings.redact, *settings.soap_headers))
        local = b"|".join(sorted(re.escape(name.rpartition("}")[2].encode()) for name in self._names))
        self._attribute = re.compile(rb"(?<![\w.:-])(?:[\w.-]+:)?(?:%s)\s*=\s*(?:\"([^\"]*)|'([^']*))" % local)
        self._element = re.compile(
            rb"<(?:[\w.-]+:)?(%s)(?=[\s>])[^<>]*>(.*?)(?:</(?:[\w.-]+:)?\1\s*>|\Z)" % local, re.S
        )
        self._escaped = re.compile(
            rb"&lt;(?:[\w.-]+:)?(%s)(?:\s(?:[^<>&]|&(?!lt;|gt;))*)?(?:&gt;|>)" % local
            + rb"([^<]*?)(?:&lt;/(?:[\w.-]+:)?\1\s*(?:&gt;|>)|(?=<)|\Z)"
        )
        self._values = _any_of(_secrets_of(settings))

    def text(self, text: str) -> str:
        """A text, with `***` for each secret value, and for secret elements that somebody has put into it as XML."""
        content = text.encode("utf-8", "surrogatepass")
        places = (
            *_groups(self._element, content, 0, len(content)),
            *_groups(self._attribute, content, 0, len(content)),
        )
        return self._without(content, places).decode("utf-8", "surrogatepass")

    def message(self, content: bytes) -> bytes:
        """A message, with `***` for the content of each secret element, for secret attributes and for secret values."""
        if content[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):
            content = content.decode("utf-16", "replace").encode()
        return self._without(content, self._places(content))

    def _without(self, content: bytes, places: Iterable[tuple[int, int]]) -> bytes:
        pieces = []
        kept = 0
        for start, end in sorted(places):
            if start >= kept:
                pieces += [content[kept:start], _MARK]
                kept = end
        return self._values.sub(_MARK, b"".join([*pieces, content[kept:]]))

    def _places(self, content: bytes) -> Iterator[tuple[int, int]]:
        """Where secrets stand. Beyond the place where XML breaks, names count without their namespaces."""
        reading = _Reading(content, self._names)
        yield from reading.elements
        for start, end in reading.tags:
            yield from _groups(self._attribute, content, start, end)
        yield from _groups(self._element, content, reading.end, len(content))
        yield from _groups(self._attribute, content, reading.end, len(content))
        # A message within a text of another, as some servers put it into their faults.
        yield from _groups(self._escaped, content, 0, len(content))


class _Reading:
    """One pass over a message: the contents of secret `elements`, `tags` with secrets, and the `end` of what is XML."""

    def __init__(self, content: bytes, names: frozenset[str]) -> None:
        self.elements: list[tuple[int, int]] = []
        self.tags: list[tuple[int, int]] = []
        self._content = content
        self._names = names
        self._depth = 0
        self._opened: tuple[int, int] | None = None  # depth and place of the secret element that is being read
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._finish
        self.end = len(content)
        try:
            self._parser.Parse(content, True)
        except expat.ExpatError:
            self.end = self._parser.ErrorByteIndex
        self._finish_all()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        is_secret = name in self._names and self._opened is None
        if not is_secret and self._names.isdisjoint(attributes):
            return
        begin = self._parser.CurrentByteIndex
        tag = _START_TAG.match(self._content, begin)
        if tag is None:  # in an encoding where tags cannot be made out, nothing from here on is shown
            self.elements.append((begin, len(self._content)))
            return
        if is_secret and not tag.group().endswith(b"/>"):
            self._opened = (self._depth, tag.end())
        self.tags.append(tag.span())

    def _finish(self, _: str) -> None:
        if self._opened is not None and self._opened[0] == self._depth:
            self.elements.append((self._opened[1], self._parser.CurrentByteIndex))
            self._opened = None
        self._depth -= 1

    def _finish_all(self) -> None:
        if self._opened is not None:
            self.elements.append((self._opened[1], len(self._content)))


def _groups(pattern: re.Pattern[bytes], content: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the last group that took part in each match stands."""
    for match in pattern.finditer(content, start, end):
        yield match.span(match.lastindex or 0)


def _secrets_of(settings: SoapSettings) -> Iterator[str]:
    for _, value in settings:
        for secret in value.values() if isinstance(value, Mapping) else (value,):
            if isinstance(secret, SecretStr):
                yield secret.get_secret_value()
    if settings.username is not None and settings.password is not None:
        pair = f"{settings.username}:{settings.password.get_secret_value()}"
        yield b64encode(pair.encode()).decode("ascii")


def _any_of(secrets: Iterator[str]) -> re.Pattern[bytes]:
    """Matches every secret of three characters or more, also as XML writes it."""
    found = {form for secret in secrets if len(secret) > 2 for form in _forms(secret)}
    patterns = [
        re.escape(secret.encode()) if len(secret) >= _ANYWHERE else rb"(?<!\w)%s(?!\w)" % re.escape(secret.encode())
        for secret in sorted(found, key=len, reverse=True)
    ]
    return re.compile(b"|".join(patterns) or rb"(?!)")


def _forms(secret: str) -> tuple[str, ...]:
    """A value as it is, as the text of an element, and as an attribute."""
    return secret, escape(secret), escape(secret, {'"': "&quot;"})
