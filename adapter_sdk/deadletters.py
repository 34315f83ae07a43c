"""Putting dead letters back to work."""

import time
from collections.abc import Callable

from adapter_sdk.errors import AdaptorError, BrokerError
from adapter_sdk.events import Key
from adapter_sdk.ledger.base import Ledger
from adapter_sdk.topology import copy_to
from adapter_sdk.transport.base import Confirm, Transport


def replay(
    ledger: Ledger, transport: Transport, adaptor: str, key: Key, clock: Callable[[], float] = time.time
) -> bool:
    """Give a dead letter all its attempts anew: its original message goes to the adaptor's queue again.

    False if it is not a dead letter any more, as when somebody else replays it at the same moment. The ledger is
    changed first: if the broker then fails, BrokerError is raised and the running adaptor publishes what is left.
    """
    entry = ledger.reopen(key, clock())
    if entry is None:
        return False
    if entry.message is None:
        raise AdaptorError(f"the ledger has no message for {key}")
    (confirm,) = transport.publish([copy_to(adaptor, entry.message, 0)])
    if confirm is not Confirm.CONFIRMED:
        raise BrokerError(f"the queue {adaptor} did not take the event back ({confirm.value}); is it declared?")
    ledger.sent([key])
    return True
