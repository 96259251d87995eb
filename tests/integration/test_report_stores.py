"""One plant ingested by three `edge-agent serve` into DuckDB, InfluxDB and VictoriaMetrics: equal
figures and reports.

The plant has what is awkward for a server behind HTTP: a silent stretch, bad readings, a counter
that rolls over, one that is sent by change only, a meter of large numbers, texts, times of odd
nanoseconds, messages sent twice and late.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.app.status.ask import ask_serve, serve_socket
from edge_agent.cli.main import main
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.models import Site
from edge_agent.control.client import ask
from tests.support import servers
from tests.support.stranger import claimed, stranger

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
MINUTES: Final = 120
#: Seconds between two readings of a device.
EVERY: Final = 10
KINDS: Final = ("duckdb", "influxdb1", "line")
#: The story ends now, so that the rates of the last 30 days speak of it. An odd time, as a clock
#: gives it.
END: Final = time.time_ns() // MINUTE * MINUTE
T0: Final = END - MINUTES * MINUTE
ODD: Final = 123_456_789
STREAM: Final = "ipc-01/0/9f3c"

pytestmark = pytest.mark.timeout(600)

SITE = """\
agent: {{id: ipc-01, site: dongguan}}
mqtt: {{url: 'mqtt://127.0.0.1:{port}', topic_prefix: {kind}, client_id: {kind}}}
store: {{kind: {kind}, path: store.duckdb, quarantine: quarantine, bucket: edge{url}}}
outbox: {{path: outbox}}
register: {{equipment: equipment.csv, processes: processes.csv, calendar: calendar.yaml}}
devices:
  - &machine
    id: lathe-01
    line: ML1
    connector: modbus
    url: tcp://127.0.0.1:15020
    business_link: 设备管理
    every: 10s
    state:
      item: {{tag: run, map: {{0: NotExecuting, 1: Executing, 2: OutOfService}}}}
      mode: {{tag: run, map: {{0: Processing, 1: Processing, 2: Processing}}}}
    tags:
      run: {{address: holding/0}}
      parts_total: {{address: holding/2, type: uint16}}
      parts_scrap: {{address: holding/3}}
      power: {{address: holding/4, unit: kW, scale: 0.1, range: [0, 30]}}
  - {{<<: *machine, id: lathe-02, url: "tcp://127.0.0.1:15021"}}
  - id: meter
    line: ML1
    connector: modbus
    url: tcp://127.0.0.1:15022
    tags: {{energy_import: {{address: holding/0, unit: kWh}}, power: {{address: holding/2, unit: kW}}}}
  - id: never
    connector: modbus
    url: tcp://127.0.0.1:15023
    tags: {{x: {{address: holding/0}}}}
"""
EQUIPMENT = """\
equipment_id,name_zh,category,in_scope,status,workshop,line,process_id,control_class,digital,interface,networked_declared,gateway_device,is_robot,purchase_cny,project_id,nominal_cycle_s,schedule_id
EQ-1,车床,machining,Y,in_use,机加,ML1,P10,cnc,Y,modbus_tcp,Y,lathe-01,N,100000,PRJ-1,50,day
EQ-2,检测机,inspection,Y,in_use,机加,ML1,P10,cnc,Y,modbus_tcp,Y,lathe-02,N,200000,PRJ-1,50,day
EQ-3,普通车床,machining,Y,in_use,机加,ML1,P10,manual,N,none,N,,N,,,,day
EQ-4,数控磨床,machining,Y,in_use,机加,ML1,P20,cnc,Y,modbus_tcp,Y,never,N,,,,day
EQ-9,电表,meter,N,in_use,机加,ML1,,none,Y,modbus_tcp,Y,meter,N,,,,day
"""
PROCESSES = (
    "process_id,name_zh,is_key,industry_type,reviewer\nP10,车削,Y,discrete,张\n"
    "P20,磨削,Y,discrete,张\n"
)
CALENDAR = """\
schedules:
  day: {shifts: [{name: a, start: '0:00', end: '8:00'}, {name: b, start: '8:00', end: '16:00'},
                 {name: c, start: '16:00', end: '0:00'}]}
