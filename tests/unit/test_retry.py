import math

import pytest

from adapter_sdk import ConfigError, RetryPolicy


def test_delays_are_used_in_order_and_then_no_more() -> None:
    """After each failed attempt the next delay is waited for; after the attempt behind the last one there is none."""
    policy = RetryPolicy(delays=(5, 30))
    assert policy.max_attempts == 3
    assert [policy.delay_after(attempt) for attempt in (1, 2, 3, 4)] == [5, 30, None, None]


def test_no_delays_is_one_attempt() -> None:
    """A policy without delays gives an event one attempt."""
    policy = RetryPolicy(immediate=0, delays=())
    assert policy.max_attempts == 1
    assert policy.delay_after(1) is None


@pytest.mark.parametrize("value", [-1, 5.5, math.nan, math.inf])
def test_pause_is_short(value: float) -> None:
    """A pause that would hold up a worker is refused."""
    with pytest.raises(ConfigError, match="pause"):
        RetryPolicy(pause=value)


@pytest.mark.parametrize("value", [0, -1, 31 * 86_400, math.nan, math.inf])
def test_delays_are_possible(value: float) -> None:
    """A delay that no queue can hold is refused."""
    with pytest.raises(ConfigError, match="a delay of"):
        RetryPolicy(delays=(1, value))


def test_all_faults_come_at_once() -> None:
    """Everything wrong with a policy is said in one error."""
    with pytest.raises(ConfigError) as caught:
        RetryPolicy(immediate=-1, pause=-1, delays=(0, -1))
    assert len(caught.value.faults) == 4
