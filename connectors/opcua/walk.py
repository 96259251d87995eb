"""The address space below a node, walked level by level with bounded requests: names, types, values
and properties.

Only Browse, BrowseNext and Read are used.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.browse import MOST_EMPTY
from connectors.opcua.limits import TOO_MUCH, chunks, node_id, read_one
from connectors.opcua.namespaces import NO, YES
from connectors.opcua.session import OpcuaSession
from edge_agent.discovery import Progress
from edge_agent.sdk import DeviceError

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")

_MOST_BROWSED: Final = 500
"""Nodes in one Browse, where the server allows more."""
_MOST_READ: Final = 1000
"""Attributes in one Read, where the server allows more: values may be large."""
_REFERENCES: Final = 1000
"""References of one node in one answer; the rest comes by continuation point."""
_DEEPEST: Final = 50
_NO_CONTINUATION: Final = 0x804B0000  # BadNoContinuationPoints
_CLASSES: Final = int(ua.NodeClass.Object) | int(ua.NodeClass.Variable)

#: Where the machines of a server are.
OBJECTS: Final = node_id(ObjectIds.ObjectsFolder)

_READ_OF_VARIABLES: Final = (AttributeIds.Value, AttributeIds.Description)


@dataclass(slots=True, eq=False)
class Node:
    """One node as the walk has found it."""

    id: ua.NodeId
    index: int
    """Namespace index of the browse name."""
    name: str
    display: str
    is_variable: bool
    is_property: bool
    type_definition: ua.NodeId | None
    parent: Node | None
    children: list[Node] = field(default_factory=list)
    variant: ua.Variant | None = None
    status: int = 0
    description: str = ""

    def child(self, name: str) -> Node | None:
        """The child of a name of the standard's own namespace."""
        return next(
            (child for child in self.children if child.index == 0 and child.name == name), None
        )


@dataclass(slots=True)
class Walk:
    """All that was found, in the order of levels; `nodes[0]` is the start."""

    nodes: list[Node]
    cut: bool = False