"""
BIRTHS: Final[Mapping[str, Mapping[str, Any]]] = {
    "lathe-01": {
        "run": {"type": "int"},
        "parts_total": {"type": "int"},
        "power": {"type": "float", "unit": "kW"},
    },
    "lathe-02": {
        "run": {"type": "int"},
        "parts_total": {"type": "int"},
        "power": {"type": "float", "unit": "kW"},
    },
    "meter": {
        "energy_import": {"type": "float", "unit": "kWh"},
        "power": {"type": "float", "unit": "kW"},
    },
}


def withheld(device: str, _kind: str, document: dict[str, Any]) -> bool:
    """What stays in the agent's outbox until the last test: ten minutes of one machine, readings
    and health rows."""
    return device == "lathe-02" and T0 + 100 * MINUTE <= document["t"] < T0 + 110 * MINUTE


Story = list[tuple[int, tuple[str, str, dict[str, Any]]]]


def values(story: Story) -> int:
    """What a store counts of it."""
    data = [document for _, (_, kind, document) in story if kind == "data"]
    return sum(len(document["values"]) + len(document["quality"]) for document in data)


def running(minute: int) -> int:
    """Machine state: every third minute a stop, an hour in a failure of two minutes."""
    return 1 if minute in (60, 61) else 2 if minute % 3 == 2 else 3


def documents() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(device, data or health, document) in order of time, numbered as one stream."""
    for second in range(0, MINUTES * 60, EVERY):
        t, minute = T0 + second * SECOND + ODD, second // 60
        for device in BIRTHS:
            silent = device == "lathe-01" and 40 <= minute < 50
            if not silent:
                yield device, "data", reading(device, second, t)
            yield device, "health", health(device, t, silent, second)


