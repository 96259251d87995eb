"""From a validated site to what the polling loop and the connectors work with: tags by period."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import cast

from edge_agent.config.models import DeviceCommon, Site, TagCommon
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.config.tagset import TagSet
from edge_agent.model import Kind, Report, Tag, TagTable
from edge_agent.sdk import DevicePlan, Options, Plugin

KindOf = Callable[[Options], Kind]
"""The shape of a tag's values by its options."""

_STALE_PERIODS = 3.0
_STALE_AT_LEAST = 3.0


def plans(site: Site, plugins: Plugins | None = None) -> list[DevicePlan]:
    """Every device of the site, compiled, in the order of the file."""
    known = plugins_or_installed(plugins)
    return [plan(device, known[device.connector]) for device in site.devices]


def plan(device: DeviceCommon, plugin: Plugin, state: Path | None = None) -> DevicePlan:
    """One device: a table per period, shortest first, tags in the order of the file. `state`: see
    `DevicePlan`.

    Devices of one tag set that agree in what tags take from their device share the tables'
    contents.
    """
    tags = device.tags if isinstance(device.tags, TagSet) else TagSet(device.tags)
    kind = plugin.kind if plugin.kinds is None else plugin.kinds(cast("Options", device))
    shared = tags.once(_tables, device.every, device.report == "change", kind)
    tables = tuple(table.same_for(device.id) for table in shared)
    # device_model() gives every device its connector's options as a base, which the type of Site
    # cannot say.
    return DevicePlan(device.id, cast("Options", device), tables, state)


def staleness(device: DeviceCommon, every: float) -> float:
    """The age in seconds after which a value read every `every` seconds is no longer good."""
    return device.staleness or max(_STALE_PERIODS * every, _STALE_AT_LEAST)


def values_per_second(tables: Iterable[TagTable]) -> float:
    """How many values a second the tables ask for."""
    return sum(len(table) / table.every for table in tables)


def _tables(
    tags: Mapping[str, TagCommon], every: float, on_change: bool, kind: KindOf
) -> tuple[TagTable, ...]:
    """The tables, of no device yet. `every` and `on_change`: the device's own period and way to
    report."""
    by_period: dict[float, list[Tag]] = {}
    for name, options in tags.items():
        by_period.setdefault(options.every or every, []).append(
            _tag(name, options, on_change, kind)
        )
    return tuple(TagTable("", period, tuple(tags)) for period, tags in sorted(by_period.items()))


def _tag(name: str, options: TagCommon, on_change: bool, kind: KindOf) -> Tag:
    low, high = options.range or (None, None)
    return Tag(
        name,
        _kind(options, kind),
        options,
        unit=options.unit,
        description=options.description,
        scale=options.scale,
        offset=options.offset,
        low=low,
        high=high,
        labels=options.map,
        scale_exponent_from=options.scale_exponent_from,
        sentinels=options.sentinels,
        report=_report(
            on_change if options.report is None else options.report == "change", options
        ),
        business_link=options.business_link,
        was=options.was,
        optional=options.optional,
        max_rate=options.max_rate,
    )


def _kind(options: TagCommon, kind: KindOf) -> Kind:
    found = kind(cast("Options", options))
    scaled = (
        options.scale != 1.0 or options.offset != 0.0 or options.scale_exponent_from is not None
    )
    return "float" if found == "int" and scaled else found


def _report(on_change: bool, options: TagCommon) -> Report:
    if isinstance(options.deadband, str):
        return _rule(on_change, 0.0, float(options.deadband.rstrip("% ")), options.max_silence)
    return _rule(on_change, options.deadband, 0.0, options.max_silence)


@lru_cache(maxsize=256)
def _rule(on_change: bool, deadband: float, percent: float, max_silence: float) -> Report:
    """One object for the few rules of a site."""
    return Report(on_change, deadband, percent, max_silence)