class Walker:
    """Walks on one open session, with no more in a request than the server takes."""

    def __init__(self, session: OpcuaSession, progress: Progress) -> None:
        self._session = session
        self._progress = progress
        self._browse_size = _MOST_BROWSED
        self._read_size = min(_MOST_READ, session.limits.read)
        self._limit = _REFERENCES

    async def prepare(self) -> None:
        """Learn how many nodes the server lets be browsed at once."""
        stated = await read_one(
            self._session.service,
            ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
        )
        if isinstance(stated, int) and stated > 0:
            self._browse_size = min(stated, _MOST_BROWSED)

    async def walk(self, start: ua.NodeId, depth: int | None, limit: int) -> Walk:
        """From `start` down, `limit` nodes at the most."""
        self._limit = limit
        root = Node(start, 0, "", "", False, False, None, None)
        known = {start: root}
        found = Walk([root])
        level = [root]
        for _ in range(min(depth or _DEEPEST, _DEEPEST)):
            below: list[Node] = []
            for part in chunks(level, max(1, self._browse_size)):
                references = await self._browse([node.id for node in part])
                for parent, refs in zip(part, references, strict=True):
                    below += _children(parent, refs, known)
                self._progress(len(known), None, part[-1].name)
                if len(found.nodes) + len(below) > limit:
                    found.cut = True
                    del below[max(0, limit - len(found.nodes)) :]
                    break
            found.nodes += below
            await self._read_variables([node for node in below if node.is_variable])
            level = below
            if not level or found.cut:
                break
        await self._add_missing_properties(level, depth)
        return found

    async def supertypes(self, types: Sequence[ua.NodeId]) -> dict[ua.NodeId, list[ua.NodeId]]:
        """Each type with all types that it is a subtype of, nearest first."""
        chains: dict[ua.NodeId, list[ua.NodeId]] = {kind: [] for kind in types}
        at = {kind: kind for kind in types}
        for _ in range(_DEEPEST):
            pending = [kind for kind, last in at.items() if last.NamespaceIndex]
            if not pending:
                break
            found: list[Sequence[ua.ReferenceDescription]] = []
            for part in chunks(pending, self._browse_size):
                found += await self._browse([at[kind] for kind in part], upwards=True)
            for kind, refs in zip(pending, found, strict=True):
                if not refs:
                    del at[kind]
                    continue
                parent = _target(refs[0])
                chains[kind].append(parent)
                at[kind] = parent
        return chains

    async def properties(
        self, owners: Sequence[ua.NodeId]
    ) -> dict[ua.NodeId, dict[str, ua.Variant | None]]:
        """The properties of nodes (enumeration types), by name of the standard's namespace."""
        found: dict[ua.NodeId, dict[str, ua.Variant | None]] = {}
        nodes: list[tuple[ua.NodeId, Node]] = []
        for part in chunks(owners, max(1, self._browse_size)):
            for owner, refs in zip(part, await self._browse(list(part)), strict=True):
                holder = Node(owner, 0, "", "", False, False, None, None)
                nodes += [(owner, child) for child in _children(holder, refs, {})]
        await self._read_variables([node for _, node in nodes])
        for owner, node in nodes:
            found.setdefault(owner, {})[node.name] = node.variant
        return found

    async def data_types(self, nodes: Sequence[Node]) -> list[ua.NodeId | None]:
        """The DataType attribute of variables."""
        wanted = [ua.ReadValueId(node.id, AttributeIds.DataType) for node in nodes]
        values = await self._read(wanted)
        types = []
        for item in values:
            value = item.Value.Value if item.Value is not None else None
            types.append(value if isinstance(value, ua.NodeId) else None)
        return types

    async def _add_missing_properties(self, level: Sequence[Node], depth: int | None) -> None:
        """Where the walk ends by its depth, the last variables still get their unit and range."""
        if depth is None:
            return
        for part in chunks([node for node in level if node.is_variable], max(1, self._browse_size)):
            added: list[Node] = []
            for node, refs in zip(
                part, await self._browse([node.id for node in part]), strict=True
            ):
                added += [child for child in _children(node, refs, {}) if child.is_property]
            await self._read_variables(added)

    # --- requests ---------------------------------------------------------------------------------

    async def _browse(
        self, nodes: Sequence[ua.NodeId], *, upwards: bool = False
    ) -> list[list[Any]]:
        """The references of each node, all of them."""
        wanted = [_description(node, upwards) for node in nodes]
        results = await self._sized(self._browse_once, wanted, "_browse_size")
        found: list[list[Any]] = [list(result.References or ()) for result in results]
        refused = [
            at
            for at, result in enumerate(results)
            if int(result.StatusCode.value) == _NO_CONTINUATION
        ]
        await self._continue(
            found, {at: r.ContinuationPoint for at, r in enumerate(results) if r.ContinuationPoint}
        )
        for at in refused:  # the server keeps few continuation points: one node at a time
            (result,) = await self._browse_once([wanted[at]])
            found[at] = list(result.References or ())
            if result.ContinuationPoint:
                await self._continue(found, {at: result.ContinuationPoint})
        return found

    async def _continue(self, found: list[list[Any]], points: dict[int, bytes]) -> None:
        """Fetch what did not fit, up to the limit; every continuation point that is left over is
        released.

        A node of which answer after answer brings nothing is left too: a server could go on for
        ever.
        """
        empty = dict.fromkeys(points, 0)
        try:
            while places := [
                at for at in points if len(found[at]) <= self._limit and empty[at] <= MOST_EMPTY
            ][: self._browse_size]:
                parameters = ua.BrowseNextParameters(
                    ReleaseContinuationPoints=NO, ContinuationPoints=[points[at] for at in places]
                )
                results = await self._session.service.browse_next(parameters)
                for at, result in zip(places, results, strict=True):
                    del points[at]
                    found[at] += result.References or ()
                    empty[at] = 0 if result.References else empty[at] + 1
                    if result.ContinuationPoint:
                        points[at] = result.ContinuationPoint
        finally:
            if points:
                release = ua.BrowseNextParameters(
                    ReleaseContinuationPoints=YES, ContinuationPoints=list(points.values())
                )
                await self._session.service.browse_next(release)

    async def _browse_once(self, wanted: Sequence[ua.BrowseDescription]) -> list[Any]:
        parameters = ua.BrowseParameters(
            RequestedMaxReferencesPerNode=_REFERENCES, NodesToBrowse=list(wanted)
        )
        return list(await self._session.service.browse(parameters))

    async def _read_variables(self, nodes: Sequence[Node]) -> None:
        wanted = [
            ua.ReadValueId(node.id, attribute) for node in nodes for attribute in _READ_OF_VARIABLES
        ]
        answers = await self._read(wanted)
        for node, value, description in zip(nodes, answers[::2], answers[1::2], strict=True):
            node.variant = value.Value
            node.status = 0 if value.StatusCode is None else int(value.StatusCode.value)
            text = description.Value.Value if description.Value is not None else None
            node.description = str(getattr(text, "Text", None) or "")

    async def _read(self, wanted: Sequence[ua.ReadValueId]) -> list[ua.DataValue]:
        return await self._sized(self._read_once, wanted, "_read_size")

    async def _read_once(self, wanted: Sequence[ua.ReadValueId]) -> list[ua.DataValue]:
        parameters = ua.ReadParameters(
            MaxAge=0, TimestampsToReturn=ua.TimestampsToReturn.Neither, NodesToRead=list(wanted)
        )
        return list(await self._session.service.read(parameters))

    async def _sized(
        self, call: Callable[[Sequence[T]], Awaitable[list[R]]], items: Sequence[T], size: str
    ) -> list[R]:
        """The results of all items, with smaller calls once the server finds one too large. `size`:
        the attribute that keeps what was learned."""
        found: list[R] = []
        at = 0
        while at < len(items):
            step = max(1, getattr(self, size))
            part = items[at : at + step]
            try:
                results = await call(part)
            except UaStatusCodeError as error:
                if int(error.code) & 0xFFFF0000 not in TOO_MUCH or len(part) == 1:
                    raise
                setattr(self, size, len(part) // 2)
                continue
            if len(results) != len(part):
                raise DeviceError.of(
                    "opcua_not_opcua", lost=True, where=self._session.options.endpoint,
                    why=f"{len(results)} results for {len(part)} nodes",
                )  # fmt: skip
            found += results
            at += len(part)
        return found


def _description(node: ua.NodeId, upwards: bool) -> ua.BrowseDescription:
    if upwards:
        return ua.BrowseDescription(
            NodeId=node,
            BrowseDirection=ua.BrowseDirection.Inverse,
            ReferenceTypeId=node_id(ObjectIds.HasSubtype),
            IncludeSubtypes=NO,
            NodeClassMask=0,
            ResultMask=ua.BrowseResultMask.None_,
        )
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=node_id(ObjectIds.HierarchicalReferences),
        IncludeSubtypes=YES,
        NodeClassMask=_CLASSES,
        ResultMask=ua.BrowseResultMask.All,
    )