def reading(device: str, second: int, t: int) -> dict[str, Any]:
    minute = second // 60
    if device == "meter":
        kwh = 327_136.25 + second // 40 / 32
        values: dict[str, Any] = {"energy_import": kwh, "power": 2.8 + second * 7919 % 1000 / 5000}
        return {"t": t, "values": values, "quality": {}}
    state = running(minute)
    values = {"power": 1.25 if state != 3 else 4 + second * 7919 % 1000 / 1000}
    steady = {
        "machine_state": state,
        "operation_mode": 3,
        "parts_total": (65_500 + minute) % 65_536,
        "parts_scrap": minute // 10,
        "program": f"O{minute // 40}.NC",
    }
    before = minute - 1 if second % 60 == 0 else minute
    changed = second == 0 or (second % 60 == 0 and running(before) != state)
    if device == "lathe-01":
        values |= steady | {"axes": [1.5, minute]}
    else:  # reports by change
        values |= {"machine_state": state} if changed else {}
        values |= {
            key: value
            for key, value in steady.items()
            if second % 60 == 0 and key != "machine_state"
        }
    quality = {}
    if device == "lathe-01" and 90 * 60 <= second < 90 * 60 + 30:
        quality = dict.fromkeys(("machine_state", "power"), "BadTimeout")
        values = {key: value for key, value in values.items() if key not in quality}
    source = {"source": {"power": (t - 40 * 1_000_000) // 1_000_000}} if "power" in values else {}
    return {"t": t, "values": values, "quality": quality, **source}


def health(device: str, t: int, silent: bool, second: int) -> dict[str, Any]:
    last = T0 + (40 * 60 - EVERY) * SECOND + ODD
    row = {
        "t": t,
        "period_s": EVERY,
        "scheduled_s": EVERY,
        "covered_s": EVERY,
        "due": EVERY,
        "done": EVERY,
        "good": 20,
        "bad": 0,
        "values": 20,
        "latency_ms": 1.25,
        "latency_max_ms": 2.5,
        "overruns": 0,
        "state": "online",
        "reason": "",
        "last_good_t": t,
    }
    if silent:
        row |= {
            "covered_s": 0.0,
            "done": 0,
            "good": 0,
            "bad": 20,
            "values": 0,
            "latency_ms": None,
            "latency_max_ms": None,
            "state": "offline",
            "reason": "BadTimeout",
            "last_good_t": last,
        }
    moves = {40 * 60: ("online", "offline", "BadTimeout"), 50 * 60: ("offline", "online", "")}
    if device == "lathe-01" and second in moves:
        before, after, reason = moves[second]
        row["transition"] = {
            "from": before,
            "to": after,
            "reason": reason,
            "zh": "变化",
            "en": "moved",
        }
    return row


@dataclass
class Service:
    """A running `edge-agent serve` and where its configuration is."""

    kind: str
    config: Path
    site: Site
    process: subprocess.Popen[bytes]
    flush: str
    retained: dict[str, Any] = field(default_factory=dict)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def stored(self) -> int:
        status = ask_serve(self.site)
        return -1 if status is None else int(status["counters"]["stored"])

    def settle(self) -> None:
        """VictoriaMetrics shows what it took a second later, or at once when asked to."""
        if self.flush:
            urllib.request.urlopen(self.flush).read()


def wait(condition: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.05)  # poll interval of this waiter


def wait_all(services: Mapping[str, Service], values: int) -> None:
    for service in services.values():
        wait(
            lambda service=service: service.stored() == values,
            f"{service.kind}: {service.stored()} of {values}",
        )  # type: ignore[misc]
        service.settle()
    # VictoriaMetrics may remember for a while that series it was asked for before they were
    # searchable were not there: those of health rows, and those of readings and their status.
    for answer in (heard, seen):
        told = answer(services["duckdb"])
        assert set(told) == set(BIRTHS)
        for service in services.values():
            wait(
                lambda service=service, answer=answer, told=told: answer(service) == told,
                f"{service.kind}: {answer(service)}, not {told}",
            )  # type: ignore[misc]


def heard(service: Service) -> dict[str, tuple[int, int]]:
    """Turns and good readings of each device, by the health rows the store answers with."""
    rows = ask(serve_socket(service.site), "health", from_ns=T0, to_ns=END)
    return {device: (row["due"], row["good"]) for device, row in rows.items()}


def seen(service: Service) -> dict[str, tuple[int, int]]:
    """Readings of each device, and those that are not good, by the samples the store answers
    with."""
    rows = ask(
        serve_socket(service.site), "report_quality", devices=list(BIRTHS), from_ns=T0, to_ns=END
    )
    return {device: (row["readings"], row["not_good"]) for device, row in rows.items()}


@contextlib.contextmanager
def serving(kind: str, folder: Path, port: int, url: str, flush: str) -> Iterator[Service]:
    folder.mkdir()
    config = folder / "site.yaml"
    config.write_text(
        SITE.format(kind=kind, port=port, url=f", url: '{url}'" if url else ""), encoding="utf-8"
    )
    for name, text in {
        "equipment.csv": EQUIPMENT,
        "processes.csv": PROCESSES,
        "calendar.yaml": CALENDAR,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    with (folder / "serve.log").open("wb") as log:
        # The clock runs fast, so that the rounds of the production figures (a minute apart) come
        # soon.
        environment = {**os.environ, **Clock(5.0, END).to_environment()}
        argv = [sys.executable, "-m", "edge_agent", "serve", str(config)]
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)
    service = Service(kind, config, load(config), process, flush)
    try:
        wait(
            lambda: (ask_serve(service.site) or {}).get("broker_connected", False),
            f"{kind} is connected",
        )
        yield service
    finally:
        service.stop()


class Wire:
    """Publishes the story to every service's prefix, and hears what they publish."""

    def __init__(self, port: int, services: Mapping[str, Service]) -> None:
        self._services = services
        self.heard: dict[str, dict[str, Any]] = {kind: {} for kind in services}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="agent")
        self._client.max_inflight_messages_set(200)
        self._client.on_message = self._hear
        self._lock = threading.Lock()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _hear(self, _client: Any, _data: Any, message: Any) -> None:
        prefix, _, metric = message.topic.partition("/metrics/")
        with self._lock:
            self.heard[prefix.split("/")[0]][metric] = orjson.loads(message.payload)

    def retained(self) -> None:
        """Subscribe now: what is heard first is what the broker kept."""
        self._client.subscribe([(f"{kind}/+/+/metrics/#", 1) for kind in self._services])

    def births(self) -> None:
        for device, tags in BIRTHS.items():
            birth = {
                "v": 1,
                "device": device,
                "agent": "ipc-01",
                "t": T0,
                "staleness": 11.0,
                "tags": tags,
            }
            self._send(device, "birth", birth, retain=True)

    def send(self, numbered: Story) -> None:
        infos = [
            info
            for seq, (device, kind, document) in numbered
            for info in self._send(
                device, kind, {"device": device, "stream": STREAM, "seq": seq, **document}
            )
        ]
        for info in infos:
            info.wait_for_publish(30)

    def _send(
        self, device: str, kind: str, document: dict[str, Any], retain: bool = False
    ) -> list[Any]:
        payload = orjson.dumps({"v": 1, **document})
        return [
            self._client.publish(
                f"{prefix}/enterprise/dongguan/area/ML1/{device}/{kind}", payload, 1, retain
            )
            for prefix in self._services
        ]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Service], Wire]]:
    """Three services that took the same story, its middle late and twice."""
    folder = tmp_path_factory.mktemp("stores")
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(servers.mosquitto(folder / "broker")).port
        influx = stack.enter_context(servers.influxdb1(folder / "influx")).port
        metrics = stack.enter_context(servers.victoria_metrics(folder / "vm")).port
        urls = {
            "duckdb": "",
            "influxdb1": f"http://127.0.0.1:{influx}",
            "line": f"http://127.0.0.1:{metrics}",
        }
        flush = {"line": f"http://127.0.0.1:{metrics}/internal/force_flush"}
        services = {
            kind: stack.enter_context(
                serving(kind, folder / kind, port, urls[kind], flush.get(kind, ""))
            )
            for kind in KINDS
        }
        wire = Wire(port, services)
        stack.callback(wire.close)
        wire.births()
        story = [entry for entry in enumerate(documents(), 1) if not withheld(*entry[1])]
        third = len(story) // 3
        wire.send(story[:third] + story[2 * third :])
        wire.send(story[third : 2 * third] + story[third : third + 50])
        wait_all(services, values(story))
        yield services, wire


