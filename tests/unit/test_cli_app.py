"""The `adaptor` command as a whole: what it loads, what it says of wrong usage and settings, and its exit status."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from tests.command import SECRET, adaptor, document

_LOADED = """
import sys
from adapter_sdk.cli import main
main(["--help"], standalone_mode=False)
print(sorted({"zeep", "sqlalchemy", "paramiko", "pika"} & set(sys.modules)), file=sys.stderr)
"""
_COMMANDS = ("run", "check", "doctor", "publish", "dead", "doubt", "topology", "sql")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the clerk's settings and a secret in them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adaptor.toml").write_text(
        f'[adaptor]\napp = "tests.command:Clerk"\n[broker]\nurl = "amqp://ann:{SECRET}@127.0.0.1:1/"\n'
        f'[sql]\nurl = "sqlite:///clerk.db"\n'
    )
    (tmp_path / "clerk.db").touch()
    return tmp_path


def test_help_imports_no_native_library() -> None:
    """`adaptor --help` loads neither the broker's library nor one of a backend."""
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert all(f"  {command}  " in done.stdout for command in _COMMANDS)


def test_a_broken_plugin_takes_no_help_away(mocker: MockerFixture) -> None:
    """A plugin that fails while it is imported is named in the help, and when it is called, with status 1."""
    broken = EntryPoint("odd", "tests.command:Nothing", "adaptor.commands")
    mocker.patch("adapter_sdk.cli.app.entry_points", side_effect=lambda **which: EntryPoints([broken]).select(**which))
    shown = " ".join(adaptor("--help").output.split())
    assert "odd (tests.command:Nothing cannot be loaded: AttributeError" in shown
    assert all(command in shown for command in _COMMANDS)
    assert "tests.command:Nothing cannot be loaded" in adaptor("odd", status=1).stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("publish",), "give FILES, or --type and --data"),
        (("publish", "--type", "t"), "give FILES, or --type and --data"),
        (("publish", "--type", "t", "--data", "{"), "--data is not JSON"),
        (("publish", "--type", "t", "--data", "[" * 100_000), "--data is not JSON"),
        (("publish", "--type", "t", "--data", "@gone.json"), "gone.json: No such file or directory"),
        (("publish", "--type", "t", "--data", "@latin.json"), "--data is not JSON: 'utf-8' codec"),
        (("publish", "gone.json"), "gone.json: No such file or directory"),
        (("publish", "."), "Is a directory"),
        (("publish", "--raw", "adaptor.toml"), "--raw takes FILES and --type"),
        (("publish", "--raw", "--type", "t", "--data", "{}"), "--raw takes FILES and --type"),
        (("publish", "--raw", "--type", "t", "--id", "1", "adaptor.toml"), "--raw takes FILES and --type"),
        (("publish", "adaptor.toml", "--type", "t", "--id", "1"), "--type, --id would change nothing"),
        (("doubt", "resolve", "a", "--why", "w"), "say --applied"),
        (("doubt", "resolve", "a", "--why", "w", "--applied", "--not-applied"), "say --applied"),
        (("doubt", "resolve", "a", "--why", "w", "--not-applied", "--reply", "x"), "say --applied"),
        (("doubt", "resolve", "a", "--why", "w", "--applied", "--reply", "gone.json"), "gone.json: No such file"),
        (("doubt", "resolve", "a", "--why", "w", "--applied", "--reply", "adaptor.toml"), "adaptor.toml is not JSON"),
        (("doubt", "resolve", "a", "--applied"), "--why"),
        (("doubt", "show"), "`adaptor doubt list` shows them"),
        (("dead", "discard", "a", "--all", "--yes", "--why", "w"), "give EVENT_ID or --all, not both"),
        (("dead", "replay", "a", "--reason", "refused"), "--reason chooses among --all"),
        (("nothing",), "No such command 'nothing'"),
    ],
)
def test_wrong_usage_has_status_2(folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    """What was asked for wrongly is said in a sentence, before anything is connected to."""
    (folder / "latin.json").write_bytes('{"name": "Zoë"}'.encode("latin-1"))
    assert sentence in adaptor(*arguments, status=2).stderr


@pytest.mark.parametrize(
    "arguments", [("run",), ("check",), ("doctor",), ("dead", "list"), ("topology", "show"), ("sql", "install")]
)
def test_wrong_settings_have_status_3(folder: Path, arguments: tuple[str, ...]) -> None:
    """Every command names the fault of the settings, and none shows a traceback."""
    with (folder / "adaptor.toml").open("a") as settings:
        settings.write("[runner]\nconcurrency = 0\n")
    said = adaptor(*arguments, status=3).stderr
    assert "error: adaptor.toml: [runner] concurrency" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("app", "sentence"),
    [
        ("nowhere:Clerk", "the module nowhere is not found"),
        ("tests.command", "names no class; write package.module:ClassName"),
        ("tests.command:Nobody", "tests.command has no adaptor class Nobody; it has Clerk, Scribe, Booker"),
        ("tests.command:Placed", "has no adaptor class Placed"),
        ("broken_on_import:Clerk", "importing broken_on_import failed: ZeroDivisionError: division by zero"),
    ],
)
def test_an_adaptor_that_cannot_be_found_has_status_3(folder: Path, app: str, sentence: str) -> None:
    """It is said which part of package.module:ClassName is wrong, and what would be right."""
    (folder / "broken_on_import.py").write_text("1 / 0\n")
    assert sentence in adaptor("check", app, status=3).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("topology", "apply"),
        ("publish", "--type", "shop.placed", "--data", "{}"),
        ("dead", "replay", "--all", "--yes"),
    ],
)
def test_a_broker_that_is_away_has_status_4(folder: Path, arguments: tuple[str, ...]) -> None:
    """A refused connection names the broker, never its password."""
    adaptor("sql", "install")
    said = adaptor(*arguments, status=4).stderr
    assert "Cannot reach 127.0.0.1 port 1" in said
    assert said.startswith("error: ")


