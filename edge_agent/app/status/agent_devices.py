"""The devices as the agent of this machine says they are: what `status` shows while no store
service runs.

Machine state and rates come out of the store; what only it knows is left open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.config.models import DeviceCommon

Document = Mapping[str, Any]


def agent_device_rows(
    agent: Document, devices: Sequence[DeviceCommon], now_ns: int
) -> list[dict[str, Any]]:
    """A row of the devices' table for each device of the agent's status document; `devices`: the
    configured ones."""
    configured = {device.id: device for device in devices}
    return [_row(row, configured.get(row["id"]), now_ns) for row in agent.get("devices", ())]


def _row(row: Document, config: DeviceCommon | None, now_ns: int) -> dict[str, Any]:
    last_good = row["last_good_t"]
    return {
        "id": row["id"],
        "name": (config.name if config is not None else "") or row["id"],
        "connector": config.connector if config is not None else "",
        "state": None,
        "values_per_s": None,
        "last_good_age_s": None if last_good is None else max(0.0, (now_ns - last_good) / 1e9),
        "quality": _quality(row, len(config.tags) if config is not None else 0),
        "connection": row["state"],
    }


def _quality(row: Document, tags: int) -> str:
    """`Good`, or the first reason why not, with how many tags it concerns."""
    if row["state"] in ("offline", "starting"):
        return str(row["reason"] or "BadWaitingForInitialData")
    not_good = row.get("tags_not_good", 0)
    if not not_good:
        return "Good"
    status = row["tags"][0]["status"] if row.get("tags") else row["reason"]
    present = max(not_good, tags - row.get("tags_absent", 0))
    return f"{status} {not_good}/{present}"
