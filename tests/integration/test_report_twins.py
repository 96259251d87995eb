"""Two agents with a device of one id in one store: whoever reads a report, a pack or figures can
tell the two apart."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from edge_agent.app.reports.command import subject
from edge_agent.cli.main import main
from edge_agent.ingest import decode
from edge_agent.production.live_rates import LiveRates
from edge_agent.production.window_document import production
from edge_agent.stores import Rows, Store, WriteBatch, open_store
from tests.support.sites import write

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
#: 2026-05-04 08:00 in Dongguan.
T0 = 1_777_852_800_000_000_000
MINUTES = 60

SITE = """\
agents: [ipc-02]
store: {kind: duckdb, path: store.duckdb, quarantine: quarantine}
outbox: {path: outbox}
register: {equipment: equipment.csv, processes: processes.csv, calendar: calendar.yaml}
devices:
  - id: lathe
    line: ML1
    connector: modbus
    url: tcp://127.0.0.1:15020
    state:
      item: {tag: run, map: {0: NotExecuting, 1: Executing}}
      mode: {tag: run, map: {0: Processing, 1: Processing}}
    tags: {run: {address: holding/0}, parts_total: {address: holding/2}}
"""
EQUIPMENT = """\
equipment_id,name_zh,category,in_scope,status,line,process_id,control_class,digital,interface,networked_declared,gateway_device,is_robot,project_id,nominal_cycle_s
EQ-1,车床,machining,Y,in_use,ML1,P10,cnc,Y,modbus_tcp,Y,lathe,N,PRJ-1,60
EQ-2,车床,machining,Y,in_use,ML1,P10,cnc,Y,modbus_tcp,Y,ipc-02:lathe,N,PRJ-1,60
EQ-3,磨床,machining,Y,in_use,ML1,P10,cnc,Y,modbus_tcp,Y,mill,N,PRJ-1,60
"""
PROCESSES = "process_id,name_zh,is_key,industry_type,reviewer\nP10,车削,Y,discrete,张\n"
CALENDAR = "schedules: {default: {shifts: [{name: day, start: '8:00', end: '20:00'}]}}\n"
#: Device key -> minutes it works of each three.
WORKING = {"lathe": 2, "ipc-02:lathe": 1, "ipc-02:mill": 3, "ipc-09:lathe": 0}


def story(store: Store) -> None:
    """An hour of three devices of the plant and one of a guest; the own lathe works two thirds, its
    twin one third."""
    tags = {
        "machine_state": {"type": "int"},
        "operation_mode": {"type": "int"},
        "parts_total": {"type": "int"},
    }
    for key, working in WORKING.items():
        agent, device = store.catalogue.keys.split(key)
        store.catalogue.born(
            {"device": device, "agent": agent, "line": "ML1", "staleness": 90.0, "tags": tags}
        )
        documents, health = [], []
        for minute in range(MINUTES):
            t = T0 + minute * MINUTE
            state = 3 if minute % 3 < working else 2
            values = {"machine_state": state, "operation_mode": 3, "parts_total": minute}
            documents.append({"v": 1, "device": key, "t": t, "values": values})
            health.append(
                {
                    "device": key,
                    "t": t + MINUTE,
                    "period_s": 60.0,
                    "scheduled_s": 60.0,
                    "covered_s": 60.0,
                    "due": 60,
                    "done": 60,
                    "good": 60,
                    "bad": 0,
                    "values": 60,
                    "overruns": 0,
                    "state": "online",
                    "reason": "",
                    "last_good_t": t + MINUTE,
                }
            )
        rows = Rows.of(
            [decode.data(orjson.loads(orjson.dumps(item)), store.catalogue) for item in documents]
        )
        store.write(WriteBatch(rows, T0 + MINUTES * MINUTE, health=health))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twins")
    for name, text in (
        ("equipment.csv", EQUIPMENT),
        ("processes.csv", PROCESSES),
        ("calendar.yaml", CALENDAR),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    path = write(folder, SITE)
    about = subject(path)
    with closing(open_store(about.site.store, about.site.agent.id, about.site.agents)) as store:
        story(store)
    return path


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "edge_agent.app.reports.command.Clock.time_ns", lambda _: T0 + MINUTES * MINUTE
    )


def tables(document: dict[str, Any]) -> dict[str, list[list[Any]]]:
    blocks = [block for part in document["parts"] for block in part["blocks"]]
    return {block["name"]: block["rows"] for block in blocks if block["kind"] == "table"}


def column(content: bytes, name: str) -> set[str]:
    return {
        row[name] for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    }


WINDOW = "2026-05-04T08:00..2026-05-04T09:00"
NAMES = {"ipc-01:lathe", "ipc-02:lathe", "mill"}


def test_a_report_names_both(config: Path, tmp_path: Path) -> None:
    assert (
        main(["report", "health-check", str(config), "--window", WINDOW, "--out", str(tmp_path)])
        == 0
    )
    document = json.loads(next(tmp_path.glob("health-check-*.json")).read_bytes())
    found = tables(document)
    assert {row[0]: row[10] for row in found["devices"]} == {
        "ipc-01:lathe": "EQ-1", "ipc-02:lathe": "EQ-2", "mill": "EQ-3",
    }  # fmt: skip
    values = {figure["key"]: figure["value_exact"] for figure in document["figures"]}
    assert [values[f"M-11@EQ-{number}"] for number in (1, 2, 3)] == ["2/3", "1/3", "1"]
    remarks = found.get("register_remarks", [])
    assert not [place for place, _ in remarks if "gateway_device" in place], (
        "a device that only its own agent's birth tells of is a known one"
    )


def test_a_pack_names_both_and_verifies(config: Path, tmp_path: Path) -> None:
    assert (
        main(["report", "evidence", str(config), "--project", "PRJ-1", "--out", str(tmp_path)]) == 0
    )
    pack = next(path for path in tmp_path.iterdir() if path.is_dir())
    for file in ("facts/devices.csv", "facts/states.csv", "facts/counters.csv", "facts/health_minutes.csv",
                 "facts/first_good.csv", "connections.csv", "acceptance.csv"):  # fmt: skip
        assert column((pack / file).read_bytes(), "device") == NAMES, file
    assert column((pack / "register.csv").read_bytes(), "gateway_device") == NAMES
    assert main(["verify", str(pack)]) == 0


def test_the_figures_of_the_service_name_both(config: Path) -> None:
    about = subject(config)
    with closing(open_store(about.site.store, about.site.agent.id, about.site.agents)) as store:
        found = production(
            store, about.site, about.register, about.calendar, T0, T0 + MINUTES * MINUTE
        )
        rates = LiveRates(about.site).live(store, T0 + MINUTES * MINUTE).devices
    assert {key: machine["device"] for key, machine in found["machines"].items()} == {
        "EQ-1": "ipc-01:lathe", "EQ-2": "ipc-02:lathe", "EQ-3": "mill",
    }  # fmt: skip
    assert [machine["seconds"]["APT"] for machine in found["machines"].values()] == [
        2400,
        1200,
        3600,
    ]
    assert set(rates) == NAMES
