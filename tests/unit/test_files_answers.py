"""What is decided about answer files without a disk: which are whole, and what is wrong with a declaration."""

from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

import pytest

from adapter_sdk import ConfigError, Event, Pending, handles
from adapter_sdk.answer_methods import AnswerSpec
from adapter_sdk.transport.base import Message
from adaptors.files import Delimited, Drop, Fault, FileDropAdaptor, FixedWidth, JsonLines, Packed, Text, XmlRecord
from adaptors.files.answers.form import AnswerForm
from adaptors.files.answers.reading import Reading, read_file
from adaptors.files.answers.watch import Look, Watch
from adaptors.files.formats.parts import alone, cutting_fault, parts_of
from adaptors.files.settings import FileSettings
from adaptors.files.targets.base import UNKNOWN, Listed
from tests.answer_files import Confirmation, Counted, Head, Marked, Picked, PickOrdered, Tail, Warehouse


def looked(watch: Watch, now: float, *files: Listed) -> Look:
    """What one look shows."""
    return watch.look(files, now)


def names(look: Look) -> list[str]:
    """The whole files, in the order in which they are taken."""
    return [whole.file.name for whole in look.whole]


def test_whole_files_come_oldest_first() -> None:
    """By their time, then by name."""
    files = [Listed("CONF1.DAT", 9, 30.0), Listed("CONF3.DAT", 9, 10.0), Listed("CONF2.DAT", 9, 10.0)]
    watch = Watch(Warehouse._answer_forms(), stable=5)
    assert names(looked(watch, 100, *files)) == []
    assert names(looked(watch, 105, *files)) == ["CONF2.DAT", "CONF3.DAT", "CONF1.DAT"]


@pytest.mark.parametrize("later", [Listed("CONF1.DAT", 18, 10.0), Listed("CONF1.DAT", 9, 11.0)])
def test_a_change_of_size_or_time_begins_the_wait_anew(later: Listed) -> None:
    """And so does a file that was away in between."""
    watch = Watch(Warehouse._answer_forms(), stable=5)
    looked(watch, 100, Listed("CONF1.DAT", 9, 10.0))
    assert names(looked(watch, 104, later)) == []
    assert names(looked(watch, 108.9, later)) == []
    assert names(looked(watch, 109, later)) == ["CONF1.DAT"]
    looked(watch, 110)
    assert names(looked(watch, 111, later)) == []


def test_a_marker_that_does_not_come_is_asked_for_after_ten_minutes() -> None:
    """The file is never taken without it."""
    watch, file = Watch(Marked._answer_forms(), stable=5), Listed("CONF1.DAT", 9, 10.0)
    assert looked(watch, 0, file, Listed("CONF1.CTL", 1, 9.0)) == Look()
    assert looked(watch, 601, file).stuck == {"CONF1.DAT": "for 600 s it has had no marker CONF1.CTL: is it whole?"}


def test_a_name_that_can_have_no_marker_is_said_and_keeps_no_other_waiting() -> None:
    """A marker of it would be longer than file systems allow."""
    files = [Listed(f"CONF{'X' * 246}.DAT", 9, 10.0), Listed("CONF1.DAT", 9, 10.0)]
    markers = [Listed("CONF1.CTL", 1, 9.0), Listed("CONF1.DAT.md5", 32, 11.0)]
    look = looked(Watch(Marked._answer_forms(), stable=5), 0, *files, *markers)
    assert names(look) == ["CONF1.DAT"]
    assert "is longer than 255 bytes" in look.stuck[files[0].name]


def test_a_name_that_two_methods_want_is_left_to_neither() -> None:
    """Which of them it is for is not guessed."""
    look = looked(
        Watch([*Warehouse._answer_forms(), *Warehouse._answer_forms()], stable=0), 0, Listed("CONF1.DAT", 9, 10.0)
    )
    assert look.whole == []
    assert look.stuck == {"CONF1.DAT": "its name matches the patterns of picked and picked; narrow one of them"}


def test_a_server_without_sizes_needs_a_marker() -> None:
    """Whether such a file still grows cannot be seen."""
    watch, file = Watch(Warehouse._answer_forms(), stable=5), Listed("CONF1.DAT", UNKNOWN, None)
    looked(watch, 0, file)
    look = looked(watch, 100, file)
    assert (look.whole, list(look.stuck)) == ([], ["CONF1.DAT"])


class Many(XmlRecord, root="Many", record="One"):
    order_id: str


class Varying(FixedWidth, encoding="ascii", short_lines=True, line_end=b"\n"):
    note: Annotated[str, Text(8)]


class Row(Delimited, encoding="utf-16", header=False):
    order_id: str


