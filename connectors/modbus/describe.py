"""What a simulator has to serve to stand in for a device: plain JSON, every address resolved to a PDU address."""

from __future__ import annotations

from typing import Any

from connectors.modbus.endpoint import parse_url
from connectors.modbus.options import device_options, tag_options
from connectors.modbus.point import resolve
from edge_agent.sdk import DevicePlan, Tag


def describe(plan: DevicePlan) -> dict[str, Any]:
    """`{"protocol": "modbus", "transport", "unit", "tags": {name: {...}}}` of a plan that `check` found in order."""
    device = device_options(plan.options)
    tags = [tag for table in plan.tables for tag in table.tags]
    return {
        "protocol": "modbus",
        "transport": parse_url(device.url).scheme,
        "unit": device.unit,
        "tags": {tag.name: _tag(tag, plan) for tag in tags},
    }


def _tag(tag: Tag, plan: DevicePlan) -> dict[str, Any]:
    point = resolve(tag_options(tag.where), device_options(plan.options))
    return {
        "object": point.object,
        "address": point.address,
        "type": point.type,
        "bit": point.bit,
        "count": point.count,
        "length": point.length,
        "encoding": point.encoding,
        "word_order": point.order,
        "scale": tag.scale,
        "offset": tag.offset,
        "kind": tag.kind,
        "unit": tag.unit,
        "range": None if tag.low is None or tag.high is None else [tag.low, tag.high],
        "map": None if tag.labels is None else {str(number): label for number, label in tag.labels.items()},
    }
