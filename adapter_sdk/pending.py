"""Pending: what a handler returns whose reply comes later."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from adapter_sdk.errors import InvalidReply

ReplyT = TypeVar("ReplyT")

LONGEST_KEY = 255
"""Characters of an answer key."""


@dataclass(frozen=True, slots=True)
class Pending(Generic[ReplyT]):
    """The event is applied, and its reply is owed: the backend answers later, with this `key` in its answer.

    Returned by a handler in place of a reply. `ReplyT` says what the answer may become. The method marked with the
    handler's `.answer` makes the reply from it. When `within` seconds have passed without an answer, one
    `reply.overdue` event goes out; the answer is taken all the same when it comes.

    Spaces around the key do not count. Raises InvalidReply if it is not printable text of 1 to 255 characters, or
    `within` is not above 0.
    """

    key: str
    within: float | None = None

    def __post_init__(self) -> None:
        if not (
            isinstance(self.key, str) and self.key.strip() and self.key.isprintable() and len(self.key) <= LONGEST_KEY
        ):
            raise InvalidReply(f"Pending({self.key!r:.80}): give a key of 1 to {LONGEST_KEY} printable characters")
        if self.within is not None and not self.within > 0:
            raise InvalidReply(f"Pending({self.key!r}): within is {self.within}; give seconds above 0, or None")