def declared(record: type, **options: Any) -> list[str]:
    """The faults of a class whose answers are declared so."""
    with pytest.raises(ConfigError) as error:

        class Wrong(FileDropAdaptor):
            name = "wrong"
            file_name = "{id}.TXT"

            @handles
            def pick(self, event: Event[PickOrdered], drop: Drop) -> Pending[Picked]:
                return Pending("1")

            @pick.answer(key="order_id", **options)
            def picked(self, answer: record) -> Picked:  # type: ignore[valid-type]
                raise NotImplementedError

    return list(error.value.faults)


@pytest.mark.parametrize(
    ("record", "options", "fault"),
    [
        (Confirmation, {}, 'say which files hold the answers, by a pattern without a folder: files="CONF*.DAT"'),
        (Confirmation, {"files": "out/*.DAT"}, "by a pattern without a folder"),
        (PickOrdered, {"files": "*.DAT"}, "the answer is a PickOrdered; annotate it with a record class"),
        (Confirmation, {"files": "*.DAT", "folder": "x"}, "answer has no option folder; known: key, files, marker"),
        (Confirmation, {"files": "*", "marker": "{name}.OK"}, "files '*' matches the names of its markers; narrow it"),
        (Confirmation, {"files": "*.DAT", "marker": "OK"}, "give a template with {name} or {stem}"),
        (Confirmation, {"files": "*.DAT", "header": Many}, "header: Many is a whole file; only FixedWidth, Delimited"),
        (Many, {"files": "*.DAT", "trailer": Tail}, "trailer: Many is a whole file, without header or trailer"),
        (Confirmation, {"files": "*.DAT", "header": Row}, "Row is in utf-16, of which only whole files are read"),
        (Confirmation, {"files": "*.DAT", "header": "H"}, "header is 'H'; give a record class"),
        (Confirmation, {"files": "*.DAT", "totals": len}, "totals is a function of the Totals, and needs a trailer"),
        (Confirmation, {"files": "*.DAT", "trailer": Tail, "totals": lambda totals: {"count": totals.count}},
         "totals says ['count']; give a dict of fields of the trailer, which has records, quantity"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_a_fault_of_the_class(record: type, options: dict[str, Any], fault: str) -> None:
    """Said with what to write in its place."""
    faults = declared(record, **options)
    assert any(fault in one for one in faults), faults


def checked(adaptor: type[FileDropAdaptor], **settings: Any) -> list[str]:
    """The faults that `adaptor check` finds."""
    return adaptor._family(FileSettings.model_validate(settings)).check()


def test_wrong_folders_are_said_before_anything_runs(tmp_path: Any) -> None:
    """By the name of the setting."""
    (drop := tmp_path / "in").mkdir()
    (inbox := tmp_path / "out").mkdir()
    assert checked(Warehouse, drop=drop, answers=inbox) == []
    assert checked(Warehouse, drop=drop) == [
        "[files] answers: picked waits for answer files; name the folder in which the backend leaves them"
    ]
    assert checked(Warehouse, drop=drop, answers=tmp_path / "no") == [
        f"[files] answers: {tmp_path / 'no'} does not exist; make it, or correct the setting"
    ]
    [fault] = checked(Warehouse, drop=drop, answers=inbox, done=inbox)
    assert fault.startswith(f"[files] done: {inbox} is the folder of the answers themselves")
    [fault] = checked(Counted, drop=drop, answers=inbox, bad_records="record")
    assert 'have a trailer, and are taken whole or not at all; set "file"' in fault
    assert "another volume" in checked(Warehouse, drop=drop, answers=inbox, error="/dev/shm")[0]


def lines(*texts: str) -> bytes:
    """A file of lines."""
    return "".join(f"{text}\n" for text in texts).encode()


class Line(JsonLines):
    order_id: str


class Titled(Delimited, encoding="ascii"):
    order_id: str


class Described(FixedWidth, encoding="ascii", prefix="rdw"):
    order_id: Annotated[str, Text(4)]


@pytest.mark.parametrize(
    ("part", "data", "expected"),
    [
        (Line, lines("h", "1", "2", "t"), ["h\n", "1\n2\n", "t\n"]),
        (Line, b"h\n1\nt", ["h\n", "1\n", "t"]),
        (Titled, b"h\r\n1\r\nt\r\n", ["h\r\n", "1\r\n", "t\r\n"]),
        (Varying, lines("h", "", "t"), ["h\n", "\n", "t\n"]),
        (Described, b"\0\x08\0\0head" + b"\0\x08\0\0none" + b"\0\x08\0\0tail",
         ["\0\x08\0\0head", "\0\x08\0\0none", "\0\x08\0\0tail"]),
    ],
)  # fmt: skip
def test_header_and_trailer_are_cut_off_in_every_format_that_has_them(
    part: Any, data: bytes, expected: list[str]
) -> None:
    """Byte for byte."""
    assert cutting_fault(part) is None
    assert [one.decode() for one in parts_of(data, part, part)] == expected


@pytest.mark.parametrize(
    ("cls", "before", "raw", "after"),
    [
        (Line, b"", b'{"order_id":"1"}', b"\n"),
        (Titled, b"order_id\r\n", b"1\r\n", b""),
        (Varying, b"", b"note", b"\n"),
        (Described, b"\0\x08\0\0", b"abcd", b""),
        (Head, b"", "20261121".encode("cp037"), b""),
    ],
)
def test_a_record_alone_is_a_file_that_can_be_read(cls: Any, before: bytes, raw: bytes, after: bytes) -> None:
    """As it came, with what its format has around records."""
    made = alone(cls, raw, before + raw + after)
    assert made == before + raw + after
    assert len(list(cls.decode_all(made))) == 1


class Shelf(FixedWidth, encoding="ascii", line_end=b"\n"):
    order_id: Annotated[str, Text(4)]
    weight: Annotated[Decimal, Packed(3, decimals=1)]


class Article(Delimited, encoding="utf-8", delimiter=";"):
    order_id: str
    weight: Decimal


class Note(JsonLines):
    order_id: str
    weight: Decimal


class Entry(XmlRecord, root="Entries", record="Entry"):
    order_id: str
    weight: Decimal


def reading_of(record: type, data: bytes) -> Reading:
    """A file of these records, read."""
    spec = AnswerSpec(
        name="picked",
        where_defined="here",
        event_type="t",
        key="order_id",
        record=record,
        replies=(Picked,),
        options={"files": "*"},
    )
    return read_file(AnswerForm.read(spec), "F.DAT", data, {}, apart=False)


@pytest.mark.parametrize(
    ("record", "data", "expected", "said"),
    [
        (Shelf, b"0001\x01\x0c\n0002\x01\xaa\n0003\x02\x0c\n", (2, "weight", 11, 2, "0x01aa"), "packed decimal"),
        (Article, b"order_id;weight\n1;1.5\n\xff;2\n3;3\n", (2, "order_id", 22, 4, "0xff3b320a"), "0xff (1 bytes)"),
        (Article, b"order_id;weight\n1;1.5\n2;x\n", (2, "weight", 22, 4, "0x323b780a"), "weight (column 2): 0x78"),
        (Note, b'{"order_id":"1","weight":"x"}\n', (1, "weight", 0, 29, None), "Note line 1 (at byte 0, 29 bytes)"),
        (Entry, b"<Entries><Entry><order_id>1</order_id><weight>x</weight></Entry></Entries>",
         (1, "weight", None, 55, None), "Entry record 1 (line 1)"),
    ],
)  # fmt: skip
def test_a_fault_says_record_field_offset_length_and_hex(
    record: type, data: bytes, expected: tuple[Any, ...], said: str
) -> None:
    """In every format, as far as it knows them; the bytes at that offset are those that the hex shows."""
    [bad] = reading_of(record, data).bad
    fault = bad.fault
    assert (fault.record, fault.field, fault.offset, fault.length) == expected[:4]
    assert said in fault.error
    if fault.offset is not None and fault.length is not None:
        shown = data[fault.offset : fault.offset + fault.length].hex()
        assert fault.hex == f"0x{shown}"
        assert expected[4] in (None, fault.hex)
    assert list(Fault.decode_all(Fault.encode_all([fault]))) == [fault]


@pytest.mark.parametrize(
    ("record", "data", "said"),
    [
        (Shelf, b"0001\x01\x0c\n00", "the file ends within the record at byte 7"),
        (Article, b"order;weight\n", "the header is ['order', 'weight']"),
        (Entry, b"<Entries><Entry>", "Premature end of data"),
    ],
)
def test_a_file_that_cannot_be_cut_into_records_is_a_fault_of_the_file(record: type, data: bytes, said: str) -> None:
    """Without a record, since nobody knows where the next one begins."""
    [fault] = reading_of(record, data).faults
    assert (fault.part, fault.record) == ("file", None)
    assert said in fault.error


def test_a_name_that_is_no_text_is_not_taken() -> None:
    """It could be written neither in the ledger nor in a report."""
    [form] = Warehouse._answer_forms()
    assert form.takes("CONF1.DAT")
    assert not form.takes("CONF\udcff.DAT")


@pytest.mark.parametrize(
    "record",
    [
        Confirmation(order_id="1001", quantity=7),
        Shelf(order_id="1", weight=Decimal("1.5")),
        Article(order_id="Zürich", weight=Decimal("1.50")),
        Note(order_id="1", weight=Decimal("1.50")),
        Entry(order_id="1", weight=Decimal("1.50")),
    ],
)
def test_an_answer_that_is_set_aside_can_be_read_again(record: Any) -> None:
    """From the bytes that the ledger keeps, in the backend's own form: so a person can have it replayed."""
    [good] = reading_of(type(record), type(record).encode_all([record])).good
    [spec] = [form.spec for form in Warehouse._answer_forms()]
    family = Warehouse._family(FileSettings.model_validate({"drop": "in", "answers": "out"}))
    again = family.read_answer(replace(spec, record=type(record)), Message(good.data))
    assert again == good.record == record
