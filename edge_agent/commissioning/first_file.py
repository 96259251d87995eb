"""A first plant file: the few keys that a plant decides, each with a line that says what it is."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge_agent.config import load
from edge_agent.config.dump import inline
from edge_agent.errors import ConfigError

STORES: Final = ("duckdb", "influxdb", "influxdb1", "line", "none")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a first file says."""

    agent: str = "ipc-01"
    enterprise: str = "my-company"
    site: str = "my-site"
    area: str = "workshop-1"
    timezone: str = "Asia/Shanghai"
    mqtt: str = "mqtt://127.0.0.1:1883"
    store: str = "duckdb"
    store_url: str = ""
    device: str = ""
    """The id of a first device; empty: an example that is commented out."""
    name: str = ""
    line: str = "L1"
    profile: str = ""
    url: str = ""
    """Where the device is: `tcp://...`, `rtu:///dev/...`, `opc.tcp://...`."""
    unit: int = 1


def text_of(chosen: Choices) -> str:
    """The file, in the order in which the agent works."""
    lines = [
        "# 工厂配置 / plant file. 检查 check: edge-agent check 本文件 this file",
        "# 全部可用的键 / every key: edge-agent schema --reference",
        "",
        "agent:",
        *_key(
            "id",
            chosen.agent,
            "本采集器的名称，出现在主题和报表里",
            "the name of this agent in topics and reports",
        ),
        *_key(
            "enterprise",
            chosen.enterprise,
            "企业，主题的一级",
            "the enterprise, a level of every topic",
        ),
        *_key("site", chosen.site, "厂区", "the site"),
        *_key("area", chosen.area, "车间", "the area, a workshop"),
        *_key(
            "timezone", chosen.timezone, "时区，班次和月份按它计算", "shifts and months follow it"
        ),
        "",
        "mqtt:",
        *_key("url", chosen.mqtt, "消息服务器；mqtts:// 为加密", "the broker; mqtts:// with TLS"),
        "  # username: edge            # 账号 / the account",
        "  # password: !env MQTT_PASSWORD   # 密码写在环境变量里，不写在这里 / in the "
        "environment, not here",
        "",
        *_store(chosen),
        "outbox:",
        *_key(
            "path",
            "data/outbox",
            "断网、断电时数据存在这里",
            "what is read waits here through an outage",
        ),
        "",
        "# register:                    # 设备台账，算数控化率和联网率用 / the equipment "
        "register, for the rates",
        "#   equipment: 设备台账.csv    # 生成初稿 a first one: edge-agent register from 本文件 "
        "this file",
        "#   processes: 工序.csv",
        "#   calendar: calendar.yaml",
        "",
        *_devices(chosen),
    ]
    return "\n".join(lines) + "\n"


def _key(key: str, value: str, zh: str, en: str) -> list[str]:
    return [f"  # {zh} / {en}", f"  {key}: {inline(value)}"]


def _store(chosen: Choices) -> list[str]:
    """The store section; without a store of ours the broker's acknowledgement frees an entry."""
    if chosen.store == "none":
        return [
            "# 本文件不管入库 / no store of ours: what the broker acknowledged is freed here",
            "",
        ]
    lines = [
        "store:",
        *_key(
            "kind", chosen.store, "时序库，edge-agent serve 写入", "where `edge-agent serve` writes"
        ),
    ]
    if chosen.store == "duckdb":
        lines += _key("path", "data/store.duckdb", "数据库文件", "the database file")
    else:
        lines += _key(
            "url",
            chosen.store_url or "http://127.0.0.1:8086",
            "时序库地址",
            "where the store listens",
        )
    return [*lines, ""]


def _devices(chosen: Choices) -> list[str]:
    if not chosen.device:
        return [
            "# 设备：去掉 # 并改成自己的；模板一览 edge-agent profiles，点表导入 edge-agent tags "
            "import",
            "# devices: remove the # and make them yours; see `edge-agent profiles` and "
            "`edge-agent tags import`",
            "devices: []",
            "# devices:",
            "#   - id: meter-01",
            "#     name: 一线总表",
            "#     line: L1",
            "#     url: tcp://10.0.1.50:502     # 串口 serial: "
            "rtu:///dev/ttyUSB0?baudrate=9600&parity=N",
            "#     unit: 1",
            "#     profile: eastron-sdm630",
            "#     every: 1s",
        ]
    opcua = chosen.url.startswith("opc.tcp://")
    lines = [
        "devices:",
        f"  - id: {inline(chosen.device)}",
        *(
            ["    # 现场的叫法 / what people call it", f"    name: {inline(chosen.name)}"]
            if chosen.name
            else []
        ),
        f"    line: {inline(chosen.line)}",
        f"    profile: {inline(chosen.profile)}",
        f"    {'endpoint' if opcua else 'url'}: {inline(chosen.url)}",
    ]
    if not opcua:
        lines += ["    # 站号 / unit number", f"    unit: {chosen.unit}"]
    return [*lines, "    # 读取周期 / how often it is read", "    every: 1s"]


def check(text: str, file: Path) -> None:
    """Raise ConfigError for a text that `check` would refuse in this file, which need not exist."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plant.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load(path)
        except ConfigError as error:
            found = [
                replace(each, where=each.where.replace(str(path), str(file)))
                for each in error.findings
            ]
            raise ConfigError(found) from None


def questions(profiles: Sequence[str]) -> list[tuple[str, str, str]]:
    """(name of the choice, the question in Chinese, in English), in the order in which they are
    asked."""
    listed = ", ".join(profiles)
    return [
        ("agent", "采集器名称", "name of this agent"),
        ("enterprise", "企业", "enterprise"),
        ("site", "厂区", "site"),
        ("area", "车间", "area"),
        ("mqtt", "消息服务器地址", "address of the broker"),
        ("store", f"时序库（{'、'.join(STORES)}）", f"store: {', '.join(STORES)}"),
        ("device", "第一台设备的 id，回车跳过", "id of a first device, Enter for none"),
        ("name", "设备名称", "its name"),
        ("profile", f"模板（{listed}）", "its profile, one of these"),
        ("url", "设备地址，如 tcp://10.0.1.50:502", "where it is, such as tcp://10.0.1.50:502"),
        ("unit", "站号", "its unit number"),
    ]
