from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, create_engine

from adapter_sdk.ledger.shared import SharedDatabase
from adapter_sdk.ledger.store import SqlLedger
from tests.ledger_contract import LedgerContract


@pytest.fixture
def engine(fresh_mariadb_url: str) -> Iterator[Engine]:
    """An engine on an empty database."""
    engine = create_engine(fresh_mariadb_url)
    yield engine
    engine.dispose()


class TestMariaDbLedger(LedgerContract):
    """The contract, kept by a ledger in MariaDB."""

    @pytest.fixture
    def opened(self, engine: Engine) -> Callable[[], SqlLedger]:
        SqlLedger(SharedDatabase(engine), "erp").install()

        def open_one() -> SqlLedger:
            ledger = SqlLedger(SharedDatabase(engine), "erp")
            ledger.open()
            return ledger

        return open_one
