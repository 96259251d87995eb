"""Parts 11 and 12: every definition with both of its counts, and the page to sign, with the
hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge_agent.metrics.definitions import DEFINITIONS, MetricDefinition
from edge_agent.metrics.result import MetricResult
from edge_agent.production.plant import Plant
from edge_agent.report import blocks
from edge_agent.report.blocks import Json, TableColumn, paragraph, table

Figures = Mapping[str, MetricResult]

#: A list of so few ids is printed where it belongs, however many figures share it.
_SHORT: Final = 6

_BASIS: Final = {
    "F": blocks.text("F 公开文本", "F public text"),
    "M": blocks.text("M 通行说法（假设）", "M common usage (assumption)"),
    "P": blocks.text("P 本产品", "P this product"),
    "ISO": blocks.text("ISO 22400-2", "ISO 22400-2"),
}


def definitions(figures: Figures) -> Json:
    """Part 11."""
    columns = (
        TableColumn("编号", "id"),
        TableColumn("指标", "metric"),
        TableColumn("公式", "formula"),
        TableColumn("单位", "unit"),
        TableColumn("依据与来源", "basis and source"),
        TableColumn("假设", "assumptions"),
        TableColumn("分子", "numerator", "number"),
        TableColumn("分母", "denominator", "number"),
    )
    found = [
        table("definitions", "定义与两个计数", "definitions with both counts", columns,
              (_definition(each, figures.get(each.id)) for each in DEFINITIONS)),
        *_lists(figures),
        paragraph(
            "标 M 的口径未找到官方公开文本，按通行说法计算，属假设，不是官方措辞。"
            "有两种分母的联网率并列给出：M-04a 以生产设备总数为分母（工信部 2024 问卷），M-04b "
            "以数字化设备数为分母。",
            "For definitions marked M no official public text was found: they follow common "
            "usage and are assumptions, "
            "never the official wording. The networking rate is given with both denominators: "
            "M-04a over all "
            "production equipment (questionnaire of 2024), M-04b over digital equipment.",
            "assumption",
        ),
    ]  # fmt: skip
    return blocks.part(11, "指标定义", "definitions", found)


def _definition(each: MetricDefinition, result: MetricResult | None) -> list[Any]:
    assumptions = blocks.text(
        " ".join(text.zh for text in each.assumptions) or blocks.DASH,
        " ".join(text.en for text in each.assumptions) or blocks.DASH,
    )
    counts = [result.numerator, result.denominator] if result else [None, None]
    return [
        each.id,
        each.name,
        each.formula,
        _UNITS.get(each.unit, each.unit),
        _based(each),
        assumptions,
        *counts,
    ]


_UNITS: Final = {"1": blocks.text("比率", "ratio")}


def _based(each: MetricDefinition) -> Json:
    basis = _BASIS[each.basis]
    if each.basis in ("ISO", "P"):
        return blocks.text(basis["zh"], basis["en"])
    english = each.source
    for zh, en in _SOURCES.items():
        english = english.replace(zh, en)
    return blocks.text(f"{basis['zh']}：{each.source}", f"{basis['en']}: {english}")


#: Sources in English; the number of a document (东府办〔2017〕12号) is its name in any language.
_SOURCES: Final = {
    "工信部《中小企业数字化水平评测指标（2024年版）》问卷": (
        "MIIT questionnaire on the digital level of SMEs (2024)"
    ),
    "第三方评估工具（非官方）": "third-party assessment tool (not official)",
    "两化融合指标（通行说法）": "indicators of IT and industry integration (common usage)",
}


def _lists(figures: Figures) -> Iterator[Json]:
    """Both lists of every figure. A list that several figures share is printed once, under a
    letter."""
    mine = {key: result for key, result in figures.items() if "@" not in key}
    lists = Counter(
        ids for each in mine.values() for ids in (each.numerator_ids, each.denominator_ids)
    )
    shared = [ids for ids, users in lists.items() if users > 1 and len(ids) > _SHORT]
    letters = {ids: f"L{number}" for number, ids in enumerate(shared, 1)}
    members = (
        TableColumn("清单", "list"),
        TableColumn("项数", "items", "count"),
        TableColumn("内容", "members"),
    )
    rows = ([letter, len(ids), blocks.named(ids)] for ids, letter in letters.items())
    yield table("shared_lists", "共用清单", "lists that several figures share", members, rows)
    columns = (
        TableColumn("编号", "id"),
        TableColumn("窗口", "window"),
        TableColumn("分子名单", "numerator list"),
        TableColumn("分母名单", "denominator list"),
    )
    lines = (
        [
            key,
            _window(each),
            _named(each.numerator_ids, letters),
            _named(each.denominator_ids, letters),
        ]
        for key, each in mine.items()
    )
    yield table("lists", "分子、分母名单", "numerator and denominator lists", columns, lines)


def _named(ids: tuple[str, ...], letters: Mapping[tuple[str, ...], str]) -> Any:
    letter = letters.get(ids)
    return (
        blocks.named(ids)
        if letter is None
        else blocks.text(f"清单 {letter}（{len(ids)} 项）", f"list {letter} ({len(ids)})")
    )


def _window(result: MetricResult) -> Json | None:
    window = result.window.to_json()
    return {"from": window["from"], "to": window["to"]} if window["to"] else None


def signature(plant: Plant, sources: Mapping[str, str]) -> Json:
    """Part 12: who signs, and which files this rests on."""
    signs = (
        TableColumn("角色", "role"),
        TableColumn("姓名", "name"),
        TableColumn("签字", "signature"),
        TableColumn("日期", "date"),
    )
    roles = (
        blocks.text("企业负责人", "for the enterprise"),
        blocks.text("关键工序审核人", "reviewer of the key processes"),
        blocks.text("评估人", "assessor"),
    )
    hashes = (TableColumn("文件", "file"), TableColumn("sha256", "sha256"))
    rows: list[list[Any]] = [[name, digest] for name, digest in sources.items()]
    rows.append(
        [
            blocks.text("台账版本（内容）", "register version (content)"),
            plant.assessment.register.version,
        ]
    )
    found = [
        table("signatures", "签字", "signatures", signs, [[role, "", "", ""] for role in roles]),
        table("sources", "所依据的文件", "files this rests on", hashes, rows),
        paragraph(
            "本报告各文件的 sha256 见同一文件夹的 SHA256SUMS；各期报告的内容哈希见 index.json。",
            "The sha256 of this report's own files is in SHA256SUMS beside them, the content "
            "hash of every issue in "
            "index.json.",
            "note",
        ),
    ]
    return blocks.part(12, "签字页与文件哈希", "signatures and hashes", found)
