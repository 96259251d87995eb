"""The report as one HTML file: works offline, without scripts, and prints on A4."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge_agent.metrics.remarks import beyond_range
from edge_agent.report.blocks import DASH, text
from edge_agent.report.parts.rates import HEADLINES
from edge_agent.report.pictures.charts import draw
from edge_agent.report.pictures.svg import Markup, element, join
from edge_agent.report.speech import Language, local, say, show

_CSS: Final = """
:root{color-scheme:light}
body{font:14px/1.6 "Noto Sans CJK SC",
"Source Han Sans SC","Microsoft YaHei","PingFang SC",system-ui,sans-serif;
color:#1c2733;max-width:1000px;margin:0 auto;padding:24px;background:#fff;line-break:strict;
text-spacing-trim:trim-start}
header{border-bottom:3px solid #2f7a9d;padding-bottom:12px;margin-bottom:18px}
h1{font-size:28px;line-height:1.3;margin:0 0 6px;letter-spacing:.04em}
h2{font-size:19px;margin:32px 0 10px;border-bottom:1px solid #c9d3db;padding-bottom:4px}
h3{font-size:14px;margin:18px 0 6px}.sub{color:#5b6975;margin:0}
.cards{display:flex;gap:14px;margin:0 0 18px}
.card{flex:1;border:1px solid #c9d3db;border-top:4px solid #2f7a9d;
padding:8px 14px;break-inside:avoid}.card p{margin:0;color:#5b6975;font-size:12px}
.card b{font-size:28px;line-height:1.35;font-variant-numeric:tabular-nums}
.card b.none{color:#8a97a3}
.card.met{border-top-color:#009e73}.card.met em{color:#00785a}
.card em{font-style:normal;font-size:12px;color:#9a4300}
td.path{overflow-wrap:anywhere;min-width:9em}
.summary{background:#f4f8fa;border:1px solid #d4dce3;padding:2px 18px 8px;margin:0 0 18px;
-webkit-box-decoration-break:clone;box-decoration-break:clone}
ol.said{margin:4px 0;padding-left:22px}ol.said li{margin:3px 0;break-inside:avoid}
nav ol{columns:2;padding-left:22px;margin:8px 0}nav a{color:#22617d;text-decoration:none}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:12px;line-height:1.45;margin:4px 0 10px}
th,td{border:1px solid #d4dce3;padding:3px 6px;text-align:left;vertical-align:top;
overflow-wrap:break-word}
th{background:#eef2f5;font-weight:600;overflow-wrap:break-word}th.n{text-align:right}
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.k,span.k{white-space:nowrap}td.none{color:#8a97a3}td sup{color:#9a4300}tr{break-inside:avoid}
thead{display:table-header-group}tbody tr:nth-child(even){background:#fafbfc}
table.signatures td{height:38px}
table.signatures td:first-child,table.scope td:first-child{width:30%}
ol.reasons{list-style:none;padding:0;margin:-6px 0 12px;color:#5b6975;font-size:11px}
ol.reasons sup{color:#9a4300}
p.note{color:#5b6975;font-size:12px}
p.assumption,p.warning,p.good{font-size:12px;padding:6px 10px;border-left:4px solid;
margin:6px 0}
p.assumption{background:#fff8e6;border-color:#e6a700}p.warning{background:#fdeee7;border-color:#d55e00}
p.good{background:#e9f6f1;border-color:#009e73}
svg.chart{display:block;width:100%;height:auto;margin:6px 0 12px;
font-family:inherit;break-inside:avoid}
figure{margin:0;break-inside:avoid}.empty{color:#8a97a3;font-size:12px;margin:2px 0 8px}
footer{margin-top:30px;border-top:1px solid #c9d3db;padding-top:8px;color:#5b6975;
font-size:11px;overflow-wrap:anywhere}
@page{size:A4;margin:16mm 13mm 17mm;
@bottom-right{content:counter(page) " / " counter(pages);font-size:8pt;
color:#5b6975}}
@media print{body{padding:0;max-width:none;font-size:9.5pt}h1{font-size:20pt}
h2{font-size:13pt;margin-top:20px}
h3{font-size:10pt}table{font-size:7.6pt;line-height:1.35}th,td{padding:2px 4px}
p.note,p.assumption,p.warning,p.good,.empty{font-size:8.2pt}ol.reasons{font-size:7.2pt}footer{font-size:7.5pt}
section.new{break-before:page}h2,h3{break-after:avoid}.wide{overflow:visible}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
#: The space between a number and its unit.
_UNIT: Final = re.compile(r"(?<=[0-9]) (?=%|kWh\b|kW\b|h\b|s\b|min\b)")
_SHORT: Final = 16
_FEW: Final = 6
#: From so many letters on a word without a space (a URL, a hash) may be broken anywhere; an
#: endpoint is shorter.
_LONG: Final = 32
#: A time is printed as `2026-05-04 08:00`.
_TO_THE_MINUTE: Final = 16
_CONTENTS: Final = text("目录", "contents")
_NOTHING: Final = text("无", "none")
_NO_DATA: Final = text("没有数据", "no data")
#: Parts of a report that begin on a page of their own: the first after the summary, and those one
#: looks up.
_NEW_PAGE: Final = (1, 7, 10, 12)


def render(document: Mapping[str, Any], language: Language) -> str:
    """The whole page."""
    title = f"{say(document['title'], language)} {document['enterprise']} {document['period']}"
    head = join(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", **{"http_equiv": "Content-Security-Policy"},
                content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
        element("title", title),
        Markup(f"<style>{_CSS}</style>"),
    )  # fmt: skip
    body = join(
        _header(document, language),
        *_summary(document, language),
        _contents(document, language),
        *_parts(document, language),
        _footer(document),
    )
    page = element(
        "html",
        element("head", head),
        element("body", body),
        lang="en" if language == "en" else "zh-CN",
    )
    return f"<!DOCTYPE html>\n{page}\n".replace("</meta>", "")


def _header(document: Mapping[str, Any], language: Language) -> Markup:
    window = document["window"]
    zone = document["timezone"]
    revision = text(f"第 {document['revision']} 版", f"revision {document['revision']}")
    issued = local(document["issued"], zone) if document["issued"] else ""
    state = (
        text("", "")
        if document["closed"]
        else text("（期间未结束，暂定）", "(the period is not over: provisional)")
    )
    lines = [
        " · ".join(filter(None, [document["enterprise"], document["site"], document["project"]])),
        f"{local(window['from'], zone)} … {local(window['to'], zone)} ({zone})",
        f"{document['period']} · {say(revision, language)} {say(state, language)} · {issued}",
    ]
    return element(
        "header",
        element("h1", say(document["title"], language)),
        *(element("p", words, class_="sub") for words in lines),
    )


def _summary(document: Mapping[str, Any], language: Language) -> Iterator[Markup]:
    """The headline rates at a glance, and the report in plain sentences."""
    figures = {figure["key"]: figure for figure in document["figures"]}
    yield element(
        "div",
        *(_card(figures[key], language) for key in HEADLINES if key in figures),
        class_="cards",
    )
    if document["summary"]:
        yield element(
            "div", *(_list(block, language) for block in document["summary"]), class_="summary"
        )


def _card(figure: Mapping[str, Any], language: Language) -> Markup:
    name = text(figure["name_zh"], figure["name_en"])
    if (after := figure.get("effective_after")) is not None:
        big = element("b", DASH, class_="none")
        rest = say(after, language)
    elif figure["value"] is None:
        big = element("b", DASH, class_="none")
        rest = say(figure["reason"], language)
    else:
        big = element("b", f"{figure['value_pct']:.2f} %")
        rest = _fraction(figure)
    remarks = []
    met = (figure["target"] or {}).get("met")
    if met is not None:
        target = f"> {100 * figure['target']['above']:g} %"
        remarks.append(
            text(
                f"目标 {target}：{'达到' if met else '未达到'}",
                f"target {target}: {'' if met else 'not '}met",
            )
        )
    if figure["provisional"]:
        remarks.append(text("暂定", "provisional"))
    if (beyond := beyond_range(figure)) is not None:
        remarks.append(text(beyond.zh, beyond.en))
    told = " · ".join(say(remark, language) for remark in remarks)
    return element(
        "div", element("p", say(name, language)), big, element("p", rest), element("em", told),
        class_="card met" if met else "card",
    )  # fmt: skip


def _fraction(figure: Mapping[str, Any]) -> str:
    parts = [f"{figure[name]:.4f}".rstrip("0").rstrip(".") for name in ("numerator", "denominator")]
    return " / ".join(parts) + (f" · {figure['grade']}" if figure["grade"] else "")


def _list(block: Mapping[str, Any], language: Language) -> Markup:
    items = (element("li", _unbroken(say(item, language))) for item in block["items"])
    return join(element("h3", say(block["title"], language)), element("ol", *items, class_="said"))


def _unbroken(sentence: str) -> str:
    """A number and its unit stay on one line."""
    return _UNIT.sub("\u00a0", sentence)


def _contents(document: Mapping[str, Any], language: Language) -> Markup:
    entries = (
        element("li", element("a", say(part["title"], language), href=f"#part-{part['number']}"))
        for part in document["parts"]
    )
    return element("nav", element("h3", say(_CONTENTS, language)), element("ol", *entries))


def _parts(document: Mapping[str, Any], language: Language) -> Iterator[Markup]:
    for part in document["parts"]:
        heading = element("h2", f"{part['number']} {say(part['title'], language)}")
        blocks = (_block(block, language, document["timezone"]) for block in part["blocks"])
        place = (
            "new"
            if part["number"] == 1 or (part["number"] in _NEW_PAGE and not document["project"])
            else None
        )
        yield element("section", heading, *blocks, id=f"part-{part['number']}", class_=place)


def _block(block: Mapping[str, Any], language: Language, zone: str) -> Markup:
    if block["kind"] == "paragraph":
        return element("p", _unbroken(say(block["text"], language)), class_=block["level"])
    if block["kind"] == "list":
        return _list(block, language)
    if block["kind"] == "table":
        return _table(block, language, zone)
    drawn = draw(block, language, zone)
    heading = (
        element("h3", say(block["title"], language)) if block["chart"] != "gauge" else Markup("")
    )
    return element(
        "figure", heading, drawn or element("p", say(_NO_DATA, language), class_="empty")
    )


def _table(block: Mapping[str, Any], language: Language, zone: str) -> Markup:
    heading = element("h3", say(block["title"], language))
    if not block["rows"]:
        return join(heading, element("p", say(_NOTHING, language), class_="empty"))
    reasons = _reasons(block, language)
    head = element("tr", *(_head(column, language) for column in block["columns"]))
    rows = (
        element(
            "tr",
            *(
                _cell(cell, column["format"], language, zone, reasons)
                for cell, column in zip(row, block["columns"], strict=True)
            ),
        )
        for row in block["rows"]
    )
    whole = element("table", element("thead", head), element("tbody", *rows), class_=block["name"])
    notes = (
        element("li", element("sup", str(number)), f" {words}") for words, number in reasons.items()
    )
    below = element("ol", *notes, class_="reasons") if reasons else Markup("")
    return join(heading, element("div", whole, class_="wide"), below)


def _head(column: Mapping[str, Any], language: Language) -> Markup:
    return element(
        "th",
        say(column["title"], language),
        class_=None if column["format"] in ("text", "time") else "n",
    )


def _reasons(block: Mapping[str, Any], language: Language) -> dict[str, int]:
    """Why cells that should hold a number hold none: each reason once, numbered, to stand below the
    table."""
    forms = [column["format"] for column in block["columns"]]
    words = [
        say(cell, language)
        for row in block["rows"]
        for cell, form in zip(row, forms, strict=True)
        if form not in ("text", "time") and isinstance(cell, Mapping)
    ]
    return {reason: number for number, reason in enumerate(dict.fromkeys(words), 1)}


def _cell(
    cell: Any, form: str, language: Language, zone: str, reasons: Mapping[str, int]
) -> Markup:
    if form not in ("text", "time") and isinstance(cell, Mapping):
        words = say(cell, language)
        return element(
            "td", DASH, element("sup", str(reasons[words])), class_="n none", title=words
        )
    numeric = form not in ("text", "time") and isinstance(cell, int | float)
    shown = show(cell, form, language, zone)[: _TO_THE_MINUTE if form == "time" and cell else None]
    if isinstance(cell, Mapping):
        shown = _unbroken(shown)
    kind = (
        "none" if cell is None
        else "n" if numeric
        else "k" if form == "time" or _is_key(shown)
        else "path" if " " not in shown and shown.isascii() and len(shown) > _LONG
        else None
    )  # fmt: skip
    return element("td", *(_ids(shown) if ", " in shown else [shown]), class_=kind)


def _ids(words: str) -> Iterator[str]:
    """A list of ids, none of which is to be broken at its hyphen."""
    for i, word in enumerate(words.split(", ")):
        yield ", " if i else ""
        yield element("span", word, class_="k") if _is_key(word) else word


def _is_key(words: str) -> bool:
    """A short id, or a word or two: not to be broken."""
    return (
        len(words) <= _FEW
        or (words.isascii() and len(words) <= _SHORT and "/" not in words)
        or ("://" in words and " " not in words and len(words) <= _LONG)
    )


def _footer(document: Mapping[str, Any]) -> Markup:
    return element(
        "footer",
        f"{document['schema']} · register {document['register_version']} · content "
        f"{document['content_sha256']}",
    )
