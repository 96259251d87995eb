"""What `scan` prints for people: everybody who answered, what he is, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console

from edge_agent.app.values.text import printable
from edge_agent.commissioning.evidence import ProfileEvidence, is_clearly_best
from edge_agent.commissioning.scan import Scanned
from edge_agent.commissioning.terminal import SentencePrinter
from edge_agent.words import command, number_of

_NAMED: Final = 3
"""Values and profiles named one by one."""


def show(
    screen: Console,
    found: Sequence[Scanned],
    *,
    compared: bool,
    ignores_units: bool,
    absent: Sequence[Scanned] = (),
) -> None:
    """Print it. `absent`: those among them that are probably nobody."""
    out = SentencePrinter(screen)
    found = [one for one in found if one not in absent]
    answering = [one for one in found if one.answer.device]
    for one in found:
        if ignores_units and one in answering[1:]:
            continue
        _show_one(out, one, compared)
    if ignores_units:
        others = f"{answering[1].answer.where} … {answering[-1].answer.where.rpartition(' ')[2]}"
        out.line(f"{others}  {out.say('同上', 'the same')}", style="bold")
    if absent:
        said = absent[0].answer.said
        out.pair(
            f"另有 {len(absent)} 个站号都只以同样的异常应答（{said}）：很可能并没有这些设备，"
            "未列出。",
            f"{number_of(len(absent), 'further unit')} refused alike ({said}): probably there "
            "are none, and they are"
            " not listed.",
        )
    out.line(out.say(f"{len(answering)} 个应答。", f"{number_of(len(answering), 'answer')}."))
    if ignores_units:
        out.pair(
            "问过的每个站号都以同样的内容应答：很可能是一台不看站号的设备，只需配置一次。",
            "Every unit asked answered in the same way: probably one device that ignores the "
            "unit number;"
            " configure it once.",
        )


def nobody(where: str) -> tuple[str, str]:
    """What to look at when nobody answered, in Chinese and in English."""
    return (
        f"{where} 无站号应答：请核对接线（A、B 是否对调）、波特率和校验（--baud auto）、"
        "站号范围（--units），"
        "以及设备是否已启用 Modbus。",
        f"No unit answers at {where}: check the wiring (A and B swapped?), baud rate and parity "
        "(--baud auto), the"
        " range of --units, and that Modbus is enabled in the device.",
    )


def _show_one(out: SentencePrinter, one: Scanned, compared: bool) -> None:
    answer = one.answer
    facts = "  ".join(f"{name} {printable(text)}" for name, text in answer.facts.items())
    out.line(f"{answer.where}  {facts}".rstrip(), style="bold")
    for offer in answer.offers:
        out.line(offer, indent=4)
    if answer.zh:
        out.pair(answer.zh, answer.en, indent=4, hang=0)
    for machine in one.machines:
        more = command(*answer.look, "--yaml", "machine.yaml")
        out.line(
            f"{out.say('机床', 'machine')} {printable(machine.name)} ({machine.standard}) → {more}",
            indent=4,
        )
    if not compared or not answer.readable or not answer.device:
        return
    matches = one.matches
    look = command(*answer.look)
    if matches:
        _show_match(out, matches)
    elif not one.machines:
        out.pair(
            f"没有相符的设备模板；可用 {look}",
            f"no profile fits; look with {look}",
            indent=4,
            hang=0,
        )


def _show_match(out: SentencePrinter, matches: Sequence[ProfileEvidence]) -> None:
    best = matches[0]
    out.line(f"→ profile: {best.profile}  {best.score:.0%}", indent=4, style="green")
    for title in dict.fromkeys(best.title):
        out.line(title, indent=6, style="green")
    values = ", ".join(printable(text) for text in best.supported[:_NAMED])
    if best.tags:
        out.pair(
            f"{best.tags} 个变量：{len(best.supported)} 个合理，{best.zeros} 个为 0，"
            f"{best.refused} 个不存在。",
            f"{best.tags} tags: {len(best.supported)} plausible, {best.zeros} zero, "
            f"{best.refused} not there.",
            indent=6,
            hang=0,
        )
        out.line(values, indent=6)
    if best.identification:
        out.line(
            f"{out.say('设备标识', 'identification')}: {printable(best.identification)}", indent=6
        )
    others = ", ".join(f"{one.profile} {one.score:.0%}" for one in matches[1 : 1 + _NAMED])
    if others and is_clearly_best(matches):
        out.line(f"{out.say('也相符', 'also fits')}: {others}", indent=6, style="dim")
    elif others:
        out.pair(
            f"与这些区分不开，请按铭牌选：{others}",
            f"not to be told from these, choose by the name plate: {others}",
            indent=6,
            hang=0,
            style="yellow",
        )
