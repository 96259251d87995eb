"""`edge-agent report` on a real store: a shift of two machines is reported, packed, verified,
revised, looked at."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pytest

from edge_agent.app.figures import served_facts
from edge_agent.app.figures.served_facts import fact_source
from edge_agent.app.reports.command import health_check, monthly, subject
from edge_agent.cli.main import main
from edge_agent.config import load
from edge_agent.control import client, server, store_questions
from edge_agent.ingest import decode
from edge_agent.production.store_source import StoreFacts
from edge_agent.production.stored import trend
from edge_agent.production.window_document import production
from edge_agent.stores import Rows, Store, WriteBatch, open_store
from tests.support.sites import write
from tests.support.stranger import claimed, stranger

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
#: 2026-05-04 08:00 in Dongguan.
T0 = 1_777_852_800_000_000_000
MINUTES = 120

SITE = """\
store: {kind: duckdb, path: store.duckdb, quarantine: quarantine}
outbox: {path: outbox}
register: {equipment: equipment.csv, processes: processes.csv, calendar: calendar.yaml}
devices:
  - &machine
    id: lathe-01
    name: 数控车床
    line: ML1
    connector: modbus
    url: tcp://127.0.0.1:15020
    business_link: 设备管理
    every: 1s
    state:
      item: {tag: run, map: {0: NotExecuting, 1: Executing, 2: OutOfService}}
      mode: {tag: run, map: {0: Processing, 1: Processing, 2: Processing}}
    tags:
      run: {address: holding/0}
      parts_total: {address: holding/2, type: uint16}
      parts_scrap: {address: holding/3}
      power: {address: holding/4, unit: kW, scale: 0.1, range: [0, 30]}
  - {<<: *machine, id: lathe-02, url: "tcp://127.0.0.1:15021"}
  - id: never
    connector: modbus
    url: tcp://127.0.0.1:15022
    tags: {x: {address: holding/0}}
"""
EQUIPMENT = """\
equipment_id,name_zh,category,in_scope,status,workshop,line,process_id,control_class,digital,interface,networked_declared,gateway_device,is_robot,purchase_cny,project_id,nominal_cycle_s,schedule_id
EQ-1,<script>x</script>,machining,Y,in_use,机加,ML1,P10,cnc,Y,modbus_tcp,Y,lathe-01,N,100000,PRJ-1,50,day
EQ-2,检测机,inspection,Y,in_use,机加,ML1,P10,cnc,Y,modbus_tcp,Y,lathe-02,N,200000,PRJ-1,50,day
EQ-3,普通车床,machining,Y,in_use,机加,ML1,P10,manual,N,none,N,,N,,,,day
EQ-4,数控磨床,machining,Y,in_use,机加,ML1,P20,cnc,Y,modbus_tcp,Y,never,N,,,,day
"""
PROCESSES = (
    "process_id,name_zh,is_key,industry_type,reviewer\nP10,车削,Y,discrete,张\n"
    "P20,磨削,Y,discrete,张\n"
)
CALENDAR = "schedules: {day: {shifts: [{name: day, start: 8:00, end: 20:00}]}}\n"


def story(store: Store) -> Iterator[WriteBatch]:
    """A minute of work, every third minute a stop; a part a minute (the counter rolls over), one in
    ten scrap."""
    for device in ("lathe-01", "lathe-02"):
        documents, health = [], []
        for second in range(0, MINUTES * 60, 5):
            t, minute = T0 + second * SECOND, second // 60
            values = {"machine_state": 2 if minute % 3 == 2 else 3, "operation_mode": 3,
                      "parts_total": (65_500 + minute) % 65_536, "parts_scrap": minute // 10,
                      "power": 1.0 if minute % 3 == 2 else 4.0}  # fmt: skip
            documents.append({"v": 1, "device": device, "t": t, "values": values})
            health.append(row(device, t))
        rows = Rows.of(
            [decode.data(orjson.loads(orjson.dumps(item)), store.catalogue) for item in documents]
        )
        store.catalogue.born(
            {"device": device, "staleness": 6.0, "tags": {"power": {"type": "float", "unit": "kW"}}}
        )
        yield WriteBatch(rows, T0 + MINUTES * MINUTE, health=health)


def row(device: str, t: int) -> dict[str, Any]:
    return {
        "device": device,
        "t": t,
        "period_s": 5.0,
        "scheduled_s": 5.0,
        "covered_s": 5.0,
        "due": 5,
        "done": 5,
        "good": 20,
        "bad": 0,
        "values": 20,
        "latency_ms": 1.0,
        "latency_max_ms": 1.0,
        "overruns": 0,
        "state": "online",
        "reason": "",
        "last_good_t": t,
    }


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose store holds two hours of two machines, and one stored result."""
    folder = tmp_path_factory.mktemp("site")
    texts = {"equipment.csv": EQUIPMENT, "processes.csv": PROCESSES, "calendar.yaml": CALENDAR}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    path = write(folder, SITE)
    with closing(open_store(subject(path).site.store)) as store:
        for batch in story(store):
            store.write(batch)
        result = {
            "id": "M-03",
            "name_zh": "生产设备数字化率",
            "name_en": "digital rate",
            "unit": "1",
            "value": 0.5,
            "value_exact": "1/2",
            "numerator": 2,
            "denominator": 4,
            "numerator_ids": ["EQ-1", "EQ-2"],
            "denominator_ids": [],
            "grade": "E0",
            "register_version": "x",
            "computed_at": None,
        }
        store.put_metric("M-03", T0, result)
    return path


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment after the story; the plant's clock is set as the demo sets it."""
    monkeypatch.setattr(
        "edge_agent.app.reports.command.Clock.time_ns", lambda _: T0 + MINUTES * MINUTE
    )


