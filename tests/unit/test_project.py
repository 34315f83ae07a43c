"""The project can be installed anywhere, and says nothing of the machines it was made on."""

import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("runtime", "dev", "peers")


def _tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _locked(name: str) -> dict[str, list[str]]:
    """Each requirement line of a lock, such as "pika==1.4.4", with its hashes."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    entries = re.sub(r"#.*\n", "", text).replace("\\\n", " ").splitlines()
    return {entry.split(" --hash=")[0].strip(): re.findall(r"--hash=(\S+)", entry) for entry in entries if entry}


def _versions(name: str) -> dict[str, str]:
    requirements = [Requirement(line) for line in _locked(name)]
    return {canonicalize_name(one.name): str(one.specifier) for one in requirements}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_a_hash_for_every_version_and_no_address(name: str) -> None:
    """pip can install a lock with --require-hashes, from whichever index the machine is configured for."""
    entries = _locked(name)
    assert entries
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+( ; .+)?", line) for line in entries)
    assert all(hashes and all(one.startswith("sha256:") for one in hashes) for hashes in entries.values())
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    assert not re.search(r"://|^\s*-(?!-hash=)|@ ", text, re.MULTILINE)


def test_the_locks_agree_and_are_what_pyproject_asks_for() -> None:
    """Every dependency is locked at a version that pyproject.toml allows, and both locks have the same versions."""
    project, groups = _pyproject()["project"], _pyproject()["dependency-groups"]
    runtime, dev = _versions("runtime"), _versions("dev")
    assert runtime.items() <= dev.items()
    for asked, lock in (
        (project["dependencies"] + groups["build"] + _pyproject()["build-system"]["requires"], runtime),
        ([one for one in groups["dev"] if isinstance(one, str)], dev),
        (chain.from_iterable(project["optional-dependencies"].values()), dev),
    ):
        for requirement in map(Requirement, asked):
            pinned = lock[canonicalize_name(requirement.name)].removeprefix("==")
            assert requirement.specifier.contains(pinned), f"{requirement} is locked at {pinned}: run `make lock`"


def test_no_tracked_file_knows_the_machine_it_was_written_on() -> None:
    """No tracked file holds a home folder, or an option that ties pip to one index or one local folder."""
    tied = re.compile(
        rb"(?<![\w.}])/(?:root|work|home/\w+)/|--?(?:extra-)?index[-_]url[ =]|--find[-]links[ =]", re.ASCII
    )
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in _tracked_files()
        for match in tied.finditer(path.read_bytes())
    ]
    assert not found


def test_every_exception_from_a_check_has_its_reason_beside_it() -> None:
    """Each ignored rule and each ignored warning in pyproject.toml has a comment on its line."""
    lists = re.findall(r"^(?:ignore|filterwarnings|\"tests/\*\*\") = \[\n(.*?)^\]", _pyproject_text(), re.M | re.S)
    lines = [line for body in lists for line in body.splitlines() if line.strip().startswith('"')]
    assert len(lines) > 10
    assert [line for line in lines if "#" not in line and '"error"' not in line] == []


def test_the_wheel_holds_the_three_packages_and_the_licence(tmp_path: Path) -> None:
    """A wheel built from this checkout holds toolkit, families and samples, the `adaptor` command and the licence."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"adapter_sdk", "adaptors", "samples"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "adaptor = adapter_sdk.cli:main" in entry_points


def _pyproject_text() -> str:
    return (ROOT / "pyproject.toml").read_text()
