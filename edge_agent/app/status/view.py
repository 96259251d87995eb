"""What `edge-agent status` prints for people: devices, findings with their sentences, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console

from edge_agent.app.status.devices_table import devices_table
from edge_agent.app.status.outages import clock, outage_lines, tag_lines
from edge_agent.health.ne107 import NAMES, Health
from edge_agent.words import command

#: Lines of one list; the rest is counted, and `--json` has all of it.
MOST_LINES: Final = 20

Document = Mapping[str, Any]


def show(document: Document, timezone: str) -> None:
    """Print the three documents `agent`, `serve` and `missing`; times in the site's zone."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    store, agent = document["serve"], document["agent"]
    if store is not None and "ne107" not in store:
        _problem(console, "入库服务没有应答 / the store service does not answer:", store)
    elif store is not None:
        console.print(devices_table(store["devices"]))
        _notices(console, "入库服务 store service", store["ne107"])
    else:
        console.print(f"入库服务未运行 / the store service does not run: {command('serve', 'CONFIG')}")
    if agent is not None and "ne107" not in agent:
        _problem(console, "采集代理没有应答 / the agent does not answer:", agent)
    elif agent is not None:
        _agent(console, agent, timezone)
    else:
        console.print(f"采集代理未运行 / the agent does not run: {command('run', 'CONFIG')}")
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
    for worker in agent.get("workers", ()):
        _worker(console, worker)
    for row in agent["devices"]:
        if row["ne107"]["number"]:
            zh, en = NAMES[Health(row["ne107"]["number"])]
            console.print(f"  {row['id']}: {zh} {en}")
            for notice in row["ne107"]["notices"]:
                _sentence(console, notice["reason"], notice["zh"], notice["en"])
            _tags(console, row)


_WORKER_ZH: Final = {"up": "运行", "starting": "启动中", "down": "重启中"}


def _worker(console: Console, row: Document) -> None:
    again = f", 重启 restarted {row['restarts']} ×" if row["restarts"] else ""
    console.print(
        f"  工作进程 worker {row['worker']}: {_WORKER_ZH[row['state']]} {row['state']},"
        f" {row['devices']} 台设备 devices, 待送达 waiting {row['pending_values']:,}{again}"
    )


def _tags(console: Console, row: Document) -> None:
    if row["state"] == "degraded":
        named = ", ".join(f"{tag['tag']} {tag['status']}" for tag in row["tags"][:5])
        more = row["tags_not_good"] - min(5, len(row["tags"]))
        console.print(f"      变量 tags: {named}" + (f" … +{more}" if more > 0 else ""))


def _waiting(console: Console, outbox: Document, timezone: str) -> None:
    if outbox["pending_values"]:
        oldest = "" if outbox["oldest_t"] is None else f", {clock(outbox['oldest_t'], timezone)} 起 from then on"
        console.print(f"  待送达（未丢失）waiting, not lost: {outbox['pending_values']:,} 个值 values{oldest}")


def _missing(console: Console, missing: Document, timezone: str) -> None:
    """From when to when, and why."""
    if "problem" in missing:
        _problem(console, "无法查询缺了什么 / what is missing cannot be told:", missing)
        return
    span = f"{clock(missing['from'], timezone)} – {clock(missing['to'], timezone)}"
    console.print(f"\n缺了什么 / what is missing, {span}")
    _list(console, "  没有中断 / no outage", outage_lines(missing["outages"], timezone))
    absent, before = missing.get("absent", ()), missing.get("before", ())
    unknown = absent or before
    nothing = "  没有已记录的丢失 / no loss on record" if unknown else "  没有丢失的数据 / no data lost"
    _list(console, nothing, [_gap(row, timezone) for row in missing["gaps"]])
    _absent(console, absent)
    _before(console, before)
    if missing["tags"]:
        _list(console, "", tag_lines(missing["tags"], timezone))
    low = {name: row for name, row in missing["covered"].items() if row["covered_s"] < 0.99 * row["window_s"]}
    for name, row in low.items():
        share = 100 * row["covered_s"] / row["window_s"]
        console.print(f"  覆盖 covered {name}: {share:.1f} % ({row['covered_s']:.0f} s / {row['window_s']:.0f} s)")


def _list(console: Console, nothing: str, lines: Sequence[str]) -> None:
    for line in lines[-MOST_LINES:] or [nothing]:
        console.print(line)
    if len(lines) > MOST_LINES:
        console.print(f"  … 另有 {len(lines) - MOST_LINES} 条，见 --json / more of them in --json")


def _gap(row: Document, timezone: str) -> str:
    span = f"{clock(row['from_t'], timezone)} – {clock(row['to_t'], timezone)}"
    values = "数量不明 unknown number of" if row["values"] is None else f"{row['values']:,}"
    return (
        f"  丢失 lost {row['agent']}: {span}, {row['entries']:,} 条消息 messages, {values} 个值 values"
        f" ({row['stream']} {row['from_seq']}–{row['to_seq']}) [{row['reason'] or '?'}]\n"
        f"      {row['zh']}\n      {row['en']}"
    )


def _absent(console: Console, rows: Sequence[Document]) -> None:
    """Messages the store never got; the sentence is the same for all of them."""
    if rows:
        _list(console, "", [_hole(row) for row in rows])
        console.print(f"      {rows[0]['zh']}\n      {rows[0]['en']}")


def _before(console: Console, rows: Sequence[Document]) -> None:
    """What is no loss of this store; the sentence is the same for all of it."""
    if rows:
        lines = [
            f"  本库之前 before this store's time {row['stream']} {row['from_seq']}–{row['to_seq']}:"
            f" {row['entries']:,} 条消息 messages"
            for row in rows
        ]
        _list(console, "", lines)
        console.print(f"      {rows[0]['zh']}\n      {rows[0]['en']}")


def _hole(row: Document) -> str:
    return (
        f"  未到达 never arrived {row['stream']} {row['from_seq']}–{row['to_seq']}: {row['entries']:,} 条消息 messages"
    )
