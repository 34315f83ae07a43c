"""X12 interchanges: what is written, that it reads back, and that the counts are held."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptors.files import BadRecord, FormatError, Segment, X12Group, X12Interchange, X12Transaction

PURCHASE = X12Transaction(
    code="850",
    control="0001",
    segments=(Segment.of("BEG", "00", "SA", "1001", "", "20261121"), Segment.of("PO1", "1", "5", "EA", "9.9")),
)
ACME = X12Interchange(
    sender=("ZZ", "ACME"),
    receiver=("01", "123456789"),
    date="261121",
    time="1030",
    control="000000007",
    groups=(
        X12Group(
            functional="PO",
            sender="ACME",
            receiver="WH",
            date="20261121",
            time="1030",
            control="7",
            version="004010",
            transactions=(PURCHASE,),
        ),
    ),
)
X12_FILE = (
    b"ISA*00*          *00*          *ZZ*ACME           *01*123456789      *261121*1030*U*00401*000000007*0*P*:~"
    b"GS*PO*ACME*WH*20261121*1030*7*X*004010~ST*850*0001~BEG*00*SA*1001**20261121~PO1*1*5*EA*9.9~SE*4*0001~GE*1*7~"
    b"IEA*1*000000007~"
)


class Lines(X12Interchange, separators="|>!", line_end="\n"):
    """Other separators, and a line per segment."""


def test_an_x12_interchange_is_written_with_its_counts_and_reads_back() -> None:
    """SE, GE and IEA are counted, ISA has its fixed lengths, and the same bytes come out the second time."""
    assert X12Interchange.encode_all([ACME]) == X12_FILE
    (again,) = X12Interchange.decode_all(X12_FILE)
    assert again == ACME
    assert again.groups[0].transactions[0].segments[0].value(3) == "1001"


x12_texts = st.text("AB ':?+,.", max_size=5)
x12_segments = st.builds(lambda found: Segment.of("REF", *found, "Z"), st.lists(x12_texts, max_size=4))
composites = st.builds(
    lambda found: Segment.of("SV1", tuple(found), "Z"), st.lists(st.text("AB", min_size=1), min_size=2)
)


@given(found=st.lists(st.lists(x12_segments | composites, max_size=4), max_size=3))
def test_any_x12_segments_read_back_as_they_were_written(found: list[list[Segment]]) -> None:
    """Elements and components come back, and so do the bytes, with separators that the texts do not hold."""
    sets = tuple(X12Transaction(code="850", control=f"{n:04}", segments=tuple(one)) for n, one in enumerate(found, 1))
    group = ACME.groups[0].model_copy(update={"transactions": sets})
    record = Lines.model_validate({**ACME.model_dump(), "groups": (group,)})
    data = Lines.encode_all([record])
    again = list(Lines.decode_all(data))
    assert again == [record]
    assert Lines.encode_all(again) == data


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"SE*4*", b"SE*5*", "SE count of 5 for SE02=0001 is wrong. I count 4"),
        (b"SE*4*0001", b"SE*4*0002", "SE id=0002 does not match ST id=0001"),
        (b"GE*1*", b"GE*2*", "GE count of 2 for GE02=7 is wrong. I count 1"),
        (b"GE*1*7", b"GE*1*8", "GE id=8 does not match GS id=7"),
        (b"IEA*1*", b"IEA*3*", "IEA count for IEA02=000000007 is wrong"),
        (b"IEA*1*000000007", b"IEA*1*000000008", "IEA id=000000008 does not match ISA id=000000007"),
        (b"ST*850", b"N1*ST*X~ST*850", "a segment N1 stands outside of ST to SE"),
        (b"*P*:~", b"*X*:~", "usage: Input should be 'P' or 'T'"),
    ],
)
def test_an_x12_interchange_whose_counts_or_numbers_are_wrong_is_a_bad_record(
    old: bytes, new: bytes, reason: str
) -> None:
    """A wrong count or control number is named with its interchange."""
    (bad,) = X12Interchange.decode_each(X12_FILE.replace(old, new))
    assert isinstance(bad, BadRecord)
    assert "X12Interchange record 1 (interchange 000000007): " in str(bad.error)
    assert reason in str(bad.error)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not begin with 'ISA'"),
        (X12_FILE[:50], "ISA line is only 50 characters"),
        (X12_FILE.replace(b"ACME           ", b"ACME"), "ISA06 is 'ACME', and has to be 15 characters long"),
        (X12_FILE.replace(b"00401", b"401"), "ISA12 is '401', and has to be 5 characters long"),
        (X12_FILE.replace(b"PO1*", b"~PO1*"), "after segment 4 the file goes on with 'PO1.*, which is no segment"),
        (X12_FILE.replace(b"9.9", b"9" * 40_000), "after segment 4 the file goes on with 'PO1"),
        (X12_FILE[:-16], "ends within an interchange"),
        (X12_FILE[:-1], "goes on with 'IEA"),
        (X12_FILE.replace(b"ACME", b"AC\xe9E"), "0xe9 at byte 37 is not in the characters of X12"),
        (X12_FILE.replace(b"GS*", b"gs*"), "near segment 2: tag: String should match"),
        (X12_FILE + X12_FILE[106:], "near segment"),
    ],
)
def test_a_file_that_is_no_x12_interchange_ends_the_reading(data: bytes, reason: str) -> None:
    """Nothing behind a place that cannot be understood is left out in silence."""
    with pytest.raises(FormatError, match=reason):
        list(X12Interchange.decode_each(data))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "a*b",
            r"X12Interchange record 1, segment BEG: '\*' \(U\+002A\) in 'a\*b' is a separator, and X12 has no escape",
        ),
        ("a:b", "is a separator"),
        ("ä", "is not in the characters of X12"),
        ("a\nb", "is not in the characters of X12"),
    ],
)
def test_a_text_that_holds_a_separator_is_refused_because_x12_has_no_escape(text: str, reason: str) -> None:
    """What a reader would take for a separator, or cannot be written, is an error with its segment."""
    changed = PURCHASE.model_copy(update={"segments": (Segment.of("BEG", text),)})
    group = ACME.groups[0].model_copy(update={"transactions": (changed,)})
    with pytest.raises(FormatError, match=reason):
        X12Interchange.encode_all([ACME.model_copy(update={"groups": (group,)})])


@pytest.mark.parametrize("version", ["00200", "00305", "00400", "00402", "00501", "00605"])
def test_every_version_of_the_envelope_comes_out_as_it_came_in(version: str) -> None:
    """Old groups have dates of six digits, and a second interchange its own version."""
    data = X12_FILE.replace(b"00401", version.encode()).replace(b"*20261121*1030", b"*261121*1030")
    records = list(X12Interchange.decode_all(data + X12_FILE.replace(b"000000007", b"000000008")))
    assert [record.version for record in records] == [version, "00401"]
    assert X12Interchange.encode_all(records[:1]) == data


def test_a_version_that_is_none_is_a_bad_record() -> None:
    """ISA12 is five digits, of which the first two are zero."""
    (bad,) = X12Interchange.decode_each(X12_FILE.replace(b"00401", b"X0401"))
    assert isinstance(bad, BadRecord)
    assert "version: String should match" in str(bad.error)


def test_what_pyx12_finds_wrong_is_not_written() -> None:
    """Two transaction sets with one control number are refused before anything is written."""
    group = ACME.groups[0].model_copy(update={"transactions": (PURCHASE, PURCHASE)})
    with pytest.raises(FormatError, match="0001 not unique"):
        X12Interchange.encode_all([ACME.model_copy(update={"groups": (group,)})])
