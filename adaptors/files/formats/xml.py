"""XML files on lxml: a record is an element, its fields are child elements, attributes or the text of the element."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from lxml import etree

from adapter_sdk.errors import ConfigError
from adaptors.files.errors import FormatError
from adaptors.files.formats.record import Record, declared_fields, label, numbered, validated
from adaptors.files.formats.xml_shape import Element, Member, fill, members_of, values_of


@dataclass(frozen=True)
class _Options:
    root: str | None = None
    record: str | None = None
    xmlns: str | None = None
    qualified: bool = True
    encoding: str = "UTF-8"
    xsd: str | Path | None = None


class XmlRecord(Record):
    """A record as an XML element, in the order of declaration; None is an element or attribute left out.

    Class options: `root`, the name of the document element; `record`, the name of each record's element within it, or
    nothing where the document is one record; `xmlns`, the namespace, with `qualified=False` where only the root is in
    it; `encoding`; `xsd`, a schema file beside the module, against which every file written and read is checked.
    Without `root` a class is a part, to be nested in others: `lines: list[Line]`. `Attribute()` and `Content()` in an
    annotation make a field an attribute or the element's own text. A DTD is refused, and nothing is ever fetched.
    """

    _options: ClassVar[_Options] = _Options()
    _form: ClassVar["_Form | None"] = None

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
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name) for name in _Options.__dataclass_fields__ if name in kwargs}
        super().__pydantic_init_subclass__(**kwargs)
        cls._options = replace(cls._options, **given)
        fields = declared_fields(cls)
        cls._form = _compiled(cls, cls._options) if fields and cls._options.root else None

    @classmethod
    def encode_all(cls, records: Iterable[Self]) -> bytes:
        return cls._ready().encode(cls, records)

    @classmethod
    def decode_all(cls, data: bytes) -> Iterator[Self]:
        form = cls._ready()
        for number, element in enumerate(form.elements(cls, data), 1):
            where = f"{cls.__name__} record {number} (line {element.sourceline})"
            yield validated(cls, values_of(element, form.members, where), where)

    @classmethod
    def _ready(cls) -> "_Form":
        if cls._form is None:
            raise ConfigError(f"{label(cls)} has no fields, or no root in its class line: it is a part of others")
        return cls._form


@dataclass(frozen=True, slots=True)
class _Form:
    """What is known of a class of documents once it is made."""

    members: tuple[Member, ...]
    root: str
    record: str | None
    namespaces: Any  # lxml-stubs does not know that None stands for the default namespace
    encoding: str
    schema: etree.XMLSchema | None

    def encode(self, cls: type[Record], records: Iterable[Record]) -> bytes:
        root = etree.Element(self.root, nsmap=self.namespaces)
        number = 0
        for number, record in numbered(cls, records):
            if self.record is None and number > 1:
                raise FormatError(f"{cls.__name__}: the document is one record, and there are more; see record=")
            element = root if self.record is None else etree.SubElement(root, self.record)
            fill(element, self.members, record.model_dump(), f"{cls.__name__} record {number}")
        if self.record is None and number == 0:
            raise FormatError(f"{cls.__name__}: the document is one record, and there is none")
        self._check(cls, root)
        return cast(bytes, etree.tostring(root, xml_declaration=True, encoding=self.encoding))

    def elements(self, cls: type[Record], data: bytes) -> Iterator[Element]:
        """The element of each record, from a document that has been checked as a whole."""
        root = _parsed(cls, data)
        if root.tag != self.root:
            raise FormatError(f"{cls.__name__}: the document element is {root.tag}, and {self.root} is declared")
        self._check(cls, root)
        if self.record is None:
            yield root
            return
        for element in root:
            if element.tag != self.record:
                raise FormatError(f"{cls.__name__}: line {element.sourceline}: {element.tag} in place of {self.record}")
            yield element

    def _check(self, cls: type[Record], root: Element) -> None:
        if self.schema is not None and not self.schema.validate(root):
            log: Any = self.schema.error_log  # lxml-stubs does not know that it can be iterated
            faults = "; ".join(f"line {fault.line}: {fault.message}" for fault in log)
            raise FormatError(f"{cls.__name__} breaks its schema: {faults}")


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _parsed(cls: type[Record], data: bytes) -> Element:
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        raise FormatError(f"{cls.__name__}: not well-formed XML: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise FormatError(f"{cls.__name__}: the document has a DTD, which is refused")
    return root


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


def _schema(cls: type[Record], path: str | Path) -> etree.XMLSchema:
    """The schema of a path, which is relative to the folder of the module that declares the class."""
    module = getattr(sys.modules.get(cls.__module__), "__file__", None)
    file = (Path(module).parent if module else Path()) / path
    return etree.XMLSchema(etree.parse(file, _parser()))
