"""From a site and its store to the facts of a window: asks the running service, or the store itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import orjson

from edge_agent.app.figures.signals import MODE, STATE, Links
from edge_agent.app.figures.signals import Device as Reading
from edge_agent.app.reports.inventory import devices as inventory
from edge_agent.app.site_devices import SiteDevices
from edge_agent.config.models import Site
from edge_agent.ingest.api import ask, operations, running, socket_path
from edge_agent.metrics.calendar import Calendar
from edge_agent.metrics.readings import Readings
from edge_agent.register.model import Register
from edge_agent.report import columns, questions
from edge_agent.report.facts import (
    BEFORE_NS,
    MINUTE_NS,
    Connection,
    Counter,
    Facts,
    Gap,
    Minutes,
    Planned,
    Quality,
    Role,
    State,
    Tag,
)
from edge_agent.report.states import Told, states
from edge_agent.stores import open_store
from edge_agent.stores.base import Name

Ask = Callable[..., Any]
Known = dict[str, list[list[int]]]

_DAY: Final = 86_400_000_000_000
#: Letters of moments in one question; the service takes a line of a million.
_ROOM: Final = 600_000
#: Letters of one span.
_SPAN: Final = 44


@contextlib.contextmanager
def source(site: Site) -> Iterator[Ask]:
    """How to ask the store: through the running service, or opened here while no service runs."""
    door = socket_path(site.store.path)
    if running(door):
        yield lambda op, **arguments: ask(door, op, **arguments)
        return
    site.require_store_secrets()
    store = open_store(site.store, site.agent.id, site.agents)
    known = operations(store) | questions.operations(store)
    try:
        # Through JSON as well, so that both ways give the same types.
        yield lambda op, **arguments: orjson.loads(orjson.dumps(known[op](**arguments)))
    finally:
        store.close()


def newest(question: Ask, plant: SiteDevices, now_ns: int) -> int | None:
    """The full minute the newest health row lies behind; None for a store without any."""
    # A plant whose clock was sped up is ahead of this one.
    rows = question("health", from_ns=now_ns - 400 * _DAY, to_ns=now_ns + 40 * _DAY)
    last = max((row["last_t"] for key, row in rows.items() if key in plant.by_key), default=None)
    return None if last is None else last // MINUTE_NS * MINUTE_NS


def gather(site: Site, question: Ask, register: Register, calendar: Calendar | None, start: int, end: int) -> Facts:
    """The facts of `start..end`, both full minutes. The store speaks of devices by their keys, facts by their names."""
    plant = devices_of(site, question)
    about, links = inventory(site, plant), Links(site, register, plant)
    facts, names = Facts(start, end, about), {key: member.name for key, member in plant.by_key.items()}
    live = question("live_facts", from_ns=start, to_ns=end)
    known = question("report_known", from_ns=start - BEFORE_NS, to_ns=end + questions.AFTER_NS)
    last_day = {"from_ns": max(start, end - _DAY), "to_ns": end}
    samples = [device.sample for device in links.devices.values()]
    states_of = _states(question, links, calendar, known, start, end)
    quality = question("report_quality", devices=list(names), **last_day)
    return Facts(
        start,
        end,
        about,
        tags=_tags(names, question("report_series")),
        first_good={
            names[key]: row["first_ns"] for key, row in live.items() if key in names and row["first_ns"] is not None
        },
        minutes=_minutes(question, names, facts.history_start, end),
        states=states_of,
        counters=_counters(question, links, known, states_of, start, end),
        lateness={
            names[key]: dict(counts) for key, counts in question("report_lateness", names=samples, **last_day).items()
        },
        quality={names[key]: _quality(quality[key]) for key in names},
        connections=[
            Connection(row["t"], names[row["device"]], row["from"], row["to"], row["reason"])
            for row in question("transitions", from_ns=start, to_ns=end)
            if not row.get("tag") and row["device"] in names
        ],
        gaps=[
            Gap(row["t"], row["agent"], row["stream"], row["from_t"], row["to_t"], row["values"])
            for row in question("gaps", from_ns=start, to_ns=end)
            if not plant.is_guest_agent(row["agent"])
        ],
        plan=_plan(calendar, register, min(facts.history_start, start - BEFORE_NS), end),
    )


def devices_of(site: Site, question: Ask) -> SiteDevices:
    """The devices of the plant as the store knows them."""
    return SiteDevices(site, question("known_devices", agents=list(site.agents)))


def _minutes(question: Ask, names: Mapping[str, str], start: int, end: int) -> dict[str, Minutes]:
    """A day at a time."""
    parts: dict[str, list[Minutes]] = {}
    for day in range(start, end, _DAY):
        answer = question("report_minutes", from_ns=day, to_ns=min(day + _DAY, end))
        for device, told in answer.items():
            parts.setdefault(device, []).append(Minutes(columns.read(told, np.int64)))
    return {
        names[key]: Minutes(np.concatenate([part.rows for part in found]))
        for key, found in parts.items()
        if key in names
    }


def _states(
    question: Ask, links: Links, calendar: Calendar | None, known: Known, start: int, end: int
) -> dict[str, tuple[State, ...]]:
    ordered = _ordered_by_tag(links, calendar)
    devices = [device for device in links.devices.values() if device.has_state]
    orders = {device.key: device.order for device in devices if device.order and device.id in ordered}
    names = [(device.key, tag) for device in devices for tag in (STATE, MODE, *filter(None, [orders.get(device.key)]))]
    told = question("report_changes", names=names, from_ns=start - BEFORE_NS, to_ns=end)
    found = {}
    for device in devices:
        answer, order = told.get(device.key, {}), orders.get(device.key)
        item, mode, job = (_read(answer.get(tag)) for tag in (STATE, MODE, order))
        spans = known.get(device.key, [])
        found[device.id] = states(item, mode, job if order else None, spans, start - BEFORE_NS, end)
    return found


def _read(answer: list[Any] | None) -> Told:
    if answer is None:
        return Told.of([])
    t, number = columns.read(answer[0], np.int64), columns.read(answer[1], np.float64)
    why = [""] * len(t)
    for place, name in answer[2].items():
        why[int(place)] = name
    return Told(t, number, why)


def _ordered_by_tag(links: Links, calendar: Calendar | None) -> set[str]:
    """Devices of machines whose schedule says that a tag tells of orders."""
    found = set()
    for machine in links.machines:
        schedule = calendar.schedule(machine.schedule_id) if calendar else None
        device = links.of(machine)
        if device is not None and schedule is not None and schedule.order_source == "tag":
            found.add(device.id)
    return found


def _counters(
    question: Ask, links: Links, known: Known, states_of: dict[str, tuple[State, ...]], start: int, end: int
) -> tuple[Counter, ...]:
    changes = {
        device.key: columns.told(_changed(links, device, states_of, start, end)) for device in links.devices.values()
    }
    window = {"from_ns": start, "to_ns": end}
    told = _told(question, links, changes, known, window)
    found = []
    for device in links.devices.values():
        for role, signal in device.roles.items():
            tag, rule = signal.name[1], signal.rule
            if role == "integrated_power":
                one = {"device": device.key, "tag": tag, "at": changes[device.key], "known": known.get(device.key, [])}
                answer = question("report_energy", **one, **window)
            else:
                answer = told.get(signal.name)
            if answer:  # a counter without a reading in the window says nothing, rather than 0
                readings = Readings(columns.read(answer[0], np.int64), columns.read(answer[1], np.float64))
                found.append(Counter(device.id, cast("Role", role), tag, rule.ratio, rule.modulus, readings))
    return tuple(found)


def _changed(
    links: Links, device: Reading, states_of: Mapping[str, Sequence[State]], start: int, end: int
) -> npt.NDArray[np.int64]:
    """Where the state changed of the machine whose energy a device tells."""
    keys = {device.key, *(key for key, _ in links.told_apart(device))}
    machines = [each.id for each in links.devices.values() if each.key in keys]
    times = {row.t for machine in machines for row in states_of.get(machine, ()) if start < row.t < end}
    return np.array(sorted(times), np.int64)


def _told(
    question: Ask, links: Links, changes: Mapping[str, str], known: Known, window: Mapping[str, int]
) -> dict[Name, list[str]]:
    """(device, tag) -> columns of all counters; energy is told apart where the state changed, and rises evenly between
    two readings, while a count of parts stands until the next."""
    none = columns.told(np.zeros(0, np.int64))
    wanted = [
        {
            "device": device.key,
            "tag": signal.name[1],
            "at": changes[device.key] if role == "energy" else none,
            "known": [] if role == "energy" else known.get(device.key, []),
        }
        for device in links.devices.values()
        for role, signal in device.roles.items()
        if role != "integrated_power"
    ]
    found: dict[Name, list[str]] = {}
    for some in _groups(wanted):
        for device, tags in question("report_counts", wanted=some, **window).items():
            found |= {(device, tag): answer for tag, answer in tags.items()}
    return found


def _groups(wanted: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """As many at once as a question has room for."""
    some: list[dict[str, Any]] = []
    room = _ROOM
    for each in wanted:
        size = len(each["at"]) + _SPAN * len(each["known"])
        if some and room < size:
            yield some
            some, room = [], _ROOM
        some.append(each)
        room -= size
    if some:
        yield some


def _tags(names: Mapping[str, str], series: dict[str, Any]) -> tuple[Tag, ...]:
    return tuple(
        _tag(name, tag, meta) for key, name in names.items() for tag, meta in sorted(series.get(key, {}).items())
    )


def _tag(device: str, tag: str, meta: dict[str, Any]) -> Tag:
    low, high = (f"{limit:g}" for limit in meta["range"]) if meta.get("range") else ("", "")
    words = (str(meta.get(key, "")) for key in ("business_link", "description"))
    return Tag(device, tag, str(meta.get("type", "")), str(meta.get("unit", "")), low, high, *words)


def _quality(answer: dict[str, Any]) -> Quality:
    return Quality(
        answer["readings"], answer["not_good"], answer["out_of_range"], tuple(answer["unchanged"]), answer["skew_ms"]
    )


def _plan(calendar: Calendar | None, register: Register, start: int, end: int) -> tuple[Planned, ...]:
    """What is planned for every schedule the register names, and for machines that name none."""
    if calendar is None:
        return ()
    schedules = sorted({"", *(machine.schedule_id for machine in register.equipment)})
    return tuple(
        Planned(schedule, t, plan.value)
        for schedule in schedules
        for track in (calendar.plan(schedule, start, end),)
        for t, plan in zip(track.times, track.values, strict=True)
    )