def test_doctor_says_all_that_fails_at_once(folder: Path) -> None:
    """Broker and ledger are both looked at, each with its own sentence, in one JSON document, with status 1."""
    checks = {row["check"]: row for row in document(adaptor("doctor", "--json", status=1))["checks"]}
    assert [name for name, row in checks.items() if row["ok"]] == ["static check", "backend"]
    assert "Cannot reach 127.0.0.1 port 1" in checks["broker"]["says"]
    assert "adaptor sql install" in checks["ledger"]["says"]
    assert "FAILED" in adaptor("doctor", status=1).stdout


def test_a_broker_inside_one_process_cannot_be_reached_from_another(folder: Path) -> None:
    """memory:// is refused by commands that talk to a running adaptor."""
    for arguments in (("topology", "apply"), ("publish", "--type", "t", "--data", "{}")):
        said = adaptor(*arguments, "--broker", "memory://x", status=3).stderr
        assert "memory:// lives inside one process" in said


def test_what_connects_nowhere_prints_one_document(folder: Path) -> None:
    """check, topology show and sql install --print answer in JSON without a broker or a database."""
    assert document(adaptor("check", "--json"))["handlers"][0]["event_type"] == "shop.placed"
    shown = document(adaptor("topology", "show", "--json"))
    assert {"source": "events", "destination": "clerk", "routing_key": "shop.placed"} in shown["bindings"]
    printed = document(adaptor("sql", "install", "--print", "--json"))
    assert printed["installed"] is False
    assert (folder / "clerk.db").stat().st_size == 0
    assert adaptor("sql", "install", "--print").output == ";\n\n".join(printed["statements"]) + ";\n"


def test_the_ledger_is_installed_once(folder: Path) -> None:
    """Installing again changes nothing, and an adaptor with a local ledger has nothing to install."""
    for _ in range(2):
        assert document(adaptor("sql", "install", "--json"))["installed"] is True
    assert document(adaptor("dead", "list", "--json")) == []
    (folder / "adaptor.toml").write_text('[adaptor]\napp = "tests.command:Scribe"\n')
    assert "its ledger is a local file" in adaptor("sql", "install", status=3).stderr
