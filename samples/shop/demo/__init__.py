"""`adaptor demo`: the shop's story, from events to what three legacy systems made of them."""

from pathlib import Path

import click


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where files, databases and ledgers are left for a look; emptied first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(folder: Path, as_json: bool) -> None:
    """Run three legacy systems and their adaptors, send them orders, and show what happened.

    On the embedded broker, or on RabbitMQ when ADAPTOR_BROKER_URL is set. Exit status 1 if an order was lost or done
    twice, 3 or 4 if the demo could not be run.
    """
    from adapter_sdk.cli.common import exit_status
    from samples.shop.demo.play import play
    from samples.shop.demo.report import as_document, show

    with exit_status():
        result = play(folder.absolute(), quiet=as_json)
    if as_json:
        click.echo(as_document(result))
    else:
        show(result)
    if result.lost or result.twice:
        click.get_current_context().exit(1)
