"""What `adaptor wsdl models` writes: names, types, facets; and that formatter, linter and mypy have nothing to say."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk.errors import ConfigError
from adaptors.soap.wsdl.document import Wsdl
from adaptors.soap.wsdl.generate import generate
from tests.command import adaptor
from tests.wsdl import DEPOT, DEPOT_ADAPTOR, RPC, asking, importable, models_of, write_models
from tests.wsdl.large import write_large

ROOT = Path(__file__).parents[2]
_STRICT = ("A", "B", "C4", "D205", "D415", "E", "F", "N", "PGH", "PIE", "PLC", "PLE", "PLW", "RUF", "SIM", "UP", "W")


def _text(wsdl: Path, *operations: str) -> str:
    return generate(Wsdl(wsdl), operations, None, None)


def _sequence(*elements: str) -> str:
    return f"<xs:sequence>{''.join(elements)}</xs:sequence>"


def _element(name: str, type: str = "xs:string", more: str = "") -> str:
    return f'<xs:element name="{name}" type="{type}" {more}/>'


def _simple(name: str, base: str, *facets: str) -> str:
    rules = "".join(f'<xs:{facet} value="{value}"/>' for facet, _, value in (one.partition("=") for one in facets))
    return f'<xs:simpleType name="{name}"><xs:restriction base="{base}">{rules}</xs:restriction></xs:simpleType>'


def _run(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("wsdl", [DEPOT, RPC, ROOT / "samples/shop/erp/erp.wsdl"], ids=["depot", "rpc", "erp"])
def test_the_module_is_formatted_and_clean(wsdl: Path, tmp_path: Path) -> None:
    """At 120 columns ruff would change nothing, and finds nothing with all rules that are usual."""
    module = tmp_path / "models.py"
    write_models(wsdl, module)
    usual = ("--isolated", "--no-cache", "--line-length", "120", "--target-version", "py311")
    assert _run("ruff", "format", "--check", "--diff", *usual, module) == ""
    assert _run("ruff", "check", *usual, "--select", ",".join(_STRICT), module) == ""


def test_names_too_long_for_a_line_are_broken_as_ruff_would(tmp_path: Path) -> None:
    """Long names, long enumerations, long patterns and long documentation stay within 120 columns, formatted."""
    long = "x".join(["AVeryLongName"] * 6)
    values = [f"enumeration={long[:40]}{number}" for number in range(9)]
    types = (
        _simple("Choice", "xs:string", *values)
        + _simple("Code", "xs:string", "pattern=[A-Z]{3}|[0-9]{5}|(abcdefghijklmnopqrstuvwxyz)+", "maxLength=400")
        + _simple("Other", "xs:string", f"pattern={'[A-Z]' * 40}")
        + f'<xs:complexType name="{long}"><xs:annotation><xs:documentation>{"All about it. " * 30}{"y" * 200}'
        f"</xs:documentation></xs:annotation>{_sequence(_element('a'))}</xs:complexType>"
    )
    content = _sequence(
        _element("choice", "t:Choice"),
        _element("some-code-that-has-a-long-name-which-needs-an-alias", "t:Code", 'minOccurs="0"'),
        _element("other", "t:Other"),
        _element("long", f"t:{long}", 'maxOccurs="unbounded"'),
        *(_element(f"parameter{number}") for number in range(9)),
    )
    module = tmp_path / "models.py"
    text = write_models(asking(tmp_path / "long.wsdl", content, types), module)
    usual = ("--isolated", "--no-cache", "--line-length", "120", "--target-version", "py311")
    assert _run("ruff", "format", "--check", "--diff", *usual, module) == ""
    assert _run("ruff", "check", *usual, "--select", "E,F,W", module) == ""
    assert "\n    other: str\n" in text.replace("        other: str,", "\n    other: str\n")


_WRONG = """
from decimal import Decimal

from depot_models import AddressType, Company, DepotService, LineType, Money, OrderType, SoldOutError


