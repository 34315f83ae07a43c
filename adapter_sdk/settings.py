"""Settings from `adaptor.toml`, overridden by environment variables, with every fault reported at once.

One section per concern, one level deep. `ADAPTOR_<SECTION>_<KEY>` overrides `key` in `[section]`, and a name that no
section knows is a fault, in the file as in the environment. `${env:NAME}` and `${file:/path}` inside a value of the
file stand for what that variable or file holds, so that secrets need not stand in it. Relative paths are taken from
the folder of the file.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo

from adapter_sdk.adaptor import Adaptor
from adapter_sdk.crashpoints import VARIABLE as CRASH_POINT
from adapter_sdk.errors import ConfigError
from adapter_sdk.retry import RetryPolicy

PREFIX = "ADAPTOR_"
_RESERVED = frozenset({"ADAPTOR_CONFIG", CRASH_POINT})
_REFERENCE = re.compile(r"\$\{(env|file):([^}]+)\}")


def _resolve(path: Path, info: ValidationInfo) -> Path:
    base = info.context.get("folder") if info.context else None
    return (base or Path()) / path.expanduser()


ConfigPath = Annotated[Path, AfterValidator(_resolve)]
"""A path in a settings model: relative ones are taken from the folder of `adaptor.toml`."""


class Section(BaseModel):
    """Base of every settings section: frozen, and unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class AdaptorSettings(Section):
    """`[adaptor]`: which adaptor this file is for, as `package.module:ClassName`; commands then need not name it."""

    app: str | None = None


class BrokerSettings(Section):
    """`[broker]`: where the events are. The URL may hold a password and is printed without it."""

    url: SecretStr = Field(
        default=SecretStr("amqp://guest:guest@localhost:5672/"), description="amqp://, amqps:// or memory://"
    )
    exchange: str = Field(default="events", description="the topic exchange of all events")
    prefetch: int = Field(default=200, ge=1, le=65_535, description="unsettled deliveries at a time")
    queue_type: Literal["quorum", "classic"] = Field(default="quorum", description="of the adaptor's queues")
    delivery_limit: int = Field(default=1000, ge=1, description="deliveries before the broker itself gives up")
    declare: bool = Field(default=True, description="create what is missing; false: only check that it is there")
    heartbeat: int = Field(
        default=6, ge=1, le=600, description="seconds; a broker that is silent is given up after at most 2 * (this + 5)"
    )


class LedgerSettings(Section):
    """`[ledger]`: for families whose backend cannot hold one. A local file, or a database that processes share."""

    path: ConfigPath | None = Field(default=None, description="SQLite file on a local disk")
    url: SecretStr | None = Field(default=None, description="PostgreSQL instead, shared by several processes")
    retention_days: float = Field(
        default=30.0, gt=0, description="how long an ended event is remembered; a duplicate that comes later is new"
    )


class LimitSettings(Section):
    """`[limits]`: what an event may be."""

    max_bytes: int = Field(default=262_144, ge=1, description="bytes of a message")
    max_depth: int = Field(default=32, ge=1, le=100, description="levels of nested JSON")


class RunnerSettings(Section):
    """`[runner]`: how much happens at a time."""

    concurrency: int = Field(default=4, ge=1, le=256, description="worker threads")
    batch_size: int = Field(default=250, ge=1, le=10_000, description="events of one batch at most")
    max_held: int = Field(
        default=10_000, ge=1, description="events held behind others, or gathered; with so many, consuming pauses"
    )
    drain_timeout: float = Field(default=30.0, gt=0, description="seconds given to running handlers when stopping")
    answers_every: float = Field(default=5.0, gt=0, description="seconds between two looks for answers that come later")
    unmatched_after: float = Field(
        default=60.0, ge=0, description="seconds after which an answer that no event waits for is set aside"
    )
    replies: Literal["required", "optional"] = Field(
        default="required", description="optional: a reply that no queue wants is dropped with a log line"
    )


class RetrySettings(Section):
    """`[retry]`: the default retry policy of the adaptor's handlers; seconds."""

    immediate: int = Field(default=2, description="more tries at once, within one attempt")
    pause: float = Field(default=0.2, description="seconds between them")
    delays: tuple[float, ...] = Field(
        default=(5, 30, 120, 600, 3600), description="seconds that the broker holds the event between attempts"
    )

    def policy(self) -> RetryPolicy:
        """The policy that these settings describe. Raises ConfigError."""
        return RetryPolicy(self.immediate, self.pause, self.delays)


