"""What `probe` prints for people: a row for each register, its readings in the four byte orders
side by side."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_agent.app.status.terminal import Terminal, cut
from edge_agent.app.values.text import printable
from edge_agent.commissioning.probe import ChangedRegisters
from edge_agent.commissioning.terminal import sentence_lines
from edge_agent.discovery import ProbedPlace, ProbeLook

#: Where there is no terminal: both languages, and no line is broken.
_ANYWHERE: Final = Terminal(10_000, None, "both")
_ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
#: Below so many columns there is room for single floats and integers only; `--json` has all.
_WIDE: Final = 110
_SMALL: Final = 1e-3
_LARGE: Final = 1e9
_SINGLE: Final = 1e7
"""A single float has no more digits than this, and its column has to stay narrow."""
#: Lines of a table beside its rows, and those of the head.
_FRAME: Final = 8


def show(screen: Console, look: ProbeLook) -> None:
    """Print it, once."""
    terminal = Terminal.of(screen)
    screen.print(view(look, ChangedRegisters(), screen.width, reasons=False))
    for reason in _reasons(look, terminal):
        screen.print(reason, soft_wrap=True)


def view(
    look: ProbeLook,
    changes: ChangedRegisters,
    width: int,
    height: int | None = None,
    *,
    terminal: Terminal = _ANYWHERE,
    reasons: bool = True,
) -> RenderableType:
    """The table and the plausible readings, for so many columns. `height`: lines there are; the
    rest is counted. `terminal`: whose language and width the readings follow; `reasons`: whether
    they are there at all."""
    below = list(_reasons(look, terminal)) if reasons else []
    wide = width >= _WIDE
    table = _new_table(any(place.decodings for place in look.places), wide)
    room = None
    if height is not None:
        below = below[: max(1, height // 12)]
        room = max(2, height - _FRAME - sum(1 + line.plain.count("\n") for line in below))
    shown = 0
    used = 0
    for places in _rows(look.places):
        cells = _cells(places[0], changes, wide) if len(places) == 1 else _absent(places)
        used += max(cell.plain.count("\n") for cell in cells) + 1
        if room is not None and used > room:
            break
        table.add_row(*cells)
        shown += len(places)
    hidden = len(look.places) - shown
    rest = terminal.say(
        f"另有 {hidden} 个，请减小 --count", f"{hidden} more: a smaller --count", " / "
    )
    more = [Text(cut(f"… {rest}", width))] if hidden else []
    return Group(table, *more, *below, *_legend(changes, terminal))


def _rows(places: Sequence[ProbedPlace]) -> Iterator[Sequence[ProbedPlace]]:
    """The places of each row: those of a gap, which a device has many of, are in one."""
    for absent, run in itertools.groupby(places, key=lambda place: place.raw is None):
        if absent:
            yield list(run)
        else:
            yield from ([place] for place in run)


def _absent(places: Sequence[ProbedPlace]) -> list[Text]:
    first, last = (_number_of(place) for place in (places[0], places[-1]))
    return [Text(f"{first}\n–{last}"), Text("—", style="red")]


def _number_of(place: ProbedPlace) -> str:
    return place.address.rpartition("/")[2]


def _new_table(numbers: bool, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("地址", no_wrap=True)
    table.add_column("raw", no_wrap=True, min_width=4)
    if numbers:
        table.add_column("16位", justify="right", no_wrap=True, min_width=6)
        table.add_column("文字", no_wrap=True, min_width=4)
        for order in _ORDERS:
            table.add_column(f"{order} f/i{'/…' if wide else ''}", justify="right", no_wrap=True)
    return table


def _cells(place: ProbedPlace, changes: ChangedRegisters, wide: bool) -> list[Text]:
    mark = "*" if place.address in changes.now else "·" if place.address in changes.ever else ""
    style = "reverse" if place.address in changes.now else ""
    address = Text(_number_of(place) + mark)
    if place.raw is None:
        return [address, Text("—", style="red")]
    if not place.decodings:
        return [address, Text(str(place.raw), style=style)]
    known = {(one.type, one.order): one.value for one in place.decodings}
    single = known["uint16", ""]
    signed = known["int16", ""]
    bcd = known["bcd16", ""]
    sixteen = [str(single)] if single == signed else [str(single), str(signed)]
    if wide and isinstance(bcd, int) and bcd >= 10:
        sixteen.append(f"bcd {bcd}")
    text = _text([known["text", "ABCD"], known["text", "BADC"]])
    words = [Text("\n".join(_wide_values(known, order, wide))) for order in _ORDERS]
    return [
        address,
        Text(f"{place.raw:04X}", style=style),
        Text("\n".join(sixteen)),
        Text(text),
        *words,
    ]


def _wide_values(known: Mapping[tuple[str, str], object], order: str, wide: bool) -> Iterator[str]:
    """The lines of one order: the single float, the integer, and with room what else makes
    sense."""
    if ("int32", order) not in known:
        return
    single = known["float32", order]
    signed = known["int32", order]
    yield "nan" if single is None else _number(single)
    yield _number(signed)
    if not wide:
        return
    for letter, type_ in (
        ("u", "uint32"),
        ("b", "bcd32"),
        ("d", "float64"),
        ("l", "int64"),
        ("ul", "uint64"),
    ):
        value = known.get((type_, order))
        if isinstance(value, int | float) and value != signed and _SMALL <= abs(value) <= _LARGE:
            yield f"{letter} {_number(value)}"


def _number(value: object) -> str:
    if isinstance(value, float):
        usual = value == 0 or _SMALL <= abs(value) < _SINGLE
        return f"{value:.7g}" if usual else f"{value:.1e}"
    return str(value)


def _text(texts: Sequence[object]) -> str:
    return "\n".join(printable(str(text)) for text in texts if text is not None)


def _reasons(look: ProbeLook, terminal: Terminal) -> Iterator[Text]:
    """Each as a text of several lines."""
    for one in look.plausible[:4]:
        read = f"{one.type} {one.order}".rstrip()
        head = cut(f"→ {one.address} {read} = {printable(str(one.value))}", terminal.width)
        yield Text("\n").join(
            [Text(head), *sentence_lines(terminal, one.zh, one.en, indent=4, hang=0)]
        )
    refused = {
        re.sub(r"\d+", "", place.refused): place.refused
        for place in reversed(look.places)
        if place.refused
    }
    for text in list(refused.values())[:2]:
        zh, _, en = text.partition("\n")
        yield Text("\n").join(sentence_lines(terminal, zh, en, lead="✗ "))


def _legend(changes: ChangedRegisters, terminal: Terminal) -> list[Text]:
    if changes.looks < 2:
        return []
    now = terminal.say("刚刚变化", "just changed")
    before = terminal.say("变化过", "changed before")
    words = f"* {now}   · {before}   Ctrl-C {terminal.say('结束', 'ends', ' / ')}"
    return [Text(cut(words, terminal.width), style="dim")]
