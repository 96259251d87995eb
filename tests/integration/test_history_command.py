"""`edge-agent history` from every kind of store, with the service running and without it: the same
past each time."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import orjson
import pytest

from edge_agent.app.serve import StoreService
from edge_agent.app.values.source import ServedSource
from edge_agent.app.values.text import iso
from edge_agent.cli.main import main
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.control import client
from edge_agent.errors import StoreError
from edge_agent.ingest import decode
from edge_agent.stores import Rows, WriteBatch, open_store
from edge_agent.stores.remote import http
from tests.support import servers
from tests.support.aio import run, until

ZONE = ZoneInfo("Asia/Shanghai")
S = 1_000_000_000
#: Half an hour of seconds, an hour ago, to the millisecond that every store keeps.
T0 = (time.time_ns() // S - 3600) * S + 123_000_000
SECONDS = 1800
#: Where nothing was read, and where it was bad.
GAP = range(600, 900)
BAD = range(1200, 1260)
COLUMNS = ["t", "device", "tag", "value", "unit", "quality"]
META = {
    "power": {"type": "float", "every": 1.0, "unit": "kW"},
    "mode": {"type": "int", "every": 1.0, "map": {"0": "停止", "1": "运行"}},
    "program": {"type": "text", "every": 1.0},
    "alarm": {"type": "bool", "every": 1.0},
    "axes": {"type": "array", "every": 1.0},
}


def power(second: int) -> float:
    return second % 60 / 4


def written(second: int) -> dict[str, Any]:
    values: dict[str, Any] = {
        "power": power(second),
        "mode": second // 300 % 2,
        "program": 'O1000 "a", 次',
        "alarm": second % 7 == 0,
        "axes": [1.5, 2.5],
    }
    document: dict[str, Any] = {"v": 1, "device": "plc-1", "t": T0 + second * S, "values": values}
    if second in BAD:
        del values["power"]
        document["quality"] = {"power": "BadTimeout"}
    return document


EXPECTED = [
    {
        "t": T0 + second * S,
        "value": "" if second in BAD else repr(power(second)),
        "quality": "BadTimeout" if second in BAD else "Good",
    }
    for second in range(SECONDS)
    if second not in GAP
]


def configuration(folder: Path, store: str) -> Path:
    """A site of which the broker's secret is nowhere, and a device of which the store has most
    tags."""
    path = folder / "site.yaml"
    path.write_text(
        "agent: {id: ipc-01, site: test, timezone: Asia/Shanghai}\n"
        "mqtt: {url: 'mqtt://127.0.0.1:1', username: u, password: !env NO_SUCH_SECRET}\n"
        f"store: {{{store}, path: '{folder}/store'}}\n"
        "devices:\n  - {id: plc-1, connector: modbus, url: 'tcp://127.0.0.1:1', tags: {power: "
        "{address: holding/0,"
        " unit: kW}, never: {address: holding/1}}}\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module", params=["duckdb", "influxdb1", "line"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The configuration of a store that has it all."""
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        store = "kind: duckdb"
        if request.param != "duckdb":
            start = servers.influxdb1 if request.param == "influxdb1" else servers.victoria_metrics
            server = stack.enter_context(start(folder / "server"))
            store = f"kind: {request.param}, url: 'http://127.0.0.1:{server.port}'"
        path = configuration(folder, store)
        with contextlib.closing(open_store(load(path, secrets=False).store, "ipc-01")) as opened:
            birth = {"device": "plc-1", "agent": "ipc-01", "staleness": 3.0, "tags": META}
            opened.catalogue.born(birth)
            documents = [written(second) for second in range(SECONDS) if second not in GAP]
            chunks = [
                decode.data(orjson.loads(orjson.dumps(one)), opened.catalogue) for one in documents
            ]
            opened.write(WriteBatch(Rows.of(chunks), T0 + SECONDS * S))
        if request.param == "line":
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/internal/force_flush").read()
        yield path


def window() -> list[str]:
    return ["--from", iso(T0, ZONE), "--to", iso(T0 + SECONDS * S, ZONE)]


def history(path: Path, *arguments: str) -> tuple[int, str, str]:
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        status = main(["history", str(path), *arguments])
    return status, out.getvalue(), err.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        assert reader.fieldnames == COLUMNS
    return rows


