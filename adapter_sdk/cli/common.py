"""What the commands share: finding the adaptor, reading its settings, exit status, output."""

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, wraps
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.errors import AdaptorError, BackendUnavailable, BrokerError, ConfigError, LedgerError
from adapter_sdk.family import Family
from adapter_sdk.ledger.base import Ledger
from adapter_sdk.settings import Settings, app_of, load_settings
from adapter_sdk.transport.base import Transport

P = ParamSpec("P")
R = TypeVar("R")

FAILED, WRONG_CONFIGURATION, UNREACHABLE = 1, 3, 4


@dataclass
class App:
    """An adaptor with its settings, as a command names it. Everything is made when it is first asked for."""

    name: str | None
    config: Path | None
    broker: str | None

    @cached_property
    def adaptor(self) -> type[Adaptor]:
        """The adaptor class. Raises ConfigError if it cannot be found."""
        name = self.name or app_of(self.config) or load_settings(None, self.config).adaptor.app
        if not name:
            raise ConfigError(
                "which adaptor? Give package.module:ClassName, or set it in adaptor.toml: "
                '[adaptor] app = "package.module:ClassName"'
            )
        return load_adaptor(name)

    @cached_property
    def settings(self) -> Settings:
        """Settings of this adaptor. Raises ConfigError with every fault."""
        return self._with_broker(load_settings(self.adaptor, self.config))

    @cached_property
    def broker_settings(self) -> Settings:
        """Settings for a command that needs no adaptor."""
        return self._with_broker(load_settings(None, self.config))

    @cached_property
    def family(self) -> Family[Any]:
        """The family object, bound to an instance of the adaptor."""
        family = self.adaptor._family(self.settings.family)
        family.bind(self.adaptor())
        return family

    @cached_property
    def ledger(self) -> Ledger:
        """The adaptor's ledger, not yet open. Raises LedgerError if it is a local file that does not exist yet."""
        from adapter_sdk.runner import ledger_of

        path = self.settings.ledger_path(self.adaptor.name)
        if self.family.ledger() is None and self.settings.ledger.url is None and not path.exists():
            raise LedgerError(f"there is no ledger at {path} yet; the adaptor makes it when it first runs")
        return ledger_of(self.adaptor, self.family, self.settings)

    def transport(self, settings: Settings | None = None) -> Transport:
        """A transport to the broker of the settings, not yet open."""
        from adapter_sdk.transport.connect import transport_for

        broker = (settings or self.settings).broker
        return transport_for(broker.url.get_secret_value(), heartbeat=broker.heartbeat)

    def reachable_transport(self, settings: Settings | None = None) -> Transport:
        """As `transport`, for a command that talks to another process: memory:// has no other process."""
        if (settings or self.settings).broker.url.get_secret_value().startswith("memory:"):
            raise ConfigError("memory:// lives inside one process, and this command is another; use a RabbitMQ URL")
        return self.transport(settings)

    def _with_broker(self, settings: Settings) -> Settings:
        if self.broker is None:
            return settings
        broker = settings.broker.model_validate({**settings.broker.model_dump(), "url": self.broker})
        return settings.model_copy(update={"broker": broker})


def app_options(command: Callable[P, R]) -> Callable[P, R]:
    """APP, --config, --broker and --json, in front of a command that takes `app: App` and `as_json: bool`."""
    return click.argument("app_name", metavar="[APP]", required=False)(_with_app(command))


def app_options_with_ids(command: Callable[P, R]) -> Callable[P, R]:
    """As `app_options`, with APP as --app, for commands whose arguments are event ids."""
    return click.option("--app", "app_name", metavar="APP", help="The adaptor class.")(_with_app(command))


def _with_app(command: Callable[P, R]) -> Callable[P, R]:
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @click.option("--broker", metavar="URL", help="Broker URL instead of the one in the settings.")
    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="ADAPTOR_CONFIG",
        help="Settings file; without it, adaptor.toml here.",
    )
    @wraps(command)
    def with_app(*args: Any, app_name: str | None, config: Path | None, broker: str | None, **kwargs: Any) -> R:
        with exit_status():
            return command(*args, app=App(app_name, config, broker), **kwargs)  # type: ignore[arg-type]  # from click

    return with_app  # type: ignore[return-value]  # the options replace App in the signature


@contextmanager
def exit_status() -> Iterator[None]:
    """Turn the errors that a user can mend into sentences on standard error and a documented exit status."""
    try:
        yield
    except ConfigError as error:
        fail(WRONG_CONFIGURATION, *error.faults)
    except (BrokerError, LedgerError, BackendUnavailable) as error:
        fail(UNREACHABLE, str(error))
    except AdaptorError as error:
        fail(FAILED, str(error))


def fail(status: int, *sentences: str) -> NoReturn:
    """Say what is wrong on standard error, one sentence a line, and exit."""
    for sentence in sentences:
        click.echo(f"error: {sentence}", err=True)
    sys.exit(status)


def read_input(file: Path) -> bytes:
    """The bytes of a file that an argument names; - is standard input. Raises UsageError if it cannot be read."""
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from error


def parsed_json(name: str, text: str | bytes) -> object:
    """The value of JSON that an argument gives. Raises UsageError, naming the argument, if it is none."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{name} is not JSON: {error}") from error
    return value


def load_adaptor(name: str) -> type[Adaptor]:
    """The class behind `package.module:ClassName`. Raises ConfigError that says which part is wrong."""
    module_name, _, class_name = name.partition(":")
    if not class_name:
        raise ConfigError(f"{name!r} names no class; write package.module:ClassName")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        own = error.name is not None and module_name.startswith(error.name)
        what = f"the module {module_name}" if own else f"{error.name}, which it imports,"
        raise ConfigError(f"{name}: {what} is not found; looked in {Path.cwd()} and the installed packages") from error
    except ConfigError:
        raise
    except Exception as error:  # whatever a module does when it is imported
        raise ConfigError(f"{name}: importing {module_name} failed: {_where(error)}") from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Adaptor)):
        classes = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Adaptor) and value.__module__ == module_name
        ]
        there = ", ".join(classes) or "none"
        raise ConfigError(f"{name}: {module_name} has no adaptor class {class_name}; it has {there}")
    if not found._handlers:
        raise ConfigError(f"{name}: the class has no handler; mark a method with @handles")
    return found


def _where(error: Exception) -> str:
    """An error in one line, with the place in the file where it happened."""
    if isinstance(error, SyntaxError):
        return f"{error.msg} ({error.filename}:{error.lineno})"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"


def echo_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def echo_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under a header, in columns as wide as they need to be."""
    texts = [[_one_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(header))]
    for row in texts:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _one_line(cell: object) -> str:
    return "".join(character if character.isprintable() else " " for character in str(cell))


def show_time(seconds: float) -> str:
    """A time of the ledger, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
