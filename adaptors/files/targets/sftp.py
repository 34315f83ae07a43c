"""The way to an SFTP server: host keys are always checked, and the login is by password or private key."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from adapter_sdk.errors import ConfigError
from adaptors.files.location import Location
from adaptors.files.settings import FileSettings

if TYPE_CHECKING:
    import paramiko

    from adaptors.files.targets.sftp_session import SftpSession

_PORT = 22


class SftpDoor:
    """How to come to an SFTP server: by a known host key, and a password or a private key."""

    def __init__(self, location: Location, settings: FileSettings) -> None:
        self._location = location
        self._settings = settings

    def check(self) -> list[str]:
        """Library, key files, and whether the host is known."""
        if find_spec("paramiko") is None:
            return ["[files] drop: sftp:// needs paramiko: pip install 'legacy-event-adaptor-toolkit[sftp]'"]
        key, known = self._settings.key_file, self._settings.known_hosts
        faults = []
        if key is not None and not os.access(key, os.R_OK):
            faults.append(f"[files] key_file: {key} is missing, or this user may not read it")
        if not os.access(known, os.R_OK):
            faults.append(f"[files] known_hosts: {known} is missing, or this user may not read it")
        elif not self._is_known():
            faults.append(self._unknown())
        return faults

    def connect(self) -> "SftpSession":
        """Log in, and open one channel."""
        import paramiko

        from adaptors.files.targets.sftp_session import SftpSession

        client = paramiko.SSHClient()
        try:
            client.load_system_host_keys(str(self._settings.known_hosts))
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            key = self._key()
            with self._refusals():
                self._log_in(client, key)
                return SftpSession(client, self._settings.timeout)
        except BaseException:
            client.close()
            raise

    def _key(self) -> "paramiko.PKey | None":
        import paramiko
        from paramiko.pkey import UnknownKeyType

        path = self._settings.key_file
        if path is None:
            return None
        # It says that it takes text, and takes bytes alone.
        password: Any = self._settings.key_password and self._settings.key_password.get_secret_value().encode()
        try:
            return paramiko.PKey.from_path(path, password)
        except (paramiko.SSHException, UnknownKeyType, OSError, TypeError, ValueError) as error:
            # Each kind of key has errors of its own, for a file that is none and for a password that is missing.
            raise ConfigError(
                f"[files] key_file: {path} cannot be read; if it is encrypted, give its key_password ({error})"
            ) from error

    def _log_in(self, client: "paramiko.SSHClient", key: "paramiko.PKey | None") -> None:
        settings, timeout = self._settings, self._settings.timeout
        client.connect(
            self._location.host,
            self._location.port,
            self._location.user,
            settings.password.get_secret_value() if settings.password else None,
            key,
            timeout=timeout,
            banner_timeout=timeout,
            auth_timeout=timeout,
            channel_timeout=timeout,
            # What another user's agent or home holds must not decide who logs in.
            allow_agent=False,
            look_for_keys=False,
        )

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """What login and channel failed of: a refusal, which no waiting mends, or a lost line, which is waited out."""
        import paramiko

        server = self._location.server
        try:
            yield
        except paramiko.BadHostKeyException as error:
            raise ConfigError(
                f"{server} has another host key than {self._settings.known_hosts} says: "
                "ask its owner whether it was changed, and until then send nothing there"
            ) from error
        except paramiko.AuthenticationException as error:
            # A line that is cut during the login is an AuthenticationException, too.
            if isinstance(error, paramiko.BadAuthenticationType) or str(error).startswith("Authentication failed."):
                raise ConfigError(
                    f"{server} refuses the login: check the user in [files] drop, password and key_file"
                ) from error
            raise ConnectionError(str(error)) from error
        except (paramiko.SSHException, paramiko.SFTPError, EOFError) as error:
            if not self._is_known():
                raise ConfigError(self._unknown()) from error
            raise ConnectionError(str(error) or type(error).__name__) from error

    def _is_known(self) -> bool:
        import paramiko

        return paramiko.HostKeys(str(self._settings.known_hosts)).lookup(self._name) is not None

    def _unknown(self) -> str:
        host, port = self._location.host, self._location.port
        return (
            f"[files] known_hosts: {self._settings.known_hosts} has no key of {self._name}; "
            f"append what `ssh-keyscan -p {port} {host}` says once its owner has confirmed the fingerprint"
        )

    @property
    def _name(self) -> str:
        """What known_hosts calls the server."""
        host, port = self._location.host, self._location.port
        return host if port == _PORT else f"[{host}]:{port}"
