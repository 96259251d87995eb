"""What a simulator has to serve to stand in for a device."""

from __future__ import annotations

from typing import Any, Final

from connectors.opcua.address import split_path
from connectors.opcua.options import device_options, tag_options
from edge_agent.sdk import DevicePlan, Kind, Tag

_OPC_TYPES: Final[dict[Kind, str]] = {
    "bool": "Boolean",
    "int": "Int32",
    "float": "Double",
    "text": "String",
    "any": "Double",
}
_NAMES: Final = {
    name.lower(): name
    for name in (
        "Boolean",
        "SByte",
        "Byte",
        "Int16",
        "UInt16",
        "Int32",
        "UInt32",
        "Int64",
        "UInt64",
        "Float",
        "Double",
        "String",
        "DateTime",
        "Guid",
        "ByteString",
        "XmlElement",
        "NodeId",
        "ExpandedNodeId",
        "QualifiedName",
        "LocalizedText",
    )
}


def describe(plan: DevicePlan) -> dict[str, Any]:
    """The device as plain JSON: `{"protocol", "security", "tags": {name: {"node" | "path", "type",
    ...}}}`."""
    options = device_options(plan.options)
    security = {"policy": options.security.policy, "mode": options.security.effective_mode}
    tags = {tag.name: _tag(tag) for table in plan.tables for tag in table.tags}
    return {"protocol": "opcua", "security": security, "tags": tags}


def _tag(tag: Tag) -> dict[str, Any]:
    options = tag_options(tag.where)
    return {
        "node": options.node,
        "path": split_path(options.path) if isinstance(options.path, str) else options.path,
        "type": opc_type(options.type, tag.kind),
        "scale": tag.scale,
        "offset": tag.offset,
        "kind": "float" if tag.kind == "any" else tag.kind,
        "unit": tag.unit,
        "range": None if tag.low is None or tag.high is None else [tag.low, tag.high],
        "map": None
        if tag.labels is None
        else {str(number): label for number, label in tag.labels.items()},
    }


def opc_type(written: str | None, kind: Kind) -> str | None:
    """The OPC UA type to serve: the one written, or the usual one of the kind (none for an array of
    unknown type)."""
    if written is not None:
        name, array = (written[:-2], "[]") if written.endswith("[]") else (written, "")
        # `float` and `int` are kinds of ours and promise no width: they are served in the usual
        # one.
        found = None if name in ("float", "int") else _NAMES.get(name.lower())
        if found is not None:
            return found + array
    return _OPC_TYPES.get(kind)
