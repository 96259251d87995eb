"""Parts 5 and 6: what is connected how, and how good the data are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_agent.metrics.definitions import Text
from edge_agent.metrics.result import MetricResult, iso
from edge_agent.production.facts import MINUTE_NS, AssessedDevice, ConnectionChange, WindowFacts
from edge_agent.production.figures import lateness_p95
from edge_agent.production.plant import Plant
from edge_agent.report import blocks
from edge_agent.report.blocks import Json, TableColumn, paragraph, table

#: Changes of connection that are printed.
_LATEST: Final = 20
_PHASES: Final = {
    "starting": blocks.text("启动", "starting"),
    "online": blocks.text("在线", "online"),
    "degraded": blocks.text("部分有效", "degraded"),
    "offline": blocks.text("离线", "offline"),
}
#: Fields of the map of coverage, at the most.
_FIELDS: Final = 96
_FIELD_MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720, 1440)
_SKEW_MS: Final = 2000
#: Upper edges of the lateness histogram, milliseconds.
_EDGES: Final = (100, 500, 1000, 5000, 60_000, 3_600_000)


def inventory(plant: Plant) -> Json:
    """Part 5: network and protocols."""
    facts = plant.facts
    found = [
        _summary(facts),
        _devices(plant),
        _findings(facts),
        _breaks(facts),
        _connections(facts),
    ]
    found.append(
        paragraph(
            "清单取自配置与上线报文；网关不读取固件版本，需现场核对。口令等机密不在其中。",
            "Taken from the configuration and the birth documents. The gateway does not read "
            "firmware versions: check "
            "them on site. No secrets are in it.",
            "note",
        )
    )
    return blocks.part(5, "网络与协议清单", "network and protocol inventory", found)


def _summary(facts: WindowFacts) -> Json:
    columns = (
        TableColumn("协议", "protocol"),
        TableColumn("通道安全", "channel security"),
        TableColumn("身份", "access"),
        TableColumn("设备数", "devices", "count"),
        TableColumn("数据点", "tags", "count"),
    )
    kinds: Counter[tuple[str, str, str]] = Counter()
    tags: Counter[tuple[str, str, str]] = Counter()
    for device in facts.devices.values():
        kind = (device.connector, device.security, device.access)
        kinds[kind] += 1
        tags[kind] += device.tags
    rows = [[*kind, number, tags[kind]] for kind, number in sorted(kinds.items())]
    return table("protocols", "按协议汇总", "by protocol", columns, rows)


def _devices(plant: Plant) -> Json:
    columns = (
        TableColumn("采集设备", "device"),
        TableColumn("名称", "name"),
        TableColumn("产线", "line"),
        TableColumn("协议", "protocol"),
        TableColumn("地址", "endpoint"),
        TableColumn("站号", "unit"),
        TableColumn("安全与身份", "security and access"),
        TableColumn("档案", "profile"),
        TableColumn("周期 s", "period s"),
        TableColumn("数据点", "tags", "count"),
        TableColumn("台账设备", "equipment"),
        TableColumn("首次有效", "first good", "time"),
    )
    owners: dict[str, list[str]] = {}
    for row in plant.assessment.members.in_service:
        for device in row.devices:
            name = row.equipment_id if device == row.device else f"{row.equipment_id} (+)"
            owners.setdefault(device, []).append(name)
    rows = [
        [
            each.id,
            each.name,
            each.line,
            each.connector,
            each.endpoint,
            each.unit or None,
            access_of(each),
            each.profile or None,
            each.every_s,
            each.tags,
            blocks.words(owners.get(each.id, [])),
            iso(plant.facts.first_good.get(each.id)),
        ]
        for each in plant.facts.devices.values()
    ]
    return table("devices", "采集设备", "configured devices", columns, rows)


def access_of(device: AssessedDevice) -> Json:
    """How the channel is protected and who may enter, in a few words."""
    zh, en = (
        ("未加密", "not encrypted")
        if device.security == "None"
        else (device.security, device.security)
    )
    access = _ACCESS.get(device.access)
    if access is None:
        return blocks.text(zh, en)
    return blocks.text(f"{zh},{access[0]}", f"{en}, {access[1]}")


_ACCESS: Final = {
    "anonymous": ("匿名", "anonymous"),
    "certificate": ("证书", "certificate"),
    "user name": ("用户名", "user name"),
}


def _findings(facts: WindowFacts) -> Json:
    columns = (
        TableColumn("发现", "finding"),
        TableColumn("设备数", "devices", "count"),
        TableColumn("采集设备", "which"),
    )
    found: dict[Any, list[str]] = {}
    for device in facts.devices.values():
        for finding in _about(device):
            found.setdefault(finding, []).append(device.id)
    rows = [[finding, len(devices), blocks.words(devices)] for finding, devices in found.items()]
    return table("network_findings", "网络安全提示", "network findings", columns, rows)


def _about(device: AssessedDevice) -> Iterator[Text]:
    if device.connector == "opcua" and device.security == "None":
        yield Text("OPC UA 未加密（策略 None）", "OPC UA without encryption (policy None)")
    if device.access == "anonymous":
        yield Text("OPC UA 匿名访问", "OPC UA endpoint entered anonymously")
    if (
        device.connector == "modbus"
        and device.security == "None"
        and not device.endpoint.startswith("rtu:")
    ):
        yield Text(
            "Modbus 没有身份认证与加密，应隔离在设备网段",
            "Modbus has no authentication: keep it in the machine network",
        )


def _breaks(facts: WindowFacts) -> Json:
    """By device: how often its connection was lost, and the last time."""
    columns = (
        TableColumn("采集设备", "device"), TableColumn("断开次数", "times lost", "count"),
        TableColumn("最近一次", "the last time", "time"), TableColumn("原因", "reason"),
    )  # fmt: skip
    lost: dict[str, list[ConnectionChange]] = {}
    for row in facts.connections:
        if row.before == "online" and row.after != "online":
            lost.setdefault(row.device, []).append(row)
    rows = [
        [device, len(found), iso(found[-1].t), found[-1].reason or None]
        for device, found in sorted(lost.items())
    ]
    return table("breaks", "连接中断（按设备）", "connections lost, by device", columns, rows)


def _connections(facts: WindowFacts) -> Json:
    columns = (
        TableColumn("时间", "time", "time"),
        TableColumn("采集设备", "device"),
        TableColumn("由", "from"),
        TableColumn("到", "to"),
        TableColumn("原因", "reason"),
    )
    rows = [
        [
            iso(row.t),
            row.device,
            _PHASES.get(row.before, row.before),
            _PHASES.get(row.after, row.after),
            row.reason,
        ]
        for row in facts.connections[-_LATEST:]
    ]
    title = (
        f"连接变化（最近 {_LATEST} 次，全部见证据包）",
        f"changes of connection (the latest {_LATEST}; all in a pack)",
    )
    return table("connections", *title, columns, rows)


def quality(plant: Plant, figures: Mapping[str, MetricResult]) -> Json:
    """Part 6: coverage, lateness, range, clocks, gaps."""
    found = [
        coverage_map(plant.facts),
        _quality_table(plant.facts),
        _lateness(plant.facts, figures),
        _gaps(plant.facts),
    ]
    found.append(
        paragraph(
            "「不变」指窗口最后一天始终为同一数值的浮点量，仅供排查：设定值本可不变。"
            "超量程、时延、时钟偏差也按窗口最后一天统计；覆盖率按整个窗口。",
            "“Unchanged” names floats with one single value during the window's last day, a hint "
            "only: a set point may "
            "stand still. Range, lateness and clocks speak of that last day too; coverage of the "
            "whole window.",
            "note",
        )
    )
    return blocks.part(6, "数据质量", "data quality", found)


def coverage_map(facts: WindowFacts) -> Json:
    """Coverage of every device over the window, field by field: outages are seen at a glance."""
    minutes = (facts.end - facts.start) // MINUTE_NS
    length = (
        next((each for each in _FIELD_MINUTES if minutes <= each * _FIELDS), _FIELD_MINUTES[-1])
        * MINUTE_NS
    )
    edges = (
        np.arange(facts.start, facts.end + length, length).clip(max=facts.end)
        if minutes > 0
        else np.array([0])
    )
    rows = [{"name": device, "shares": _shares(facts, device, edges)} for device in facts.devices]
    return blocks.chart(
        "heat",
        "各设备覆盖率（按时间）",
        "coverage by device over time",
        rows=rows if minutes > 0 else [],
        **blocks.span(facts.start, facts.end),
    )


def _shares(facts: WindowFacts, device: str, edges: npt.NDArray[np.int64]) -> list[float | None]:
    """Covered part of every field; None where it ended before the device's first good value."""
    minutes = facts.minutes_of(device)
    first = facts.first_good.get(device, facts.end)
    covered = np.concatenate([[0], np.cumsum(minutes.column("covered_ms"))])
    at = covered[np.searchsorted(minutes.column("end"), edges, "right")]
    until = edges[1:]
    since = np.maximum(edges[:-1], first)
    lengths = (until - since) / 1_000_000
    return [
        None if length <= 0 else round(min(1.0, float(part) / float(length)), 4)
        for part, length in zip(np.diff(at), lengths, strict=True)
    ]


