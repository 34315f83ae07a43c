from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_sdk import BackendUnavailable, TransientError
from adapter_sdk.family import Applied, Failed, Outcome
from adaptors.sql.batch import Batches, Stopped


class Database:
    """Transactions over numbers. What is `bad` stops each one it is in, and only a part of the time says where."""

    def __init__(self, bad: set[int], *, lists_of: int = 1, most: int = 1000, sure: bool = True) -> None:
        self.bad = bad
        self.sure = sure
        self.lists_of = lists_of
        self.most = most
        self.committed: list[int] = []
        self.transactions = 0
        self.batches = Batches(self.transact, lambda: True)

    def transact(self, claims: Sequence[Any]) -> list[Outcome]:
        """A call is made for `lists_of` numbers, and any of them may have stopped it."""
        self.transactions += 1
        taken = claims[: self.most]
        for first in range(0, len(taken), self.lists_of):
            call = taken[first : first + self.lists_of]
            if self.bad.intersection(call):
                error = ValueError(next(one for one in call if one in self.bad))
                raise Stopped(error, first, len(call), sure=self.sure and len(call) == 1)
        self.committed += taken
        return [Applied() for _ in taken]

    def apply(self, count: int) -> list[Outcome]:
        """The outcomes of the numbers below `count`."""
        return self.batches.apply(cast(Any, range(count)))


def failed(outcomes: Sequence[Outcome]) -> set[int]:
    """Which ones failed, each with an error of its own."""
    found = {number for number, outcome in enumerate(outcomes) if isinstance(outcome, Failed)}
    assert all(str(outcome.error) == str(at) for at, outcome in enumerate(outcomes) if isinstance(outcome, Failed))
    return found


@given(
    st.integers(1, 60).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1)))),
    st.sampled_from([1, 2, 7, 100]),
    st.sampled_from([3, 1000]),
    st.booleans(),
)
def test_bad_events_cost_only_themselves(case: tuple[int, set[int]], lists_of: int, most: int, sure: bool) -> None:
    """Whichever events are bad, those fail with their own error, and each other one commits once, in order."""
    count, bad = case
    database = Database(bad, lists_of=lists_of, most=most, sure=sure)
    assert failed(database.apply(count)) == bad
    assert database.committed == [number for number in range(count) if number not in bad]


@pytest.mark.parametrize(
    ("bad", "lists_of", "transactions"),
    [
        (set(), 1, 1),
        ({0}, 1, 2),
        ({50}, 1, 3),
        ({99}, 1, 2),
        (set(range(100)), 1, 100),
        (set(range(0, 100, 2)), 1, 100),
        ({99}, 100, 15),
    ],
    ids=["none", "first", "middle", "last", "all", "half", "last of a list"],
)
def test_the_price_of_bad_events(bad: set[int], lists_of: int, transactions: int) -> None:
    """Of 100 events: without a bad one it is one transaction; where all are bad, no more than one each."""
    database = Database(bad, lists_of=lists_of)
    database.apply(100)
    assert database.transactions == transactions


class Conflict(Database):
    """The bad ones are in conflict with somebody else's transaction, so many times."""

    def __init__(self, bad: set[int], times: int, error: Exception) -> None:
        super().__init__(bad)
        self.times = times
        self.error = error

    def transact(self, claims: Sequence[Any]) -> list[Outcome]:
        try:
            return super().transact(claims)
        except Stopped as stopped:
            self.times -= 1
            if self.times == 0:
                self.bad = set()
            raise Stopped(self.error, stopped.first, stopped.count, again=True) from stopped


def test_a_failed_event_is_called_once() -> None:
    """An event that has failed is not called again, once those before it are committed; those are called twice."""
    calls: list[int] = []

    class Calling(Database):
        def transact(self, claims: Sequence[Any]) -> list[Outcome]:
            calls.extend(claims if not self.bad.intersection(claims) else range(claims[0], 6))
            return super().transact(claims)

    assert failed(Calling({5}).apply(8)) == {5}
    assert calls == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 6, 7]


def test_a_failure_is_not_believed_if_those_before_it_do_not_commit() -> None:
    """What an event saw that was rolled back in the end is no reason to fail: it is called again."""
    seen, late = ValueError("duplicate"), ValueError("late")
    answers: list[Any] = [Stopped(seen, 1, 1, sure=True), Stopped(late, 0, 1), [Applied()]]

    def transact(claims: Sequence[Any]) -> list[Outcome]:
        answer: Any = answers.pop(0)
        if isinstance(answer, Stopped):
            raise answer
        return list(answer)

    first, second = Batches(transact, lambda: True).apply(cast(Any, range(2)))
    assert isinstance(first, Failed)
    assert first.error is late
    assert second == Applied()


def test_a_conflict_is_tried_again() -> None:
    """An event that comes first and is in conflict still is called again; then nothing has failed."""
    database = Conflict({5}, 3, TransientError("deadlock"))
    assert not database.batches.in_turn
    assert not any(isinstance(outcome, Failed) for outcome in database.apply(10))
    assert database.committed == list(range(10))
    assert database.batches.in_turn


def test_a_conflict_that_does_not_end() -> None:
    """After three calls alone it is the event's failure, and the others are applied."""
    database = Conflict({5}, 1000, TransientError("deadlock"))
    outcomes = database.apply(10)
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, Failed)] == [5]
    assert len(database.committed) == 9


def test_a_lost_connection_is_no_conflict() -> None:
    """When a connection is lost the transaction is made anew; others do not have to wait for it."""
    database = Conflict({5}, 2, BackendUnavailable("lost"))
    assert not any(isinstance(outcome, Failed) for outcome in database.apply(10))
    assert not database.batches.in_turn


@pytest.mark.parametrize("answers", [True, False])
def test_an_outage_is_not_tried_for_each_event(answers: bool) -> None:
    """When the backend does not answer a probe all that is left fails at once; when it does, only the event."""
    asked: list[Sequence[Any]] = []

    def transact(claims: Sequence[Any]) -> list[Outcome]:
        asked.append(claims)
        if len(asked) == 1:
            raise Stopped(BackendUnavailable("away"), 0, 0)
        return [Applied() for _ in claims]

    outcomes = Batches(transact, lambda: answers).apply(cast(Any, range(50)))
    assert sum(isinstance(outcome, Failed) for outcome in outcomes) == (1 if answers else 50)
    assert len(asked) == (2 if answers else 1)


def test_alone() -> None:
    """Where no events are to share a transaction each has one."""
    database = Database(set())
    database.batches.alone = True
    database.apply(5)
    assert database.transactions == 5
