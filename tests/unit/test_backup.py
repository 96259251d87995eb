"""A backup while the store is written to is a moment of it; every byte of it is checked; what is
restored is the plant as a life of its own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from edge_agent.backup.container import BackupWriter
from edge_agent.backup.restore import restore
from edge_agent.backup.sources import Renewal
from edge_agent.backup.write import make_backup, verify_backup
from edge_agent.cli.main import main
from edge_agent.config import load
from edge_agent.errors import FindingsError
from edge_agent.stores.duckdb.snapshot import SnapshotCopy
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.remote.sidecar import Sidecar
from tests.support import damage
from tests.support.backups import last_complete, plant, writing
from tests.support.sites import write
from tests.support.store_packages import install

pytestmark = pytest.mark.slow

EVERYWHERE = bool(os.environ.get("EDGE_AGENT_DAMAGE"))
BACKUPS, KILLS, FLIPS = (25, 40, 4000) if EVERYWHERE else (2, 1, 60)


def refusal(backup: Path, into: Path) -> str:
    """The code of what `restore` says, which leaves nothing behind."""
    with pytest.raises(FindingsError) as caught:
        restore(backup, into)
    assert not into.exists() or list(into.iterdir()) == []
    return caught.value.findings[0].code


def code_of_backup(config: Path, out: Path) -> str:
    """Why none was made, after a short rest; empty when one was."""
    try:
        make_backup(config, out)
    except FindingsError as error:
        time.sleep(0.2)  # poll interval of this waiter
        return error.findings[0].code
    return ""


def test_every_backup_under_load_is_a_moment_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copying is slow, and checkpoints are due again and again meanwhile."""
    renewed = Renewal.__call__

    def slowly(renewal: Renewal) -> None:
        time.sleep(0.06)
        renewed(renewal)

    monkeypatch.setattr(Renewal, "__call__", slowly)
    monkeypatch.setattr("edge_agent.backup.sources._RENEW_S", 0.3)
    config = plant(tmp_path / "plant")
    path = tmp_path / "plant/data/store.duckdb"
    reached = []
    with writing(path, 100) as writer:
        while path.stat().st_size < 3_000_000:
            assert writer.process.poll() is None
            time.sleep(0.05)  # poll interval of this waiter
        for number in range(BACKUPS):
            report = make_backup(config, tmp_path / "b")
            assert report.tries == 1, "no checkpoint comes between"
            assert report.damaged_blocks == 0
            into = tmp_path / f"r{number}"
            restore(tmp_path / "b", into)
            reached.append(last_complete(into / "data/store.duckdb"))
            shutil.rmtree(into)
        assert writer.process.poll() is None
    assert reached == sorted(reached)
    assert reached[-1] > reached[0], "it went on writing"


def test_a_service_that_is_killed_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    """kill -9 of the process that writes, at any moment of a backup: the backup is a moment of the
    store, or says why it is none."""
    config = plant(tmp_path / "plant")
    path = tmp_path / "plant/data/store.duckdb"
    chance = random.Random(3)
    for number in range(KILLS):
        with writing(path, 200) as writer:
            backup = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "backup", config, "--out", tmp_path / "b"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            time.sleep(chance.uniform(0.2, 1.2))
            writer.process.kill()
            writer.process.wait(30)
            said = backup.communicate(timeout=60)[1]
        if backup.returncode == 0:
            restore(tmp_path / "b", tmp_path / f"r{number}")
            last_complete(tmp_path / f"r{number}/data/store.duckdb")
        else:
            assert backup.returncode == 2
            assert "\n    " in said or "Another process" in said, said
            assert not (tmp_path / "b.part").exists()
        last_complete(path)


