"""The way to a Windows share, or one of Samba: SMB 2 and 3 through smbprotocol, always signed."""

import errno
from importlib.util import find_spec
from typing import TYPE_CHECKING

from adapter_sdk.errors import ConfigError
from adaptors.files.location import Location
from adaptors.files.settings import FileSettings

if TYPE_CHECKING:
    from adaptors.files.targets.smb_session import SmbSession


class SmbDoor:
    """How to come to a share: by user (`DOMAIN;user` in the URL) and password."""

    def __init__(self, location: Location, settings: FileSettings) -> None:
        self._location = location
        self._settings = settings

    def check(self) -> list[str]:
        """The library, and whether drop and staging are in one share."""
        faults = []
        if find_spec("smbprotocol") is None:
            faults.append("[files] drop: smb:// needs smbprotocol: pip install 'legacy-event-adaptor-toolkit[smb]'")
        share, _, folder = self._location.folder.strip("/").partition("/")
        staging = self._settings.staging
        if not share:
            faults.append(f"[files] drop: {self._location} names no share: smb://user@host/share/folder")
        elif staging is None and not folder:
            faults.append(f"[files] staging: a share has no room beside it; name a folder, such as /{share}/.staging")
        elif staging is not None and not str(staging).startswith(f"/{share}/"):
            faults.append(f"[files] staging: {staging} is not in the share of the drop; let it begin with /{share}/")
        return faults

    def connect(self) -> "SmbSession":
        """Log in and reach the share."""
        from smbprotocol.exceptions import (
            BadNetworkName,
            LogonFailure,
            SMBAuthenticationError,
            SMBException,
            SMBOSError,
        )

        from adaptors.files.targets.smb_session import SmbSession

        password = self._settings.password.get_secret_value() if self._settings.password else ""
        session = SmbSession(self._location, password, self._settings.timeout)
        try:
            session.log_in()
        except (LogonFailure, SMBAuthenticationError) as error:
            session.close()
            raise ConfigError(
                f"{self._location.server} refuses the login: check the user in [files] drop, and password"
            ) from error
        except (SMBException, ValueError) as error:
            session.close()
            if isinstance(error, BadNetworkName) or (isinstance(error, SMBOSError) and error.errno == errno.ENOENT):
                raise ConfigError(f"[files] drop: {self._location.server} has no share of that name") from error
            raise ConnectionError(str(error)) from error
        except BaseException:
            session.close()
            raise
        return session
