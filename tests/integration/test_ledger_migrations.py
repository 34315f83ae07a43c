"""A ledger that an older release made, in a database server: `adaptor sql install` brings it up to date."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine

from adapter_sdk import ConfigError
from adapter_sdk.ledger.base import ClaimRequest, Record, State, Verdict
from adapter_sdk.ledger.codec import pack_message
from adapter_sdk.ledger.rows import event_hash
from adapter_sdk.ledger.schema import MIGRATIONS, SCHEMA_VERSION, WHERE_VERSION, create_statements
from adapter_sdk.ledger.shared import SharedDatabase
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.transport.base import Message
from tests.ledger_contract import DIGEST, key, request
from tests.owed_contract import ANSWER, owed, sealed

HELD = Message(b"held", "shop.placed", "events")
_ROW = (
    "INSERT INTO adaptor_ledger (adaptor, event_hash, source, id, type, digest, state, attempts, token, owner, unsent, "
    "received_at, updated_at, message) VALUES ('erp', :event_hash, '/shop', :id, 'shop.placed', :digest, :state, 1, "
    "'', 0, 0, 1, 1, :message)"
)


@pytest.fixture(params=["fresh_pg_url", "fresh_mariadb_url"], ids=["postgresql", "mariadb"])
def ledger(request: pytest.FixtureRequest) -> Iterator[SqlLedger]:
    """A ledger of which there are no tables yet."""
    engine = create_engine(request.getfixturevalue(request.param))
    yield SqlLedger(SharedDatabase(engine), "erp")
    engine.dispose()


def run(ledger: SqlLedger, *statements: str) -> None:
    """As a release of the toolkit did it, or a DBA."""
    with ledger.database.transaction() as rows:
        for statement in statements:
            rows.run(statement, [{}])


def made_by_version(ledger: SqlLedger, version: int) -> None:
    """Tables of this version, in which one event is applied, one waits, one is dead, and, where it can be, one held."""
    run(ledger, *create_statements(ledger.database.blob))
    for step in range(2, version + 1):
        run(ledger, *MIGRATIONS[step], f"UPDATE adaptor_sequence SET last = {step} {WHERE_VERSION}")
    states = ["applied", "waiting", "dead"] + ["held"] * (version > 1)
    with ledger.database.transaction() as rows:
        for state in states:
            row = {"event_hash": event_hash(key(state)), "id": state, "digest": DIGEST, "state": state}
            rows.run(_ROW, [{**row, "message": None if state == "applied" else pack_message(HELD)}])
        if version > 1:
            rows.run("UPDATE adaptor_ledger SET order_key = 'k', arrival = 1 WHERE state = 'held'", [{}])
            rows.run("INSERT INTO adaptor_sequence (adaptor, name, last) VALUES ('erp', 'arrivals', 1)", [{}])


def still_knows_all(ledger: SqlLedger, version: int) -> None:
    """What the older release wrote down is there, and everything works that this release can do."""
    ledger.open()
    expected = {State.APPLIED: 1, State.WAITING: 1, State.DEAD: 1} | ({State.HELD: 1} if version > 1 else {})
    assert ledger.counts() == expected
    assert ledger.claim([request("applied")], 2.0)[0][0] is Verdict.DUPLICATE
    dead = ledger.get(key("dead"))
    assert dead is not None
    assert dead.message == HELD
    first = [entry.key.id for entry in ledger.next_in_line(past_dead=False, limit=9)]
    assert first == (["held"] if version > 1 else [])
    later = ClaimRequest(key=key("later"), digest=DIGEST, type="shop.placed", order_key="k", message=HELD)
    assert ledger.claim([later], 2.0)[0][0] is (Verdict.HELD if version > 1 else Verdict.GRANTED)
    ((_, entry),) = ledger.claim([request("owing")], 2.0)
    reply = owed(1, "o-1")
    assert ledger.record([Record(key=key("owing"), token=entry.token, state=State.APPLIED, replies=(reply,))], 3.0)[0]
    assert ledger.answer_counts() == (1, 0)
    with ledger.answering() as table:
        found = table.oldest("shop.placed", "o-1")
        assert found is not None
        table.complete(found[0], sealed(found[1]), ANSWER)
    assert ledger.answer_counts() == (0, 0)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_ledger_of_an_older_version(ledger: SqlLedger, version: int) -> None:
    """It refuses to open, naming the command; that keeps what it knows, can be given twice, and makes it a new one."""
    made_by_version(ledger, version)
    with pytest.raises(ConfigError, match=rf"schema version {version}; this toolkit has {SCHEMA_VERSION}: .*install"):
        ledger.open()
    ledger.install()
    ledger.install()
    still_knows_all(ledger, version)


@pytest.mark.parametrize(
    ("version", "done"),
    [(step - 1, done) for step, statements in MIGRATIONS.items() for done in range(1, len(statements) + 1)],
)
def test_an_install_that_was_interrupted_is_begun_anew(fresh_mariadb_url: str, version: int, done: int) -> None:
    """In MariaDB each statement commits by itself: the command, given again, goes on after the last that was done."""
    engine = create_engine(fresh_mariadb_url)
    ledger = SqlLedger(SharedDatabase(engine), "erp")
    made_by_version(ledger, version)
    run(ledger, *MIGRATIONS[version + 1][:done])
    ledger.install()
    still_knows_all(ledger, version)
    engine.dispose()