def _quality_table(facts: WindowFacts) -> Json:
    columns = (
        TableColumn("采集设备", "device"),
        TableColumn("覆盖率", "coverage", "percent"),
        TableColumn("有效读数", "good readings", "count"),
        TableColumn("无效读数", "bad readings", "count"),
        TableColumn("超周期", "overruns", "count"),
        TableColumn("超量程", "out of range", "count"),
        TableColumn("不变", "unchanged"),
        TableColumn("时延 p95 s", "lateness p95 s", "number"),
        TableColumn("时钟偏差 s", "clock skew s", "number"),
        TableColumn("提示", "hint"),
    )
    return table(
        "quality",
        "逐台数据质量",
        "data quality by device",
        columns,
        [_row(facts, key) for key in facts.devices],
    )


def _row(facts: WindowFacts, device: str) -> list[Any]:
    minutes, seen = (
        facts.minutes_of(device).inside(facts.start, facts.end),
        facts.quality.get(device),
    )
    seconds = Fraction(facts.end - facts.start, 1_000_000_000)
    covered = Fraction(minutes.total("covered_ms"), 1000)
    late = lateness_p95(facts, device)
    skew = seen.skew_ms if seen else None
    hint = (
        blocks.text("时钟不一致", "clocks differ")
        if skew is not None and abs(skew) > _SKEW_MS
        else None
    )
    return [
        device,
        min(Fraction(1), covered / seconds) if seconds else None,
        minutes.total("good"),
        minutes.total("bad"),
        minutes.total("overruns"),
        seen.out_of_range if seen else None,
        blocks.words(seen.unchanged) if seen else None,
        late,
        None if skew is None else Fraction(skew, 1000),
        hint if len(minutes) else blocks.text("窗口内没有健康记录", "no health rows in the window"),
    ]