@pytest.fixture(scope="module")
def reported(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The health check in all languages."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "edge_agent.app.reports.command.Clock.time_ns", lambda _: T0 + MINUTES * MINUTE
        )
        issue = health_check(subject(config), out, None, ["zh", "both"])
    return out / issue.stem, issue.document


def values(document: dict[str, Any]) -> dict[str, Any]:
    return {figure["key"]: figure["value"] for figure in document["figures"]}


def test_figures_of_a_known_shift(reported: tuple[Path, dict[str, Any]]) -> None:
    found = values(reported[1])
    # the last health row lies in the last minute, which is not over
    assert found["M-11@EQ-1"] == 80 / 119
    made = next(figure for figure in reported[1]["figures"] if figure["key"] == "M-12@EQ-1")
    assert (made["denominator"], made["numerator"]) == (119, 108)  # 65535 -> 0 is a part
    assert found["M-19@line:ML1"] == pytest.approx(2 * 6 * 0.0001229, rel=0.01)
    # 1 kW standing, 4 kW working
    assert found["M-20@EQ-2"] == pytest.approx(39 / (39 + 80 * 4), rel=1e-6)
    assert found["M-04a-effective"] == 0.5
    assert found["M-04a-declared"] == 0.75
    assert found["M-01-prorata"] == pytest.approx((2 / 3 + 1) / 2)


def test_the_report_and_the_running_service_say_the_same(
    config: Path, reported: tuple[Path, dict[str, Any]]
) -> None:
    about, window, found = subject(config), reported[1]["window"], values(reported[1])
    with closing(open_store(about.site.store)) as store:
        told = production(
            store, about.site, about.register, about.calendar, window["from_ns"], window["to_ns"]
        )
    scopes = [(f"@{key}", each) for key, each in told["machines"].items()]
    scopes += [(f"@line:{key}", each) for key, each in told["lines"].items()] + [("", told["site"])]
    compared = 0
    for suffix, scope in scopes:
        for metric, result in scope["results"].items():
            if f"{metric}{suffix}" in found and not metric.startswith("M-21"):
                value = result["value"]
                same = value if value is None else pytest.approx(value, rel=1e-6)
                assert found[f"{metric}{suffix}"] == same, f"{metric}{suffix}"
                compared += 1
    assert compared > 40


