"""Targets: where files are staged and dropped, by the `drop` of the settings."""

from collections.abc import Callable, Mapping

from adaptors.files.location import Location, Scheme
from adaptors.files.settings import FileSettings
from adaptors.files.targets.base import Target
from adaptors.files.targets.ftp import FtpDoor
from adaptors.files.targets.local import LocalTarget
from adaptors.files.targets.remote import Door, RemoteTarget
from adaptors.files.targets.sftp import SftpDoor
from adaptors.files.targets.smb import SmbDoor

_DOORS: Mapping[Scheme, Callable[[Location, FileSettings], Door]] = {
    "sftp": SftpDoor,
    "ftp": FtpDoor,
    "ftps": FtpDoor,
    "smb": SmbDoor,
}


def target_of(settings: FileSettings) -> Target:
    """The target that the settings describe, not yet reached."""
    if not isinstance(settings.drop, Location):
        return LocalTarget(settings.drop, settings.staging, settings.sync)
    door = _DOORS[settings.drop.scheme](settings.drop, settings)
    return RemoteTarget(settings.drop, settings.staging, door)
