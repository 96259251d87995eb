"""Files of every format this program ever wrote are opened; those of a later one are refused and
left as they are."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import orjson
import pytest

from edge_agent.cli.main import main
from edge_agent.errors import FindingsError
from edge_agent.identity import DeviceKeys
from edge_agent.ingest import messages
from edge_agent.ingest.messages import Assembly
from edge_agent.intervals import IntervalSet
from edge_agent.outbox import Outbox
from edge_agent.outbox.record import MAGIC
from edge_agent.outbox.survey import verify
from edge_agent.report.pack.verify import read_pack
from edge_agent.stores import Rows, WriteBatch
from edge_agent.stores.duckdb.schema import VERSION
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.remote.sidecar import VERSION as SIDECAR_VERSION
from edge_agent.stores.remote.sidecar import Sidecar
from tests.support.sites import write

pytestmark = pytest.mark.slow

FORMATS = Path(__file__).parents[1] / "data" / "formats"
T0, S = 1_763_900_000_000_000_000, 1_000_000_000


def unpacked(name: str, folder: Path, version: int = 1) -> Path:
    path = folder / name
    path.write_bytes(gzip.decompress((FORMATS / str(version) / f"{name}.gz").read_bytes()))
    return path


def test_a_store_of_format_1_opens_with_all_it_had_and_a_copy_is_kept(tmp_path: Path) -> None:
    path = unpacked("store.duckdb", tmp_path)
    before = path.read_bytes()
    with closing(DuckDbStore(path, agent="ipc-01")) as store:
        assert store.samples("plc-1", "temp", T0, T0 + 60 * S).values() == [
            *(20.5 + n for n in range(5)), None, *(20.5 + n for n in range(6, 10)),
        ]  # fmt: skip
        assert store.samples("plc-2", "word", T0, T0 + 3 * S).values() == ["w0", "w1", "w2"]
        assert {key: (row.good, row.bad) for key, row in store.health(T0, T0 + 60 * S).items()} == {
            "plc-1": (19, 1), "plc-2": (19, 1),
        }  # fmt: skip
        assert {key: row.first_ns for key, row in store.live_facts(T0, T0 + 60 * S).items()} == {
            "plc-1": T0 + 10 * S, "plc-2": T0 + 10 * S,
        }  # fmt: skip
        assert store.marks()["ipc-01/0/9f3c"].pairs() == [(1, 23)]
        assert [row["device"] for row in store.transitions(T0, T0 + 60 * S)] == ["plc-1", "plc-2"]
        assert [row["values"] for row in store.gaps(T0, T0 + 60 * S)] == [14]
        assert orjson.loads(store.catalogue.devices["plc-1"])["name"] == "press"
        assert store.catalogue.series[0].meta == '{"type":"float","every":1.0,"unit":"Cel"}'
        assert store.latest("plc-1")["plc-1"]["word"].value == "w9"
        assert store.metrics() == [{"id": "M-05", "value": 0.5}]
        _goes_on(store)
    assert (tmp_path / "store.duckdb.format-1").read_bytes() == before
    with closing(DuckDbStore(path, agent="ipc-02")) as store:
        assert store.samples("ipc-01:plc-1", "temp", T0 + 60 * S, T0 + 70 * S).values() == [1.5], (
            "its agent spoke since"
        )
        assert list(store.health(T0, T0 + 60 * S)) == ["plc-1", "plc-2"], (
            "rows without an agent are the file's own"
        )


def test_a_store_of_format_2_has_its_health_rolled_up_and_says_the_same(tmp_path: Path) -> None:
    path = unpacked("store.duckdb", tmp_path, 2)
    before = path.read_bytes()
    now, hour = T0 + 5 * 86_400 * S, 3600 * S
    with closing(DuckDbStore(path, agent="ipc-01")) as store:
        assert store.marks() == {
            f"{agent}/0/9f3c": IntervalSet([(1, 7)]) for agent in ("ipc-01", "ipc-02")
        }
        assert store.incomplete_marks() == {}
        first = T0 // hour * hour
        windows = [
            (first, first + 3 * hour),
            (first, first + hour),
            (first + hour, first + 2 * hour),
        ]
        told = [(store.health(*window), store.evidence(*window)) for window in windows]
        assert {key: row.good for key, row in told[0][0].items()} == {
            "ipc-02:plc-1": 36,
            "plc-1": 36,
        }
        assert store.keep_hours(store.read_open_hours(now, 99)) == 3
        store.retain(now)
        assert store._connection.execute("select count(*) from health").fetchall() == [(0,)]
        assert [(store.health(*window), store.evidence(*window)) for window in windows] == told
    assert (tmp_path / "store.duckdb.format-2").read_bytes() == before


def test_a_sidecar_of_format_2_keeps_its_marks(tmp_path: Path) -> None:
    path = unpacked("store.sqlite", tmp_path, 2)
    with closing(Sidecar(path, DeviceKeys("ipc-01"))) as sidecar:
        sidecar.recall("http://a")
        assert sidecar.marks(["ipc-02/0/9f3c", "never"]) == {"ipc-02/0/9f3c": IntervalSet([(1, 7)])}
        assert sidecar.kept_hours(0, 2 * T0) == set()
    assert (tmp_path / "store.sqlite.format-2").exists()


def test_files_of_the_present_format_are_kept_and_opened(tmp_path: Path) -> None:
    """Made by `tests.support.format_samples`: whoever raises a number keeps files of the new format
    as well."""
    path = unpacked("store.duckdb", tmp_path, VERSION)
    minute = (T0, T0 + 60 * S)
    with closing(DuckDbStore(path, agent="ipc-01")) as store:
        assert store.samples("plc-1", "energy_import", *minute).values() == [
            100.0 + n for n in range(12)
        ]
        assert store.marks() == {"ipc-01/0/9f3c": IntervalSet([(1, 24)])}
        assert store.health(*minute)["plc-1"].good == 55, "the first row speaks of what was before"
        (sid,) = store.catalogue.of_device("plc-1").values()
        assert [row.t for row in store.catalogue.definitions.of(sid)] == [T0 + 30 * S], (
            "the scale of 40 became 60"
        )
        assert [row.version for row in store.register_versions()] == ["v1"]
        assert store.register_document("v1") == "document"
        assert store.metrics() == [{"id": "M-05", "value": 0.5}]
    path = unpacked("store.sqlite", tmp_path, SIDECAR_VERSION)
    with closing(Sidecar(path, DeviceKeys("ipc-01"))) as sidecar:
        sidecar.recall("http://a")
        assert sidecar.marks() == {"ipc-01/0/9f3c": IntervalSet([(1, 24)])}
        assert sidecar.register_document("v1") == "document"
        assert sidecar.first_good() == {"plc-1": T0}


def _goes_on(store: DuckDbStore) -> None:
    """What comes now continues the old series, and another agent's device of the same id does
    not."""
    sent = []
    for agent, value in (("ipc-01", 1.5), ("ipc-02", 9.5)):
        document = {
            "v": 1,
            "device": "plc-1",
            "stream": f"{agent}/0/9f3c",
            "seq": 24,
            "t": T0 + 60 * S,
        }
        document["values"] = {"temp": value}
        sent.append(
            messages.read("edge/e/s/a/l/plc-1/data", orjson.dumps(document), store.catalogue)
        )
    store.write(Assembly.of(sent, T0 + 61 * S).batch)
    assert len(store.samples("plc-1", "temp", T0, T0 + 70 * S)) == 11
    assert store.samples("ipc-02:plc-1", "temp", T0, T0 + 70 * S).values() == [9.5]


def test_a_sidecar_of_format_1_keeps_its_marks_for_the_store_it_was_written_beside(
    tmp_path: Path,
) -> None:
    path = unpacked("store.sqlite", tmp_path)
    before = path.read_bytes()
    sidecar = Sidecar(path, DeviceKeys("ipc-01"))
    assert sidecar.has_former_marks
    assert sidecar.marks()["ipc-01/0/9f3c"].pairs() == [(1, 23)]
    sidecar.use("other", "http://b", adopt=False)
    assert sidecar.marks() == {}
    sidecar.use("old", "http://a", adopt=True)
    assert sidecar.marks()["ipc-01/0/9f3c"].pairs() == [(1, 23)]
    assert sidecar.counts() == {"stored": 40}
    assert not sidecar.has_former_marks
    assert [row["device"] for row in sidecar.transitions(T0, T0 + 60 * S)] == ["plc-1", "plc-2"]
    assert sidecar.first_good() == {"plc-1": T0 + 10 * S, "plc-2": T0 + 10 * S}
    assert sorted(sidecar.catalogue().devices) == ["plc-1", "plc-2"]
    assert len(sidecar.newest()) == 4
    sidecar.close()
    assert (tmp_path / "store.sqlite.format-1").read_bytes() == before
    again = Sidecar(path, DeviceKeys("ipc-01"))
    assert again.store_at("http://b") == "other"
    again.close()


def test_an_outbox_of_format_1_hands_out_what_it_held(tmp_path: Path) -> None:
    shutil.copytree(FORMATS / "1" / "outbox", tmp_path / "outbox")
    box = Outbox(tmp_path / "outbox", agent="ipc-01", max_bytes=2_000_000, fsync_ms=1)
    try:
        box.attach()
        taken = []
        while (entry := box.take_backlog()) is not None:
            taken.append(entry)
        assert box.pending == 4
        assert box.unconfirmed == 1
        assert [entry.seq for entry in taken] == [3, 4, 5]
        assert [orjson.loads(entry.payload)["values"] for entry in taken] == [
            {"temp": t} for t in (23.5, 24.5, 25.5)
        ]
    finally:
        box.close_now()


def newer_store(folder: Path) -> Path:
    path = folder / "store.duckdb"
    DuckDbStore(path).close()
    with closing(duckdb.connect(str(path))) as connection:
        connection.execute("update schema_version set version = ?", [VERSION + 1])
    return path


def newer_sidecar(folder: Path) -> Path:
    path = folder / "store.sqlite"
    Sidecar(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"pragma user_version = {SIDECAR_VERSION + 1}")
        db.execute("pragma journal_mode = delete")
    return path


def newer_outbox(folder: Path) -> Path:
    shutil.copytree(FORMATS / "1" / "outbox", folder / "outbox")
    path = folder / "outbox" / "0000000001.seg"
    path.write_bytes(MAGIC[:6] + b"\x02" + path.read_bytes()[7:])
    return path


def foreign_store(folder: Path) -> Path:
    path = folder / "store.duckdb"
    with closing(duckdb.connect(str(path))) as connection:
        connection.execute("create table samples(a int)")
    return path


def foreign_sidecar(folder: Path) -> Path:
    path = folder / "store.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table notes(a int)")
    return path


def open_outbox(path: Path) -> None:
    Outbox(path.parent, agent="ipc-01", max_bytes=2_000_000, fsync_ms=1)


@pytest.mark.parametrize(
    ("make", "use", "code"),
    [
        (newer_store, DuckDbStore, "format-newer"),
        (newer_sidecar, Sidecar, "format-newer"),
        (newer_outbox, open_outbox, "format-newer"),
        (newer_outbox, lambda path: verify(path.parent), "format-newer"),
        (foreign_store, DuckDbStore, "store-foreign"),
        (foreign_sidecar, Sidecar, "store-foreign"),
    ],
)
def test_what_is_newer_or_anothers_is_refused_and_left_as_it_is(
    make: Callable[[Path], Path], use: Callable[[Path], object], code: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    before = path.read_bytes()
    with pytest.raises(FindingsError) as caught:
        use(path)
    (finding,) = caught.value.findings
    assert finding.code == code
    assert finding.zh.endswith("。")
    assert finding.en.endswith(".")
    assert path.read_bytes() == before


@pytest.mark.parametrize("make", [newer_store, foreign_store])
def test_serve_says_it_in_a_sentence_and_ends_with_2(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path)
    config = write(tmp_path, f"store: {{path: {path}}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "serve", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "store.duckdb" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pack_of_a_later_format_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").write_text('{"schema": "edge-agent/evidence/3", "parts": []}')
    with pytest.raises(FindingsError) as caught:
        read_pack(tmp_path)
    assert caught.value.findings[0].code == "format-newer"
    assert main(["verify", str(tmp_path)]) == 2
    assert "newer version" in capsys.readouterr().err


def test_without_room_for_the_copy_the_store_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unpacked("store.duckdb", tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge_agent.stores.formats.shutil.copyfileobj", full)
    monkeypatch.setattr("edge_agent.stores.formats._shared", lambda *_: False)
    with pytest.raises(FindingsError) as caught:
        DuckDbStore(path)
    assert caught.value.findings[0].code == "no-room-for-copy"
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["store.duckdb"]
    monkeypatch.undo()
    DuckDbStore(path).close()


def test_an_empty_batch_leaves_an_old_store_usable(tmp_path: Path) -> None:
    path = unpacked("store.duckdb", tmp_path)
    with closing(DuckDbStore(path, agent="ipc-01")) as store:
        store.write(WriteBatch(Rows.empty(), T0))
    with closing(DuckDbStore(path, agent="ipc-01")) as store:
        assert store.counts().stored == 40


def test_an_old_birth_document_tells_whose_the_history_is_of_what_another_agent_goes_on_with(
    tmp_path: Path,
) -> None:
    """A plant of two agents, whose one store did not tell them apart: the own agent is the other
    one here."""
    path = unpacked("store.duckdb", tmp_path)
    with closing(DuckDbStore(path, agent="server")) as store:
        assert store.catalogue.listed() == ["plc-1", "plc-2"]
        document = {
            "v": 1,
            "device": "plc-1",
            "stream": "ipc-01/0/9f3d",
            "seq": 1,
            "t": T0 + 60 * S,
        }
        document["values"] = {"temp": 1.5}
        message = messages.read("edge/e/s/a/l/plc-1/data", orjson.dumps(document), store.catalogue)
        store.write(Assembly.of([message], T0 + 61 * S).batch)
        assert store.catalogue.listed() == ["ipc-01:plc-1", "plc-2"]
        assert len(store.samples("ipc-01:plc-1", "temp", T0, T0 + 70 * S)) == 11
        assert list(store.health(T0, T0 + 60 * S)) == ["ipc-01:plc-1", "plc-2"]
