"""When the own values of a device were last stored, and when one of them last changed.

A gateway that repeats its cache answers every poll with the same good values; and health rows that
speak of good readings prove nothing where the store has no value of the device. Only what was
stored tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge_agent.stores.base import Name, TagCounts
from edge_agent.stores.protocols import FactStore

_MINUTE: Final = 60_000_000_000
#: How far back from the end is looked at first, and then: most devices change within minutes.
_LOOKS: Final = (5 * _MINUTE, 60 * _MINUTE, 360 * _MINUTE)
#: Of so many tags of a device that vary the newest change is looked up.
_TAGS: Final = 4
#: Whether a device without a value in what was looked at has any is looked for so far back.
_SAMPLE_NS: Final = 30 * 86_400_000_000_000
#: What is derived from a device's other tags, and from whether they came at all, is no change of a
#: value.
DERIVED: Final = frozenset({"machine_state", "operation_mode"})


@dataclass(frozen=True, slots=True)
class StoredValues:
    """Times of one device's good values, ns; None where there was none in what was looked at."""

    last_sample: int | None = None
    """Of the newest one; where only its existence is known, the end of what was looked at."""
    last_change: int | None = None
    """Of the newest one that differs from the one of the same tag before it."""


def stored_values(
    store: FactStore, since: Mapping[str, int], to_ns: int
) -> dict[str, StoredValues]:
    """For every device of `since`: what changed from there (ns) to `to_ns`, and whether it has any
    value up to then.

    Read in windows that grow back from the end, because most devices changed in the last minutes.
    What is sent by change alone has a single reading in the window: it is compared with the one
    before.
    """
    found: dict[str, StoredValues] = {}
    starts: dict[str, int] = {}
    for back in (*_LOOKS, None):
        looked = starts
        starts = {
            device: start if back is None else max(start, to_ns - back)
            for device, start in since.items()
        }
        left = [
            device
            for device in since
            if _changed(found, device) is None and starts[device] != looked.get(device)
        ]
        found |= values_in(store, {device: starts[device] for device in left}, to_ns)
    still = {
        device: start
        for device, start in since.items()
        if device in found and _changed(found, device) is None
    }
    for device, change in _from_before(store, still, to_ns).items():
        found[device] = replace(found[device], last_change=change)
    return found | _any_sample(store, [device for device in since if device not in found], to_ns)


def _changed(found: Mapping[str, StoredValues], device: str) -> int | None:
    return found[device].last_change if device in found else None


def values_in(store: FactStore, starts: Mapping[str, int], to_ns: int) -> dict[str, StoredValues]:
    """Devices with values between `starts` (ns) and `to_ns`, and what changed there; the others are
    missing."""
    found: dict[str, StoredValues] = {}
    varying: dict[str, list[str]] = {}
    for start, devices in _by_start(starts).items():
        for (device, tag), seen in store.seen(_names(store, devices), start, to_ns).items():
            if seen.numbers or seen.texts is not None:
                found[device] = StoredValues(to_ns)
                varying.setdefault(device, []).extend(
                    [tag] if tag not in DERIVED and _varies(seen) else ()
                )
    for device, tags in varying.items():
        changes = [
            _last_change(store, (device, tag), starts[device], to_ns)
            for tag in sorted(tags)[:_TAGS]
        ]
        found[device] = replace(found[device], last_change=max(changes, default=None))
    return found


def _by_start(starts: Mapping[str, int]) -> dict[int, list[str]]:
    """Devices that are looked at from the same moment are asked for together."""
    found: dict[int, list[str]] = {}
    for device, start in starts.items():
        found.setdefault(start, []).append(device)
    return found


def _from_before(store: FactStore, starts: Mapping[str, int], to_ns: int) -> dict[str, int]:
    """Of devices whose tags have one value each between `starts` and `to_ns`: when the newest of
    them took it, where it had another one before."""
    newest: dict[str, int] = {}
    for start, devices in _by_start(starts).items():
        names = [name for name in _names(store, devices) if name[1] not in DERIVED]
        for (device, _), runs in store.changes(names, start, to_ns).items():
            good = runs.good
            times = runs.first[good].tolist()
            numbers = runs.num[good].tolist()
            changed = [
                t
                for t, a, b in zip(times[1:], numbers, numbers[1:], strict=False)
                if a != b and t >= start
            ]
            if changed:
                newest[device] = max(newest.get(device, 0), *changed)
    return newest


def _names(store: FactStore, devices: Sequence[str]) -> list[Name]:
    of_device = store.catalogue.of_device
    return [(device, tag) for device in devices for tag in sorted(of_device(device))]


def _varies(seen: TagCounts) -> bool:
    return (seen.numbers > 0 and seen.low != seen.high) or (
        seen.texts is not None and seen.texts[0] != seen.texts[1]
    )


def _last_change(store: FactStore, name: Name, from_ns: int, to_ns: int) -> int:
    """The newest sample of a tag that varies in this window and differs from the good one before
    it."""
    samples = store.samples(*name, from_ns, to_ns)
    good = (samples.status & np.uint32(0x8000_0000)) == 0
    rows = [
        (t, value)
        for t, value, usable in zip(
            samples.t.tolist(), samples.values(), good.tolist(), strict=True
        )
        if usable and value is not None
    ]
    for (_, before), (t, value) in zip(rows[-2::-1], rows[:0:-1], strict=True):
        if value != before:
            return int(t)
    return int(rows[-1][0]) if rows else from_ns


def _any_sample(store: FactStore, devices: Sequence[str], to_ns: int) -> dict[str, StoredValues]:
    """Of devices without a value in the windows asked for: whether they have any before the end."""
    found = {}
    later = []
    for device in devices:
        newest = store.latest(device).get(device, {})
        times = [each.t for each in newest.values() if each.value is not None]
        known = max((t for t in times if t < to_ns), default=None)
        found[device] = StoredValues(known)
        if known is None and times:  # all of the newest came after the end
            later.append(device)
    return found | values_in(store, dict.fromkeys(later, to_ns - _SAMPLE_NS), to_ns)
