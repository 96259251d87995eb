"""The network as configured: agent, endpoints, devices, drawn as a tree."""

from __future__ import annotations

from edge_agent.report.facts import Device
from edge_agent.report.production import Plant
from edge_agent.report.svg import Markup, element, label, line, picture, rect

_ROW = 24.0


def topology(plant: Plant) -> Markup:
    """One line per device, grouped by endpoint."""
    endpoints: dict[str, list[Device]] = {}
    for device in sorted(plant.facts.devices.values(), key=lambda each: (each.line, each.endpoint, each.id)):
        endpoints.setdefault(device.endpoint, []).append(device)
    pieces: list[Markup] = [_box(8, 30, 130, "edge-agent")]
    y = 30.0
    for endpoint, devices in endpoints.items():
        pieces.append(line(138, 42, 170, y + 12))
        pieces.append(_box(170, y, 250, endpoint))
        for device in devices:
            words = " ".join(part for part in (device.id, device.name, device.unit and f"unit {device.unit}") if part)
            pieces.append(line(420, y + 12, 450, y + 12))
            pieces.append(_box(450, y, 300, f"{words} · {device.line}"))
            y += _ROW
    drawn = picture(
        760, y + 20, "network topology", *pieces, label(8, 18, "网络拓扑(按配置生成) / topology as configured")
    )
    return Markup(f'<?xml version="1.0" encoding="UTF-8"?>\n{drawn}\n')


def _box(x: float, y: float, width: float, words: str) -> Markup:
    frame = rect(x, y, width, 20, "#eef2f5", stroke="#8a97a3", rx=3)
    return element("g", frame, label(x + 6, y + 14, words, font_size=11, font_family="sans-serif"))