def wrong(depot: DepotService, order: OrderType, fault: SoldOutError) -> None:
    depot.PlaceOrder()
    depot.PlaceOrder(Order="order")
    depot.PlaceOrder(order)
    depot.Place(Order=order)
    depot.Find_Lines(Line=[1])
    print(depot.PlaceOrder(Order=order).Order.Lines)
    weight: float = depot.PlaceOrder(Order=order).Order.Weight
    LineType(Sku="AB-1234", Quantity="2", no=1)
    LineType(Sku="AB-1234", no=1)
    LineType(Sku="AB-1234", Quantity=2, no=1, Unit="stone")
    Money(value=1.5, currency="EUR")
    detail: int = fault.detail.Sku
"""


def test_mypy_strict_takes_the_module_and_a_handler_that_uses_it_and_finds_each_mistake(tmp_path: Path) -> None:
    """A right handler passes; each wrong call, argument, field and value is one error in its own line."""
    write_models(DEPOT, tmp_path / "depot_models.py")
    write_models(RPC, tmp_path / "rpc_models.py")
    (tmp_path / "right.py").write_text(DEPOT_ADAPTOR)
    (tmp_path / "wrong.py").write_text(_WRONG)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nmypy_path = {tmp_path}:{ROOT}\n")
    files = [tmp_path / f"{name}.py" for name in ("depot_models", "rpc_models", "right", "wrong")]
    told = _run("mypy", "--strict", "--config-file", tmp_path / "mypy.ini", "--cache-dir", ROOT / ".mypy_cache", *files)
    errors = [line for line in told.splitlines() if ": error:" in line]
    found = sorted({int(line.split(":")[1]) for line in errors if line.split(":")[0].endswith("wrong.py")})
    first = next(number for number, line in enumerate(_WRONG.splitlines(), 1) if "depot.PlaceOrder()" in line)
    assert found == list(range(first, first + 12)), told
    assert len({line.split(":")[0] for line in errors}) == 1, told


def test_types_of_the_schema_are_types_of_python(tmp_path: Path) -> None:
    """Each built-in type has the Python type that zeep gives and takes."""
    kinds = {
        "string": "str", "token": "str", "anyURI": "str", "QName": "str", "hexBinary": "str", "boolean": "bool",
        "int": "int", "unsignedLong": "int", "integer": "int", "decimal": "Decimal", "float": "float",
        "double": "float", "date": "dt.date", "dateTime": "dt.datetime", "time": "dt.time",
        "duration": "dt.timedelta", "base64Binary": "bytes", "anyType": "Any",
        "gYear": "tuple[int, dt.tzinfo | None]", "gYearMonth": "tuple[int, int, dt.tzinfo | None]",
    }  # fmt: skip
    content = _sequence(*(_element(f"f{number}", f"xs:{kind}") for number, kind in enumerate(kinds)))
    text = _text(asking(tmp_path / "t.wsdl", content))
    for number, python in enumerate(kinds.values()):
        assert f"    f{number}: {python}\n" in text


@pytest.mark.parametrize(
    ("more", "annotation"),
    [
        ("", "str"),
        ('minOccurs="0"', "str | None = None"),
        ('nillable="true"', "str | None"),
        ('minOccurs="0" nillable="true"', "str | None = None"),
        ('maxOccurs="unbounded"', "Sequence[str]"),
        ('minOccurs="0" maxOccurs="5"', "Sequence[str] = ()"),
        ('maxOccurs="2" nillable="true"', "Sequence[str | None]"),
    ],
)
def test_what_is_optional_repeated_and_nillable_is_said(tmp_path: Path, more: str, annotation: str) -> None:
    """minOccurs, maxOccurs and nillable become a default, a Sequence and None."""
    content = _sequence(_element("f", more=more), _element("g"))
    assert f"    f: {annotation}\n" in _text(asking(tmp_path / "t.wsdl", content))


@pytest.mark.parametrize(
    ("base", "facets", "annotation"),
    [
        ("xs:string", ("minLength=1", "maxLength=5"), "Annotated[str, Field(min_length=1, max_length=5)]"),
        ("xs:string", ("length=3",), "Annotated[str, Field(min_length=3, max_length=3)]"),
        ("xs:string", (r"pattern=\d+", "pattern=x"), r'Annotated[str, Field(pattern=r"^(?:\d+|x)$")]'),
        ("xs:string", ("enumeration=a", "enumeration=b&quot;c"), """Literal["a", 'b"c']"""),
        ("xs:int", ("minInclusive=1", "maxExclusive=9"), "Annotated[int, Field(ge=1, lt=9)]"),
        ("xs:int", ("enumeration=1", "enumeration=02"), "Literal[1, 2]"),
        ("xs:decimal", ("minExclusive=0.5", "fractionDigits=2", "totalDigits=9"),
         'Annotated[Decimal, Field(gt=Decimal("0.5"), decimal_places=2)]'),
        ("xs:decimal", ("totalDigits=9",), "Annotated[Decimal, Field(max_digits=9)]"),
        ("xs:double", ("maxInclusive=1.5",), "Annotated[float, Field(le=1.5)]"),
        ("xs:base64Binary", ("maxLength=9",), "Annotated[bytes, Field(max_length=9)]"),
    ],
)  # fmt: skip
def test_facets_are_constraints(tmp_path: Path, base: str, facets: tuple[str, ...], annotation: str) -> None:
    """A restricted simple type is an alias with pydantic's constraints, or of the values that it has."""
    types = _simple("Kind", base, *facets)
    assert f"Kind: TypeAlias = {annotation}\n" in _text(
        asking(tmp_path / "t.wsdl", _sequence(_element("f", "t:Kind")), types)
    )


