"""From a site and its register to the tags that figures are computed from: states, counters,
powers.

In: `Site` (or the birth documents of other agents' devices), `Register`. Out: names (device key,
tag) to ask a store for, and how a counter behaves (`metrics.counters.Rule`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import InstalledPlugins
from edge_agent.errors import ConfigError
from edge_agent.metrics.epochs import TagDefinition
from edge_agent.metrics.plausibility import StepLimit, by_cycle, by_power
from edge_agent.production.count_notes import NO_NOTES, CountNotes
from edge_agent.production.counting import CounterAbout
from edge_agent.production.facts import PART_ROLES, Role
from edge_agent.production.links import MachineLinks
from edge_agent.production.roles import counters_of, standard_unit
from edge_agent.production.site_devices import SiteDevice, SiteDevices
from edge_agent.register.membership import Membership, Span
from edge_agent.register.model import Equipment, Register
from edge_agent.sdk import Plugin
from edge_agent.stores.base import Name

STATE = "machine_state"
MODE = "operation_mode"
#: A tag that says whether the machine has an order: a number or a flag, 0 = none.
ORDER: Final = ("order_active", "order", "order_id", "order_number", "work_order")

#: Tags that show the controller's own meaning (grade E3): what it executes, and a program or a part
#: count.
_EXECUTION: Final = {
    "execution",
    "machine_state",
    "program_status",
    "channel_state",
    "state_current",
}
_PRODUCTION: Final = {"program", "part_count", "parts_actual", "parts_total", "parts_completed"}


def is_controller(device: DeviceCommon) -> bool:
    """Whether its tags show what the controller executes, and a program or a part count (grade E3).

    A state that is derived from measurements, lamps or contacts is no word of the controller.
    """
    if device.derives_state:
        return False
    names = set(device.tags)
    return bool((device.state is not None or names & _EXECUTION) and names & _PRODUCTION)


def business_links(device: DeviceCommon) -> frozenset[str]:
    """The links of the questionnaire the device and its tags are marked with."""
    found = {device.business_link, *(tag.business_link for tag in device.tags.values())}
    return frozenset(found - {""})


@dataclass(frozen=True, slots=True)
class Signal:
    """One tag in a role: its readings times `ratio` are pieces, kWh, or (power) kW."""

    name: Name
    ratio: Fraction


@dataclass(frozen=True)
class DeviceSignals:
    """What one configured device can say about production."""

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
    def roles(self) -> Mapping[Role, Signal]:
        """`produced`, `good`, `scrap`, `energy`, `integrated_power` -> the tag that has this
        role."""
        units = {name: {"unit": tag.unit} for name, tag in self.config.tags.items()}
        found = counters_of(units, self.about.former_units)
        return {role: Signal((self.key, tag), ratio) for role, tag, ratio in found}

    def definition(self, tag: str, role: Role) -> TagDefinition:
        """What the configuration says of a counter's numbers; of another agent's device its birth
        document does."""
        options = self.config.tags[tag]
        low, high = options.range or (None, None)
        scale, offset = (
            Fraction(repr(float(number))) for number in (options.scale, options.offset)
        )
        exponent = options.scale_exponent_from or ""
        modulus = None if self.about.by_birth else _modulus(self.config.connector, options)
        return TagDefinition(
            scale=scale,
            offset=offset,
            exponent_from=exponent,
            modulus=modulus,
            low=low,
            high=high,
            max_rate=options.max_rate,
            unit=standard_unit(role, options.unit),
        )

    @property
    def has_state(self) -> bool:
        return STATE in self.config.tags or (
            self.config.state is not None and self.config.state.item is not None
        )

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
    def power(self) -> Signal | None:
        """Its power tag."""
        return self.roles.get("integrated_power")

    @property
    def sample(self) -> Name:
        """A tag it reads itself, by which to measure how late its values come."""
        return self.key, next(iter(self.config.tags), STATE)


@lru_cache(maxsize=16)
def _plugin(connector: str) -> Plugin | None:
    """Looking for what is installed takes a tenth of a second."""
    try:
        return InstalledPlugins()[connector]
    except (ConfigError, KeyError):
        return None


def _modulus(connector: str, tag: object) -> int | None:
    """Where a tag's raw number begins again at 0, as its connector knows it."""
    plugin = _plugin(connector)
    if plugin is None:
        return None
    return (
        plugin.modulus(tag)
        if plugin.modulus is not None and isinstance(tag, plugin.tag_options)
        else None
    )


def _or_zero(number: Decimal | None) -> Decimal:
    return number or Decimal(0)


