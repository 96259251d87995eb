"""Where each tag is on *this* server, now: namespace URIs become indexes, browse paths become node ids.

Done anew at every connect, because a server may come back with its namespace table in another order.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.object_ids import ObjectIds

from connectors.opcua.address import Namespace, NodeAddress, Step, parse_node, parse_path
from connectors.opcua.limits import Limits, chunks, node_id, read_one
from connectors.opcua.options import tag_options
from edge_agent.sdk import STATUS, TagTable, cause_of_status, status_name

log = logging.getLogger(__name__)

_OWN: Final = 2
"""From here on an index means what the server's table says; 0 and 1 are fixed by the standard."""
# asyncua annotates with its wire types, which are not `bool` to a type checker.
_YES: Final = cast("ua.Boolean", True)
_NO: Final = cast("ua.Boolean", False)
_BAD_NO_MATCH: Final = 0x806F0000
_LISTED: Final = 20
"""Tags named in one log line."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The tags of a table that the server knows, and why the others are not among them."""

    positions: list[int]
    """Of the tags found, ascending."""
    nodes: list[ua.NodeId]
    """Aligned with `positions`."""
    missing: dict[int, int]
    """Position of a tag that is not there -> its status code."""

    def with_found(self, later: Resolved) -> Resolved:
        """This, and what was missing and is there now."""
        both = dict(zip(self.positions, self.nodes, strict=True)) | dict(zip(later.positions, later.nodes, strict=True))
        order = sorted(both)
        return Resolved(order, [both[position] for position in order], later.missing)


class Namespaces:
    """The server's namespace table as read at connect.

    A configured index means the URI that stood there when this connection first read the table: should the server come
    back with another order, the tag moves along, and never becomes the tag of the same name next door.
    """

    def __init__(self, uris: Sequence[str], before: Namespaces | None = None) -> None:
        self._index = {uri: index for index, uri in reversed(list(enumerate(uris)))}
        self._first: Sequence[str] = before.first if before is not None and before.first else uris
        self._uris = uris
        if before is not None and before.first and before.table[_OWN:] != uris[_OWN:]:
            log.warning("opcua-namespaces-moved first=%s now=%s", list(self._first), list(uris))

    @classmethod
    async def read(cls, session: UaSession, before: Namespaces | None = None) -> Namespaces:
        value = await read_one(session, ObjectIds.Server_NamespaceArray)
        return cls([str(uri) for uri in value] if isinstance(value, list) else [], before)

    @property
    def table(self) -> Sequence[str]:
        """The table as it is now."""
        return self._uris

    @property
    def first(self) -> Sequence[str]:
        """The table as it was first read; empty when it could not be."""
        return self._first

    def index(self, namespace: Namespace) -> int | None:
        """The index now; None for a URI the server does not have."""
        if isinstance(namespace, str):
            return self._index.get(namespace)
        if namespace < _OWN or namespace >= len(self._first) or not self._index:
            return namespace
        return self._index.get(self._first[namespace])

    def node(self, address: NodeAddress) -> ua.NodeId | None:
        index = self.index(address.namespace)
        return None if index is None else node_id(address.identifier, index)

    def path(self, steps: Sequence[Step]) -> ua.BrowsePath | None:
        """The steps as a browse path from the root folder along hierarchical references."""
        elements = []
        for step in steps:
            index = self.index(step.namespace)
            if index is None:
                return None
            elements.append(
                ua.RelativePathElement(
                    ReferenceTypeId=node_id(ObjectIds.HierarchicalReferences),
                    IsInverse=_NO,
                    IncludeSubtypes=_YES,
                    TargetName=ua.QualifiedName(step.name, index),
                )
            )
        return ua.BrowsePath(node_id(ObjectIds.RootFolder), ua.RelativePath(Elements=elements))


async def resolve(
    session: UaSession, namespaces: Namespaces, limits: Limits, table: TagTable, only: Collection[int]
) -> Resolved:
    """Find the tags at these positions of a table; those that are not there get BadNodeIdUnknown."""
    found: dict[int, ua.NodeId] = {}
    missing: dict[int, int] = {}
    paths: list[tuple[int, ua.BrowsePath]] = []
    for position in only:
        options = tag_options(table.tags[position].where)
        if options.node is not None:
            node = namespaces.node(parse_node(options.node))
            if node is not None:
                found[position] = node
        elif options.path is not None:
            path = namespaces.path(parse_path(options.path))
            if path is not None:
                paths.append((position, path))
    for part in chunks(paths, limits.paths):
        await _translate(session, part, found, missing)
    for position in only:
        if position not in found:
            missing.setdefault(position, STATUS["BadNodeIdUnknown"])
    order = sorted(found)
    return Resolved(order, [found[position] for position in order], missing)


def report(table: TagTable, before: Mapping[int, int], now: Mapping[int, int]) -> None:
    """One log line for the tags that the server gives us again, and one a status for those it does not any more."""
    found = sorted(set(before) - set(now))
    if found:
        log.info("opcua-tags-found device=%s count=%s tags=%s", table.device, len(found), _listed(table, found))
    refused: dict[int, list[int]] = {}
    for position, code in now.items():
        if before.get(position) != code:
            refused.setdefault(code, []).append(position)
    for code, positions in refused.items():
        log.warning(
            "opcua-tags-refused device=%s status=%s count=%s tags=%s reason=%r",
            table.device, status_name(code), len(positions), _listed(table, positions),
            cause_of_status(status_name(code)).en,
        )  # fmt: skip


def _listed(table: TagTable, positions: Sequence[int]) -> str:
    """The first tags and where they should be; all of them are in `edge-agent status` with their status."""
    listed = []
    for position in positions[:_LISTED]:
        options = tag_options(table.tags[position].where)
        listed.append(f"{table.names[position]}({options.node or options.path})")
    return ",".join(listed) + (",..." if len(positions) > _LISTED else "")


async def _translate(
    session: UaSession, part: Sequence[tuple[int, ua.BrowsePath]], found: dict[int, ua.NodeId], missing: dict[int, int]
) -> None:
    results = await session.translate_browsepaths_to_nodeids([path for _, path in part])
    if len(results) != len(part):
        raise ValueError(f"{len(results)} results for {len(part)} browse paths")
    for (position, _), result in zip(part, results, strict=True):
        if result.StatusCode.is_good() and result.Targets:
            target = result.Targets[0].TargetId
            found[position] = ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
        elif result.StatusCode.value != _BAD_NO_MATCH:
            missing[position] = int(result.StatusCode.value)
