"""What the values read with a device profile say about whether the device is of that profile. Pure:
no I/O.

Every value that lies where such a quantity can lie is worth as many bits as chance would make it
rarely; what cannot be, and what the device refuses, speaks against the profile. Zeros say nothing:
an unused register is zero everywhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.discovery import Discovery
from edge_agent.model import STATUS, Tag, is_not_there, status_code

Chance = Callable[[object, float, float], float]
"""See `discovery.Discovery.chance`."""

#: Unit -> where the magnitude of a quantity lies in a plant. Mains frequency is what almost every
#: `Hz` is.
_USUAL: Final[Mapping[str, tuple[float, float]]] = {
    "V": (20, 1200),
    "kV": (0.1, 50),
    "A": (0.001, 6500),
    "mA": (0.1, 1e5),
    "Hz": (45, 65),
    "W": (0.1, 1e6),
    "kW": (1e-4, 5e4),
    "VA": (0.1, 5e6),
    "kVA": (1e-4, 5e4),
    "var": (0.1, 5e6),
    "kvar": (1e-4, 5e4),
    "kWh": (0.001, 1e8),
    "kvarh": (0.001, 1e8),
    "kVAh": (0.001, 1e8),
    "%": (0.01, 400),
    "deg": (0.01, 360),
    "rpm": (1, 60_000),
    "mm/min": (1, 200_000),
    "mm": (0.001, 50_000),
    "Cel": (0.1, 2000),
}
#: Unit -> magnitudes beyond which it cannot be that quantity. Elsewhere ten thousand times the
#: usual.
_IMPOSSIBLE: Final[Mapping[str, float]] = {
    "Hz": 1000,
    "V": 50_000,
    "%": 5000,
    "deg": 720,
    "A": 100_000,
    "W": 2e7,
    "VA": 2e7,
    "var": 2e7,
    "kW": 1e5,
    "kVA": 1e5,
    "kvar": 1e5,
}
_BEYOND: Final = 1e4
#: Units whose values are seldom outside the usual: mains voltage.
_SELDOM_ELSEWHERE: Final = frozenset({"V"})
_NOTHING: Final = 1e-9
"""Smaller than anything that is measured."""
#: Where a number without a unit and without a range lies.
_ANY: Final = (1e-3, 1e9)

#: Voltages of one device are nearly equal: so much they may differ, and what each beyond the first
#: is worth.
_NEARLY: Final = 0.1
_AGREES: Final = 3.0
_MOST_AGREEING: Final = 3
_ONE_NUMBER: Final = 50.0
"""Against a device that reads the same number in most places: it would fit anything."""
_MOST_BITS: Final = 8.0
"""One value is worth no more than this, however unlikely."""
_NAME_BITS: Final = 6.0
"""An address that is a name, and is there."""
_REFUSED: Final = 6.0
_IMPOSSIBLE_BITS: Final = 12.0
_ZERO: Final = 0.5
_MODEL: Final = 20.0
_MAKER: Final = 8.0
_OTHER_MAKER: Final = 12.0
_TELLING: Final = 5
"""Letters of a model's name that tell it without its maker's."""
_UNUSUAL: Final = 6.0
_MOST_OF_PLACES: Final = 20.0
"""Bits that places are worth together."""

#: Bits from which on a device is of a profile: chance would do it once in four million looks. Fewer
#: where the device has little more than the rare addresses of that profile, and all of them.
ENOUGH: Final = 22.0
_ENOUGH_IN_RARE_PLACES: Final = 12.0
_RARE: Final = 8.0
_FEW: Final = 0.5
"""A device that answers more than this share of all that was asked says nothing by what it has."""
#: Shares of the profile's tags that may speak against it.
_MOST_AGAINST: Final = 0.1
_MOST_ODD: Final = 0.12
"""The same with values that can be and seldom are."""
_LEAST_SUPPORT: Final = 3
_ALIKE: Final = 0.9
"""A second profile with this share of the best one's bits cannot be told from it."""


