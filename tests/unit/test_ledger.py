import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from adapter_sdk import ConfigError, Key, LedgerError
from adapter_sdk.ledger.base import Reply, State, Verdict
from adapter_sdk.ledger.codec import (
    pack_json,
    pack_message,
    pack_replies,
    unpack_json,
    unpack_message,
    unpack_replies,
)
from adapter_sdk.ledger.rows import event_hash
from adapter_sdk.ledger.schema import MIGRATIONS, SCHEMA_VERSION, create_statements
from adapter_sdk.ledger.sqlite import Ownership, SqliteDatabase, sqlite_ledger
from adapter_sdk.ledger.store import SqlLedger
from adapter_sdk.transport.base import Message
from tests.journal import NoJournal
from tests.ledger_contract import DIGEST, LedgerContract, key, request


class TestSqliteLedger(LedgerContract):
    """The contract, kept by the local ledger."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], SqlLedger]]:
        ledgers = []

        def open_one() -> SqlLedger:
            ledgers.append(sqlite_ledger(tmp_path / "erp.ledger", "erp"))
            ledgers[-1].open()
            return ledgers[-1]

        yield open_one
        for ledger in ledgers:
            ledger.close()

    def test_what_is_committed_survives_a_power_cut(self, opened: Callable[[], SqlLedger]) -> None:
        """The file is written ahead and synced in full at every commit."""
        ledger = opened()
        with ledger.database.transaction() as rows:
            assert rows.fetch("PRAGMA journal_mode", {}) == [("wal",)]
            assert rows.fetch("PRAGMA synchronous", {}) == [(2,)]

    def test_many_threads_use_one_ledger(self, opened: Callable[[], SqlLedger]) -> None:
        """Threads that claim different keys at once each get their own."""
        ledger = opened()
        verdicts: list[str] = []

        def claim(worker: int) -> None:
            for number in range(20):
                ((verdict, _),) = ledger.claim([request(f"{worker}-{number}")], 1.0)
                verdicts.append(verdict)

        threads = [threading.Thread(target=claim, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert verdicts == ["granted"] * 80
        assert ledger.counts() == {State.CLAIMED: 80}

    def test_closing_and_opening_again(self, opened: Callable[[], SqlLedger]) -> None:
        """A ledger can be closed twice and opened again, and remembers; a closed one says that it is."""
        ledger = opened()
        ledger.claim([request("a")], 1.0)
        ledger.close()
        ledger.close()
        with pytest.raises(LedgerError, match="is not open"):
            ledger.counts()
        ledger.open()
        assert ledger.counts() == {State.CLAIMED: 1}


class TestTroubleWithTheFile:
    def test_folder_that_is_not_there(self, tmp_path: Path) -> None:
        """A ledger in a missing folder is a LedgerError that names the file and what to check."""
        ledger = sqlite_ledger(tmp_path / "missing" / "erp.ledger", "erp")
        with pytest.raises(LedgerError, match=r"missing/erp\.ledger.*check that the folder exists"):
            ledger.open()

    def test_file_that_is_no_ledger(self, tmp_path: Path) -> None:
        """A file of another kind is left alone and named."""
        path = tmp_path / "erp.ledger"
        path.write_bytes(b"minutes of the meeting" * 100)
        with pytest.raises(LedgerError, match="this file is not a ledger"):
            sqlite_ledger(path, "erp").open()
        assert path.read_bytes() == b"minutes of the meeting" * 100

    def test_full_disk(self, tmp_path: Path) -> None:
        """A full disk is a LedgerError with what to do; nothing of the commit is kept, and it works again with room."""
        database = SqliteDatabase(tmp_path / "erp.ledger")
        ledger = SqlLedger(database, "erp")
        ledger.open()
        with database.transaction() as rows:
            ((pages,),) = rows.fetch("PRAGMA page_count", {})
            rows.fetch(f"PRAGMA max_page_count = {pages + 1}", {})
        with pytest.raises(LedgerError, match="full; make room on that disk"):
            ledger.claim([request(f"{number}" * 500) for number in range(1000, 1100)], 1.0)
        assert ledger.counts() == {}
        with database.transaction() as rows:
            rows.fetch("PRAGMA max_page_count = 100000", {})
        assert ledger.claim([request("a")], 1.0)[0][0] == "granted"
        ledger.close()

    def test_file_that_may_not_be_written(self, tmp_path: Path) -> None:
        """A ledger that cannot be written shows when it is opened, not with the first event in hand."""
        path = tmp_path / "erp.ledger"
        ledger = sqlite_ledger(path, "erp")
        ledger.open()
        ledger.close()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("CREATE TRIGGER locked BEFORE UPDATE ON adaptor_sequence BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(LedgerError, match=r"erp\.ledger: no"):
            ledger.open()
        other.close()

    def test_ledger_of_another_version(self, tmp_path: Path) -> None:
        """A ledger with another schema version is refused with both versions, and left as it is."""
        ledger = sqlite_ledger(tmp_path / "erp.ledger", "erp")
        ledger.open()
        with ledger.database.transaction() as rows:
            rows.run("UPDATE adaptor_sequence SET last = 99 WHERE name = 'schema version'", [{}])
        ledger.close()
        for _ in range(2):
            with pytest.raises(ConfigError, match="schema version 99; this toolkit has 3"):
                ledger.open()
            ledger.close()

    @pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
    def test_a_ledger_of_an_older_version(self, tmp_path: Path, version: int) -> None:
        """A ledger of any version before is brought up to date when it is opened, and keeps what it knows."""
        path = tmp_path / "erp.ledger"
        old = sqlite3.connect(path, isolation_level=None)
        for statement in create_statements("BLOB"):
            old.execute(statement)
        for step in range(2, version + 1):
            for statement in MIGRATIONS[step]:
                old.execute(statement)
        old.execute("UPDATE adaptor_sequence SET last = ? WHERE name = 'schema version'", (version,))
        old.execute(
            "INSERT INTO adaptor_ledger (adaptor, event_hash, source, id, type, digest, state, attempts, token, owner, "
            "unsent, received_at, updated_at) VALUES ('erp', ?, '/shop', 'a', 't', ?, 'applied', 1, '', 0, 0, 1, 1)",
            (event_hash(key()), DIGEST),
        )
        old.close()
        ledger = sqlite_ledger(path, "erp")
        for _ in range(2):
            ledger.open()
            assert ledger.claim([request()], 2.0)[0][0] is Verdict.DUPLICATE
            assert ledger.held() == 0
            assert ledger.answer_counts() == (0, 0)
            ledger.close()

    def test_another_process_that_holds_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that another process keeps locked is a LedgerError that says so."""
        monkeypatch.setattr("adapter_sdk.ledger.sqlite._BUSY_TIMEOUT", 0.05)
        path = tmp_path / "erp.ledger"
        ledger = sqlite_ledger(path, "erp")
        ledger.open()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another process holds it"):
            ledger.claim([request("a")], 1.0)
        other.execute("ROLLBACK")
        other.close()
        assert ledger.claim([request("a")], 1.0)[0][0] == "granted"
        ledger.close()