@pytest.mark.parametrize("pattern", [r"\i\c*", r"[a-z-[aeiou]]", r"\p{IsGreek}", "(?!x)y"])
def test_a_pattern_that_pydantic_does_not_know_is_left_out(tmp_path: Path, pattern: str) -> None:
    """What XML Schema's patterns have and Python's do not is left to the schema, which checks each request anyway."""
    types = _simple("Kind", "xs:string", f"pattern={pattern}")
    text = _text(asking(tmp_path / "t.wsdl", _sequence(_element("f", "t:Kind"), _element("g")), types))
    assert "    f: str\n" in text


def test_facets_are_inherited_and_unions_of_enumerations_joined(tmp_path: Path) -> None:
    """A restriction of a restriction has the facets of both; a union of enumerations has the values of all."""
    types = (
        _simple("Wide", "xs:string", "maxLength=9", "minLength=1")
        + _simple("Narrow", "t:Wide", "maxLength=5")
        + _simple("A", "xs:string", "enumeration=a") + _simple("B", "xs:string", "enumeration=b")
        + '<xs:simpleType name="Both"><xs:union memberTypes="t:A t:B"/></xs:simpleType>'
        + '<xs:simpleType name="Any"><xs:union memberTypes="t:A xs:string"/></xs:simpleType>'
    )  # fmt: skip
    content = _sequence(_element("f", "t:Narrow"), _element("g", "t:Both"), _element("h", "t:Any"))
    text = _text(asking(tmp_path / "t.wsdl", content, types))
    assert "Narrow: TypeAlias = Annotated[str, Field(min_length=1, max_length=5)]" in text
    assert 'Both: TypeAlias = Literal["a", "b"]' in text
    assert "    h: str\n" in text


def test_names_that_python_cannot_have_get_an_alias(tmp_path: Path) -> None:
    """Keywords, dashes, leading underscores and names of pydantic are renamed; all others stay as they are."""
    names = {
        "order-no": "order_no", "class": "class_", "_id": "id", "model_config": "model_config_", "json": "json_",
        "str": "str_", "a.b": "a_b", "date": "date", "id": "id_", "été": "été", "_1st": "x_1st",
        "dt": "dt_", "Field": "Field_", "None": "None_",
    }  # fmt: skip
    wsdl = asking(tmp_path / "names.wsdl", _sequence(*(_element(name) for name in names)))
    with models_of(wsdl, tmp_path) as models:
        fields = {one.alias or name: name for name, one in models.AskResponse.model_fields.items()}
    assert fields == names


