"""`adaptor format from-copybook`: what models it makes of a copybook, and what it says of what it does not understand.

The bytes of `shipment.cpy` were written by `shipment.cob`, compiled with GnuCOBOL 3.1.2 as `cobc -x shipment.cob`, and
with `-fsign=EBCDIC` in the second case.
"""

import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mypy import api

from adaptors.files import FormatError
from adaptors.files.formats.copybook.converted import converted
from tests.command import adaptor

SHIPMENT = Path(__file__).with_name("cobol") / "shipment.cpy"
PROJECT = Path(__file__).parents[2]
CHOICE = "DETAIL-AREA=KIND:P=PARCEL,L=PALLET,M=PALLET"
WRITTEN_BY_COBOL = {
    "ascii": (
        "00490000412d31303031202050002f313233343536373030303432303031352b123456789c075bcd15270f020100003132332d2020"
        "0001250c0078005000285445412030303543555020303172"
        "003b0000412d3130303120204c000f313233343536777030303432303031352d123456789dffffffff0000feffffff3030302d2020"
        "4c503030303737202020"
    ),
    "ebcdic": (
        "00490000412d31303031202050002f313233343536477b30303432303031352b123456789c075bcd15270f020100003132332d2020"
        "0001250c007800500028544541203030454355502030314b"
        "003b0000412d3130303120204c000f313233343536507d30303432303031352d123456789dffffffff0000feffffff3030302d2020"
        "4c503030303737202020"
    ),
}
_numbers = count()


@pytest.fixture
def made() -> Iterator[Any]:
    """What turns the text of a copybook into a module that is imported, and forgets it again."""
    modules = []

    def make(text: str, encoding: str = "ascii", redefines: tuple[str, ...] = (), **options: Any) -> ModuleType:
        module = ModuleType(f"from_copybook_{next(_numbers)}")
        sys.modules[module.__name__] = module
        modules.append(module.__name__)
        exec(converted("test.cpy", text.encode(), encoding, redefines, **options).text, module.__dict__)
        return module

    yield make
    for name in modules:
        del sys.modules[name]


def fields(text: str, **options: Any) -> list[str]:
    """The lines that a record of these entries has in Python, without their comments."""
    text = "\n".join(f"       {line}" for line in ("01 R.", *text.splitlines()))
    done = converted("test.cpy", text.encode(), options.pop("encoding", "cp037"), **options)
    record = done.text.partition('bytes."""\n\n')[2] if done.text.count("class ") == 1 else done.text
    return [line.partition("  #")[0].strip() for line in record.splitlines() if not line.lstrip().startswith("#")]


@pytest.mark.parametrize("overpunch", ["ascii", "ebcdic"])
def test_a_file_that_a_cobol_program_wrote_is_read_right_and_written_again_byte_by_byte(
    made: Any, overpunch: str
) -> None:
    """Groups, tables, redefinitions, FILLER and every kind of number: the models agree with GnuCOBOL on each byte."""
    module = made(
        SHIPMENT.read_text(), redefines=(CHOICE,), overpunch=overpunch, binary_size="1-2-4-8", native_order="little"
    )
    file: Any = type("File", (module.Shipment,), {"__module__": module.__name__}, prefix="gnucobol")
    written = bytes.fromhex(WRITTEN_BY_COBOL[overpunch])
    parcel, pallet = records = list(file.decode_all(written))
    assert file.encode_all(records) == written
    assert parcel.header.model_dump() == {"order_no": "A-1001", "kind": "P", "item_count": 2}
    assert (parcel.header.is_parcel, parcel.header.is_pallet, pallet.header.is_pallet) == (True, False, True)
    assert parcel.detail_area == module.Parcel(weight=Decimal("1.250"), dimension=(120, 80, 40))
    assert pallet.detail_area == module.Pallet(licence="LP00077")
    assert [(item.sku, item.quantity) for item in parcel.item] == [("TEA", 5), ("CUP", -12)]
    assert list(parcel.balances.model_dump().values()) == [
        *(Decimal("12345.67"), 42, Decimal("1.5"), Decimal("1234567.89"), 123456789, 9999, 258, 123000)
    ]
    assert list(pallet.balances.model_dump().values()) == [
        *(Decimal("-12345.67"), -42, Decimal("-1.5"), Decimal("-1234567.89"), -1, 0, -2, 0)
    ]


