"""Kill your adaptor at every step between receiving an event and settling it, and see what the backend then holds.

    class TestStock(CrashPointSuite):
        adaptor = StockAdaptor

        @pytest.fixture
        def broker_url(self) -> str:
            return "amqp://guest:guest@localhost:5672/test"

        @pytest.fixture
        def backend(self, tmp_path: Path) -> BackendUnderTest:
            create_stock(tmp_path / "stock.db")
            return BackendUnderTest(
                settings={"sql": {"url": f"sqlite:///{tmp_path}/stock.db"}},
                events=[event_of(order("4711")), event_of(order("4712"))],
                effects=lambda: count_reservations(tmp_path / "stock.db"),
            )

Each test starts the adaptor as a real process, lets it die by SIGKILL at one of `adapter_sdk.crashpoints.POINTS`,
starts it again, and holds the outcome against the promise of the adaptor's family. It needs pytest, and a real
RabbitMQ, because the embedded broker dies with its process. Take a virtual host for tests: the queues stay behind.
"""

from adapter_sdk.testing.crashpoints.promises import broken_promises
from adapter_sdk.testing.crashpoints.suite import CrashPointSuite
from adapter_sdk.testing.crashpoints.trial import BackendUnderTest, Crash, Findings, NotAsTold, Trial

__all__ = ["BackendUnderTest", "Crash", "CrashPointSuite", "Findings", "NotAsTold", "Trial", "broken_promises"]
