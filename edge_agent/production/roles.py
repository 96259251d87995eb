"""Which tags are counters of parts and of energy: by name and unit, as the profiles and the
examples name them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Any, Final

from edge_agent.production.facts import Role

#: Role -> names, best first.
PARTS: Final[Mapping[Role, tuple[str, ...]]] = {
    "produced": (
        "parts_total",
        "parts_produced_in_lifetime",
        "count_total",
        "parts_completed",
        "part_count",
        "parts_actual",
    ),
    "good": ("parts_good", "count_ok", "parts_ok"),
    "scrap": ("parts_scrap", "count_ng", "parts_ng"),
}
ENERGY: Final = (
    "import",
    "energy_import",
    "active_energy_import",
    "energy",
    "active_energy",
    "sum",
    "energy_total",
)
POWER: Final = ("power", "active_power", "power_total")

KWH: Final[Mapping[str, Fraction]] = {
    "Wh": Fraction(1, 1000),
    "kWh": Fraction(1),
    "MWh": Fraction(1000),
}
KW: Final[Mapping[str, Fraction]] = {
    "W": Fraction(1, 1000),
    "kW": Fraction(1),
    "MW": Fraction(1000),
}


PIECES: Final[Mapping[str, Fraction]] = {
    **dict.fromkeys(
        ("", "1", "pc", "pcs", "piece", "pieces", "part", "parts", "ea", "件", "个", "只", "台"),
        Fraction(1),
    ),
    **dict.fromkeys(("kpcs", "千件", "千个", "千只"), Fraction(1000)),
    **dict.fromkeys(("万件", "万个", "万只"), Fraction(10_000)),
}
_FAMILIES: Final = (KWH, KW, PIECES)


def standard_unit(role: Role, unit: str) -> str:
    """The unit in which a tag of this role is counted, whose own one is `unit` now."""
    standard = {"energy": (KWH, "kWh"), "integrated_power": (KW, "kW")}
    units, usual = standard.get(role, (PIECES, unit))
    return unit if unit in units else usual


def conversion(unit: str, into: str) -> Fraction | None:
    """What a number in `unit` is to be multiplied with; None for a unit that is unknown or of
    another quantity."""
    if unit == into:
        return Fraction(1)
    family = next((each for each in _FAMILIES if unit in each and into in each), None)
    return None if family is None else family[unit] / family[into]


def counters_of(
    tags: Mapping[str, Mapping[str, Any]], former: Mapping[str, Collection[str]] | None = None
) -> list[tuple[Role, str, Fraction]]:
    """(role, tag, ratio) of one device, from its birth's tags. A device with an energy counter and
    a power tag has both: the counter counts, the integrated power is its check. `former`: units
    that tags had before; one that no longer fits keeps its role, because of what was read then."""
    former = former or {}
    found: list[tuple[Role, str, Fraction]] = []
    for role, names in PARTS.items():
        found += [
            (role, name, PIECES.get(tags[name].get("unit", ""), Fraction(1)))
            for name in names
            if name in tags
        ][:1]
    for which, units, names in (("energy", KWH, ENERGY), ("integrated_power", KW, POWER)):
        fitting = [name for name in names if name in tags and tags[name].get("unit") in units]
        fitting += [
            name for name in names if name in tags and units.keys() & set(former.get(name, ()))
        ]
        found += [
            (_role(which), name, units.get(tags[name].get("unit", ""), Fraction(1)))
            for name in fitting[:1]
        ]
    return found


def _role(which: str) -> Role:
    return "energy" if which == "energy" else "integrated_power"