def test_a_parameter_named_self_is_renamed(tmp_path: Path) -> None:
    """The method has a self of its own."""
    text = _text(asking(tmp_path / "t.wsdl", _sequence(_element("self"), _element("b"))))
    assert 'def Ask(self, *, self_: Annotated[str, Field(alias="self")], b: str)' in text


def test_types_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    """Types of two namespaces, a type that is called like a field, and one that is called like a Python type."""
    other = (
        '<xs:schema targetNamespace="urn:u" xmlns:u="urn:u"><xs:complexType name="Item">'
        f"{_sequence(_element('of'))}</xs:complexType></xs:schema>"
    )
    types = "".join(
        f'<xs:complexType name="{name}">{_sequence(_element("x"))}</xs:complexType>'
        for name in ("Item", "Address", "str", "Decimal", "Ask")
    )
    content = _sequence(
        _element("a", "t:Item"), '<xs:element name="b" type="u:Item" xmlns:u="urn:u"/>',
        _element("Address", "t:Address"), _element("c", "t:str"), _element("d", "t:Decimal"), _element("e", "t:Ask"),
    )  # fmt: skip
    wsdl = asking(tmp_path / "clash.wsdl", content, types, other)
    with models_of(wsdl, tmp_path) as models:
        fields = {name: one.annotation for name, one in _built(models.AskResponse).items()}
    assert [fields[name].__name__ for name in ("a", "b", "Address", "c", "d", "e")] == [
        "Item", "Item2", "AddressType", "strType", "DecimalType", "AskType",
    ]  # fmt: skip
    assert fields["b"]._xml_type == "{urn:u}Item"


def _built(model: Any) -> Any:
    model.model_rebuild()
    return model.model_fields


def test_the_names_do_not_depend_on_which_operations_are_chosen(tmp_path: Path) -> None:
    """An operation more renames no class."""
    wsdl = tmp_path / "big.wsdl"
    write_large(wsdl, 30)
    with importable(tmp_path):
        few, all_ = _text(wsdl, "Do5"), _text(wsdl)
    classes = {line for line in few.splitlines() if line.startswith("class Record")}
    assert len(classes) == 5
    assert classes <= set(all_.splitlines())


def test_only_what_the_named_operations_need_is_written(tmp_path: Path) -> None:
    """A module for one operation has its types, those that derive from them, and no others."""
    text = _text(DEPOT, "Ping")
    assert "class DepotService(Protocol)" in text
    assert "def Ping(self) -> str | None:" in text
    assert "Order" not in text
    text = _text(DEPOT, "Find-Lines")
    assert "class LineType(SoapModel)" in text
    assert "Party" not in text


def test_the_documentation_of_the_wsdl_is_there_to_read(tmp_path: Path) -> None:
    """What the schema says of a type and the WSDL of an operation is in the docstrings."""
    text = _text(DEPOT)
    assert "Raises SoldOutError, ClosedError. Books an order. It is shipped the same day." in text
    assert "Where goods go. 'Street' may have a house number." in text
    assert "The type {urn:depot}Party. It is abstract" in text


def test_a_restricted_complex_type_stands_for_itself(tmp_path: Path) -> None:
    """What a restriction leaves of a type is a class without a base, as it may take away what the base must have."""
    types = (
        f'<xs:complexType name="Wide">{_sequence(_element("a", more=chr(109) + "inOccurs=" + chr(34) + "0" + chr(34)))}'
        "</xs:complexType>"
        '<xs:complexType name="Narrow"><xs:complexContent><xs:restriction base="t:Wide">'
        f"{_sequence(_element('a'))}</xs:restriction></xs:complexContent></xs:complexType>"
    )
    text = _text(asking(tmp_path / "t.wsdl", _sequence(_element("f", "t:Narrow"), _element("g")), types))
    assert (
        textwrap.dedent(
            '''
        class Narrow(SoapModel):
            """The type {urn:t}Narrow."""

            _xml_type = "{urn:t}Narrow"

            a: str
        '''
        )
        in text
    )


