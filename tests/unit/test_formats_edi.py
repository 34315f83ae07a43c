"""EDIFACT interchanges: what is written, that it reads back, and that the counts are held; and what X12 has like it."""

import builtins
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_sdk.errors import ConfigError
from adaptors.files import (
    BadRecord,
    EdifactInterchange,
    EdifactMessage,
    FormatError,
    Segment,
    X12Interchange,
)

ORDER = EdifactMessage(
    reference="1",
    identifier=("ORDERS", "D", "96A", "UN"),
    segments=(
        Segment.of("BGM", "220", "1001", "9"),
        Segment.of("FTX", "AAI", "", "", ("L'UNA COSA?", "1+1: due")),
        Segment.of("QTY", ("21", "5")),
    ),
)
INTERCHANGE = EdifactInterchange(
    syntax=("UNOC", "3"),
    sender=("4012345000009", "14"),
    recipient=("4098765000006", "14"),
    date="261121",
    time="1030",
    reference="REF1",
    messages=(ORDER,),
)
EDIFACT = (
    b"UNB+UNOC:3+4012345000009:14+4098765000006:14+261121:1030+REF1'UNH+1+ORDERS:D:96A:UN'BGM+220+1001+9'"
    b"FTX+AAI+++L?'UNA COSA??:1?+1?: due'QTY+21:5'UNT+5+1'UNZ+1+REF1'"
)


class Broken(EdifactInterchange, una=True, characters="|*.^ ~", line_end="\r\n"):
    """With a service string advice of its own, and a line per segment."""


def test_an_edifact_interchange_is_written_with_its_counts_and_reads_back() -> None:
    """UNT and UNZ are counted, service characters released, and the same bytes come out the second time."""
    assert EdifactInterchange.encode_all([INTERCHANGE]) == EDIFACT
    assert list(EdifactInterchange.decode_all(EDIFACT)) == [INTERCHANGE]
    message = next(EdifactInterchange.decode_all(EDIFACT)).messages[0]
    assert [segment.value(4, 2) for segment in message.segments if segment.tag == "FTX"] == ["1+1: due"]
    assert (message.segments[0].value(3), message.segments[0].value(4), message.segments[0].value(1, 2)) == (
        "9",
        "",
        "",
    )


texts = st.text("AB '+:?,.ä", max_size=5)
elements = st.one_of(texts, st.lists(texts, min_size=1, max_size=3).map(tuple))
segments = st.builds(
    lambda tag, found: Segment.of(tag, *found, "Z"), st.sampled_from(["BGM", "FTX"]), st.lists(elements, max_size=4)
)


@pytest.mark.parametrize("form", [EdifactInterchange, Broken])
@given(found=st.lists(st.lists(segments, max_size=4), max_size=3))
def test_any_segments_read_back_as_they_were_written(
    form: type[EdifactInterchange], found: list[list[Segment]]
) -> None:
    """Whatever the texts hold of service characters, whichever these are, the segments and the bytes are the same."""
    messages = [
        EdifactMessage(reference=str(n), identifier=("X",), segments=tuple(one)) for n, one in enumerate(found, 1)
    ]
    record = form.model_validate({**INTERCHANGE.model_dump(), "messages": tuple(messages)})
    data = form.encode_all([record, record])
    again = list(form.decode_all(data))
    assert again == [record, record]
    assert form.encode_all(again) == data


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"UNT+5+1'", b"UNT+4+1'", "message '1': UNT says '4' segments and reference '1', and there are 5 segments"),
        (b"UNT+5+1'", b"UNT+5+2'", "UNT says '5' segments and reference '2'"),
        (b"UNZ+1+REF1'", b"UNZ+2+REF1'", "UNZ says '2' messages and reference 'REF1', and there are 1 messages"),
        (b"UNZ+1+REF1'", b"UNZ+1+REF2'", "reference 'REF2', and there are 1 messages under reference 'REF1'"),
        (b"UNT+5+1'", b"", "there is no UNT after UNH"),
        (b"UNH+1+ORDERS:D:96A:UN'", b"", "a segment BGM stands outside of UNH to UNT"),
        (b"UNH+1+", b"UNG+X'UNH+1+", "there is no UNE after UNG"),
        (b"UNOC:3", b"UNOC:4", ""),
        (b"COSA", b"CO*A", ""),
    ],
)
def test_an_interchange_whose_counts_or_nesting_are_wrong_is_a_bad_record(old: bytes, new: bytes, reason: str) -> None:
    """A wrong count, reference or order of segments costs the interchange it is in; the next one is read."""
    broken = EDIFACT.replace(old, new)
    first, second = EdifactInterchange.decode_each(broken + EDIFACT)
    assert second == INTERCHANGE
    if not reason:
        assert isinstance(first, EdifactInterchange)
        return
    assert isinstance(first, BadRecord)
    assert first.raw == broken
    with pytest.raises(FormatError, match=rf"EdifactInterchange record 1 \(interchange 'REF1'\).*{reason}"):
        list(EdifactInterchange.decode_all(broken))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file begins with 0x, and not with UNA and UNB, or UNB"),
        (b"\r\n" + EDIFACT, "begins with 0x0d0a"),
        (EDIFACT[:-1], "Unexpected end of EDI messages"),
        (EDIFACT.replace(b"UNZ+1+REF1'", b""), "the file ends without the UNZ of interchange 'REF1'"),
        (EDIFACT + b"XXX+1'", "segment 8 is XXX, outside of UNB to UNZ"),
        (EDIFACT.replace(b"BGM", b"bgm"), "near segment 2: tag: String should match"),
        (EDIFACT.replace(b"UNOC", b"UNOQ"), "the syntax 'UNOQ' is not one of UNOA, UNOB"),
        (EDIFACT.replace(b"UNOC", b"UNOA").replace(b"COSA", b"\xe4"), "0xe4 at byte 116 is not ascii, as UNOA has it"),
    ],
)
def test_a_file_that_is_no_interchange_ends_the_reading(data: bytes, reason: str) -> None:
    """What cannot be cut into interchanges is an error that says how far it was understood."""
    with pytest.raises(FormatError, match=reason):
        list(EdifactInterchange.decode_each(data))