class TestOwnership:
    def test_one_owner_at_a_time(self, tmp_path: Path) -> None:
        """The second who asks is refused until the first lets go; asking again as owner changes nothing."""
        first, second = Ownership(tmp_path / "erp.ledger"), Ownership(tmp_path / "erp.ledger")
        assert first.acquire()
        assert first.acquire()
        assert not second.acquire()
        first.release()
        assert second.acquire()
        second.release()
        second.release()

    def test_folder_that_is_not_there(self, tmp_path: Path) -> None:
        """Where the lock cannot be made, that is said with what to check."""
        with pytest.raises(LedgerError, match="check that the folder exists and may be written"):
            Ownership(tmp_path / "missing" / "erp.ledger").acquire()


SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC))
    | st.decimals(allow_nan=False, allow_infinity=False)
)
NAMES = st.text() | st.sampled_from(["$", "v", "bytes", "table"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
HEADERS = st.dictionaries(NAMES, VALUES, max_size=5)


class TestCodec:
    @hypothesis_settings(max_examples=100)
    @given(
        st.builds(
            Message,
            st.binary(),
            headers=HEADERS,
            message_id=st.none() | st.text(),
            priority=st.none() | st.integers(0, 255),
        )
    )
    def test_messages_come_back_equal(self, message: Message) -> None:
        """Any message, whatever its headers hold, is kept without loss."""
        assert unpack_message(pack_message(message)) == message

    def test_every_property_is_kept(self) -> None:
        """All properties of a message come back, the rare ones too."""
        message = Message(
            b"\x00\xff", "key", "exchange", {"n": {"$": "bytes", "v": 5}}, "type/x", "gzip", "m", "c", "r", "t", "a",
            "u", 5, "60000", 9,
        )  # fmt: skip
        assert unpack_message(pack_message(message)) == message

    def test_values_of_evidence(self) -> None:
        """Evidence may hold bytes, times and decimals as well as JSON; what has no form is kept as its text."""
        evidence = {"a": b"\xff", "b": datetime(2026, 1, 2, tzinfo=UTC), "c": Decimal("1.10"), "d": [1, None, "x"]}
        assert unpack_json(pack_json(evidence)) == evidence
        assert unpack_json(pack_json({"path": Path("/x")})) == {"path": "PosixPath('/x')"}

    def test_replies_keep_their_bytes(self) -> None:
        """Sealed replies come back in order, byte for byte."""
        replies = (
            Reply("1", "t", b"\x00{}"),
            Reply("2", "t", b""),
            Reply("3", "t", "ö\u2028".encode()),
            Reply("4", "t", b"\xff"),
        )
        assert unpack_replies(pack_replies(replies)) == replies

    def test_replies_of_earlier_ledgers(self) -> None:
        """Rows in which bodies stand as tagged bytes are read as well."""
        assert unpack_replies(pack_json([["1", "t", b"{}"]])) == (Reply("1", "t", b"{}"),)


def test_a_journal_in_memory_remembers_notes_and_numbers() -> None:
    """The journal for running one handler by hand counts from 1 and keeps what was noted."""
    journal = NoJournal()
    key = Key("/shop", "e")
    with journal.transaction() as transaction:
        assert [transaction.next_number("file") for _ in range(3)] == [1, 2, 3]
        assert transaction.next_number("other") == 1
        transaction.note(key, "t", State.CALLING, {"step": 1})
    assert journal.notes == [(key, State.CALLING, {"step": 1})]


def test_entries_are_values() -> None:
    """A request is compared by what it holds, so that a test can say what it expects."""
    assert request("a") == request("a")
    assert replace(request("a"), attempts=1) != request("a")
