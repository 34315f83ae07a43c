"""For tests of your own adaptor: events for its handlers, and the whole adaptor on a private embedded broker.

The suite that every transport must pass is beside this, in `adapter_sdk.testing.conformance`.
"""

from adapter_sdk.testing.events import event_of
from adapter_sdk.testing.harness import AdaptorHarness

__all__ = ["AdaptorHarness", "event_of"]