class PlantSignals:
    """All devices of a plant with their signals, and which of them the figures of machines, lines
    and meters need."""

    def __init__(
        self,
        site: Site,
        register: Register,
        devices: SiteDevices | None = None,
        *,
        window: Span | None = None,
        notes: CountNotes = NO_NOTES,
    ) -> None:
        """`devices`: those of the plant as the store knows them; None: those of the file alone.
        `window` (ns): of the machines in service in it; None: of those in use as the register
        stands. `notes`: what persons wrote down about counters."""
        devices = devices or SiteDevices.of_file(site)
        self.timezone = site.agent.timezone
        self.devices = {member.name: DeviceSignals(member) for member in devices.members}
        self.register = devices.resolved(register)
        start, end = window or (None, None)
        self.members = Membership(self.register, start, end, ZoneInfo(site.agent.timezone))
        self.links = MachineLinks(self.members, self.devices)
        self._notes = notes.resolved(devices)

    def of(self, machine: Equipment) -> DeviceSignals | None:
        """The one device that speaks for this machine alone."""
        return self.devices.get(self.links.device(machine) or "")

    def meter_of(self, machine: Equipment) -> DeviceSignals | None:
        """A meter that measures this machine alone."""
        return self.devices.get(self.links.meter(machine) or "")

    def meters(self, line: str) -> list[DeviceSignals]:
        """The meters of a line that are configured; a meter of one machine alone is not the
        line's."""
        return [self.devices[row.device] for row in self.links.meters(line, self._counting)]

    @cached_property
    def _counting(self) -> frozenset[str]:
        """The devices with an energy counter."""
        return frozenset(name for name, device in self.devices.items() if "energy" in device.roles)

    @cached_property
    def wanted(self) -> list[DeviceSignals]:
        """Every device the figures read from."""
        machines = self.links.machines
        found = [self.of(machine) for machine in machines] + [
            self.meter_of(row) for row in machines
        ]
        found += [device for line in self.links.lines for device in self.meters(line)]
        return list({device.id: device for device in found if device is not None}.values())

    @property
    def steady(self) -> list[Name]:
        """The tags whose runs the store should keep: states repeat themselves."""
        return [name for device in self.wanted for name in device.states]

    @property
    def powers(self) -> dict[Name, list[Name]]:
        """The power tags, and beside each the states at whose changes its energy is divided."""
        return {
            device.power.name: device.states for device in self.wanted if device.power is not None
        }

    @property
    def counters(self) -> dict[Name, list[Name]]:
        """The counters, and beside each the states at whose changes its count is divided: energy
        only."""
        return {
            signal.name: self.dividing_states(device) if role == "energy" else []
            for device in self.wanted
            for role, signal in device.roles.items()
            if role != "integrated_power"
        }

    def dividing_states(self, device: DeviceSignals) -> list[Name]:
        """The states at whose changes a device's energy is divided: its own, and of the machine
        whose meter it is."""
        return list(dict.fromkeys([*device.states, *self._metered.get(device.key, [])]))

    def about(self, device: DeviceSignals, role: Role) -> CounterAbout:
        """What is known of a counter beside its readings."""
        signal = device.roles[role]
        parts = role in PART_ROLES
        tag = signal.name[1]
        physical = (
            self._pace(device.key, signal.ratio) if parts else self._rated(device.key, signal.ratio)
        )
        return CounterAbout(
            parts,
            device.definition(tag, role),
            () if physical is None else (physical,),
            self._notes.exchanges(device.key, tag, energy=role == "energy"),
            self._notes.decisions(device.key, tag),
        )

    @cached_property
    def _ever(self) -> Membership:
        """The register by its dates alone: what is possible of a counter must not depend on the
        window, or the windows in which one machine follows another do not add up."""
        return Membership.of_all_time(self.register, self.members.zone)

    @cached_property
    def _cycle(self) -> dict[str, StepLimit]:
        """Of devices that speak for one machine at a time: what the shortest of their nominal
        cycles makes possible."""
        cycles: dict[str, list[Decimal | None]] = {}
        for row in self._ever.working:
            if row.device in self.devices:
                cycles.setdefault(row.device, []).append(
                    row.nominal_cycle_s if self._ever.alone(row) else None
                )
        known = {name: [cycle for cycle in found if cycle] for name, found in cycles.items()}
        return {
            self.devices[name].key: by_cycle(float(min(own)))
            for name, own in known.items()
            if own and len(own) == len(cycles[name])
        }

    @cached_property
    def _power(self) -> dict[str, float]:
        """The same of meters and the highest rated power, kW."""
        rated: dict[str, list[Decimal | None]] = {}
        for row in self._ever.working:
            own = [row.device] if row.device and self._ever.alone(row) else []
            metered = (
                [row.meter_id] if row.meter_id and self._ever.metered_alone(row.meter_id) else []
            )
            for name in {*own, *metered} & self.devices.keys():
                rated.setdefault(name, []).append(row.rated_power_kw)
        return {
            self.devices[name].key: float(max(map(_or_zero, each)))
            for name, each in rated.items()
            if all(each)
        }

    def _pace(self, key: str, ratio: Fraction) -> StepLimit | None:
        """In the counter's own unit."""
        limit = self._cycle.get(key)
        if limit is None or ratio == 1:
            return limit
        return replace(
            limit, per_hour=limit.per_hour / float(ratio), burst=limit.burst / float(ratio)
        )

    def _rated(self, key: str, ratio: Fraction) -> StepLimit | None:
        return by_power(self._power[key], ratio) if key in self._power else None

    @cached_property
    def _metered(self) -> dict[str, list[Name]]:
        """A meter of one machine alone -> the states of that machine."""
        having = [(self.meter_of(row), self.of(row)) for row in self.links.machines]
        return {
            meter.key: user.states
            for meter, user in having
            if meter is not None and user is not None
        }
