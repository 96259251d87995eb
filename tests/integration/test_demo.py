"""The main job as a newcomer runs it: the whole demo, its figures held against the register, and a
clean end."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
METRICS = {
    "M-01-strict", "M-01-prorata", "M-01-any", "M-02", "M-03", "M-04a-declared", "M-04a-effective",
    "M-04b-declared", "M-04b-effective", "M-04d", "M-05",
}  # fmt: skip


def demo(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edge_agent", "demo", "--data", str(folder), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def family(pid: int) -> set[int]:
    """All processes descended from `pid`, itself left out."""
    found: set[int] = set()
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except (FileNotFoundError, ProcessLookupError):
                continue
    wanted = {pid}
    while wanted:
        wanted = {child for child, parent in parents.items() if parent in wanted} - found
        found |= wanted
    return found


def await_socket(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Return when the store service of the demo answers."""
    end = time.monotonic() + 60
    while not (folder / "store.duckdb.sock").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)  # poll interval of this waiter


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("demo")
    process = demo(folder, "--for", "22", "--json")
    out, err = process.communicate(timeout=110)
    assert process.returncode == 0, err.decode()[-3000:]
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.fixture(scope="module")
def register() -> list[dict[str, str]]:
    with (CONFIGS / "demo-equipment.csv").open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_every_device_of_the_two_lines_delivers(document: dict[str, Any]) -> None:
    assert len(document["devices"]) == 20
    for device in document["devices"]:
        assert set(device) == {
            "id",
            "name",
            "connector",
            "state",
            "values",
            "good",
            "bad",
            "last_good_age_s",
        }
        assert device["good"] > 2 * device["bad"], device  # a slow machine starts late, and says so
        assert device["values"] > 0, device
        assert device["last_good_age_s"] is not None, device
    assert {device["connector"] for device in document["devices"]} == {"modbus", "opcua"}


def test_the_counters_agree_from_the_wire_to_the_store(document: dict[str, Any]) -> None:
    counters = document["counters"]
    assert counters["read"] <= counters["enqueued"]
    assert (
        counters["enqueued"]
        == counters["published"]
        == counters["acknowledged"]
        == counters["stored"]
    )
    assert counters["dropped"] == 0
    assert counters["stored"] > 3000
    assert set(counters) >= {"read", "duplicates_ignored"}


def test_the_rates_are_those_of_the_register(
    document: dict[str, Any], register: list[dict[str, str]]
) -> None:
    metrics = {metric["id"]: metric for metric in document["metrics"]}
    assert set(metrics) >= METRICS
    counted = {
        row["equipment_id"]: row
        for row in register
        if row["in_scope"] == "Y" and row["status"] == "in_use"
    }
    declared = {key for key, row in counted.items() if row["networked_declared"] == "Y"}
    for metric, numerator, denominator in (
        ("M-03", {key for key, row in counted.items() if row["digital"] == "Y"}, set(counted)),
        ("M-04a-declared", declared, set(counted)),
    ):
        assert set(metrics[metric]["numerator_ids"]) == numerator
        assert set(metrics[metric]["denominator_ids"]) == denominator
        assert metrics[metric]["value"] == pytest.approx(len(numerator) / len(denominator))
    delivering = {device["id"] for device in document["devices"]}
    linked = {key for key in declared if counted[key]["gateway_device"] in delivering}
    effective = metrics["M-04a-effective"]
    assert set(effective["numerator_ids"]) == linked
    assert effective["provisional"]
    online, of = document["now_online"]
    assert [online, of] == effective["now_online"]
    assert of == metrics["M-04a-declared"]["numerator"]
    assert online == len(linked), "all that deliver, at the end of the run"
    assert effective["effective_after"]["planned_hours"] == 8, "a run of seconds judges nobody"
    assert 0 < effective["numerator"] < metrics["M-04a-declared"]["numerator"]
    assert metrics["M-01-strict"]["value"] < 0.5 < metrics["M-01-prorata"]["value"]


def test_ctrl_c_ends_it_and_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    process = demo(tmp_path / "data")
    try:
        await_socket(process, tmp_path / "data")
        children = family(process.pid)
        assert len(children) >= 3
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out + err).decode()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not list((tmp_path / "data").rglob("*.sock"))
    text = out.decode()
    assert "数据保留在" in text or "在第一批数据之前就结束了" in text
    assert "Traceback" not in text + err.decode()


def test_a_killed_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    process = demo(tmp_path / "data")
    try:
        await_socket(process, tmp_path / "data")
        children = family(process.pid)
    finally:
        process.kill()
        process.communicate()
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < end
        time.sleep(0.05)  # poll interval of this waiter
