from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy

from adapter_sdk import ConfigError
from adapter_sdk.ledger.base import Record, State, Verdict
from adapter_sdk.ledger.shared import SharedLedger
from adapter_sdk.transport.base import Message
from tests.ledger_contract import key, request
from tests.services import wait_until

Process = Callable[[], SharedLedger]


@pytest.fixture
def process(fresh_pg_url: str) -> Iterator[Process]:
    """Each call is the ledger of another process of one adaptor."""
    ledgers: list[SharedLedger] = []

    def start() -> SharedLedger:
        ledger = SharedLedger(fresh_pg_url, "erp")
        if not ledgers:
            ledger.install()
        ledger.open()
        ledgers.append(ledger)
        return ledger

    yield start
    for ledger in ledgers:
        ledger.close()


def verdict(ledger: SharedLedger) -> Verdict:
    """What this process is answered when it claims the one event of these tests."""
    ((answer, _),) = ledger.claim([request()], 1.0)
    return answer


def test_an_event_in_the_hands_of_a_living_process_is_left_to_it(process: Process) -> None:
    """While the owner of a claim lives, another process is told that the event is busy, however long that lasts."""
    first, second = process(), process()
    assert verdict(first) is Verdict.GRANTED
    assert [verdict(second), verdict(second)] == [Verdict.BUSY, Verdict.BUSY]


def test_an_ordered_event_in_the_hands_of_a_living_process(process: Process) -> None:
    """The ledger keeps the message of an ordered event that is busy, and gives it out when its owner has died."""
    first, second = process(), process()
    asked = replace(request(), order_key="k", message=Message(b"original"))
    assert first.claim([asked], 1.0)[0][0] is Verdict.GRANTED
    assert second.next_in_line(past_dead=False, limit=9) == []
    assert second.claim([asked], 1.0)[0][0] is Verdict.BUSY
    first.close()
    assert [entry.message for entry in second.next_in_line(past_dead=False, limit=9)] == [Message(b"original")]
    wait_until(lambda: second.claim([asked], 2.0)[0][0] is Verdict.GRANTED)


def test_an_event_of_a_dead_process_is_taken_over(process: Process) -> None:
    """When the owner's session ends, as with any death of its process, the next claim is granted and counts."""
    first, second = process(), process()
    verdict(first)
    first.close()
    ((answer, entry),) = second.claim([request()], 2.0)
    assert (answer, entry.attempts) == (Verdict.GRANTED, 2)


def test_a_process_takes_its_own_event_again(process: Process) -> None:
    """What comes back to the process that had it is not busy: no other worker has it in hand."""
    first = process()
    assert [verdict(first), verdict(first)] == [Verdict.GRANTED, Verdict.GRANTED]


def test_what_a_process_disowns_others_may_take(process: Process) -> None:
    """After its workers have ended, a process that goes on living gives up what it had claimed."""
    first, second = process(), process()
    verdict(first)
    first.disown()
    assert verdict(second) is Verdict.GRANTED
    assert verdict(first) is Verdict.BUSY


def test_a_released_event_belongs_to_nobody(process: Process) -> None:
    """An event that went back to its queue because the backend was away is any process's to take."""
    first, second = process(), process()
    ((_, entry),) = first.claim([request()], 1.0)
    assert first.record([Record(key=key(), token=entry.token, state=State.CLAIMED, attempts=0)], 2.0) == [True]
    assert verdict(second) is Verdict.GRANTED


def test_a_lost_session_is_replaced_and_its_claims_are_free(process: Process, fresh_pg_url: str) -> None:
    """When PostgreSQL drops the owner's session, others may take over, and the process owns later claims anew."""
    first, second = process(), process()
    verdict(first)
    engine = sqlalchemy.create_engine(fresh_pg_url)
    with engine.connect() as connection:
        connection.execute(
            sqlalchemy.text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    engine.dispose()
    wait_until(lambda: verdict(second) is Verdict.GRANTED)
    assert verdict(first) is Verdict.BUSY


def test_processes_that_run_beside_each_other_have_not_died(process: Process) -> None:
    """Who starts beside others that live, or after one that ended in good order, need not be careful."""
    first, second, third = process(), process(), process()
    assert not first.started()
    assert not second.started()
    first.stopped()
    first.close()
    assert not third.started()


def test_a_process_that_died_is_known_to_the_next_that_starts(process: Process) -> None:
    """To one of them, and while others live."""
    living, dead, third, fourth = process(), process(), process(), process()
    assert not living.started()
    assert not dead.started()
    dead.close()
    wait_until(third.started)
    assert not fourth.started()


def test_a_process_that_let_go_of_its_claims_has_not_died(process: Process) -> None:
    """As after trouble with the broker: it has another number with its next claim."""
    first, second = process(), process()
    assert not first.started()
    first.disown()
    assert verdict(first) is Verdict.GRANTED
    assert not second.started()


def test_a_shared_ledger_needs_postgresql(tmp_path: Path) -> None:
    """A database that cannot tell whether a process lives is refused, with what to use instead."""
    with pytest.raises(ConfigError, match=r"\[ledger\] path"):
        SharedLedger(f"sqlite:///{tmp_path / 'x.db'}", "erp")
