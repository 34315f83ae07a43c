import re
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest

from adapter_sdk import errors
from adapter_sdk.ledger.base import State
from adapter_sdk.runner import RunState
from adapter_sdk.testing import AdaptorHarness, event_of
from samples.shop.erp import server
from samples.shop.erp.mischief import Mischief, Mode
from samples.shop.erp.soap import WSDL_FILE
from tests.docs import reference
from tests.docs.blocks import ROOT, blocks_of


def _page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def test_the_reference_is_what_the_code_has() -> None:
    """The settings, commands and public names in the reference are those of the code."""
    assert reference.written() == reference.PAGE.read_text(encoding="utf-8"), "run `python -m tests.docs.reference`"


def test_the_error_tree_of_the_manual_is_that_of_the_code() -> None:
    """The tree on the page of errors is the one that errors.py draws."""
    tree = (errors.__doc__ or "").split("\n\n")[1]
    assert tree in _page("errors")


def test_operating_explains_every_line_that_is_logged() -> None:
    """Whoever greps the manual for a log line of the toolkit at night finds it."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "adapter_sdk").glob("*.py")]
    call = r"\blog\.(?:info|warning|error|exception)\(\s*\"([^\"]+)\""
    lines = {line for source in sources for line in re.findall(call, source)}
    assert len(lines) > 10
    assert sorted(line for line in lines if f"`{line}`" not in _page("operating")) == []


def test_operating_explains_every_state_of_the_runner() -> None:
    """No state that a log line can name is without a row in the manual's table."""
    assert [state for state in RunState if f"| `{state}` |" not in _page("operating")] == []


def test_the_example_of_the_readme_books_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's adaptor, against the shop's ERP: an order is booked, and one whose answer is lost is found again."""
    (example,) = [block for block in blocks_of(ROOT / "README.md") if block.language == "python"]
    (tmp_path / "readme_example.py").write_text(example.text.replace("settle=30", "settle=1"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    shop = import_module("readme_example")
    first, second = (
        event_of(shop.OrderPlaced(order_id=number, customer="Ada", total=Decimal("9.90"))) for number in ("1", "2")
    )
    with server.running(tmp_path / "erp") as erp:
        sections = {"soap": {"wsdl": str(WSDL_FILE), "port": "Soap12", "endpoint": erp.url}}
        with AdaptorHarness(shop.ErpAdaptor, sections) as harness:
            harness.publish(first)
            harness.wait_until_settled()
            erp.erp.turns.set(Mischief(Mode.LOSE))
            harness.publish(second)
            harness.wait_for(second, State.IN_DOUBT)
            erp.erp.turns.set(Mischief())
            replies = harness.replies(2)
        booked = [(order.order_no, order.number) for order in erp.erp.books.all()]
    assert booked == [(reply.data.order_id, reply.data.erp_number) for reply in replies]
    assert [number for number, _ in booked] == ["1", "2"]
