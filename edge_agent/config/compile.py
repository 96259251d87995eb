"""From a validated site to what the polling loop and the connectors work with: tags by period."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from edge_agent.config.models import DeviceCommon, Site, TagCommon
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.model import Kind, Report, Tag, TagTable
from edge_agent.sdk import DevicePlan, Options, Plugin

_STALE_PERIODS = 3.0
_STALE_AT_LEAST = 3.0


def plans(site: Site, plugins: Plugins | None = None) -> list[DevicePlan]:
    """Every device of the site, compiled, in the order of the file."""
    known = plugins_or_installed(plugins)
    return [plan(device, known[device.connector]) for device in site.devices]


def plan(device: DeviceCommon, plugin: Plugin) -> DevicePlan:
    """One device: a table per period, shortest first, tags in the order of the file."""
    by_period: dict[float, list[Tag]] = {}
    for name, options in device.tags.items():
        by_period.setdefault(options.every or device.every, []).append(_tag(name, options, device, plugin))
    tables = tuple(TagTable(device.id, every, tuple(tags)) for every, tags in sorted(by_period.items()))
    # device_model() gives every device its connector's options as a base, which the type of Site cannot say.
    return DevicePlan(device.id, cast("Options", device), tables)


def staleness(device: DeviceCommon, every: float) -> float:
    """The age in seconds after which a value read every `every` seconds is no longer good."""
    return device.staleness or max(_STALE_PERIODS * every, _STALE_AT_LEAST)


def values_per_second(tables: Iterable[TagTable]) -> float:
    """How many values a second the tables ask for."""
    return sum(len(table) / table.every for table in tables)


def _tag(name: str, options: TagCommon, device: DeviceCommon, plugin: Plugin) -> Tag:
    low, high = options.range or (None, None)
    return Tag(
        name,
        _kind(options, plugin),
        options,
        unit=options.unit,
        description=options.description,
        scale=options.scale,
        offset=options.offset,
        low=low,
        high=high,
        labels=options.map,
        sentinels=options.sentinels,
        report=_report(options, device),
        business_link=options.business_link,
    )


def _kind(options: TagCommon, plugin: Plugin) -> Kind:
    kind = plugin.kind(cast("Options", options))
    scaled = options.scale != 1.0 or options.offset != 0.0
    return "float" if kind == "int" and scaled else kind


def _report(options: TagCommon, device: DeviceCommon) -> Report:
    percent = options.deadband if isinstance(options.deadband, str) else None
    return Report(
        on_change=(options.report or device.report) == "change",
        deadband=options.deadband if isinstance(options.deadband, float | int) else 0.0,
        deadband_percent=float(percent.rstrip("% ")) if percent else 0.0,
        max_silence=options.max_silence,
    )
