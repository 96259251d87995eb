"""What `edge-agent status` prints for people: the first screen, and below it, where all is wanted,
every detail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import time_ns
from typing import Any, Final

from rich.console import Console

from edge_agent.app.status.agent_devices import agent_device_rows
from edge_agent.app.status.first_screen import FirstScreen
from edge_agent.app.status.outages import clock, outage_lines, tag_lines
from edge_agent.app.status.rates_view import no_rates
from edge_agent.app.status.status_faults import not_well
from edge_agent.app.status.terminal import Terminal
from edge_agent.config.models import Site
from edge_agent.health.ne107 import NAMES, Health
from edge_agent.words import command, number_of, with_file

#: Lines of one list; the rest is counted, and `--json` has all of it.
MOST_LINES: Final = 20

#: Devices or tags named in one line.
_NAMED: Final = 5

#: What waits in the outbox no longer than this is on its way, and no news.
_ON_ITS_WAY_NS: Final = 30_000_000_000

Document = Mapping[str, Any]


def show(document: Document, site: Site, config: Path, *, whole: bool = False) -> None:
    """Print the documents `agent`, `serve`, `metrics` and `missing`; times in the site's zone.

    On a terminal what matters, in as many lines as it has; everything with `whole`, and where there
    is no terminal.
    """
    document = _with_file(document, config)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    terminal = Terminal.of(console, whole=whole)
    for line in _first_screen(document, site, config).lines(terminal):
        console.print(line)
    if terminal.whole:
        console.print()
        _details(console, document, site.agent.timezone, config)


def _with_file(found: Any, config: Path) -> Any:
    """The sentences of a document with this file in their commands: the other processes do not know
    how it is called here."""
    if isinstance(found, str):
        return with_file(found, config) if " " in found else found
    if isinstance(found, Mapping):
        return {key: _with_file(value, config) for key, value in found.items()}
    return [_with_file(value, config) for value in found] if isinstance(found, list) else found


def _first_screen(document: Document, site: Site, config: Path) -> FirstScreen:
    store = document["serve"] or {}
    missing = document["missing"] or {}
    timezone = site.agent.timezone
    now = store.get("t") or time_ns()
    devices = store.get("devices")
    notes = list(_notes(document, timezone, config))
    if devices is None:
        devices = agent_device_rows(document["agent"] or {}, site.devices, now)
        if devices:
            notes = [_FROM_THE_AGENT, *notes]
    return FirstScreen(
        title=command("status"),
        now=now,
        timezone=timezone,
        problems=not_well(document, config, {device.id for device in site.devices}),
        metrics=document.get("metrics") or (),
        devices=devices,
        agents=store.get("agents", ()),
        notes=notes,
        nothing_missing=missing.get("gaps") == []
        and not any(missing.get(part) for part in _MISSING),
        no_rates=no_rates(
            register=site.register_.equipment is not None, serving="devices" in store
        ),
        more=command("status", config, "--wide"),
    )


#: Parts of what is missing, none of which has anything where all is well.
_MISSING: Final = ("absent", "outages", "waiting")
_FROM_THE_AGENT: Final = (
    "设备表来自采集代理；机器状态、速率和指标要有入库服务",
    "the devices as the agent says; machine states, rates and figures need the store service",
)


def _notes(document: Document, timezone: str, config: Path) -> Iterator[tuple[str, str]]:
    """Quiet lines: what waits, what outages there were, and where all the rest is."""
    agent = document["agent"] or {}
    missing = document["missing"] or {}
    now = (document["serve"] or {}).get("t") or time_ns()
    outbox = agent.get("outbox") or document.get("waiting") or {}
    if outbox.get("pending_values") and now - (outbox.get("oldest_t") or 0) > _ON_ITS_WAY_NS:
        values = outbox["pending_values"]
        yield f"待送达（未丢失）{values:,} 个值", f"waiting, not lost: {number_of(values, 'value')}"
    outages = missing.get("outages", ())
    if outages:
        devices = len({row["device"] for row in outages})
        span = f"{clock(missing['from'], timezone)} – {clock(missing['to'], timezone)}"
        yield (
            f"{span}：{devices} 台设备共中断 {len(outages)} 次",
            f"{span}: {number_of(len(outages), 'outage')} of {number_of(devices, 'device')}",
        )
    absent = _absent_count((document["agent"] or {}).get("devices", ()))
    if absent:
        yield f"设备没有的可选变量 {absent} 个", f"{number_of(absent, 'optional tag')} absent"
    look = command("status", config, "--wide")
    yield f"全部细节：{look}", f"every detail: {look}"


def _details(console: Console, document: Document, timezone: str, config: Path) -> None:
    """What each process says of itself, and what is missing, in both languages."""
    store = document["serve"]
    agent = document["agent"]
    if store is not None and "ne107" not in store:
        _problem(console, "入库服务没有应答 / the store service does not answer:", store)
    elif store is not None:
        _notices(console, "入库服务 store service", store["ne107"])
        for claim in store.get("was_aside", ()):
            _sentence(console, f"{claim['device']} was: {claim['was']}", claim["zh"], claim["en"])
    else:
        console.print(
            "入库服务未运行 / the store service does not run: " + command("serve", config)
        )
    if agent is not None and "ne107" not in agent:
        _problem(console, "采集代理没有应答 / the agent does not answer:", agent)
    elif agent is not None:
        _agent(console, agent, timezone)
    else:
        console.print("采集代理未运行 / the agent does not run: " + command("run", config))
        left = document.get("waiting")
        if left is not None and "problem" in left:
            _problem(console, "无法得知待送达的数量 / what waits cannot be told:", left)
        elif left is not None:
            _waiting(console, left, timezone)
    _missing(console, document["missing"], timezone)


def _problem(console: Console, heading: str, part: Document) -> None:
    console.print(heading)
    for line in part["problem"]:
        console.print(f"  {line}")


def _notices(console: Console, who: str, judgement: Document) -> None:
    zh, en = NAMES[Health(judgement["number"])]
    console.print(f"{who}: {zh} {en}")
    for notice in judgement["notices"]:
        _sentence(console, notice["reason"], notice["zh"], notice["en"])


def _sentence(console: Console, reason: str, zh: str, en: str) -> None:
    console.print(f"  [{reason}] {zh}\n      {en}")


def _agent(console: Console, agent: Document, timezone: str) -> None:
    _notices(console, f"采集代理 agent {agent['agent']}", agent["ne107"])
    counters = "  ".join(f"{name} {count:,}" for name, count in agent["counters"].items())
    console.print(f"  自启动以来的值 values since its start: {counters}")
    _waiting(console, agent["outbox"], timezone)
    _absent_tags(console, agent["devices"])
    for row in agent["devices"]:
        if row["ne107"]["number"]:
            zh, en = NAMES[Health(row["ne107"]["number"])]
            console.print(f"  {row['id']}: {zh} {en}")
            for notice in row["ne107"]["notices"]:
                _sentence(console, notice["reason"], notice["zh"], notice["en"])
            _tags(console, row)


def _tags(console: Console, row: Document) -> None:
    """A few tags that are not good, each with its reason where that is not the device's own."""
    if row["state"] != "degraded":
        return
    named = ", ".join(f"{tag['tag']} {tag['status']}" for tag in row["tags"][:_NAMED])
    more = row["tags_not_good"] - min(_NAMED, len(row["tags"]))
    console.print(f"      变量 tags: {named}" + (f" … +{more}" if more > 0 else ""))
    said = {notice["en"] for notice in row["ne107"]["notices"]}
    for tag in row["tags"][:_NAMED]:
        if tag["en"] not in said:
            said.add(tag["en"])
            console.print(f"      {tag['tag']}: {tag['zh']}\n          {tag['en']}")


