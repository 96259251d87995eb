"""The server's namespace table: URIs become indexes, and an index keeps its meaning when the order
changes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, cast

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.object_ids import ObjectIds

from connectors.opcua.address import Namespace, NodeAddress, PathSegment
from connectors.opcua.limits import node_id, read_one

log = logging.getLogger(__name__)

_OWN: Final = 2
"""From here on an index means what the server's table says; 0 and 1 are fixed by the standard."""
# asyncua annotates with its wire types, which are not `bool` to a type checker.
YES: Final = cast("ua.Boolean", True)
NO: Final = cast("ua.Boolean", False)


class NamespaceTable:
    """The server's namespace table as read at connect.

    A configured index means the URI that stood there when this connection first read the table:
    should the server come back with another order, the tag moves along, and never becomes the tag
    of the same name next door.
    """

    def __init__(self, uris: Sequence[str], before: NamespaceTable | None = None) -> None:
        self._index = {uri: index for index, uri in reversed(list(enumerate(uris)))}
        self._first: Sequence[str] = before.first if before is not None and before.first else uris
        self._uris = uris
        if before is not None and before.first and before.table[_OWN:] != uris[_OWN:]:
            log.warning("opcua-namespaces-moved first=%s now=%s", list(self._first), list(uris))

    @classmethod
    async def read(cls, session: UaSession, before: NamespaceTable | None = None) -> NamespaceTable:
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

    def path(self, steps: Sequence[PathSegment]) -> ua.BrowsePath | None:
        """The steps as a browse path from the root folder along hierarchical references."""
        elements = []
        for step in steps:
            index = self.index(step.namespace)
            if index is None:
                return None
            elements.append(
                ua.RelativePathElement(
                    ReferenceTypeId=node_id(ObjectIds.HierarchicalReferences),
                    IsInverse=NO,
                    IncludeSubtypes=YES,
                    TargetName=ua.QualifiedName(step.name, index),
                )
            )
        return ua.BrowsePath(node_id(ObjectIds.RootFolder), ua.RelativePath(Elements=elements))
