"""`adaptor format`: record formats, from what describes them elsewhere."""

import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource


@click.group()
def command() -> None:
    """Make record formats from what describes them elsewhere: COBOL copybooks."""


@command.command("from-copybook")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--encoding", default="cp037", show_default=True, help="Of the data; an EBCDIC code page, ascii, cp1252.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write here, not to standard output.")
@click.option("--force", is_flag=True, help="Overwrite the file of --out, if it has other content.")
@click.option("--record", help="Name of the record where there is no level 01; by default that of the file.")
@click.option(
    "--source-format",
    type=click.Choice(["fixed", "free"]),
    help="Of the copybook's lines: fixed is columns 7 to 72; by default as they look.",
)
@click.option(
    "--redefines",
    multiple=True,
    metavar="CHOICE",
    help="Which view of an area holds: AREA=VIEW, or by a field's value, AREA=FIELD:VALUE=VIEW,VALUE=VIEW.",
)
@click.option("--overpunch", type=click.Choice(["ebcdic", "ascii"]), help="How signs are punched over digits.")
@click.option(
    "--binary-size",
    type=click.Choice(["2-4-8", "1-2-4-8", "1--8"]),
    default="2-4-8",
    show_default=True,
    help="Bytes of COMP by digits: IBM, GnuCOBOL, Micro Focus.",
)
@click.option(
    "--native-order", type=click.Choice(["big", "little"]), help="Byte order of COMP-5; by default big with EBCDIC."
)
@click.option("--full-range", is_flag=True, help="COMP takes whatever its bytes hold, as with TRUNC(BIN).")
def from_copybook(
    file: Path, encoding: str, out: Path | None, force: bool, redefines: tuple[str, ...], **options: Any
) -> None:
    """Turn a COBOL copybook into models: FixedWidth records and groups, in Python. FILE may be -, standard input.

    Where REDEFINES gives several views of the same bytes, and --redefines does not say which holds, they are kept as
    bytes, with a class for each view. Exit status 1, with file and line, at anything that is not understood.
    """
    from adapter_sdk.cli.common import exit_status, read_input
    from adaptors.files.formats.copybook.converted import converted

    name = "copybook" if str(file) == "-" else file.name
    said = _said(click.get_current_context())
    with exit_status():
        done = converted(name, read_input(file), encoding, redefines, said, **options)
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    if out is None:
        click.echo(done.text, nl=False)
    else:
        _write(out, done.text.encode(), force)


def _write(out: Path, content: bytes, force: bool) -> None:
    try:
        if out.exists() and not force and out.read_bytes() != content:
            raise click.UsageError(f"{out} exists with other content; give --force to overwrite it")
        out.write_bytes(content)
    except OSError as error:
        raise click.UsageError(f"{out}: {error.strerror}") from error


def _said(context: click.Context) -> str:
    """The command as it would be typed again, without what says only where the result goes."""
    words = ["adaptor", "format", "from-copybook", context.params["file"].name]
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if isinstance(option, click.Option) and given and name not in ("out", "force"):
            value = context.params[name]
            for one in value if option.multiple else (value,):
                words += [option.opts[0]] if option.is_flag else [option.opts[0], str(one)]
    return shlex.join(words)