@dataclass(slots=True)
class ProfileEvidence:
    """What speaks for and against one profile."""

    profile: str
    title: tuple[str, str] = ("", "")
    tags: int = 0
    supported: list[str] = field(default_factory=list)
    """Tags whose value is what it can be, with the value: `voltage 230.4 V`."""
    impossible: list[str] = field(default_factory=list)
    refused: int = 0
    zeros: int = 0
    unusual: int = 0
    """Values that can be and seldom are."""
    answered: int = 0
    runs: dict[str, float] = field(default_factory=dict)
    """Runs of addresses that are there -> what that is worth."""
    places: float = 0.0
    """What its addresses are worth, of the bits."""
    bits: float = 0.0
    identification: str = ""
    """How the device's own identification fits."""
    reason: tuple[str, str] = ("", "")
    """Why nothing could be read."""
    by_name: bool = False
    """Whether the identification alone names the model."""

    @property
    def score(self) -> float:
        """0 to 1: the share of the tags read that fit, what speaks against counted threefold."""
        against = 3 * len(self.impossible) + self.refused
        whole = len(self.supported) + against + 0.25 * self.zeros
        if not whole:
            return 1.0 if self.by_name else 0.0
        return len(self.supported) / whole

    @property
    def is_match(self) -> bool:
        """Whether the device is of this profile."""
        if self.by_name and not self.impossible and self.refused <= _MOST_AGAINST * self.tags:
            return True
        judged = max(len(self.supported) + len(self.impossible) + self.unusual + self.zeros, 1)
        against = len(self.impossible) > _MOST_AGAINST * judged
        against = against or len(self.impossible) + self.unusual > _MOST_ODD * judged
        missing = self.refused > _MOST_AGAINST * self.tags
        rare = (
            self.places >= _RARE and not self.refused and not self.impossible and not self.unusual
        )
        enough = self.bits >= (_ENOUGH_IN_RARE_PLACES if rare else ENOUGH)
        return (
            enough
            and len(self.supported) >= min(_LEAST_SUPPORT, self.tags)
            and not against
            and not missing
        )


def judge(
    evidence: ProfileEvidence,
    tags: Sequence[Tag],
    rows: Mapping[str, Mapping[str, Any]],
    discovery: Discovery,
    known: Mapping[str, Collection[object]],
) -> None:
    """Add what the values of one look say. `rows`: tag -> its row of a document of values; `known`:
    tag -> the values that the profile translates into a machine state."""
    numbers: list[float] = []
    voltages: list[float] = []
    for tag in tags:
        row = rows.get(tag.name)
        if row is None:
            continue
        evidence.tags += not tag.optional
        status = status_code(row["quality"])
        if is_not_there(status):
            evidence.refused += not tag.optional
            evidence.bits -= 0.0 if tag.optional else _REFUSED
        elif row["value"] is not None or status == STATUS["Good"]:
            evidence.answered += 1
            _weigh(evidence, tag, row, discovery.chance)
            value = row["value"]
            if value and value in known.get(tag.name, ()):
                evidence.bits += _MOST_BITS
            if isinstance(value, int | float) and value and not isinstance(value, bool):
                numbers.append(round((value - tag.offset) / tag.scale, 6))
                if tag.unit == "V" and _USUAL["V"][0] <= value <= _USUAL["V"][1]:
                    voltages.append(value)
            if discovery.place is not None and not tag.optional:
                run, likely = discovery.place(tag.where)
                evidence.runs[run] = -math.log2(likely)
    if discovery.chance is not None:
        _compare(evidence, numbers, voltages)


def _compare(
    evidence: ProfileEvidence, numbers: Sequence[float], voltages: Sequence[float]
) -> None:
    """What the values say beside one another. `numbers`: raw, without zeros."""
    if len(numbers) > _LEAST_SUPPORT and Counter(numbers).most_common(1)[0][1] > len(numbers) / 2:
        evidence.bits -= _ONE_NUMBER
    agreeing = sum(_agree(value, voltages[0]) for value in voltages[1:])
    evidence.bits += _AGREES * min(agreeing, _MOST_AGREEING)
    evidence.bits -= _UNUSUAL * (max(len(voltages) - 1, 0) - agreeing)


def _agree(one: float, other: float) -> bool:
    """Whether two voltages are those of one supply: of phases, or one of a phase and one between
    phases."""
    return any(
        abs(one - other * ratio) <= _NEARLY * one for ratio in (1.0, math.sqrt(3), 1 / math.sqrt(3))
    )


