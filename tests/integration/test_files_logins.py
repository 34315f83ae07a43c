"""Logins at file servers: whom we trust, who trusts us, and what is said to the one who has to mend it."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from adapter_sdk import ConfigError
from adaptors.files.settings import FileSettings
from tests.file_drops import Notes
from tests.file_servers import FileServer, Started
from tests.services.run import Run


@pytest.fixture(scope="module")
def servers(service_run: Run) -> Iterator[Mapping[str, FileServer]]:
    """One of each kind, started when it is asked for."""
    with Started(service_run) as started:
        yield started


def refusal(settings: dict[str, Any]) -> str:
    """What keeps an adaptor from starting with these settings."""
    family = Notes._family(FileSettings.model_validate(settings))
    with pytest.raises(ConfigError) as caught:
        family.open()
    family.close()
    said = str(caught.value)
    assert "correct horse" not in said
    return said


def test_an_unknown_host_key_is_refused_and_the_remedy_named(servers: Mapping[str, FileServer], tmp_path: Path) -> None:
    """Also by `adaptor check`, which connects nowhere; nobody is trusted at first sight."""
    server = servers["sftp"]
    empty = tmp_path / "known_hosts"
    empty.touch()
    settings = server.settings(tmp_path) | {"known_hosts": empty}
    remedy = f"append what `ssh-keyscan -p {server.port} 127.0.0.1` says once its owner has confirmed the fingerprint"
    assert remedy in refusal(settings)
    [fault] = Notes._family(FileSettings.model_validate(settings)).check()
    assert remedy in fault


def test_another_host_key_than_the_known_one_is_refused(servers: Mapping[str, FileServer], tmp_path: Path) -> None:
    """Somebody may be listening in between: nothing is sent, not even the login."""
    server = servers["sftp"]
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {other.with_suffix('.pub').read_text()}")
    said = refusal(server.settings(tmp_path) | {"known_hosts": known})
    assert "has another host key than" in said
    assert "send nothing there" in said


def test_a_key_that_is_not_allowed_is_refused(servers: Mapping[str, FileServer], tmp_path: Path) -> None:
    """The process ends and says what to look at, since no waiting helps."""
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    said = refusal(servers["sftp"].settings(tmp_path) | {"key_file": other})
    assert "refuses the login: check the user in [files] drop, password and key_file" in said


def test_an_encrypted_key_is_opened_by_its_password(servers: Mapping[str, FileServer], tmp_path: Path) -> None:
    """Without one, the setting is named that is missing; with a wrong one, the file."""
    server = servers["sftp"]
    locked = tmp_path / "locked"
    locked.write_bytes(server.login["key_file"].read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "sesame", "-f", str(locked)], check=True)
    drop = tmp_path / "in"
    drop.mkdir()
    settings = server.settings(drop) | {"key_file": locked}
    for wrong in ({}, {"key_password": "wrong"}):
        assert f"key_file: {locked} cannot be read; if it is encrypted" in refusal(settings | wrong)
    family = Notes._family(FileSettings.model_validate(settings | {"key_password": "sesame"}))
    family.open()
    family.close()


@pytest.mark.parametrize("kind", ["sftp that overwrites", "ftp", "ftps", "smb"])
def test_a_wrong_password_is_refused_unseen(servers: Mapping[str, FileServer], kind: str, tmp_path: Path) -> None:
    """Where a login is by password."""
    said = refusal(servers[kind].settings(tmp_path) | {"password": "wrong horse"})
    assert "refuses the login" in said
    assert "wrong horse" not in said


def test_a_certificate_of_an_unknown_authority_is_refused(servers: Mapping[str, FileServer], tmp_path: Path) -> None:
    """The error names the setting that would trust it."""
    said = refusal(servers["ftps"].settings(tmp_path) | {"ca_file": None})
    assert "shows a certificate that cannot be trusted" in said
    assert "[files] ca_file" in said


def test_a_share_that_is_not_there_is_named(servers: Mapping[str, FileServer], tmp_path: Path) -> None:
    """No waiting makes one."""
    server = servers["smb"]
    drop = f"smb://{server.user}@127.0.0.1:{server.port}/nope/in"
    assert "has no share of that name" in refusal({**server.settings(tmp_path), "drop": drop})


def test_what_is_missing_here_is_seen_without_connecting(tmp_path: Path) -> None:
    """Key files, known hosts and CA files that are not there, a URL without a share, one without room for staging."""

    def faults(**settings: Any) -> list[str]:
        return Notes._family(FileSettings.model_validate(settings)).check()

    none = tmp_path / "none"
    assert faults(drop="sftp://me@h/in", key_file=none, known_hosts=none) == [
        f"[files] key_file: {none} is missing, or this user may not read it",
        f"[files] known_hosts: {none} is missing, or this user may not read it",
    ]
    assert faults(drop="ftps://h/in", ca_file=none) == [
        f"[files] ca_file: {none} is missing, or this user may not read it"
    ]
    assert faults(drop="smb://me@h/", password="x", staging="/s") == [
        "[files] drop: smb://me@h/ names no share: smb://user@host/share/folder"
    ]
    assert "let it begin with /share/" in faults(drop="smb://me@h/share/in", password="x", staging="/s")[0]
    assert "name a folder, such as /share/.staging" in faults(drop="smb://me@h/share", password="x")[0]
    assert "has no folder above it" in faults(drop="ftp://h/")[0]
