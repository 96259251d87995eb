"""The evidence of a project as a document: the nine things an on-site check of the intelligent tier
asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.metrics.result import MetricResult, divide, number
from edge_agent.production.days import local_days
from edge_agent.production.facts import AssessedDevice
from edge_agent.production.plant import Plant
from edge_agent.register.model import Equipment
from edge_agent.report import blocks, tabular
from edge_agent.report.blocks import Json, TableColumn, paragraph, table
from edge_agent.report.pack.build import connections, project_rows
from edge_agent.report.parts.network import access_of, coverage_map
from edge_agent.report.parts.plan import TIERS
from edge_agent.report.parts.rates import tiles, title, yes
from edge_agent.report.pictures.topology import block as topology
from edge_agent.words import number_of

Figures = Mapping[str, MetricResult]
Figure = Mapping[str, Any]

#: What is compared before and after: the figure of the site, and how a result stored by day calls
#: it.
COMPARED: Final = {
    "M-01-prorata": "M-01-prorata",
    "M-02": "M-02",
    "M-03": "M-03",
    "M-04a-effective": "M-04a-effective",
    "M-04b-effective": "M-04b-effective",
    "M-04c-effective": "M-04c-effective",
    "M-14": "M-14/day/site",
    "M-18": "M-18/day/site",
}
_DOMESTIC: Final = ("domestic", "local")


@dataclass(frozen=True, slots=True)
class PackSubject:
    """What a pack is about, besides the figures."""

    id: str
    snapshots: Sequence[Mapping[str, Any]] = ()
    """Stored results at dates: `{"at", "figures"}`."""
    previous: Mapping[str, str] | None = None
    """`{"pack", "manifest_sha256"}` of the pack before."""


def parts(plant: Plant, figures: Figures, project: PackSubject, timezone: str) -> list[Json]:
    """The nine parts; days are those of the plant's zone."""
    rows = project_rows(plant, project.id)
    return [
        _investment(rows),
        _before_after(figures, project.snapshots),
        _live(plant, rows),
        blocks.part(4, "网络拓扑", "network topology", [topology(plant)]),
        _replay(plant, project),
        _domestic(rows, figures),
        _integrator(rows),
        _interfaces(plant),
        _acceptance(plant, ZoneInfo(timezone)),
    ]


def _investment(rows: Sequence[Equipment]) -> Json:
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("固定资产编号", "asset no."),
        TableColumn("名称", "name"),
        TableColumn("出厂编号", "serial no."),
        TableColumn("启用日期", "commissioned"),
        TableColumn("购置金额（元）", "purchase (yuan)", "number"),
        TableColumn("发票号", "invoice"),
        TableColumn("合同号", "contract"),
        TableColumn("通讯模块照片", "photo of the module"),
    )
    cells = [
        [row.equipment_id, row.asset_no or None, title(row), row.serial_no or None,
         row.commissioned.isoformat() if row.commissioned else None,
         None if row.purchase_cny is None else Fraction(row.purchase_cny), row.invoice_ref or None,
         row.contract_ref or None, row.photo_ref or None]
        for row in rows
    ]  # fmt: skip
    total = sum((Fraction(row.purchase_cny or 0) for row in rows), Fraction(0))
    _, share, cap = TIERS["intelligent"]
    lines = (TableColumn("项目", "item"), TableColumn("金额（元）", "yuan", "number"))
    sums = [
        [
            blocks.text(f"合计（{len(rows)} 台）", f"total ({number_of(len(rows), 'machine')})"),
            total,
        ],
        [blocks.text("20 %（指示）", "20 % (an indication)"), min(total * share, Fraction(cap))],
        [blocks.text("上限（指示）", "cap (an indication)"), cap],
    ]
    found = [table("project", "项目设备", "machines of the project", columns, cells)]
    found += [table("project_totals", "金额", "amounts", lines, sums), *_missing_items(rows)]
    found.append(
        paragraph(
            "比例与上限引自东府办〔2017〕12号，仅为指示，不是承诺；以核定的「项目设备和技术投"
            "入总额」为准。",
            "Percentage and cap are those of 东府办〔2017〕12号, an indication and no promise: "
            "what counts is the "
            "investment as accounted by the authority.",
            "assumption",
        )
    )
    return blocks.part(1, "项目设备与投入", "machines and investment", found)