class LogSettings(Section):
    """`[log]`: `auto` is readable on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Settings(Section):
    """All settings of one adaptor process. `family` is the section of the adaptor's family, by that family's model."""

    adaptor: AdaptorSettings = AdaptorSettings()
    broker: BrokerSettings = BrokerSettings()
    ledger: LedgerSettings = LedgerSettings()
    limits: LimitSettings = LimitSettings()
    runner: RunnerSettings = RunnerSettings()
    retry: RetrySettings = RetrySettings()
    log: LogSettings = LogSettings()
    family: Any = None
    folder: Path = Path()

    def ledger_path(self, name: str) -> Path:
        """Where the local ledger of the adaptor `name` is: as set, or `<name>.ledger` beside `adaptor.toml`."""
        return self.ledger.path or self.folder / f"{name}.ledger"


def load_settings(
    adaptor: type[Adaptor] | None, path: Path | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read file and environment. Without `path`, `adaptor.toml` here is read if it is there.

    Without an adaptor the sections of families are passed over, because nobody can say what belongs in them. Raises
    ConfigError with one sentence per fault: where it stands, what is wrong, and for a wrong name the near ones.
    """
    environ = os.environ if environ is None else environ
    faults: list[str] = []
    file, values = _read_file(path, faults)
    folder = file.parent if file else Path()
    sections = dict(_SECTIONS)
    if adaptor is not None and adaptor._settings_section and adaptor._settings_model:
        sections[adaptor._settings_section] = adaptor._settings_model
    over = _from_environment(environ, sections, faults, adaptor)
    values = _overlay(values, over)
    read: dict[str, Any] = {}
    for name in sorted(set(values) | set(sections)):
        if name not in sections:
            if adaptor is None:
                continue
            faults.append(f"{file}: unknown section [{name}]{_near(name, sections)}")
            continue
        section, broken = _expand_all(values.get(name, {}), environ, folder, f"{file or 'settings'}: [{name}]", faults)
        try:
            read[name] = sections[name].model_validate(section, context={"folder": folder})
            if isinstance(read[name], RetrySettings):
                read[name].policy()
        except ConfigError as error:
            faults += [f"{file or 'environment'}: [{name}] {fault}" for fault in error.faults]
        except ValidationError as error:
            places = {key: f"environment: {PREFIX}{name.upper()}_{key.upper()}" for key in over.get(name, {})}
            faults += _explain(error, name, sections[name], f"{file or 'settings'}: [{name}]", broken, places)
    if faults:
        raise ConfigError(*faults)
    if adaptor is not None and adaptor._settings_section in read:
        read["family"] = read.pop(adaptor._settings_section)
    return Settings(**read, folder=folder)


def app_of(path: Path | None = None, environ: Mapping[str, str] | None = None) -> str | None:
    """Which adaptor the settings are for, judging nothing else: `load_settings` for that adaptor tells every fault."""
    environ = os.environ if environ is None else environ
    faults: list[str] = []
    file, values = _read_file(path, faults)
    if faults:
        raise ConfigError(*faults)
    section = values.get("adaptor")
    named = section.get("app") if isinstance(section, dict) else None
    app = environ.get(f"{PREFIX}ADAPTOR_APP") or _expand(named, environ, file.parent if file else Path(), f"{file}")
    return app if isinstance(app, str) else None


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "adaptor": AdaptorSettings,
    "broker": BrokerSettings,
    "ledger": LedgerSettings,
    "limits": LimitSettings,
    "runner": RunnerSettings,
    "retry": RetrySettings,
    "log": LogSettings,
}


def _read_file(path: Path | None, faults: list[str]) -> tuple[Path | None, dict[str, Any]]:
    file = path or Path("adaptor.toml")
    if path is None and not file.exists():
        return None, {}
    try:
        return file, tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        faults.append(f"{file}: cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"{file}: is not TOML: {error}")
    return file, {}


def _from_environment(
    environ: Mapping[str, str],
    sections: Mapping[str, type[BaseModel]],
    faults: list[str],
    adaptor: type[Adaptor] | None,
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in _RESERVED:
            continue
        section, _, key = variable[len(PREFIX) :].lower().partition("_")
        if section not in sections and adaptor is None:
            continue
        if section not in sections or key not in sections[section].model_fields:
            known = [f"{PREFIX}{name}_{field}".upper() for name in sections for field in sections[name].model_fields]
            faults.append(f"environment: unknown setting {variable}{_near(variable, known)}")
            continue
        found.setdefault(section, {})[key] = _structure(text)
    return found


def _structure(text: str) -> Any:
    """Lists and tables are given as JSON in a variable; everything else is text for the model to read."""
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _overlay(values: Mapping[str, Any], over: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    merged = dict(values)
    for section, keys in over.items():
        below = merged.get(section)
        merged[section] = {**below, **keys} if isinstance(below, dict) else dict(keys)
    return merged


def _expand_all(
    section: Any, environ: Mapping[str, str], folder: Path, where: str, faults: list[str]
) -> tuple[Any, set[str]]:
    """A section with its references replaced, without the keys whose reference leads nowhere: those are faults."""
    if not isinstance(section, dict):
        return section, set()
    expanded: dict[str, Any] = {}
    for key, value in section.items():
        try:
            expanded[key] = _expand(value, environ, folder, f"{where} {key}")
        except ConfigError as error:
            faults += error.faults
    return expanded, set(section) - set(expanded)


def _expand(value: Any, environ: Mapping[str, str], folder: Path, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, environ, folder, f"{where} {key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environ, folder, where) for item in value]
    if not isinstance(value, str):
        return value

    def substitute(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "env":
            if name not in environ:
                raise ConfigError(f"{where}: refers to the environment variable {name}, which is not set")
            return environ[name]
        try:
            return (folder / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "is not UTF-8 text"
            raise ConfigError(f"{where}: refers to the file {name}: {why}") from error

    return _REFERENCE.sub(substitute, value)


def _explain(
    error: ValidationError,
    name: str,
    model: type[BaseModel],
    section: str,
    broken: set[str],
    places: Mapping[str, str],
) -> list[str]:
    """One sentence per fault, leaving out the keys that have one already; `places` of keys not set in the file."""
    faults = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        if fault["loc"] and fault["loc"][0] in broken:
            continue
        key = ".".join(str(part) for part in fault["loc"])
        place = places.get(str(fault["loc"][0]) if fault["loc"] else "", f"{section} {key}".rstrip())
        variable = f"{PREFIX}{name}_{key}".upper()
        if fault["type"] == "extra_forbidden":
            faults.append(f"{place}: unknown setting{_near(key, model.model_fields)}")
        elif fault["type"] == "missing":
            faults.append(f"{place}: is required; set it there or in {variable}")
        else:
            faults.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}")
    return faults


def _near(name: str, known: Any) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(known))}"
