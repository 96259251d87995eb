"""The first screen of `status` and `demo`: what is not well, the two rates, the devices; nothing
wrapped, nothing cut.

What does not fit is counted, and `--wide` prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from edge_agent.app.status.devices_table import counts, device_lines
from edge_agent.app.status.outages import clock
from edge_agent.app.status.rates_view import headlines, others
from edge_agent.app.status.status_faults import StatusFault
from edge_agent.app.status.terminal import Terminal, cut, wrapped
from edge_agent.words import number_of

Document = Mapping[str, Any]

_GAP: Final = Text("")
#: Between the parts of the screen.
_GAPS: Final = (_GAP, _GAP, _GAP)
_STYLES: Final = {0: "red", 1: "yellow", 2: "yellow"}
#: Lines the list of what is not well may take of a terminal: so many, a third of it, or what the
#: devices leave.
_LEAST_LINES: Final = 8
#: Agents that are shown of a terminal that has an end.
_AGENTS: Final = 3


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """All that stands on it."""

    title: str
    now: int
    timezone: str
    problems: Sequence[StatusFault]
    metrics: Sequence[Document]
    """The figures; without any of them `no_rates` is said instead."""
    devices: Sequence[Document]
    agents: Sequence[Document] = ()
    notes: Sequence[tuple[str, str]] = ()
    """Quiet lines below: Chinese, English."""
    nothing_missing: bool = False
    """It was looked up that no data is missing."""
    no_rates: tuple[str, str] | None = None
    more: str = ""
    """The command that prints everything."""

    def lines(self, terminal: Terminal) -> list[Text]:
        """Top to bottom; never more than the terminal is high. What is wider than it is a command
        (`wrapped`)."""
        heading = Text(
            cut(f"{self.title}  {clock(self.now, self.timezone)}", terminal.width), "bright_black"
        )
        notes: list[Text] = []
        for zh, en in self.notes:
            notes += _note(zh, en, terminal)
        agents = agent_lines(self.agents, terminal)
        rates = headlines(self.metrics, terminal, self.no_rates)
        number = counts(self.devices, terminal) if self.devices else []
        top = 1 + terminal.rows([*rates, *number, *agents, *notes])
        first = self._first(terminal, top)
        spare = None if terminal.height is None else terminal.height - top - terminal.rows(first)
        gaps = self._gaps(terminal, spare)
        room = None if spare is None else max(2, spare - len(gaps))
        table = device_lines(self.devices, terminal, room) if self.devices else []
        figures = _fitting(
            others(self.metrics, terminal), None if room is None else room - len(table)
        )
        above, between, below = [*gaps, None, None, None][:3]
        below = below if notes else None
        parts = [
            heading,
            *first,
            above,
            *rates,
            *figures,
            between,
            *number,
            *agents,
            *table,
            below,
            *notes,
        ]
        return _top([part for part in parts if part is not None], terminal)

    def _gaps(self, terminal: Terminal, spare: int | None) -> list[Text]:
        """Empty lines between the parts: none that a device could have."""
        if spare is None:
            return list(_GAPS)
        wanted = len(device_lines(self.devices, terminal)) if self.devices else 0
        if wanted <= spare:
            return [_GAP] * min(3, spare - wanted)
        return list(_GAPS) if spare >= 9 else []

    def _first(self, terminal: Terminal, others_take: int) -> list[Text]:
        """What is not well, worst first; or one quiet line."""
        if not self.problems:
            return self._all_good_line(terminal)
        room = None
        if terminal.height is not None:
            table = len(device_lines(self.devices, terminal)) if self.devices else 0
            left = terminal.height - others_take - len(_GAPS)
            room = max(3, min(left, max(_LEAST_LINES, terminal.height // 3, left - table)))
        found: list[Text] = []
        rest = 0
        for position, problem in enumerate(self.problems):
            lines = _problem(problem, self.now, self.timezone, terminal)
            counted = self._rest(rest + (position < len(self.problems) - 1), terminal)
            if room is None or not found or terminal.rows([*found, *lines, *counted]) <= room:
                found += lines
                continue
            rest += 1  # who it is at least; a shorter one behind it may fit
            counted = self._rest(rest, terminal)
            if terminal.rows([*found, lines[0], *counted]) <= room:
                found.append(lines[0])
        return [*found, *self._rest(rest, terminal)]

    def _rest(self, number: int, terminal: Terminal) -> list[Text]:
        if not number:
            return []
        zh = f"… 还有 {number} 项"
        en = f"… {number} more"
        told = terminal.say(zh, en, " / ") + (f": {self.more}" if self.more else "")
        return [Text(line, "yellow") for line in wrapped(told, terminal.width)]

    def _all_good_line(self, terminal: Terminal) -> list[Text]:
        own = [row for row in self.devices if not row.get("guest")]
        if not own:
            return []
        zh = f"{len(own)} 台设备全部正常"
        en = f"All {len(own)} devices are well"
        if len(own) == 1:
            en = "The one device is well"
        if self.nothing_missing:
            zh, en = f"{zh}，没有丢失数据", f"{en}; nothing is missing"
        return [Text(cut(terminal.say(f"{zh}。", f"{en}.", " / "), terminal.width), "bright_black")]


def _problem(problem: StatusFault, now: int, timezone: str, terminal: Terminal) -> list[Text]:
    """A mark, a word, who and since when; below it why, with the next step."""
    style = _STYLES[problem.severity]
    line = Text("▌ ", style)
    line.append(terminal.say(*problem.word), f"bold {style}")
    who = (
        terminal.say(*dict.fromkeys(problem.who))
        if problem.who[0] != problem.who[1]
        else problem.who[0]
    )
    line.append(f"  {who}")
    if problem.since is not None:
        since = clock(problem.since, timezone)
        shown = since[6:] if since[:5] == clock(now, timezone)[:5] else since[:11]
        zh, en = _lasting(max(0.0, (now - problem.since) / 1e9))
        said = {
            "zh": f"自 {shown} 起（{zh}）",
            "en": f"since {shown} ({en})",
            "both": f"自 since {shown} ({en})",
        }
        line.append(f"  {said[terminal.language]}", "bright_black")
    head = [line] if line.cell_len <= terminal.width else _folded(line, terminal)
    return [*head, *terminal.lines(*problem.sentence, indent=2)]


def _folded(line: Text, terminal: Terminal) -> list[Text]:
    """A line that is too long, as several."""
    first, *rest = wrapped(line.plain, terminal.width)
    top = line[: len(first)]
    return [top, *(Text(f"  {each}") for each in rest)]


def _lasting(seconds: float) -> tuple[str, str]:
    """A length of time with one unit."""
    for unit, zh, en in ((86_400, "天", "d"), (3600, "小时", "h"), (60, "分钟", "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {zh}", f"{seconds / unit:.0f} {en}"
    return f"{seconds:.0f} 秒", f"{seconds:.0f} s"


def _note(zh: str, en: str, terminal: Terminal) -> list[Text]:
    whole = terminal.say(zh, en, " / ")
    line = Text(whole, "bright_black")
    return (
        [line] if line.cell_len <= terminal.width else terminal.lines(zh, en, style="bright_black")
    )


def _top(lines: Sequence[Text], terminal: Terminal) -> list[Text]:
    """As many of them as the terminal has rows for."""
    shown = list(lines)
    while not terminal.has_room(shown):
        shown.pop()
    return shown


def _fitting(figures: Iterable[Sequence[Text]], room: int | None) -> list[Text]:
    """All of them or none: half a list of figures is no list."""
    lines = [line for each in figures for line in each]
    return lines if room is None or len(lines) <= room else []


def agent_lines(agents: Sequence[Document], terminal: Terminal) -> list[Text]:
    """A line an agent, those that are away first; guests say so, and nothing of theirs is red."""
    if len(agents) < 2 and all(each.get("own") and each["online"] for each in agents):
        return []  # the one agent of this site, and it is there: its devices say all there is
    ordered = sorted(
        agents, key=lambda each: (bool(each.get("guest")), each["online"], each["agent"])
    )
    shown = ordered if terminal.whole or len(ordered) <= _AGENTS else ordered[: _AGENTS - 1]
    lines = [_agent(each, terminal) for each in shown]
    rest = len(ordered) - len(shown)
    if rest:
        zh = f"… 另有 {rest} 个采集代理"
        en = f"… {number_of(rest, 'more agent')}"
        lines.append(Text(terminal.say(zh, en, " / "), "bright_black"))
    return lines


def _agent(each: Document, terminal: Terminal) -> Text:
    guest = bool(each.get("guest"))
    online = terminal.say("在线", "online") if each["online"] else terminal.say("不在线", "away")
    style = "bright_black" if guest else "" if each["online"] else "red"
    words = [terminal.say("采集代理", "agent"), str(each["agent"])]
    if guest:
        words.append(terminal.say("访客", "guest"))
    line = Text(" ".join(words), "bright_black" if guest else "")
    line.append(f"  {online}", style)
    if each.get("version"):
        line.append(f"  {each['version']}", "bright_black")
    if each.get("backlog_values"):
        values = each["backlog_values"]
        waiting = terminal.say(f"待送达 {values:,} 个值", f"{number_of(values, 'value')} waiting")
        line.append(f"  {waiting}")
    line.truncate(terminal.width, overflow="ellipsis")
    return line
