"""`./run bench month [state|power|meter ...] [--days N] [--folder DIR]`: a month's figures from the
embedded store.

Forty machines read each second: the samples and the health rows are inserted by column with the
store's own writer, past hours are kept as `serve` keeps them, and then a month's figures are
computed in a process of their own, which reports its time and its memory. What the plant did is
known, so the figures are checked too.

`state`: state, mode and parts, with a counter of energy. `power`: a power that never repeats
itself, and the state told from it. `meter`: an energy counter so fine that it changes each second.
`counters`: the same with a part a second, and what `--report` (the monthly report, rendered) is
for. Making the data takes up to an hour and a few gigabytes; with `--folder` they are kept for the
next run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from edge_agent.app.reports.command import monthly, subject
from edge_agent.app.reports.validity import ReportSubject
from edge_agent.config.models import StoreSection
from edge_agent.production.signals import PlantSignals
from edge_agent.production.window_document import production
from edge_agent.stores import Rows, WriteBatch
from edge_agent.stores.columns import FLOAT, INT, NO_TIME
from edge_agent.stores.duckdb import write
from edge_agent.stores.duckdb.store import DuckDbStore

KINDS: Final = ("state", "power", "meter", "counters")
MACHINES: Final = 40
BOUND_S: Final = 10.0

_S: Final = 1_000_000_000
_HOUR: Final = 3600 * _S
_ROW_S: Final = 5
"""A health row speaks of so many seconds."""
#: The first moment of a month in the plant's zone.
START: Final = int(datetime(2026, 9, 30, 16, tzinfo=UTC).timestamp()) * _S
MONTH: Final = "2026-10"
_TAGS: Final = {
    "state": ("machine_state", "operation_mode", "parts_total", "energy_import"),
    "power": ("machine_state", "operation_mode", "power"),
    "meter": ("machine_state", "operation_mode", "energy_import"),
    "counters": ("machine_state", "operation_mode", "parts_total", "energy_import"),
}
_UNIT: Final = {"power": "kW", "energy_import": "kWh"}

Floats = npt.NDArray[np.float64]


class MonthOfMachines:
    """What forty machines do in each hour, the same in every run: spells of work, stops and now and
    then a failure."""

    def __init__(self, kind: str) -> None:
        self.tags = _TAGS[kind]
        self._fine, self._takt = kind in ("meter", "counters"), 1 if kind == "counters" else 60
        self._random = np.random.default_rng(42)
        self._parts, self._kwh = np.zeros(MACHINES), np.arange(MACHINES) * 1000.0
        self._next: list[tuple[int, float]] = [(0, 3.0)] * MACHINES
        self.used = np.zeros(MACHINES)
        """kWh of the power as it was read, each reading held until the next."""
        self.worked = np.zeros(MACHINES)
        """Seconds in Executing."""

    def hour(self) -> dict[str, Floats]:
        """Tag -> readings, one row a second and one column a machine."""
        state = np.stack([self._spells(machine) for machine in range(MACHINES)], axis=1)
        noise = self._random.random(state.shape)
        power = np.where(
            state == 3, 8 + 4 * noise, np.where(state == 2, 1 + 0.5 * noise, 0.2 + 0.1 * noise)
        )
        power = np.round(power, 3)
        kwh = self._kwh + np.cumsum(power, axis=0) / 3600
        parts = self._parts + np.cumsum(state == 3, axis=0) // self._takt
        self.used += power.sum(axis=0) / 3600
        self.worked += (state == 3).sum(axis=0)
        self._kwh, self._parts = kwh[-1], parts[-1]
        step = 1e-4 if self._fine else 1 / 32
        found = {
            "machine_state": state,
            "operation_mode": np.full(state.shape, 3.0),
            "parts_total": parts,
            "energy_import": np.floor(kwh / step) * step,
            "power": power,
        }
        return {tag: found[tag] for tag in self.tags}

    def _spells(self, machine: int) -> Floats:
        second, column = 0, np.empty(3600)
        while second < 3600:
            left, state = self._next[machine]
            if not left:
                state = 3.0 if state != 3.0 else float(self._random.choice([2.0, 2.0, 2.0, 1.0]))
                left = int(
                    self._random.integers(120, 600)
                    if state == 3.0
                    else self._random.integers(20, 120)
                )
            taken = min(left, 3600 - second)
            column[second : second + taken] = state
            second += taken
            self._next[machine] = (left - taken, state)
        return column


def configuration(folder: Path, kind: str) -> Path:
    """The site, its register and its calendar (every hour of the day is a shift)."""
    tags = ", ".join(
        f"{tag}: {{address: holding/{i}{f', unit: {_UNIT[tag]}' if tag in _UNIT else ''}}}"
        for i, tag in enumerate(_TAGS[kind])
    )
    devices = [
        f"  - {{id: {name(i)}, line: L{i // 10}, connector: modbus, url: "
        f"'tcp://127.0.0.1:{10_000 + i}', every: 1s, "
        f"tags: {{{tags}}}}}"
        for i in range(MACHINES)
    ]
    rows = [
        f"EQ-{i:02},{name(i)},machining,Y,in_use,L{i // 10},P1,cnc,Y,modbus_tcp,Y,"
        f"{name(i)},N,60,all"
        for i in range(MACHINES)
    ]
    head = (
        "equipment_id,name_zh,category,in_scope,status,line,process_id,control_class,digital,interface,"
        "networked_declared,gateway_device,is_robot,nominal_cycle_s,schedule_id"
    )
    shifts = ", ".join(
        f"{{name: s{n}, start: '{8 * n:02}:00', end: '{8 * (n + 1) % 24:02}:00'}}" for n in range(3)
    )
    files = {
        "equipment.csv": "\n".join([head, *rows]) + "\n",
        "processes.csv": "process_id,name_zh,is_key,industry_type,reviewer\nP1,车削,Y,discrete,x\n",
        "calendar.yaml": f"timezone: Asia/Shanghai\nschedules: {{all: {{shifts: [{shifts}]}}}}\n",
        "site.yaml": (
            "agent: {id: bench}\nmqtt: {url: 'mqtt://127.0.0.1:1'}\noutbox: {path: outbox}\n"
            "store: {kind: duckdb, path: store.duckdb, quarantine: quarantine}\n"
            "register: {equipment: equipment.csv, processes: processes.csv, calendar: "
            "calendar.yaml}\n"
            "devices:\n" + "\n".join(devices) + "\n"
        ),
    }
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    return folder / "site.yaml"


def name(machine: int) -> str:
    return f"m{machine:02}"


def insert(folder: Path, kind: str, days: int) -> None:
    """Make the data, by column; the truth goes beside it."""
    about, plant, began = (
        subject(configuration(folder, kind)),
        MonthOfMachines(kind),
        time.monotonic(),
    )
    with closing(open_duckdb(about)) as store:
        sids = {
            tag: np.array([store.catalogue.sid(name(i), tag) for i in range(MACHINES)], np.int32)
            for tag in plant.tags
        }
        for i in range(MACHINES):
            tags = {tag: {"type": "float", "unit": _UNIT.get(tag, "")} for tag in plant.tags}
            store.catalogue.born({"device": name(i), "staleness": 3.0, "tags": tags})
        for start in range(START, START + days * 24 * _HOUR, _HOUR):
            store.write(WriteBatch(_rows(plant.hour(), sids, start), start + _HOUR))
            _health(store, start)
    print(f"| {kind} | inserted in {time.monotonic() - began:.0f} s |", flush=True)
    truth = {"days": days, "kwh": plant.used.tolist(), "worked": plant.worked.tolist()}
    (folder / "truth.json").write_bytes(orjson.dumps(truth))


def keep(folder: Path) -> str:
    """Keep all hours as `serve` would, a few a round."""
    about = subject(folder / "site.yaml")
    days = orjson.loads((folder / "truth.json").read_bytes())["days"]
    began, cpu, kept = time.monotonic(), time.process_time(), 0
    with closing(open_duckdb(about)) as store:
        store.watch(*watched(about))
        while hours := store.compact(START + (days + 1) * 24 * _HOUR, 4):
            kept += hours
        store._checkpoint()
        size = store.size()
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    return (
        f"{kept} hours kept in {took:.0f} s ({1000 * cpu / max(kept, 1):.0f} ms of CPU each), "
        f"{size / 1e9:.2f} GB"
    )


def open_duckdb(about: ReportSubject) -> DuckDbStore:
    """The embedded store of a site."""
    config: StoreSection = about.site.store
    return DuckDbStore(config.path, days=100_000.0)


def watched(about: ReportSubject) -> tuple[Any, ...]:
    """What `serve` has the store keep."""
    links = PlantSignals(about.site, about.register)
    return links.steady, links.powers, links.counters


def _rows(readings: dict[str, Floats], sids: dict[str, npt.NDArray[np.int32]], start: int) -> Rows:
    """Second by second, machine by machine, as they would arrive."""
    seconds = len(next(iter(readings.values())))
    sid = np.tile(np.concatenate([sids[tag] for tag in readings]), seconds)
    t = start + np.arange(seconds, dtype=np.int64)[:, None] * _S + np.arange(MACHINES) * 1_234_567
    kind = np.concatenate(
        [np.full(MACHINES, FLOAT if tag in _UNIT else INT, np.uint8) for tag in readings]
    )
    num = np.concatenate(list(readings.values()), axis=1).ravel()
    rows = len(num)
    return Rows(sid, np.tile(t, (1, len(readings))).ravel(), num, np.tile(kind, seconds),
                np.zeros(rows, np.uint32), np.full(rows, NO_TIME, np.int64), {})  # fmt: skip


def _health(store: DuckDbStore, start: int) -> None:
    """The health rows of an hour, by column."""
    ends = start + np.arange(_ROW_S, 3600 + 1, _ROW_S, dtype=np.int64) * _S
    t = np.repeat(ends, MACHINES)
    rows = len(t)
    seconds, count = np.full(rows, float(_ROW_S)), np.full(rows, _ROW_S, np.int64)
    columns = {
        "device": np.tile(np.array([name(i) for i in range(MACHINES)], object), len(ends)),
        "t": t,
        "period_s": seconds,
        "scheduled_s": seconds,
        "covered_s": seconds,
        "due": count,
        "done": count,
        "good": count,
        "bad": 0 * count,
        "values": count,
        "latency_ms": seconds,
        "latency_max_ms": seconds,
        "overruns": 0 * count,
        "state": np.full(rows, "online", object),
        "reason": np.full(rows, "", object),
        "last_good_t": t,
        "stored": t,
    }
    with store._transaction():
        write.append(store._connection, "health", columns)


def figures(folder: Path, task: str) -> None:
    """In a process of its own: compute, and tell seconds, memory and the figures as JSON."""
    about = subject(folder / "site.yaml")
    days = orjson.loads((folder / "truth.json").read_bytes())["days"]
    end = START + days * 24 * _HOUR
    began = time.monotonic()
    told: dict[str, object] = {}
    if task == "figures":
        with closing(open_duckdb(about)) as store:
            opened = time.monotonic() - began
            found = production(store, about.site, about.register, about.calendar, START, end)
            told = {
                "opened_s": opened,
                "kwh": [machine["energy"]["kwh"] for machine in found["machines"].values()],
                "worked": [machine["seconds"]["APT"] for machine in found["machines"].values()],
            }
    else:
        monthly(about, folder / "reports", MONTH, ["zh"])
    # Not getrusage: a child begins with the peak of the process it was forked from.
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    spent = {"s": time.monotonic() - began, "cpu_s": time.process_time(), "rss_mb": peak}
    print(orjson.dumps({**spent, **told}).decode())


def measured(folder: Path, runs: int, tasks: Sequence[str]) -> Iterator[str]:
    """Table rows: the figures of the month, and the monthly report when it was asked for."""
    truth = orjson.loads((folder / "truth.json").read_bytes())
    for task in tasks:
        found = []
        for _ in range(runs):
            argv = [
                sys.executable,
                "-m",
                "benchmarks.month",
                "--task",
                task,
                "--folder",
                str(folder),
            ]
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
            found.append(orjson.loads(done.stdout.splitlines()[-1]))
        seconds, rss = sorted(row["s"] for row in found), max(row["rss_mb"] for row in found)
        if task == "figures":
            _agree(truth, found[0])
        cpu = sorted(row["cpu_s"] for row in found)[len(found) // 2]
        middle = seconds[len(seconds) // 2]
        yield (
            f"{task} | {middle:.1f} ({seconds[0]:.1f}-{seconds[-1]:.1f}) s, {cpu:.1f} of CPU | "
            f"{rss:.0f} MB"
        )


def _agree(truth: dict[str, list[float]], found: dict[str, list[float]]) -> None:
    """Raises RuntimeError when the figures are not what the plant did."""
    for key, within in (("worked", 2.0), ("kwh", 0.05)):
        worst = max(abs(a - b) for a, b in zip(truth[key], found[key], strict=True))
        if worst > within:
            raise RuntimeError(f"{key} differs from the truth by {worst}")


def main(argv: list[str]) -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(prog="./run bench month", description=__doc__)
    parser.add_argument("kind", nargs="*", default=KINDS, help=f"of {', '.join(KINDS)}")
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the data here")
    parser.add_argument("--report", action="store_true", help="the monthly report too")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.task:
        figures(args.folder, args.task)
        return
    print(f"{MACHINES} machines, every tag each second, {args.days} days; held to {BOUND_S:.0f} s")
    with tempfile.TemporaryDirectory() as temporary:
        for kind in args.kind or KINDS:
            folder = (args.folder or Path(temporary)) / kind
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "truth.json").exists():
                insert(folder, kind, args.days)
            if not (folder / "kept").exists():
                print(f"| {kind} | {keep(folder)} |", flush=True)
                (folder / "kept").touch()
            for row in measured(
                folder, args.runs, ["figures", *(["report"] if args.report else [])]
            ):
                print(f"| {kind} | {row} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
