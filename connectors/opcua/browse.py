"""The address space walked by browse names: for servers without path translation, and to say where
a path ends."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.object_ids import ObjectIds

from connectors.opcua.address import Namespace, PathSegment
from connectors.opcua.limits import node_id
from connectors.opcua.namespaces import NO, YES, NamespaceTable

_MOST_CHILDREN: Final = 5000
"""Names looked at under one node; a folder of more is cut there."""
_PER_CALL: Final = 1000
MOST_EMPTY: Final = 20
"""Answers without a reference that a server may send before it is taken at its word that there are
more."""
_NEAREST: Final = 5
_LONGEST: Final = 60
"""Letters of a name that is shown."""


@dataclass(slots=True)
class Walked:
    """How far a path leads: to a node, or to the first segment that is not there."""

    node: ua.NodeId | None = None
    namespace: str | None = None
    """The namespace that the server does not have."""
    failed: str | None = None
    """The segment as it would be written in a path."""
    under: str = ""
    """The path up to it."""
    nearest: list[str] = field(default_factory=list)
    """Names that stand there, or namespaces that the server has, those most like the wanted one
    first."""


@dataclass(frozen=True, slots=True)
class _Child:
    index: int
    name: str
    node: ua.NodeId

    @property
    def text(self) -> str:
        """As in a browse path."""
        return _text(self.index, self.name)


class Browser:
    """Walks paths one step at a time. What was seen of a node is kept for the paths that follow."""

    def __init__(self, session: UaSession, namespaces: NamespaceTable) -> None:
        self._session = session
        self._namespaces = namespaces
        self._children: dict[ua.NodeId, list[_Child]] = {}

    async def walk(self, steps: Sequence[PathSegment]) -> Walked:
        """From the root folder. Raises UaStatusCodeError when the server does not let itself be
        browsed."""
        indexes = [self._namespaces.index(step.namespace) for step in steps]
        if None in indexes:  # certain, whatever stands before it
            namespace = steps[indexes.index(None)].namespace
            return Walked(namespace=str(namespace), nearest=self.nearest_uris(namespace))
        node = node_id(ObjectIds.RootFolder)
        under = list[str]()
        for step, index in zip(steps, cast("list[int]", indexes), strict=True):
            children = await self._under(node)
            child = next((c for c in children if c.index == index and c.name == step.name), None)
            if child is None:
                failed = _text(index, step.name)
                nearest = _nearest(failed, [c.text for c in children])
                return Walked(failed=failed, under="/".join(under) or "Root", nearest=nearest)
            node = child.node
            under.append(_text(index, step.name))
        return Walked(node)

    def knows(self, namespace: Namespace) -> bool:
        """Whether the server has the namespace."""
        return self._namespaces.index(namespace) is not None

    def nearest_uris(self, namespace: Namespace) -> list[str]:
        """The server's namespaces, those most like the wanted one first."""
        return _nearest(str(namespace), self._namespaces.table)

    async def _under(self, node: ua.NodeId) -> list[_Child]:
        """What hierarchical references lead to from a node."""
        known = self._children.get(node)
        if known is None:
            known = self._children[node] = await self._browse(node)
        return known

    async def _browse(self, node: ua.NodeId) -> list[_Child]:
        wanted = ua.BrowseDescription(
            NodeId=node,
            BrowseDirection=ua.BrowseDirection.Forward,
            ReferenceTypeId=node_id(ObjectIds.HierarchicalReferences),
            IncludeSubtypes=YES,
            NodeClassMask=0,
            ResultMask=ua.BrowseResultMask.BrowseName,
        )
        parameters = ua.BrowseParameters(
            RequestedMaxReferencesPerNode=_PER_CALL, NodesToBrowse=[wanted]
        )
        found: list[_Child] = []
        empty = 0
        results = await self._session.browse(parameters)
        while results:
            result = results[0]
            result.StatusCode.check()
            found += [_child(reference) for reference in result.References or ()]
            if not result.ContinuationPoint:
                break
            # A folder that is cut short leaves its continuation point at the server until it is
            # released.
            empty = 0 if result.References else empty + 1
            enough = len(found) >= _MOST_CHILDREN or empty > MOST_EMPTY
            results = await self._session.browse_next(
                ua.BrowseNextParameters(
                    ReleaseContinuationPoints=YES if enough else NO,
                    ContinuationPoints=[result.ContinuationPoint],
                )
            )
            if enough:
                break
        return found


def _child(reference: ua.ReferenceDescription) -> _Child:
    name = reference.BrowseName
    target = reference.NodeId
    node = ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
    return _Child(int(name.NamespaceIndex), str(name.Name or ""), node)


def _text(index: int, name: str) -> str:
    escaped = name.replace("&", "&&").replace("/", "&/")
    return f"{index}:{escaped}" if index else escaped


def _nearest(wanted: str, names: Sequence[str]) -> list[str]:
    """The names most like the wanted one, cut to a length that fits a line."""
    likest = difflib.get_close_matches(wanted, dict.fromkeys(names), _NEAREST, cutoff=0.0)
    return [_shown(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...") for name in likest]


def _shown(name: str) -> str:
    """A name of the server's; a sign that a terminal would act on is written out, as `\\x1b`."""
    return (
        name
        if name.isprintable()
        else "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in name)
    )
