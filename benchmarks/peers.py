"""`./run bench-peers [SHAPE ...] [--runs N] [--seconds S] [--publish]`: us and others, in turn, on
the same shapes.

Every participant has the same simulators, broker and witness, and takes its turn within each run.
The cost is CPU per value that *arrived*; how many of the due ones did is printed beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks import collectd, publish, results, rig, shapes, thingsboard
from benchmarks.peer_rows import HEAD, OURS, SHAPES, rows
from benchmarks.results import Run
from benchmarks.shapes import LoadShape

STOCK = "edge-agent on stock pymodbus / asyncua"
NAIVE = "naive (pymodbus, pydantic, json)"
THINGSBOARD = f"ThingsBoard IoT Gateway {thingsboard.VERSION}"
COLLECTD = f"collectd {collectd.version()} (C)"

IDLE_S = 30.0
_SETTLE_S = 5.0
_FIRST_LIMIT_S = 60.0

Start = Callable[[LoadShape, list[str], int, Path], tuple[list[str], dict[str, str]]]
"""(shape, endpoints, broker port, folder) -> command line and additional environment."""


@dataclass(frozen=True)
class Participant:
    """Somebody who takes part in the comparison."""

    name: str
    start: Start
    protocols: tuple[str, ...] = ("modbus", "opcua")
    idle: bool = True


def _ours(
    shape: LoadShape, endpoints: list[str], port: int, folder: Path
) -> tuple[list[str], dict[str, str]]:
    config = folder / "bench.yaml"
    config.write_text(yaml.safe_dump(shapes.site(shape, endpoints, port, folder), sort_keys=False))
    return rig.module("edge_agent", "run", config, "--log", "ERROR"), {}


def _stock(
    shape: LoadShape, endpoints: list[str], port: int, folder: Path
) -> tuple[list[str], dict[str, str]]:
    return _ours(shape, endpoints, port, folder)[0], {"EDGE_AGENT_STOCK": "1"}


def _naive(
    shape: LoadShape, endpoints: list[str], port: int, folder: Path
) -> tuple[list[str], dict[str, str]]:
    return rig.module("benchmarks.naive", port, shape.tags, shape.every, *endpoints), {}


def _thingsboard(
    shape: LoadShape, endpoints: list[str], port: int, folder: Path
) -> tuple[list[str], dict[str, str]]:
    thingsboard.configure(shape, endpoints, port, folder / "config")
    return thingsboard.command(), thingsboard.environment(folder / "config")


def _collectd(
    shape: LoadShape, endpoints: list[str], port: int, folder: Path
) -> tuple[list[str], dict[str, str]]:
    return collectd.configure(shape, endpoints, port, folder), {}


PARTICIPANTS = (
    Participant(OURS, _ours),
    Participant(STOCK, _stock, idle=False),
    Participant(NAIVE, _naive, protocols=("modbus",), idle=False),
    Participant(THINGSBOARD, _thingsboard),
    *([Participant(COLLECTD, _collectd, protocols=("modbus",))] if collectd.program() else []),
)


def run_once(who: Participant, shape: LoadShape, seconds: float) -> Run:
    """One participant's turn: fresh processes."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        port = stack.enter_context(rig.broker(folder))
        devices = stack.enter_context(shapes.devices(shape))
        witness = stack.enter_context(rig.witness(port))
        argv, more = who.start(shape, devices.endpoints, port, folder)
        log = stack.enter_context((folder / "out.log").open("w"))
        paths = {"PYTHONPATH": str(Path.cwd())} if who.name != THINGSBOARD else {}
        child = stack.enter_context(
            rig.process(
                argv, stdout=log, stderr=log, cwd=folder, env={**os.environ, **more, **paths}
            )
        )
        return _measure(child, witness, shape, seconds, folder / "out.log")


def _measure(
    child: subprocess.Popen[str],
    witness: rig.CounterProcess,
    shape: LoadShape,
    seconds: float,
    log: Path,
) -> Run:
    end = time.monotonic() + _FIRST_LIMIT_S
    while not witness.totals()["values"]:
        if time.monotonic() > end or child.poll() is not None:
            raise RuntimeError(f"no values arrive: {log.read_text()[-500:]}")
        time.sleep(0.1)
    time.sleep(_SETTLE_S)
    before, cpu, start = witness.totals("mark"), rig.cpu_seconds(child.pid), time.monotonic()
    time.sleep(max(seconds, IDLE_S) if shape.group == "idle" else seconds)
    after, cpu, took = witness.totals(), rig.cpu_seconds(child.pid) - cpu, time.monotonic() - start
    values = after["values"] - before["values"]
    return {
        "values_per_s": values / took,
        "expected_per_s": shape.load.values_per_s,
        "core_percent": 100 * cpu / took,
        "us_per_value": 1e6 * cpu / values if values else None,
        "p50_ms": after["p50_ms"],
        "p99_ms": after["p99_ms"],
        "rss_mb": rig.rss_mb(child.pid),
        "lost": f"{after['holes']} sequence numbers never came" if after["holes"] else "",
    }


def _compare(
    shape: LoadShape, who: list[Participant], runs: int, seconds: float
) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for _ in range(runs):
        for participant in who:
            if shape.protocol not in participant.protocols or (
                shape.group == "idle" and not participant.idle
            ):
                continue
            try:
                found.setdefault(participant.name, []).append(run_once(participant, shape, seconds))
            except RuntimeError as error:
                print(f"| {shape.name} | {participant.name} | failed: {error} |", flush=True)
    return {name: measured for name, measured in found.items() if measured}


def main() -> None:
    """Run the comparison, print Markdown, keep the figures for `benchmarks.publish`."""
    parser = argparse.ArgumentParser(prog="./run bench-peers", description=__doc__)
    parser.add_argument("shape", nargs="*", help="part of a shape's name; default all")
    parser.add_argument(
        "--who", action="append", default=[], help="part of a participant's name; default all"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--publish", action="store_true", help="write the figures kept into docs/")
    args = parser.parse_args()
    who = [p for p in PARTICIPANTS if not args.who or any(part in p.name for part in args.who)]
    if any(p.name == THINGSBOARD for p in who):
        thingsboard.install()
    print(f"{results.machine()}; {results.versions()}; {rig.broker_name()}; median (min-max)")
    print("\n".join(HEAD))
    for shape in SHAPES:
        if args.shape and not any(part in shape.name for part in args.shape):
            continue
        found = _compare(shape, who, args.runs, args.seconds)
        print("\n".join(rows(shape.name, found)), flush=True)
        results.save("peers", {shape.name: found}, runs=args.runs, seconds=args.seconds)
    if args.publish:
        publish.main()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
