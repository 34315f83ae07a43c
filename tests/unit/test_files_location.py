"""A folder on a server as one setting says it, and what the settings of a drop demand beside it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapter_sdk import Event, EventData, handles
from adaptors.files import Drop, FileDropAdaptor
from adaptors.files.location import Location
from adaptors.files.settings import FileSettings


class Note(EventData, type="note"):
    text: str


class Notes(FileDropAdaptor):
    name = "notes"
    file_name = "{id}.TXT"

    @handles
    def note(self, event: Event[Note], drop: Drop) -> None:
        """Drop nothing."""


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("sftp://me@files.example/in", Location("sftp", "me", "files.example", 22, "/in")),
        ("sftp://me@h:2222/~/in/a/", Location("sftp", "me", "h", 2222, "in/a")),
        ("ftp://h/~/", Location("ftp", None, "h", 21, ".")),
        ("ftps://a%40b@h/x%20y", Location("ftps", "a@b", "h", 21, "/x y")),
        ("smb://CORP;me@h/share/in", Location("smb", "CORP;me", "h", 445, "/share/in")),
        ("sftp://me@[::1]:22/in", Location("sftp", "me", "::1", 22, "/in")),
    ],
)
def test_a_url_names_server_user_and_folder(url: str, location: Location) -> None:
    """The port has the default of its protocol; `/~/` is where a login begins. What messages say can be read again."""
    assert Location.parse(url) == location
    assert Location.parse(str(location)).server == location.server


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h/in", "http:// is not known; give one of sftp, ftp, ftps, smb, or a path"),
        ("sftp://me:secret@h/in", "a password in the URL would be printed with it"),
        ("sftp:///in", "the URL names no host"),
        ("sftp://me@h/in?x=1", "a URL of files has neither ? nor #"),
        ("sftp://me@h/in/../etc", "the folder has .. or a control character in it"),
        ("sftp://me@h/in%0aDELE x", "control character"),
    ],
)
def test_a_url_that_cannot_be_is_refused_without_being_shown(url: str, reason: str) -> None:
    """It may hold a password."""
    with pytest.raises(ValidationError) as caught:
        FileSettings.model_validate({"drop": url})
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("drop", "reason"),
    [
        ("sftp://h/in", "drop names no user: sftp://USER@h"),
        ("sftp://me@h/in", "give a key_file or a password for the user of drop"),
        ("smb://me@h/share", "give the password of the user of drop"),
        ("ftp://me@h/in", "give the password of the user of drop"),
    ],
)
def test_a_login_that_is_not_complete_is_a_fault_of_the_settings(drop: str, reason: str) -> None:
    """Seen before anything connects."""
    with pytest.raises(ValidationError, match=reason):
        FileSettings.model_validate({"drop": drop})


def test_paths_here_are_taken_from_the_folder_of_the_settings_and_those_of_a_server_are_not() -> None:
    """A relative path beside `adaptor.toml` is not one of the server's."""
    here = {"folder": Path("/srv/adaptor")}
    local = FileSettings.model_validate({"drop": "in", "staging": "stage"}, context=here)
    assert (local.drop, local.staging) == (Path("/srv/adaptor/in"), Path("/srv/adaptor/stage"))
    remote = FileSettings.model_validate({"drop": "ftp://h/in", "staging": "stage", "ca_file": "ca.pem"}, context=here)
    assert (remote.staging, remote.ca_file) == (Path("stage"), Path("/srv/adaptor/ca.pem"))


@pytest.mark.parametrize(
    ("drop", "doubt", "overwrites"),
    [
        ("/in", False, False),
        ("sftp://me@h/in", True, False),
        ("smb://me@h/share/in", True, False),
        ("ftp://me@h/in", True, True),
        ("ftps://me@h/in", True, True),
    ],
)
def test_the_promise_is_as_weak_as_the_protocol(drop: str, doubt: bool, overwrites: bool) -> None:
    """`adaptor check` prints it: what a crash can leave in doubt, and whether a server may overwrite."""
    settings: dict[str, Any] = {"drop": drop, "password": "x"}
    family = Notes._family(FileSettings.model_validate(settings))
    assert family.promise.startswith("Each event in one whole file")
    assert (family.leaves_doubt, "in doubt" in family.promise) == (doubt, doubt)
    assert ("may rename over what is there" in family.promise) is overwrites
