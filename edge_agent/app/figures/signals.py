"""From a site, its register and its store to what the figures of a window are computed from: tracks and counters."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from edge_agent.app.figures.live import speaks_for_its_controller
from edge_agent.app.site_devices import SiteDevice, SiteDevices
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.metrics.counters import U16, U32, Count, Rule, count
from edge_agent.metrics.curve import Curve, Longs, distinct, inside, metered, moments
from edge_agent.metrics.energy import DEMAND_NS
from edge_agent.metrics.readings import Readings
from edge_agent.metrics.result import Grade
from edge_agent.metrics.timemodel import Item, Mode, Track
from edge_agent.register.model import Equipment, Register
from edge_agent.report.facts import MINUTE_NS
from edge_agent.report.roles import counters_of
from edge_agent.report.thinning import readings
from edge_agent.stores import Changes, Store
from edge_agent.stores.base import NEXT_NS, Name
from edge_agent.stores.evidence import SEAM_NS, Span, bridged

STATE, MODE = "machine_state", "operation_mode"
#: A tag that says whether the machine has an order: a number or a flag, 0 = none.
ORDER: Final = ("order_active", "order", "order_id", "order_number", "work_order")

#: After a window's end so much more evidence is read, as of a counter's readings.
AFTER_NS: Final = NEXT_NS
#: States are read from so much earlier, to tell when a failure began.
BEFORE_NS: Final = 86_400_000_000_000
#: M-21 speaks of the window's last hour.
LATENESS_NS: Final = 3_600_000_000_000
_ITEMS: Final = tuple(Item)
_MODES: Final = tuple(Mode)
_MODULI: Final = {"uint16": U16, "uint32": U32}


@dataclass(frozen=True, slots=True)
class Signal:
    """One tag in a role: its readings times `rule.ratio` are pieces, kWh, or (power) kW."""

    name: Name
    rule: Rule


@dataclass(frozen=True)
class Device:
    """What one configured device can tell about production."""

    about: SiteDevice

    @property
    def id(self) -> str:
        """What registers and figures call it."""
        return self.about.name

    @property
    def key(self) -> str:
        """What the store calls it."""
        return self.about.key

    @property
    def config(self) -> DeviceCommon:
        return self.about.config

    @cached_property
    def roles(self) -> Mapping[str, Signal]:
        """`produced`, `good`, `scrap`, `energy`, `integrated_power` -> the tag that has this role."""
        units = {name: {"unit": tag.unit} for name, tag in self.config.tags.items()}
        return {
            role: Signal((self.key, tag), _rule(role, self.config.tags[tag], ratio))
            for role, tag, ratio in counters_of(units)
        }

    @property
    def has_state(self) -> bool:
        return STATE in self.config.tags or (self.config.state is not None and self.config.state.item is not None)

    @property
    def order(self) -> str | None:
        """The tag that says whether there is an order."""
        return next((tag for tag in ORDER if tag in self.config.tags), None)

    @property
    def states(self) -> list[Name]:
        """The tags that say what the machine does."""
        tags = [STATE, MODE] if self.has_state else []
        return [(self.key, tag) for tag in (*tags, *filter(None, [self.order]))]

    @property
    def counters(self) -> list[Name]:
        """The tags that count."""
        return [signal.name for role, signal in self.roles.items() if role != "integrated_power"]

    @property
    def power(self) -> Signal | None:
        """Its power tag."""
        return self.roles.get("integrated_power")

    @property
    def sample(self) -> Name:
        """A tag it reads itself, to tell from how late its values come."""
        return self.key, next(iter(self.config.tags), STATE)


def _rule(role: str, tag: object, ratio: Fraction) -> Rule:
    scaled = getattr(tag, "scale", 1.0) != 1.0
    modulus = None if scaled else _MODULI.get(str(getattr(tag, "type", None)).lower())
    return Rule(modulus, restarts=role in ("produced", "good", "scrap"), ratio=ratio)


class Links:
    """Which device speaks for which machine, line and meter."""

    def __init__(self, site: Site, register: Register, devices: SiteDevices | None = None) -> None:
        """`devices`: those of the plant as the store knows them; None: those of the file alone."""
        devices = devices or SiteDevices.of_file(site)
        self.devices = {member.name: Device(member) for member in devices.members}
        self.register = register = devices.resolved(register)
        in_use = [row for row in register.equipment if row.status == "in_use"]
        users = Tally(device for row in in_use for device in row.devices)
        self.machines = [row for row in in_use if row.counted]
        self._alone = {
            row.equipment_id: self.devices[row.devices[0]]
            for row in in_use
            if len(row.devices) == 1 and users[row.devices[0]] == 1 and row.devices[0] in self.devices
        }
        self._meter_users = Tally(row.meter_id for row in in_use if row.meter_id)
        self._meters = [row for row in in_use if row.category == "meter"]

    def of(self, machine: Equipment) -> Device | None:
        """The one device that speaks for this machine alone."""
        return self._alone.get(machine.equipment_id)

    def meter_of(self, machine: Equipment) -> Device | None:
        """A meter that measures this machine alone."""
        meter = self.devices.get(machine.meter_id)
        return meter if meter is not None and self._meter_users[machine.meter_id] == 1 else None

    def meters(self, line: str) -> list[Device]:
        """The meters of a line that are read; a meter of one machine alone is not the line's."""
        found = (self._alone.get(row.equipment_id) for row in self._meters if row.line == line)
        return [
            device
            for device in found
            if device is not None and "energy" in device.roles and self._meter_users[device.id] != 1
        ]

    @property
    def lines(self) -> list[str]:
        return sorted({machine.line for machine in self.machines if machine.line})

    @cached_property
    def wanted(self) -> list[Device]:
        """Every device the figures read from."""
        found = [self.of(machine) for machine in self.machines] + [self.meter_of(row) for row in self.machines]
        found += [device for line in self.lines for device in self.meters(line)]
        return list({device.id: device for device in found if device is not None}.values())

    @property
    def steady(self) -> list[Name]:
        """The tags whose runs the store should keep: states repeat themselves."""
        return [name for device in self.wanted for name in device.states]

    @property
    def powers(self) -> dict[Name, list[Name]]:
        """The power tags, and beside each the states that tell its energy apart."""
        return {device.power.name: device.states for device in self.wanted if device.power is not None}

    @property
    def counters(self) -> dict[Name, list[Name]]:
        """The counters, and beside each the states that tell apart what it counted: of energy those of the machine."""
        return {
            signal.name: self.told_apart(device) if role == "energy" else []
            for device in self.wanted
            for role, signal in device.roles.items()
            if role != "integrated_power"
        }

    def told_apart(self, device: Device) -> list[Name]:
        """The states at whose changes a device's energy is told: its own, and of the machine whose meter it is."""
        return list(dict.fromkeys([*device.states, *self._metered.get(device.key, [])]))

    @cached_property
    def _metered(self) -> dict[str, list[Name]]:
        """A meter of one machine alone -> the states of that machine."""
        having = [(self.meter_of(row), self.of(row)) for row in self.machines]
        return {meter.key: user.states for meter, user in having if meter is not None and user is not None}