def test_repetitions_of_syntax_version_4_are_refused_in_both_directions() -> None:
    """An asterisk would be a separator to one reader and a character to another."""
    data = EDIFACT.replace(b"UNOC:3", b"UNOC:4").replace(b"COSA", b"CO*A")
    with pytest.raises(FormatError, match=r"segment FTX: '\*' .* separates repetitions in syntax version 4"):
        list(EdifactInterchange.decode_all(data))
    with pytest.raises(FormatError, match=r"segment FTX: '\^' .* separates repetitions"):
        list(EdifactInterchange.decode_all(b"UNA:+.?^'" + data.replace(b"CO*A", b"CO^A")))
    message = ORDER.model_copy(update={"segments": (Segment.of("BGM", "a*b"),)})
    with pytest.raises(FormatError, match=r"segment BGM: '.*' .* separates repetitions"):
        EdifactInterchange.encode_all(
            [INTERCHANGE.model_copy(update={"syntax": ("UNOC", "4"), "messages": (message,)})]
        )


def test_an_asterisk_is_a_character_where_the_service_string_advice_has_no_repetitions() -> None:
    """A space in the fifth place of UNA says that syntax version 4 is used without them."""

    class Advised(EdifactInterchange, una=True):
        """UNA:+.? '."""

    data = b"UNA:+.? '" + EDIFACT.replace(b"UNOC:3", b"UNOC:4").replace(b"COSA", b"CO*A")
    records = list(Advised.decode_all(data))
    assert records[0].messages[0].segments[1].value(4) == "L'UNA CO*A?"
    assert Advised.encode_all(records) == data


GROUPED = (
    b"UNB+UNOA:1+UPS+ACME:02+160714:1243+44++IFTSTA'"
    b"UNG+IFTSTA+UPS:ZZ+ACME:02+160714:1243+7+UN+D:07B'UNH+1+IFTSTA:D:07B:UN'BGM+23'ODI'UNT+4+1'"
    b"UNH+2+IFTSTA:D:07B:UN'BGM+23'UNT+3+2'UNE+2+7'UNG+++++8'UNE+0+8'UNZ+2+44'"
)