def _absent_tags(console: Console, devices: Sequence[Document]) -> None:
    """How many optional tags the devices do not have, a few devices by name."""
    rows = [row for row in devices if row.get("tags_absent")]
    if rows:
        named = "; ".join(
            f"{row['id']} {row['tags_absent']} ({', '.join(row['absent'][:_NAMED])})"
            for row in rows[:_NAMED]
        )
        more = f" … +{len(rows) - _NAMED}" if len(rows) > _NAMED else ""
        console.print(
            f"  设备没有的可选变量 optional tags absent: {_absent_count(devices)}: {named}{more}"
        )


def _absent_count(devices: Sequence[Document]) -> int:
    count: int = sum(row.get("tags_absent", 0) for row in devices)
    return count


def _waiting(console: Console, outbox: Document, timezone: str) -> None:
    if outbox["pending_values"]:
        oldest = (
            ""
            if outbox["oldest_t"] is None
            else f", {clock(outbox['oldest_t'], timezone)} 起 from then on"
        )
        values = f"{outbox['pending_values']:,} 个值 {_noun(outbox['pending_values'], 'value')}"
        console.print(f"  待送达（未丢失）waiting, not lost: {values}{oldest}")


def _missing(console: Console, missing: Document, timezone: str) -> None:
    """From when to when, and why."""
    if "problem" in missing:
        _problem(console, "无法查询缺了什么 / what is missing cannot be told:", missing)
        return
    span = f"{clock(missing['from'], timezone)} – {clock(missing['to'], timezone)}"
    console.print(f"\n缺了什么 / what is missing, {span}")
    _list(console, "  没有中断 / no outage", outage_lines(missing["outages"], timezone))
    absent, before, waiting = (missing.get(part, ()) for part in ("absent", "before", "waiting"))
    unknown = absent or before or waiting
    nothing = (
        "  没有已记录的丢失 / no loss on record" if unknown else "  没有丢失的数据 / no data lost"
    )
    _list(console, nothing, [_gap(row, timezone) for row in missing["gaps"]])
    _absent(console, absent)
    _elsewhere(console, "本库之前 before this store's time", before)
    _elsewhere(console, "还在采集代理 still at the agent", waiting)
    if missing["tags"]:
        _list(console, "", tag_lines(missing["tags"], timezone))
    low = {
        name: row
        for name, row in missing["covered"].items()
        if row["covered_s"] < 0.99 * row["window_s"]
    }
    for name, row in low.items():
        share = 100 * row["covered_s"] / row["window_s"]
        console.print(
            f"  覆盖 covered {name}: {share:.1f} % ({row['covered_s']:.0f} s / "
            f"{row['window_s']:.0f} s)"
        )


