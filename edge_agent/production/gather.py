"""From a store to the facts of a window. The store speaks of devices by their keys, facts by their
names.

`gather` brings all that a report and its evidence pack rest on; `gather_production` only what
times, parts and energy of machines need, which the service computes every minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from edge_agent.config.models import Site
from edge_agent.metrics.calendar import Calendar
from edge_agent.metrics.live import StoredSignals
from edge_agent.metrics.planned import planned
from edge_agent.metrics.timemodel import Plan as PlanKind
from edge_agent.production.count_notes import CountNotes
from edge_agent.production.counting import CountedReadings
from edge_agent.production.facts import (
    BEFORE_NS,
    HISTORY_NS,
    MINUTE_NS,
    AssessedDevice,
    ConnectionChange,
    CounterReadings,
    DroppedValues,
    InterfaceTag,
    Longs,
    MinuteHealth,
    PlannedChange,
    Role,
    StateColumns,
    WindowFacts,
)
from edge_agent.production.inventory import inventory
from edge_agent.production.signals import MODE, STATE, DeviceSignals, PlantSignals, Signal
from edge_agent.production.site_devices import SiteDevices
from edge_agent.production.states import TagChanges, states
from edge_agent.production.store_source import CounterQuestion, FactSource
from edge_agent.register.model import Register, schedules_of
from edge_agent.stores.evidence import Span

Known = Mapping[str, Sequence[Span]]
"""Device (its key, or its name where that is said) -> spans in which its values were current."""

_DAY_NS: Final = 86_400_000_000_000
#: A plant whose clock was sped up is ahead of this one.
_AHEAD_NS: Final = 40 * _DAY_NS
_BACK_NS: Final = 400 * _DAY_NS


def devices_of(site: Site, source: FactSource) -> SiteDevices:
    """The devices of the plant as the store knows them."""
    return SiteDevices(site, source.known_devices(site.agents))


def newest_minute(source: FactSource, plant: SiteDevices, now_ns: int) -> int | None:
    """The full minute the newest health row lies behind; None for a store without any."""
    rows = source.newest_rows(now_ns - _BACK_NS, now_ns + _AHEAD_NS)
    last = max((t for key, t in rows.items() if key in plant.by_key), default=None)
    return None if last is None else last // MINUTE_NS * MINUTE_NS


def first_data(source: FactSource, plant: SiteDevices, until_ns: int) -> int | None:
    """When the first of all devices was first read well, if that was up to `until_ns`."""
    return min(
        (t for key, t in source.first_good(until_ns).items() if key in plant.by_key), default=None
    )


def gather(
    site: Site,
    source: FactSource,
    register: Register,
    calendar: Calendar | None,
    start: int,
    end: int,
) -> WindowFacts:
    """The facts of `start..end`, both full minutes."""
    plant = devices_of(site, source)
    signals = PlantSignals(site, register, plant, window=(start, end), notes=CountNotes.of(site))
    devices, names = (
        list(signals.devices.values()),
        {key: member.name for key, member in plant.by_key.items()},
    )
    known, states_of = _states(source, signals, devices, calendar, start, end)
    last_day = max(start, end - _DAY_NS)
    history_start = WindowFacts(start, end).history_start
    quality = source.quality(list(names), last_day, end)
    plan = _plan(calendar, signals.register, min(history_start, start - BEFORE_NS), end + BEFORE_NS)
    late = _lateness(source, devices, last_day, end)
    return WindowFacts(
        start,
        end,
        inventory(site, plant),
        tags=_tags(names, source.series()),
        first_good=_first_good(source, names, end),
        minutes=_minutes(source, names, history_start, end),
        states=states_of,
        counters=_counters(source, signals, devices, known, states_of, start, end),
        lateness={name: dict(sorted(each.items())) for name, each in late.items()},
        quality={names[key]: quality[key] for key in names},
        connections=[
            ConnectionChange(row["t"], names[row["device"]], row["from"], row["to"], row["reason"])
            for row in source.transitions(start, end)
            if not row.get("tag") and row["device"] in names
        ],
        gaps=[
            DroppedValues(
                row["t"], row["agent"], row["stream"], row["from_t"], row["to_t"], row["values"]
            )
            for row in source.gaps(start, end)
            if not plant.is_guest_agent(row["agent"])
        ],
        plan=plan,
        stored=_stored(source, site, signals, plan, end),
        timezone=site.agent.timezone,
        states_until=end + BEFORE_NS,
    )


def _stored(
    source: FactSource, site: Site, signals: PlantSignals, plan: Sequence[PlannedChange], end: int
) -> dict[str, StoredSignals]:
    """What the store has of every device's own values; a change is looked for in the planned time
    asked for."""
    within = int(site.register_.change_within * 1e9)
    schedules = schedules_of(signals.members.standing)
    looks: dict[str, int] = {}
    since = {}
    for device in signals.devices.values():
        schedule = schedules.get(device.id) if plan else None
        if schedule is None:
            since[device.key] = end - within
            continue
        if schedule not in looks:
            hours = planned(
                [
                    (row.t, PlanKind(row.plan))
                    for row in plan
                    if row.schedule == schedule and row.t < end
                ],
                end,
            )
            looks[schedule] = hours.before(end, within, end - HISTORY_NS)
        since[device.key] = looks[schedule]
    found = source.stored_values(since, end)
    return {
        device.id: found[device.key] for device in signals.devices.values() if device.key in found
    }


def gather_production(
    source: FactSource,
    signals: PlantSignals,
    calendar: Calendar | None,
    start: int,
    end: int,
    late_from: int,
) -> tuple[WindowFacts, Known]:
    """Of the devices that figures of machines, lines and meters read from: states, counters,
    lateness since `late_from`, first connections, the plan; and when the values of each device (by
    name) were current. No health by minute."""
    devices = signals.wanted
    known, states_of = _states(source, signals, devices, calendar, start, end)
    names = {device.key: device.id for device in devices}
    facts = WindowFacts(
        start,
        end,
        {name: AssessedDevice(name) for name in signals.devices},
        first_good=_first_good(source, names, end),
        states=states_of,
        counters=_counters(source, signals, devices, known, states_of, start, end),
        lateness=_lateness(source, devices, late_from, end),
        timezone=signals.timezone,
        states_until=end + BEFORE_NS,
        plan=_plan(calendar, signals.register, start - BEFORE_NS, end + BEFORE_NS),
    )
    return facts, {names[key]: spans for key, spans in known.items() if key in names}


def _first_good(source: FactSource, names: Mapping[str, str], end: int) -> dict[str, int]:
    return {names[key]: t for key, t in source.first_good(end).items() if key in names}


def _minutes(
    source: FactSource, names: Mapping[str, str], start: int, end: int
) -> dict[str, MinuteHealth]:
    """A day at a time."""
    parts: dict[str, list[Longs]] = {}
    for day in range(start, end, _DAY_NS):
        for device, rows in source.minutes(day, min(day + _DAY_NS, end)).items():
            parts.setdefault(device, []).append(rows)
    return {
        names[key]: MinuteHealth(np.concatenate(found))
        for key, found in parts.items()
        if key in names
    }


def _states(
    source: FactSource,
    signals: PlantSignals,
    devices: Sequence[DeviceSignals],
    calendar: Calendar | None,
    start: int,
    end: int,
) -> tuple[Known, dict[str, StateColumns]]:
    """When the devices' values were current (by key), and the states of those that have any (by
    name)."""
    known = source.known(start - BEFORE_NS, end + BEFORE_NS)
    ordered = _ordered_by_tag(signals, calendar)
    having = [device for device in devices if device.has_state]
    orders = {
        device.key: device.order for device in having if device.order and device.id in ordered
    }
    names = [
        (device.key, tag)
        for device in having
        for tag in (STATE, MODE, *filter(None, [orders.get(device.key)]))
    ]
    changes = source.changes(names, start - BEFORE_NS, end + BEFORE_NS)
    none = TagChanges.of([])
    found = {}
    for device in having:
        item, mode = (changes.get((device.key, tag), none) for tag in (STATE, MODE))
        order = orders.get(device.key)
        job = changes.get((device.key, order), none) if order else None
        found[device.id] = states(
            item, mode, job, known.get(device.key, []), start - BEFORE_NS, end + BEFORE_NS
        )
    return known, found


def _ordered_by_tag(signals: PlantSignals, calendar: Calendar | None) -> set[str]:
    """Devices of machines whose schedule says that a tag speaks of orders."""
    found = set()
    for machine in signals.links.machines:
        schedule = calendar.schedule(machine.schedule_id) if calendar else None
        device = signals.of(machine)
        if device is not None and schedule is not None and schedule.order_source == "tag":
            found.add(device.id)
    return found


def _counters(
    source: FactSource,
    signals: PlantSignals,
    devices: Sequence[DeviceSignals],
    known: Known,
    states_of: Mapping[str, StateColumns],
    start: int,
    end: int,
) -> tuple[CounterReadings, ...]:
    """Energy is divided where the state changed, and rises evenly between two readings, while a
    count of parts stands until the next. A counter without a reading in the window says nothing,
    rather than 0."""
    names = {device.key: device.id for device in devices}
    counting: list[CounterQuestion] = []
    integrating: list[CounterQuestion] = []
    for device in devices:
        dividing = {
            device.id,
            *(names[key] for key, _ in signals.dividing_states(device) if key in names),
        }
        changed = _changed(
            [states_of[name].t for name in sorted(dividing) if name in states_of], start, end
        )
        spans = known.get(device.key, [])
        for role, signal in device.roles.items():
            if role == "integrated_power":
                integrating.append(
                    CounterQuestion(signal.name, changed, spans, signals.about(device, role))
                )
            else:
                at = changed if role == "energy" else np.zeros(0, np.int64)
                counting.append(
                    CounterQuestion(signal.name, at, spans, signals.about(device, role))
                )
    counted, integrated = (
        source.counters(counting, start, end),
        source.energies(integrating, start, end),
    )
    found: list[CounterReadings] = []
    for device in devices:
        for role, signal in device.roles.items():
            if signal.name in counted:
                found.append(_counter(device.id, role, signal, counted[signal.name]))
            elif signal.name in integrated:
                found.append(
                    CounterReadings(
                        device.id, role, signal.name[1], signal.ratio, None, integrated[signal.name]
                    )
                )
    return tuple(found)


def _counter(device: str, role: Role, signal: Signal, counted: CountedReadings) -> CounterReadings:
    return CounterReadings(
        device,
        role,
        signal.name[1],
        signal.ratio,
        counted.modulus,
        counted.readings,
        counted.epochs,
        counted.events,
        counted.unknown_since,
    )


def _changed(columns: Sequence[Longs], start: int, end: int) -> Longs:
    """Where the states changed that divide the energy of a device: moments inside the window,
    rising."""
    t = np.unique(np.concatenate([np.zeros(0, np.int64), *columns]))
    return t[(t > start) & (t < end)]


def _lateness(
    source: FactSource, devices: Sequence[DeviceSignals], start: int, end: int
) -> dict[str, dict[int, int]]:
    names = {device.key: device.id for device in devices}
    found = source.lateness([device.sample for device in devices], start, end)
    return {names[key]: counts for key, counts in found.items()}


def _tags(
    names: Mapping[str, str], series: Mapping[str, Mapping[str, Any]]
) -> tuple[InterfaceTag, ...]:
    return tuple(
        _tag(name, tag, meta)
        for key, name in names.items()
        for tag, meta in sorted(series.get(key, {}).items())
    )


def _tag(device: str, tag: str, meta: Mapping[str, Any]) -> InterfaceTag:
    low, high = (f"{limit:g}" for limit in meta["range"]) if meta.get("range") else ("", "")
    words = (str(meta.get(key, "")) for key in ("business_link", "description"))
    return InterfaceTag(
        device, tag, str(meta.get("type", "")), str(meta.get("unit", "")), low, high, *words
    )


def _plan(
    calendar: Calendar | None, register: Register, start: int, end: int
) -> tuple[PlannedChange, ...]:
    """What is planned for every schedule the register names, and for machines that name none."""
    return tuple(_planned(calendar, register, start, end)) if calendar is not None else ()


def _planned(
    calendar: Calendar, register: Register, start: int, end: int
) -> Iterator[PlannedChange]:
    for schedule in sorted({"", *(machine.schedule_id for machine in register.equipment)}):
        track = calendar.plan(schedule, start, end)
        for t, plan in zip(track.times, track.values, strict=True):
            yield PlannedChange(schedule, t, plan.value)