class Signals:
    """The readings of a window, and what they mean."""

    def __init__(self, store: Store, links: Links, start: int, end: int) -> None:
        self.start, self.end = start, end
        devices = links.wanted
        states = [name for device in devices for name in device.states]
        self._changes = store.changes(states, start - BEFORE_NS, end)
        seams = {device.key: max(SEAM_NS, _staleness(store, device.key)) for device in devices}
        self._known = {
            device: bridged(spans, seams.get(device, SEAM_NS))
            for device, spans in store.evidence(start - BEFORE_NS, end + AFTER_NS).items()
        }
        cuts = {name: self._cuts(states) for name, states in links.counters.items()}
        self._changes |= store.counted(cuts, start, end)
        moments = {device.power.name: self._moments(device) for device in devices if device.power is not None}
        self._energy = {name: (moments[name], used) for name, used in store.energy(moments).items()}
        sample = [device.sample for device in devices]
        self.last_hour = max(start, end - LATENESS_NS)
        self.lateness = store.lateness(sample, self.last_hour, end)

    def _cuts(self, states: Sequence[Name]) -> Longs:
        """Where a machine's state changed or was lost."""
        changes = [self._changes[name].first for name in states if name in self._changes]
        known = [np.array(self.known(device), np.int64).ravel() for device in {device for device, _ in states}]
        return np.concatenate([np.zeros(0, np.int64), *changes, *known])

    def _moments(self, device: Device) -> Longs:
        """When its energy must be known: at full minutes up to a full quarter, and at its cuts."""
        last = self.end + -self.end % DEMAND_NS
        return moments(self.start, last, MINUTE_NS, [self._cuts(device.states)], self.known(device.key))

    def known(self, device: str) -> list[Span]:
        """When the values of a device (by its key) were current."""
        return self._known.get(device, [])

    def grade(self, device: Device) -> Grade:
        """What the figures of a machine rest on."""
        if not any(a < self.end and b > self.start for a, b in self.known(device.key)):
            return "E0"
        return "E3" if speaks_for_its_controller(device.config) else "E2"

    def item(self, device: Device) -> Track[Item]:
        """The item state; NotAvailable wherever there was no good one."""
        runs = self._changes.get((device.key, STATE), Changes.empty())
        times, values = _held(runs, self.known(device.key), len(Item))
        return Track(times, [_ITEMS[value] for value in values])

    def mode(self, device: Device) -> Track[Mode]:
        """The operation mode; None wherever there was no good one."""
        runs = self._changes.get((device.key, MODE), Changes.empty())
        times, values = _held(runs, self.known(device.key), len(Mode))
        return Track(times, [_MODES[value] for value in values])

    def order(self, device: Device) -> Track[bool]:
        """Whether there is an order, as last told."""
        runs = self._changes.get((device.key, device.order or ""), Changes.empty())
        usable = runs.good
        return Track(runs.first[usable].tolist(), [bool(number) for number in runs.num[usable]])

    def parts(self, device: Device, role: str, asked: Sequence[Span]) -> Count | None:
        """A part counter, to be told in these spans; None where it is not mapped, or has no reading in the window."""
        signal = device.roles.get(role)
        if signal is None:
            return None
        runs = self._changes.get(signal.name, Changes.empty())
        t, number = readings(runs, self.known(device.key))
        if not np.any((t >= self.start) & (t <= self.end)):
            return None
        kept = _telling(t, number, [edge for span in asked for edge in span])
        return count(Readings(t[kept], number[kept]), signal.rule)

    def energy(self, device: Device) -> Curve | None:
        """What its energy counter says."""
        signal = device.roles.get("energy")
        if signal is None:
            return None
        curve = metered(*readings(self._changes.get(signal.name, Changes.empty())), signal.rule)
        return curve if curve.seen(self.start, self.end) else None

    def power(self, device: Device) -> Curve | None:
        """What its power tag adds up to."""
        signal = device.power
        if signal is None or signal.name not in self._energy:
            return None
        at, used = self._energy[signal.name]
        curve = inside(at, used * float(signal.rule.ratio), self.known(device.key))
        return curve if curve.seen(self.start, self.end) else None


