"""`adaptor check`: everything that can be seen without connecting anywhere."""

from typing import Any

import click

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.cli.common import WRONG_CONFIGURATION, App, app_options, echo_json, echo_table
from adapter_sdk.errors import ConfigError
from adapter_sdk.family import Family
from adapter_sdk.gathering import gathering_faults
from adapter_sdk.handlers import HandlerSpec
from adapter_sdk.ordering import order_promise


@click.command()
@app_options
def check(app: App, as_json: bool) -> None:
    """Check settings, handlers, WSDL and folders; connect nowhere. Exit status 3 if there is a fault."""
    adaptor = app.adaptor
    family, faults = _look(app)
    if as_json:
        echo_json({**_report(adaptor, family), "warnings": family.warnings() if family else [], "faults": faults})
    else:
        _print(adaptor, family, faults)
    if faults:
        click.get_current_context().exit(WRONG_CONFIGURATION)


def _look(app: App) -> tuple[Family[Any] | None, list[str]]:
    """The family, if the settings allow one, and every fault."""
    try:
        settings = app.settings
    except ConfigError as error:
        return None, list(error.faults)
    faults: list[str] = []
    family: Family[Any] | None = None
    try:
        family = app.family
        faults += family.check()
    except ConfigError as error:
        faults += error.faults
    try:
        app.transport()
    except ConfigError as error:
        faults += [f"[broker] url: {fault}" for fault in error.faults]
    local = settings.ledger.url is None and family is not None and family.ledger() is None
    folder = settings.ledger_path(app.adaptor.name).parent
    if local and not folder.is_dir():
        faults.append(f"[ledger] path: the folder {folder} does not exist; make it, or correct the setting")
    faults += gathering_faults(app.adaptor, settings.runner.max_held)
    return family, faults


def _report(adaptor: type[Adaptor], family: Family[Any] | None) -> dict[str, Any]:
    return {
        "adaptor": adaptor.name,
        "promise": family.promise if family else None,
        "order": order_promise(adaptor),
        "gathers": gathering.described() if (gathering := adaptor._gathering) else None,
        "handlers": [
            {
                "event_type": spec.event_type,
                "method": spec.name,
                "replies": [kind.event_type for kind in spec.replies],
                "owed": [kind.event_type for kind in spec.owed],
                "answers": [answer.name for answer in spec.answers],
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
    if order := order_promise(adaptor):
        click.echo(f"order    {order}")
    if gathering := adaptor._gathering:
        click.echo(f"gathers  {gathering.described()}")
    click.echo()
    columns = ["EVENT TYPE", "HANDLER", "REPLIES"]
    rows = [[spec.event_type, spec.name, _replies(spec)] for spec in adaptor._handlers.values()]
    if family:  # without its settings nobody knows
        columns.append("IN DOUBT")
        for row, spec in zip(rows, adaptor._handlers.values(), strict=True):
            row.append(_in_doubt(spec) if family.leaves_doubt else "never")
    echo_table(columns, rows)
    click.echo()
    for warning in family.warnings() if family else []:
        click.echo(f"warning: {warning}", err=True)
    for fault in faults:
        click.echo(f"error: {fault}", err=True)
    click.echo("no faults found" if not faults else f"{len(faults)} fault(s)")


def _replies(spec: HandlerSpec) -> str:
    later = [f"{kind.event_type} (later)" for kind in spec.owed]
    return " | ".join([*(str(kind.event_type) for kind in spec.replies), *later]) or "-"


def _in_doubt(spec: HandlerSpec) -> str:
    if spec.verify:
        return f"asks {spec.verify} after {spec.settle:g} s"
    return "sends again" if spec.options.idempotent else "for a person"
