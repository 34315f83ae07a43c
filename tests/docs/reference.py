"""The tables of docs/reference.md that are made from the code: `python -m tests.docs.reference` writes them anew."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import click
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

import adapter_sdk
from adapter_sdk.cli import main
from adapter_sdk.settings import Settings
from adaptors.files.location import Location
from adaptors.files.settings import FileSettings
from adaptors.soap import SoapSettings
from adaptors.sql import SqlSettings
from tests.docs.blocks import ROOT
from tests.docs.families import families, names

PAGE = ROOT / "docs" / "reference.md"
_KINDS: Mapping[type, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true, false",
    Path: "path",
    SecretStr: "secret",
}
_FAMILIES: Mapping[str, type[BaseModel]] = {"sql": SqlSettings, "files": FileSettings, "soap": SoapSettings}


def written() -> str:
    """The page with every generated part as the code has it now."""
    text = PAGE.read_text(encoding="utf-8")
    parts = {"settings": _settings(), "commands": _commands(), "names": names(adapter_sdk), "families": families()}
    for name, lines in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        assert after, f"the page has no place for {name}"
        made = "\n".join(lines).strip()
        text = f"{before}{begin}\n\n{made}\n\n{end}{after}"
    return text


def _settings() -> Iterator[str]:
    own = {name: field.annotation for name, field in Settings.model_fields.items()}
    sections = {name: kind for name, kind in own.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
    for name, model in {**sections, **_FAMILIES}.items():
        yield from (f"### [{name}]", "", _plain(model.__doc__), "", "| key | value | default | |", "|---|---|---|---|")
        for key, field in model.model_fields.items():
            description = (field.description or "").replace("|", "\\|")
            yield f"| `{key}` | {_kind(field.annotation)} | {_default(field)} | {description} |"
        yield ""


def _plain(docstring: str | None) -> str:
    """A docstring without its first words, which repeat the heading, each paragraph on one line."""
    text = re.sub(r"^`\[\w+\]`: ", "", " ".join((docstring or "").split()))
    return text[:1].upper() + text[1:]


def _kind(annotation: Any) -> str:
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if Location in arguments:
        return "path or URL"
    if isinstance(annotation, type) and not arguments:
        return _KINDS[annotation]
    if get_origin(annotation) is tuple:
        return "list of numbers" if arguments[0] in (int, float) else "list of texts"
    if all(isinstance(argument, str) for argument in arguments):
        return ", ".join(f'`"{argument}"`' for argument in arguments)
    if getattr(annotation, "__origin__", None) is Path or hasattr(annotation, "__metadata__"):
        return "path"
    return "table" if len(arguments) > 1 else _kind(arguments[0])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def _commands() -> Iterator[str]:
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        subcommands = command.commands if isinstance(command, click.Group) else {}
        for path, one in ({f"{name} {sub}": found for sub, found in subcommands.items()} or {name: command}).items():
            yield from _command(path, one)


def _command(path: str, command: click.Command) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    names = " ".join(argument.make_metavar(click.Context(command)) for argument in arguments)
    yield from (f"### adaptor {path} {names}".rstrip(), "", _plain(command.help).replace("\b ", ""), "")
    options = [option for option in command.params if isinstance(option, click.Option)]
    yield "Options: " + ", ".join(f"`{max(option.opts, key=len)}`" for option in options) + "."
    yield ""


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
