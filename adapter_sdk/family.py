"""Family: the seam between the pipeline and one kind of backend. Read this to write a new family.

The pipeline hands a family the events that it may work on (claims) and a journal; the family makes the effects, each by
the protocol of its kind of backend, and answers with one outcome per claim. What becomes of a failed claim, what is
published and when the delivery is settled is the pipeline's business.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, final

from pydantic import BaseModel

from adapter_sdk.answer_methods import AnswerSpec
from adapter_sdk.answers import Answers
from adapter_sdk.cut_offs import is_cut_off
from adapter_sdk.errors import InDoubt
from adapter_sdk.events import Event, Key
from adapter_sdk.handlers import Answered, HandlerSpec
from adapter_sdk.ledger.base import Journal, Ledger, Reply, State
from adapter_sdk.outcomes import RetriesExhausted
from adapter_sdk.transport.base import Message
from adapter_sdk.verify_methods import NotApplied

if TYPE_CHECKING:
    from adapter_sdk.adaptor import Adaptor

HandleT = TypeVar("HandleT")


@dataclass(slots=True, eq=False, kw_only=True)
class Claim:
    """One event that the ledger has given us to work on.

    `attempt` counts from 1. `evidence` is what an earlier attempt noted in the journal, None if there was none.
    `in_doubt` says that an earlier attempt may have had its effect, `only_asks` that the attempts are used up: `verify`
    may be asked, and the effect is not made again. `seal` turns reply data into reply events whose ids are the same for
    every attempt. `received_at` is when the event first came, in seconds since the epoch; `again` says that it has come
    before, counted as an attempt or not.
    """

    event: Event[Any]
    handler: HandlerSpec
    token: str
    attempt: int = 1
    evidence: Mapping[str, Any] | None = None
    replies: tuple[Reply, ...] = ()
    in_doubt: bool = False
    only_asks: bool = False
    received_at: float = 0.0
    again: bool = False
    seal: Callable[[Sequence[Answered]], tuple[Reply, ...]]

    @property
    def key(self) -> Key:
        """The identity of the event."""
        return self.event.key


@dataclass(frozen=True, slots=True)
class Applied:
    """The effect happened. `recorded` says that the family wrote the ledger's final row itself, with the effect."""

    replies: tuple[Reply, ...] = ()
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """The effect did not happen, or is in doubt: the kind of error says which."""

    error: Exception


Outcome = Applied | Failed


