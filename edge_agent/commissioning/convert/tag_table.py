"""Tables of tags without a connection: the CSV of a Kepware device, and the tag template of
Neuron."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_agent.commissioning.convert.plant import ConvertedPlant, Draft
from edge_agent.commissioning.lists import spreadsheet
from edge_agent.commissioning.lists.points import ListTarget, parse
from edge_agent.config.plugins import Plugins, tag_model
from edge_agent.config.shape import keys as yaml_keys


def read(
    path: Path,
    plant: ConvertedPlant,
    plugins: Plugins,
    name: str,
    url: str | None,
    unit: int | None,
    encoding: str | None = None,
) -> None:
    """Add a device for each unit number of a table. Raises FindingsError for a file that is
    none."""
    found = parse(
        spreadsheet.read(path, encoding),
        ListTarget(frozenset(yaml_keys(tag_model(plugins["modbus"])))),
    )
    for problem in found.problems:
        plant.left_out.append(problem)
    plant.notes += found.notes
    devices: dict[Any, Draft] = {}
    for point in found.points:
        number = point.unit if point.unit is not None else unit if unit is not None else 1
        if number not in devices:
            keys = {"connector": "modbus", "url": url or "tcp://127.0.0.1:502", "unit": number}
            devices[number] = plant.device(f"{name}-{number}" if devices else name, keys, str(path))
        plant.tag(
            devices[number], point.name, point.keys, found.at(point.row, point.columns["tag"])
        )
    if url is None and devices:
        zh = "文件里没有设备的地址，url 暂写为 tcp://127.0.0.1:502；请改，或用 --url。"
        en = (
            "the file does not say where the device is; url is tcp://127.0.0.1:502 until you "
            "change it, or use --url."
        )
        plant.note(str(path), zh, en)
