"""Neuron's exports (JSON of its API, or the tag template as XLSX or CSV), by emqx/neuron-docs:
`api/configuration`, `api/data-type`, `configuration/import-export`, `south-devices/modbus-tcp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from edge_agent.commissioning.convert.common import NO_COUNTERPART, duration, serial_url
from edge_agent.commissioning.convert.json_text import LocatedObject
from edge_agent.commissioning.convert.plant import ConvertedPlant, Draft
from edge_agent.commissioning.lists.addresses import UNSTATED, locate
from edge_agent.commissioning.lists.cells import scalar
from edge_agent.commissioning.lists.words import WordError

_TYPES: Final = {
    1: "int8",
    2: "uint8",
    3: "int16",
    4: "uint16",
    5: "int32",
    6: "uint32",
    7: "int64",
    8: "uint64",
    9: "float32",
    10: "float64",
    11: "bool",
    12: "bool",
    13: "string",
    16: "uint16",
    17: "uint32",
    18: "uint64",
}
_BAUD: Final = (115200, 57600, 38400, 19200, 9600, 4800, 2400, 1800, 1200, 600)
_PARITY: Final = ("N", "O", "E", "M", "S")
_READ: Final = 1
_PARAMS: Final = frozenset(
    {
        "host",
        "port",
        "timeout",
        "interval",
        "connection_mode",
        "link",
        "device",
        "baud",
        "parity",
        "stop",
        "data",
        "address_base",
        "url",
        "endpoint",
        "transport_mode",
    }
)


def read(path: Path, document: Any, plant: ConvertedPlant) -> None:
    """Add the devices of an export: of one node, a template, or the whole configuration."""
    for node in _nodes(document):
        maker = _Node(path, plant, node)
        plant.attempt(f"{path}:{node.line}", maker.name, maker.read)


def _objects(value: Any) -> list[LocatedObject]:
    """The objects of a list; nothing of what is none."""
    return (
        [each for each in value if isinstance(each, LocatedObject)]
        if isinstance(value, list)
        else []
    )


def _nodes(document: Any) -> Iterator[LocatedObject]:
    """One object for each driver: name, plugin, params, groups."""
    if not isinstance(document, LocatedObject):
        return
    if "drivers" in document:
        yield from _objects(document["drivers"])
    elif "nodes" in document:
        yield from _of_whole(document)
    elif "groups" in document or "tags" in document:
        yield document


def _of_whole(document: LocatedObject) -> Iterator[LocatedObject]:
    """The lists of the whole configuration, brought together by node."""
    params = {
        str(each.get("node")): each.get("params", {}) for each in _objects(document.get("settings"))
    }
    for node in _objects(document["nodes"]):
        if node.get("type", 1) != 1:
            continue
        name = node.get("name")
        made = LocatedObject(node.line)
        made.update(node)
        made["params"] = params.get(str(name), {})
        intervals = {
            str(each.get("group") or each.get("name")): each.get("interval")
            for each in _objects(document.get("groups"))
            if name in (each.get("driver"), each.get("node"))
        }
        groups = []
        for each in _objects(document.get("tags")):
            if name in (each.get("driver"), each.get("node")):
                group = LocatedObject(each.line)
                group.update(each)
                group["interval"] = intervals.get(str(each.get("group")))
                groups.append(group)
        made["groups"] = groups
        yield made


class _Node:
    """One driver of Neuron: a device for each unit of a Modbus line, or one OPC UA server."""

    def __init__(self, path: Path, plant: ConvertedPlant, node: LocatedObject) -> None:
        self._path = path
        self._plant = plant
        self._node = node
        self.name = str(node.get("name") or node.get("node") or "neuron")
        params = node.get("params")
        self._params: Mapping[str, Any] = params if isinstance(params, dict) else {}
        self._devices: dict[Any, Draft] = {}

    def _at(self, table: Any, key: str = "") -> str:
        line = (
            table.lines.get(key, table.line)
            if isinstance(table, LocatedObject)
            else self._node.line
        )
        return f"{self._path}:{line}"

    def read(self) -> None:
        plugin = str(self._node.get("plugin", "Modbus TCP"))
        keys = self._keys(plugin)
        if keys is None:
            zh = f"没有对应 {plugin} 的连接器。"
            en = f"there is no connector for {plugin}."
            self._plant.leave_out(self._at(self._node), self.name, zh, en)
            return
        for group in _objects(self._node.get("groups")) or [self._node]:
            for tag in self._plant.objects(group, "tags", partial(self._at, group)):
                self._one(tag, keys, group.get("interval"))
        for key in self._params:
            if key not in _PARAMS:
                self._plant.leave_out(
                    self._at(self._params, key), f"{self.name} {key}", *NO_COUNTERPART
                )

    def _one(self, tag: Any, keys: Mapping[str, Any], interval: Any) -> None:
        self._plant.attempt(
            self._at(tag), str(tag.get("name")), lambda: self._tag(tag, keys, interval)
        )

    def _keys(self, plugin: str) -> dict[str, Any] | None:
        params = self._params
        if re.search(r"opc\s*-?ua", plugin, re.I):
            endpoint = params.get("url") or params.get("endpoint") or "opc.tcp://127.0.0.1:4840"
            self._say_unless(bool(params), "endpoint", "opc.tcp://127.0.0.1:4840")
            return {"connector": "opcua", "endpoint": endpoint}
        if not re.search("modbus", plugin, re.I):
            return None
        if params.get("connection_mode", 0) == 1:
            zh, en = (
                "由设备主动连接（服务端模式）不受支持。",
                "devices that dial in (server mode) are not supported.",
            )
            self._plant.leave_out(self._at(params, "connection_mode"), self.name, zh, en)
        keys: dict[str, Any] = {"connector": "modbus", "url": self._url(plugin)}
        if isinstance(params.get("timeout"), int):
            keys["timeout"] = duration(min(params["timeout"] / 1000, 60.0))
        if params.get("interval"):
            keys["pause_ms"] = params["interval"]
        return keys

    def _url(self, plugin: str) -> str:
        params = self._params
        if "device" in params and params.get("link", 0) == 0:
            settings = {
                "baudrate": _listed(_BAUD, params.get("baud")),
                "parity": _listed(_PARITY, params.get("parity")),
                "stopbits": _listed((1, 2), params.get("stop")),
                "bytesize": _listed((5, 6, 7, 8), params.get("data")),
            }
            return serial_url("rtu", str(params["device"]), settings)
        scheme = "rtu-tcp" if "rtu" in plugin.lower() else "tcp"
        self._say_unless("host" in params, "url", f"{scheme}://127.0.0.1:502")
        return f"{scheme}://{params.get('host', '127.0.0.1')}:{params.get('port', 502)}"

    def _say_unless(self, there: bool, key: str, instead: str) -> None:
        if not there:
            zh = f"{self.name}：文件里没有设备的地址，{key} 暂写为 {instead}，请改。"
            en = (
                f"{self.name}: the file does not say where the device is; {key} is {instead} "
                "until you change it."
            )
            self._plant.note(self._at(self._node), zh, en)

    def _device(self, unit: int | None, keys: Mapping[str, Any]) -> Draft:
        if unit not in self._devices:
            own = dict(keys) if unit is None else {**keys, "unit": unit}
            name = f"{self.name}-{unit}" if self._devices else self.name
            self._devices[unit] = self._plant.device(name, own, self._at(self._node))
        return self._devices[unit]

    def _tag(self, tag: LocatedObject, keys: Mapping[str, Any], interval: Any) -> None:
        name = str(tag.get("name", ""))
        where = self._at(tag)
        if not int(tag.get("attribute", _READ)) & (_READ | 4):
            zh = "只写的点读不到。"
            en = "a point that can only be written is not read."
            self._plant.leave_out(where, name, zh, en)
            return
        kind = (
            _TYPES.get(tag.get("type", 0))
            if isinstance(tag.get("type"), int)
            else str(tag.get("type")).lower()
        )
        if keys["connector"] == "opcua":
            self._plant.tag(self._device(None, keys), name, _node_keys(tag, interval), where)
            return
        try:
            self._register(tag, kind, keys, interval)
        except WordError as error:
            self._plant.leave_out(where, name, error.zh, error.en)

    def _register(
        self, tag: LocatedObject, kind: str | None, keys: Mapping[str, Any], interval: Any
    ) -> None:
        name = str(tag.get("name", ""))
        where = self._at(tag)
        if kind is None:
            zh = f"没有类型 {tag.get('type')}。"
            en = f"there is no type {tag.get('type')} here."
            self._plant.leave_out(where, name, zh, en)
            return
        found = locate(str(tag.get("address", "")), "", UNSTATED, text_type=kind == "string")
        address = found.address
        if self._params.get("address_base") == 0 and re.fullmatch(r"\d{5,6}(\.\d+)?", address):
            table = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}[address[0]]
            head, _, bit = address[1:].partition(".")
            address = f"{table}/{int(head)}" + (f".{bit}" if bit else "")
        made: dict[str, Any] = {"address": scalar(address), "type": kind}
        if kind in ("int8", "uint8"):
            made["byte"] = "low"
            self._plant.note(
                where, f"{name}：字节取低位，请核对。", f"{name}: taken from the low byte; compare."
            )
        if found.length is not None:
            made["length"] = found.length
        if found.word_order is not None and kind != "bool":
            made["word_order"] = found.word_order
        if tag.get("decimal"):
            made["scale"] = scalar(f"{tag['decimal']:.12g}")
        if tag.get("bias"):
            made["offset"] = scalar(f"{tag['bias']:.12g}")
        if interval:
            made["every"] = duration(float(interval) / 1000)
        if tag.get("description"):
            made["description"] = str(tag["description"])
        self._plant.tag(
            self._device(found.unit if found.unit is not None else 1, keys), name, made, where
        )


def _node_keys(tag: Mapping[str, Any], interval: Any) -> dict[str, Any]:
    """`2!Speed` is ns=2;s=Speed, and digits alone a numeric identifier."""
    index, _, name = str(tag.get("address", "")).partition("!")
    kind = (
        "i"
        if name.isdecimal()
        else "g"
        if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", name)
        else "s"
    )
    made: dict[str, Any] = {"node": f"ns={index};{kind}={name}"}
    if interval:
        made["every"] = duration(float(interval) / 1000)
    if tag.get("description"):
        made["description"] = str(tag["description"])
    return made


def _listed(values: Any, index: Any) -> Any:
    """The setting that a number of Neuron stands for; None when it is not stated."""
    return values[index] if isinstance(index, int) and 0 <= index < len(values) else None