@pytest.mark.parametrize("options", [(), ("--redefines", CHOICE, "--encoding", "ascii", "--overpunch", "ebcdic")])
def test_the_models_pass_mypy_strict_ruff_and_its_formatter(options: tuple[str, ...], tmp_path: Path) -> None:
    """What the command writes is clean under the rules of this project, and formatted as its formatter would."""
    out = tmp_path / "shipment.py"
    adaptor("format", "from-copybook", SHIPMENT, "--out", out, *options)
    cache = str(PROJECT / ".mypy_cache")
    found, _, failed = api.run(["--strict", "--python-version", "3.11", "--cache-dir", cache, str(out)])
    assert not failed, found
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(PROJECT / "pyproject.toml"), "--no-cache", str(out)]
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run([*ruff, *check, *config], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("clauses", "field"),
    [
        ("PIC X(8)", "a: Annotated[str, Text(8)]"),
        ("PICTURE IS XXX", "a: Annotated[str, Text(3)]"),
        ("PIC A(3)9(2)", "a: Annotated[str, Text(5)]"),
        ("PIC X(8) JUSTIFIED RIGHT", 'a: Annotated[str, Text(8, align="right")]'),
        ("PIC ZZ,ZZ9.99-", "a: Annotated[str, Text(10)]"),
        ("PIC 9(4) BLANK WHEN ZERO", "a: Annotated[str, Text(4)]"),
        ("PIC 9(4)", "a: Annotated[int, Number(4)]"),
        ("PIC 9(4)V99 VALUE ZERO", "a: Annotated[Decimal, Number(6, decimals=2)]"),
        ("PIC S9(4)", "a: Annotated[int, Zoned(4)]"),
        ("PIC S9(4) SIGN IS LEADING", 'a: Annotated[int, Zoned(4, sign="leading")]'),
        ("PIC S9(4) TRAILING SEPARATE", 'a: Annotated[int, Number(5, sign="trailing")]'),
        ("PIC S9(5)V99 COMP-3", "a: Annotated[Decimal, Packed(7, decimals=2)]"),
        ("PIC 9(5) PACKED-DECIMAL", "a: Annotated[int, Packed(5, signed=False)]"),
        ("USAGE IS COMP PIC S9(4)", "a: Annotated[int, Binary(4)]"),
        ("PIC S9(2) BINARY", "a: Annotated[int, Binary(2)]"),
        ("PIC 9(9)V9(2) COMPUTATIONAL-4", "a: Annotated[Decimal, Binary(11, decimals=2, signed=False)]"),
        ("PIC S9(9) COMP-5", "a: Annotated[int, Binary(9, native=True)]"),
        ("PIC 9(3)PPP", "a: Annotated[int, Number(3, decimals=-3)]"),
        ("PIC SVPP99", "a: Annotated[Decimal, Zoned(2, decimals=4)]"),
        ("PIC SPP99 COMP-3", "a: Annotated[Decimal, Packed(2, decimals=4)]"),
        (
            "PIC S9(3) OCCURS 5 TIMES INDEXED BY I J COMP-3",
            "a: Annotated[tuple[Annotated[int, Packed(3)], ...], Occurs(5)]",
        ),
        ("PIC X SYNC", "a: Annotated[str, Text(1)]"),
    ],
)
def test_an_entry_becomes_a_field_of_its_kind(clauses: str, field: str) -> None:
    """PICTURE, USAGE, SIGN, OCCURS and the rest, in every order and spelling that the standard has."""
    assert fields(f"05 A {clauses}.") == [field]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"binary_size": "1-2-4-8"}, "a: Annotated[int, Binary(2, length=1)]"),
        ({"full_range": True}, "a: Annotated[int, Binary(2, native=True)]"),
        ({"encoding": "ascii"}, "a: Annotated[int, Binary(2)]"),
    ],
)
def test_what_the_copybook_does_not_say_is_said_by_options(options: dict[str, Any], field: str) -> None:
    """Sizes and ranges of binary numbers are those of the compiler that is named."""
    assert fields("05 A PIC S99 COMP.", **options) == [field]