def test_a_backup_that_is_killed_blocks_nothing(tmp_path: Path) -> None:
    config = plant(tmp_path / "plant")
    path = tmp_path / "plant/data/store.duckdb"
    with writing(path, 200):
        for pause in (0.3, 0.6):
            backup = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "backup", config, "--out", tmp_path / "b"],
                stdout=subprocess.DEVNULL,
            )
            time.sleep(pause)
            backup.send_signal(signal.SIGKILL)
            backup.wait(30)
        end = time.monotonic() + 30
        code = "backup-under-way"
        while code:  # the lease of the dead one may run yet, and it ends
            assert code == "backup-under-way"
            assert time.monotonic() < end
            code = code_of_backup(config, tmp_path / "b")
    assert not (tmp_path / "b.part").exists()
    restore(tmp_path / "b", tmp_path / "r")
    last_complete(tmp_path / "r/data/store.duckdb")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a small store with a log. Not to be written to."""
    folder = tmp_path_factory.mktemp("made")
    config = plant(folder)
    (folder / "data").mkdir()
    damage.make_store(folder / "data/store.duckdb", 500, logged=3)
    make_backup(config, folder / "b")
    return folder / "b"


def test_every_change_and_cut_of_the_file_is_refused(made: Path, tmp_path: Path) -> None:
    raw = made.read_bytes()
    chance = random.Random(5)
    spoiled = tmp_path / "b"
    places = [*range(0, 700, 23), *(chance.randrange(len(raw)) for _ in range(FLIPS))]
    for place in [*places, len(raw) - 1, len(raw) - 1200]:
        spoiled.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        with pytest.raises(FindingsError) as caught:
            verify_backup(spoiled)
        assert caught.value.findings[0].code in ("backup-damaged", "no-backup", "format-newer")
    for size in [0, 1, 511, 512, len(raw) // 2, len(raw) - 512, len(raw) - 1]:
        spoiled.write_bytes(raw[:size])
        assert refusal(spoiled, tmp_path / "r") in ("backup-damaged", "no-backup")
    spoiled.write_bytes(raw + b"\0")
    assert refusal(spoiled, tmp_path / "r") == "backup-damaged"


def test_a_restored_store_is_another_with_the_same_marks(made: Path, tmp_path: Path) -> None:
    found = restore(made, tmp_path / "r")
    with (
        closing(DuckDbStore(made.parent / "data/store.duckdb", agent="ipc-01")) as before,
        closing(DuckDbStore(tmp_path / "r/data/store.duckdb", agent="ipc-01")) as after,
    ):
        assert after.store_id == found.store_id != before.store_id
        assert {s: m.pairs() for s, m in after.marks().items()} == {
            s: m.pairs() for s, m in before.marks().items()
        }
        assert after.counts() == before.counts()
    path = tmp_path / "r/data/store.duckdb"
    assert damage.strangers(path, made.parent / "data/store.duckdb") == {}
    assert damage.strangers(made.parent / "data/store.duckdb", path) == {}


def test_only_an_empty_folder_is_restored_into(made: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("x")
    with pytest.raises(FindingsError) as caught:
        restore(made, full)
    assert caught.value.findings[0].code == "restore-not-empty"
    assert [file.name for file in full.iterdir()] == ["mine"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(FindingsError, match="is a file"):
        restore(made, tmp_path / "file")
    broken_off = tmp_path / "half"
    (broken_off / ".restore.part").mkdir(parents=True)
    restore(made, broken_off)
    assert not (broken_off / ".restore.part").exists()
    modes = {file: stat.S_IMODE(file.stat().st_mode) & 0o077 for file in broken_off.rglob("*")}
    assert set(modes.values()) == {0}


def test_a_newer_backup_is_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "b").open("wb") as file:
        writer = BackupWriter(file, {"format": 2})
        writer.finish()
    raw = (tmp_path / "b").read_bytes().replace(b'"format":1,"format":2', b'"format":2,"format":2')
    (tmp_path / "b").write_bytes(raw)
    assert main(["restore", str(tmp_path / "b"), "--into", str(tmp_path / "r")]) == 2
    assert "format 2, written by a newer version" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_forged_backup_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    for path in ("../stolen", "/tmp/stolen", "a/../../stolen"):
        with (tmp_path / "b").open("wb") as file:
            writer = BackupWriter(file, {})
            writer.add("plant/x", b"1")
            writer.add(
                "layout.json", b'{"files": [{"member": "plant/x", "path": "%s"}]}' % path.encode()
            )
            writer.finish()
        assert refusal(tmp_path / "b", tmp_path / "r") == "backup-damaged"


def test_verify_tells_of_a_backup(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(made)]) == 0
    assert "is sound" in capsys.readouterr().out
    spoiled = bytearray(made.read_bytes())
    spoiled[len(spoiled) // 2] ^= 64
    (tmp_path / "b").write_bytes(spoiled)
    assert main(["verify", str(tmp_path / "b")]) == 2
    assert "incomplete or damaged" in capsys.readouterr().err


def test_what_stands_at_out_stays_unless_it_is_a_backup(made: Path, tmp_path: Path) -> None:
    config = plant(tmp_path / "p")
    for name, what in ((config, "is no backup"), (tmp_path, "is a folder")):
        with pytest.raises(FindingsError, match=what):
            make_backup(config, name)
    shutil.copy(made, tmp_path / "b")
    make_backup(config, tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert verify_backup(tmp_path / "b")["store"]["kind"] == "duckdb"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge_agent.backup.container.os.fsync", full)
    config = plant(tmp_path / "p")
    with pytest.raises(FindingsError) as caught:
        make_backup(config, tmp_path / "b")
    assert caught.value.findings[0].code == "backup-disk-full"
    assert refusal(made, tmp_path / "r") == "restore-disk-full"
    assert [file.name for file in tmp_path.iterdir()] == ["p"]


def test_a_store_that_another_program_has_open_is_not_copied(tmp_path: Path) -> None:
    config = plant(tmp_path / "p")
    path = tmp_path / "p/data/store.duckdb"
    DuckDbStore(path).close()
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        with pytest.raises(FindingsError) as caught:
            make_backup(config, tmp_path / "b")
        other.communicate()
    assert caught.value.findings[0].code == "store-locked"
    make_backup(config, tmp_path / "b")


def test_while_a_store_is_copied_nobody_else_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is the engine's own, and lasts to the end of the copy."""
    config = plant(tmp_path / "p")
    path = tmp_path / "p/data/store.duckdb"
    path.parent.mkdir()
    damage.make_store(path, 200)
    program = (
        "import duckdb, sys\n"
        "try: duckdb.connect(sys.argv[1])\n"
        "except duckdb.IOException as error: print('lock' in str(error))\n"
    )
    answers = []
    looked = SnapshotCopy.is_consistent

    def consistent(copy: SnapshotCopy) -> bool:
        run = [sys.executable, "-c", program, str(path)]
        answers.append(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
        return looked(copy)

    monkeypatch.setattr(SnapshotCopy, "is_consistent", consistent)
    make_backup(config, tmp_path / "b")
    assert answers == ["True\n"]


def test_damaged_blocks_are_reported_and_copied_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = plant(tmp_path / "p")
    path = tmp_path / "p/data/store.duckdb"
    path.parent.mkdir()
    damage.make_store(path, 2_000)
    where = damage.DATA + damage.SIZE + 1000
    damage.write_at(path, damage.flipped(path, where, where + 500))
    assert main(["backup", str(config), "--out", str(tmp_path / "b")]) == 1
    text = capsys.readouterr().out
    assert "1 block of the store's file are damaged" in text
    restore(tmp_path / "b", tmp_path / "r")
    with duckdb.connect(str(tmp_path / "r/data/store.duckdb")) as connection:
        assert connection.execute("select count(*) from marks").fetchall()


def test_of_a_store_behind_http_the_marks_are_in_it_and_the_rest_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "p"
    (folder / "data").mkdir(parents=True)
    store = (
        "store: {kind: influxdb1, url: 'http://127.0.0.1:1', bucket: plant, password: !env DB}\n"
    )
    config = write(folder, store + "devices: []\n")
    monkeypatch.delenv("DB", raising=False)
    sidecar = Sidecar(folder / "data/store.sqlite")
    try:  # it is open meanwhile
        sidecar.use("0123", "http://127.0.0.1:1", adopt=False)
        assert main(["backup", str(config), "--out", str(tmp_path / "b")]) == 0
    finally:
        sidecar.close()
    text = capsys.readouterr().out
    assert "back it up with its own tool now, after this backup" in text
    assert "keep them apart: DB" in text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b", "p"]
    assert main(["restore", str(tmp_path / "b"), "--into", str(tmp_path / "r")]) == 0
    text = capsys.readouterr().out
    assert "Restore the data of influxdb1 with its own tool" in text
    assert "Set these variables (passwords): DB" in text
    with closing(sqlite3.connect(tmp_path / "r/data/store.sqlite")) as db:
        assert db.execute("select id from stores").fetchall() == [("0123",)]


def test_the_data_of_a_third_partys_store_is_said_to_be_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, sqlite="docs.examples.sqlite_store:PLUGIN")
    (tmp_path / "p/data").mkdir(parents=True)
    (tmp_path / "p/data/plant.sqlite").write_bytes(b"theirs")
    config = write(tmp_path / "p", "store: {kind: sqlite, path: data/plant.sqlite}\ndevices: []\n")
    assert main(["backup", str(config), "--out", str(tmp_path / "b")]) == 0
    assert "The data is in sqlite and not in this file" in capsys.readouterr().out
    assert restore(tmp_path / "b", tmp_path / "r").files == 1


