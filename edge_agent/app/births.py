"""The retained birth document of each device: who it is, and what its tags mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from edge_agent.config.models import DeviceCommon
from edge_agent.model import TagTable
from edge_agent.payload import VERSION, tag_document


def birth(
    device: DeviceCommon, tables: Sequence[TagTable], *, agent: str, path: str, area: str, staleness: float, t: int
) -> bytes:
    """The document as it goes onto the wire; `path`: its topic, `t`: wall clock in ns."""
    tags = {tag.name: tag_document(table, i) for table in tables for i, tag in enumerate(table.tags)}
    who: dict[str, Any] = {
        "v": VERSION,
        "device": device.id,
        "name": device.name,
        "agent": agent,
        "connector": device.connector,
        "profile": device.profile,
        "area": area,
        "line": device.line,
        "cell": device.cell,
        "path": path,
        "staleness": staleness,
    }
    return orjson.dumps({key: value for key, value in who.items() if value not in (None, "")} | {"t": t, "tags": tags})
