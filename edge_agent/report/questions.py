"""What a report asks of a store, in plain JSON: `serve` answers these on its socket, a command that opened the store
itself answers them from there. Long series leave thinned: changes of states, steps of counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.metrics.curve import inside, moments
from edge_agent.model import status_name
from edge_agent.report import columns, thinning
from edge_agent.report.facts import MINUTE_NS
from edge_agent.stores import Store
from edge_agent.stores.base import Name, Seen
from edge_agent.stores.evidence import SEAM_NS, bridged

_ENOUGH: Final = 600
"""A float that has one value in this many readings is named as unchanged."""
_MS: Final = 1_000_000
#: Of energy in kWh or Wh: finer than any meter.
_DIGITS: Final = 9
#: The health rows that speak of a window's end, and a counter's next reading, come after it.
AFTER_NS: Final = 3_600_000_000_000

Answer = Callable[..., Any]


def operations(store: Store) -> dict[str, Answer]:
    """The questions of this module, by name."""
    return {
        "report_series": lambda: _series(store),
        "report_minutes": lambda from_ns, to_ns: _minutes(store, from_ns, to_ns),
        "report_known": lambda from_ns, to_ns: _known(store, from_ns, to_ns),
        "report_changes": lambda names, from_ns, to_ns: _changes(store, names, from_ns, to_ns),
        "report_counts": lambda wanted, from_ns, to_ns: _counts(store, wanted, from_ns, to_ns),
        "report_energy": lambda device, tag, at, known, from_ns, to_ns: _energy(
            store, (device, tag), at, known, from_ns, to_ns
        ),
        "report_lateness": lambda names, from_ns, to_ns: _lateness(store, names, from_ns, to_ns),
        "report_quality": lambda devices, from_ns, to_ns: _quality(store, devices, from_ns, to_ns),
        "report_stored": lambda from_ns, to_ns: store.metrics(from_ns, to_ns),
    }


def _series(store: Store) -> dict[str, dict[str, Any]]:
    """Device -> tag -> its entry in the birth document."""
    found: dict[str, dict[str, Any]] = {}
    for entry in list(store.catalogue.series):
        found.setdefault(entry.device, {})[entry.tag] = orjson.loads(entry.meta) if entry.meta else {}
    return found


def _minutes(store: Store, from_ns: int, to_ns: int) -> dict[str, str]:
    """Device -> its rows as `Minutes` has them, one after the other."""
    return {device: columns.told(rows) for device, rows in store.health_sums(from_ns, to_ns, MINUTE_NS).items()}


def _known(store: Store, from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
    """Device -> spans in which its values were current: between two of them a value went stale."""
    births = store.catalogue.devices
    staleness = {device: int(1e9 * orjson.loads(text).get("staleness", 0.0)) for device, text in births.items()}
    return {
        device: bridged(spans, max(SEAM_NS, staleness.get(device, 0)))
        for device, spans in store.evidence(from_ns, to_ns).items()
    }


def _changes(store: Store, names: list[list[str]], from_ns: int, to_ns: int) -> dict[str, dict[str, list[Any]]]:
    """Device -> tag -> (t, number) at every change as columns, NaN where the reading was bad, and of those the place
    and the status' name."""
    answer: dict[str, dict[str, list[Any]]] = {}
    for (device, tag), runs in store.changes([(device, tag) for device, tag in names], from_ns, to_ns).items():
        number = np.where(runs.good, runs.num, np.nan)
        bad = np.flatnonzero(~runs.good).tolist()
        why = {str(place): status_name(int(runs.status[place])) for place in bad}
        answer.setdefault(device, {})[tag] = [columns.told(runs.first), columns.told(number), why]
    return answer


def _counts(store: Store, wanted: list[dict[str, Any]], from_ns: int, to_ns: int) -> dict[str, dict[str, list[str]]]:
    """Device -> tag -> columns (t, reading) of a counter, thinned; with the last reading before the window and the
    first after it. `wanted`: device, tag, the moments `at` which what it counted is told apart, and the spans `known`,
    in which it stood between two changes."""
    about = {(each["device"], each["tag"]): each for each in wanted}
    at = {name: columns.read(each["at"], np.int64) for name, each in about.items()}
    answer: dict[str, dict[str, list[str]]] = {}
    for (device, tag), runs in store.counted(at, from_ns, to_ns).items():
        t, value = thinning.readings(runs, [(a, b) for a, b in about[device, tag]["known"]])
        if np.any((t >= from_ns) & (t <= to_ns)):
            told = thinning.steps(t, value, at[device, tag]) & (t <= thinning.after(t, to_ns))
            answer.setdefault(device, {})[tag] = [columns.told(t[told]), columns.told(value[told])]
    return answer


def _energy(store: Store, name: Name, at: str, known: list[list[int]], from_ns: int, to_ns: int) -> list[str]:
    """Columns (t, unit-hours since `from_ns`) of a power tag, at every minute in which it rose, and at `at`."""
    spans, changes = [(a, b) for a, b in known], columns.read(at, np.int64)
    exact = moments(from_ns, to_ns, MINUTE_NS, [changes], spans)
    used = store.energy({name: exact}).get(name)
    curve = None if used is None else inside(exact, used, spans)
    if curve is None or not curve.seen(from_ns, to_ns):
        return []
    t = moments(from_ns, to_ns, MINUTE_NS, [changes], [])
    energy = np.round(np.interp(t - from_ns, curve.t - from_ns, curve.kwh), _DIGITS)
    kept = thinning.steps(t, energy, changes)
    kept[-1] = True
    return [columns.told(t[kept]), columns.told(np.array([round(kwh, _DIGITS) for kwh in energy[kept].tolist()]))]


def _lateness(store: Store, names: list[list[str]], from_ns: int, to_ns: int) -> dict[str, list[tuple[int, int]]]:
    """Device -> (milliseconds, samples)."""
    found = store.lateness([(device, tag) for device, tag in names], from_ns, to_ns)
    return {device: sorted(counts.items()) for device, counts in found.items()}


def _quality(store: Store, devices: list[str], from_ns: int, to_ns: int) -> dict[str, dict[str, Any]]:
    """Device -> counts over all its tags, and how far its clock is from ours."""
    tags = {device: dict(sorted(store.catalogue.of_device(device).items())) for device in devices}
    found = store.seen([(device, tag) for device, own in tags.items() for tag in own], from_ns, to_ns)
    series = store.catalogue.series
    answer = {}
    for device, own in tags.items():
        about = {tag: orjson.loads(series[sid].meta or "{}") for tag, sid in own.items()}
        seen = {tag: _expected(found[device, tag], about[tag]) for tag in own if (device, tag) in found}
        skew = [ns // _MS for each in seen.values() for ns in each.skews]
        answer[device] = {
            "readings": sum(each.readings for each in seen.values()),
            "not_good": sum(each.not_good for each in seen.values()),
            "out_of_range": sum(each.out_of_range for each in seen.values()),
            "unchanged": [
                tag
                for tag, each in seen.items()
                if about[tag].get("type", "float") == "float" and each.numbers >= _ENOUGH and each.low == each.high
            ],
            "skew_ms": int(np.median(skew)) if skew else None,
        }
    return answer


def _expected(seen: Seen, about: Mapping[str, Any]) -> Seen:
    """The readings of a tag without those that say of an optional one that this device does not have it."""
    if not about.get("optional"):
        return seen
    readings, not_good = seen.readings - seen.not_there, seen.not_good - seen.not_there
    return replace(seen, readings=readings, not_good=not_good, not_there=0)
