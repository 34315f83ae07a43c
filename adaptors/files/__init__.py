"""File drops: whole files placed where a legacy system looks for them, and the formats they are written in."""

from adaptors.files.adaptor import FileDropAdaptor
from adaptors.files.drop import Drop
from adaptors.files.errors import FileExists, FormatError
from adaptors.files.formats.delimited import Delimited
from adaptors.files.formats.fixed_width import FixedWidth
from adaptors.files.formats.json_lines import JsonLines
from adaptors.files.formats.kinds import Kind, Number, Packed, Text, Zoned
from adaptors.files.formats.record import Record
from adaptors.files.formats.xml import XmlRecord
from adaptors.files.formats.xml_shape import Attribute, Content

__all__ = [
    "Attribute",
    "Content",
    "Delimited",
    "Drop",
    "FileDropAdaptor",
    "FileExists",
    "FixedWidth",
    "FormatError",
    "JsonLines",
    "Kind",
    "Number",
    "Packed",
    "Record",
    "Text",
    "XmlRecord",
    "Zoned",
]
