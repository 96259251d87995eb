"""Which worker reads which device. Pure.

Devices that share a connection stay together, whatever that does to the balance. The same file gives the same spread
at every start: the heaviest connection first, each to the worker that has the least. A reload starts from what is, and
moves a connection only when the balance has become clearly worse than a fresh start would give.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar, cast

from edge_agent.config.models import DeviceCommon
from edge_agent.config.plugins import Plugins
from edge_agent.sdk import Options

K = TypeVar("K", bound=Hashable)

#: After a reload the busiest worker may do so many times what the busiest one of a fresh start would do.
TOLERANCE: Final = 1.25

Homes = Mapping[str, int]
"""Device id -> worker, from 1."""
_NEW: Homes = MappingProxyType({})


def homes(devices: Iterable[DeviceCommon], plugins: Plugins, workers: int, before: Homes = _NEW) -> dict[str, int]:
    """The worker of every device. `before`: where devices were read until now."""
    shared: dict[tuple[str, str], list[DeviceCommon]] = {}
    for device in devices:
        key = plugins[device.connector].connection_key(cast("Options", device))
        shared.setdefault((device.connector, key), []).append(device)
    weights = {key: sum(map(rate, members)) for key, members in shared.items()}
    placed = spread(
        weights, workers, {key: before[members[0].id] for key, members in shared.items() if members[0].id in before}
    )
    return {device.id: placed[key] for key, members in shared.items() for device in members}


def rate(device: DeviceCommon) -> float:
    """Values a second that are asked of a device."""
    return sum(1.0 / (tag.every or device.every) for tag in device.tags.values())


def spread(weights: Mapping[K, float], workers: int, before: Mapping[K, int]) -> dict[K, int]:
    """A worker from 1 to `workers` for every key; keys in `before` stay where they were while the balance allows it."""
    fresh = _fill(weights, workers, {})
    if not before:
        return fresh
    placed = _fill(weights, workers, {key: worker for key, worker in before.items() if key in weights})
    most = TOLERANCE * max(loads(weights, fresh, workers).values(), default=0.0)
    while _relieve(weights, placed, workers, most):
        continue
    return placed


def loads(weights: Mapping[K, float], placed: Mapping[K, int], workers: int) -> dict[int, float]:
    """What each worker has to do."""
    found = dict.fromkeys(range(1, workers + 1), 0.0)
    for key, worker in placed.items():
        found[worker] += weights[key]
    return found


def _fill(weights: Mapping[K, float], workers: int, placed: dict[K, int]) -> dict[K, int]:
    """Place what has no place yet, the heaviest first, each with the worker that has the least."""
    result = dict(placed)
    load = loads(weights, result, workers)
    for key in sorted(weights.keys() - result.keys(), key=lambda key: (-weights[key], str(key))):
        worker = min(load, key=lambda one: (load[one], one))
        result[key] = worker
        load[worker] += weights[key]
    return result


def _relieve(weights: Mapping[K, float], placed: dict[K, int], workers: int, most: float) -> bool:
    """Move one connection from the busiest to the idlest worker if that is needed and helps."""
    load = loads(weights, placed, workers)
    busiest, idlest = max(load, key=lambda one: (load[one], -one)), min(load, key=lambda one: (load[one], one))
    difference = load[busiest] - load[idlest]
    # A move of weight w leaves a difference of |d - 2w|, so the best is the one nearest to d / 2.
    able = [key for key, worker in placed.items() if worker == busiest and 0 < weights[key] < difference]
    if load[busiest] <= most or not able:
        return False
    placed[min(able, key=lambda key: (abs(difference - 2 * weights[key]), str(key)))] = idlest
    return True
