"""XML files on lxml: a record is an element, its fields are child elements, attributes or the text of the element."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from lxml import etree

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError
from adaptors.files.formats.declared import DeclaredRecord, Form
from adaptors.files.formats.record import BadRecord, Record, RecordT, label, numbered, validated
from adaptors.files.formats.xml_document import Element, Schema, parse
from adaptors.files.formats.xml_shape import Member, fill, members_of, values_of

_SHOWN = 5  # faults of a schema that an error message shows


@dataclass(frozen=True)
class _Options:
    root: str | None = None
    record: str | None = None
    xmlns: str | None = None
    qualified: bool = True
    encoding: str = "UTF-8"
    xsd: str | Path | None = None


class XmlRecord(DeclaredRecord):
    """A record as an XML element, in the order of declaration; None is an element or attribute left out.

    Class options: `root`, the name of the document element; `record`, the name of each record's element within it, or
    nothing where the document is one record; `xmlns`, the namespace, with `qualified=False` where only the root is in
    it; `encoding`; `xsd`, a schema file beside the module, against which every file written and read is checked.
    Without `root` a class is a part, to be nested in others: `lines: list[Line]`. `Attribute()` and `Content()` in an
    annotation make a field an attribute or the element's own text. A DTD is refused, and nothing is ever fetched.
    """

    _options: ClassVar[_Options] = _Options()

    def __init_subclass__(
        cls,
        *,
        root: str | None = None,
        record: str | None = None,
        xmlns: str | None = None,
        qualified: bool | None = None,
        encoding: str | None = None,
        xsd: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def _compile(cls, options: _Options) -> "_Form | None":
        return _compiled(cls, options) if options.root else None


@dataclass(frozen=True, slots=True)
class _Form(Form):
    members: tuple[Member, ...]
    root: str
    record: str | None
    namespaces: Any  # lxml-stubs does not know that None stands for the default namespace
    encoding: str
    schema: Schema | None

    def encode(self, cls: type[RecordT], records: Iterable[RecordT]) -> bytes:
        root = etree.Element(self.root, nsmap=self.namespaces)
        number = 0
        for number, record in numbered(cls, records):
            if self.record is None and number > 1:
                raise FormatError(f"{cls.__name__}: the document is one record, and there are more; see record=")
            element = root if self.record is None else etree.SubElement(root, self.record)
            fill(element, self.members, record.model_dump(), f"{cls.__name__} record {number}")
        if self.record is None and number == 0:
            raise FormatError(f"{cls.__name__}: the document is one record, and there is none")
        for child, reasons in self._schema_faults(root).items():
            raise FormatError(f"{cls.__name__}{_record(child)} breaks its schema: {reasons}")
        return cast(bytes, etree.tostring(root, xml_declaration=True, encoding=self.encoding))

    def read(self, cls: type[RecordT], data: bytes) -> Iterator[RecordT | BadRecord]:
        try:
            root = parse(data)
        except ValueError as error:
            raise FormatError(f"{cls.__name__}: {error}") from error
        if root.tag != self.root:
            raise FormatError(f"{cls.__name__}: the document element is {root.tag}, and {self.root} is declared")
        broken = self._schema_faults(root)
        if None in broken:
            raise FormatError(f"{cls.__name__} breaks its schema: {broken[None]}")
        for number, element in enumerate([root] if self.record is None else root, 1):
            where = f"{cls.__name__} record {number} (line {element.sourceline})"
            try:
                yield self._read(cls, element, where, broken.get(number))
            except FormatError as error:
                yield BadRecord(number, None, etree.tostring(element, with_tail=False), error)

    def _read(self, cls: type[RecordT], element: Element, where: str, broken: str | None) -> RecordT:
        if broken is not None:
            raise FormatError(f"{where} breaks its schema: {broken}")
        if self.record is not None and element.tag != self.record:
            raise FormatError(f"{where}: {element.tag} in place of {self.record}")
        return validated(cls, values_of(element, self.members, where), where)

    def _schema_faults(self, root: Element) -> dict[int | None, str]:
        """What breaks the schema, by the number of the record, or None if it is in none of them."""
        found: dict[int | None, list[str]] = {}
        for child, reason in self.schema.faults(root) if self.schema else ():
            found.setdefault(1 if self.record is None else child, []).append(reason)
        return {child: _few(reasons) for child, reasons in found.items()}


def _few(reasons: list[str]) -> str:
    """As many reasons as a log line bears."""
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return "; ".join(reasons[:_SHOWN]) + more


def _record(number: int | None) -> str:
    return "" if number is None else f" record {number}"


def _compiled(cls: type[XmlRecord], options: _Options) -> _Form:
    faults: list[str] = []
    prefix = f"{{{options.xmlns}}}" if options.xmlns else ""
    inner = prefix if options.qualified else ""
    members = members_of(cls, XmlRecord, inner, faults)
    root, record = f"{prefix}{options.root}", f"{inner}{options.record}" if options.record else None
    for tag in (root, record):
        try:
            etree.QName(tag or "x")
        except ValueError as error:
            faults.append(f"{label(cls)}: {error}")
    try:
        etree.tostring(etree.Element("x"), xml_declaration=True, encoding=options.encoding)
    except (LookupError, ValueError):
        faults.append(f"{label(cls)}: lxml knows no encoding {options.encoding!r}")
    schema = None
    try:
        schema = _schema(cls, options.xsd) if options.xsd else None
    except (OSError, etree.LxmlError) as error:
        faults.append(f"{label(cls)}: the schema {options.xsd} cannot be used: {error}")
    if faults:
        raise ConfigError(*faults)
    namespaces = {None if options.qualified else "n": options.xmlns} if options.xmlns else {}
    return _Form(members, root, record, namespaces, options.encoding, schema)


def _schema(cls: type[Record], path: str | Path) -> Schema:
    """The schema of a path, which is relative to the folder of the module that declares the class."""
    module = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return Schema((Path(module).parent if module else Path()) / path)
