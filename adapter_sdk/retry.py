"""RetryPolicy: when to try again. Pure arithmetic: no clock, no sleep."""

from dataclasses import dataclass

from adapter_sdk.errors import ConfigError

LONGEST_DELAY = 30 * 86_400.0
"""Seconds: how long the broker is asked to hold an event at most."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when an event that failed with a TransientError is tried again.

    Each attempt is one call of the handler plus up to `immediate` more, `pause` seconds apart, while the delivery is in
    our hands. Between attempts the broker holds the event for the next of `delays` (seconds). After the last delay has
    been used and the attempt after it has failed, the event becomes a dead letter.
    """

    immediate: int = 2
    pause: float = 0.2
    delays: tuple[float, ...] = (5, 30, 120, 600, 3600)

    def __post_init__(self) -> None:
        faults = []
        if self.immediate < 0:
            faults.append(f"RetryPolicy: immediate is {self.immediate}; give 0 or more tries")
        if not 0 <= self.pause <= 5:
            faults.append(f"RetryPolicy: pause is {self.pause} s; a worker waits meanwhile, so give 0 to 5 seconds")
        faults += [
            f"RetryPolicy: a delay of {delay} s is not possible; give 0.001 s to 30 days"
            for delay in self.delays
            if not 0.001 <= delay <= LONGEST_DELAY
        ]
        if faults:
            raise ConfigError(*faults)

    @property
    def max_attempts(self) -> int:
        """How many attempts an event gets before it becomes a dead letter."""
        return len(self.delays) + 1

    def delay_after(self, attempt: int) -> float | None:
        """Seconds to wait after `attempt` (1 for the first) has failed, or None if it was the last."""
        return self.delays[attempt - 1] if attempt < self.max_attempts else None