def _lateness(facts: WindowFacts, figures: Mapping[str, MetricResult]) -> Json:
    counts = Counter[int]()
    for histogram in facts.lateness.values():
        for delay, number in histogram.items():
            counts[next((i for i, edge in enumerate(_EDGES) if delay <= edge), len(_EDGES))] += (
                number
            )
    names = [f"≤ {edge / 1000:g} s" for edge in _EDGES] + [f"> {_EDGES[-1] / 1000:g} s"]
    p50, p95 = (figures[key].value for key in ("M-21-p50", "M-21-p95"))
    shown = " / ".join("—" if value is None else f"{float(value):.3f} s" for value in (p50, p95))
    columns = (TableColumn("时延", "lateness"), TableColumn("消息数", "messages", "count"))
    rows = [[name, counts[i]] for i, name in enumerate(names)]
    return table(
        "lateness",
        f"入库时延（p50 / p95:{shown}）",
        f"lateness (p50 / p95: {shown})",
        columns,
        rows,
    )


def _gaps(facts: WindowFacts) -> Json:
    columns = (
        TableColumn("采集代理", "agent"),
        TableColumn("数据流", "stream"),
        TableColumn("自", "from", "time"),
        TableColumn("至", "to", "time"),
        TableColumn("丢弃的数值", "values dropped", "count"),
    )
    rows = [
        [gap.agent, gap.stream, iso(gap.from_t), iso(gap.to_t), gap.values] for gap in facts.gaps
    ]
    return table(
        "dropped",
        "缓存溢出丢弃（代理自报）",
        "dropped by a full outbox (the agents' own word)",
        columns,
        rows,
    )
