"""How much a worker takes, and how many work at once."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapter_sdk.pace import Pace, seconds_shared, shared


def batches(pace: Pace, count: int, events: int, took: float, computed: float, *, start: float = 0.0) -> float:
    """So many batches of one kind, one after the other; the time at their end."""
    for number in range(count):
        pace.learn(events, took, computed, alone=pace.most_running == 1, now=start + number * took)
    return start + count * took


def test_what_has_arrived_is_shared_among_all() -> None:
    """As long as nothing is known of the pace."""
    assert Pace(4, 100).share(200) == 50


def test_quick_events_are_taken_in_as_large_batches_as_may_be() -> None:
    """One worker takes what it does within a moment."""
    pace = Pace(4, 100)
    batches(pace, 10, 100, 0.005, 0.005)
    assert pace.share(120) == 100


def test_waits_that_a_batch_shares_make_its_events_no_slower() -> None:
    """What is confirmed together takes no longer for more of it: as much as may be is taken at once."""
    pace = Pace(4, 250)
    for number in range(10):
        pace.learn(100, 0.055, 0.005, alone=False, now=number * 0.055, shared=0.05)
    assert pace.share(250) == 250


def test_what_a_thread_spends_in_shared_steps_is_told_once() -> None:
    """All of it since it was last asked, a step that failed included, and of this thread alone."""
    seconds_shared()
    began = time.monotonic()
    shared(time.sleep)(0.01)
    with pytest.raises(ValueError, match="negative"):
        shared(time.sleep)(-1)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(seconds_shared).result() == 0
    assert 0.01 <= seconds_shared() <= time.monotonic() - began
    assert seconds_shared() == 0


def test_slow_events_are_taken_one_by_one() -> None:
    """Of events of a second each."""
    pace = Pace(2, 100)
    batches(pace, 10, 10, 10.0, 0.0)
    assert pace.share(50) == 1


def test_slow_events_are_learned_from_one_batch() -> None:
    """Once a batch of them is done, nobody takes as many again, however quick those before were."""
    pace = Pace(4, 250)
    for number in range(40):  # known already: most of what they take is the commit of their claims
        pace.learn(200, 0.05, 0.03, alone=True, now=number * 0.05, shared=0.02)
    pace.learn(100, 50.0, 0.1, alone=False, now=60.0, shared=0.02)
    assert pace.share(200) == 2


@pytest.mark.parametrize(("computed", "useful"), [(0.010, 1), (0.008, 1), (0.005, 2), (0.0025, 4), (0.0001, 4)])
def test_of_quick_events_as_many_are_worked_on_at_once_as_has_a_use(computed: float, useful: int) -> None:
    """One worker where all is computed, another for each time as much that is waited for."""
    pace = Pace(4, 250)
    batches(pace, 200, 250, 0.010, computed)
    assert pace.most_running in (useful, 1)  # 1 while it is tried again
    seen = set()
    for number in range(400):
        batches(pace, 1, 250, 0.010, computed, start=10 + number * 0.010)
        seen.add(pace.most_running)
    assert seen == {1, useful}


def test_slow_events_are_worked_on_by_all() -> None:
    """However much they compute: nobody knows what they wait for next."""
    pace = Pace(4, 250)
    batches(pace, 100, 10, 0.1, 0.1)
    assert pace.most_running == 4


def test_all_come_when_one_is_away_too_long_and_leave_again() -> None:
    """An event that is slow among quick ones holds up nobody for long."""
    pace = Pace(4, 250)
    end = batches(pace, 200, 250, 0.010, 0.010)
    pace.overdue(end)
    assert pace.most_running == 4
    batches(pace, 200, 250, 0.010, 0.010, start=end)
    assert pace.most_running == 1