def test_files_of_an_issue(reported: tuple[Path, dict[str, Any]]) -> None:
    stem, document = reported
    names = {path.name.removeprefix(stem.name) for path in stem.parent.iterdir()}
    ends = {".json"} | {
        f".{language}.{end}" for language in ("zh", "both") for end in ("html", "xlsx", "csv.zip")
    }
    assert names == {"index.json", "SHA256SUMS", *ends}
    assert json.loads(stem.with_name(f"{stem.name}.json").read_bytes()) == document
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=stem.parent, check=True)
    page = stem.with_name(f"{stem.name}.zh.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;x" in page


def test_the_workbook_says_what_the_json_says(reported: tuple[Path, dict[str, Any]]) -> None:
    stem, document = reported
    book = openpyxl.load_workbook(io.BytesIO(stem.with_name(f"{stem.name}.zh.xlsx").read_bytes()))
    rows = {row[0].value: row[5].value for row in book["figures"].iter_rows(min_row=2)}
    found = values(document)
    assert rows.keys() == found.keys()
    assert all(
        rows[key] == pytest.approx(found[key], rel=1e-14) for key in found if found[key] is not None
    )


def test_pack_verify_and_chain(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["report", "evidence", str(config), "--out", str(tmp_path), "--project", "PRJ-1"]
    assert main([*command, "--snapshot", "2026-05-04", "--snapshot", "2020-01-01"]) == 0
    assert main(command) == 0
    first, second = (tmp_path / f"evidence-PRJ-1-{number:03}" for number in (1, 2))
    assert main(["verify", str(second), "--previous", str(first)]) == 0
    assert "chain: 1 项 checked, 0 项不符 different" in capsys.readouterr().out
    assert stranger(first) == claimed(first)
    assert "M-03" in (first / "snapshots.csv").read_text(encoding="utf-8-sig")
    (first / "facts" / "states.csv").write_text("", encoding="utf-8")
    assert main(["verify", str(first)]) == 1
    assert main([*command[:-1], "NONE"]) == 2
    assert "PRJ-1" in capsys.readouterr().err


def test_a_closed_month_is_issued_again_as_a_revision_when_late_data_come(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = subject(config)
    open_month = monthly(about, tmp_path, "2026-05", ["zh"])
    assert (open_month.document["closed"], open_month.document["revision"]) == (False, 1)
    # The plant's first month: time, rates and energy begin with its first data, and page 1 says so.
    assert open_month.document["window"]["from_ns"] == T0
    assert "Not the whole month" in open_month.document["summary"][0]["items"][0]["en"]
    assert values(open_month.document)["M-11"] == pytest.approx(2 / 3, abs=0.01)
    assert not any(
        figure["provisional"]
        for figure in open_month.document["figures"]
        if figure["key"] == "M-11"
    )
    monkeypatch.setattr(
        "edge_agent.app.reports.command.Clock.time_ns", lambda _: T0 + 60 * 86_400 * SECOND
    )
    later = subject(config)
    closed = monthly(later, tmp_path, "2026-05", ["zh"])
    assert (closed.document["closed"], closed.document["revision"], closed.new) == (True, 2, True)
    assert not monthly(later, tmp_path, "2026-05", ["zh", "en"]).new
    assert (tmp_path / "monthly-2026-05-r2.en.html").is_file()
    nothing = monthly(later, tmp_path, "2026-04", ["zh"]).document
    assert values(nothing)["M-11"] is None
    assert values(nothing)["M-04a-effective"] is None
    assert "Not the whole month" not in json.dumps(nothing["summary"])
    assert values(nothing)["M-03"] == 0.75
    assert nothing["parts"][-1]["blocks"][1]["name"] == "trend"


def test_snapshot_and_compare(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["report", "snapshot", str(config), "--out", str(tmp_path), "--at", "2026-05-04"]) == 0
    )
    assert (
        main(["report", "snapshot", str(config), "--out", str(tmp_path), "--at", "2020-05-04"]) == 1
    )
    assert main(["report", "health-check", str(config), "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    report = next(path for path in tmp_path.glob("health-check-*.json"))
    shot = tmp_path / "snapshot-2026-05-04.json"
    assert main(["report", "compare", str(shot), str(report), "--json"]) == 0
    rows = {each["key"]: each for each in json.loads(capsys.readouterr().out)["differences"]}
    assert (rows["M-03"]["before"], rows["M-03"]["after"], rows["M-03"]["entered"]) == (
        "1/2",
        "3/4",
        ["EQ-4"],
    )
    assert main(["report", "compare", str(report), str(report)]) == 0
    assert "没有差异" in capsys.readouterr().out


def test_late_data_of_a_closed_month_is_another_revision_that_says_what_changed(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edge_agent.app.reports.command.Clock.time_ns", lambda _: T0 + 60 * 86_400 * SECOND
    )
    about = subject(shutil.copytree(config.parent, tmp_path / "site") / config.name)
    first = monthly(about, tmp_path / "out", "2026-05", ["zh"])
    issued = (tmp_path / "out" / f"{first.stem}.json").read_bytes()
    late = [row("lathe-02", T0 + (MINUTES * 60 + second) * SECOND) for second in range(5, 3600, 5)]
    with closing(open_store(about.site.store)) as store:
        store.write(WriteBatch(Rows.empty(), T0 + 60 * 86_400 * SECOND, health=late))
    again = monthly(about, tmp_path / "out", "2026-05", ["zh"])
    assert (first.document["revision"], again.document["revision"]) == (1, 2)
    assert (tmp_path / "out" / f"{first.stem}.json").read_bytes() == issued
    assert {"M-04d", "M-05"} <= {change["key"] for change in again.document["changes"]}
    assert again.document["parts"][-1]["blocks"][0]["name"] == "changes"


def test_an_issued_month_whose_readings_are_gone_stands(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Retention took the readings; a row that comes later must not make the month worse than it
    was."""
    site, out = shutil.copytree(config.parent, tmp_path / "site") / config.name, tmp_path / "out"
    monkeypatch.setattr(
        "edge_agent.app.reports.command.Clock.time_ns", lambda _: T0 + 60 * 86_400 * SECOND
    )
    first = monthly(subject(site), out, "2026-05", ["zh"])
    after = T0 + 420 * 86_400 * SECOND
    monkeypatch.setattr("edge_agent.app.reports.command.Clock.time_ns", lambda _: after)
    about = subject(site)
    with closing(open_store(about.site.store)) as store:
        store.retain(after)
        assert len(store.samples("lathe-01", "machine_state", 0, after)) == 0
    again = monthly(about, out, "2026-05", ["zh"])
    assert (again.new, again.document) == (False, first.document)
    assert values(first.document)["M-11"] is not None
    assert (
        main(
            [
                "report",
                "monthly",
                str(site),
                "--out",
                str(out),
                "--month",
                "2026-05",
                "--lang",
                "zh",
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "this revision stands" in printed
    assert "Readings before 2026-" in printed
    unissued = monthly(about, tmp_path / "other", "2026-05", ["zh"]).document
    assert "have been deleted" in unissued["summary"][0]["items"][0]["en"]
    assert values(unissued)["M-11"] != values(first.document)["M-11"], (
        "the test would not see a worse figure"
    )


DAY = 86_400 * SECOND
#: The end of 2026-05-03 in Dongguan, and what is kept of a day when it is over.
MIDNIGHT = T0 - 8 * 3600 * SECOND


def kept(
    metric: str, top: float, bottom: float, revision: int = 0, kind: str = "day"
) -> dict[str, Any]:
    return {
        "id": f"{metric}/{kind}/site",
        "name_zh": metric,
        "name_en": metric,
        "unit": "1",
        "value": top / bottom,
        "value_exact": None,
        "numerator": top,
        "denominator": bottom,
        "numerator_ids": [],
        "denominator_ids": [],
        "grade": "E3",
        "period": {"kind": kind},
        "revision": revision,
    }


@pytest.fixture
def days(config: Path) -> None:
    """Two full days of OEE and energy, of which late data corrected the second."""
    with closing(open_store(subject(config).site.store)) as store:
        for midnight, document in (
            (MIDNIGHT - DAY, kept("M-14", 10, 100)),
            (MIDNIGHT, kept("M-14", 30, 100)),
            (MIDNIGHT, kept("M-14", 40, 100, revision=1)),
            (MIDNIGHT, kept("M-14", 99, 100, kind="shift")),
            (MIDNIGHT - DAY, kept("M-18", 50, 100)),
            (MIDNIGHT, kept("M-18", 150, 300)),
            (MIDNIGHT - DAY, kept("M-19", 100, 1000)),
            (MIDNIGHT, kept("M-19", 200, 1000)),
        ):
            store.put_metric(document["id"], midnight, document)


@pytest.mark.usefixtures("days")
def test_a_snapshot_holds_the_last_full_days_oee_and_energy(config: Path, tmp_path: Path) -> None:
    found = {}
    for at in ("2026-05-02", "2026-05-03", "2026-05-04"):
        assert main(["report", "snapshot", str(config), "--out", str(tmp_path), "--at", at]) in (
            0,
            1,
        )
        document = json.loads((tmp_path / f"snapshot-{at}.json").read_bytes())
        found[at] = {figure["id"]: figure["value"] for figure in document["figures"]}
    assert found["2026-05-02"]["M-14/day/site"] == 0.1
    assert found["2026-05-03"]["M-14/day/site"] == 0.4  # as corrected
    assert found["2026-05-03"]["M-18/day/site"] == 0.5
    assert found["2026-05-04"]["M-03"] == 0.5
    assert "M-14/shift/site" not in found["2026-05-03"]
    before, after = (str(tmp_path / f"snapshot-2026-05-0{day}.json") for day in (2, 3))
    assert main(["report", "compare", before, after]) == 0


@pytest.mark.usefixtures("days")
def test_the_trend_of_a_month_is_the_sum_of_its_days(config: Path, tmp_path: Path) -> None:
    document = monthly(subject(config), tmp_path, "2026-05", ["zh"]).document
    tables = {
        block["name"]: block
        for block in document["parts"][-1]["blocks"]
        if block["kind"] == "table"
    }
    if "trend" not in tables:  # a revision part follows when the month was issued before
        tables = {b["name"]: b for b in document["parts"][-2]["blocks"] if b["kind"] == "table"}
    heads = [column["title"]["en"].split(" ")[0] for column in tables["trend"]["columns"]]
    last = dict(zip(heads, tables["trend"]["rows"][-1], strict=True))
    assert last["month"] == "2026-05"
    assert last["M-14"] == pytest.approx(50 / 200)
    energy = tables["trend_energy"]["rows"][-1]
    assert energy[1:] == [pytest.approx(200 / 400), pytest.approx(0.3)]
    # nothing is stored of a year before
    assert tables["trend"]["rows"][0][1:] == [None] * (len(heads) - 1)


def test_months_without_results_cost_a_trend_one_question_each(config: Path) -> None:
    """Not one for each of their days: through the running service every question crosses a
    socket."""
    site = load(config)
    with closing(open_store(site.store, site.agent.id)) as store:
        source = _Counted(store)
        trend(source, site, "2020-12")
        assert source.windows == []
        trend(source, site, "2026-05")
        assert 0 < len(source.windows) <= 31 + 4


class _Counted(StoreFacts):
    """The store's answers, and for which windows results were asked for."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.windows: list[tuple[int, int]] = []

    def stored(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        self.windows.append((from_ns, to_ns))
        return super().stored(from_ns, to_ns)


SINS = """\
equipment_id,name_zh,category,in_scope,status,workshop,line,process_id,control_class,digital,interface,networked_declared,gateway_device,is_robot,schedule_id
EQ-1,数控车床,machining,Y,in_use,机加,ML1,P99,cnc,Y,modbus_tcp,Y,lathe-01,N,nights
EQ-2,检测机,inspection,Y,in_use,机加,ML1,P10,cnc,Y,modbus_tcp,Y,lathe-02;nevr,N,day
EQ-3,磨床,machining,Y,in_use,机加,ML1,P10,cnc,Y,none,Y,nowhere,N,
"""


def test_a_register_full_of_mistakes_is_reported_with_each_of_them(
    config: Path, tmp_path: Path
) -> None:
    """Through the command and the store: every mistake is in part 3, by row and column, and the
    report stands."""
    folder = shutil.copytree(config.parent, tmp_path / "site")
    (folder / "equipment.csv").write_text(SINS, encoding="utf-8")
    assert (
        main(["report", "health-check", str(folder / config.name), "--out", str(tmp_path / "out")])
        == 0
    )
    document = json.loads(next((tmp_path / "out").glob("health-check-*.json")).read_bytes())
    remarks = next(
        b["rows"]
        for p in document["parts"]
        for b in p["blocks"]
        if b.get("name") == "register_remarks"
    )
    assert sorted(place for place, _ in remarks) == sorted(
        [
            "equipment.csv:2:process_id",
            "equipment.csv:3:gateway_device",
            "equipment.csv:4:interface",
            "equipment.csv:4:gateway_device",
            "processes.csv:3:process_id",
            "equipment.csv:EQ-1:schedule_id",
            "equipment.csv:EQ-3:schedule_id",
        ]
    )
    assert values(document)["M-03"] == 1.0
    assert any(
        "7" in item["zh"] and "提示" in item["zh"] for item in document["summary"][1]["items"]
    )


def test_a_running_service_is_asked_instead_of_its_file(config: Path, tmp_path: Path) -> None:
    about = subject(config)
    with closing(open_store(about.site.store)) as store, served(about.site.store.path, store):
        asked = health_check(about, tmp_path, None, [])
    with fact_source(about.site) as source:
        assert source.series()["lathe-01"]["power"]["unit"] == "kW"
    assert (
        asked.document["content_sha256"]
        == health_check(about, tmp_path, None, []).document["content_sha256"]
    )


class served:  # noqa: N801 - reads as a function where it is used
    """The store's questions on its socket, from a thread of its own."""

    def __init__(self, path: Path, store: Store) -> None:
        self._path, self._known = (
            path,
            store_questions.operations(store) | served_facts.operations(store),
        )
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    async def _serve(self) -> None:
        async with server.serve_socket(client.socket_path(self._path), self._known):
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


def test_without_a_register_the_next_step_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "store: {path: store.duckdb}\n")
    assert main(["report", "health-check", str(path), "--out", str(tmp_path)]) == 2
    assert "register template" in capsys.readouterr().err


CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    "",
)


@pytest.mark.skipif(
    not CHROMIUM, reason="chromium is not installed: the page is not opened in a browser"
)
def test_a_browser_shows_the_page_without_a_complaint(
    reported: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    stem, _ = reported
    picture = tmp_path / "page.png"
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--enable-logging=stderr",
        "--window-size=1040,3000",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    page = stem.with_name(f"{stem.name}.both.html").as_uri()
    command = [CHROMIUM, *options, f"--screenshot={picture}", page]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)
    assert "CONSOLE" not in shown.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 60_000  # an empty page has a few kilobytes