def test_a_disk_that_cannot_be_read_costs_no_former_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = plant(tmp_path / "p")
    DuckDbStore(tmp_path / "p/data/store.duckdb").close()
    make_backup(config, tmp_path / "b")
    before = (tmp_path / "b").read_bytes()

    def fails(copy: SnapshotCopy) -> Iterator[bytes]:
        yield b"x"
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(SnapshotCopy, "file", fails)
    with pytest.raises(FindingsError) as caught:
        make_backup(config, tmp_path / "b")
    assert caught.value.findings[0].code == "backup-failed"
    assert (tmp_path / "b").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["b", "p"]


def test_a_plant_without_a_store_or_outbox_is_backed_up_too(tmp_path: Path) -> None:
    config = plant(tmp_path / "p")
    make_backup(config, tmp_path / "b")
    found = restore(tmp_path / "b", tmp_path / "r")
    assert (found.files, found.store_id) == (1, "")
    assert (tmp_path / "r/site.yaml").read_bytes() == config.read_bytes()


def test_the_folder_of_certificates_is_in_it_and_where_it_belongs_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    (state / "edge-agent/pki/trusted").mkdir(parents=True)
    (state / "edge-agent/pki/own.key").write_text("key")
    (state / "edge-agent/pki/trusted/a.pem").write_text("certificate")
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    device = "devices:\n  - {id: d, endpoint: 'opc.tcp://127.0.0.1:1', tags: {a: {node: i=2258}}}\n"
    config = write(tmp_path / "p", device.replace("id: d,", "id: d, connector: opcua,"))
    assert main(["backup", str(config), "--out", str(tmp_path / "b")]) == 0
    assert main(["restore", str(tmp_path / "b"), "--into", str(tmp_path / "r")]) == 0
    folder = tmp_path / "r/outside/001-pki"
    assert (folder / "own.key").read_text() == "key"
    assert (folder / "trusted/a.pem").read_text() == "certificate"
    assert f"{folder} into the state folder" in capsys.readouterr().out


