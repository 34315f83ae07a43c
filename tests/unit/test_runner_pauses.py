from pathlib import Path

import pytest

from adapter_sdk import Adaptor, AdaptorError, BackendUnavailable, BrokerError, Event, EventData, LedgerError, handles
from adapter_sdk.runner import Runner
from adapter_sdk.settings import Settings
from adapter_sdk.transport.memory import MemoryBroker, MemoryTransport
from tests.bench import no_logs


class Placed(EventData, type="shop.placed"):
    pass


class Printer(Adaptor):
    name = "printer"

    @handles
    def print(self, event: Event[Placed]) -> None:
        return None


@pytest.mark.parametrize(
    ("trouble", "longest"),
    [(BrokerError("gone"), 10), (LedgerError("full"), 10), (BackendUnavailable("away"), 30)],
    ids=["broker", "ledger", "backend"],
)
def test_pauses_grow_and_have_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: AdaptorError, longest: float
) -> None:
    """However long it takes, the next try is never further away: broker and ledger are back in use within 30 s."""
    runner = Runner(Printer, Settings(folder=tmp_path), MemoryTransport(MemoryBroker()))
    pauses: list[float] = []
    monkeypatch.setattr(runner._stop, "wait", pauses.append)
    with no_logs():
        for _ in range(40):
            runner._wait_out(trouble)
    assert pauses[0] <= 0.5
    assert longest / 2 <= max(pauses) <= longest
    assert min(pauses[10:]) >= longest / 2