def _children(parent: Node, refs: Sequence[Any], known: dict[ua.NodeId, Node]) -> list[Node]:
    """The nodes that references lead to for the first time; every one is added to its parent."""
    new = []
    for ref in refs:
        if getattr(ref.NodeId, "ServerIndex", 0):
            continue  # on another server
        target = _target(ref)
        node = known.get(target)
        if node is None:
            if parent.id == OBJECTS and not target.NamespaceIndex:
                # the server's own diagnosis and indexes: hundreds of nodes that say nothing of a
                # machine
                continue
            node = known[target] = _node(parent, target, ref)
            new.append(node)
        parent.children.append(node)
    return new


def _node(parent: Node, target: ua.NodeId, ref: Any) -> Node:
    kind = ref.TypeDefinition
    definition = node_id(kind.Identifier, kind.NamespaceIndex) if kind is not None else None
    is_variable = int(ref.NodeClass) == int(ua.NodeClass.Variable)
    is_property = ref.ReferenceTypeId == node_id(ObjectIds.HasProperty)
    name = str(ref.BrowseName.Name or "")
    display = str(ref.DisplayName.Text or "")
    return Node(
        target,
        int(ref.BrowseName.NamespaceIndex),
        name,
        display,
        is_variable,
        is_property,
        definition,
        parent,
    )


def _target(ref: Any) -> ua.NodeId:
    return node_id(ref.NodeId.Identifier, ref.NodeId.NamespaceIndex)