def test_paths_lead_to_the_same_files_after_a_restore(tmp_path: Path) -> None:
    """Included files, profiles, secrets, registers, wherever they stood; comments stay."""
    plant_folder = tmp_path / "etc"
    elsewhere = tmp_path / "else where"
    for folder in (plant_folder / "lines", plant_folder / "profiles", elsewhere / "more"):
        folder.mkdir(parents=True)
    (elsewhere / "password").write_text("S3cret")
    (plant_folder / "own.key").write_text("k")
    (elsewhere / "设备台账.csv").write_text("编号,名称\n")
    (elsewhere / "calendar.yaml").write_text("timezone: Asia/Shanghai\nshifts: []\n")
    profile = "name: {}\ntitle: {{zh: 甲, en: a}}\nconnector: modbus\ntags: {{a: {{address: holding/0}}}}\n"
    (plant_folder / "profiles/mine.yaml").write_text(profile.format("mine"))
    (elsewhere / "other.yaml").write_text(profile.format("other"))
    device = "devices:\n  - {{id: {}, url: 'tcp://127.0.0.1:1', profile: {}}}\n"
    (plant_folder / "lines/a.yaml").write_text(device.format("a", "../profiles/mine.yaml"))
    (elsewhere / "more/b.yaml").write_text(device.format("b", '"../other.yaml"'))
    (elsewhere / "more/c.yaml").write_text(device.format("c", "../../etc/profiles/mine.yaml"))
    (elsewhere / "d.yaml").write_text(device.format("d", "other.yaml"))
    config = plant_folder / "plant.yaml"
    config.write_text(
        "# 一厂 · our plant\n"
        "agent: {id: ipc-01, site: s}\n"
        f"mqtt: {{url: 'mqtt://127.0.0.1:1', username: u, password: !file '{elsewhere}/password'}}\n"
        "include:\n  - lines/*.yaml\n  - '../else where/more/*.yaml' # two\n"
        "  - ../else where/d.yaml\n"
        f"outbox: {{path: {elsewhere}/outbox}}  # kept apart\n"
        f"store: {{path: {elsewhere}/store/s.duckdb}}\n"
        f"register:\n  equipment: '{elsewhere}/设备台账.csv'\n"
        "devices:\n  - {id: e, url: 'tcp://127.0.0.1:1', profile: mine}\n",
        encoding="utf-8",
    )
    DuckDbStore(elsewhere / "store/s.duckdb").close()
    (elsewhere / "outbox").mkdir()
    (elsewhere / "outbox/store").write_text("abc\n")
    report = make_backup(config, tmp_path / "b")
    found = restore(tmp_path / "b", tmp_path / "r")
    shutil.rmtree(elsewhere)
    shutil.rmtree(plant_folder)
    site = load(found.config)
    assert [device.id for device in site.devices] == ["e", "a", "b", "c", "d"]
    assert site.mqtt.password is not None
    assert site.mqtt.password.get_secret_value() == "S3cret"
    text = Path(found.config).read_text(encoding="utf-8")
    assert text.startswith("# 一厂 · our plant\n")
    assert "# kept apart" in text
    for path in (site.store.path, site.outbox.path / "store", site.register_.equipment):
        assert path is not None
        assert path.is_relative_to(tmp_path / "r")
        assert path.exists(), path
    assert any("password" in name for name in report.secrets)
    assert str(tmp_path / "else") not in text