def test_functional_groups_are_counted_and_come_out_as_they_came_in() -> None:
    """UNE counts the messages of its group, and UNZ the groups; a segment that is a tag alone stays."""
    (received,) = EdifactInterchange.decode_all(GROUPED)
    assert received.messages == ()
    first, second = received.groups
    assert (first.identification, first.sender, first.reference, len(first.messages)) == (
        "IFTSTA",
        ("UPS", "ZZ"),
        "7",
        2,
    )
    assert first.more == ("UN", ("D", "07B"))
    assert first.messages[0].segments[1] == Segment.of("ODI")
    assert (second.reference, second.date, second.messages) == ("8", "", ())
    assert EdifactInterchange.encode_all([received]) == GROUPED


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"UNE+2+7", b"UNE+1+7", ", group '7': UNE says '1' messages and reference '7', and there are 2 messages"),
        (b"UNE+2+7", b"UNE+2+9", ", group '7': UNE says '2' messages and reference '9'"),
        (b"UNZ+2", b"UNZ+3", ": UNZ says '3' groups and reference '44', and there are 2 groups"),
        (b"UNT+3+2", b"UNT+4+2", ", group '7', message '2': UNT says '4' segments"),
        (b"UNG+++", b"UNH+3+X:D'UNT+2+3'UNG+++", ": a segment UNH stands outside of UNG to UNE"),
        (b"UNE+2+7'", b"", ": a segment UNG stands within UNG to UNE"),
    ],
)
def test_a_functional_group_whose_counts_or_nesting_are_wrong_costs_its_interchange(
    old: bytes, new: bytes, reason: str
) -> None:
    """The error names interchange, group and message."""
    (bad,) = EdifactInterchange.decode_each(GROUPED.replace(old, new))
    assert isinstance(bad, BadRecord)
    assert f"EdifactInterchange record 1 (interchange '44'){reason}" in str(bad.error)


def test_messages_stand_in_groups_or_none_does() -> None:
    """An interchange that has both is refused, since UNZ could count only one of them."""
    (received,) = EdifactInterchange.decode_all(GROUPED)
    with pytest.raises(FormatError, match="messages in groups and messages outside of them"):
        EdifactInterchange.encode_all([received.model_copy(update={"messages": (ORDER,)})])


@pytest.mark.parametrize(
    ("syntax", "text", "reason"),
    [
        ("UNOA", "abc", r"EdifactInterchange record 1, segment BGM: 'a' \(U\+0061\) in 'abc' is not in UNOA"),
        ("UNOB", "ä", "is not in UNOB"),
        ("UNOC", "€", "is not in iso8859-1"),
        ("UNOC", "a\nb", r"U\+000A"),
        ("UNOX", "a", "the syntax 'UNOX' is not one of"),
    ],
)
def test_a_character_that_the_syntax_lacks_is_refused_and_never_replaced(syntax: str, text: str, reason: str) -> None:
    """The repertoire of the syntax identifier is held before anything is written."""
    message = ORDER.model_copy(update={"segments": (Segment.of("BGM", text),)})
    record = INTERCHANGE.model_copy(update={"syntax": (syntax, "3"), "messages": (message,)})
    with pytest.raises(FormatError, match=reason):
        EdifactInterchange.encode_all([record])


def test_service_segments_are_written_by_the_envelope_alone() -> None:
    """A message that brings its own UNT is refused."""
    message = ORDER.model_copy(update={"segments": (Segment.of("UNT", "1"),)})
    with pytest.raises(FormatError, match="a segment UNT in a message"):
        EdifactInterchange.encode_all([INTERCHANGE.model_copy(update={"messages": (message,)})])


@pytest.mark.parametrize(
    ("library", "extra", "use"),
    [
        ("pydifact", "edifact", lambda: EdifactInterchange.encode_all([INTERCHANGE])),
        ("pyx12", "x12", lambda: list(X12Interchange.decode_all(b""))),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    library: str, extra: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The formats can be declared without their libraries; using them says what to install."""
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == library:
            raise ModuleNotFoundError(name=library)
        return real(name, *arguments)

    monkeypatch.setattr("importlib.import_module", without)
    monkeypatch.setattr("adaptors.files.formats.edi.import_module", without)
    with pytest.raises(ConfigError, match=rf"{library} is not installed: pip install .*\[{extra}\]"):
        use()


OWN = {"__module__": __name__}


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (lambda: type("R", (EdifactInterchange,), OWN, characters="::.? '", una=True), "six different"),
        (lambda: type("R", (EdifactInterchange,), OWN, characters="|*.^ ~"), "need una=True"),
        (lambda: type("R", (X12Interchange,), OWN, separators="*:*"), "three different signs"),
    ],
)
def test_separators_that_cannot_work_are_refused_when_the_class_is_made(
    declare: Callable[[], object], reason: str
) -> None:
    """What no reader could tell apart is a ConfigError."""
    with pytest.raises(ConfigError, match=reason):
        declare()
