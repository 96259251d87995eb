"""What an OPC UA server has: nodes that can be tags, machines of the companion specifications,
endpoints."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.client.client import Client

from connectors.opcua.address import PathSegment, parse_node, parse_path
from connectors.opcua.binary import UNSUPPORTED
from connectors.opcua.browse import Browser
from connectors.opcua.faults import device_errors
from connectors.opcua.machines import Machines
from connectors.opcua.namespaces import NamespaceTable
from connectors.opcua.options import OpcuaDevice, device_options
from connectors.opcua.session import OpcuaSession
from connectors.opcua.stock import value_of
from connectors.opcua.structures import is_structure, plain_value
from connectors.opcua.walk import OBJECTS, Node, Walk, Walker
from edge_agent.discovery import Browsed, BrowseWanted, FoundNode, Progress
from edge_agent.sdk import DevicePlan, status_name

#: In which languages names and descriptions are wanted, the first first.
_LOCALES: Final = ("zh-CN", "zh", "en")

#: Value types that a tag can have.
_NO_TAG: Final = frozenset({"Null", "ExtensionObject", "Variant", "DataValue", "DiagnosticInfo"})
_INTEGERS: Final = frozenset(
    {"SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64"}
)
_NUMBERS: Final = _INTEGERS | {"Float", "Double"}
_MOST_LABELS: Final = 200
_LONGEST: Final = 200
"""Letters of a description."""


class BrowsingSession(OpcuaSession):
    """A session that asks for Chinese texts first."""

    def _new_client(self) -> Client:
        client = super()._new_client()
        client.set_locale(_LOCALES)
        return client

    @property
    def namespaces(self) -> NamespaceTable:
        """The server's namespace table."""
        return self._namespaces


async def browse(options: Any, wanted: BrowseWanted, progress: Progress) -> Browsed:
    """See `discovery.Discovery.browse`."""
    device: OpcuaDevice = device_options(options)
    session = BrowsingSession([DevicePlan("browse", device, ())])
    await session.open()
    try:
        with device_errors(device.endpoint):
            start = await _start(session, wanted.start)
        if start.node is None:
            raise ValueError(start.problem)
        with device_errors(device.endpoint):
            walker = Walker(session, progress)
            await walker.prepare()
            walk = await walker.walk(start.node, wanted.depth, wanted.limit)
            definitions = {node.type_definition for node in walk.nodes if _needs_type(node)}
            supertypes = await walker.supertypes([kind for kind in definitions if kind is not None])
            labels = await _labels(walker, walk)
            return _browsed(walk, session.namespaces, supertypes, labels, wanted, start.path)
    finally:
        await session.close()


@dataclass(frozen=True, slots=True)
class _Start:
    """Where browsing begins, or why it cannot."""

    node: ua.NodeId | None = None
    path: Sequence[PathSegment] | None = None
    """The way to it from the root; None where it is named by its node id."""
    problem: str = ""


async def _start(session: BrowsingSession, text: str) -> _Start:
    """The node that is meant."""
    if not text:
        return _Start(OBJECTS, (PathSegment(0, "Objects"),))
    try:
        address = parse_node(text)
    except ValueError:
        try:
            steps = parse_path(text)
        except ValueError:
            return _Start(
                problem=f"{text!r} 不是节点号或路径。\n"
                f"    {text!r} is neither a node id nor a path."
            )
        walked = await Browser(session.service, session.namespaces).walk(steps)
        if walked.node is not None:
            return _Start(walked.node, steps)
        near = ", ".join(walked.nearest)
        if walked.namespace is not None:
            return _Start(problem=_no_namespace(walked.namespace, near))
        return _Start(problem=_no_step(str(walked.failed), walked.under, near))
    node = session.namespaces.node(address)
    if node is not None:
        return _Start(node)
    near = ", ".join(Browser(session.service, session.namespaces).nearest_uris(address.namespace))
    return _Start(problem=_no_namespace(str(address.namespace), near))


def _no_namespace(uri: str, near: str) -> str:
    return (
        f"服务器没有命名空间 {uri!r}；它有：{near}。\n    The server has no namespace {uri!r}; "
        f"it has: {near}."
    )


def _no_step(failed: str, under: str, near: str) -> str:
    return (
        f"起点中的 {failed!r} 在 {under} 下不存在；那里有：{near or '-'}。\n"
        f"    {failed!r} of the start is not under {under}; there are: {near or '-'}."
    )


def _needs_type(node: Node) -> bool:
    return (
        not node.is_variable
        and node.type_definition is not None
        and node.type_definition.NamespaceIndex > 0
    )


async def _labels(walker: Walker, walk: Walk) -> dict[ua.NodeId, dict[int, str]]:
    """The names of the numbers of enumerations, by variable."""
    integers = [
        node
        for node in walk.nodes
        if node.is_variable and not node.is_property and _type(node) == "Int32"
    ]
    kinds = dict(zip(integers, await walker.data_types(integers), strict=True))
    own = list({kind for kind in kinds.values() if kind is not None and kind.NamespaceIndex})
    properties = await walker.properties(own)
    found = {}
    for node, kind in kinds.items():
        named = _named(properties.get(kind, {})) if kind is not None else {}
        if named:
            found[node.id] = named
    return found


