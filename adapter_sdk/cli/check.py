"""`adaptor check`: everything that can be seen without connecting anywhere."""

from typing import Any

import click

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.cli.common import WRONG_CONFIGURATION, App, app_options, echo_json, echo_table
from adapter_sdk.errors import ConfigError
from adapter_sdk.family import Family
from adapter_sdk.handlers import HandlerSpec


@click.command()
@app_options
def check(app: App, as_json: bool) -> None:
    """Check settings, handlers, WSDL and folders; connect nowhere. Exit status 3 if there is a fault."""
    adaptor = app.adaptor
    family: Family[Any] | None = None
    try:
        family = app.family
        faults = family.check()
    except ConfigError as error:
        faults = list(error.faults)
    if as_json:
        echo_json({**_report(adaptor, family), "faults": faults})
    else:
        _print(adaptor, family, faults)
    if faults:
        click.get_current_context().exit(WRONG_CONFIGURATION)


def _report(adaptor: type[Adaptor], family: Family[Any] | None) -> dict[str, Any]:
    return {
        "adaptor": adaptor.name,
        "promise": family.promise if family else None,
        "handlers": [
            {
                "event_type": spec.event_type,
                "method": spec.name,
                "replies": [kind.event_type for kind in spec.replies],
                "where": repr(spec.options.where) if spec.options.where else None,
                "verify": spec.verify,
                "settle": spec.settle if spec.verify else None,
                "idempotent": spec.options.idempotent,
            }
            for spec in adaptor._handlers.values()
        ],
    }


def _print(adaptor: type[Adaptor], family: Family[Any] | None, faults: list[str]) -> None:
    click.echo(f"adaptor  {adaptor.name}")
    if family:
        click.echo(f"promise  {family.promise}")
    click.echo()
    rows = [
        (
            spec.event_type,
            spec.name,
            " | ".join(str(kind.event_type) for kind in spec.replies) or "-",
            _in_doubt(spec) if family is None or family.leaves_doubt else "never",
        )
        for spec in adaptor._handlers.values()
    ]
    echo_table(("EVENT TYPE", "HANDLER", "REPLIES", "IN DOUBT"), rows)
    click.echo()
    for fault in faults:
        click.echo(f"error: {fault}", err=True)
    click.echo("no faults found" if not faults else f"{len(faults)} fault(s)")


def _in_doubt(spec: HandlerSpec) -> str:
    if spec.verify:
        return f"asks {spec.verify} after {spec.settle:g} s"
    return "sends again" if spec.options.idempotent else "for a person"