def _missing_items(rows: Sequence[Equipment]) -> list[Json]:
    """What an inspector will ask for and the register does not hold."""
    wanted = {
        "asset_no": ("固定资产编号", "asset no."), "purchase_cny": ("购置金额", "purchase price"),
        "invoice_ref": ("发票号", "invoice"), "contract_ref": ("合同号", "contract"),
        "photo_ref": ("通讯模块照片", "photo of the module"),
    }  # fmt: skip
    found = []
    for column, (zh, en) in wanted.items():
        missing = [row.equipment_id for row in rows if getattr(row, column) in (None, "")]
        if missing:
            names = blocks.words(missing)
            found.append(
                paragraph(
                    f"台账缺{zh}:{names}", f"The register lacks the {en} of {names}", "warning"
                )
            )
    return found


def _before_after(figures: Figures, snapshots: Sequence[Mapping[str, Any]]) -> Json:
    shots = [{str(each["id"]): each for each in shot["figures"]} for shot in snapshots]
    dates = [str(shot["at"]) for shot in snapshots]
    rates = [key for key in COMPARED if figures[key].definition.unit == "1"]
    others = [key for key in COMPARED if key not in rates]
    found: list[Json] = []
    if not snapshots:
        found.append(
            paragraph(
                "没有附改造前的快照：请用 `--snapshot 日期` 附上改造前、后各一个日期的已存结果。",
                "There is no snapshot of before: add one with `--snapshot DATE`, for a date "
                "before and one after.",
                "warning",
            )
        )
    else:
        series = [
            {"id": key, "name": blocks.both(figures[key].definition.name),
             "points": [[at, _stored(shot, key)] for at, shot in zip(dates, shots, strict=True)]
             + [[None, None if figures[key].effective_after else number(figures[key].value)]]}
            for key in rates
        ]  # fmt: skip
        found.append(blocks.chart("before_after", "改造前后", "before and after", series=series))
    found += [_compared("before_after", rates, figures, dates, shots, "percent")]
    found += [_compared("before_after_energy", others, figures, dates, shots, "number")]
    for shot in snapshots:
        if shot.get("reason"):
            zh = shot["reason"]["zh"]
            en = shot["reason"]["en"]
            found.append(paragraph(f"{shot['at']}:{zh}。", f"{shot['at']}: {en}.", "warning"))
    return blocks.part(2, "改造前后对比", "before and after", found)


def _stored(shot: Mapping[str, Figure], key: str) -> Any:
    figure = shot.get(COMPARED[key], {})
    return None if figure.get("effective_after") else figure.get("value")


def _compared(
    name: str,
    keys: Sequence[str],
    figures: Figures,
    dates: Sequence[str],
    shots: Sequence[Mapping[str, Figure]],
    form: Any,
) -> Json:
    now = TableColumn("本包窗口", "this pack's window", form)
    columns = (
        TableColumn("编号", "id"),
        TableColumn("指标", "metric"),
        *(TableColumn(at, at, form) for at in dates),
        now,
        TableColumn("单位", "unit"),
    )
    rows = [
        [
            key,
            figures[key].definition.name,
            *(_stored(shot, key) for shot in shots),
            blocks.value_or_reason(figures[key]),
            _UNITS.get(figures[key].definition.unit, figures[key].definition.unit),
        ]
        for key in keys
    ]
    titles = ("数控化、数字化、联网与 OEE", "NC, digital and networking rates, OEE")
    return table(
        name,
        *(titles if form == "percent" else ("单位产品能耗", "energy per good part")),
        columns,
        rows,
    )


_UNITS: Final = {"1": "%", "kWh": blocks.text("kWh/件", "kWh/part")}


def _live(plant: Plant, rows: Sequence[Equipment]) -> Json:
    own = {device for row in rows for device in row.devices}
    columns = (
        TableColumn("采集设备", "device"),
        TableColumn("名称", "name"),
        TableColumn("协议", "protocol"),
        TableColumn("地址", "endpoint"),
        TableColumn("首次有效", "first good", "time"),
        TableColumn("末次有效", "last good", "time"),
        TableColumn("有效读数", "good readings", "count"),
        TableColumn("无效读数", "bad readings", "count"),
        TableColumn("覆盖率", "coverage", "percent"),
        TableColumn("本项目", "of this project"),
    )
    _, lines = connections(plant)
    cells = [
        [*line[:8], None if line[8] is None else Fraction(str(line[8])), yes(line[0] in own)]
        for line in lines
    ]
    found = [
        blocks.chart("grid", "设备证据等级", "evidence by machine", tiles=tiles(plant)),
        table("connections", "在线连接清单", "live connections", columns, cells),
        paragraph(
            "覆盖率为最近 30 天（不早于首次有效数据）的值；读数为本包窗口内的计数。",
            "Coverage is that of the last 30 days, not before the first good value; readings are "
            "those of the window.",
            "note",
        ),
    ]
    return blocks.part(3, "在线连接清单", "live connections", found)


