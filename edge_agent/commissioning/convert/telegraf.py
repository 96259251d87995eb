"""Telegraf's `inputs.modbus`, `inputs.opcua` and `inputs.opcua_listener` (TOML), by the sample
configurations and READMEs of influxdata/telegraf: `plugins/inputs/modbus`, `plugins/inputs/opcua`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from edge_agent.commissioning.convert.common import (
    NO_COUNTERPART,
    ORDERS,
    duration,
    factor,
    list_unused_keys,
    seconds,
    serial_url,
)
from edge_agent.commissioning.convert.plant import ConvertedPlant, Draft
from edge_agent.errors import FindingsError

_TABLES: Final = {
    "discrete_inputs": "discrete",
    "coils": "coil",
    "holding_registers": "holding",
    "input_registers": "input",
}
_PLAIN: Final = {
    "INT16": "int16",
    "UINT16": "uint16",
    "INT32": "int32",
    "UINT32": "uint32",
    "INT64": "int64",
    "UINT64": "uint64",
    "FLOAT32": "float32",
    "FLOAT64": "float64",
    "FLOAT32-IEEE": "float32",
    "FLOAT64-IEEE": "float64",
}
_HALVES: Final = {
    "INT8L": ("int8", "low"),
    "INT8H": ("int8", "high"),
    "UINT8L": ("uint8", "low"),
    "UINT8H": ("uint8", "high"),
}
_ORDERS: Final = {"AB": "ABCD", "BA": "BADC"}
_MODBUS_KEYS: Final = frozenset(
    {
        "name",
        "slave_id",
        "timeout",
        "controller",
        "baud_rate",
        "data_bits",
        "parity",
        "stop_bits",
        "transmission_mode",
        "configuration_type",
        "request",
        "metric",
        "workarounds",
        "interval",
        *_TABLES,
    }
)
_FIELD_KEYS: Final = frozenset(
    {
        "name",
        "address",
        "type",
        "data_type",
        "scale",
        "byte_order",
        "omit",
        "register",
        "length",
        "bit",
    }
)
_OPCUA_KEYS: Final = frozenset(
    {
        "name",
        "endpoint",
        "interval",
        "nodes",
        "group",
        "security_policy",
        "security_mode",
        "certificate",
        "private_key",
        "auth_method",
        "username",
        "password",
        "request_timeout",
        "connect_timeout",
        "subscription_interval",
    }
)


def read(path: Path, text: str, plant: ConvertedPlant) -> None:
    """Add the devices of a file. Raises FindingsError for a text that is no TOML."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FindingsError.one(
            "bad-toml",
            f"不是有效的 TOML（{error}）。",
            f"this is no valid TOML ({error}).",
            str(path),
        ) from error
    inputs = _table(document.get("inputs"))
    lines = text.splitlines()
    every = _table(document.get("agent")).get("interval")
    for plugin, make in (
        ("modbus", _TelegrafModbus),
        ("opcua", _TelegrafOpcua),
        ("opcua_listener", _TelegrafOpcua),
    ):
        starts = _starts(lines, plugin)
        for number, table in enumerate(plant.objects(inputs, plugin, lambda _: str(path))):
            place = _Places(path, lines, starts, number)
            maker = make(plant, table, place, table.get("interval", every), plugin)
            plant.attempt(place.of_table(), f"inputs.{plugin}", maker.read)
    for plugin in inputs:
        if plugin not in ("modbus", "opcua", "opcua_listener"):
            zh = "这里没有这种采集。"
            en = "there is no such input here."
            plant.leave_out(
                f"{path}:{next(iter(_starts(lines, plugin)), 1)}", f"inputs.{plugin}", zh, en
            )