def test_the_byte_order_of_comp_5_is_that_of_the_machine() -> None:
    """Big with an EBCDIC encoding, little with another, unless it is said."""
    assert 'order="little"' in fields("05 A PIC S9(9) COMP-5.", encoding="ascii")[0]
    assert "order" not in fields("05 A PIC S9(9) COMP-5.", encoding="ascii", native_order="big")[0]


def test_usage_and_sign_of_a_group_hold_for_what_is_in_it() -> None:
    """A clause of a group is that of each item within, unless the item has its own."""
    text = "05 G USAGE COMP-3 SIGN LEADING.\n 10 A PIC S9(3).\n 10 B PIC S9(3) DISPLAY."
    assert {"a: Annotated[int, Packed(3)]", 'b: Annotated[int, Zoned(3, sign="leading")]'} <= set(fields(text))


def test_filler_is_kept_as_it_is_and_written_as_its_value() -> None:
    """FILLER becomes bytes with a default: its VALUE in the encoding, else spaces, or a zero if it is packed."""
    text = "05 FILLER PIC X(3) VALUE 'AB'.\n 05 PIC X(2).\n 05 FILLER PIC 9(3) COMP-3.\n 05 FILLER PIC X OCCURS 4."
    assert fields(text) == [
        'filler_1: Annotated[bytes, Bytes(3)] = b"\\xc1\\xc2@"',
        'filler_2: Annotated[bytes, Bytes(2)] = b"@" * 2',
        'filler_3: Annotated[bytes, Bytes(2)] = b"\\x00\\x0f"',
        'filler_4: Annotated[bytes, Bytes(4)] = b"@" * 4',
    ]
    values = "\n".join(
        f"05 PIC {one}."
        for one in ("9(3) VALUE 7", "S9(3)V9 COMP-3 VALUE -1.5", "X(2) VALUE LOW-VALUES", "X(3) VALUE ALL 'AB'")
    )
    defaults = [line.partition(" = ")[2] for line in fields(values, encoding="ascii")]
    assert defaults == ['b"007"', 'b"\\x00\\x01]"', 'b"\\x00" * 2', 'b"ABA"']


def test_names_that_python_or_pydantic_needs_are_given_another_form() -> None:
    """Keywords, attributes of models, digits in front, and names that become equal."""
    text = "\n".join(f"05 {name} PIC X." for name in ("CLASS", "COPY-", "1ST-NAME", "STR", "A-B", "A_B", "MODEL-DUMP"))
    names = [line.partition(":")[0] for line in fields(text.replace("COPY-", "JSON"))]
    assert names == ["class_", "json_", "n1st_name", "str_", "a_b", "a_b_2", "model_dump_"]


def test_condition_names_become_properties(made: Any) -> None:
    """Level 88: single values, several, ranges and figurative constants, of texts and of numbers."""
    record = made(
        """
       01 R.
          05 S PIC X(2).
             88 DONE VALUE 'D '.
             88 OPEN-OR-NEW VALUES ARE 'O' 'N', 'A' THRU 'C'.
             88 NOTHING VALUE SPACES.
          05 N PIC S9(3)V9 COMP-3.
             88 DEBT VALUE -999.9 THRU -0.1.
             88 NAUGHT VALUE ZERO.
        """
    ).R
    first, second = record(s="D", n=Decimal("-1.5")), record(s="B", n=Decimal(0))
    assert (first.done, first.open_or_new, first.nothing, first.debt, first.naught) == (True, False, False, True, False)
    assert (second.open_or_new, second.debt, second.naught, record(s="", n=Decimal(1)).nothing) == (
        True,
        False,
        True,
        True,
    )


def test_redefined_bytes_are_kept_unless_it_is_said_which_view_holds(made: Any) -> None:
    """Without a choice the area is bytes, which a class for each view decodes; with one it is the view named."""
    text = """
       01 R.
          05 KIND PIC 9.
          05 DAY-N PIC 9(8).
          05 DAY-G REDEFINES DAY-N.
             10 YEAR PIC 9(4).
             10 MONTH PIC 99.
          05 DAY-T REDEFINES DAY-N PIC X(6).
        """
    kept = made(text)
    (record,) = kept.R.decode_all(b"120261121")
    (day,) = kept.DayG.decode_all(record.day_n)
    assert (record.day_n, day.year, day.month, day.filler_1) == (b"20261121", 2026, 11, b"21")
    (record,) = made(text, redefines=("day-n=day-t",)).R.decode_all(b"120261121")
    assert (record.day_t, record.filler_1) == ("202611", b"21")
    chosen = made(text, redefines=("DAY-N=KIND:1=DAY-G,2=DAY-N",))
    first, second = chosen.R.decode_all(b"120261121220261121")
    assert (first.day_n.month, second.day_n.day_n) == (11, 20261121)


