"""`adaptor wsdl`: the commands. What they need is imported when they are run, so that `adaptor --help` stays quick."""

from pathlib import Path

import click

from adapter_sdk.cli.common import FAILED, echo_json, exit_status

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_PATH = click.argument("path", type=click.Path(path_type=Path))
_FOLDER = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The folder that holds all schemas, as `wsdl_folder` in adaptor.toml; default: the folder of the WSDL.",
)


@click.group()
def wsdl() -> None:
    """Fetch a WSDL, describe it, make typed models of it."""


@wsdl.command()
@click.argument("url", required=False)
@click.option(
    "--into",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("wsdl"),
    show_default=True,
    help="The folder for the WSDL, its schemas and wsdl.lock.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file is not as wsdl.lock has it.")
@click.option("--update", is_flag=True, help="Take what has changed at the source.")
@click.option("--host", "hosts", multiple=True, metavar="HOST[:PORT]", help="Another host that may be fetched from.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for one document.",
)
@click.option("--ca-file", type=_FILE, help="PEM file of the CAs to trust instead of the system's.")
@click.option("--client-cert", type=_FILE, help="Mutual TLS: PEM file of the certificate.")
@click.option("--client-key", type=_FILE, help="Its key, where that is in another file.")
@click.option("--username", help="HTTP basic authentication, on the host of URL alone; the password is asked for.")
@click.option("--password", envvar="ADAPTOR_WSDL_PASSWORD", help="Its password; better in ADAPTOR_WSDL_PASSWORD.")
@exit_status()
def fetch(
    url: str | None,
    folder: Path,
    check: bool,
    update: bool,
    hosts: tuple[str, ...],
    timeout: float,
    ca_file: Path | None,
    client_cert: Path | None,
    client_key: Path | None,
    username: str | None,
    password: str | None,
) -> None:
    """Fetch a WSDL with all schemas that it names into a folder, so that an adaptor starts without the network.

    Without URL the one in wsdl.lock is fetched again. What has changed since is named, and taken only with --update.
    """
    from adaptors.soap.wsdl.vendor import Access, vendor

    if check and update:
        raise click.UsageError("--check writes nothing; give --update alone to take the changes")
    if username is not None and password is None:
        password = click.prompt("Password", hide_input=True, err=True)
    access = Access(hosts, timeout, ca_file, client_cert, client_key, username, password)
    changed = vendor(url, folder, access, writes=not check, updates=update)
    if changed:
        click.get_current_context().exit(FAILED)


@wsdl.command()
@_PATH
@_FOLDER
@click.option("--operation", "operations", multiple=True, metavar="NAME", help="Only this one; may be given again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@exit_status()
def describe(path: Path, folder: Path | None, operations: tuple[str, ...], as_json: bool) -> None:
    """Print services, ports, operations with their messages and faults, and the types in them.

    PATH is a WSDL on disk, beside the schemas that it names. Nothing is fetched.
    """
    from dataclasses import asdict

    from adaptors.soap.wsdl.describe import describe as describe_wsdl
    from adaptors.soap.wsdl.document import Wsdl
    from adaptors.soap.wsdl.show import text_of

    description = describe_wsdl(Wsdl(path, folder), operations)
    if as_json:
        echo_json(asdict(description))
    else:
        click.echo(text_of(description))


@wsdl.command()
@_PATH
@_FOLDER
@click.argument("more", nargs=-1, metavar="")
@click.option("--operation", "operations", multiple=True, metavar="NAME...", help="To make models for; several may be.")
@click.option("--all", "every", is_flag=True, help="Make models for all operations of the port.")
@click.option("--service", metavar="NAME", help="wsdl:service, needed where ports of several portTypes have them.")
@click.option("--port", metavar="NAME", help="wsdl:port, needed where ports of several portTypes have them.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The module to write; default: standard output."
)
@exit_status()
def models(
    path: Path,
    folder: Path | None,
    more: tuple[str, ...],
    operations: tuple[str, ...],
    every: bool,
    service: str | None,
    port: str | None,
    out: Path | None,
) -> None:
    """Write the typed Python of operations: models, faults, and a service Protocol.

    A handler that names the Protocol as the annotation of its handle is given models and gives them; mypy checks it.
    """
    from adaptors.soap.wsdl.document import Wsdl
    from adaptors.soap.wsdl.generate import generate

    wanted = (*operations, *more)
    if every == bool(wanted):
        raise click.UsageError(
            "give --operation NAME, once for each, or --all; `adaptor wsdl describe` shows the names"
        )
    text = generate(Wsdl(path, folder), wanted, service, port)
    if out is None:
        click.echo(text, nl=False)
    else:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"--out {out}: {error.strerror}") from error
        click.echo(f"wrote {out}")
