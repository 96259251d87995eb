"""What `scan` prints for people: everybody who answered, what he is, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from edge_agent.app.values.text import printable
from edge_agent.commissioning.evidence import Evidence, told_apart
from edge_agent.commissioning.scan import Scanned
from edge_agent.words import command, number_of

_NAMED: Final = 3
"""Values and profiles named one by one."""


def show(
    screen: Console, found: Sequence[Scanned], *, compared: bool, ignores_units: bool, absent: Sequence[Scanned] = ()
) -> None:
    """Print it. `absent`: those among them that are probably nobody."""
    found = [one for one in found if one not in absent]
    answering = [one for one in found if one.answer.device]
    for one in found:
        if ignores_units and one in answering[1:]:
            continue
        for line in _lines(one, compared):
            screen.print(line, soft_wrap=True)
    if ignores_units:
        others = f"{answering[1].answer.where} … {answering[-1].answer.where.rpartition(' ')[2]}"
        screen.print(Text(f"{others}  同上 the same", style="bold"), soft_wrap=True)
    if absent:
        said = absent[0].answer.said
        screen.print(
            Text(
                f"另有 {len(absent)} 个站号都只以同样的异常应答（{said}）：很可能并没有这些设备，未列出。\n"
                f"    {number_of(len(absent), 'further unit')} refused alike ({said}): probably there are none, and"
                " they are not listed."
            ),
            soft_wrap=True,
        )
    screen.print(Text(f"{len(answering)} 个应答。 {number_of(len(answering), 'answer')}."), soft_wrap=True)
    if ignores_units:
        screen.print(
            Text(
                "问过的每个站号都以同样的内容应答：很可能是一台不看站号的设备，只需配置一次。\n"
                "    Every unit asked answered in the same way: probably one device that ignores the unit number;"
                " configure it once."
            ),
            soft_wrap=True,
        )


def nobody(where: str) -> str:
    """What to look at when nobody answered."""
    return (
        f"{where} 无站号应答：请核对接线（A、B 是否对调）、波特率和校验（--baud auto）、站号范围（--units），"
        "以及设备是否已启用 Modbus。\n"
        f"    No unit answers at {where}: check the wiring (A and B swapped?), baud rate and parity (--baud auto), the"
        " range of --units, and that Modbus is enabled in the device."
    )


def _lines(one: Scanned, compared: bool) -> Iterator[Text]:
    answer = one.answer
    facts = "  ".join(f"{name} {printable(text)}" for name, text in answer.facts.items())
    yield Text(f"{answer.where}  {facts}".rstrip(), style="bold")
    for offer in answer.offers:
        yield Text(f"    {offer}")
    if answer.zh:
        yield Text(f"    {answer.zh}\n    {answer.en}")
    for machine in one.machines:
        more = command(*answer.look, "--yaml", "machine.yaml")
        yield Text(f"    机床 machine {printable(machine.name)} ({machine.standard}) → {more}")
    if not compared or not answer.readable or not answer.device:
        return
    matches = one.matches
    look = command(*answer.look)
    if not matches:
        if not one.machines:
            yield Text(f"    没有相符的设备模板；可用 {look}\n    no profile fits; look with {look}")
        return
    yield from _match(matches)


def _match(matches: Sequence[Evidence]) -> Iterator[Text]:
    best = matches[0]
    yield Text(f"    → profile: {best.profile}  {best.score:.0%}", style="green")
    for title in dict.fromkeys(best.title):
        yield Text(f"      {title}", style="green")
    values = ", ".join(printable(text) for text in best.supported[:_NAMED])
    if best.tags:
        yield Text(
            f"      {best.tags} 个变量：{len(best.supported)} 个合理，{best.zeros} 个为 0，{best.refused} 个不存在。\n"
            f"      {best.tags} tags: {len(best.supported)} plausible, {best.zeros} zero, {best.refused} not there."
            f"\n      {values}".rstrip()
        )
    if best.identification:
        yield Text(f"      设备标识 identification: {printable(best.identification)}")
    others = ", ".join(f"{one.profile} {one.score:.0%}" for one in matches[1 : 1 + _NAMED])
    if others and told_apart(matches):
        yield Text(f"      也相符 also fits: {others}", style="dim")
    elif others:
        yield Text(
            f"      与这些区分不开，请按铭牌选：{others}\n"
            f"      not to be told from these, choose by the name plate: {others}",
            style="yellow",
        )
