"""The `adaptor` command: its subcommands are imported when they are used, so that `--help` stays quick."""

from importlib import import_module
from importlib.metadata import entry_points, version

import click

_COMMANDS = {
    "run": ("adapter_sdk.cli.run:run", "Run an adaptor until it is told to stop."),
    "check": ("adapter_sdk.cli.check:check", "Check settings, handlers, WSDL and folders; connect nowhere."),
    "doctor": ("adapter_sdk.cli.doctor:doctor", "Connect to broker, ledger and backend; say what fails."),
    "publish": ("adapter_sdk.cli.publish:publish", "Publish events, from files or from arguments."),
    "dead": ("adapter_sdk.cli.dead:dead", "List, show, replay and discard dead letters."),
    "doubt": ("adapter_sdk.cli.doubt:doubt", "List, show and resolve events in doubt."),
    "owed": ("adapter_sdk.cli.owed:owed", "List the replies that wait for an answer of the legacy system."),
    "topology": ("adapter_sdk.cli.topology:topology", "Show or create what an adaptor needs on the broker."),
    "sql": ("adapter_sdk.cli.sql:sql", "Install the ledger's table in a backend database."),
}


class _LazyGroup(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return [*_COMMANDS, *sorted(entry.name for entry in entry_points(group="adaptor.commands"))]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in _COMMANDS:
            module, _, attribute = _COMMANDS[name][0].partition(":")
            command = getattr(import_module(module), attribute)
        else:
            command = self._plugin(name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, help_text) for name, (_, help_text) in _COMMANDS.items()]
        rows += [(name, self._plugin_help(context, name)) for name in self.list_commands(context)[len(rows) :]]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _plugin_help(self, context: click.Context, name: str) -> str:
        try:
            command = self.get_command(context, name)
        except click.ClickException as error:  # a broken plugin must not take the help away
            return f"({error.message})"
        return command.get_short_help_str(90) if command else "(is not a command)"

    def _plugin(self, name: str) -> object:
        found = entry_points(group="adaptor.commands", name=name)
        if not found:
            return None
        entry = next(iter(found))
        try:
            return entry.load()
        except Exception as error:  # whatever a module does when it is imported
            raise click.ClickException(f"{entry.value} cannot be loaded: {type(error).__name__}: {error}") from error


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("legacy-event-adaptor-toolkit"))
def main() -> None:
    """Event adaptors in front of legacy systems.

    APP is an adaptor class as package.module:ClassName; it may stand in adaptor.toml instead ([adaptor] app).

    \b
    Exit status: 0 done, 1 the command found or did not do something, 2 wrong usage, 3 wrong configuration,
    4 broker, ledger or backend cannot be reached.
    """
