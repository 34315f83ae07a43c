"""Show: a description as text for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from adaptors.soap.vendored import XSD
from adaptors.soap.wsdl.describe import BindingInfo, Description, Item, Message, OperationInfo, TypeInfo

_WIDTH = 120


def text_of(description: Description) -> str:
    """The lines of a description: ports, operations by binding, types."""
    lines = [
        f"{description.wsdl}, {description.documents} documents" if description.documents > 1 else description.wsdl
    ]
    lines += [f"left out: {fault}" for fault in description.left_out]
    for service in dict.fromkeys(port["service"] for port in description.ports):
        lines += ["", f"service {service}"]
        for port in description.ports:
            if port["service"] == service:
                facts = (port["speaks"], f"binding {_local(port['binding'])}", port["address"])
                lines.append(f"  port {port['port']}: {', '.join(fact for fact in facts if fact)}")
    shown: dict[str, BindingInfo] = {}
    for binding in description.bindings:
        lines += ["", *_binding(binding, shown)]
        shown.setdefault(binding.port_type, binding)
    if description.types:
        lines += ["", "types", *(line for one in description.types for line in _type(one))]
    return "\n".join(lines)


def _binding(binding: BindingInfo, shown: dict[str, BindingInfo]) -> Iterator[str]:
    yield f"binding {_local(binding.name)}: {binding.speaks}, portType {_local(binding.port_type)}"
    earlier = shown.get(binding.port_type)
    if earlier is not None and earlier.operations == binding.operations:
        yield f"  the operations of {_local(earlier.name)}"
        return
    for operation in binding.operations:
        yield from _operation(operation)


def _operation(operation: OperationInfo) -> Iterator[str]:
    action = f', soapAction "{operation.soap_action}"' if operation.soap_action else ""
    yield f"  {operation.name}: {operation.style}/{operation.use}{action}"
    yield from _said(operation.documentation, 4)
    yield from _message("in", operation.input)
    if operation.output is None:
        yield "    no answer: one-way"
    else:
        yield from _message("out", operation.output)
    for name, fault in operation.faults.items():
        yield from _message(f"fault {name}", fault)


def _message(direction: str, message: Message) -> Iterator[str]:
    yield f"    {direction}: {_local(message.element) or 'nothing'}"
    yield from (f"      header {_item(one)}" for one in message.headers)
    yield from (f"      {_item(one)}" for one in message.fields)


def _type(info: TypeInfo) -> Iterator[str]:
    facts = [f"extends {_local(info.base)}"] if info.base else []
    facts += ["abstract"] if info.abstract else []
    yield f"  {info.name}" + (f": {', '.join(facts)}" if facts else "")
    yield from _said(info.documentation, 4)
    yield from (f"    {_item(one)}" for one in info.fields)


def _item(item: Item) -> str:
    facts = [_occurs(item)] if not item.attribute else ["attribute" if item.lowest else "attribute, optional"]
    facts += ["nillable"] if item.nillable else []
    facts += ["one of a choice"] if item.in_choice else []
    facts += [item.rules] if item.rules else []
    told = ", ".join(fact for fact in facts if fact)
    name = f"{item.name}: " if item.name else ""
    return f"{name}{_local(item.type)}" + (f" ({told})" if told else "")


def _occurs(item: Item) -> str:
    if item.highest == 1:
        return "" if item.lowest or item.in_choice else "optional"
    if item.highest is None:
        return f"repeated, at least {item.lowest}" if item.lowest else "repeated"
    return f"{item.lowest} to {item.highest}"


def _said(documentation: str, indent: int) -> Sequence[str]:
    return textwrap.wrap(documentation, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _local(name: str | None) -> str:
    """A name as people say it: types of XML Schema and all others by their local name."""
    return (name or "").removeprefix(f"{{{XSD}}}").rpartition("}")[2]
