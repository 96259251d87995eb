"""What a value costs `edge-agent serve` from the broker into the store, and whether it keeps the
pace."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import rig
from edge_agent.app.status.ask import ask_serve
from edge_agent.config import load
from edge_agent.config.models import Site

DEVICES, TAGS, PERIOD_S = 100, 100, 0.1
RATE = DEVICES * TAGS / PERIOD_S
_DRAIN_S = 20.0

#: Store -> its name in the table; each is held to 3 µs per value at 100 000 values/s.
STORES: Mapping[str, str] = {"duckdb": "DuckDB", "line": "VictoriaMetrics"}
BOUND_US = 3.0


@dataclass(frozen=True)
class IngestFigure:
    """What one run gave."""

    values_per_s: float
    us_per_value: float
    core_percent: float
    rss_mb: float
    lost: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def available(kind: str) -> bool:
    """Whether the store is on this machine."""
    return kind == "duckdb" or shutil.which("victoria-metrics") is not None


def run_once(kind: str, folder: Path, seconds: float) -> IngestFigure:
    """One run: fresh broker, store and service."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(rig.broker(folder))
        url = stack.enter_context(_store(kind, folder))
        config = folder / "serve.yaml"
        config.write_text(yaml.safe_dump(_site(kind, url, port, folder)))
        site = load(config)
        log = stack.enter_context((folder / "serve.log").open("w"))
        argv = rig.module("edge_agent", "serve", config, "--log", "WARNING")
        serve = stack.enter_context(rig.process(argv, stderr=log, stdout=subprocess.DEVNULL))
        _wait_ready(site, serve)
        argv = rig.module("benchmarks.feeder", port, DEVICES, TAGS, PERIOD_S)
        feeder = rig.CounterProcess(stack.enter_context(rig.process(argv)))
        time.sleep(3)
        return _measure(serve, site, feeder, seconds, url if kind == "line" else "")


def _site(kind: str, url: str, port: int, folder: Path) -> dict[str, Any]:
    store = {
        "kind": kind,
        "path": str(folder / "store.duckdb"),
        "quarantine": str(folder / "quarantine"),
    }
    if url:
        store["url"] = url
    return {
        "agent": {"id": "bench"},
        "mqtt": {"url": f"mqtt://127.0.0.1:{port}"},
        "store": store,
        "devices": [],
    }


@contextlib.contextmanager
def _store(kind: str, folder: Path) -> Iterator[str]:
    """The store's server where it has one; its URL."""
    if kind == "duckdb":
        yield ""
        return
    port = rig.free_port()
    argv = [
        "victoria-metrics",
        f"-storageDataPath={folder}/vm",
        f"-httpListenAddr=127.0.0.1:{port}",
    ]
    with rig.process(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        rig.wait_port(port)
        yield f"http://127.0.0.1:{port}"


def _wait_ready(site: Site, serve: subprocess.Popen[str]) -> None:
    end = time.monotonic() + rig.START_LIMIT_S
    while (status := ask_serve(site)) is None or not status["broker_connected"]:
        if time.monotonic() > end or serve.poll() is not None:
            raise RuntimeError("the store service does not start")
        time.sleep(0.1)


def _stored(site: Site) -> int:
    status = ask_serve(site)
    if status is None:
        raise RuntimeError("the store service does not answer")
    return int(status["counters"]["stored"])


def _measure(
    serve: subprocess.Popen[str], site: Site, feeder: rig.CounterProcess, seconds: float, url: str
) -> IngestFigure:
    before, cpu, start = _stored(site), rig.cpu_seconds(serve.pid), time.monotonic()
    time.sleep(seconds)
    after, cpu, took = _stored(site), rig.cpu_seconds(serve.pid) - cpu, time.monotonic() - start
    rss = rig.rss_mb(serve.pid)
    fed = feeder.totals("stop")["values"]
    rate = (after - before) / took
    lost = "" if rate >= 0.98 * RATE else f"{rate:.0f} of {RATE:.0f} values/s stored"
    lost = _missing(site, fed, url) or lost
    return IngestFigure(
        rate, 1e6 * cpu / (after - before) if after > before else 0.0, 100 * cpu / took, rss, lost
    )


def _missing(site: Site, fed: int, url: str) -> str:
    """Everything that was fed must be in the store in the end."""
    end = time.monotonic() + _DRAIN_S
    while _stored(site) < fed and time.monotonic() < end:
        time.sleep(0.2)
    stored = _stored(site)
    if stored != fed:
        return f"{stored} of {fed} values were stored"
    if url and (rows := _rows(url)) < fed:
        return f"{rows} of {fed} values are in VictoriaMetrics, by its own count"
    return ""


def _rows(url: str) -> int:
    """Rows that VictoriaMetrics itself says it took: it drops bad lines in silence."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        int(float(line.split()[-1]))
        for line in lines
        if line.startswith('vm_rows_inserted_total{type="influx"')
    )
