"""What a simulator has to serve to stand in for a device: plain JSON, every address resolved to a
PDU address."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from connectors.modbus.endpoint import parse_url
from connectors.modbus.options import device_options, tag_options
from connectors.modbus.point import resolve
from edge_agent.sdk import DevicePlan, Tag


def describe(plan: DevicePlan) -> dict[str, Any]:
    """`{"protocol": "modbus", "transport", "unit", "tags": {name: {...}}}` of a plan that `check`
    found in order."""
    device = device_options(plan.options)
    tags = [tag for table in plan.tables for tag in table.tags]
    exponents = {tag.scale_exponent_from for tag in tags}
    return {
        "protocol": "modbus",
        "transport": parse_url(device.url).scheme,
        "unit": device.unit,
        "tags": {tag.name: _tag(tag, plan, exponents) for tag in tags},
    }


#: The power of ten that a simulator gives where a tag takes it from another register.
_SIMULATED_POWER = -1


def _tag(tag: Tag, plan: DevicePlan, exponents: Collection[str | None]) -> dict[str, Any]:
    point = resolve(tag_options(tag.where), device_options(plan.options))
    low = tag.low
    high = tag.high
    if tag.name in exponents:
        low = high = _SIMULATED_POWER
    power = 1.0 if tag.scale_exponent_from is None else 10.0**_SIMULATED_POWER
    return {
        "object": point.object,
        "address": point.address,
        "type": point.type,
        "bit": point.bit,
        "byte": "low" if point.low_byte else "high",
        "count": point.count,
        "length": point.length,
        "encoding": point.encoding,
        "word_order": point.order,
        "scale": tag.scale * power,
        "offset": tag.offset,
        "kind": tag.kind,
        "unit": tag.unit,
        "range": None if low is None or high is None else [low, high],
        "map": None
        if tag.labels is None
        else {str(number): label for number, label in tag.labels.items()},
    }
