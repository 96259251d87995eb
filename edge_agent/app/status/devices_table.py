"""The devices as lines for a terminal, however wide it is: worst first, and the rest counted where
it does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from edge_agent.app.status.status_faults import CONNECTIONS
from edge_agent.app.status.terminal import Terminal, cut, padded
from edge_agent.words import number_of

Row = Mapping[str, Any]

_STATE_ZH: Final = {
    "Executing": "加工中",
    "NotExecuting": "待机",
    "OutOfService": "故障停机",
    "NotAvailable": "不可用",
}
#: Colour is news: running is calm, idle is quiet, and red or yellow only where somebody has to act.
_STATE_STYLE: Final = {
    "Executing": "cyan",
    "NotExecuting": "bright_black",
    "OutOfService": "yellow",
    "NotAvailable": "bright_black",
}
_CONNECTION_STYLE: Final = {0: "red", 1: "yellow", 2: "yellow"}
#: From so many columns on a word has room in both languages.
_BOTH: Final = 120
_LEAST: Final = 4


class _Column(NamedTuple):
    key: str
    zh: str
    en: str
    right: bool = False


_COLUMNS: Final = (
    _Column("id", "设备", "device"),
    _Column("name", "名称", "name"),
    _Column("connector", "协议", "protocol"),
    _Column("state", "状态", "machine state"),
    _Column("rate", "值/秒", "values/s", right=True),
    _Column("age", "龄 秒", "age s", right=True),
    _Column("quality", "质量", "quality"),
    _Column("connection", "连接", "connection"),
)
#: What is left out first where there is no room; device, quality and connection stay.
_LEFT_OUT: Final = ("connector", "name", "rate", "age", "state")


def badness(row: Row) -> tuple[int, int, str]:
    """Worst first; of equal ones those that are not good, then by id. A guest comes last: it is not
    ours to mend."""
    severity = CONNECTIONS.get(row["connection"], (1, "", ""))[0]
    return (10 if row.get("guest") else severity, row["quality"] == "Good", row["id"])


def device_lines(rows: Sequence[Row], terminal: Terminal, room: int | None = None) -> list[Text]:
    """Heading and one line a device; with `room` for fewer lines than that the worst ones, and how
    many more they are.

    No line is wider than the terminal; a column that has no room is left out before a word is cut.
    """
    if not rows:
        return terminal.lines("还没有设备上报。", "No device has reported yet.")
    ordered = sorted(rows, key=badness)
    cells = [
        {column.key: _cell(column.key, row, terminal) for column in _COLUMNS} for row in ordered
    ]
    columns, widths = _fitting(cells, terminal)
    heading = _heading(columns, widths, terminal)
    shown = len(ordered) if room is None else max(1, room - len(heading))
    if shown < len(ordered):
        shown = max(1, shown - 1)
    lines = [_line(cell, columns, widths) for cell in cells[:shown]]
    rest = ordered[shown:]
    return [*heading, *lines, *([_counted(rest, terminal)] if rest else [])]


def _counted(rest: Sequence[Row], terminal: Terminal) -> Text:
    unwell = sum(badness(row)[0] < CONNECTIONS["online"][0] for row in rest)
    zh = f"… 另有 {len(rest)} 台，" + (f"其中 {unwell} 台不正常" if unwell else "均在线")
    en = f"… {len(rest)} more, " + (f"{unwell} of them not well" if unwell else "all online")
    return Text(cut(terminal.say(zh, en, " / "), terminal.width), "bright_black")


def _heading(
    columns: Sequence[_Column], widths: Mapping[str, int], terminal: Terminal
) -> list[Text]:
    lines = []
    for which in terminal.sentences("zh", "en"):
        names = {column.key: Text(column.zh if which == "zh" else column.en) for column in columns}
        lines.append(_line(names, columns, widths))
        lines[-1].stylize("bright_black")
    return lines


def _line(cells: Mapping[str, Text], columns: Sequence[_Column], widths: Mapping[str, int]) -> Text:
    line = Text()
    for column in columns:
        cell = cells[column.key]
        text = cut(cell.plain, widths[column.key])
        line.append(padded(text, widths[column.key], right=column.right), cell.style)
        line.append("  ")
    line.rstrip()
    return line


def _fitting(
    cells: Sequence[Mapping[str, Text]], terminal: Terminal
) -> tuple[list[_Column], dict[str, int]]:
    """The columns that fit and their widths; where even the last three are too wide, they share
    what there is."""
    widths = {}
    for column in _COLUMNS:
        heads = [
            cell_len(column.zh if which == "zh" else column.en)
            for which in terminal.sentences("zh", "en")
        ]
        widths[column.key] = max([*heads, *(cell[column.key].cell_len for cell in cells)])
    columns = list(_COLUMNS)
    for key in _LEFT_OUT:
        if _total(columns, widths) > terminal.width:
            columns = [column for column in columns if column.key != key]
    while _total(columns, widths) > terminal.width:
        widest = max(("id", "quality"), key=lambda key: widths[key])
        if widths[widest] <= _LEAST:
            break
        widths[widest] -= 1
    return columns, widths


def _total(columns: Sequence[_Column], widths: Mapping[str, int]) -> int:
    return sum(widths[column.key] + 2 for column in columns) - 2


def _cell(key: str, row: Row, terminal: Terminal) -> Text:
    if key == "state":
        word = row["state"]
        return Text(
            _word(_STATE_ZH.get(word or "", word), word, terminal),
            _STATE_STYLE.get(word or "", "bright_black"),
        )
    if key == "rate":
        rate = row["values_per_s"]
        return Text("—" if rate is None else f"{rate:.0f}")
    if key == "age":
        age = row["last_good_age_s"]
        return Text("—" if age is None else f"{age:,.1f}")
    if key == "quality":
        return Text(
            row["quality"], "" if row["quality"] == "Good" or row.get("guest") else "yellow"
        )
    if key == "connection":
        severity, zh, en = CONNECTIONS.get(
            row["connection"], (1, row["connection"], row["connection"])
        )
        if row.get("guest"):
            return Text(_word(f"访客 {zh}", f"guest {en}", terminal), "bright_black")
        return Text(_word(zh, en, terminal), _CONNECTION_STYLE.get(severity, ""))
    return Text(row[key] or "")


def _word(zh: str | None, en: str | None, terminal: Terminal) -> str:
    """In both languages where there is room; else the word of the data, which is English."""
    if not en:
        return "—"
    if terminal.language == "both" and terminal.width < _BOTH:
        return en
    return terminal.say(zh or en, en)


def counts(rows: Sequence[Row], terminal: Terminal) -> list[Text]:
    """How many devices there are and how they are."""
    guests = sum(bool(row.get("guest")) for row in rows)
    own = [row for row in rows if not row.get("guest")]
    numbers: dict[str, int] = {}
    for row in own:
        numbers[row["connection"]] = numbers.get(row["connection"], 0) + 1
    order = sorted(numbers, key=lambda word: -CONNECTIONS.get(word, (1, "", ""))[0])
    zh = "，".join(f"{CONNECTIONS.get(word, (1, word, word))[1]} {numbers[word]}" for word in order)
    en = ", ".join(f"{numbers[word]} {word}" for word in order)
    if guests:
        zh, en = f"{zh}；访客 {guests}", f"{en}; {number_of(guests, 'guest')}"
    told = f"设备 {len(own)} 台：{zh}", f"{number_of(len(own), 'device')}: {en}"
    whole = Text(terminal.say(*told, " / "), "bold")
    return [whole] if whole.cell_len <= terminal.width else terminal.lines(*told, style="bold")
