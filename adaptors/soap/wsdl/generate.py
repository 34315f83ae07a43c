"""Generate: from a WSDL and the names of operations to the text of a module."""

import os
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from adapter_sdk.errors import ConfigError
from adaptors.soap.wsdl.document import PortOf, Wsdl
from adaptors.soap.wsdl.models import Models
from adaptors.soap.wsdl.names import ClassNames, identifier
from adaptors.soap.wsdl.operations import Operations
from adaptors.soap.wsdl.source import FIELD_NAMES, METHOD_NAMES, module


def generate(wsdl: Wsdl, operations: Sequence[str], service: str | None, port: str | None) -> str:
    """The module for these operations; for all of the port if there are none. Raises ConfigError."""
    chosen = _choose(wsdl, operations, service, port)
    wanted = list(dict.fromkeys(operations)) or sorted(chosen.binding.all())
    names = _class_names(wsdl)
    protocol = names.of("service", chosen.service if chosen.service.endswith("Service") else f"{chosen.service}Service")
    models = Models(wsdl.types, wsdl.schemas, names, FIELD_NAMES)
    made = Operations(wsdl, chosen, models)
    method_names = _method_names(chosen)
    methods = [made.method(name, method_names[name]) for name in wanted]
    classes = models.finished()
    return module(_doc(wsdl, operations, service, port), models.aliases, classes, methods, protocol, names)


def _method_names(port: PortOf) -> dict[str, str]:
    """A Python name for each operation; those that have one already keep it."""
    found: dict[str, str] = {}
    taken = set(METHOD_NAMES)
    for name in sorted(port.binding.all(), key=lambda name: (identifier(name, METHOD_NAMES) != name, name)):
        found[name] = identifier(name, taken)
        taken.add(found[name])
    return found


def _class_names(wsdl: Wsdl) -> ClassNames:
    fields = {"value", "items", "any_element", "any_elements", "any_attributes", "soap_headers", *wsdl.field_names}
    operations = {name for port in wsdl.ports() if port.is_soap for name in port.binding.all()}
    return ClassNames({*METHOD_NAMES, *(identifier(name) for name in {*fields, *operations})})


def _doc(wsdl: Wsdl, operations: Sequence[str], service: str | None, port: str | None) -> tuple[str, str]:
    """What the module is, and the command that makes it anew where the WSDL stands."""
    name = wsdl.path.name
    folder = wsdl.folder and os.path.relpath(wsdl.folder, wsdl.path.parent)
    options = [("--folder", folder), ("--service", service), ("--port", port)]
    options += [("--operation", operation) for operation in operations]
    words = [word for option, value in options if value for word in (option, shlex.quote(value))]
    command = " ".join(["adaptor wsdl models", shlex.quote(name), *words, *([] if operations else ["--all"])])
    again = f"When the WSDL changes, make it anew: {command}" if len(operations) <= 50 else ""
    return f"The typed service of {name}, made by `adaptor wsdl models`.", again


def _choose(wsdl: Wsdl, operations: Sequence[str], service: str | None, port: str | None) -> PortOf:
    """The first port that fits and has all operations. Ports of one portType are alike, whatever they speak."""
    soap = [one for one in wsdl.ports() if one.is_soap]
    if not soap:
        raise ConfigError(f"{wsdl.path}: has no port that speaks SOAP over HTTP, and an adaptor needs one")
    fitting = [one for one in soap if service in (None, one.service) and port in (None, one.name)]
    having = [one for one in fitting if set(operations) <= set(one.binding.all())]
    if len({one.port_type for one in having}) == 1:
        return having[0]
    choices = "; ".join(f"--service {one.service} --port {one.name}" for one in having or fitting or soap)
    if having:
        raise ConfigError(f"{wsdl.path}: several ports have these operations; choose one of: {choices}")
    if not fitting:
        raise ConfigError(f"{wsdl.path}: no such port; there is: {choices}")
    raise ConfigError(*_unknown(wsdl.path, operations, fitting, choices))


def _unknown(path: Path, operations: Sequence[str], ports: Sequence[PortOf], choices: str) -> list[str]:
    there = {name for one in ports for name in one.binding.all()}
    faults = []
    for name in operations:
        if name not in there:
            near = get_close_matches(name, there, n=3) or sorted(there)[:10]
            faults.append(f"{path}: no operation {name!r}; there is {', '.join(near) or 'none'}")
    return faults or [f"{path}: no single port has all of these operations; make one module for each of: {choices}"]