def test_what_stands_around_a_record_and_says_nothing_of_its_bytes_is_passed_over() -> None:
    """The table that DCLGEN declares in SQL, and a file description."""
    around = """\
       EXEC SQL DECLARE T.F TABLE
           ( A CHAR(3) NOT NULL, B DECIMAL(5, 2) ) END-EXEC.
       FD  F BLOCK CONTAINS 0 RECORDS.
"""
    record = "       01  R.\n           05  A PIC X(3).\n"
    alone, within = (converted("r.cpy", text.encode(), "cp037").text for text in (record, around + record))
    assert within == alone
    assert "a: Annotated[str, Text(3)]" in within


def test_entries_without_level_01_are_one_record() -> None:
    """A copybook that is made to stand within a program's own record gets the name of its file."""
    text = converted("order-line.cpy", b"           05 A PIC X.\n           05 B PIC X.\n", "cp037").text
    assert "class OrderLine(FixedWidth" in text


FIXED = """\
000100*COMMENT
000200 01  R.                                                           R0000001
000300/NEW PAGE
000400     05  A  PIC X(30) VALUE 'A TEXT THAT GOES ON IN THE LINE BELOWR0000002
000500-    ' IT''S'.                                                    R0000003
000600D    05  DEBUGGED PIC X.
       EJECT
           05  B  PICTURE
               IS S9(3)  *> A COMMENT AT THE END
               COMP-3.                                                  05 C PIC
           05  LONG-
      -    NAME PIC X.
"""
FREE = """\
>>SOURCE FORMAT IS FREE
01 R.
 * a comment as in column 7
 05 A PIC X(30) VALUE 'A''S'. 05 B PIC S9(3) COMP-3. *> 'not closed
*> a comment
 05 LONG-NAME PIC X.
"""


@pytest.mark.parametrize("text", [FIXED, FREE, FREE.partition("\n")[2], FIXED.replace("\n", "\r\n") + "\x1a"])
def test_fixed_and_free_reference_format_are_told_apart(text: str) -> None:
    """Sequence numbers, indicators, comments, continued literals and words, and columns 73 to 80 are what they are."""
    done = converted("r.cpy", text.encode(), "cp037").text
    assert "a: Annotated[str, Text(30)]" in done
    assert "b: Annotated[int, Packed(3)]" in done
    assert "long_name: Annotated[str, Text(1)]" in done
    assert "debugged" not in done
    assert " c:" not in done


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("05 A COMP-1.", "x.cpy:2: 05 A: USAGE COMP-1 is not understood"),
        ("05 A PIC N(3).", "x.cpy:2: 05 A: PICTURE N(3) is not understood"),
        ("05 A PIC S9(4) COMP SYNC.", "x.cpy:2: 05 A: SYNCHRONIZED is not understood"),
        ("05 A PIC X(3) COMP.", "x.cpy:2: 05 A: its USAGE needs a numeric PICTURE"),
        ("05 A PIC S9(19) COMP.", "x.cpy:2: 05 A: a binary number of 19 digits"),
        ("05 A.", "x.cpy:2: 05 A has neither a PICTURE nor items within it"),
        ("05 A PIC X.\n\n 10 B PIC X.", "x.cpy:4: 10 B stands within 05 A, which has a PICTURE"),
        ("66 A RENAMES B.", "x.cpy:2: level 66 is not understood"),
        ("COPY OTHER.", "x.cpy:2: COPY is not understood; put the text of that copybook in its place first"),
        ("05 :TAG:-A PIC X.", "x.cpy:2: :TAG:-A stands where a name was expected; a copybook made for COPY REPLACING"),
        ("05 A PIC X FOO.", "x.cpy:2: FOO is not understood in the entry 05 A"),
        ("05 A PIC X", "x.cpy:2: the entry 05 A has no full stop at its end"),
        ("05 A PIC X VALUE 'abc.", "x.cpy:2: a literal is not closed"),
        ("05 A PIC X OCCURS 1 TO 5.", "x.cpy:2: 05 A: OCCURS with TO needs DEPENDING ON"),
        ("05 A PIC X OCCURS 1 TO 5 DEPENDING ON N.", "x.cpy:2: 05 A: there is no field N before it"),
        ("05 A REDEFINES B PIC X.", "x.cpy:2: 05 A redefines B, which is not before it"),
        ("05 A PIC 9(3) LEADING SEPARATE.", "x.cpy:2: 05 A: a SIGN clause needs an S in the PICTURE"),
        ("05 A PIC S9(3) SIGN ABOVE.", "x.cpy:2: 05 A: SIGN ABOVE is not understood"),
        ("05 A OCCURS N PIC X.", "x.cpy:2: N stands where how often it OCCURS was expected"),
        ("FD F", "x.cpy:2: FD is not closed by ."),
        ("RD F.", "x.cpy:2: RD stands where a level number was expected"),
        ("EXEC SQL INCLUDE F END-EXEC.", "x.cpy:2: EXEC is not understood; put the text that it includes in its place"),
        ("EXEC SQL DECLARE F TABLE (A INT).", "x.cpy:2: EXEC is not closed by END-EXEC"),
        ("PROCEDURE DIVISION.", "x.cpy:2: PROCEDURE is not understood; give the entries of its records alone"),
        (
            f"{'05 A':62}PIC X.",
            "x.cpy:2: 'PIC X.' stands beyond column 72, where fixed format ends; move it to the left",
        ),
        (f"{'05 A PIC X':57}(10) VALUE SPACE.", "x.cpy:2: 'VALUE SPACE.' stands beyond column 72"),
        (f"{'05 A PIC X':61}(2)", "x.cpy:2: '2)' stands beyond column 72"),
    ],
)
def test_what_is_not_understood_is_said_with_file_and_line(entry: str, sentence: str) -> None:
    """Nothing of a copybook is skipped: what cannot be laid out exactly is an error that names it and its line."""
    text = "       01 R.\n" + "\n".join(f"          {line}" for line in entry.splitlines())
    with pytest.raises(FormatError) as caught:
        converted("x.cpy", text.encode(), "cp037")
    assert sentence in str(caught.value)


