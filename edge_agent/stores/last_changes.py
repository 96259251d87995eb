"""When the own values of a device were last stored, and when one of them last changed.

A gateway that repeats its cache answers every poll with the same good values; and health rows that speak of good
readings prove nothing where the store has no value of the device. Only what was stored tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge_agent.stores.base import Name, Seen, Store

_MINUTE: Final = 60_000_000_000
#: How far back from the end is looked at first, and then: most devices change within minutes.
_LOOKS: Final = (5 * _MINUTE, 60 * _MINUTE, 360 * _MINUTE)
#: Whether a device without a value in what was looked at has any is looked for so far back.
_SAMPLE_NS: Final = 30 * 86_400_000_000_000
#: What is derived from a device's other tags, and from whether they came at all, is no change of a value.
DERIVED: Final = frozenset({"machine_state", "operation_mode"})


@dataclass(frozen=True, slots=True)
class StoredValues:
    """Times of one device's good values, ns; None where there was none in what was looked at."""

    last_sample: int | None = None
    """Of the newest one; where only its existence is known, the end of what was looked at."""
    last_change: int | None = None
    """Of the newest one that differs from the one of the same tag before it."""


def stored_values(store: Store, since: Mapping[str, int], to_ns: int) -> dict[str, StoredValues]:
    """For every device of `since`: what changed from there (ns) to `to_ns`, and whether it has any value up to then."""
    found: dict[str, StoredValues] = {}
    for back in (*_LOOKS, None):
        starts = {device: start if back is None else max(start, to_ns - back) for device, start in since.items()}
        left = [device for device in since if device not in found or found[device].last_change is None]
        found |= _look(store, {device: starts[device] for device in left}, to_ns)
    still = [device for device in since if device in found and found[device].last_change is None]
    for device in still:
        found[device] = replace(found[device], last_change=_from_before(store, device, since[device], to_ns))
    missing = [device for device in since if device not in found]
    return found | _any_sample(store, missing, to_ns)


def _look(store: Store, starts: Mapping[str, int], to_ns: int) -> dict[str, StoredValues]:
    """Devices with values in these windows."""
    found: dict[str, StoredValues] = {}
    for start in sorted(set(starts.values())):
        devices = [device for device, own in starts.items() if own == start]
        for (device, tag), seen in store.seen(_names(store, devices), start, to_ns).items():
            if not seen.numbers and seen.texts is None:
                continue
            known = found.setdefault(device, StoredValues(to_ns))
            if tag not in DERIVED and _varies(seen):
                change = _last_change(store, (device, tag), start, to_ns)
                found[device] = replace(known, last_change=max(change, known.last_change or change))
    return found


def _from_before(store: Store, device: str, from_ns: int, to_ns: int) -> int | None:
    """When a tag of a device that has one and the same value all along took it, if it had another one before.

    What is sent by change alone has a single reading in the window.
    """
    names = [name for name in _names(store, [device]) if name[1] not in DERIVED]
    newest = None
    for runs in store.changes(names, from_ns, to_ns).values():
        good = runs.good
        times, numbers = runs.first[good].tolist(), runs.num[good].tolist()
        changed = [t for t, a, b in zip(times[1:], numbers, numbers[1:], strict=False) if a != b and t >= from_ns]
        newest = max((*changed, *(() if newest is None else (newest,))), default=None)
    return newest


def _names(store: Store, devices: Sequence[str]) -> list[Name]:
    of_device = store.catalogue.of_device
    return [(device, tag) for device in devices for tag in sorted(of_device(device))]


def _varies(seen: Seen) -> bool:
    return (seen.numbers > 0 and seen.low != seen.high) or (seen.texts is not None and seen.texts[0] != seen.texts[1])


def _last_change(store: Store, name: Name, from_ns: int, to_ns: int) -> int:
    """The newest sample of a tag that varies in this window and differs from the good one before it."""
    samples = store.samples(*name, from_ns, to_ns)
    good = (samples.status & np.uint32(0x8000_0000)) == 0
    rows = [(t, value) for t, value, usable in zip(samples.t.tolist(), samples.values(), good.tolist(), strict=True)
            if usable and value is not None]  # fmt: skip
    for (_, before), (t, value) in zip(rows[-2::-1], rows[:0:-1], strict=True):
        if value != before:
            return int(t)
    return int(rows[-1][0]) if rows else from_ns


def _any_sample(store: Store, devices: Sequence[str], to_ns: int) -> dict[str, StoredValues]:
    """Of devices without a value in the windows asked for: whether they have any before the end."""
    found, later = {}, []
    for device in devices:
        newest = store.latest(device).get(device, {})
        times = [each.t for each in newest.values() if each.value is not None]
        known = max((t for t in times if t < to_ns), default=None)
        found[device] = StoredValues(known)
        if known is None and times:  # all of the newest came after the end
            later.append(device)
    return found | _look(store, dict.fromkeys(later, to_ns - _SAMPLE_NS), to_ns)
