"""`adaptor wsdl`: the commands. What they need is imported when they are run, so that `adaptor --help` stays quick."""

import sys
from pathlib import Path

import click

from adapter_sdk.cli.common import echo_json, exit_status

_PATH = click.argument("path", type=click.Path(path_type=Path))


@click.group()
def wsdl() -> None:
    """Fetch a WSDL, describe it, make typed models of it."""


@wsdl.command()
@_PATH
@click.option("--operation", "operations", multiple=True, metavar="NAME", help="Only this one; may be given again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@exit_status()
def describe(path: Path, operations: tuple[str, ...], as_json: bool) -> None:
    """Print services, ports, operations with their messages and faults, and the types in them.

    PATH is a WSDL on disk, beside the schemas that it names. Nothing is fetched.
    """
    from dataclasses import asdict

    from adaptors.soap.wsdl.describe import describe as describe_wsdl
    from adaptors.soap.wsdl.document import Wsdl
    from adaptors.soap.wsdl.show import text_of

    description = describe_wsdl(Wsdl(path), operations)
    if as_json:
        echo_json(asdict(description))
    else:
        click.echo(text_of(description))


@wsdl.command()
@_PATH
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
    text = generate(Wsdl(path), wanted, service, port)
    if out is None:
        sys.stdout.write(text)
        return
    out.write_text(text, encoding="utf-8")
    click.echo(f"wrote {out}: from {out.stem} import FAULTS and the models; name the Protocol in your handlers")
