"""Every error of the toolkit, grouped by what happens next.

AdaptorError
├── ConfigError               the process refuses to start, with every fault listed
├── PermanentError            dead letter now; trying again cannot help
│   ├── MalformedEvent          not an envelope, not JSON, too large, too deep
│   ├── UnknownEventType        no handler takes events of this type
│   ├── InvalidData             the event data breaks its schema; names each field
│   ├── InvalidReply            a handler returned what it did not declare
│   ├── ConflictingEvent        an identity seen before, with other data
│   └── Refused                 the backend answered no
├── TransientError            later: immediate tries, then delays held by the broker, then dead letter
│   └── BackendUnavailable      ... and consuming pauses until a probe succeeds; waiting costs no attempt
├── InDoubt                   the effect may have happened: verify, send again if idempotent, or set aside
├── BrokerError               nothing is settled; reconnect; the event comes again
└── LedgerError               nothing is settled; consuming stops until the ledger works again

Anything else that a handler raises is a bug: it is treated as a TransientError, with its traceback.
"""

from collections.abc import Sequence


class AdaptorError(Exception):
    """Base of every error that the toolkit raises itself."""


class ConfigError(AdaptorError):
    """The adaptor cannot start as it is configured; `faults` holds one sentence per fault.

    All faults are collected before it is raised, so that one start shows everything there is to mend.
    """

    def __init__(self, *faults: str) -> None:
        self.faults: Sequence[str] = faults
        super().__init__("\n".join(faults))


class PermanentError(AdaptorError):
    """The event can never be applied: it becomes a dead letter without another try."""


class MalformedEvent(PermanentError):
    """The message is not an event that can be read: bad bytes, bad envelope, too large or too deep."""


class UnknownEventType(PermanentError):
    """The event is readable, and no handler of this adaptor takes its type."""


class InvalidData(PermanentError):
    """The event data breaks the schema of its type; the message names each field and why."""


class InvalidReply(PermanentError):
    """A handler returned something that its annotation does not declare. The reply never leaves."""


class ConflictingEvent(PermanentError):
    """An event with this source and id was seen before, with other data. Never "a duplicate"."""


class Refused(PermanentError):
    """The backend received the request and said no; nothing was applied."""


class TransientError(AdaptorError):
    """Nothing was applied and a later try may succeed."""


class BackendUnavailable(TransientError):
    """The backend cannot be reached at all, which is not the event's fault: waiting costs no attempt."""


class InDoubt(AdaptorError):
    """The request went out and no readable answer came: the effect may or may not have happened."""


class BrokerError(AdaptorError):
    """The broker connection failed. Nothing was settled, so the broker will deliver again."""


class LedgerError(AdaptorError):
    """The ledger cannot remember: full, locked, corrupt or unreachable. Nothing was settled."""
