import pytest

from adapter_sdk import Adaptor, ConfigError, Event, EventData, handles
from adapter_sdk.family import Direct


class Placed(EventData, type="shop.placed"):
    order_id: str


class Printer(Adaptor):
    name = "printer"

    @handles
    def print(self, event: Event[Placed]) -> None:
        return None


def test_an_adaptor_without_a_family_reaches_its_backend_on_its_own() -> None:
    """Deriving from Adaptor itself gives the family whose promise is at least once."""
    family = Printer._family(None)
    assert isinstance(family, Direct)
    assert "at least once" in family.promise
    assert family.ledger() is None
    assert family.check() == []


@pytest.mark.parametrize("name", ["a", "erp-2", "x" * 60])
def test_names_that_can_be(name: str) -> None:
    """Lower-case letters, digits and dashes make a name."""
    made = type("Named", (Printer,), {"name": name})
    assert issubclass(made, Printer)
    assert made.name == name


def test_a_renamed_adaptor_is_checked_again() -> None:
    """A subclass that only changes the name is checked as its base was."""
    with pytest.raises(ConfigError, match=r"Named \(.*\): name is 'No Name'"):
        type("Named", (Printer,), {"name": "No Name"})


def test_keywords_of_the_class_line_are_refused() -> None:
    """What an adaptor does not know in its class line is an error and not silence."""
    with pytest.raises(TypeError):
        type("Named", (Printer,), {"name": "named"}, colour="red")
