from collections.abc import Iterator
from pathlib import Path

import pytest

from adapter_sdk.caution import Caution
from adapter_sdk.ledger.sqlite import sqlite_ledger
from adapter_sdk.ledger.store import SqlLedger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """An empty ledger."""
    ledger = sqlite_ledger(tmp_path / "erp.ledger", "erp")
    ledger.open()
    yield ledger
    ledger.close()


def test_nothing_could_be_done(ledger: SqlLedger) -> None:
    """After that one event is to be settled before others are taken; then the danger is over."""
    caution = Caution("erp", ledger, 5)
    caution.begin()
    needed = [caution.needed]
    assert not caution.settled(1)
    caution.first_one()
    caution.first_one()
    needed.append(caution.needed)
    assert caution.settled(1)
    assert [*needed, caution.needed] == [False, True, False]


def test_an_unclean_end_weighs_more(ledger: SqlLedger) -> None:
    """An outage after an unclean end does not shorten the caution that this calls for."""
    ledger.started()
    caution = Caution("erp", ledger, 3)
    caution.begin()
    caution.first_one()
    assert [caution.settled(1) for _ in range(4)] == [False, False, True, False]
