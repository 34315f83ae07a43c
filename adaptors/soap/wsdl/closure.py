"""Closure: a WSDL on a server with everything that it names, as files that name one another."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urldefrag, urlsplit

from lxml import etree

from adapter_sdk.errors import BackendUnavailable, ConfigError
from adaptors.soap import catalog
from adaptors.soap.hardened import XmlError, parse
from adaptors.soap.vendored import WSDL, XSD, Reference, is_idle, references
from adaptors.soap.wsdl.download import DownloadError, Downloads

_SUFFIXES = {f"{{{WSDL}}}definitions": ".wsdl", f"{{{XSD}}}schema": ".xsd"}
_LONGEST_NAME = 100  # characters


@dataclass(frozen=True, slots=True)
class Fetched:
    """One file. `content` has its locations rewritten; `source_sha256` is of what the server sent."""

    name: str
    url: str
    content: bytes
    source_sha256: str

    @property
    def sha256(self) -> str:
        """Of the file as it is written."""
        return hashlib.sha256(self.content).hexdigest()


def fetch(url: str, downloads: Downloads, names: Mapping[str, str]) -> list[Fetched]:
    """The WSDL, first, and every document that it names; the toolkit's own catalog is not fetched.

    `names` are the file names that URLs had before. Raises ConfigError with one sentence for each document that is
    missing, is no XML, or is on a host that was not named; BackendUnavailable if the WSDL's own server is away.
    """
    walk = _Walk(downloads)
    walk.start(url)
    return _files(walk.documents, names)


@dataclass(slots=True)
class _Document:
    root: etree._Element
    source_sha256: str
    # The URL, or the namespace of the catalog, that each reference leads to.
    targets: list[tuple[Reference, str]] = field(default_factory=list)


class _Walk:
    """One collection in progress. Documents are by the URL under which they are asked for."""

    def __init__(self, downloads: Downloads) -> None:
        self.documents: dict[str, _Document] = {}
        self._downloads = downloads
        self._faults: dict[str, str] = {}
        self._waiting: list[str] = []

    def start(self, url: str) -> None:
        try:
            self._take(_plain(url))
        except DownloadError as error:
            if error.is_away:
                raise BackendUnavailable(f"{url}: {error}") from error
            raise ConfigError(f"{url}: {error}") from error
        while self._waiting:
            self._follow(self._waiting.pop(0))
        if self._faults:
            raise ConfigError(*self._faults.values())

    def _take(self, url: str) -> None:
        page = self._downloads.get(url)
        try:
            root = parse(page.content)
        except XmlError as error:
            raise DownloadError(f"cannot be used: {error}") from error
        if root.tag not in _SUFFIXES:
            raise DownloadError(f"is neither a WSDL 1.1 nor a schema, but <{root.tag}>")
        self.documents[url] = _Document(root, hashlib.sha256(page.content).hexdigest())
        # Relative locations start from where a redirect has led to.
        self._waiting.append(url)
        self.documents[url].targets = [(one, _plain(one.key)) for one in references(page.url, root)]

    def _follow(self, url: str) -> None:
        document = self.documents[url]
        for number, (reference, target) in enumerate(document.targets):
            if target in self.documents or target in self._faults or catalog.find(target):
                continue
            try:
                self._take(target)
            except DownloadError as error:
                if reference.namespace is not None and catalog.find(reference.namespace):
                    document.targets[number] = (reference, reference.namespace)
                    continue
                if is_idle(reference):
                    continue
                place = f"{url}, line {reference.element.sourceline}"
                namespace = f" (namespace {reference.namespace})" if reference.namespace else ""
                what = "" if target in str(error) else f"{target} "
                self._faults[target] = f"{place}: {what}{error}{namespace}"


def _files(documents: Mapping[str, _Document], names: Mapping[str, str]) -> list[Fetched]:
    found = {url: names[url] for url in documents if url in names}
    for url, document in documents.items():
        if url not in found:
            taken = {name.casefold() for name in found.values()}
            found[url] = _file_name(url, _SUFFIXES[str(document.root.tag)], taken)
    for document in documents.values():
        for reference, target in document.targets:
            is_wsdl = reference.element.tag == f"{{{WSDL}}}import"
            reference.element.set("location" if is_wsdl else "schemaLocation", found.get(target, target))
    return [
        Fetched(found[url], url, _serialised(document.root), document.source_sha256)
        for url, document in documents.items()
    ]


def _file_name(url: str, suffix: str, taken: set[str]) -> str:
    """A name from the last part of the path and what is asked for, in characters that every file system has."""
    parts = urlsplit(url)
    path = PurePosixPath(unquote(parts.path))
    asked = "" if parts.query.lower() in ("wsdl", "singlewsdl") else unquote(parts.query)
    plain = re.sub(r"[^A-Za-z0-9]+", "-", f"{path.stem or parts.hostname}-{asked}").strip("-")[:_LONGEST_NAME]
    name, number = f"{plain or 'schema'}{suffix}", 2
    while name.casefold() in taken:
        name, number = f"{plain or 'schema'}-{number}{suffix}", number + 1
    return name


def _plain(url: str) -> str:
    """The URL as it is sent: without a fragment, with `/` for the separator of Windows, and percent-encoded."""
    return quote(urldefrag(url.strip()).url.replace("\\", "/"), safe="%/:=&?~#+!$,;'@()*[]")


def _serialised(root: etree._Element) -> bytes:
    return etree.tostring(root, xml_declaration=True, encoding="utf-8") + b"\n"
