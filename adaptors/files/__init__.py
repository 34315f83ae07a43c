"""File drops: whole files placed where a legacy system looks for them, and the formats they are written in."""

from adaptors.files.adaptor import FileDropAdaptor
from adaptors.files.answers.faults import Fault
from adaptors.files.batch import Batch
from adaptors.files.business_day import BusinessDay
from adaptors.files.drop import Drop
from adaptors.files.errors import FileExists, FormatError
from adaptors.files.formats.composition import Occurs, Redefines
from adaptors.files.formats.delimited import Delimited
from adaptors.files.formats.edi import Segment
from adaptors.files.formats.edifact import EdifactInterchange
from adaptors.files.formats.edifact_envelope import EdifactGroup, EdifactMessage
from adaptors.files.formats.fixed_width import FixedWidth
from adaptors.files.formats.json_lines import JsonLines
from adaptors.files.formats.kinds import Bytes, Kind, Text
from adaptors.files.formats.layout import Group
from adaptors.files.formats.numbers import Binary, Number, Packed, Zoned
from adaptors.files.formats.record import BadRecord, Record
from adaptors.files.formats.x12 import X12Group, X12Interchange, X12Transaction
from adaptors.files.formats.xml import XmlRecord
from adaptors.files.formats.xml_shape import Attribute, Content
from adaptors.files.markers import Marker
from adaptors.files.names import FileName
from adaptors.files.totals import Totals

__all__ = [
    "Attribute",
    "BadRecord",
    "Batch",
    "Binary",
    "BusinessDay",
    "Bytes",
    "Content",
    "Delimited",
    "Drop",
    "EdifactGroup",
    "EdifactInterchange",
    "EdifactMessage",
    "Fault",
    "FileDropAdaptor",
    "FileExists",
    "FileName",
    "FixedWidth",
    "FormatError",
    "Group",
    "JsonLines",
    "Kind",
    "Marker",
    "Number",
    "Occurs",
    "Packed",
    "Record",
    "Redefines",
    "Segment",
    "Text",
    "Totals",
    "X12Group",
    "X12Interchange",
    "X12Transaction",
    "XmlRecord",
    "Zoned",
]
