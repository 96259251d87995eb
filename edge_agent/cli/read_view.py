"""What `edge-agent read` prints for people: a row for each tag, and the reasons of what is not good
below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_agent.app.status.terminal import cut, wrapped
from edge_agent.app.values.text import age, for_people, printable
from edge_agent.health import sentence
from edge_agent.model import is_bad, is_good, status_code

#: Columns of what does not go to a terminal.
PLAIN_WIDTH: Final = 160
#: Tags named in the line of one reason.
_NAMED: Final = 5
#: Reasons of one device that are written out.
_MOST_REASONS: Final = 20
#: Lines of a table beside its rows: head, rule, blank ones.
_FRAME: Final = 5
_LONG: Final = 60
#: Below so many columns the unit has no column of its own.
_NARROW: Final = 100
#: Columns that a name and a value get before others, and what all but raw value and address take.
_NAME: Final = 26
_VALUE: Final = 14
_REST: Final = 70

Document = Mapping[str, Any]


def console() -> Console:
    """Standard output; wide enough for a pipe, where nobody cuts lines."""
    made = Console(highlight=False, markup=False, emoji=False)
    return (
        made
        if made.is_terminal
        else Console(width=PLAIN_WIDTH, highlight=False, markup=False, emoji=False)
    )


def view(document: Document, *, raw: bool, width: int, height: int | None = None) -> RenderableType:
    """The table and the reasons, for so many columns. `height`: lines there are; what does not fit
    is counted."""
    rows: Sequence[Document] = document["values"]
    reasons = list(_reasons(document))
    if height is not None:
        reasons = _on_screen(reasons, width, max(1, height // 3))
        room = height - _FRAME - len(reasons)
        shown = _fitting(rows, room)
        if shown < len(rows):
            hidden = len(rows) - shown
            rows = rows[:shown]
            more = (
                f"… 另有 {hidden} 行，请指定设备或变量 / {hidden} more rows: name a device or a tag"
            )
            reasons.insert(0, Text(cut(more, width)))
    layout = _TableLayout(raw=raw, narrow=width < _NARROW, one_line=height is not None, width=width)
    return Group(_table(rows, layout), *reasons)


def _on_screen(reasons: Sequence[Text], width: int, room: int) -> list[Text]:
    """Reasons as lines that the terminal has not to break, so that its rows are as many as were
    counted; what has no room is counted."""
    found: list[Text] = []
    for number, reason in enumerate(reasons):
        lines = []
        for text in reason.plain.split("\n"):
            indent = " " * (len(text) - len(text.lstrip()))
            lines += [
                Text(cut(indent + line, width))
                for line in wrapped(text.strip(), width - len(indent))
            ]
        if len(found) + len(lines) > room - 1 and (
            len(found) + len(lines) > room or number < len(reasons) - 1
        ):
            rest = len(reasons) - number
            found.append(Text(cut(f"… 另有 {rest} 种原因 / {rest} more reasons", width)))
            break
        found += lines
    return found


def show(screen: Console, document: Document, *, raw: bool) -> None:
    """The same, once. The lines of the reasons are not broken: a command in one can be copied as it
    stands."""
    width = screen.width
    layout = _TableLayout(raw=raw, narrow=width < _NARROW, one_line=False, width=width)
    screen.print(_table(document["values"], layout))
    for line in _reasons(document):
        screen.print(line, soft_wrap=True)


def _fitting(rows: Sequence[Document], room: int) -> int:
    """How many rows fit, each device having a line of its own besides."""
    device = None
    used = 0
    for number, row in enumerate(rows):
        used += 1 + (row["device"] != device)
        device = row["device"]
        if used > room:
            return max(1, number)
    return len(rows)


class _TableLayout(NamedTuple):
    """What the table has room for."""

    raw: bool
    narrow: bool
    """The unit stands behind the value."""
    one_line: bool
    """No row may take two lines: what is too long is cut."""
    width: int


def _table(rows: Sequence[Document], layout: _TableLayout) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    names = [cell_len(row["tag"]) for row in rows]
    cut: dict[str, Any] = (
        {"no_wrap": True, "overflow": "ellipsis"} if layout.one_line else {"overflow": "fold"}
    )
    table.add_column("变量 tag", min_width=min(_NAME, 2 + max(names, default=0)), **cut)
    table.add_column("值 value", justify="right", min_width=_VALUE, **cut)
    if not layout.narrow:
        table.add_column("单位 unit", **cut)
    table.add_column("质量 quality", **cut)
    table.add_column("时效 age", justify="right", no_wrap=True)
    if layout.raw:
        part = max(10, (layout.width - _REST) // 2) if layout.one_line else None
        table.add_column("原始值 raw", max_width=part, **cut)
        table.add_column("地址 address", max_width=part, **cut)
    device = None
    for row in rows:
        if row["device"] != device:
            device = row["device"]
            table.add_row(Text(printable(device), style="bold"))
        table.add_row(*_cells(row, layout))
    return table


def _cells(row: Document, layout: _TableLayout) -> list[Text]:
    code = status_code(row["quality"])
    value = Text(_short(for_people(row["value"], row.get("label"))))
    unit = printable(row["unit"])
    quality = Text("Good")
    if row.get("absent"):
        quality = Text("无 absent", style="dim")
    elif is_bad(code):
        quality = Text(f"✗ {row['quality']}", style="red")
    elif not is_good(code):  # the value is there and not to be relied on
        value.stylize("strike")
        quality = Text(f"? {row['quality']}", style="yellow")
    if layout.narrow and unit:
        value.append(f" {unit}")
    cells = [Text(f"  {printable(row['tag'])}"), value]
    cells += [] if layout.narrow else [Text(unit)]
    cells += [quality, Text(age(row["age_s"]))]
    if layout.raw:
        cells += [
            Text(_short(printable(row["raw"] or "—"))),
            Text(printable(row["address"] or "—")),
        ]
    return cells


def _short(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _reasons(document: Document) -> Iterator[Text]:
    """Once for a device that does not answer, else once for each reason of its tags."""
    for state in document["devices"]:
        rows = [row for row in document["values"] if row["device"] == state["id"]]
        if state["state"] == "offline":
            yield _reason(
                state["id"], state["reason"], printable(state["zh"]), printable(state["en"])
            )
            continue
        by_reason: dict[tuple[str, str, str], list[str]] = {}
        for row in rows:
            if not is_good(status_code(row["quality"])) and not row.get("absent"):
                zh, en = row.get("why") or sentence(row["quality"])
                by_reason.setdefault((row["quality"], zh, en), []).append(row["tag"])
        for (status, zh, en), tags in list(by_reason.items())[:_MOST_REASONS]:
            yield _reason(f"{state['id']}/{_named(tags)}", status, zh, en)
        rest = len(by_reason) - _MOST_REASONS
        if rest > 0:
            yield Text(f"{printable(state['id'])}: … 另有 {rest} 种原因 / {rest} more reasons")


def _named(tags: Sequence[str]) -> str:
    return ", ".join(tags[:_NAMED]) + (f" … +{len(tags) - _NAMED}" if len(tags) > _NAMED else "")


def _reason(where: str, reason: str, zh: str, en: str) -> Text:
    return Text(f"{printable(where)} [{reason}] {zh}\n    {en}")


def sentences(document: Document) -> list[str]:
    """The reasons as plain lines."""
    return [text.plain for text in _reasons(document)]
