from typing import Any

import pytest
from pydantic import SecretStr

from adapter_sdk import Adaptor, Event, EventData, NotApplied, RetryPolicy, handles
from adapter_sdk.settings import BrokerSettings, RetrySettings, Settings
from adapter_sdk.topology import ATTEMPT_HEADER, attempts_of, copy_to, dead_queue, plan, retry_queue
from adapter_sdk.transport.base import Binding, Exchange, Message


class Placed(EventData, type="shop.placed"):
    pass


class Cancelled(EventData, type="shop.cancelled"):
    pass


class Erp(Adaptor):
    name = "erp"

    @handles(retry=RetryPolicy(delays=(0.25, 7)))
    def placed(self, event: Event[Placed]) -> None:
        return None

    @handles
    def cancelled(self, event: Event[Cancelled]) -> None:
        return None

    @cancelled.verify(settle=45)
    def was_cancelled(self, event: Event[Cancelled]) -> NotApplied | None:
        return None


def settings(**broker: Any) -> Settings:
    """Settings with one delay."""
    return Settings(broker=BrokerSettings(url=SecretStr("memory://"), **broker), retry=RetrySettings(delays=(5,)))


class TestPlan:
    def test_one_queue_for_work_one_per_delay_and_the_safety_net(self) -> None:
        """Every delay that may be needed has its queue: from settings, handlers, `settle`, and unwanted replies."""
        topology = plan(Erp, settings())
        assert [queue.name for queue in topology.queues] == [
            "erp",
            "erp.retry.250ms",
            "erp.retry.5000ms",
            "erp.retry.7000ms",
            "erp.retry.30000ms",
            "erp.retry.45000ms",
            "erp.dead",
        ]

    def test_the_work_queue_is_bound_by_the_types_that_are_handled(self) -> None:
        """Exactly the handled types reach the queue, through the exchange of the settings."""
        topology = plan(Erp, settings(exchange="facts"))
        assert topology.exchanges == (Exchange("facts", "topic"),)
        assert topology.bindings == (Binding("facts", "erp", "shop.cancelled"), Binding("facts", "erp", "shop.placed"))

    def test_delays_come_back_to_the_work_queue(self) -> None:
        """A delay queue holds for its time and dead-letters without loss into the work queue."""
        queue = next(queue for queue in plan(Erp, settings()).queues if queue.name == "erp.retry.250ms")
        assert queue.arguments == {
            "x-queue-type": "quorum",
            "x-message-ttl": 250,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "erp",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }

    def test_the_work_queue_ends_in_the_dead_queue(self) -> None:
        """What the broker gives up on goes to `<name>.dead`, without loss."""
        work = plan(Erp, settings(delivery_limit=7)).queues[0].arguments
        assert work["x-dead-letter-routing-key"] == dead_queue("erp") == "erp.dead"
        assert (work["x-delivery-limit"], work["x-dead-letter-strategy"]) == (7, "at-least-once")

    def test_classic_queues_have_no_arguments_of_quorum_queues(self) -> None:
        """Classic queues are declared with what they know."""
        for queue in plan(Erp, settings(queue_type="classic")).queues:
            assert queue.arguments["x-queue-type"] == "classic"
            assert not {"x-delivery-limit", "x-dead-letter-strategy", "x-overflow"} & set(queue.arguments)


class TestCopies:
    def test_a_copy_is_the_message_but_for_what_the_broker_wrote(self) -> None:
        """Body, properties and own headers are copied; broker headers, user id, expiration and routing are not."""
        original = Message(
            b"body", "shop.placed", "events",
            {"mine": 1, "x-death": [{}], "x-first-death-queue": "q", "x-last-death-reason": "r", "x-delivery-count": 2,
             "x-acquired-count": 3, ATTEMPT_HEADER: 7},
            "application/json", "utf-8", "m", "c", "r", "t", "a", "shop", 5, "60000", 9,
        )  # fmt: skip
        copy = copy_to(retry_queue("erp", 0.25), original, 2)
        assert copy == Message(
            b"body", "erp.retry.250ms", "", {"mine": 1, ATTEMPT_HEADER: 2}, "application/json", "utf-8", "m", "c", "r",
            "t", "a", None, 5, None, 9,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("value", "attempts"),
        [(3, 3), (0, 0), (-1, 0), (True, 0), ("3", 0), (None, 0), (1.5, 0), (2**70, 1_000_000)],
    )
    def test_attempts_of_a_message(self, value: object, attempts: int) -> None:
        """Attempts are read from the header of a copy; what is no count is none, and none is too large for a ledger."""
        assert attempts_of({ATTEMPT_HEADER: value}) == attempts
        assert attempts_of({}) == 0
