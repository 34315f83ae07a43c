import importlib

import pytest

import adapter_sdk
from adapter_sdk import Adaptor
from adaptors.files import FileDropAdaptor
from adaptors.soap import SoapAdaptor
from adaptors.sql import SqlAdaptor


@pytest.mark.parametrize("module", ["adapter_sdk", "adaptors.sql", "adaptors.soap", "adaptors.files"])
def test_public_names_are_flat_sorted_and_there(module: str) -> None:
    """Each package lists its public names in order, and every one of them exists."""
    package = importlib.import_module(module)
    assert list(package.__all__) == sorted(package.__all__)
    assert all(getattr(package, name, None) is not None for name in package.__all__)


def test_every_error_is_public() -> None:
    """Whoever catches an error of the tree finds its class in the package itself."""
    from adapter_sdk import errors

    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree <= set(adapter_sdk.__all__)
    assert all(name in str(errors.__doc__) for name in tree)


@pytest.mark.parametrize("base", [Adaptor, SqlAdaptor, SoapAdaptor, FileDropAdaptor])
def test_a_subclass_author_meets_at_most_six_public_names(base: type[Adaptor]) -> None:
    """A base has few names that a subclass may use or override."""
    public = {name for name in dir(base) if not name.startswith("_")} - set(dir(object))
    annotated = {name for kind in base.__mro__ for name in vars(kind).get("__annotations__", {}) if name[0] != "_"}
    assert len(public | annotated) <= 6
