import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.settings import load_settings
from adaptors.files import FileDropAdaptor
from adaptors.soap import SoapAdaptor
from adaptors.sql import SqlAdaptor
from tests.docs.blocks import PAGES, ROOT, Block, blocks_of
from tests.docs.scene import make_scene
from tests.docs.shell import Command, Shell, commands_of, shell

# Blocks that nothing is done with: pictures in text need no mark, all others say why they cannot run.
_FEW = 8
_FAMILIES: Mapping[str, type[Adaptor]] = {"soap": SoapAdaptor, "files": FileDropAdaptor, "sql": SqlAdaptor}

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


@page
def test_every_example_of_the_page_runs_as_shown(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The blocks of a page, done in order in one folder, do and print what the page says."""
    blocks = blocks_of(page)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADAPTOR_")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    if any("adaptor" in block.text and block.language == "console" for block in blocks):
        environment["ADAPTOR_BROKER_URL"] = request.getfixturevalue("fresh_rabbitmq").url
    if page.stem == "operating":
        make_scene(tmp_path, environment["ADAPTOR_BROKER_URL"])
    with shell(tmp_path, environment) as opened:
        for block in blocks:
            if "not run" not in block.marks:
                _DOERS[block.language](block, tmp_path, opened)


@page
def test_the_python_files_of_the_page_pass_mypy_strict(page: Path, tmp_path: Path) -> None:
    """What a reader copies from the manual type-checks as strictly as the toolkit itself."""
    files = [block for block in blocks_of(page) if block.language == "python" and "file" in block.marks]
    if not files:
        return
    for block in files:
        _write(block, tmp_path)
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            str(ROOT / "pyproject.toml"),
            "--cache-dir",
            str(ROOT / ".mypy_cache"),
        ]
        + [block.marks["file"] for block in files],
        cwd=tmp_path,
        # The families and the toolkit carry their types; samples are for reading, and say so to a type checker.
        env=os.environ | ({"MYPYPATH": str(ROOT)} if any("samples." in block.text for block in files) else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_few_blocks_are_left_alone_and_each_says_why() -> None:
    """At most a handful of examples cannot run here; every other block has a language that something is done with."""
    blocks = [block for path in PAGES for block in blocks_of(path)]
    left_alone = [block for block in blocks if "not run" in block.marks]
    assert len(left_alone) <= _FEW
    assert all(block.marks["not run"] for block in left_alone)
    assert [block.where for block in blocks if block.language not in _DOERS and block not in left_alone] == []


@page
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    """Links between the pages name files that are there, and headings that they have."""
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target} leads nowhere"
        if heading:
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, f"{page.name}: {target} has no such heading"


def _do_python(block: Block, folder: Path, _: Shell) -> None:
    if "file" in block.marks:
        _write(block, folder)
        return
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{block.where}\n{done.stdout}{done.stderr}"


def _do_console(block: Block, _: Path, opened: Shell) -> None:
    commands = commands_of(block.text)
    patience = 30.0 if "after a moment" in block.marks else 0.0
    for number, command in enumerate(commands):
        following = commands[number + 1].line if number + 1 < len(commands) else ""
        _type(opened, command, patience, block.where, may_fail=following == "echo $?")


def _type(opened: Shell, command: Command, patience: float, where: str, *, may_fail: bool) -> None:
    deadline = time.monotonic() + patience
    while True:
        printed, status = opened.type(command.line)
        if command.is_shown_by(printed) and (status == 0 or may_fail):
            return
        if time.monotonic() >= deadline:
            pytest.fail(
                f"{where}\n$ {command.line}\nprinted:\n{printed}\nexit status {status}; shown:\n{command.shown}"
            )
        time.sleep(0.2)


def _do_toml(block: Block, folder: Path, _: Shell) -> None:
    """The settings are read as those of the family whose section they have."""
    file = _write(block, folder) if "file" in block.marks else folder / "snippet.toml"
    file.write_text(block.text, encoding="utf-8")
    family = next((adaptor for name, adaptor in _FAMILIES.items() if f"[{name}]" in block.text), Adaptor)
    load_settings(family, file, dict.fromkeys(re.findall(r"\$\{env:(\w+)\}", block.text), "a secret"))


def _do_json(block: Block, folder: Path, _: Shell) -> None:
    json.loads(block.text)
    if "file" in block.marks:
        _write(block, folder)


def _do_nothing(block: Block, folder: Path, _: Shell) -> None:
    if "file" in block.marks:
        _write(block, folder)


def _write(block: Block, folder: Path) -> Path:
    file = folder / block.marks["file"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block.text, encoding="utf-8")
    return file


_DOERS: Mapping[str, Callable[[Block, Path, Shell], None]] = {
    "python": _do_python,
    "console": _do_console,
    "toml": _do_toml,
    "json": _do_json,
    "text": _do_nothing,
    "xml": _do_nothing,
}