#: What says when or under which configuration a document was made, or is a hash of such.
_OWN: Final = {"issued", "content_sha256", "sources", "computed_at"}
_OF_ITS_OWN: Final = re.compile(r"^[0-9a-f]{64}$")


def differences(one: Any, other: Any, kind: str, path: str = "") -> Iterator[str]:
    """Where two documents differ; numbers by more than a millionth. VictoriaMetrics cuts times to
    milliseconds."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key not in _OWN and not (
                key == "value_exact" and (kind == "line" or ".M-21" in path)
            ):
                yield from differences(one.get(key), other.get(key), kind, f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differences(a, b, kind, f"{path}[{place}]")
    elif isinstance(one, int | float) and isinstance(other, int | float):
        if abs(one - other) > (0.01 if kind == "line" else 0) + 1e-6 * abs(one):
            yield f"{path}: {one} {other}"
    elif one != other and not (isinstance(one, str) and _OF_ITS_OWN.search(one)):
        yield f"{path}: {one!r} {other!r}"


def production(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = ask(serve_socket(service.site), "production", from_ns=T0, to_ns=END)
    return found


def test_production_figures_are_equal(stores: tuple[dict[str, Service], Wire]) -> None:
    services, _ = stores
    found = {kind: production(service) for kind, service in services.items()}
    assert found["duckdb"]["machines"]["EQ-1"]["failures"] == 1
    for kind in KINDS[1:]:
        assert list(differences(found["duckdb"], found[kind], kind)) == []
    assert (
        found["line"]["machines"]["EQ-1"]["seconds"]
        == found["duckdb"]["machines"]["EQ-1"]["seconds"]
    )


def figures(document: dict[str, Any]) -> dict[str, Any]:
    return {figure["key"]: figure["value"] for figure in document["figures"]}


def facts(document: dict[str, Any]) -> dict[str, Any]:
    """Without the lateness, and the trend of results as they were stored: each service has its own
    moment for them."""
    rest = [figure for figure in document["figures"] if not figure["key"].startswith("M-21")]
    parts = [part for part in document["parts"] if part["title"]["en"] != "trend"]
    blocks = [[block for block in part["blocks"] if not told_late(block)] for part in parts]
    return {**document, "figures": rest, "parts": blocks}


def told_late(block: dict[str, Any]) -> bool:
    return "lateness" in json.dumps(block)


def reported(service: Service, out: Path, *command: str) -> dict[str, Any]:
    """The JSON of a report made by the command."""
    assert main(["report", command[0], str(service.config), "--out", str(out), *command[1:]]) == 0
    newest = max(out.glob(f"{command[0]}-*.json"), key=lambda path: path.stat().st_mtime_ns)
    found: dict[str, Any] = json.loads(newest.read_bytes())
    return found


def test_reports_are_equal_whether_the_service_or_the_store_is_asked(
    stores: tuple[dict[str, Service], Wire], tmp_path: Path
) -> None:
    services, _ = stores
    window = ["--window", f"{minute(T0)}..{minute(END)}"]
    month = ["--month", minute(END)[:7]]
    asked = {
        kind: [reported(each, tmp_path / kind, "health-check", *window)]
        for kind, each in services.items()
    }
    for _ in range(3):  # a month so far ends with the newest full minute: all of them within one
        months = {
            kind: reported(each, tmp_path / kind, "monthly", *month)
            for kind, each in services.items()
        }
        if len({str(facts(each)["figures"][0]["window"]) for each in months.values()}) == 1:
            break
    for kind, each in months.items():
        asked[kind].append(each)
    assert figures(asked["duckdb"][0])["M-04a-effective"] == 0.5
    for kind in KINDS[1:]:
        for one, other in zip(asked["duckdb"], asked[kind], strict=True):
            assert list(differences(facts(one), facts(other), kind)) == []
    for kind, service in services.items():
        out = ["--out", str(tmp_path / kind), "--project", "PRJ-1"]
        assert main(["report", "evidence", str(service.config), *out]) == 0
        pack = tmp_path / kind / "evidence-PRJ-1-001"
        assert main(["verify", str(pack)]) == 0
        assert stranger(pack) == claimed(pack)


def minute(t: int) -> str:
    """A minute as the plant's clock shows it."""
    return datetime.fromtimestamp(t // SECOND, ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%dT%H:%M")


#: Rates that do not fall while time goes on without data.
_TIMELESS: Final = (
    "M-01-strict",
    "M-01-prorata",
    "M-01-any",
    "M-02",
    "M-03",
    "M-04a-declared",
    "M-08-value",
)


def test_results_are_kept_and_published_retained(stores: tuple[dict[str, Service], Wire]) -> None:
    services, wire = stores
    wire.retained()

    def all_heard(kind: str) -> bool:
        """The running figures, and rates that rest on all that was stored."""
        rate = wire.heard[kind].get("M-05", {})
        return rate.get("numerator") == good and "M-11/day/site" in wire.heard[kind]

    good = sum(
        document["good"]
        for device, kind, document in documents()
        if kind == "health" and device != "meter" and not withheld(device, kind, document)
    )
    for kind in KINDS:
        wait(lambda kind=kind: all_heard(kind), kind, 300)  # type: ignore[misc]
    first = wire.heard["duckdb"]
    for kind, service in services.items():
        heard = wire.heard[kind]
        assert heard.keys() == first.keys()
        for metric in _TIMELESS:
            same = (
                "id",
                "value_exact",
                "numerator_ids",
                "denominator_ids",
                "grade",
                "register_version",
            )
            assert [heard[metric][key] for key in same] == [first[metric][key] for key in same], (
                metric
            )
        kept = {document["id"]: document for document in ask(serve_socket(service.site), "metrics")}
        assert kept.keys() == {metric for metric in heard if "/" not in metric}
        assert main(["metrics", "show", str(service.config), "--json"]) == 0


def test_a_backlog_corrects_its_window_and_a_closed_month_is_issued_again(
    stores: tuple[dict[str, Service], Wire], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, wire = stores
    monkeypatch.setattr(
        "edge_agent.app.reports.command.Clock.time_ns", lambda _: END + 40 * 86_400 * SECOND
    )
    month = ["--month", minute(END)[:7]]
    before = {kind: production(service) for kind, service in services.items()}
    issued = {
        kind: reported(service, tmp_path / kind, "monthly", *month)
        for kind, service in services.items()
    }
    kept = {kind: (tmp_path / kind / f"monthly-{month[1]}.json").read_bytes() for kind in services}

    story = list(enumerate(documents(), 1))
    wire.send([entry for entry in story if withheld(*entry[1])])
    wait_all(services, values(story))

    after = {kind: production(service) for kind, service in services.items()}
    for kind, service in services.items():
        unknown = [
            found[kind]["machines"]["EQ-2"]["seconds"]["unknown"] for found in (before, after)
        ]
        assert unknown == pytest.approx([600 + EVERY, EVERY], abs=0.01)
        assert list(differences(after["duckdb"], after[kind], kind)) == []
        again = reported(service, tmp_path / kind, "monthly", *month)
        assert (issued[kind]["closed"], again["closed"]) == (True, True)
        assert (issued[kind]["revision"], again["revision"]) == (1, 2)
        assert (tmp_path / kind / f"monthly-{month[1]}.json").read_bytes() == kept[kind], (
            "what was issued stays"
        )
        changed = json.dumps(again["parts"][-1], ensure_ascii=False)
        assert "M-11@EQ-2" in changed