def _list(console: Console, nothing: str, lines: Sequence[str]) -> None:
    for line in lines[-MOST_LINES:] or [nothing]:
        console.print(line)
    if len(lines) > MOST_LINES:
        console.print(f"  … 另有 {len(lines) - MOST_LINES} 条，见 --json / more of them in --json")


def _gap(row: Document, timezone: str) -> str:
    span = f"{clock(row['from_t'], timezone)} – {clock(row['to_t'], timezone)}"
    values = "数量不明的值 an unknown number of values"
    if row["values"] is not None:
        values = f"{row['values']:,} 个值 {_noun(row['values'], 'value')}"
    return (
        f"  丢失 lost {row['agent']}: {span}, {row['entries']:,} 条消息 "
        f"{_noun(row['entries'], 'message')}, {values}"
        f" ({row['stream']} {row['from_seq']}–{row['to_seq']}) [{row['reason'] or '?'}]\n"
        f"      {row['zh']}\n      {row['en']}"
    )


def _noun(count: int, one: str) -> str:
    """`value` after 1, `values` after any other number."""
    return number_of(count, one).partition(" ")[2]


def _absent(console: Console, rows: Sequence[Document]) -> None:
    """Messages the store never got; the sentence is the same for all of them."""
    if rows:
        _list(console, "", [_hole(row) for row in rows])
        console.print(f"      {rows[0]['zh']}\n      {rows[0]['en']}")


def _elsewhere(console: Console, where: str, rows: Sequence[Document]) -> None:
    """What this store does not have and has not lost; the sentence is the same for all of it."""
    if rows:
        _list(console, "", [_hole(row, where) for row in rows])
        console.print(f"      {rows[0]['zh']}\n      {rows[0]['en']}")


def _hole(row: Document, where: str = "未到达 never arrived") -> str:
    return (
        f"  {where} {row['stream']} {row['from_seq']}–{row['to_seq']}: {row['entries']:,} 条消息"
        f" {_noun(row['entries'], 'message')}"
    )
