"""Vendor: fetch a WSDL into a folder, or see whether what is there is still what its source has."""

import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from adapter_sdk.errors import ConfigError
from adaptors.soap.wsdl.closure import Fetched, fetch
from adaptors.soap.wsdl.document import Wsdl
from adaptors.soap.wsdl.download import Downloads
from adaptors.soap.wsdl.lock import NAME, Lock, differences, lock_of, read_lock, write


@dataclass(frozen=True, slots=True)
class Access:
    """How the servers are reached; see the options of `adaptor wsdl fetch`."""

    hosts: Sequence[str]
    timeout: float
    ca_file: Path | None
    client_cert: Path | None
    client_key: Path | None
    username: str | None
    password: str | None

    def downloads(self, start: str) -> Downloads:
        """What fetches from the host of a URL. Raises ConfigError if a file of certificates is none."""
        try:
            tls = ssl.create_default_context(cafile=self.ca_file)
            if self.client_cert is not None:
                tls.load_cert_chain(self.client_cert, self.client_key, str)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(file) for file in (self.ca_file, self.client_cert, self.client_key) if file)
            raise ConfigError(f"{files}: cannot be used for TLS, as PEM files without a password: {error}") from error
        credentials = f"{self.username}:{self.password}".encode()
        basic = f"Basic {base64.b64encode(credentials).decode()}" if self.username is not None else None
        return Downloads(start, tls, self.hosts, self.timeout, basic)


def vendor(url: str | None, folder: Path, access: Access, *, writes: bool, updates: bool) -> bool:
    """Fetch and write, or only compare. Says what it finds; whether there are differences that were not taken."""
    lock = read_lock(folder)
    if lock is None and (url is None or not writes):
        raise ConfigError(f"{folder / NAME}: is not there; give the URL of the WSDL to fetch it for the first time")
    start = url or (lock.url if lock else "")
    files = fetch(start, access.downloads(start), lock.names if lock else {})
    if lock is None:
        _take(start, folder, files, None)
        return False
    found = [f"{NAME}: is of {lock.url}, and not of {start}"] if lock.url != start else []
    found += differences(lock, folder, files)
    for sentence in found:
        click.echo(sentence)
    if not found:
        click.echo(f"unchanged: {len(files)} files of {lock.url}")
    elif updates:
        _take(start, folder, files, lock)
        return False
    elif writes:
        click.echo("nothing was written; give --update to take this over")
    return bool(found)


def _take(url: str, folder: Path, files: Sequence[Fetched], before: Lock | None) -> None:
    try:
        write(folder, lock_of(url, files), files, before)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to: {error}") from error
    for one in files:
        click.echo(f"wrote {folder / one.name}")
    # What cannot be used is better known now than when an adaptor starts.
    Wsdl(folder / files[0].name)
    click.echo(f'in adaptor.toml: [soap] wsdl = "{folder / files[0].name}"')
