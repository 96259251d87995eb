"""The connectors of the ThingsBoard IoT Gateway for Modbus and OPC UA (JSON), by the default
configurations of thingsboard/thingsboard-gateway: `modbus.json` (with `master.slaves`, and the
older `server.devices`), `opcua.json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from edge_agent.commissioning.convert.common import (
    NO_COUNTERPART,
    WRITES,
    duration,
    factor,
    list_unused_keys,
    serial_url,
)
from edge_agent.commissioning.convert.json_text import LocatedObject
from edge_agent.commissioning.convert.plant import ConvertedPlant, Draft

_TABLES: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_TYPES: Final = {
    **{f"{bits}{kind}": f"{kind}{bits}" for bits in (16, 32, 64) for kind in ("int", "uint")},
    **{"32float": "float32", "64float": "float64", "8int": "int8", "8uint": "uint8"},
}
_LINE_KEYS: Final = frozenset(
    {
        "host",
        "port",
        "type",
        "method",
        "timeout",
        "byteOrder",
        "wordOrder",
        "baudrate",
        "stopbits",
        "bytesize",
        "parity",
        "devices",
        "name",
    }
)
_SLAVE_KEYS: Final = _LINE_KEYS | {
    "unitId",
    "deviceName",
    "pollPeriod",
    "attributesPollPeriod",
    "timeseriesPollPeriod",
    "sendDataOnlyOnChange",
    "attributes",
    "timeseries",
}
#: What the other program does on its own account: retries, names of device types.
_OF_NO_ACCOUNT: Final = frozenset(
    {"retries", "retryOnEmpty", "retryOnInvalid", "connectAttemptTimeMs", "connectAttemptCount",
     "waitAfterFailedAttemptsMs", "deviceType", "strict", "reportStrategy"}
)  # fmt: skip
_WRITING: Final = ("attributeUpdates", "rpc", "attributes_updates", "rpc_methods")


def read(path: Path, document: Any, plant: ConvertedPlant) -> None:
    """Add the devices of a file."""
    if not isinstance(document, LocatedObject):
        plant.leave_out(
            str(path),
            "",
            "不是 ThingsBoard 网关的配置。",
            "this is no configuration of its gateway.",
        )
        return
    server = document.get("server")
    if isinstance(server, LocatedObject) and ("mapping" in server or "mapping" in document):
        plant.attempt(
            f"{path}:{server.line}",
            "server",
            lambda: _GatewayOpcua(path, plant).server(server, document),
        )
    elif isinstance(server, LocatedObject):
        for slave in plant.objects(server, "devices", lambda _: f"{path}:{server.line}"):
            _attempt(path, plant, slave, server)
    master = document.get("master")
    for slave in (
        plant.objects(master, "slaves", lambda _: str(path)) if isinstance(master, dict) else ()
    ):
        _attempt(path, plant, slave, slave)
    if "slave" in document:
        zh = "本程序不作 Modbus 从站。"
        en = "this program is no Modbus server."
        plant.leave_out(f"{path}:{document.lines['slave']}", "slave", zh, en)


def _attempt(path: Path, plant: ConvertedPlant, slave: Any, line: Any) -> None:
    plant.attempt(
        f"{path}:{slave.line}",
        str(slave.get("deviceName")),
        lambda: _GatewayModbus(path, plant).slave(slave, line),
    )


class _GatewayModbus:
    def __init__(self, path: Path, plant: ConvertedPlant) -> None:
        self._path = path
        self._plant = plant

    def _at(self, table: LocatedObject, key: str = "") -> str:
        return f"{self._path}:{table.lines.get(key, table.line)}"

    def slave(self, slave: LocatedObject, line: LocatedObject) -> None:
        """One slave; `line` says how it is reached, in the older form for all."""
        name = str(slave.get("deviceName") or f"unit-{slave.get('unitId', 1)}")
        url = self._url(line)
        if url is None:
            zh = f"连接方式 {line.get('type')}/{line.get('method')} 不受支持。"
            en = f"the connection {line.get('type')}/{line.get('method')} is not supported."
            self._plant.leave_out(self._at(line, "type"), name, zh, en)
            return
        keys: dict[str, Any] = {"connector": "modbus", "url": url, "unit": slave.get("unitId", 1)}
        if isinstance(line.get("timeout"), int | float):
            keys["timeout"] = duration(min(float(line["timeout"]), 60.0))
        order = self._order(line, name)
        if order != "ABCD":
            keys["word_order"] = order
        if slave.get("sendDataOnlyOnChange"):
            keys["report"] = "change"
        period = slave.get("pollPeriod") or slave.get("timeseriesPollPeriod")
        if period:
            keys["every"] = duration(float(period) / 1000)
        device = self._plant.device(name, keys, self._at(slave))
        for part in ("timeseries", "attributes"):
            own = slave.get("attributesPollPeriod") if part == "attributes" else None
            for entry in self._plant.objects(slave, part, partial(self._at, slave)):
                self._one(device, entry, None if own == period else own)
        self._not_carried(slave, name, line)

    def _one(self, device: Draft, entry: Any, period: Any) -> None:
        self._plant.attempt(
            self._at(entry), str(entry.get("tag")), lambda: self._tag(device, entry, period)
        )

    def _not_carried(self, slave: LocatedObject, name: str, line: LocatedObject) -> None:
        for key in _WRITING:
            if slave.get(key):
                self._plant.leave_out(self._at(slave, key), f"{name} {key}", *WRITES)
        known = (*_SLAVE_KEYS, *_OF_NO_ACCOUNT, *_WRITING)
        list_unused_keys(self._plant, slave, known, lambda key: self._at(slave, key), name)

    def _url(self, line: Mapping[str, Any]) -> str | None:
        kind = line.get("type", "tcp")
        method = line.get("method", "socket")
        port = line.get("port")
        if kind == "serial":
            settings = {"baudrate": line.get("baudrate"), "bytesize": line.get("bytesize"),
                        "parity": line.get("parity"), "stopbits": line.get("stopbits")}  # fmt: skip
            scheme = {"rtu": "rtu", "ascii": "ascii"}.get(str(method))
            return None if scheme is None else serial_url(scheme, str(port), settings)
        scheme = {
            ("tcp", "socket"): "tcp",
            ("tcp", "rtu"): "rtu-tcp",
            ("udp", "socket"): "udp",
            ("tls", "socket"): "tls",
        }.get((str(kind), str(method)))
        return None if scheme is None else f"{scheme}://{line.get('host')}:{port or 502}"

    def _order(self, line: LocatedObject, name: str) -> str:
        byte = str(line.get("byteOrder", "BIG")).upper()
        word = str(line.get("wordOrder", byte)).upper()
        if "wordOrder" not in line:
            zh = f"{name} 没有写 wordOrder，按 {byte} 处理；请用一个已知的 32 位数核对。"
            en = (
                f"{name} states no wordOrder, which was taken as {byte}; compare a 32-bit value "
                "that is known."
            )
            self._plant.note(self._at(line, "byteOrder"), zh, en)
        return {("BIG", "BIG"): "ABCD", ("BIG", "LITTLE"): "CDAB", ("LITTLE", "BIG"): "BADC"}.get(
            (byte, word), "DCBA"
        )

    def _tag(self, device: Draft, entry: LocatedObject, period: Any) -> None:
        name = str(entry.get("tag") or entry.get("key") or "")
        where = self._at(entry)
        table = _TABLES.get(entry.get("functionCode", 3))
        if table is None:
            self._plant.leave_out(where, name, *WRITES)
            return
        keys: dict[str, Any] = {"address": f"{table}/{entry.get('address')}"}
        if table in ("holding", "input"):
            shape = self._shape(entry, name, where)
            if shape is None:
                return
            keys |= shape
            scale = factor(entry.get("multiplier", 1) or 1, divided_by=entry.get("divider", 1) or 1)
            if scale is not None and shape.get("type") != "string":
                keys["scale"] = scale
        elif entry.get("objectsCount", 1) > 1:
            keys["count"] = entry["objectsCount"]
        if period:
            keys["every"] = duration(float(period) / 1000)
        self._plant.tag(device, name, keys, where)
        known = (
            "tag",
            "key",
            "type",
            "functionCode",
            "objectsCount",
            "address",
            "multiplier",
            "divider",
        )
        list_unused_keys(
            self._plant, entry, (*known, "reportStrategy"), lambda key: self._at(entry, key), name
        )

    def _shape(self, entry: LocatedObject, name: str, where: str) -> dict[str, Any] | None:
        kind = str(entry.get("type", ""))
        count = int(entry.get("objectsCount", 1) or 1)
        if kind == "string":
            return {"type": "string", "length": 2 * count}
        if kind == "bits":
            zh = f"{name} 的各位照搬为一个数。"
            en = f"the bits of {name} became one number."
            self._plant.note(where, zh, en)
            return {"type": "uint16"}
        if kind in ("8int", "8uint"):
            return {"type": _TYPES[kind], "byte": "high"}
        if kind in _TYPES:
            return {"type": _TYPES[kind]}
        self._plant.leave_out(where, name, f"没有类型 {kind}。", f"there is no type {kind} here.")
        return None


class _GatewayOpcua:
    def __init__(self, path: Path, plant: ConvertedPlant) -> None:
        self._path = path
        self._plant = plant

    def _at(self, table: LocatedObject, key: str = "") -> str:
        return f"{self._path}:{table.lines.get(key, table.line)}"

    def server(self, server: LocatedObject, document: LocatedObject) -> None:
        """One server; each mapping of it becomes a device."""
        url = str(server.get("url", ""))
        keys: dict[str, Any] = {
            "connector": "opcua",
            "endpoint": url if "://" in url else f"opc.tcp://{url}",
        }
        if server.get("scanPeriodInMillis"):
            keys["every"] = duration(float(server["scanPeriodInMillis"]) / 1000)
        if server.get("timeoutInMillis"):
            keys["timeout"] = duration(float(server["timeoutInMillis"]) / 1000)
        keys["mode"] = "read" if server.get("disableSubscriptions") else "subscribe"
        self._security(server, keys)
        holder = server if "mapping" in server else document
        for number, mapping in enumerate(
            self._plant.objects(holder, "mapping", partial(self._at, holder)), 1
        ):
            self._one(mapping, keys, number)

    def _one(self, mapping: Any, keys: Mapping[str, Any], number: int) -> None:
        self._plant.attempt(
            self._at(mapping), "mapping", lambda: self._mapping(mapping, keys, number)
        )

    def _security(self, server: LocatedObject, keys: dict[str, Any]) -> None:
        policy = server.get("security", "None")
        if policy in ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"):
            keys["security"] = {"policy": policy}
        elif policy not in ("None", "", None):
            zh = f"安全策略 {policy} 已不安全，本程序不支持，暂不加密；"
            zh += "请在服务器上启用 Basic256Sha256 后写 security。"
            en = (
                f"the policy {policy} is broken and not supported; nothing is protected until "
                "the server offers "
            )
            en += "Basic256Sha256 and `security` is written."
            self._plant.leave_out(self._at(server, "security"), f"security {policy}", zh, en)
        if (server.get("identity") or {}).get("type", "anonymous") != "anonymous":
            zh = "密码不照抄：请在设备下写 user: {name: ..., password: !env 名称}。"
            en = (
                "no password is copied: write user: {name: ..., password: !env NAME} at the device."
            )
            self._plant.leave_out(self._at(server, "identity"), "identity", zh, en)

    def _mapping(self, mapping: LocatedObject, keys: Mapping[str, Any], number: int) -> None:
        info = mapping.get("deviceInfo") or {}
        name = str(
            mapping.get("deviceNamePattern")
            or info.get("deviceNameExpression")
            or f"opcua-{number}"
        )
        plain = re.sub(r"\$\{.*?\}", "", name).strip() or "opcua"
        device = self._plant.device(
            f"{plain}-{number}" if plain != name else plain, keys, self._at(mapping)
        )
        base = _steps(str(mapping.get("deviceNodePattern", "")))
        for part in ("timeseries", "attributes"):
            for entry in self._plant.objects(mapping, part, partial(self._at, mapping)):
                self._tag(device, cast("LocatedObject", entry), base)
        for key in _WRITING:
            if mapping.get(key):
                self._plant.leave_out(self._at(mapping, key), f"{device.id} {key}", *WRITES)

    def _tag(self, device: Draft, entry: LocatedObject, base: Sequence[str]) -> None:
        name = str(entry.get("key", ""))
        where = self._at(entry)
        text = str(entry.get("path") or entry.get("value") or "")
        match = re.fullmatch(r"\$\{(.*)\}", text)
        if match is None or entry.get("type") == "constant":
            self._plant.leave_out(where, name, *NO_COUNTERPART)
        elif re.match(r"(?:ns=\d+;|nsu=[^;]+;)?[isgb]=", match[1]):
            self._plant.tag(device, name, {"node": match[1]}, where)
        else:
            steps = _steps(match[1])
            whole = steps if steps[:1] == ["Root"] else [*base, *steps]
            path = _path(whole)
            if path is None:
                zh = (
                    f"路径 {match[1]} 没有命名空间编号，无法确定节点；请用 browse 找到它，写成 "
                    "node。"
                )
                en = (
                    f"the path {match[1]} has no namespaces, so the node is not certain; find it "
                    "with `browse` and "
                )
                en += "write `node`."
                self._plant.leave_out(where, name, zh, en)
            else:
                self._plant.tag(device, name, {"path": path}, where)


def _steps(pattern: str) -> list[str]:
    """The browse names of a path, between which an escaped point stands."""
    return [step for step in re.split(r"\\+\.", pattern) if step]


def _path(steps: Sequence[str]) -> str | None:
    """The path as it is written here; None when a name has no namespace."""
    names = [re.sub(r"^0:", "", step) for step in steps]
    if (
        names[:2] != ["Root", "Objects"]
        or not all(re.match(r"\d+:", name) for name in names[2:])
        or len(names) < 3
    ):
        return None
    return "/".join(["Objects", *(name.replace("/", "&/") for name in names[2:])])
