"""Which tags are counters of parts and of energy: by name and unit, as the profiles and the examples name them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from edge_agent.production.facts import Role

#: Role -> names, best first.
PARTS: Final[Mapping[Role, tuple[str, ...]]] = {
    "produced": ("parts_total", "parts_produced_in_lifetime", "count_total", "parts_completed", "part_count",
                 "parts_actual"),
    "good": ("parts_good", "count_ok", "parts_ok"),
    "scrap": ("parts_scrap", "count_ng", "parts_ng"),
}  # fmt: skip
ENERGY: Final = ("import", "energy_import", "active_energy_import", "energy", "active_energy", "sum", "energy_total")
POWER: Final = ("power", "active_power", "power_total")

KWH: Final[Mapping[str, Fraction]] = {"Wh": Fraction(1, 1000), "kWh": Fraction(1), "MWh": Fraction(1000)}
KW: Final[Mapping[str, Fraction]] = {"W": Fraction(1, 1000), "kW": Fraction(1), "MW": Fraction(1000)}


def counters_of(tags: Mapping[str, Mapping[str, Any]]) -> list[tuple[Role, str, Fraction]]:
    """(role, tag, ratio) of one device, from its birth's tags. A device with an energy counter and a power tag has
    both: the counter counts, the integrated power is its check."""
    found: list[tuple[Role, str, Fraction]] = []
    for role, names in PARTS.items():
        found += [(role, name, Fraction(1)) for name in names if name in tags][:1]
    for which, units, names in (("energy", KWH, ENERGY), ("integrated_power", KW, POWER)):
        fitting = [name for name in names if name in tags and tags[name].get("unit") in units]
        found += [(_role(which), name, units[tags[name]["unit"]]) for name in fitting[:1]]
    return found


def _role(which: str) -> Role:
    return "energy" if which == "energy" else "integrated_power"
