"""The values of a table as the server gives them, each with its OPC UA type: for a person who
compares.

Types are not kept on the way of the values, so this is a Read of its own, in the session that is
open anyway.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua

from connectors.opcua.faults import device_errors
from connectors.opcua.limits import chunks, value_of_node
from connectors.opcua.resolve import Resolved
from connectors.opcua.session import OpcuaSession
from connectors.opcua.stock import value_of
from connectors.opcua.structures import is_structure, plain_value, type_name
from edge_agent.sdk import TagTable, status_name


async def read_raw(session: OpcuaSession, table: TagTable, resolved: Resolved) -> list[str | None]:
    """A text for each tag; None for those the server does not have. Raises DeviceError."""
    found: list[str | None] = [None] * len(table)
    with device_errors(session.options.endpoint):
        pairs = list(zip(resolved.positions, resolved.nodes, strict=True))
        for part in chunks(pairs, session.limits.read):
            request = ua.ReadParameters(
                MaxAge=0,
                TimestampsToReturn=ua.TimestampsToReturn.Neither,
                NodesToRead=[value_of_node(node) for _, node in part],
            )
            answer = await session.service.read(request)
            for (position, _), item in zip(part, answer, strict=True):
                found[position] = typed(item)
    return found


def typed(item: ua.DataValue) -> str:
    """`Double 8000.5`, `Int16[3] [1, 2, 3]`; without a value, or beside one that is not good, the
    status."""
    code = 0 if item.StatusCode is None else int(item.StatusCode.value)
    variant = item.Value
    if variant is None or variant.VariantType == ua.VariantType.Null:
        return status_name(code) if code else "Null"
    value: Any = value_of(variant)
    if is_structure(value):
        value = f"{type_name(value)} {plain_value(value, None) or ''}".rstrip()
    name = variant.VariantType.name
    if variant.is_array:
        name += f"[{len(variant.Value or ())}]"
    text = f"{name} {value}"
    return f"{text} ({status_name(code)})" if code else text
