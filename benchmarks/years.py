"""`./run bench marks|health|status`: what a store service costs after years, and with how many
devices.

`marks`: CPU of a commit with so many streams known; `health`: the live rates of so many devices
over 30 days, and bytes of health; `status`: CPU of one `status` and one `/metrics` with so many
devices and a day. CPU seconds of this process.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.app.status import missing, overview
from edge_agent.app.status.recent_health import RecentHealth
from edge_agent.config import load
from edge_agent.control.prometheus import serve_metrics
from edge_agent.production.live_rates import LiveRates
from edge_agent.production.site_devices import SiteDevices
from edge_agent.stores import Rows, StreamMark, WriteBatch
from edge_agent.stores.columns import FLOAT, Chunk
from edge_agent.stores.duckdb.health import HourContent
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.duckdb.write import append
from edge_agent.stores.minutes import MinuteRows
from edge_agent.stores.rollups import RAW_DAYS, SUMMED

S = 1_000_000_000
HOUR = 3600 * S
DAY = 24 * HOUR
NOW = 1_763_899_200 * S + 20 * 60 * S
ROW_S = 5
MOVED = """
insert into health_hours select * replace (? as t, first_t + ? as first_t, last_t + ? as last_t,
    last_good_t + ? as last_good_t) from health_hours where t = ?"""
CALENDAR = Path(__file__).parents[1] / "configs" / "demo-calendar.yaml"


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def marks(streams: int, commits: int = 60, alive: int = 200) -> None:
    """Commits of `alive` streams each, beside `streams` that are over; median and mean CPU of
    one."""
    with tempfile.TemporaryDirectory() as folder:
        store = DuckDbStore(Path(folder) / "s.duckdb")
        over = [f"ipc-{place % 500:03}/0/{place:08x}" for place in range(streams)]
        columns = {
            "stream": over,
            "first": [1] * streams,
            "last": [9000] * streams,
            "values": [90_000] * streams,
        }
        append(store._connection.cursor(), "marks", columns)
        store.close()
        store = DuckDbStore(Path(folder) / "s.duckdb")
        sid = store.catalogue.ids("m1", ("x",))
        kind = np.full(1, FLOAT, np.uint8)
        spent = []
        for commit in range(commits):
            chunks = [Chunk(sid, NOW + commit, np.ones(1), kind) for _ in range(alive)]
            taken = [StreamMark(f"live-{place:03}/0/1", commit + 1, 1) for place in range(alive)]
            batch = WriteBatch(Rows.of(chunks), NOW + commit * S, marks=taken)
            spent.append(1000 * cpu(lambda batch=batch: store.write(batch)))
        print(
            f"| {streams:,} | {np.median(spent):.1f} | {np.mean(spent):.1f} | {max(spent):.1f} |",
            flush=True,
        )
        store.close()


def rows(devices: int, start: int, end: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Health rows of an hour at a time, as columns: healthy devices, read on a grid with 1 ms of
    jitter."""
    random = np.random.default_rng(seed)
    offset = random.integers(0, S, devices)
    evidence = None
    names = np.array([f"m-{place:04}" for place in range(devices)], object)
    per_hour = 3600 // ROW_S
    for hour in range(start, end, HOUR):
        # One tick writes the rows of all devices; each was last read a little before.
        tick = (
            hour + (1 + np.arange(per_hour)) * ROW_S * S + random.integers(0, 3_000_000, per_hour)
        )
        tick[-1] = min(int(tick[-1]), hour + HOUR)
        tick = tick[tick <= end]
        period = np.round(np.diff(tick, prepend=tick[0] - ROW_S * S) / S, 3)
        t = np.repeat(tick, devices)
        jitter = random.normal(0, 1e6, (len(tick), devices)).astype(np.int64)
        read = hour + ((1 + np.arange(len(tick))) * ROW_S * S)[:, None] - offset + jitter
        covered = np.diff(
            read, axis=0, prepend=read[:1] - ROW_S * S if evidence is None else evidence
        )
        evidence = read[-1:]
        yield {
            "agent": np.full(len(t), "ipc-01", object), "device": np.tile(names, len(tick)), "t": t,
            "period_s": np.repeat(period, devices), "scheduled_s": np.repeat(period, devices),
            "covered_s": np.round(covered.ravel() / S, 3),
            "due": np.full(len(t), 5), "done": np.full(len(t), 5), "good": np.full(len(t), 100),
            "bad": np.zeros(len(t), np.int64), "values": np.full(len(t), 100),
            "latency_ms": np.round(random.gamma(4, 1, len(t)), 3),
            "latency_max_ms": np.round(random.gamma(8, 1, len(t)), 3),
            "overruns": np.zeros(len(t), np.int64), "state": np.full(len(t), "online", object),
            "reason": np.full(len(t), "", object), "last_good_t": read.ravel(), "stored": t + S,
        }  # fmt: skip


