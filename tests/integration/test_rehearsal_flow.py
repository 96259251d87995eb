"""Getting started, step by step as an integrator walks it: check, simulate, serve, run, status,
metrics show."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.servers import mosquitto

SITE = """\
agent: {{id: ipc-01, enterprise: works, site: dongguan, area: machining}}
mqtt: {{url: "mqtt://127.0.0.1:{port}", confirm: store}}
register: {{equipment: equipment.csv, processes: processes.csv}}
devices:
  - {{id: meter-1, line: ML1, url: "tcp://192.168.1.50:502", profile: eastron-sdm120}}
  - id: vmc-01
    line: ML1
    connector: opcua
    endpoint: opc.tcp://192.168.1.60:4840
    tags:
      spindle_speed: {{node: "ns=2;s=Spindle", unit: rpm}}
      program: {{node: "ns=2;s=Program", type: String}}
"""
EQUIPMENT = """\
equipment_id,asset_no,name_zh,name_en,category,in_scope,status,ownership,workshop,line,process_id,control_class,\
controller_brand,controller_model,digital,interface,networked_declared,gateway_device,is_robot,robot_type,brand_origin,\
commissioned,purchase_cny,rated_power_kw,meter_id,project_id
EQ-1,FA-1,立式加工中心,VMC,machining,Y,in_use,owned,机加车间,ML1,P20,cnc,SIEMENS,828D,Y,opc_ua,Y,vmc-01,N,,imported,\
2017-10-01,720000,18,,
EQ-2,FA-2,平面磨床,surface grinder,machining,Y,in_use,owned,机加车间,ML1,P20,manual,,,N,none,N,,N,,domestic,2006-01-01,\
80000,7.5,,
"""
PROCESSES = "process_id,name_zh,name_en,is_key,industry_type\nP20,铣削,milling,Y,discrete\n"


def edge_agent(*words: object) -> list[str]:
    return [sys.executable, "-m", "edge_agent", *map(str, words)]


def asked(*words: object) -> tuple[int, str]:
    done = subprocess.run(edge_agent(*words), capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def running(log: Path, *words: object) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(edge_agent(*words), stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def poll(what: str, limit: float, condition: Any) -> Any:
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.2)  # poll interval of this waiter
    return found


def test_every_step_of_getting_started_leads_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "equipment.csv").write_text(EQUIPMENT, encoding="utf-8")
    (tmp_path / "processes.csv").write_text(PROCESSES, encoding="utf-8")
    plant, simulated = tmp_path / "plant.yaml", tmp_path / "plant.simulated.yaml"
    with mosquitto(tmp_path / "broker") as broker, contextlib.ExitStack() as stack:
        plant.write_text(SITE.format(port=broker.port), encoding="utf-8")
        status, said = asked("check", plant)
        assert status == 0, said
        stack.enter_context(running(tmp_path / "simulate.log", "simulate", plant))
        poll("the simulated file", 40, simulated.exists)
        stack.enter_context(running(tmp_path / "serve.log", "serve", simulated))
        agent = stack.enter_context(running(tmp_path / "run.log", "run", simulated))

        def well() -> dict[str, Any] | None:
            code, text = asked("status", simulated, "--json")
            if code != 0:
                return None
            document: dict[str, Any] = json.loads(text)
            rows = document["serve"]["devices"]
            good = all(row["quality"] == "Good" and row["values"] > 0 for row in rows)
            return document if len(rows) == 2 and good else None

        document = poll("both devices good in the store", 60, well)
        assert document["agent"]["broker_connected"]
        poll("the metrics", 30, lambda: "设备联网率" in asked("metrics", "show", simulated)[1])
        code, text = asked("metrics", "show", simulated)
        assert code == 0, text
        agent.terminate()
        assert agent.wait(20) == 0
    logs = "".join((tmp_path / f"{name}.log").read_text() for name in ("simulate", "serve", "run"))
    assert "Traceback" not in logs
    assert "ERROR" not in logs


def test_a_faulty_register_is_told_and_the_data_is_stored_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "equipment.csv").write_text(EQUIPMENT.replace("FA-2", "FA-1"), encoding="utf-8")
    (tmp_path / "processes.csv").write_text(PROCESSES, encoding="utf-8")
    plant, simulated = tmp_path / "plant.yaml", tmp_path / "plant.simulated.yaml"
    with mosquitto(tmp_path / "broker") as broker, contextlib.ExitStack() as stack:
        plant.write_text(SITE.format(port=broker.port), encoding="utf-8")
        code, said = asked("check", plant)
        assert code == 2
        assert "FA-1" in said
        stack.enter_context(running(tmp_path / "simulate.log", "simulate", plant))
        poll("the simulated file", 40, simulated.exists)
        stack.enter_context(running(tmp_path / "serve.log", "serve", simulated))
        stack.enter_context(running(tmp_path / "run.log", "run", simulated))

        def stored() -> bool:
            text = asked("status", simulated, "--json")[1]
            serve = json.loads(text).get("serve") if text.startswith("{") else None
            return serve is not None and serve["counters"]["stored"] > 20

        poll("data in the store", 60, stored)
    assert "register-faulty" in (tmp_path / "serve.log").read_text()
