"""The network as configured: agent, endpoints, devices, drawn as a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge_agent.production.facts import AssessedDevice
from edge_agent.production.plant import Plant
from edge_agent.report import blocks
from edge_agent.report.blocks import Json
from edge_agent.report.pictures.marks import INK, cut
from edge_agent.report.pictures.svg import Markup, element, label, line, picture, rect

_ROW: Final = 24.0
_WIDTH: Final = 760.0
_COLOURS: Final = {"modbus": "#e5f2ec", "opcua": "#e4eff6"}


def block(plant: Plant) -> Json:
    """The picture's data: every endpoint with its devices."""
    endpoints: dict[str, list[AssessedDevice]] = {}
    for device in sorted(
        plant.facts.devices.values(), key=lambda each: (each.line, each.endpoint, each.id)
    ):
        endpoints.setdefault(device.endpoint, []).append(device)
    rows = [
        {
            "endpoint": endpoint,
            "protocol": devices[0].connector,
            "devices": [_words(each) for each in devices],
        }
        for endpoint, devices in endpoints.items()
    ]
    return blocks.chart(
        "topology", "网络拓扑（按配置生成）", "topology as configured", endpoints=rows
    )


def _words(device: AssessedDevice) -> str:
    unit = f"unit {device.unit}" if device.unit else ""
    return " ".join(
        part for part in (device.id, device.name, unit, device.line and f"· {device.line}") if part
    )


def draw(data: Mapping[str, Any]) -> Markup:
    """One line per device, grouped by endpoint; the agent's trunk reaches them all."""
    pieces: list[Markup] = [_box(8, 6, 110, "edge-agent", "#dbe9f1")]
    y = last = 6.0
    for row in data["endpoints"]:
        last = y
        pieces.append(line(140, y + 10, 160, y + 10))
        pieces.append(
            _box(
                160,
                y,
                250,
                f"{row['protocol']} {row['endpoint']}",
                _COLOURS.get(row["protocol"], "#eef2f5"),
            )
        )
        for words in row["devices"]:
            pieces.append(line(410, y + 10, 440, y + 10))
            pieces.append(_box(440, y, 312, words, "#ffffff"))
            y += _ROW
    trunk = [line(118, 16, 140, 16), line(140, 16, 140, last + 10)] if data["endpoints"] else []
    return picture(_WIDTH, y + 8, "network topology", *trunk, *pieces)


def topology(plant: Plant) -> Markup:
    """The picture as a file of its own."""
    return Markup(f'<?xml version="1.0" encoding="UTF-8"?>\n{draw(block(plant))}\n')


def _box(x: float, y: float, width: float, words: str, fill: str) -> Markup:
    frame = rect(x, y, width, 20, fill, element("title", words), stroke="#8a97a3", rx=3)
    shown = cut(words, width - 10, 11)
    return element(
        "g", frame, label(x + 6, y + 14, shown, font_size=11, font_family="sans-serif", fill=INK)
    )
