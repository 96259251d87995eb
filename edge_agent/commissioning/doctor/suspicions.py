"""Values that are good by their quality and still look wrong, each with what to try. Pure: no I/O.

They are suspicions: a machine at rest reads zeros, and a meter without load does not move.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.commissioning.doctor.diagnosis import Diagnosis, note
from edge_agent.model import is_bad, is_good, status_code

Row = Mapping[str, Any]
"""A row of a document of values."""

_NAMED: Final = 6
_WORD: Final = re.compile(r"0x([0-9A-Fa-f]{4})")
_ENERGY: Final = frozenset({"Wh", "kWh", "MWh", "varh", "kvarh", "VAh", "kVAh", "m3", "h"})
"""Units of what only grows while something runs."""
_SMALLEST: Final = 1.2e-38
_LARGEST: Final = 1e18
"""Beyond this no unit has a name; a time in microseconds stays below."""
_LEAST_READINGS: Final = 10
_SHIFT_NS: Final = 4 * 3600 * 10**9


@dataclass(slots=True)
class TagPast:
    """What the store has of one tag in a span of time."""

    readings: int = 0
    low: float = 0.0
    high: float = 0.0
    uncertain: int = 0
    span_ns: int = 0


@dataclass(slots=True)
class TagView:
    """All that is known of one tag: its row of each look, and its past."""

    name: str
    rows: list[Row] = field(default_factory=list)
    window: TagPast | None = None
    low: float | None = None
    high: float | None = None
    is_counter: bool = False

    @property
    def last(self) -> Row:
        return self.rows[-1]


def suspicions(device: str, tags: Sequence[TagView]) -> Iterator[Diagnosis]:
    """Everything about the values of one device that is to be looked at."""
    readable = [tag for tag in tags if tag.rows and not is_bad(status_code(tag.last["quality"]))]
    yield from _constants(device, readable)
    for tag in readable:
        yield from _no_measurement(device, tag)
        yield from _out_of_range(device, tag)
        yield from _never_moves(device, tag)
    yield from _twins(device, readable)


def _words(row: Row) -> list[str]:
    return [word.upper() for word in _WORD.findall(row["raw"] or "")]


def _constants(device: str, tags: Sequence[TagView]) -> Iterator[Diagnosis]:
    """Registers that are 0x0000 or 0xFFFF at every look."""
    for pattern, what, then in (
        (
            "FFFF",
            (
                "始终为 0xFFFF，设备常以此表示无值",
                "read 0xFFFF at every look, by which devices often say `no value`",
            ),
            (
                "核对地址；若设备以此表示无值，请在变量下写 sentinels: [65535]。",
                "Compare the address; where the device means `no value`, write sentinels: "
                "[65535] at the tag.",
            ),
        ),
        (
            "0000",
            ("始终为 0", "read 0 at every look"),
            (
                "设备有负载时再看一次；仍为 0 时核对地址（常差 1）、区（holding 或 input）和站号。",
                "Look again while the machine is under load; where they stay 0 compare the "
                "address (off by one?), the"
                " area (holding or input) and the unit.",
            ),
        ),
    ):
        names = [tag.name for tag in tags if _always(tag, pattern)]
        if names and not (pattern == "0000" and _are_bits(tags, names)):
            yield note(f"{device}/{_listed(names)}", (f"{what[0]}。", f"These {what[1]}."), then)


def _always(tag: TagView, pattern: str) -> bool:
    return all((words := _words(row)) and set(words) == {pattern} for row in tag.rows)


def _are_bits(tags: Sequence[TagView], names: Sequence[str]) -> bool:
    """Whether the tags at zero are switches, which are off half of their life."""
    return all(isinstance(tag.last["value"], bool) for tag in tags if tag.name in names)


def _no_measurement(device: str, tag: TagView) -> Iterator[Diagnosis]:
    value = tag.last["value"]
    if isinstance(value, float) and (0 < abs(value) < _SMALLEST or abs(value) > _LARGEST):
        why = tag.last.get("why") or ("", "")
        yield note(
            f"{device}/{tag.name}",
            (
                f"读作 {value:.2g}，没有传感器测得出这样的数。{why[0]}",
                f"It reads {value:.2g}, which no sensor measures. {why[1]}",
            ),
            (
                "字序很可能不对：改 word_order，用 probe --expect 表头读数 可确定。",
                "The word order is probably wrong: change word_order; `probe --expect` with what "
                "the display shows"
                " decides it.",
            ),
        )


def _out_of_range(device: str, tag: TagView) -> Iterator[Diagnosis]:
    value = tag.last["value"]
    now = isinstance(value, int | float) and tag.low is not None and tag.high is not None
    outside_now = now and not (tag.low or 0.0) <= value <= (tag.high or 0.0)
    window = tag.window
    long = (
        window is not None
        and window.readings >= _LEAST_READINGS
        and window.uncertain == window.readings
    )
    if not (outside_now or long):
        return
    zh = "所查时间内一直存疑。"
    en = "It was uncertain all the time looked at."
    if outside_now:
        limits = f"{tag.low:g}..{tag.high:g}"
        zh = f"为 {value}，超出 range {limits}{'，且在所查时间内一直如此' if long else ''}。"
        en = (
            f"It is {value}, outside range "
            f"{limits}{' and was so all the time looked at' if long else ''}."
        )
    yield note(
        f"{device}/{tag.name}",
        (zh, en),
        (
            "核对 scale、offset、类型和字序；读数属实时放宽 range。",
            "Compare scale, offset, type and word order; where the reading is true, widen range.",
        ),
    )


def _never_moves(device: str, tag: TagView) -> Iterator[Diagnosis]:
    """A counter that stands still for half a shift and longer."""
    window = tag.window
    is_counter = tag.is_counter or tag.last["unit"] in _ENERGY
    if (
        window is None
        or not is_counter
        or window.readings < _LEAST_READINGS
        or window.span_ns < _SHIFT_NS
    ):
        return
    if window.low == window.high:
        hours = window.span_ns / 3.6e12
        yield note(
            f"{device}/{tag.name}",
            (
                f"计数 {window.low:g} 在 {hours:.0f} 小时内没有变化。",
                f"The counter stands at {window.low:g} and has not moved for {hours:.0f} h.",
            ),
            (
                "设备在此期间运行过的话，核对地址和字序（可能读的是高位字或设定值）。",
                "If the machine ran meanwhile, compare address and word order: it may be the "
                "high word, or a setting.",
            ),
        )


def _twins(device: str, tags: Sequence[TagView]) -> Iterator[Diagnosis]:
    """Tags with the same address, and numbers of several registers that are equal at every look."""
    by_address: dict[str, list[str]] = defaultdict(list)
    by_words: dict[tuple[str, ...], list[TagView]] = defaultdict(list)
    for tag in tags:
        if tag.last["address"]:
            by_address[f"{tag.last['address']} {tag.last['raw']}"].append(tag.name)
        words = tuple(" ".join(_words(row)) for row in tag.rows)
        if len(_words(tag.last)) >= 2 and set(_words(tag.last)) - {"0000", "FFFF"}:
            by_words[words].append(tag)
    reported: set[str] = set()
    for names in by_address.values():
        if len(names) > 1:
            reported.update(names)
            yield note(
                f"{device}/{_listed(names)}",
                ("这些变量读的是同一个地址。", "These tags read the same address."),
                (
                    "核对其中一个的地址，或删去多余的。",
                    "Compare the address of one of them, or remove the one too many.",
                ),
            )
    for equal in by_words.values():
        names = [tag.name for tag in equal if tag.name not in reported]
        if len(names) > 1:
            yield note(
                f"{device}/{_listed(names)}",
                (
                    "这些变量每次的寄存器都完全相同。",
                    "The registers of these tags are equal at every look.",
                ),
                (
                    "可能有一个抄错了地址；用 probe 对照设备面板。",
                    "One address may be copied wrongly: compare with the device's display by "
                    "`probe`.",
                ),
            )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown}, … ({len(names)})"


def window_of(
    t: Sequence[int], numbers: Sequence[float], status: Sequence[int], before: TagPast | None
) -> TagPast:
    """A window with more readings."""
    made = before or TagPast()
    for value, code in zip(numbers, status, strict=True):
        if value != value or is_bad(code):
            continue
        made.low = value if not made.readings else min(made.low, value)
        made.high = value if not made.readings else max(made.high, value)
        made.readings += 1
        made.uncertain += not is_good(code)
    if len(t):
        made.span_ns = max(made.span_ns, int(t[-1]) - int(t[0]))
    return made