def _replay(plant: Plant, project: PackSubject) -> Json:
    columns = (TableColumn("文件", "file"), TableColumn("行数", "rows", "count"))
    rows: list[list[Any]] = [
        [f"facts/{name}.csv", content.count(b"\r\n") - 1]
        for name, content in tabular.tables(plant.facts)
    ]
    before = project.previous
    lines = (TableColumn("项目", "item"), TableColumn("内容", "content"))
    links: list[list[Any]] = [
        [
            blocks.text("上一个包", "the pack before"),
            before["pack"] if before else blocks.text("无（首个）", "none (first)"),
        ],
        [
            blocks.text("其 manifest.json 的 sha256", "sha256 of its manifest.json"),
            before and before["manifest_sha256"],
        ],
    ]
    found = [
        table("facts", "原始事实（CSV）", "facts (CSV)", columns, rows),
        table("chain", "哈希链", "hash chain", lines, links),
        paragraph(
            "每个数值都可只凭本包重新计算：`edge-agent verify 包`，或按 README.md 的规则自行计算。"
            "manifest.json 列有每个文件的 sha256。",
            "Every figure can be computed again from this pack alone: `edge-agent verify PACK`, "
            "or by the rules of "
            "README.md. manifest.json has the sha256 of every file.",
            "note",
        ),
    ]
    return blocks.part(5, "原始数据与复算", "facts and replay", found)


def _domestic(rows: Sequence[Equipment], figures: Figures) -> Json:
    columns = (
        TableColumn("设备编号", "equipment"),
        TableColumn("名称", "name"),
        TableColumn("品牌产地", "origin"),
        TableColumn("数控系统品牌", "controller"),
        TableColumn("型号", "model"),
        TableColumn("购置金额（元）", "purchase (yuan)", "number"),
    )
    own = [row for row in rows if row.brand_origin in _DOMESTIC]
    cells = [
        [
            row.equipment_id,
            title(row),
            _ORIGINS[row.brand_origin],
            row.controller_brand or None,
            row.controller_model or None,
            None if row.purchase_cny is None else Fraction(row.purchase_cny),
        ]
        for row in own
    ]
    shares = (
        TableColumn("项目", "item"),
        TableColumn("数", "number", "number"),
        TableColumn("总数", "of", "number"),
        TableColumn("占比", "share", "percent"),
    )
    value, whole = (
        sum((Fraction(row.purchase_cny or 0) for row in each), Fraction(0)) for each in (own, rows)
    )
    robots = [
        [figures[key].definition.name, figures[key].numerator, figures[key].denominator,
         blocks.value_or_reason(figures[key])]
        for key in ("M-09", "M-10")
    ]  # fmt: skip
    summed: list[list[Any]] = [
        [
            blocks.text("本项目国产设备（台）", "domestic machines of the project"),
            len(own),
            len(rows),
            divide(len(own), len(rows)),
        ],
        [
            blocks.text("本项目国产设备（元）", "their purchase value (yuan)"),
            value,
            whole,
            divide(value, whole),
        ],
        *robots,
    ]
    found = [
        table("domestic_shares", "占比", "shares", shares, summed),
        table(
            "domestic", "国产设备与控制系统", "domestic equipment and controllers", columns, cells
        ),
    ]
    return blocks.part(6, "国产智能装备与控制系统", "domestic equipment and controllers", found)


_ORIGINS: Final = {
    "domestic": blocks.text("国产", "domestic"),
    "local": blocks.text("莞产", "made in Dongguan"),
}