def _named(properties: Mapping[str, ua.Variant | None]) -> dict[int, str]:
    """EnumStrings or EnumValues as number -> name."""
    for name in ("EnumStrings", "EnumValues"):
        variant = properties.get(name)
        items = variant.Value if variant is not None and isinstance(variant.Value, list) else []
        if 0 < len(items) <= _MOST_LABELS:
            pairs = [_label(at, item) for at, item in enumerate(items)]
            return {number: text for number, text in pairs if text}
    return {}


def _label(at: int, item: Any) -> tuple[int, str]:
    if hasattr(item, "DisplayName"):
        return int(item.Value), str(item.DisplayName.Text or "")
    return at, str(getattr(item, "Text", None) or "")


def _browsed(
    walk: Walk,
    namespaces: NamespaceTable,
    supertypes: Mapping[ua.NodeId, Sequence[ua.NodeId]],
    labels: Mapping[ua.NodeId, Mapping[int, str]],
    wanted: BrowseWanted,
    start: Sequence[PathSegment] | None,
) -> Browsed:
    addresses = {node: address(node.id, namespaces.table) for node in walk.nodes}
    paths: dict[Node, str] = {walk.nodes[0]: ""}
    found = []
    for node in walk.nodes[1:]:
        above = paths[node.parent] if node.parent is not None else ""
        paths[node] = f"{above}/{_escaped(node.name)}" if above else _escaped(node.name)
        if not (node.is_property and node.parent is not None and node.parent.is_variable):
            found.append(_found(node, paths[node], addresses[node], labels.get(node.id, {})))
    machines = Machines(walk, namespaces, supertypes, start).found(wanted.profiles, addresses)
    return Browsed(found, machines, len(walk.nodes), walk.cut)


def _found(node: Node, path: str, where: str, enumeration: Mapping[int, str]) -> FoundNode:
    if not node.is_variable:
        return FoundNode(path, node.name, where, False, description=_description(node))
    type_ = _type(node)
    unit, low, high = _unit(node), *_range(node)
    value = None if node.variant is None or node.status & 0x80000000 else _plain(node.variant)
    keys: dict[str, Any] | None = None
    if type_.removesuffix("[]") not in _NO_TAG:
        labels = dict(enumeration) or _named(
            {c.name: c.variant for c in node.children if c.index == 0}
        )
        keys = _keys(
            where,
            type_,
            unit,
            (low, high),
            labels if type_ in _INTEGERS else {},
            _description(node),
        )
    return FoundNode(
        path,
        node.name,
        where,
        True,
        type_,
        value,
        status_name(node.status),
        unit,
        low,
        high,
        _description(node),
        keys,
    )


def _keys(
    where: str,
    type_: str,
    unit: str,
    limits: tuple[float | None, float | None],
    labels: Mapping[int, str],
    description: str,
) -> dict[str, Any]:
    keys: dict[str, Any] = {"node": where, "type": type_}
    if unit:
        keys["unit"] = unit
    low, high = limits
    if low is not None and high is not None and low < high and type_ in _NUMBERS:
        keys["range"] = [low, high]
    if labels:
        keys["map"] = dict(labels)
    if description:
        keys["description"] = description
    return keys


def _type(node: Node) -> str:
    """`Double`, `Int16[]`; `Null` without a value."""
    variant = node.variant
    if variant is None or variant.VariantType is None:
        return "Null"
    return variant.VariantType.name + ("[]" if variant.is_array else "")


def _plain(variant: ua.Variant) -> object:
    value = value_of(variant)
    if value is UNSUPPORTED:
        return None
    return plain_value(value, None) if is_structure(value) else value


def _unit(node: Node) -> str:
    fields = _fields(node, "EngineeringUnits")
    return str(fields.get("displayName") or "").strip()


def _range(node: Node) -> tuple[float | None, float | None]:
    fields = _fields(node, "EURange")
    low = fields.get("low")
    high = fields.get("high")
    if (
        isinstance(low, float)
        and isinstance(high, float)
        and math.isfinite(low)
        and math.isfinite(high)
        and low < high
    ):
        return low, high
    return None, None


def _fields(node: Node, name: str) -> Mapping[str, Any]:
    child = node.child(name)
    value = None if child is None or child.variant is None else value_of(child.variant)
    fields = getattr(value, "fields", None)
    return fields if isinstance(fields, Mapping) else {}


def _description(node: Node) -> str:
    text = " ".join((node.description or node.display).split())
    return "" if text == node.name else text[:_LONGEST]


def _escaped(name: str) -> str:
    return name.replace("&", "&&").replace("/", "&/")


def address(node: ua.NodeId, table: Sequence[str]) -> str:
    """A node id with the URI of its namespace, which outlives another order of the namespace
    table."""
    identifier = node.Identifier
    index = int(node.NamespaceIndex)
    if isinstance(identifier, bytes):
        text = f"b={base64.b64encode(identifier).decode()}"
    else:
        letter = {int: "i", str: "s"}.get(type(identifier), "g")
        text = f"{letter}={identifier}"
    if index == 0:
        return text
    # the URI of index 1 is the server's own, and may hold its host name
    if index == 1 or index >= len(table):
        return f"ns={index};{text}"
    uri = table[index].replace("%", "%25").replace(";", "%3B")
    return f"nsu={uri};{text}"
