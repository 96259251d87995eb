"""What `edge-agent read` prints for people: a row for each tag, and the reasons of what is not good below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_agent.app.values.text import age, for_people, printable
from edge_agent.health import sentence
from edge_agent.model import is_bad, is_good, status_code

#: Columns of what does not go to a terminal.
PLAIN_WIDTH: Final = 160
#: Tags named in the line of one reason.
_NAMED: Final = 5
#: Lines of a table beside its rows: head, rule, blank ones.
_FRAME: Final = 5
_LONG: Final = 60

Document = Mapping[str, Any]


def console() -> Console:
    """Standard output; wide enough for a pipe, where nobody cuts lines."""
    made = Console(highlight=False, markup=False, emoji=False)
    return made if made.is_terminal else Console(width=PLAIN_WIDTH, highlight=False, markup=False, emoji=False)


def view(document: Document, *, raw: bool, height: int | None = None) -> RenderableType:
    """The table and the reasons. `height`: lines there are; what does not fit is counted."""
    rows: Sequence[Document] = document["values"]
    reasons = list(_reasons(document))
    if height is not None:
        reasons = reasons[: max(0, height // 3)]
        room = max(1, height - _FRAME - sum(1 + line.plain.count("\n") for line in reasons))
        hidden, rows = len(rows) - room, rows[:room]
        if hidden > 0:
            reasons.insert(
                0, Text(f"… 另有 {hidden} 行，请指定设备或变量 / {hidden} more rows: name a device or a tag")
            )
    return Group(_table(rows, raw=raw), *reasons)


def _table(rows: Sequence[Document], *, raw: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("设备/变量 device/tag", overflow="fold", min_width=12, ratio=None)
    table.add_column("值 value", justify="right", overflow="fold")
    table.add_column("单位 unit", overflow="fold")
    table.add_column("质量 quality", overflow="fold")
    table.add_column("时效 age", justify="right", no_wrap=True)
    if raw:
        table.add_column("原始值 raw", overflow="fold")
        table.add_column("地址 address", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row, raw=raw))
    return table


def _cells(row: Document, *, raw: bool) -> list[Text]:
    code = status_code(row["quality"])
    value = _short(for_people(row["value"], row.get("label")))
    if is_good(code):
        cells = [Text(value), Text(printable(row["unit"])), Text("Good")]
    elif is_bad(code):
        cells = [Text(value), Text(printable(row["unit"])), Text(f"✗ {row['quality']}", style="red")]
    else:  # the value is there and not to be relied on
        marked = Text(f"? {row['quality']}", style="yellow")
        cells = [Text(value, style="strike"), Text(printable(row["unit"])), marked]
    name = f"{row['device']}/{row['tag']}"
    cells = [Text(printable(name)), *cells, Text(age(row["age_s"]))]
    if raw:
        cells += [Text(_short(printable(row["raw"] or "—"))), Text(printable(row["address"] or "—"))]
    return cells


def _short(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _reasons(document: Document) -> Iterator[Text]:
    """Once for a device that does not answer, else once for each status of its tags."""
    for state in document["devices"]:
        rows = [row for row in document["values"] if row["device"] == state["id"]]
        if state["state"] == "offline":
            detail = f" ({printable(state['detail'])})" if state["detail"] else ""
            yield _reason(f"{state['id']}", state["reason"], state["zh"], state["en"] + detail)
            continue
        by_status: dict[str, list[str]] = {}
        for row in rows:
            if not is_good(status_code(row["quality"])):
                by_status.setdefault(row["quality"], []).append(row["tag"])
        for status, tags in by_status.items():
            named = ", ".join(tags[:_NAMED]) + (f" … +{len(tags) - _NAMED}" if len(tags) > _NAMED else "")
            yield _reason(f"{state['id']}/{named}", status, *sentence(status))


def _reason(where: str, reason: str, zh: str, en: str) -> Text:
    return Text(f"{printable(where)} [{reason}] {zh}\n    {en}")


def sentences(document: Document) -> list[str]:
    """The reasons as plain lines."""
    return [text.plain for text in _reasons(document)]
