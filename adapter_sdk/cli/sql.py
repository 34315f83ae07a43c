"""`adaptor sql`: the ledger's table in a backend database."""

import click

from adapter_sdk.cli.common import App, app_options, echo_json
from adapter_sdk.errors import ConfigError


@click.group()
def sql() -> None:
    """The ledger inside a backend's own database."""


@sql.command()
@click.option("--print", "print_only", is_flag=True, help="Print the SQL for a DBA; connect nowhere.")
@app_options
def install(app: App, as_json: bool, print_only: bool) -> None:
    """Create the tables adaptor_ledger, adaptor_owed and adaptor_sequence where missing; bring old ones up to date."""
    from adapter_sdk.ledger.schema import create_statements, migration_statements
    from adapter_sdk.ledger.store import SqlLedger

    ledger = app.ledger if app.family.ledger() or app.settings.ledger.url else None
    if not isinstance(ledger, SqlLedger):
        raise ConfigError(f"{app.adaptor.name}: its ledger is a local file, made at the first run; nothing to install")
    database = ledger.database
    statements = list(map(database.spoken, [*create_statements(database.blob), *migration_statements(1)]))
    if not print_only:
        ledger.install()
    if as_json:
        echo_json({"installed": not print_only, "statements": statements})
    elif print_only:
        click.echo(";\n\n".join(statements) + ";")
    else:
        click.echo(f"the ledger is in {ledger.database.place}")
    app.family.close()