def _weigh(
    evidence: ProfileEvidence, tag: Tag, row: Mapping[str, Any], chance: Chance | None
) -> None:
    value = row["value"]
    shown = f"{tag.name} {_short(value)} {tag.unit}".rstrip()
    if chance is None:
        evidence.supported.append(shown)
        evidence.bits += _NAME_BITS
    elif row["quality"] != "Good":
        evidence.impossible.append(shown)
        evidence.bits -= _IMPOSSIBLE_BITS
    elif not value or isinstance(value, bool | list):
        evidence.zeros += 1
        evidence.bits -= _ZERO
    else:
        bits = _bits(tag, value, chance)
        if bits is None:
            evidence.impossible.append(shown)
            evidence.bits -= _IMPOSSIBLE_BITS
        elif bits > 0:
            evidence.supported.append(shown)
            evidence.bits += min(bits, _MOST_BITS)
        elif bits < 0:
            evidence.unusual += 1
            evidence.bits += bits


def _bits(tag: Tag, value: object, chance: Chance) -> float | None:
    """What one value that is not zero is worth; None for one that cannot be."""
    if isinstance(value, str):
        fine = value.isprintable() and sum(map(str.isalnum, value)) >= 2
        return 4.0 if fine else None
    if not isinstance(value, int | float):
        return 0.0
    if tag.labels is not None:
        return math.log2(65536 / max(len(tag.labels), 1)) if value in tag.labels else None
    size = abs(value)
    if tag.low is not None and tag.high is not None:
        return _worth(tag, chance, tag.low, tag.high)
    low, high = _USUAL.get(tag.unit, _ANY)
    if low <= size <= high:
        return _worth(tag, chance, low, high) if value > 0 else _worth(tag, chance, -high, -low)
    most = _IMPOSSIBLE.get(tag.unit, high * _BEYOND if tag.unit in _USUAL else high)
    if size > most or size < _NOTHING:
        return None
    return -_UNUSUAL if tag.unit in _SELDOM_ELSEWHERE else 0.0


def _worth(tag: Tag, chance: Chance, low: float, high: float) -> float:
    raw = sorted(((low - tag.offset) / tag.scale, (high - tag.offset) / tag.scale))
    likely = chance(tag.where, raw[0], raw[1])
    return 0.0 if likely >= 1 else -math.log2(max(likely, 1e-9))


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:24]


def add_places(evidence: ProfileEvidence, answered_share: float) -> None:
    """Addresses that are there, of a device that refuses most others. `answered_share`: of all that
    was asked of it."""
    if (
        0 < answered_share <= _FEW
        and evidence.tags
        and evidence.refused <= _MOST_AGAINST * evidence.tags
    ):
        evidence.places = min(sum(evidence.runs.values()), _MOST_OF_PLACES)
        evidence.bits += evidence.places


def add_identification(
    evidence: ProfileEvidence, facts: Mapping[str, str], maker: str, models: Sequence[str]
) -> None:
    """What the device says of itself, beside the maker and the models of the profile."""
    text = " ".join(facts.values()).casefold()
    if not text:
        return
    model = next(
        (name for name in models if _words(name) and all(word in text for word in _words(name))),
        None,
    )
    by_maker = any(word in text for word in _words(maker))
    said = " ".join(value for value in facts.values() if value)
    if model is not None:
        evidence.bits += _MODEL
        evidence.by_name = by_maker or len(model) >= _TELLING
        evidence.identification = said
    elif by_maker:
        evidence.bits += _MAKER
        evidence.identification = said
    elif facts.get("vendor"):
        evidence.bits -= _OTHER_MAKER


def _words(text: str) -> list[str]:
    """The words by which a maker or a model is known."""
    return [word for word in text.casefold().replace("/", " ").split() if len(word) >= 2]


def ranked(found: Sequence[ProfileEvidence]) -> list[ProfileEvidence]:
    """Those that match, the best first."""
    return sorted(
        (one for one in found if one.is_match), key=lambda one: (-one.bits, -one.score, one.profile)
    )


def is_clearly_best(matches: Sequence[ProfileEvidence]) -> bool:
    """Whether the best one is clearly better than the next."""
    return len(matches) < 2 or matches[1].bits < _ALIKE * matches[0].bits
