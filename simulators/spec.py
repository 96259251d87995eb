"""The simulators' input: a JSON document that says which devices to serve, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROTOCOLS = ("modbus", "opcua")
TRANSPORTS = ("tcp", "rtu-tcp", "udp", "tls", "rtu", "ascii")


class SpecError(ValueError):
    """Something in the input cannot be simulated; the message says what, Chinese first."""


@dataclass(frozen=True, slots=True)
class TagSpec:
    """One tag to serve: its meaning (name, unit, range, labels) and its place on the wire
    (`where`)."""

    name: str
    kind: str
    unit: str
    low: float | None
    high: float | None
    labels: Mapping[int, str]
    scale: float
    offset: float
    where: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault: kind, start and duration in simulated seconds (None = until stopped), and the tags
    it is about."""

    kind: str
    at: float = 0.0
    duration: float | None = None
    tags: frozenset[str] = frozenset()
    """Empty: all tags of the device."""
    seconds: float = 3600.0
    """`clock_jump`: how far the source times move."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One device to serve."""

    id: str
    line: str
    behaviour: str | None
    protocol: str
    host: str
    port: int
    bus: str
    """Devices with the same bus share one port, serial line or OPC UA server."""
    strict: bool
    """Modbus: small gaps between mapped addresses are refused as well, instead of reading as
    zero."""
    options: Mapping[str, Any]
    tags: tuple[TagSpec, ...]
    faults: tuple[FaultSpec, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """The whole document."""

    devices: tuple[DeviceSpec, ...]
    speed: float = 1.0
    epoch_ns: int | None = None
    seed: int = 1
    step_s: float = 1.0
    """Resolution of the simulated time."""
    start_hour: float = 9.0
    """Hour of the simulated day at the epoch; the lines run from 8 to 4 h with breaks."""
    preroll_s: float = 900.0
    """How long the lines have been running before the epoch."""
    truth: Path | None = None


def load(path: Path) -> Spec:
    """Read and check a SPEC file. Raises SpecError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(
            f"无法读取 {path}：{error.strerror} / cannot read {path}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise SpecError(f"{path} 不是有效的 JSON：{error} / not valid JSON: {error}") from error
    return parse(document)


def parse(document: Any) -> Spec:
    """A Spec from decoded JSON. Raises SpecError."""
    if not isinstance(document, dict) or not isinstance(document.get("devices"), list):
        raise SpecError('缺少 "devices" 列表 / the list "devices" is missing')
    devices = tuple(_device(item) for item in document["devices"])
    ids = [device.id for device in devices]
    if len(set(ids)) != len(ids):
        raise SpecError("设备 id 重复 / a device id appears twice")
    spec = Spec(
        devices=devices,
        speed=float(document.get("speed", 1.0)),
        epoch_ns=document.get("epoch_ns"),
        seed=int(document.get("seed", 1)),
        step_s=float(document.get("step_s", 1.0)),
        start_hour=float(document.get("start_hour", 9.0)),
        preroll_s=float(document.get("preroll_s", 900.0)),
        truth=Path(document["truth"]) if document.get("truth") else None,
    )
    if spec.speed <= 0 or spec.step_s <= 0:
        raise SpecError("speed 和 step_s 必须大于 0 / speed and step_s must be above 0")
    return spec


def _device(item: Mapping[str, Any]) -> DeviceSpec:
    try:
        name = str(item["id"])
        protocol = str(item["protocol"])
        tags = item["tags"]
    except KeyError as error:
        raise SpecError(f"设备缺少键 {error} / a device lacks the key {error}") from error
    transport = str(item.get("transport", "tcp"))
    if protocol not in PROTOCOLS or (protocol == "modbus" and transport not in TRANSPORTS):
        raise SpecError(
            f"{name}：无法模拟的协议 {protocol}/{transport} / {name}: cannot simulate "
            f"{protocol}/{transport}"
        )
    port = int(item.get("port") or 0)
    bus = str(item.get("bus") or (f"{transport}:{port}" if port else f"device:{name}"))
    return DeviceSpec(
        id=name,
        line=str(item.get("line") or "line"),
        behaviour=item.get("behaviour"),
        protocol=protocol,
        host=str(item.get("host") or "127.0.0.1"),
        port=port,
        bus=bus,
        strict=bool(item.get("strict", False)),
        options={key: value for key, value in item.items() if key not in ("tags", "faults")},
        tags=tuple(_tag(tag, where) for tag, where in tags.items()),
        faults=tuple(parse_fault(fault) for fault in item.get("faults", ())),
    )


def _tag(name: str, where: Mapping[str, Any]) -> TagSpec:
    low, high = where.get("range") or (None, None)
    return TagSpec(
        name=name,
        kind=str(where.get("kind") or "float"),
        unit=str(where.get("unit") or ""),
        low=low,
        high=high,
        labels={int(key): str(label) for key, label in (where.get("map") or {}).items()},
        scale=float(where.get("scale", 1.0)) or 1.0,
        offset=float(where.get("offset", 0.0)),
        where=where,
    )


def parse_fault(item: Mapping[str, Any], at: float = 0.0) -> FaultSpec:
    """A fault from its JSON object; `at` is its start when it names none. Raises SpecError."""
    if "kind" not in item:
        raise SpecError('故障缺少 "kind" / a fault lacks "kind"')
    duration = item.get("for")
    tags = item.get("tags") or ([item["tag"]] if item.get("tag") else [])
    return FaultSpec(
        kind=str(item["kind"]),
        at=float(item.get("at", at)),
        duration=None if duration is None else float(duration),
        tags=frozenset(map(str, tags)),
        seconds=float(item.get("seconds", 3600.0)),
    )
