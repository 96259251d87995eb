"""`./run bench [SHAPE ...] [--runs N] [--seconds S]`: every shape, median and spread of several runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks import rig


@dataclass(frozen=True)
class Shape:
    """So many devices with so many tags, each read (or changing) every `every` seconds; target in µs per value."""

    name: str
    devices: int
    tags: int
    every: float
    target: float
    protocol: str = "modbus"
    step: int = 2
    pipeline: int = 1
    delay_ms: float = 0.0
    mode: str = "subscribe"

    @property
    def values_per_s(self) -> float:
        return self.devices * self.tags / self.every


SHAPES = (
    Shape("modbus 1 x 1000 @ 1 s", 1, 1000, 1.0, 8),
    Shape("modbus 1 x 1000 @ 100 ms", 1, 1000, 0.1, 4),
    Shape("modbus 1 x 1000 @ 100 ms, pipeline 8", 1, 1000, 0.1, 1.5, pipeline=8),
    Shape("modbus 10 x 100 @ 1 s", 10, 100, 1.0, 30),
    Shape("modbus 10 x 100 @ 100 ms", 10, 100, 0.1, 3),
    Shape("modbus 100 x 100 @ 1 s", 100, 100, 1.0, 3),
    Shape("modbus 1 x 1000 @ 1 s, PLC answers after 5 ms", 1, 1000, 1.0, 8, delay_ms=5),
    Shape("modbus 1 x 1000 with one-register gaps @ 1 s", 1, 1000, 1.0, 8, step=3),
    Shape("opcua 1000 changing @ 1 s, subscription", 1, 1000, 1.0, 20, protocol="opcua"),
    Shape("opcua 1000 changing @ 100 ms, subscription", 1, 1000, 0.1, 4, protocol="opcua"),
    Shape("opcua read 1000 @ 100 ms", 1, 1000, 0.1, 2, protocol="opcua", mode="read"),
)


@contextlib.contextmanager
def _devices(shape: Shape) -> Iterator[list[dict[str, object]]]:
    """The simulated devices of a shape, and how the agent's file names them."""
    every = f"{round(shape.every * 1000)}ms"
    if shape.protocol == "modbus":
        with rig.process(rig.module("benchmarks.plc", shape.devices, shape.delay_ms)) as plc:
            assert plc.stdout is not None
            ports = plc.stdout.readline().split()
            tags = {f"v{i}": {"address": f"holding/{i * shape.step}", "type": "float32"} for i in range(shape.tags)}
            yield [
                {
                    "id": f"plc-{n:03}", "line": "bench", "connector": "modbus", "url": f"tcp://127.0.0.1:{port}",
                    "every": every, "pipeline": shape.pipeline, "tags": tags,
                }
                for n, port in enumerate(ports)
            ]  # fmt: skip
        return
    port = rig.free_port()
    with rig.process(rig.module("benchmarks.opcua_server", port, shape.tags, shape.every * 1000)) as server:
        assert server.stdout is not None
        server.stdout.readline()
        tags = {f"v{i}": {"node": f"ns=2;s=v{i}", "type": "float"} for i in range(shape.tags)}
        yield [
            {
                "id": "opcua-001", "line": "bench", "connector": "opcua", "endpoint": f"opc.tcp://127.0.0.1:{port}/bench",
                "every": every, "mode": shape.mode, "publishing_ms": round(shape.every * 1000), "tags": tags,
            }
        ]  # fmt: skip


def run_once(shape: Shape, seconds: float) -> rig.Figure:
    """One run: fresh processes, fresh outbox."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        _, port = stack.enter_context(rig.broker(folder))
        devices = stack.enter_context(_devices(shape))
        witness = rig.Witness(stack.enter_context(rig.process(rig.module("benchmarks.witness", port))))
        witness.totals()
        config = folder / "bench.yaml"
        site = {
            "agent": {"id": "bench"},
            "mqtt": {"url": f"mqtt://127.0.0.1:{port}"},
            "outbox": {"path": str(folder / "outbox")},
            "devices": devices,
        }
        config.write_text(yaml.safe_dump(site, sort_keys=False))
        argv = rig.module("edge_agent", "run", config, "--log", "WARNING")
        log = stack.enter_context((folder / "agent.log").open("w"))
        agent = stack.enter_context(rig.process(argv, stderr=log))
        try:
            return rig.measure(agent, witness, seconds, shape.values_per_s, shape.every)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {(folder / 'agent.log').read_text()[-2000:]}") from error


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def main() -> None:
    """Run the shapes asked for and print one Markdown table."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("shape", nargs="*", help="part of a shape's name; default all")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args()
    wanted = [shape for shape in SHAPES if not args.shape or any(part in shape.name for part in args.shape)]
    loop = "uvloop" if os.environ.get("EDGE_AGENT_UVLOOP") else "asyncio"
    print(f"{platform.python_version()}, {loop}, {os.cpu_count()} cores, {platform.machine()}; median (min-max)")
    print("| Shape | values/s | CPU µs/value | target | % of a core | age p50 / p99 ms | RSS MB |")
    print("|---|---|---|---|---|---|---|")
    for shape in wanted:
        figures = [run_once(shape, args.seconds) for _ in range(args.runs)]
        cost = _median([figure.us_per_value for figure in figures])
        if not all(figure.complete for figure in figures):
            cost = "no figure: values missing"
        rates = statistics.median(figure.values_per_s for figure in figures)
        core = statistics.median(figure.core_percent for figure in figures)
        ages = " / ".join(f"{statistics.median(getattr(f, key) for f in figures):.0f}" for key in ("p50_ms", "p99_ms"))
        rss = max(figure.rss_mb for figure in figures)
        print(f"| {shape.name} | {rates:.0f} | {cost} | {shape.target} | {core:.1f} | {ages} | {rss:.0f} |", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, subprocess.SubprocessError):
        main()