def _integrator(rows: Sequence[Equipment]) -> Json:
    total = sum((Fraction(row.purchase_cny or 0) for row in rows), Fraction(0))
    columns = (
        TableColumn("项目", "item"),
        TableColumn("由集成商填写", "to be filled in by the integrator"),
    )
    limit = f"{float(total * Fraction(8, 100)):,.2f}"
    lines = [
        [blocks.text("集成商名称", "name of the integrator"), ""],
        [blocks.text("合同号", "contract"), ""],
        [blocks.text("集成服务金额（元）", "integration service (yuan)"), ""],
        [
            blocks.text(
                f"占项目投入的比例（8 % 为 {limit} 元，指示）",
                f"share of the project's investment (8 % are {limit} yuan, an indication)",
            ),
            "",
        ],
        [blocks.text("签字盖章、日期", "signature, stamp, date"), ""],
    ]
    found = [table("signatures", "集成商声明", "statement of the integrator", columns, lines)]
    return blocks.part(7, "集成商声明", "statement of the integrator", found)


def _interfaces(plant: Plant) -> Json:
    columns = (
        TableColumn("采集设备", "device"),
        TableColumn("协议", "protocol"),
        TableColumn("地址", "endpoint"),
        TableColumn("站号", "unit"),
        TableColumn("安全与身份", "security and access"),
        TableColumn("档案", "profile"),
        TableColumn("周期 s", "period s"),
        TableColumn("统一模型", "common model"),
        TableColumn("数据点", "tags", "count"),
        TableColumn("业务环节", "business links"),
    )
    rows = [[each.id, *_interface(each)] for each in plant.facts.devices.values()]
    found = [
        table("interfaces", "接口与协议", "interfaces and protocols", columns, rows),
        paragraph("逐点清单见 interfaces.csv。", "interfaces.csv lists every tag.", "note"),
    ]
    return blocks.part(8, "接口与协议", "interfaces and protocols", found)


def _interface(each: AssessedDevice) -> list[Any]:
    links = blocks.named(each.business_links) if each.business_links else None
    return [
        each.connector,
        each.endpoint,
        each.unit or None,
        access_of(each),
        each.profile or None,
        each.every_s,
        yes(each.normalised),
        each.tags,
        links,
    ]


def _acceptance(plant: Plant, zone: ZoneInfo) -> Json:
    columns = (
        TableColumn("日期", "day"),
        TableColumn("设备数", "devices", "count"),
        TableColumn("覆盖小时（合计）", "covered hours, all devices", "hours"),
        TableColumn("有效读数", "good readings", "count"),
        TableColumn("全部读数", "readings", "count"),
        TableColumn("完整率", "completeness", "percent"),
        TableColumn("最低的设备", "lowest device"),
        TableColumn("其完整率", "its completeness", "percent"),
    )
    rows = list(_days(plant, zone))
    shares = [row[5] for row in rows if row[5] is not None]
    found = [
        coverage_map(plant.facts),
        table("acceptance", "逐日验收记录", "acceptance log by day", columns, rows),
    ]
    if shares:
        worst = f"{int(10_000 * min(shares)) / 100:.2f} %"  # at least so much: rounded down
        found.append(
            paragraph(
                f"窗口内逐日数据完整率不低于 {worst}。逐台逐日（同为 {zone.key} 的自然日）见 "
                "acceptance.csv。",
                f"On every day of the window completeness was at least {worst}. acceptance.csv "
                "has every device and "
                f"day (the same days, of {zone.key}).",
                "note",
            )
        )
    return blocks.part(9, "验收记录", "acceptance log", found)


def _days(plant: Plant, zone: ZoneInfo) -> Iterator[list[Any]]:
    """A row for every day of the plant's calendar, and which device was the least complete."""
    facts = plant.facts
    for day, since, until in local_days(facts.start, facts.end, zone):
        seen = {}
        for device in facts.devices:
            minutes = facts.minutes_of(device).inside(since, until)
            if len(minutes):
                good = minutes.total("good")
                seen[device] = (good, good + minutes.total("bad"), minutes.total("covered_ms"))
        if not seen:
            continue
        shares = {
            device: Fraction(good, every) for device, (good, every, _) in seen.items() if every
        }
        worst = min(shares, key=lambda device: (shares[device], device), default=None)
        good, every, covered = (sum(each[i] for each in seen.values()) for i in range(3))
        yield [
            day.isoformat(),
            len(seen),
            Fraction(covered, 3_600_000),
            good,
            every,
            divide(good, every),
            worst,
            shares[worst] if worst else None,
        ]
