from typing import Any

import pytest

from adapter_sdk import ConfigError
from adapter_sdk.patterns import Pattern

EVENT: dict[str, Any] = {
    "source": "shop",
    "type": "com.shop.order.placed",
    "id": "e-1",
    "data": {
        "state": "new",
        "name": "Ann",
        "count": 3,
        "price": 9.5,
        "express": True,
        "voucher": None,
        "address": "10.0.0.7",
        "address6": "2001:db8::7",
        "tags": ["big", "fragile"],
        "empty": [],
        "lines": [{"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 5}],
        "file": "orders/2026.XML",
        "path": r"a*b\c",
    },
}


def matches(**data: Any) -> bool:
    """Whether the event matches a pattern on its data."""
    return Pattern({"data": data}).matches(EVENT)


# Each row follows the table of comparison operators in the Amazon EventBridge user guide.
@pytest.mark.parametrize(
    ("field", "wanted", "expected"),
    [
        # equals
        ("state", ["new"], True),
        ("state", ["old", "new"], True),
        ("state", ["New"], False),
        ("state", ["old"], False),
        ("count", [3], True),
        ("count", [3.0], True),
        ("count", ["3"], False),
        ("count", [True], False),
        ("express", [True], True),
        ("express", [1], False),
        ("voucher", [None], True),
        ("state", [None], False),
        ("absent", [None], False),
        ("absent", ["new"], False),
        # lists in the event: one common item is enough
        ("tags", ["fragile"], True),
        ("tags", ["small", "big"], True),
        ("tags", ["small"], False),
        ("tags", [{"prefix": "frag"}], True),
        ("empty", ["big"], False),
        # prefix and suffix
        ("state", [{"prefix": "n"}], True),
        ("state", [{"prefix": "N"}], False),
        ("state", [{"prefix": {"equals-ignore-case": "N"}}], True),
        ("count", [{"prefix": "3"}], False),
        ("absent", [{"prefix": ""}], False),
        ("file", [{"suffix": ".XML"}], True),
        ("file", [{"suffix": ".xml"}], False),
        ("file", [{"suffix": {"equals-ignore-case": ".xml"}}], True),
        # equals-ignore-case
        ("name", [{"equals-ignore-case": "aNN"}], True),
        ("name", [{"equals-ignore-case": "an"}], False),
        # wildcard
        ("file", [{"wildcard": "orders/*.XML"}], True),
        ("file", [{"wildcard": "*2026*"}], True),
        ("file", [{"wildcard": "2026*"}], False),
        ("file", [{"wildcard": "orders.2026.XML"}], False),
        ("path", [{"wildcard": r"a\*b\\c"}], True),
        ("file", [{"wildcard": r"orders/\*.XML"}], False),
        # anything-but
        ("state", [{"anything-but": "old"}], True),
        ("state", [{"anything-but": ["old", "new"]}], False),
        ("count", [{"anything-but": [1, 2]}], True),
        ("count", [{"anything-but": 3}], False),
        ("absent", [{"anything-but": "old"}], False),
        ("voucher", [{"anything-but": "old"}], True),
        ("state", [{"anything-but": {"prefix": "n"}}], False),
        ("state", [{"anything-but": {"suffix": ["x", "w"]}}], False),
        ("name", [{"anything-but": {"equals-ignore-case": ["ann", "bob"]}}], False),
        ("file", [{"anything-but": {"wildcard": "*.txt"}}], True),
        # numeric
        ("count", [{"numeric": ["=", 3]}], True),
        ("price", [{"numeric": [">", 9, "<=", 9.5]}], True),
        ("price", [{"numeric": [">", 9.5]}], False),
        ("price", [{"numeric": ["<", 9.5]}], False),
        ("price", [{"numeric": [">=", 9.5]}], True),
        ("express", [{"numeric": [">=", 0]}], False),
        ("state", [{"numeric": [">=", 0]}], False),
        ("absent", [{"numeric": [">=", 0]}], False),
        # exists
        ("state", [{"exists": True}], True),
        ("state", [{"exists": False}], False),
        ("absent", [{"exists": False}], True),
        ("absent", [{"exists": True}], False),
        ("voucher", [{"exists": True}], True),
        # cidr
        ("address", [{"cidr": "10.0.0.0/24"}], True),
        ("address", [{"cidr": "10.0.1.0/24"}], False),
        ("address6", [{"cidr": "2001:db8::/32"}], True),
        ("state", [{"cidr": "10.0.0.0/24"}], False),
        ("count", [{"cidr": "10.0.0.0/24"}], False),
        # several operators in one list: one is enough
        ("state", [{"prefix": "x"}, {"suffix": "w"}], True),
    ],
)
def test_operators(field: str, wanted: list[Any], expected: bool) -> None:
    """Each operator answers as the EventBridge user guide says."""
    assert matches(**{field: wanted}) is expected


class TestStructure:
    def test_all_fields_must_match(self) -> None:
        """Fields are joined by and, the values of one field by or."""
        assert matches(state=["new"], count=[1, 3])
        assert not matches(state=["new"], count=[1])

    def test_fields_of_the_envelope_go_by_both_names(self) -> None:
        """The CloudEvents and the EventBridge names of type and data mean the same."""
        for names in (("type", "data"), ("detail-type", "detail")):
            assert Pattern({names[0]: [{"prefix": "com.shop."}], names[1]: {"state": ["new"]}}).matches(EVENT)
        assert not Pattern({"source": ["erp"]}).matches(EVENT)

    def test_or_between_fields(self) -> None:
        """`$or` asks for one of its patterns, beside the other fields."""
        assert matches(**{"$or": [{"count": [9]}, {"state": ["new"]}]})
        assert not matches(**{"$or": [{"count": [9]}, {"state": ["old"]}]})
        assert not matches(**{"$or": [{"count": [9]}, {"state": ["new"]}], "express": [False]})
        assert Pattern({"$or": [{"source": ["erp"]}, {"data": {"count": [3]}}]}).matches(EVENT)

    def test_exists_false_below_missing_parents(self) -> None:
        """A field below an absent parent is absent; so is one below a parent that is no object."""
        assert matches(nothing={"at": {"all": [{"exists": False}]}})
        assert not matches(nothing={"at": {"all": [{"exists": True}]}})
        assert matches(state={"deeper": [{"exists": False}]})

    def test_lists_of_objects_match_within_one_object(self) -> None:
        """Several fields below a list have to match in the same item of it."""
        assert matches(lines={"sku": ["B"], "quantity": [5]})
        assert not matches(lines={"sku": ["A"], "quantity": [5]})
        assert matches(lines={"sku": ["C", "A"]})
        assert matches(empty={"sku": [{"exists": False}]})

    def test_event_without_data(self) -> None:
        """An event whose data is no object matches nothing below it."""
        pattern = Pattern({"data": {"state": ["new"]}})
        assert not any(pattern.matches({"data": data}) for data in (None, 5, "text", list[str]()))

    def test_repr_shows_the_pattern(self) -> None:
        """A pattern is shown as it was written."""
        assert repr(Pattern({"source": ["shop"]})) == "Pattern({'source': ['shop']})"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ({}, "where: a pattern is a non-empty object"),
        ({"data": {}}, "where.data: a pattern is a non-empty object"),
        ({"data": {"state": "new"}}, r"where.data.state: .* write \['new'\]"),
        ({"data": {"state": []}}, "where.data.state: .*non-empty list"),
        ({"source": [["shop"]]}, "is not a JSON value"),
        ({"source": [object()]}, "is not a JSON value"),
        ({"source": [{"prefx": "s"}]}, "unknown operator 'prefx'; there are anything-but, cidr"),
        ({"source": [{"prefix": "s", "suffix": "p"}]}, "one operator per object"),
        ({"source": [{}]}, "one operator per object"),
        ({"source": [{"prefix": 5}]}, 'write {"prefix": "text"}'),
        ({"source": [{"equals-ignore-case": 5}]}, "equals-ignore-case"),
        ({"source": [{"wildcard": "a**b"}]}, "two stars"),
        ({"source": [{"anything-but": []}]}, "at least one value"),
        ({"source": [{"anything-but": {"numeric": [">", 1]}}]}, "anything-but takes"),
        ({"source": [{"anything-but": {}}]}, "anything-but takes"),
        ({"source": [{"anything-but": [["a"]]}]}, "is not a JSON value"),
        ({"source": [{"numeric": []}]}, 'write {"numeric"'),
        ({"source": [{"numeric": [">"]}]}, 'write {"numeric"'),
        ({"source": [{"numeric": ["!", 1]}]}, "numeric compares with"),
        ({"source": [{"numeric": [["x"], 1]}]}, "numeric compares with"),
        ({"source": [{"numeric": [">", "1"]}]}, 'write {"numeric"'),
        ({"source": [{"numeric": [">", True]}]}, 'write {"numeric"'),
        ({"source": [{"exists": "yes"}]}, 'write {"exists": true}'),
        ({"source": [{"exists": 1}]}, 'write {"exists": true}'),
        ({"source": [{"cidr": "10.0.0.0/99"}]}, "cidr"),
        ({"source": [{"cidr": 5}]}, 'write {"cidr"'),
        ({"$or": {}}, r"where.\$or: give a list of patterns"),
        ({"$or": []}, r"where.\$or: give a list of patterns"),
        ({"$or": [{"a": []}]}, r"where.\$or\[0\].a"),
        (["source"], "where: a pattern is a non-empty object"),
    ],
)
def test_what_is_no_pattern(pattern: Any, why: str) -> None:
    """A pattern with a fault is a ConfigError that names the field and says what to write."""
    with pytest.raises(ConfigError, match=why):
        Pattern(pattern)