def opened(folder: Path, devices: int) -> DuckDbStore:
    """A store that has heard of so many devices."""
    store = DuckDbStore(folder / "s.duckdb", agent="ipc-01")
    for place in range(devices):
        document = {
            "device": f"m-{place:04}",
            "agent": "ipc-01",
            "staleness": 5.0,
            "name": f"machine {place}",
        }
        store.catalogue.born(
            {"v": 1, **document, "connector": "modbus", "tags": {f"x{n}": {} for n in range(20)}}
        )
    store.write(WriteBatch(Rows.empty(), NOW))
    store._looked_for_health = True
    return store


def put(store: DuckDbStore, devices: int, start: int, end: int, *, rolled: bool = True) -> None:
    """Health rows from `start` on, rolled up hour by hour; what is older than it may be goes."""
    for part in rows(devices, start, end):
        append(store._connection.cursor(), "health", part)
        if rolled:
            store._open_health.found({-(-int(part["t"][-1]) // HOUR) * HOUR})
            store.keep_hours(store.read_open_hours(NOW + DAY, 99))
            store.retain(int(part["t"][-1]))
    store._connection.execute("checkpoint")


def repeated(store: DuckDbStore, days: int) -> None:
    """One hour that is kept, as every hour of so many days before NOW's."""
    (kept,) = store._health.kept
    hours = [NOW // HOUR * HOUR - place * HOUR for place in range(days * 24)]
    query = store._connection.cursor().execute
    for hour in hours:
        if hour != kept:
            query(MOVED, [hour, *[hour - kept] * 3, kept])
            query(
                "insert into health_minutes select ?, minutes from health_minutes where t = ?",
                [hour, kept],
            )
            query("insert into health_kept values (?)", [hour])
    store._health.kept.update(hours)


def say(store: DuckDbStore, devices: int, t: int, value: float) -> None:
    """One reading of each of the 20 tags of every device."""
    sid = [
        store.catalogue.ids(f"m-{place:04}", tuple(f"x{n}" for n in range(20)))
        for place in range(devices)
    ]
    kind = np.full(20, FLOAT, np.uint8)
    store.write(WriteBatch(Rows.of([Chunk(each, t, np.full(20, value), kind) for each in sid]), t))


def site(folder: Path, devices: int) -> Any:
    """A plant of so many devices, each a machine of its register."""
    register = folder / "equipment.csv"
    columns = (
        "equipment_id,name_zh,category,in_scope,status,workshop,line,process_id,control_class,digital,interface,"
        "networked_declared,gateway_device,is_robot,schedule_id"
    )
    lines = [
        f"E{place:04},机"
        f"床{place},machining,Y,in_use,W,A,P10,cnc,Y,modbus_tcp,Y,m-{place:04},N,two-shift"
        for place in range(devices)
    ]
    register.write_text("\n".join([columns, *lines]) + "\n")
    config = folder / "plant.yaml"
    tags = "{" + ", ".join(f"x{n}: {{address: holding/{n}}}" for n in range(20)) + "}"
    config.write_text(
        f"agent: {{id: ipc-01, enterprise: e, site: s}}\nmqtt: {{url: 'mqtt://127.0.0.1:1'}}\n"
        f"store: {{path: {folder / 's.duckdb'}}}\nregister: {{equipment: {register}, calendar: "
        f"{CALENDAR}}}\n"
        f"devices:\n  - {{for: {{i: 0..{devices - 1}}}, id: 'm-{{i:04}}', connector: modbus,"
        f" url: 'tcp://127.0.0.1:1', tags: {tags}}}\n"
    )
    return load(config)


def health(devices: int, days: int) -> None:
    """The live rates over 30 days: kept by hour, the running hour and the hour a day ago by their
    rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = opened(folder, devices)
        a_day_ago = (NOW - DAY) // HOUR * HOUR
        put(store, devices, a_day_ago, a_day_ago + HOUR)
        repeated(store, days)
        put(store, devices, NOW // HOUR * HOUR, NOW, rolled=False)
        say(store, devices, NOW - 60 * S, 1.0)
        say(store, devices, NOW - S, 2.0)
        rates = LiveRates(site(folder, devices))
        rates.compute(store, NOW)
        spent = min(cpu(lambda: rates.compute(store, NOW)) for _ in range(3))
        reading = min(cpu(lambda: store.live_facts(NOW - 30 * DAY, NOW)) for _ in range(3))
        print(
            f"live rates of {devices} devices, {days} days: {spent:.2f} s CPU (reading 30 days "
            f"{reading:.2f})"
        )
        hour = cpu(lambda: store._health.read_hour(store._connection.cursor(), a_day_ago + HOUR))
        print(f"rolling one hour up: {hour:.2f} s CPU")
        store.close()


def later(content: HourContent, shift: int, random: np.random.Generator) -> HourContent:
    """Another hour like this one: other jitter, other times."""
    minutes = content.minutes
    sums = minutes.sums.copy()
    jitter = np.diff(np.round(random.normal(0, 1, len(sums) + 1)).astype(np.int64))
    sums[:, SUMMED.index("covered_ms")] = minutes.sums[:, SUMMED.index("scheduled_ms")] + jitter
    first, last, good = (1 + len(SUMMED) + place for place in range(3))
    hours = []
    for row in content.hours:
        moved = list(row)
        for place in (first, last, good):
            moved[place] = row[place] + shift + int(random.integers(0, 3_000_000))
        moved[-1] = round(float(random.gamma(4, 1)), 3)
        hours.append(tuple(moved))
    spans = [(place, a + shift, b + shift) for place, a, b in content.spans]
    moved_minutes = MinuteRows(minutes.did, minutes.end + shift, sums, minutes.last_good + shift)
    return HourContent(content.devices, hours, moved_minutes, spans)


def size(devices: int, days: int) -> None:
    """Bytes of health after so many days, and what that makes of 100 devices and 400 days; rows of
    one day apart."""
    random = np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as name:
        store = opened(Path(name), devices)
        empty = store.size()
        hour = NOW // HOUR * HOUR
        put(store, devices, hour - 12 * HOUR, hour, rolled=False)
        rows_a_day = 2 * (store.size() - empty) / devices
        like = store._health.read_hour(store._connection.cursor(), hour)
        store._connection.execute("delete from health")
        store._connection.execute("checkpoint")
        before = store.size()
        for day in range(days, 0, -1):
            with store._transaction():
                for place in range(24):
                    end = hour - day * DAY + (place + 1) * HOUR
                    store._health.keep(store._connection, end, later(like, end - hour, random))
            with store._transaction():
                store._health.drop_rows(store._connection, hour - (day - 1) * DAY)
            store._health.raw_from = hour - (day - 1) * DAY
        store._connection.execute("checkpoint")
        a_day = (store.size() - before) / days / devices
        print(
            f"rolled up: {a_day:,.0f} B a device and day; rows of a day: {rows_a_day:,.0f} B a "
            "device"
        )
        print(f"100 devices, 400 days: {400 * a_day * 100 / 1e9:.3f} GB + {RAW_DAYS:g} days of rows"
              f" {RAW_DAYS * rows_a_day * 100 / 1e9:.3f} GB")  # fmt: skip
        store.close()


def status(devices: int) -> None:
    """One `status` and one `/metrics` of a running service, and reading the day at its start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = opened(folder, devices)
        before = NOW // HOUR * HOUR - HOUR
        put(store, devices, before, before + HOUR)
        repeated(store, 2)
        store._health.drop_rows(store._connection, before + HOUR)
        put(store, devices, before + HOUR, NOW, rolled=False)
        say(store, devices, NOW, 1.0)
        plant, recent = site(folder, devices), RecentHealth(15 * S)

        def asked(members: SiteDevices | None = None) -> dict[str, Any]:
            members, readings = members or SiteDevices.of(plant, store), store.readings(NOW)
            return {
                "agents": overview.agents(store, members, {}, readings),
                "devices": overview.devices(store, members, NOW, recent.now(NOW), readings),
            }

        def scraped() -> str:
            members = SiteDevices.of(plant, store)
            document = asked(members) | {
                "missing": missing.of_plant(store, members, NOW - DAY, NOW, ROW_S, recent=recent),
                "ne107": {"number": 0, "notices": []},
                "counters": {},
                "broker_connected": True,
                "lag_s": 0.0,
                "process": dict.fromkeys(
                    ("resident_bytes", "settled_bytes", "descriptors", "threads", "tasks"), 0
                ),
            }
            return serve_metrics(document)

        start = cpu(lambda: list(recent.read_past(store, NOW)))
        common = {
            "t": NOW + S,
            "covered_s": 5.0,
            "scheduled_s": 5.0,
            "values": 100,
            "good": 100,
            "bad": 0,
            "state": "online",
            "reason": "",
            "last_good_t": NOW,
        }
        newest = [{"device": f"m-{place:04}", **common} for place in range(devices)]
        fed = cpu(lambda: recent.take(newest, NOW + S))
        asking, scraping = (min(cpu(work) for _ in range(3)) for work in (asked, scraped))
        print(f"{devices} devices, a day: status {asking:.3f} s, /metrics {scraping:.3f} s CPU")
        print(
            f"the day read once at the start: {start:.1f} s; a row taken in: "
            f"{1e6 * fed / devices:.1f} us"
        )
        store.close()


def main(arguments: list[str]) -> None:
    """One of the three."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("what", choices=["marks", "health", "status"])
    parser.add_argument("--devices", type=int)
    parser.add_argument("--days", type=int, default=30)
    args = parser.parse_args(arguments)
    print(f"load {os.getloadavg()[0]:.1f}; CPU seconds of this process, all threads")
    if args.what == "marks":
        print("| streams known | median ms | mean ms | max ms |\n|---|---|---|---|")
        for streams in (200, 6_000, 20_000, 73_000, 100_000):
            marks(streams)
    elif args.what == "health":
        health(args.devices or 1000, args.days)
        size(args.devices or 100, args.days)
    else:
        status(args.devices or 2000)
