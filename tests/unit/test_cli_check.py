"""`adaptor check`, as a program runs it: what is wrong is said at once, and nothing is connected to."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapter_sdk.cli.check import check

ADAPTOR = """
from adapter_sdk import Adaptor, Event, EventData, handles

class Placed(EventData, type="shop.placed"):
    order_id: str

class Clerk(Adaptor):
    name = "clerk"

    @handles
    def placed(self, event: Event[Placed]) -> None: ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an adaptor in it."""
    (tmp_path / "clerk_at_check.py").write_text(ADAPTOR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def checked(folder: Path, settings: str) -> Result:
    """What `adaptor check` answers where `adaptor.toml` names the clerk and has these settings."""
    (folder / "adaptor.toml").write_text(f'[adaptor]\napp = "clerk_at_check:Clerk"\n{settings}')
    return CliRunner().invoke(check, [])


def test_an_adaptor_without_a_fault(folder: Path) -> None:
    """Where all is well it says so, with status 0."""
    answer = checked(folder, "")
    assert (answer.exit_code, answer.output.splitlines()[-1]) == (0, "no faults found")


def test_faults_of_all_sections_come_at_once(folder: Path) -> None:
    """A fault beside the name of the adaptor hides none of the sections that only the adaptor's class explains."""
    answer = checked(folder, '[adaptr]\n[sql]\nurl = "sqlite:///a"\n[broker]\nprefetch = 0\n[limits]\nmax_bytes = 0\n')
    assert answer.exit_code == 3
    for place in ("unknown section [adaptr]", "unknown section [sql]", "[broker] prefetch", "[limits] max_bytes"):
        assert place in answer.output


def test_what_happens_in_doubt_is_known_with_the_settings(folder: Path) -> None:
    """Which family it is decides about doubts, and wrong settings make none: then the column is left out."""
    assert "IN DOUBT" in checked(folder, "").output
    assert "IN DOUBT" not in checked(folder, "[broker]\nprefetch = 0\n").output


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ('[broker]\nurl = "http://ann:hunter2@host/"', "[broker] url: The broker URL has scheme 'http'"),
        ('[broker]\nurl = "amqp://ann:hunter2@host:port/"', "[broker] url: The broker URL cannot be read: its port"),
        ('[ledger]\npath = "gone/clerk.ledger"', "[ledger] path: the folder gone does not exist"),
    ],
)
def test_what_could_only_fail_later(folder: Path, settings: str, fault: str) -> None:
    """A broker URL that is none and a ledger without a folder are found before anything runs."""
    answer = checked(folder, settings)
    assert answer.exit_code == 3
    assert fault in answer.output
    assert "hunter2" not in answer.output
