"""The conformance suite itself: one test per feature, in the words of the transport contract."""

from adapter_sdk.testing.conformance.consuming import Consuming
from adapter_sdk.testing.conformance.declaring import Declaring
from adapter_sdk.testing.conformance.endings import Endings
from adapter_sdk.testing.conformance.publishing import Publishing
from adapter_sdk.testing.conformance.routing import Routing
from adapter_sdk.testing.conformance.settling import Settling


class TransportConformance(Publishing, Settling, Routing, Consuming, Declaring, Endings):
    """Subclass it, give `transport_name` and a `broker` fixture, and every feature of the contract is tested."""
