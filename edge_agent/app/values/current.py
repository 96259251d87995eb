"""The newest values of devices as a document: what `read` shows, from a running agent or without
one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from edge_agent.clock import Clock
from edge_agent.config.compile import plan
from edge_agent.config.models import DeviceCommon
from edge_agent.health import sentence
from edge_agent.health.tags import TagStates, is_absent
from edge_agent.model import Tag, TagTable, is_bad, is_good, status_code, status_name
from edge_agent.normalise.state import StateMachine
from edge_agent.polling.current import CurrentValue
from edge_agent.polling.device import PolledDevice
from edge_agent.sdk import DevicePlan, Plugin

Document = dict[str, Any]

RawOf = Callable[[TagTable, bool], Awaitable[Sequence[str | None] | None]]
"""What stands behind the values of a table, and whether the device may be asked for it; None when
nobody can say."""

#: Rows made in one go; between two of them the event loop serves others.
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class ReadDevice:
    """A device whose values are kept in memory, and how to show more than those."""

    config: DeviceCommon
    polled: PolledDevice
    plugin: Plugin
    raw: RawOf


def state_machine(
    device: DeviceCommon, compiled: DevicePlan, clock: Clock | None = None
) -> StateMachine | None:
    """What derives the machine state from a device's tags; None without rules. `clock`: of rules
    that need time."""
    own = (
        frozenset(name for table in compiled.tables for name in table.names)
        if device.state
        else frozenset()
    )
    now = monotonic if clock is None else clock.monotonic
    return StateMachine.compile(
        device.state, compiled.tables, own, derived=device.derives_state, now=now
    )


def tag_names(device: DeviceCommon, plugin: Plugin) -> list[str]:
    """The tags of a device in the order of its file, those derived from others behind them."""
    state = state_machine(device, plan(device, plugin))
    return [*device.tags, *(part.tag.name for part in (state.parts if state is not None else ()))]


async def current_values(
    agent: str,
    devices: Sequence[ReadDevice],
    tags: Mapping[str, Sequence[str]],
    clock: Clock,
    *,
    ask: bool,
) -> Document:
    """The document `{"agent", "values", "devices"}`. `tags`: those wanted by device. `ask`: see
    `sdk.ShowsRaw`.

    A row of `values` is that of `read --json`, with `t` in nanoseconds, `label` where the number
    has a name, and `why` (Chinese, English) where more is known of a tag than its status. `absent`
    is true of an optional tag that the device does not have.
    """
    rows: list[Document] = []
    states: list[Document] = []
    for device in devices:
        names = tags.get(device.config.id, ())
        if names:
            rows += await _rows(agent, device, names, clock, ask=ask)
            states.append(_state(device.polled))
    return {"agent": agent, "values": rows, "devices": states}


async def _rows(
    agent: str, device: ReadDevice, names: Sequence[str], clock: Clock, *, ask: bool
) -> list[Document]:
    wanted = frozenset(names)
    found = {}
    for own, normaliser in device.polled.normalisers.items():
        table = normaliser.table
        if wanted.isdisjoint(table.names):
            continue
        raw: Sequence[str | None] = ()
        if device.polled.health.state != "offline":  # what was read before is no raw value of now
            raw = await device.raw(own, ask) or ()
        now = clock.monotonic()
        for place, (tag, current) in enumerate(
            zip(table.tags, device.polled.current.of(table), strict=True)
        ):
            if tag.name in wanted:
                words = raw[place] if place < len(raw) else None
                row = found[tag.name] = _row(agent, device, tag, current, now, words)
                if not is_good(current.status):
                    _add_reason(row, device.polled.health.tags, table, place, current.status)
                if len(found) % _AT_ONCE == 0:
                    await asyncio.sleep(0)
    return [found[name] for name in names if name in found]


def _row(
    agent: str, device: ReadDevice, tag: Tag, current: CurrentValue, now: float, raw: str | None
) -> Document:
    value = None if is_bad(current.status) else current.value
    derived = tag.where is None
    address_of = device.plugin.address
    t, read = current.stamp or (None, None)
    row = {
        "agent": agent,
        "device": device.config.id,
        "tag": tag.name,
        "value": value,
        "unit": tag.unit,
        "quality": status_name(current.status),
        "t": t,
        "age_s": None if read is None else round(max(0.0, now - read), 3),
        "raw": raw,
        "address": None if derived or address_of is None else address_of(tag.where),
    }
    if tag.labels is not None and isinstance(value, int):
        row["label"] = tag.labels.get(value, "")
    return row


def _add_reason(row: Document, tags: TagStates, table: TagTable, place: int, status: int) -> None:
    """Why a tag is not good, or that the device may do without it."""
    if is_absent(table, place, status):
        row["absent"] = True
    elif (why := tags.cause_of(table, place)) is not None:
        row["why"] = [why.zh, why.en]


def _state(polled: PolledDevice) -> Document:
    """How the device itself is, so that its reason is said once and not for each tag."""
    health = polled.health
    if health.cause is not None:
        zh = health.cause.zh
        en = health.cause.en
    else:
        zh, en = sentence("starting" if health.state == "starting" else "")
    return {
        "id": polled.plan.id,
        "state": health.state,
        "reason": health.reason,
        "zh": zh,
        "en": en,
    }


def unreadable(agent: str, device: DeviceCommon, tags: Sequence[str], reason: str) -> Document:
    """The document of a device that nobody reads at the moment, for a reason that has a
    sentence."""
    rows = [
        {
            "agent": agent,
            "device": device.id,
            "tag": name,
            "value": None,
            "unit": device.tags[name].unit if name in device.tags else "",
            "quality": "BadNoCommunication",
            "t": None,
            "age_s": None,
            "raw": None,
            "address": None,
        }
        for name in tags
    ]
    zh, en = sentence(reason)
    state = {"id": device.id, "state": "offline", "reason": reason, "zh": zh, "en": en}
    return {"agent": agent, "values": rows, "devices": [state]}


def merge_documents(agent: str, order: Sequence[str], parts: Sequence[Document]) -> Document:
    """Documents about different devices as one, the devices in this order."""
    rows: dict[str, list[Document]] = {}
    states: dict[str, Document] = {}
    for part in parts:
        for row in part["values"]:
            rows.setdefault(row["device"], []).append(row)
        states |= {state["id"]: state for state in part["devices"]}
    values: list[Document] = []
    for device in order:
        values += rows.get(device, [])
    return {
        "agent": agent,
        "values": values,
        "devices": [states[name] for name in order if name in states],
    }


def well(document: Document) -> bool:
    """Whether every value asked for is there, but for those that a device may do without."""
    return not any(
        is_bad(status_code(row["quality"])) and not row.get("absent") for row in document["values"]
    )
