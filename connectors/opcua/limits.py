"""What a server can take in one call, and lists cut so that it is respected."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

T = TypeVar("T")
log = logging.getLogger(__name__)

_MOST_READ: Final = 5000
_MOST_ITEMS: Final = 1000
_MOST_PATHS: Final = 500

#: A server that meant less than it announced says so by one of these.
TOO_MUCH: Final = frozenset(
    {
        0x80100000,  # BadTooManyOperations
        0x80080000,  # BadEncodingLimitsExceeded
        0x80B80000,  # BadRequestTooLarge
        0x80B90000,  # BadResponseTooLarge
    }
)


@dataclass(frozen=True, slots=True)
class OperationLimits:
    """Nodes per call (OPC 10000-5 OperationLimits); where the server names no limit, ours."""

    read: int = _MOST_READ
    items: int = _MOST_ITEMS
    paths: int = _MOST_PATHS


_FORMS: Final[dict[type, ua.NodeIdType]] = {
    int: ua.NodeIdType.Numeric,
    str: ua.NodeIdType.String,
    uuid.UUID: ua.NodeIdType.Guid,
    bytes: ua.NodeIdType.ByteString,
}


def node_id(identifier: Any, namespace: Any = 0) -> ua.NodeId:
    """asyncua's NodeId of an int (i=), str (s=), UUID (g=) or bytes (b=)."""
    return ua.NodeId(identifier, namespace, _FORMS[type(identifier)])


def value_of_node(node: ua.NodeId) -> ua.ReadValueId:
    """The Value attribute of a node."""
    return ua.ReadValueId(node, AttributeIds.Value)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Consecutive parts of at most `size`, in order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


#: The smallest thing to ask a server: is it there, and does it know this session?
STATE: Final = ua.ReadParameters(
    MaxAge=0,
    TimestampsToReturn=ua.TimestampsToReturn.Neither,
    NodesToRead=[value_of_node(node_id(ObjectIds.Server_ServerStatus_State))],
)


async def read_limits(session: UaSession) -> OperationLimits:
    """Ask the server one node at a time, because how many it takes at once is the question."""
    return OperationLimits(
        read=await _limit(
            session, ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead, _MOST_READ
        ),
        items=await _limit(
            session,
            ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
            _MOST_ITEMS,
        ),
        paths=await _limit(
            session,
            ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds,
            _MOST_PATHS,
        ),
    )


async def _limit(session: UaSession, identifier: int, most: int) -> int:
    value = await read_one(session, identifier)
    stated = value if isinstance(value, int) and value > 0 else most
    return min(stated, most)


async def read_one(session: UaSession, identifier: int) -> object:
    """The value of a node of namespace 0, or None when the server has none."""
    wanted = value_of_node(node_id(identifier))
    found = await session.read(ua.ReadParameters(NodesToRead=[wanted]))
    if (
        len(found) != 1
        or found[0].Value is None
        or (found[0].StatusCode and not found[0].StatusCode.is_good())
    ):
        return None
    value: object = found[0].Value.Value
    return value
