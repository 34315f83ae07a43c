"""What every transport must do, as a test suite: subclass `TransportConformance` and give it a broker.

    class TestMemory(TransportConformance):
        transport_name = "memory"

        @pytest.fixture
        def broker(self) -> BrokerUnderTest:
            return MyBroker()

Each test belongs to a named feature. One that a transport cannot do stands in `unsupported` with the reason and is
skipped with it. Import `pytest_terminal_summary` from `adapter_sdk.testing.conformance.table` into a `conftest.py` and
the run ends with a table of what every transport did, made from the results.
"""

from adapter_sdk.testing.conformance.ground import BrokerUnderTest
from adapter_sdk.testing.conformance.inbox import Inbox, eventually
from adapter_sdk.testing.conformance.suite import TransportConformance

__all__ = ["BrokerUnderTest", "Inbox", "TransportConformance", "eventually"]