@pytest.mark.parametrize(
    ("operations", "options", "sentence"),
    [
        (("PlaceOrdr",), (), "no operation 'PlaceOrdr'; there is PlaceOrder"),
        (("Ping",), ("--port", "Nope"), "no such port; there is: --service Depot --port Soap; --service Depot --port"),
        (("Ping",), ("--port", "Get"), "no such port"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    operations: tuple[str, ...], options: tuple[str, ...], sentence: str
) -> None:
    """A wrong operation or port is answered with the right ones."""
    named = [word for name in operations for word in ("--operation", name)]
    assert sentence in adaptor("wsdl", "models", DEPOT, *named, *options, status=3).stderr


def test_ports_that_differ_must_be_chosen(tmp_path: Path) -> None:
    """Two ports with the operation and of different portTypes: which one is meant has to be said."""
    wsdl = tmp_path / "two.wsdl"
    text = asking(wsdl, _sequence(_element("a"))).read_text()
    more = text[text.index("<portType") : text.index("<service")].replace('"P"', '"P2"').replace("t:P", "t:P2")
    port = '<port name="Q2" binding="t:B2"><soap:address location="http://t/"/></port></service>'
    text = text.replace("<service", more.replace('"B"', '"B2"') + "<service").replace("</service>", port)
    wsdl.write_text(text)
    with pytest.raises(ConfigError, match="several ports have these operations; choose one of: --service S --port Q; "):
        generate(Wsdl(wsdl), ["Ask"], None, None)
    assert "class SService(Protocol)" in generate(Wsdl(wsdl), ["Ask"], None, "Q2")


def test_the_command_writes_a_file_or_to_standard_output(tmp_path: Path) -> None:
    """--operation may be given again or take several names; the module says how to make it anew."""
    out = tmp_path / "depot_models.py"
    adaptor("wsdl", "models", DEPOT, "--operation", "Ping", "PlaceOrder", "--out", out)
    shown = adaptor("wsdl", "models", DEPOT, "--operation", "Ping", "--operation", "PlaceOrder").output
    assert out.read_text() == shown
    assert "adaptor wsdl models depot.wsdl --operation Ping --operation PlaceOrder\n" in shown
    every = adaptor("wsdl", "models", DEPOT, "--folder", DEPOT.parent.parent, "--all").output
    assert "def Find_Lines" in every
    assert "adaptor wsdl models depot.wsdl --folder .. --all\n" in every
    assert "give --operation NAME" in adaptor("wsdl", "models", DEPOT, status=2).stderr
    assert "give --operation NAME" in adaptor("wsdl", "models", DEPOT, "--all", "--operation", "Ping", status=2).stderr


def test_operations_that_python_would_call_alike_are_told_apart(tmp_path: Path) -> None:
    """The one that has a Python name keeps it; the other is renamed, and knows its operation."""
    wsdl = asking(tmp_path / "t.wsdl", _sequence(_element("a"), _element("b")))
    text = wsdl.read_text()
    for tag, end in (("<portType", "</portType>"), ("<binding", "</binding>")):
        start = text.index("<operation", text.index(tag))
        operation = text[start : text.index(end)]
        text = text[:start] + operation.replace('name="Ask"', 'name=".Ask"') + text[start:]
    wsdl.write_text(text)
    written = _text(wsdl)
    assert '    @soap_operation(".Ask")\n    def Ask_(self, *, a: str, b: str) -> AskResponse:\n' in written
    assert "    def Ask(self, *, a: str, b: str) -> AskResponse:\n" in written
