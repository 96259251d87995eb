"""Stand-ins for the two connectors with their YAML keys and none of their protocols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr

from edge_agent.clock import Clock
from edge_agent.config.models import parse_duration
from edge_agent.sdk import Connection, DevicePlan, Kind, Options, Plugin, Problem

Seconds = Annotated[float, BeforeValidator(parse_duration, json_schema_input_type=str | float), Field(gt=0, le=60)]
WordOrder = Literal["big", "little", "big-swapped", "little-swapped"]


class ModbusDevice(Options):
    url: str
    unit: int = Field(default=1, ge=0, le=255)
    """The unit (station, slave) number."""
    base: Literal[0, 1] = 0
    timeout: Seconds = 1.0
    word_order: WordOrder = "big"
    max_registers: int = Field(default=125, ge=1, le=125)
    max_gap: int = Field(default=32, ge=0, le=124)
    pipeline: int = Field(default=1, ge=1, le=16)
    pause_ms: float = Field(default=0, ge=0, le=10_000)
    areas: dict[str, Any] = Field(default_factory=dict)


class ModbusTag(Options):
    address: int | float | str
    type: Literal["bool", "int16", "uint16", "int32", "uint32", "float32", "float64", "string"] = "uint16"
    word_order: WordOrder | None = None
    base: Literal[0, 1] | None = None


class Security(Options):
    policy: Literal["None", "Basic256Sha256"] = "None"
    mode: Literal["None", "Sign", "SignAndEncrypt"] | None = None
    certificate: Path | None = None
    key: Path | None = None
    trust: Path | None = None


class User(Options):
    name: str | None = None
    password: SecretStr | None = None


class OpcuaDevice(Options):
    endpoint: str = Field(pattern=r"^opc\.tcp://[^/@\s]+")
    security: Security = Security()
    user: User | None = None
    mode: Literal["subscribe", "read"] = "subscribe"
    publishing_ms: float | None = None
    sampling_ms: float | None = None


class OpcuaTag(Options):
    node: str | None = None
    path: str | list[str] | None = None
    type: str | None = None


def _modbus_kind(options: Options) -> Kind:
    assert isinstance(options, ModbusTag)
    kinds: dict[str, Kind] = {"bool": "bool", "string": "text", "float32": "float", "float64": "float"}
    return kinds.get(options.type, "int")


def _modbus_check(plan: DevicePlan) -> Iterable[Problem]:
    assert isinstance(plan.options, ModbusDevice)
    url = urlsplit(plan.options.url)
    if url.scheme == "rtu" and not Path(url.path).exists():
        yield Problem(None, "url", f"串口 {url.path} 不存在，请检查接线。", f"no device {url.path}; check the cable.")
    elif url.scheme not in ("tcp", "rtu"):
        yield Problem(None, "url", "url 应以 tcp:// 或 rtu:// 开头。", "the url must begin with tcp:// or rtu://.")
    for table in plan.tables:
        for tag in table.tags:
            assert isinstance(tag.where, ModbusTag)
            if tag.where.type in ("int16", "uint16") and tag.where.word_order is not None:
                zh, en = "16 位类型没有字序，请删去。", "a 16-bit type has no word order; remove it."
                yield Problem(tag.name, "word_order", zh, en)


def _opcua_check(plan: DevicePlan) -> Iterable[Problem]:
    for table in plan.tables:
        for tag in table.tags:
            assert isinstance(tag.where, OpcuaTag)
            if (tag.where.node is None) == (tag.where.path is None):
                yield Problem(tag.name, "node", "请写 node 或 path 之一。", "write one of node and path.")


def _connect(plans: Sequence[DevicePlan], clock: Clock) -> Connection:
    raise AssertionError(f"a configuration test opens nothing: {plans} {clock}")


def _describe(plan: DevicePlan) -> dict[str, Any]:
    return {"protocol": "none", "tags": {tag.name: {} for table in plan.tables for tag in table.tags}}


def _url(options: Options) -> str:
    assert isinstance(options, ModbusDevice)
    return options.url


def _endpoint(options: Options) -> str:
    assert isinstance(options, OpcuaDevice)
    return options.endpoint


def _opcua_kind(options: Options) -> Kind:
    assert isinstance(options, OpcuaTag)
    return "float"


MODBUS = Plugin("modbus", ModbusDevice, ModbusTag, _modbus_kind, _modbus_check, _url, _connect, _describe, "url")
OPCUA = Plugin("opcua", OpcuaDevice, OpcuaTag, _opcua_kind, _opcua_check, _endpoint, _connect, _describe, "endpoint")
PLUGINS: Mapping[str, Plugin] = {"modbus": MODBUS, "opcua": OPCUA}