def nanoseconds(text: str) -> int:
    assert text.endswith("+08:00")
    return round(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000


def test_every_store_gives_the_same_rows(stored: Path, tmp_path: Path) -> None:
    target = tmp_path / "past.csv"
    status, _, _ = history(stored, "plc-1/power", *window(), "--csv", str(target))
    assert status == 0
    rows = read_csv(target)
    assert [
        {"t": nanoseconds(row["t"]), "value": row["value"], "quality": row["quality"]}
        for row in rows
    ] == EXPECTED
    assert {(row["device"], row["tag"], row["unit"]) for row in rows} == {("plc-1", "power", "kW")}
    assert [path.name for path in tmp_path.iterdir()] == ["past.csv"]


def test_the_running_service_gives_what_its_store_has(stored: Path, tmp_path: Path) -> None:
    """DuckDB's file belongs to `serve`; the answers come through its socket, in pages."""
    site = load(stored, secrets=False)
    targets = tmp_path / "a.csv", tmp_path / "b.csv"
    assert history(stored, "plc-1", *window(), "--csv", str(targets[0]))[0] == 0

    async def scenario() -> None:
        service, stop = StoreService(site, Clock()), asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        door = client.socket_path(site.store.path)
        try:
            await until(lambda: client.running(door))
            source = ServedSource(door)
            assert set((await asyncio.to_thread(source.devices))["plc-1"].series) == set(META)
            status, _, _ = await asyncio.to_thread(
                history, stored, "plc-1", *window(), "--csv", str(targets[1])
            )
            assert status == 0
        finally:
            stop.set()
            await task

    run(scenario())
    assert targets[0].read_bytes() == targets[1].read_bytes()
    rows = read_csv(targets[1])
    program = next(row for row in rows if row["tag"] == "program")
    assert program["value"] == 'O1000 "a", 次'
    axes = next(row for row in rows if row["tag"] == "axes")
    assert json.loads(axes["value"]) == [1.5, 2.5]
    assert {row["value"] for row in rows if row["tag"] == "alarm"} == {"true", "false"}


def test_parquet_is_read_by_duckdb(stored: Path, tmp_path: Path) -> None:
    target = tmp_path / "it's.parquet"
    assert history(stored, "plc-1/p*", "plc-1/alarm", *window(), "--parquet", str(target))[0] == 0
    with contextlib.closing(duckdb.connect()) as connection:
        relation = connection.execute("select * from read_parquet(?)", [str(target)])
        names = [column[0] for column in relation.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
    assert names == ["t", "t_ns", "device", "tag", "value", "text", "unit", "quality"]
    of_power = [row for row in rows if row["tag"] == "power"]
    assert [(row["t_ns"], row["quality"]) for row in of_power] == [
        (row["t"], row["quality"]) for row in EXPECTED
    ]
    assert [row["value"] for row in of_power] == [
        float(row["value"]) if row["value"] else None for row in EXPECTED
    ]
    assert round(of_power[0]["t"].timestamp() * 1000) == T0 // 1_000_000
    assert {row["text"] for row in rows if row["tag"] == "program"} == {'O1000 "a", 次'}
    assert {row["value"] for row in rows if row["tag"] == "alarm"} == {0.0, 1.0}
    assert [path.name for path in tmp_path.iterdir()] == ["it's.parquet"]


@pytest.mark.parametrize("option", ["--csv", "--parquet"])
def test_a_pipe_is_written_to_and_stays_what_it_is(
    stored: Path, tmp_path: Path, option: str
) -> None:
    """As root, a file put in the place of /dev/null would be the end of the machine's null
    device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert history(stored, "plc-1/power", *window(), option, str(pipe))[0] == 0
    reader.join(10)
    assert pipe.is_fifo()
    assert len(got[0]) > 1000
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_dash_is_standard_output_for_parquet_too(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for CSV: it made a file of that name, and said nothing."""
    monkeypatch.chdir(tmp_path)
    raw = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(raw)) as out:
        assert main(["history", str(stored), "plc-1/power", *window(), "--parquet", "-"]) == 0
        out.flush()
        assert raw.getvalue()[:4] == raw.getvalue()[-4:] == b"PAR1"
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("option", ["--csv", "--parquet"])
def test_a_link_stays_a_link_and_a_place_that_cannot_have_a_file_is_named(
    stored: Path, tmp_path: Path, option: str
) -> None:
    link, real = tmp_path / "link", tmp_path / "real"
    real.write_text("before")
    link.symlink_to(real)
    assert history(stored, "plc-1/power", *window(), option, str(link))[0] == 0
    assert link.is_symlink()
    assert real.stat().st_size > 1000
    for place in (tmp_path, tmp_path / "nowhere" / "f"):
        status, _, err = history(stored, "plc-1/power", *window(), option, str(place))
        assert (status, err.partition(":")[0]) == (2, str(place))


def test_steps_and_gaps_in_json(stored: Path) -> None:
    status, out, _ = history(stored, "plc-1/power", *window(), "--every", "5m", "--json")
    assert status == 0
    (found,) = json.loads(out)["history"]
    assert (found["readings"], found["every_s"], found["downsampled"]) == (
        len(EXPECTED),
        300.0,
        False,
    )
    (gap,) = found["gaps"]
    assert nanoseconds(gap["from"]) == T0 + (GAP[0] - 1) * S
    assert nanoseconds(gap["to"]) == T0 + (GAP[-1] + 1) * S
    assert gap["quality"] == "Good"
    worst = {row["quality"] for row in found["rows"]}
    assert worst == {"Good", "BadTimeout"}
    assert sum(row["count"] for row in found["rows"]) == len(EXPECTED)
    whole = [row for row in found["rows"] if row["count"] == 300 and row["quality"] == "Good"]
    assert whole
    for row in whole:
        assert (row["min"], row["max"]) == (0.0, 14.75)
        assert row["mean"] == pytest.approx(7.375, abs=0.01)


def test_a_long_answer_is_shown_in_steps_and_says_so(stored: Path) -> None:
    status, out, _ = history(stored, "plc-1/power", *window())
    assert status == 0
    assert f"{len(EXPECTED)} readings, shown in steps of 10 s" in out
    assert f"共 {len(EXPECTED)} 条读数" in out
    assert "⋯ 无读数 no reading 5 min" in out
    assert "✗ BadTimeout" in out
    assert len(out.splitlines()) < 400


def test_words_truth_values_and_numbers_with_names_are_readable(stored: Path) -> None:
    short = ["--from", window()[1], "--to", iso(T0 + 4 * S, ZONE)]
    status, out, _ = history(
        stored, "plc-1/mode", "plc-1/program", "plc-1/alarm", "plc-1/axes", *short
    )
    assert status == 0
    assert out.count("0 停止") == 4
    assert out.count('O1000 "a", 次') == 4
    assert out.count("true") == 1
    assert out.count("[1.5, 2.5]") == 4


def test_a_plot_shows_the_gap_and_what_was_bad(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    status, out, _ = history(stored, "plc-1/power", *window(), "--plot")
    assert status == 0
    lines = out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert all(len(line) <= 80 for line in lines if "│" in line)
    picture = [line.partition("│")[2] for line in lines if "│" in line]
    quality = next(line for line in lines if "└" in line).partition("└")[2]
    empty = {
        column
        for column in range(len(picture[0]))
        if all(line[column] == "\u2800" for line in picture)
    }
    unknown = {column for column, sign in enumerate(quality) if sign == "░"}
    share = len(GAP) / SECONDS * len(picture[0])
    assert unknown == empty - {column for column, sign in enumerate(quality) if sign == "×"}
    assert abs(len(unknown) - share) <= 2
    assert "×" in quality


@pytest.mark.parametrize(
    ("name", "arguments", "status", "sentence"),
    [
        ("plc-1/power", ["--from", "2020-01-01", "--to", "2020-01-02"], 1, "the newest is from"),
        ("plc-1/never", [], 1, "the store has no reading of it yet"),
        ("plc-1/powr", [], 2, "did you mean 'power'?"),
        ("plc-2/power", [], 2, "did you mean 'plc-1'?"),
        ("plc-1/power", ["--every", "1ms", "--since", "7d"], 2, "--every is too short"),
        ("plc-1/power", ["--since", "1h", "--from", "2020-01-01"], 2, "not both"),
        ("plc-1/power", ["--every", "1m", "--parquet", "x.parquet"], 2, "every reading"),
    ],
)
def test_an_empty_answer_says_why(
    stored: Path, name: str, arguments: list[str], status: int, sentence: str
) -> None:
    found, out, err = history(stored, name, *arguments)
    assert found == status
    assert sentence in out + err


def test_no_store_yet_is_said_and_none_is_made(tmp_path: Path) -> None:
    path = configuration(tmp_path, "kind: duckdb")
    status, _, err = history(path, "plc-1/power")
    assert status == 2
    assert "edge-agent serve" in err
    assert not (tmp_path / "store").exists()


def test_twins_of_two_agents_have_a_past_each(tmp_path: Path) -> None:
    """The own agent's device by its id, the other's as `agent:device`; an id that one agent alone
    has is enough."""
    path = configuration(tmp_path, "kind: duckdb")
    with contextlib.closing(open_store(load(path, secrets=False).store, "ipc-01")) as store:
        for agent, device, value in (
            ("ipc-01", "plc-1", 62.5),
            ("ipc-02", "plc-1", 65411.0),
            ("ipc-02", "oven", 7.0),
        ):
            store.catalogue.born(
                {"device": device, "agent": agent, "tags": {"power": {"type": "float"}}}
            )
            document = {"v": 1, "device": device, "t": T0, "values": {"power": value}}
            chunk = decode.data(document, store.catalogue, store.catalogue.keys.key(agent, device))
            store.write(WriteBatch(Rows.of([chunk]), T0 + S))
    for asked, expected in (
        ("ipc-01:plc-1", {"62.5"}), ("ipc-02:plc-1", {"65411.0"}), ("oven", {"7.0"}), ("ipc-02:*", {"65411.0", "7.0"}),
    ):  # fmt: skip
        status, out, _ = history(path, f"{asked}/power", "--since", "2h", "--json")
        assert status == 0
        found = {str(row["value"]) for row in _readings(json.loads(out))}
        assert found == expected, asked


def _readings(document: Any) -> Iterator[dict[str, Any]]:
    """Every object with a value, wherever it stands."""
    if isinstance(document, dict):
        if "value" in document and "t" in document:
            yield document
        for part in document.values():
            yield from _readings(part)
    elif isinstance(document, list):
        for part in document:
            yield from _readings(part)


def test_a_twin_is_named_with_its_agent(tmp_path: Path) -> None:
    path = configuration(tmp_path, "kind: duckdb")
    with contextlib.closing(open_store(load(path, secrets=False).store, "ipc-01")) as opened:
        for agent, key in (
            ("ipc-01", "plc-1"),
            ("ipc-02", "ipc-02:plc-1"),
            ("ipc-02", "ipc-02:plc-7"),
        ):
            device = key.rpartition(":")[2]
            opened.catalogue.born({"device": device, "agent": agent, "tags": META})
            document = {"v": 1, "device": device, "t": T0, "values": {"power": 1.0}}
            chunk = decode.data(document, opened.catalogue, key)
            opened.write(WriteBatch(Rows.of([chunk]), T0 + S))
    status, out, _ = history(path, "*/power", *window(), "--csv", "-")
    assert status == 0
    assert {row["device"] for row in csv.DictReader(io.StringIO(out))} == {
        "ipc-01:plc-1", "ipc-02:plc-1", "plc-7",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["influxdb1", "line"])
def test_a_paused_store_is_told_in_one_sentence_to_everyone_who_asks(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is stopped by SIGSTOP: it takes connections and says nothing. Whoever asks waits
    for one short question of his own, not for what the service asks or writes meanwhile, whose
    time-outs are as long as ever."""
    monkeypatch.setattr(http, "PERSON_S", 0.4)
    with (servers.influxdb1 if kind == "influxdb1" else servers.victoria_metrics)(
        tmp_path / "server"
    ) as server:
        path = configuration(
            tmp_path, f"kind: {kind}, timeout: 30s, url: 'http://127.0.0.1:{server.port}'"
        )
        site = load(path, secrets=False)
        with contextlib.closing(open_store(site.store, "ipc-01")) as opened:
            opened.catalogue.born(
                {"device": "plc-1", "agent": "ipc-01", "staleness": 3.0, "tags": META}
            )
            chunk = decode.data(orjson.loads(orjson.dumps(written(0))), opened.catalogue)
            opened.write(WriteBatch(Rows.of([chunk]), T0 + S))

        async def asked(*arguments: str) -> str:
            with (
                contextlib.redirect_stdout(io.StringIO()) as out,
                contextlib.redirect_stderr(io.StringIO()) as err,
            ):
                assert await asyncio.to_thread(main, list(arguments)) != 0
            return out.getvalue() + err.getvalue()

        async def scenario() -> list[str]:
            service, stop = StoreService(site, Clock()), asyncio.Event()
            task = asyncio.create_task(service.run(stop))
            door = client.socket_path(site.store.path)
            try:
                await until(lambda: client.running(door))
                server.process.send_signal(signal.SIGSTOP)
                busy = asyncio.create_task(
                    asyncio.to_thread(service._store.live_facts, T0, T0 + SECONDS * S)
                )
                texts = [
                    await asked("history", str(path), "plc-1/power", *window()),
                    await asked("status", str(path), "--json", "--since", "2h"),
                ]
                assert not busy.done(), "the question of the service itself waits on"
                server.process.send_signal(signal.SIGCONT)
                with contextlib.suppress(StoreError):
                    await busy
            finally:
                server.process.send_signal(signal.SIGCONT)
                stop.set()
                await task
            return texts

        served = run(scenario())
        server.process.send_signal(signal.SIGSTOP)
        alone = [
            run(asked("history", str(path), "plc-1/power", *window())),
            run(asked("status", str(path), "--json", "--since", "2h")),
        ]
        server.process.send_signal(signal.SIGCONT)
        assert history(path, "plc-1/power", *window())[0] != 2, "it answers again afterwards"
    for text in served + alone:
        assert f"127.0.0.1:{server.port} 接受了连接，但在 0.4 秒内没有应答，暂时无法查询" in text
        assert "did not answer within 0.4 s, so nothing can be read from it now" in text
        assert "Traceback" not in text
