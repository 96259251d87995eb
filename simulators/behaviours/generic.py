"""A plausible value for a tag nobody knows: from its name, unit, range, labels and kind, as a
function of time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from zlib import crc32

from simulators.behaviours.base import SignalValue
from simulators.behaviours.noise import Wave, jitter
from simulators.spec import TagSpec

Generic = Callable[[float], SignalValue]

_COUNTER: Final = re.compile(
    r"count|total|parts|import|export|energy|kwh|hours|_time$|odometer|计数|产量|电能|累计",
    re.IGNORECASE,
)

#: Unit -> range of a healthy reading.
_USUAL: Final = {
    "Cel": (20.0, 60.0),
    "°C": (20.0, 60.0),
    "℃": (20.0, 60.0),
    "degC": (20.0, 60.0),
    "K": (290.0, 330.0),
    "bar": (4.0, 7.0),
    "kPa": (400.0, 700.0),
    "MPa": (0.4, 0.7),
    "Pa": (200.0, 1200.0),
    "mbar": (900.0, 1100.0),
    "V": (226.0, 234.0),
    "A": (2.0, 18.0),
    "mA": (4.0, 20.0),
    "Hz": (49.9, 50.1),
    "kW": (1.0, 12.0),
    "W": (500.0, 9000.0),
    "kvar": (0.2, 4.0),
    "kVA": (1.0, 14.0),
    "rpm": (400.0, 3200.0),
    "1/min": (400.0, 3200.0),
    "%": (20.0, 90.0),
    "mm": (-200.0, 200.0),
    "mm/min": (100.0, 4000.0),
    "m/s": (0.2, 2.0),
    "s": (0.0, 120.0),
    "N": (10.0, 60.0),
    "Nm": (1.0, 30.0),
    "l/min": (4.0, 40.0),
    "m3/h": (10.0, 90.0),
    "mg/m3": (0.5, 3.0),
}
_TEXTS: Final = ("O1001 法兰盘", "O1002 电机轴", "O2010 端盖")


def generic(tag: TagSpec, seed: int) -> Generic:
    """A function of simulated seconds; its values suit the tag's kind, labels, unit and range."""
    if tag.labels:
        return _enumeration(tag, seed)
    count = int(tag.where.get("count") or 1)
    if tag.kind == "array" or count > 1:
        return _array(tag, seed, max(count, 3 if tag.kind == "array" and count == 1 else count))
    if tag.kind == "bool":
        return lambda t: jitter(seed, t // 20.0) > 0.0
    if tag.kind == "text":
        return lambda t: _TEXTS[int(t // 300.0 + seed) % len(_TEXTS)]
    if _COUNTER.search(tag.name) or tag.unit in ("kWh", "Wh", "MWh", "kvarh"):
        return _counter(tag, seed)
    return _analog(tag, seed)


def _enumeration(tag: TagSpec, seed: int) -> Generic:
    numbers = sorted(tag.labels)
    return lambda t: numbers[
        int((jitter(seed, t // 45.0) + 1.0) / 2.0 * len(numbers)) % len(numbers)
    ]


def _array(tag: TagSpec, seed: int, count: int) -> Generic:
    low, high = _range(tag)
    waves = [Wave(f"{seed}:{index}", 40.0 + index) for index in range(count)]
    return lambda t: [low + (high - low) * (0.5 + 0.4 * wave(t)) for wave in waves]


def _counter(tag: TagSpec, seed: int) -> Generic:
    start = 1000.0 + seed % 40_000
    rate = (
        0.002
        if tag.unit in ("kWh", "MWh", "kvarh")
        else 1.0
        if tag.unit in ("s", "Wh")
        else 1.0 / 45.0
    )
    if tag.kind == "int" and tag.scale == 1.0:
        return lambda t: int(start + t * rate)
    return lambda t: start + t * rate


def _analog(tag: TagSpec, seed: int) -> Generic:
    low, high = _range(tag)
    middle = (low + high) / 2.0
    half = (high - low) / 2.0
    wave = Wave(f"{seed}:{tag.name}", 60.0 + crc32(tag.name.encode()) % 120)
    if tag.kind == "int":
        return lambda t: round(middle + 0.8 * half * wave(t))
    return lambda t: middle + 0.8 * half * wave(t)


def _range(tag: TagSpec) -> tuple[float, float]:
    """The tag's own range, else what its unit usually shows."""
    if tag.low is not None and tag.high is not None:
        return tag.low, tag.high
    return _USUAL.get(tag.unit, (0.0, 100.0))