def _staleness(store: Store, device: str) -> int:
    """From its birth document, ns: what lies closer together than this did not go stale in between."""
    birth = store.catalogue.devices.get(device)
    return int(1e9 * orjson.loads(birth).get("staleness", 0.0)) if birth else 0


def _held(runs: Changes, known: Sequence[Span], words: int) -> tuple[list[int], list[int]]:
    """(times, numbers) of a state: as last read, inside the known spans; else, and outside 0..words-1, it is 0."""
    edges = np.array(known, np.int64).reshape(-1, 2)
    if not len(runs) or not len(edges):
        return [], []
    number = np.where(runs.good, np.nan_to_num(runs.num), 0.0)
    number = np.where((number >= 0) & (number < words) & (number == np.floor(number)), number, 0.0).astype(np.int64)
    points = distinct([runs.first, edges.ravel()])
    place = np.searchsorted(runs.first, points, "right") - 1
    span = np.searchsorted(edges[:, 0], points, "right") - 1
    current = (place >= 0) & (span >= 0) & (points < edges[span, 1])
    value = np.where(current, number[place], 0)
    new = np.append(True, value[1:] != value[:-1])
    return points[new].tolist(), value[new].tolist()


def _telling(
    t: npt.NDArray[np.int64],
    number: npt.NDArray[np.float64],
    edges: Sequence[int],
) -> list[int]:
    """Places of the readings that decide a count between these edges: their neighbours, and both sides of a fall."""
    keep = np.zeros(len(t), bool)
    keep[[0, -1]] = True  # there is at least one
    falls = np.flatnonzero(np.diff(number) < 0)
    keep[falls] = keep[falls + 1] = True
    for edge in edges:
        place = int(np.searchsorted(t, edge))
        keep[max(0, place - 1) : place + 2] = True
    return np.flatnonzero(keep).tolist()