class Family(ABC, Generic[HandleT]):
    """How effects reach one kind of backend. One object serves all worker threads of an adaptor.

    `promise` is the sentence that `adaptor check` prints. `batch_limit` is how many events a worker takes at
    once; families whose effects are slow and independent take one, so that all workers are busy. `leaves_doubt` says
    whether a crash can leave an effect in doubt, `repeats` whether one can make it happen twice.
    """

    promise: ClassVar[str]
    batch_limit: ClassVar[int] = 250
    leaves_doubt: ClassVar[bool] = True
    repeats: ClassVar[bool] = False

    adaptor: "Adaptor"

    def bind(self, adaptor: "Adaptor") -> None:
        """Called once, before anything else, with the adaptor whose handlers are to be called."""
        self.adaptor = adaptor

    def check(self) -> list[str]:
        """Faults that can be seen without connecting anywhere, one sentence each. Called by `adaptor check` and run."""
        return []

    def longest_call(self, handler: HandlerSpec) -> float | None:
        """Seconds that one native call of a handler may take; None where a call leaves no doubt."""
        return None

    @final
    def warnings(self) -> list[str]:
        """What is allowed and dangerous, one sentence each. Said by `adaptor check` and at the start of a run."""
        return [
            f"{handler.where_defined}: settle={handler.settle:g} is less than the {longest:g} s that a call may take: "
            "`verify` could be asked while the backend is still busy, and what it then has not done would be done twice"
            for handler in self.adaptor._handlers.values()
            if handler.verify is not None
            and (longest := self.longest_call(handler)) is not None
            and handler.settle < longest
        ]

    def open(self) -> None:
        """Get ready for effects. Raises ConfigError or BackendUnavailable. Called before each start of consuming."""

    def close(self) -> None:
        """Let go of everything. Called once, after the last effect; also when `open` never was."""

    def probe(self) -> None:
        """Return if the backend can be reached, without an effect on it; else raise BackendUnavailable."""

    def ledger(self) -> Ledger | None:
        """A ledger inside the backend itself, where effects and records commit together; None to use a local one."""
        return None

    def collect(self, answers: Answers) -> None:
        """Look once for the answers that the backend has left, have them completed, and then take them away.

        Called every few seconds, on a thread of its own, where a handler has a method marked with `.answer`. Raises
        BackendUnavailable; any other error is logged, and the next look comes all the same.
        """

    def read_answer(self, spec: AnswerSpec, message: Message) -> BaseModel:
        """The record of an answer that was set aside, from its message: a person replays it. Raises what it likes."""
        return spec.record.model_validate_json(message.body)

    @abstractmethod
    @contextmanager
    def handle(self, claim: Claim, journal: Journal | None) -> Iterator[HandleT]:
        """The backend handle that a handler is given, for one call. `journal` is None when `verify` asks."""

    def effect(self, claim: Claim, journal: Journal) -> tuple[Reply, ...]:
        """Make the effect of one event and return the sealed replies. Raises what the handler or backend raises."""
        with self.handle(claim, journal) as handle:
            return self.call(claim, handle)

    def apply(self, claims: Sequence[Claim], journal: Journal) -> list[Outcome]:
        """Make the effects of several events: one outcome per claim, in order. Overridden where work can be shared."""
        return [self.apply_one(claim, journal) for claim in claims]

    @final
    def apply_one(self, claim: Claim, journal: Journal) -> Outcome:
        """Make the effect of one event, after settling the doubt that an earlier attempt left."""
        try:
            if claim.in_doubt:
                return Applied(self._settle_doubt(claim, journal))
            return Applied(self.effect(claim, journal))
        except Exception as error:  # noqa: BLE001  # a handler's bug, too, is the outcome of its event alone
            return Failed(error)

    def _settle_doubt(self, claim: Claim, journal: Journal) -> tuple[Reply, ...]:
        replies = self.ask(claim)
        if replies is not None:
            return replies
        if claim.handler.verify is not None:
            self.forget_doubt(claim, journal)
            claim.in_doubt = False
            if claim.only_asks:
                raise RetriesExhausted
        return self.effect(claim, journal)

    @final
    def ask(self, claim: Claim) -> tuple[Reply, ...] | None:
        """Whether a doubtful effect happened: the replies if it did, None if it may be made.

        It may if `verify` says that it did not happen, or, where there is none, if it does no harm to make it again.
        Raises what `verify` raises, and InDoubt where nobody can tell.
        """
        if claim.handler.verify is not None:
            return self.verify(claim)
        if not claim.handler.options.idempotent:
            raise InDoubt("an earlier attempt ended after its request may have left, and the handler has no `verify`")
        return None

    def without_doubt(self, evidence: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """What is left of the evidence when the doubtful effect is known not to have happened. Pure."""
        return {}

    def forget_doubt(self, claim: Claim, journal: Journal) -> None:
        """The doubtful effect is known not to have happened: note that before another attempt."""
        evidence = self.without_doubt(claim.evidence)
        with journal.transaction() as transaction:
            transaction.note(claim.key, claim.token, State.CLAIMED, evidence)
        claim.evidence = evidence

    @final
    def verify(self, claim: Claim) -> tuple[Reply, ...] | None:
        """Ask the handler's `verify`: the replies if the effect happened, None if it did not. May raise InDoubt."""
        if claim.handler.verify is None:
            raise InDoubt(f"{claim.handler.where_defined} has no `verify`")
        with self.handle(claim, None) as handle:
            answer = self._returned(claim.handler, claim.handler.verify, claim.event, handle)
        return None if isinstance(answer, NotApplied) else claim.seal(claim.handler.check_replies(answer))

    @final
    def call(self, claim: Claim, handle: HandleT) -> tuple[Reply, ...]:
        """Call the handler and seal its replies. Raises what the handler raises, or InvalidReply."""
        if claim.handler.takes_list:
            return self.call_together([claim], handle)[0]
        returned = self._returned(claim.handler, claim.handler.name, claim.event, handle)
        return claim.seal(claim.handler.check_replies(returned))

    @final
    def call_together(self, claims: Sequence[Claim], handle: HandleT) -> list[tuple[Reply, ...]]:
        """Call a handler of a list once for claims that are all its own: the sealed replies of each. Raises as `call`.

        Only where the effects of several events are made or not made together can a handler take a list; the class of
        its adaptors says so by `_takes_lists`. What only stands for a cut-off is left out, and has no reply.
        """
        handler = claims[0].handler
        events = [claim.event for claim in claims if not is_cut_off(claim.event)]
        returned = self._returned(handler, handler.name, events, handle)
        replies = iter(handler.check_list(returned, len(events)))
        return [() if is_cut_off(claim.event) else claim.seal(next(replies)) for claim in claims]

    def _returned(self, handler: HandlerSpec, name: str, argument: object, handle: HandleT) -> object:
        method = getattr(self.adaptor, name)
        return method(argument, handle) if handler.takes_handle else method(argument)


class Direct(Family[None]):
    """The family of an adaptor that derives from Adaptor itself: the handler reaches its backend on its own."""

    promise = "The effect happens at least once: a crash between the effect and its record repeats it."
    repeats = True

    @contextmanager
    def handle(self, claim: Claim, journal: Journal | None) -> Iterator[None]:
        """No handle: the handler takes the event only."""
        yield None

    def effect(self, claim: Claim, journal: Journal) -> tuple[Reply, ...]:
        """Call the handler."""
        return self.call(claim, None)
