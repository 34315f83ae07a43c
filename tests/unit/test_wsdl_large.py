"""A WSDL of more than 4 MB and 3,000 operations: in seconds, or with the place of what is wrong."""

import time
from decimal import Decimal
from pathlib import Path

import pytest

from adapter_sdk.errors import ConfigError
from adaptors.soap.wsdl.describe import describe
from adaptors.soap.wsdl.document import Wsdl
from adaptors.soap.wsdl.generate import generate
from adaptors.soap.wsdl.show import text_of
from tests.wsdl import models_of
from tests.wsdl.large import write_large

_SECONDS = 20
"""Of processor time, with room for a slow machine: some 5 where this was written."""


def test_three_thousand_operations_take_seconds(tmp_path: Path) -> None:
    """Reading, describing all, and making models of one and of all, in processor time."""
    wsdl = tmp_path / "big.wsdl"
    write_large(wsdl, 3000)
    assert wsdl.stat().st_size > 4_000_000
    started = time.process_time()
    big = Wsdl(wsdl)
    one = generate(big, ["Do7"], None, None)
    every = generate(big, [], None, None)
    description = describe(big)
    text = text_of(description)
    assert time.process_time() - started < _SECONDS
    assert one.count("\nclass ") == 5  # the base, Record7 to Record9, and the service
    assert every.count("    def Do") == len(description.bindings[0].operations) == 3000
    assert "  Do2999: document/literal" in text


def test_its_models_work(tmp_path: Path) -> None:
    """What is written for one operation of very many can be imported and used."""
    wsdl = tmp_path / "big.wsdl"
    write_large(wsdl, 100)
    with models_of(wsdl, tmp_path, "Do7") as models:
        record = models.Record7(id="a", amount=Decimal(1), kind=["new", "old-7"])
        assert isinstance(record, models.Base)
        with pytest.raises(ValueError, match="at most 8 characters"):
            models.Record8(id="a", name="x" * 9, amount=Decimal(1), kind=["new"])


def test_what_is_missing_in_it_is_found_by_line(tmp_path: Path) -> None:
    """One wrong name among all is said with its line."""
    wsdl = tmp_path / "big.wsdl"
    write_large(wsdl, 3000)
    wsdl.write_text(wsdl.read_text().replace('type="b:Kind1500"', 'type="b:Kind1500x"'))
    line = next(n for n, text in enumerate(wsdl.read_text().splitlines(), 1) if "Kind1500x" in text)
    with pytest.raises(ConfigError, match=rf"line {line}: the type Kind1500x is not defined"):
        Wsdl(wsdl)
