"""Source: the module that `adaptor wsdl models` writes, formatted as `ruff format` would at 120 columns."""

import re
from collections.abc import Mapping, Sequence

from adaptors.soap.model import SoapModel
from adaptors.soap.wsdl.models import Alias, FieldOf, Model
from adaptors.soap.wsdl.names import ClassNames
from adaptors.soap.wsdl.operations import Fault, Method
from adaptors.soap.wsdl.text import bracketed, call, docstring, literal, text_line

# What the module may import, by where it comes from, in the order of isort. Only what it uses is imported.
_IMPORTS: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "collections.abc": ("Mapping", "Sequence"),
        "decimal": ("Decimal",),
        "typing": ("Annotated", "Any", "Literal", "Protocol", "TypeAlias"),
    },
    {
        "adaptors.soap": ("DeclaredFault", "SoapModel", "declared_faults", "soap_operation", "typed_service"),
        "pydantic": ("Field",),
    },
)
_IMPORTED = {"annotations", "dt", *(name for group in _IMPORTS for names in group.values() for name in names)}

# The names are those of the WSDL, and who is first-party depends on the project.
_NOQA = "# ruff: noqa: A002, E741, I001, N801, N802, N803, N815, N818, RUF100"

METHOD_NAMES = frozenset({*_IMPORTED, "FAULTS", "bool", "bytes", "float", "int", "str", "tuple"})
"""Names that no method of the service may have: annotations beside it need them."""

FIELD_NAMES = METHOD_NAMES | frozenset({*dir(SoapModel), "self"})
"""Names that no field or parameter may have: annotations beside it, pydantic and methods need them."""


def module(
    doc: tuple[str, str],
    aliases: Mapping[str, Alias],
    models: Sequence[Model],
    methods: Sequence[Method],
    service: str,
    names: ClassNames,
) -> str:
    """The text of the module. `doc` is its docstring's summary and the rest of it."""
    faults = {fault.element: fault for method in methods for fault in method.faults}
    classes = {name: names.of(("fault", name), f"{name.rpartition('}')[2]}Error") for name in faults}
    blocks = ["\n".join(_alias(alias) for alias in aliases.values())] if aliases else []
    blocks += [_model(model) for model in models]
    blocks += [_fault(classes[name], fault) for name, fault in faults.items()]
    blocks += [bracketed("FAULTS = declared_faults(", list(classes.values()), ")")] if faults else []
    body = "\n\n\n".join([*blocks, _service(service, methods, classes)]) + "\n"
    return f"{_NOQA}\n{docstring(*doc, 0)}\n\n{_imports(body)}\n\n{_gap(body)}{body}"


def _gap(body: str) -> str:
    """After imports a class has two empty lines before it, anything else one."""
    return "\n" if body.startswith(("class ", "@")) else ""


def _imports(body: str) -> str:
    used = set(re.findall(r"[A-Za-z_]+", re.sub(r'""".*?"""', "", body, flags=re.DOTALL)))
    blocks = ["from __future__ import annotations"]
    for number, group in enumerate(_IMPORTS):
        lines = ["import datetime as dt"] if number == 0 and re.search(r"\bdt\.", body) else []
        for source, names in group.items():
            if wanted := [name for name in names if name in used]:
                lines.append(f"from {source} import {', '.join(wanted)}")
        if lines:
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _alias(alias: Alias) -> str:
    if alias.values:
        return bracketed(f"{alias.name}: TypeAlias = Literal[", alias.values, "]")
    items = [alias.python, call("Field", alias.limits, 4)]
    return bracketed(f"{alias.name}: TypeAlias = Annotated[", items, "]")


def _model(model: Model) -> str:
    base = model.base.name if model.base is not None else "SoapModel"
    lines = [f"class {model.name}({base}):", docstring(model.summary, model.doc, 4)]
    if model.xml_type:
        lines += ["", text_line("_xml_type = ", model.xml_type, 4)]
    if model.fields:
        lines += ["", *(_declared(one, 4) for one in model.fields)]
    return "\n".join(lines)


def _declared(field: FieldOf, indent: int) -> str:
    """A field or a parameter: its name, annotation and default."""
    default = "" if field.default is None else f" = {field.default}"
    if field.metadata:
        return bracketed(f"{field.name}: Annotated[", [field.annotation, *field.metadata], f"]{default}", indent)
    return f"{' ' * indent}{field.name}: {field.annotation}{default}"


def _fault(name: str, fault: Fault) -> str:
    head = bracketed(f"class {name}(", [f"DeclaredFault[{fault.detail}]"], "):")
    doc = docstring(f"The fault {fault.element}.", "", 4)
    return "\n".join([head, doc, "", text_line("element = ", fault.element, 4)])


def _service(name: str, methods: Sequence[Method], faults: Mapping[str, str]) -> str:
    doc = docstring("The operations of the service, for a handler to name as the annotation of its handle.", "", 4)
    return "\n\n".join([f"@typed_service\nclass {name}(Protocol):\n{doc}", *(_method(one, faults) for one in methods)])


def _method(method: Method, faults: Mapping[str, str]) -> str:
    lines = [] if method.name == method.operation else [f"    @soap_operation({literal(method.operation)})"]
    parameters = [_declared(one, 0) for one in method.parameters]
    items = ["self", "*", *parameters] if parameters else ["self"]
    lines.append(bracketed(f"def {method.name}(", items, f") -> {method.answer}:", 4))
    raised = ", ".join(dict.fromkeys(faults[fault.element] for fault in method.faults))
    doc = " ".join([f"Raises {raised}." if raised else "", method.doc])
    return "\n".join([*lines, docstring(f"The operation {method.operation}.", doc, 8)])
