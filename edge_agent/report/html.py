"""The report as one HTML file: works offline, without scripts, and prints on A4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge_agent.report.blocks import DASH, text
from edge_agent.report.charts import draw
from edge_agent.report.parts_rates import HEADLINES
from edge_agent.report.speech import Language, local, say, show
from edge_agent.report.svg import Markup, element, join

_CSS: Final = """
:root{color-scheme:light}
body{font:14px/1.55 "Noto Sans CJK SC","Source Han Sans SC","Microsoft YaHei","PingFang SC",system-ui,sans-serif;
color:#1c2733;max-width:1000px;margin:0 auto;padding:24px;background:#fff}
header{border-bottom:3px solid #2f7a9d;padding-bottom:12px;margin-bottom:18px}
h1{font-size:26px;margin:0 0 4px}
h2{font-size:19px;margin:30px 0 10px;border-bottom:1px solid #c9d3db;padding-bottom:4px}
h3{font-size:14px;margin:16px 0 6px}.sub{color:#5b6975;margin:0}
.cards{display:flex;gap:14px;margin:0 0 18px}.card{flex:1;border:1px solid #c9d3db;border-top:4px solid #2f7a9d;
padding:8px 14px;break-inside:avoid}.card p{margin:0;color:#5b6975;font-size:12px}.card b{font-size:26px}
nav ol{columns:2;padding-left:22px;margin:8px 0}nav a{color:#22617d;text-decoration:none}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:12px;margin:4px 0 10px}
th,td{border:1px solid #d4dce3;padding:3px 6px;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{background:#eef2f5;font-weight:600;overflow-wrap:break-word}td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td.k{white-space:nowrap}td.none{color:#8a97a3}tr{break-inside:avoid}thead{display:table-header-group}
table.signatures td{height:34px}
p.note{color:#5b6975;font-size:12px}p.assumption,p.warning,p.good{font-size:12px;padding:6px 10px;border-left:4px solid}
p.assumption{background:#fff8e6;border-color:#e6a700}p.warning{background:#fdeee7;border-color:#d55e00}
p.good{background:#e9f6f1;border-color:#009e73}
svg.chart{display:block;width:100%;height:auto;margin:6px 0 12px;font-family:inherit;break-inside:avoid}
figure{margin:0;break-inside:avoid}.empty{color:#8a97a3;font-size:12px}
footer{margin-top:30px;border-top:1px solid #c9d3db;padding-top:8px;color:#5b6975;font-size:11px;overflow-wrap:anywhere}
@page{size:A4;margin:14mm 12mm}
@media print{body{padding:0;max-width:none;font-size:11px}table{font-size:8.5px}th,td{padding:2px 3px}
section{break-before:page}section.first,nav{break-before:auto}h2,h3{break-after:avoid}.wide{overflow:visible}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
_SHORT: Final = 14
_CONTENTS: Final = text("目录", "contents")
_NOTHING: Final = text("无", "none")
_NO_DATA: Final = text("没有数据", "no data")


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
        _summary(document, language),
        _contents(document, language),
        *_parts(document, language),
        _footer(document),
    )
    page = element("html", element("head", head), element("body", body), lang="en" if language == "en" else "zh-CN")
    return f"<!DOCTYPE html>\n{page}\n".replace("</meta>", "")


def _header(document: Mapping[str, Any], language: Language) -> Markup:
    window, zone = document["window"], document["timezone"]
    revision = text(f"第 {document['revision']} 版", f"revision {document['revision']}")
    issued = local(document["issued"], zone) if document["issued"] else ""
    state = text("", "") if document["closed"] else text("(期间未结束,暂定)", "(the period is not over: provisional)")
    lines = [
        f"{document['enterprise']} · {document['site']}",
        f"{local(window['from'], zone)} … {local(window['to'], zone)} ({zone})",
        f"{document['period']} · {say(revision, language)} {say(state, language)} · {issued}",
    ]
    return element(
        "header",
        element("h1", say(document["title"], language)),
        *(element("p", words, class_="sub") for words in lines),
    )


def _summary(document: Mapping[str, Any], language: Language) -> Markup:
    """The headline rates at a glance."""
    figures = {figure["key"]: figure for figure in document["figures"]}
    cards = []
    for key in HEADLINES:
        figure = figures[key]
        name = text(figure["name_zh"], figure["name_en"])
        value = DASH if figure["value"] is None else f"{figure['value_pct']:.2f} %"
        rest = say(figure["reason"], language) if figure["reason"] else _fraction(figure)
        cards.append(
            element("div", element("p", say(name, language)), element("b", value), element("p", rest), class_="card")
        )
    return element("div", *cards, class_="cards")


def _fraction(figure: Mapping[str, Any]) -> str:
    parts = [f"{figure[name]:.4f}".rstrip("0").rstrip(".") for name in ("numerator", "denominator")]
    return " / ".join(parts) + (f" · {figure['grade']}" if figure["grade"] else "")


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
        first = "first" if part["number"] == 1 else None
        yield element("section", heading, *blocks, id=f"part-{part['number']}", class_=first)


def _block(block: Mapping[str, Any], language: Language, zone: str) -> Markup:
    if block["kind"] == "paragraph":
        return element("p", say(block["text"], language), class_=block["level"])
    if block["kind"] == "table":
        return _table(block, language, zone)
    drawn = draw(block, language, zone)
    heading = element("h3", say(block["title"], language)) if block["chart"] != "gauge" else Markup("")
    return element("figure", heading, drawn or element("p", say(_NO_DATA, language), class_="empty"))


def _table(block: Mapping[str, Any], language: Language, zone: str) -> Markup:
    heading = element("h3", say(block["title"], language))
    if not block["rows"]:
        return join(heading, element("p", say(_NOTHING, language), class_="empty"))
    columns = block["columns"]
    head = element("tr", *(element("th", say(column["title"], language)) for column in columns))
    rows = (
        element(
            "tr", *(_cell(cell, column["format"], language, zone) for cell, column in zip(row, columns, strict=True))
        )
        for row in block["rows"]
    )
    whole = element("table", element("thead", head), element("tbody", *rows), class_=block["name"])
    return join(heading, element("div", whole, class_="wide"))


def _cell(cell: Any, form: str, language: Language, zone: str) -> Markup:
    numeric = form not in ("text", "time") and isinstance(cell, int | float)
    kind = "none" if cell is None else "n" if numeric else "k" if _is_key(cell) else None
    return element("td", show(cell, form, language, zone), class_=kind)


def _is_key(cell: Any) -> bool:
    """A short id, which is not to be broken at its hyphen."""
    return isinstance(cell, str) and cell.isascii() and len(cell) <= _SHORT and " " not in cell


def _footer(document: Mapping[str, Any]) -> Markup:
    return element(
        "footer",
        f"{document['schema']} · register {document['register_version']} · content {document['content_sha256']}",
    )