def _table(value: Any) -> Mapping[str, Any]:
    """A table; an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def _starts(lines: Sequence[str], plugin: str) -> list[int]:
    """The lines (from 1) at which the tables of a plugin begin."""
    head = re.compile(rf"\s*\[\[\s*inputs\.{re.escape(plugin)}\s*\]\]")
    return [number for number, line in enumerate(lines, 1) if head.match(line)]


class _Places:
    """Lines of what stands in one table; TOML readers tell none, so names are looked up in its part
    of the text."""

    def __init__(
        self, path: Path, lines: Sequence[str], starts: Sequence[int], number: int
    ) -> None:
        self._path = path
        self._lines = lines
        self._first = starts[number] if number < len(starts) else 1
        self._end = starts[number + 1] - 1 if number + 1 < len(starts) else len(lines)
        self._after = self._first

    def of_table(self) -> str:
        return f"{self._path}:{self._first}"

    def of_key(self, key: str) -> str:
        """Where a key is set for the first time."""
        return self._find(
            rf"^\s*{re.escape(key)}\s*=|\b{re.escape(key)}\s*=|\[.*\b{re.escape(key)}\]",
            self._first,
        )[0]

    def of_name(self, name: str) -> str:
        """Where the next entry of this name stands."""
        place, line = self._find(rf"\bname\s*=\s*[\"']{re.escape(name)}[\"']", self._after)
        self._after = line
        return place

    def _find(self, pattern: str, begin: int) -> tuple[str, int]:
        found = re.compile(pattern)
        for first in (begin, self._first):
            for number in range(first, self._end + 1):
                line = self._lines[number - 1]
                if not line.lstrip().startswith("#") and found.search(line):
                    return f"{self._path}:{number}", number
        return self.of_table(), begin


class _TelegrafModbus:
    """One `[[inputs.modbus]]`: a device for each slave id."""

    def __init__(
        self,
        plant: ConvertedPlant,
        table: Mapping[str, Any],
        places: _Places,
        every: Any,
        plugin: str,
    ) -> None:
        self._plant = plant
        self._table = table
        self._places = places
        self._every = every
        self._devices: dict[int, Draft] = {}

    def read(self) -> None:
        url = self._url()
        if url is None:
            return
        self._keys = self._common(url)
        style = self._table.get("configuration_type", "register")
        if style == "register":
            for key, table in _TABLES.items():
                for entry in self._plant.objects(self._table, key, self._places.of_key):
                    self._one(entry, partial(self._register, entry, table))
        else:
            for request in self._plant.objects(self._table, str(style), self._places.of_key):
                self._plant.attempt(
                    self._places.of_key(str(style)), str(style), partial(self._request, request)
                )
        list_unused_keys(
            self._plant, self._table, _MODBUS_KEYS, self._places.of_key, "inputs.modbus"
        )

    def _one(self, entry: Mapping[str, Any], make: Callable[[], None]) -> None:
        self._plant.attempt(self._places.of_table(), str(entry.get("name")), make)

    def _url(self) -> str | None:
        controller, mode = (
            str(self._table.get("controller", "")),
            str(self._table.get("transmission_mode", "")),
        )
        if match := re.fullmatch(r"tcp://(.+)", controller):
            scheme = {"": "tcp", "tcp": "tcp", "rtuovertcp": "rtu-tcp"}.get(mode.lower())
            if scheme is not None:
                return f"{scheme}://{match[1]}"
        elif match := re.fullmatch(r"(?:file|serial)://(/.+)", controller):
            scheme = {"": "rtu", "rtu": "rtu", "ascii": "ascii"}.get(mode.lower())
            if scheme is not None:
                return serial_url(
                    scheme,
                    match[1],
                    {
                        "baudrate": self._table.get("baud_rate"),
                        "bytesize": self._table.get("data_bits"),
                        "parity": self._table.get("parity"),
                        "stopbits": self._table.get("stop_bits"),
                    },
                )
        zh = f"连接方式 {controller} {mode} 不受支持，整段未照搬。"
        en = (
            f"the connection {controller} {mode} is not supported, and the whole table was left "
            "out."
        )
        self._plant.leave_out(self._places.of_key("controller"), "inputs.modbus controller", zh, en)
        return None

    def _common(self, url: str) -> dict[str, Any]:
        keys: dict[str, Any] = {"connector": "modbus", "url": url}
        if (timeout := seconds(self._table.get("timeout"))) is not None:
            keys["timeout"] = duration(timeout)
        if (every := seconds(self._every)) is not None:
            keys["every"] = duration(every)
        around = self._table.get("workarounds", {})
        if pause := seconds(around.get("pause_after_connect", 0)):
            keys["connect_delay"] = duration(pause)
        if pause := seconds(around.get("pause_between_requests", 0)):
            keys["pause_ms"] = factor(pause, 1000) or 1
        list_unused_keys(
            self._plant, {key: value for key, value in around.items() if value},
            ("pause_after_connect", "pause_between_requests"), self._places.of_key, "workarounds",
        )  # fmt: skip
        return keys

    def _device(self, unit: int) -> Draft:
        if unit not in self._devices:
            name = str(self._table.get("name") or "modbus")
            style = str(self._table.get("configuration_type", "register"))
            requests = (
                []
                if style == "register"
                else self._plant.objects(self._table, style, self._places.of_key)
            )
            units = {str(request.get("slave_id", 0)) for request in requests}
            keys = {"unit": unit, **self._keys}
            self._devices[unit] = self._plant.device(
                f"{name}-{unit}" if len(units) > 1 else name, keys, self._places.of_table()
            )
        return self._devices[unit]

    def _register(self, entry: Mapping[str, Any], table: str) -> None:
        where = self._places.of_name(str(entry.get("name", "")))
        addresses = entry.get("address") or []
        first = addresses[0] if addresses else None
        if first is None or addresses != list(range(first, first + len(addresses))):
            zh, en = (
                f"寄存器 {addresses} 不是连续递增的。",
                f"the registers {addresses} are not in a row.",
            )
            self._plant.leave_out(where, str(entry.get("name")), zh, en)
            return
        unit = int(self._table.get("slave_id", 0))
        self._tag(
            self._device(unit),
            table,
            entry,
            first,
            len(addresses),
            str(entry.get("byte_order", "")),
            where,
        )
        self._list_unused(entry, where)

    def _request(self, request: Mapping[str, Any]) -> None:
        unit = int(request.get("slave_id", 0))
        order = str(request.get("byte_order", "ABCD"))
        for entry in self._plant.objects(request, "fields", self._places.of_key):
            self._one(entry, partial(self._field, entry, request, unit, order))
        for key in ("measurement", "tags"):
            if key in request:
                self._plant.leave_out(self._places.of_key(key), f"request {key}", *NO_COUNTERPART)

    def _field(
        self, entry: Mapping[str, Any], request: Mapping[str, Any], unit: int, order: str
    ) -> None:
        where = self._places.of_name(str(entry.get("name", "")))
        if not entry.get("omit"):
            table = str(entry.get("register", request.get("register", "holding")))
            self._tag(self._device(unit), table, entry, entry.get("address"), None, order, where)
            self._list_unused(entry, where)

    def _list_unused(self, entry: Mapping[str, Any], where: str) -> None:
        list_unused_keys(
            self._plant,
            entry,
            (*_FIELD_KEYS, "output"),
            lambda _: where,
            str(entry.get("name", "")),
        )

    def _tag(
        self,
        device: Draft,
        table: str,
        entry: Mapping[str, Any],
        first: Any,
        words: int | None,
        order: str,
        where: str,
    ) -> None:
        name = str(entry.get("name", ""))
        keys = {"address": f"{table}/{first}"}
        if table in ("holding", "input"):
            shape = _shape(str(entry.get("type") or entry.get("data_type") or ""), entry, words)
            if shape is None:
                kind = entry.get("type") or entry.get("data_type")
                self._plant.leave_out(
                    where, name, f"没有类型 {kind}。", f"there is no type {kind} here."
                )
                return
            keys |= shape
            letters = _ORDERS.get(order, order)
            if (
                letters in ORDERS
                and letters != "ABCD"
                and "byte" not in shape
                and shape["type"] != "bool"
            ):
                keys["word_order"] = letters
            scale = factor(entry.get("scale", 1) or 1)
            if scale is not None and shape["type"] not in ("bool", "string"):
                keys["scale"] = scale
        self._plant.tag(device, name, keys, where)


def _shape(kind: str, entry: Mapping[str, Any], words: int | None) -> dict[str, Any] | None:
    """The keys of a type; None for one that there is not. `words`: registers, in the register
    style."""
    kind = kind.upper()
    if kind == "BIT":
        return {"type": "bool", "bit": int(entry.get("bit", 0))}
    if kind == "STRING":
        length = 2 * int(entry.get("length") or words or 0)
        return {"type": "string", "length": length} if length else None
    if kind in _HALVES:
        half, byte = _HALVES[kind]
        return {"type": half, "byte": byte}
    fixed = {"FIXED": "int", "UFIXED": "uint"}
    # of the register style: an unsigned fixed point, deprecated
    if words is not None and kind == "FLOAT32":
        return {"type": f"uint{16 * words}"} if words in (1, 2, 4) else None
    if kind in fixed:
        return {"type": f"{fixed[kind]}{16 * words}"} if words in (1, 2, 4) else None
    return {"type": _PLAIN[kind]} if kind in _PLAIN else None


class _TelegrafOpcua:
    """One `[[inputs.opcua]]`, which reads, or `[[inputs.opcua_listener]]`, which subscribes."""

    def __init__(
        self,
        plant: ConvertedPlant,
        table: Mapping[str, Any],
        places: _Places,
        every: Any,
        plugin: str,
    ) -> None:
        self._plant = plant
        self._table = table
        self._places = places
        self._every = every
        self._plugin = plugin

    def read(self) -> None:
        keys: dict[str, Any] = {
            "connector": "opcua",
            "endpoint": str(self._table.get("endpoint", "")),
        }
        keys["mode"] = "read" if self._plugin == "opcua" else "subscribe"
        if (every := seconds(self._every)) is not None:
            keys["every"] = duration(every)
        if (timeout := seconds(self._table.get("request_timeout"))) is not None:
            keys["timeout"] = duration(timeout)
        if (publishing := seconds(self._table.get("subscription_interval"))) is not None:
            keys["publishing_ms"] = factor(publishing, 1000) or 1
        self._security(keys)
        device = self._plant.device(
            str(self._table.get("name") or "opcua"), keys, self._places.of_table()
        )
        at = self._places.of_key
        for node in self._plant.objects(self._table, "nodes", at):
            self._node(device, node, {})
        for group in self._plant.objects(self._table, "group", at):
            for node in self._plant.objects(group, "nodes", at):
                self._node(device, node, group)
            list_unused_keys(
                self._plant,
                group,
                ("nodes", "name", "namespace", "namespace_uri", "identifier_type"),
                self._places.of_key,
                "group",
            )
        list_unused_keys(
            self._plant, self._table, _OPCUA_KEYS, self._places.of_key, f"inputs.{self._plugin}"
        )

    def _security(self, keys: dict[str, Any]) -> None:
        policy, mode = (
            self._table.get("security_policy", "auto"),
            self._table.get("security_mode", "auto"),
        )
        if "auto" in (policy, mode):
            zh = (
                "auto 会自行挑选；这里要写明，未写时不加密。请用 scan opcua 看服务器提供什么，"
                "再写 security。"
            )
            en = (
                "`auto` chooses by itself; here it is stated, and without it nothing is "
                "protected. See what the server "
            )
            en += "offers with `scan opcua`, and write `security`."
            self._plant.leave_out(self._places.of_key("security_policy"), "security_policy", zh, en)
        elif policy != "None":
            security = {"policy": policy, "mode": mode}
            for theirs, ours in (("certificate", "certificate"), ("private_key", "key")):
                if self._table.get(theirs):
                    security[ours] = self._table[theirs]
            keys["security"] = security
        if self._table.get("auth_method", "Anonymous") != "Anonymous":
            zh = "密码不照抄：请在设备下写 user: {name: ..., password: !env 名称}。"
            en = (
                "no password is copied: write user: {name: ..., password: !env NAME} at the device."
            )
            self._plant.leave_out(self._places.of_key("auth_method"), "auth_method", zh, en)

    def _node(self, device: Draft, node: Mapping[str, Any], group: Mapping[str, Any]) -> None:
        name = str(node.get("name", ""))
        where = self._places.of_name(name)
        identifier = str(node.get("id") or "")
        if not identifier:
            uri = node.get("namespace_uri") or group.get("namespace_uri")
            index = node.get("namespace") or group.get("namespace") or "0"
            kind = node.get("identifier_type") or group.get("identifier_type") or "s"
            begin = f"nsu={uri};" if uri else f"ns={index};" if str(index) != "0" else ""
            identifier = f"{begin}{kind}={node.get('identifier', '')}"
        self._plant.tag(device, name, {"node": identifier}, where)
        known = ("name", "id", "namespace", "namespace_uri", "identifier_type", "identifier")
        list_unused_keys(self._plant, node, known, lambda _: where, name)
