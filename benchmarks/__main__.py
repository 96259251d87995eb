"""`./run bench [SHAPE ...] [--runs N] [--seconds S] [--publish]`: every shape, median and spread of
several runs.

`./run bench month ...` and `./run bench crowds ...` are benchmarks of their own: the figures of a
month (`benchmarks/month.py`), and what devices cost that do not answer (`benchmarks/crowds.py`); so
are `./run bench marks`, `health` and `status`: a store service after years (`benchmarks/years.py`),
and `./run bench backup`: what a backup costs a service that goes on (`benchmarks/backup.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks import backup, crowds, ingest, month, results, rig, shapes, tables, years
from benchmarks.results import Run

IDLE_S = 30.0
"""An idle agent is watched at least so long."""


def run_once(shape: shapes.LoadShape, seconds: float) -> rig.BenchFigure:
    """One run: fresh processes, fresh outbox."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        port = stack.enter_context(rig.broker(folder))
        devices = stack.enter_context(shapes.devices(shape))
        witness = stack.enter_context(rig.witness(port))
        config = folder / "bench.yaml"
        config.write_text(
            yaml.safe_dump(shapes.site(shape, devices.endpoints, port, folder), sort_keys=False)
        )
        log = stack.enter_context((folder / "agent.log").open("w"))
        if shape.confirm == "store":
            argv = rig.module("edge_agent", "serve", config, "--log", "WARNING")
            stack.enter_context(rig.process(argv, stderr=log, stdout=subprocess.DEVNULL))
        began = time.monotonic()
        argv = rig.module("edge_agent", "run", config, "--log", "WARNING")
        agent = stack.enter_context(rig.process(argv, stderr=log, stdout=subprocess.DEVNULL))
        try:
            if shape.group == "idle":
                seconds = max(seconds, IDLE_S)
            return rig.measure(agent, began, witness, devices.counter, shape.load, seconds)
        except RuntimeError as error:
            said = (folder / "agent.log").read_text().splitlines()
            raise RuntimeError(
                f"{error}; the agent's last line: {said[-1] if said else 'none'}"
            ) from error


def _measured(name: str, once: Any, runs: int) -> list[Run] | None:
    """So many runs; None, and a line why, when one fails."""
    try:
        return [once().to_json() for _ in range(runs)]
    except (RuntimeError, TimeoutError) as error:
        print(f"| {name} | failed: {error} |", flush=True)
        return None


def main() -> None:
    """Run the shapes asked for, print Markdown tables, keep the figures for
    `benchmarks.publish`."""
    if sys.argv[1:2] == ["month"]:
        month.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["crowds"]:
        crowds.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["backup"]:
        backup.main(sys.argv[2:])
        return
    if sys.argv[1:2] in (["marks"], ["health"], ["status"]):
        years.main(sys.argv[1:])
        return
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument(
        "shape", nargs="*", help="part of a shape's name, or `ingest`, `scale`; default all"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--uvloop", action="store_true", help="run the agent on uvloop")
    parser.add_argument("--publish", action="store_true", help="write the figures kept into docs/")
    args = parser.parse_args()
    if args.uvloop:
        if importlib.util.find_spec("uvloop") is None:
            parser.error("uvloop is not installed: .venv/bin/pip install -e '.[test,uvloop]'")
        os.environ["EDGE_AGENT_UVLOOP"] = "1"
    wanted = [
        s
        for s in shapes.SHAPES
        if not args.shape or any(p in s.name or p == s.group for p in args.shape)
    ]
    print(
        f"{results.machine()}; {results.versions()}; {'uvloop' if args.uvloop else 'asyncio'}; "
        "median (min-max)"
    )
    print("\n".join(tables.HEAD))
    for shape in wanted:
        runs = _measured(shape.name, lambda shape=shape: run_once(shape, args.seconds), args.runs)
        if runs is not None:
            print(tables.row(shape.name, shape.bounds, runs), flush=True)
            results.save(
                "uvloop" if args.uvloop else "bench",
                {shape.name: runs},
                runs=args.runs,
                seconds=args.seconds,
            )
    if not args.shape or "ingest" in args.shape:
        _ingest(args.runs, args.seconds)
    shapes.forget_identity()
    if args.publish:
        from benchmarks import publish

        publish.main()


def _ingest(count: int, seconds: float) -> None:
    print("\n" + "\n".join(tables.INGEST_HEAD))
    for kind in filter(ingest.available, ingest.STORES):

        def once(kind: str = kind) -> ingest.IngestFigure:
            with tempfile.TemporaryDirectory() as name:
                return ingest.run_once(kind, Path(name), seconds)

        runs = _measured(kind, once, count)
        if runs is not None:
            print(tables.ingest_row(kind, runs), flush=True)
            results.save("ingest", {kind: runs}, runs=count, seconds=seconds)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