def test_the_command_writes_where_it_is_told_and_overwrites_only_by_force(tmp_path: Path) -> None:
    """Standard output without --out; a file with other content is left alone without --force."""
    out = tmp_path / "models.py"
    shown = adaptor("format", "from-copybook", SHIPMENT)
    assert "class Shipment(FixedWidth" in shown.stdout
    assert "note: shipment.cpy:21: 05 DETAIL-AREA is redefined" in shown.stderr
    adaptor("format", "from-copybook", SHIPMENT, "--out", out)
    assert out.read_text() == shown.stdout
    again = adaptor("format", "from-copybook", SHIPMENT, "--out", out, "--encoding", "cp500", status=2)
    assert "exists with other content; give --force" in again.stderr
    adaptor("format", "from-copybook", SHIPMENT, "--out", out, "--encoding", "cp500", "--force")
    assert 'encoding="cp500"' in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("missing.cpy",), 2, "missing.cpy: No such file or directory"),
        ((SHIPMENT, "--out", "missing/models.py"), 2, "missing/models.py: No such file or directory"),
        ((SHIPMENT, "--encoding", "klingon"), 1, "knows an encoding 'klingon'"),
        ((SHIPMENT, "--redefines", "PARCEL"), 1, "'PARCEL' is neither AREA=VIEW nor AREA=FIELD:VALUE=VIEW"),
        ((SHIPMENT, "--redefines", "SKU=KIND"), 1, "shipment.cpy: nothing redefines SKU"),
        (
            (SHIPMENT, "--redefines", "DETAIL-AREA=SKU"),
            1,
            "SKU is no view of DETAIL-AREA; there are DETAIL-AREA, PARCEL",
        ),
        ((SHIPMENT, "--redefines", "DETAIL-AREA=SKU:1=PARCEL"), 1, "there is no field SKU before it in its record"),
    ],
)
def test_wrong_usage_is_a_sentence_and_an_exit_status(arguments: tuple[str, ...], status: int, sentence: str) -> None:
    """Files, encodings and choices that are not there are named."""
    assert sentence in adaptor("format", "from-copybook", *arguments, status=status).stderr
