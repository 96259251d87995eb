"""A damaged store: equal data or a named refusal, never another value; salvage keeps what reads.

The suite tries some places of a small store; `./run damage` tries many more.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import pytest

from edge_agent.cli.main import main
from edge_agent.errors import FindingsError
from edge_agent.stores.duckdb.blocks import is_sound, mended
from edge_agent.stores.duckdb.check import check
from edge_agent.stores.duckdb.log import log_path
from edge_agent.stores.duckdb.salvage import salvage
from edge_agent.stores.duckdb.store import DuckDbStore
from tests.support import damage
from tests.support.damage import DATA, SIZE, STREAM, T0, flipped, outcome, spoiled

pytestmark = pytest.mark.slow

EVERYWHERE = bool(os.environ.get("EDGE_AGENT_DAMAGE"))
#: Places that are tried in the log, and flips of each block.
PLACES, FLIPS = (60, 20) if EVERYWHERE else (4, 1)
NAMED = {"store-damaged", "store_damaged", "store-foreign"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 13 blocks whose last five commits are in its log. Not to be written to."""
    path = tmp_path_factory.mktemp("made") / "s.duckdb"
    damage.make_store(path, 6_000, logged=5)
    return path


@pytest.fixture(scope="module")
def good(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, Any]]]:
    return damage.read_through_the_store(spoiled(made, tmp_path_factory.mktemp("good"), {}))


def test_no_block_that_was_changed_is_ever_returned_changed(
    made: Path, good: dict[str, list[tuple[int, Any]]], tmp_path: Path
) -> None:
    """Two bytes of each header and block, so that nothing can be put right."""
    refused, chance = 0, random.Random(11)
    for start in [start for start in damage.blocks_of(made) for _ in range(FLIPS)]:
        length = 4096 if start < DATA else SIZE
        at = [start + offset for offset in chance.sample(range(length), 2)]
        found = outcome(spoiled(made, tmp_path, flipped(made, *at)))
        assert found == good or (isinstance(found, str) and found in NAMED), (
            start,
            found if isinstance(found, str) else "altered",
        )
        refused += found != good
    assert refused >= 10


def test_the_checksum_sees_each_changed_byte_but_not_the_highest_bits_of_two_words(
    made: Path,
) -> None:
    """What the engine's checksum is worth: known, and said in docs/decisions/0142."""
    raw = made.read_bytes()
    start = DATA + SIZE * _block_of(made, "samples")
    block = raw[start : start + SIZE]
    for at in range(0, SIZE, 997):
        assert not is_sound(block[:at] + bytes([block[at] ^ 0x10]) + block[at + 1 :])
    equal = bytearray(block)
    for highest in (8 + 7, 8 + 807):
        equal[highest] ^= 0x80
    assert is_sound(bytes(equal))


def test_one_changed_byte_costs_nothing_where_the_checksum_says_which(
    made: Path, tmp_path: Path
) -> None:
    for offset in (10, 4096 + 26, 8192 + 2_000, _tellable(made)):
        path = spoiled(made, tmp_path, flipped(made, offset))
        before = path.read_bytes()
        found = check(path)
        assert not found.is_sound
        assert found.mendable == 1, offset
        done = salvage(path, "ipc-01")
        assert done.mended
        assert done.marks_kept
        assert damage.strangers(path, made) == {}
        assert damage.strangers(made, path) == {}
        assert Path(done.kept).read_bytes() == before
        assert check(path).is_sound


def test_what_cannot_be_put_right_costs_its_own_rows(made: Path, tmp_path: Path) -> None:
    lost = set()
    of_tables = {
        DATA + SIZE * _block_of(made, table) for table in ("samples", "series", "health", "marks")
    }
    first_of_all = DATA + SIZE  # the block before it says which tables there are
    for start in sorted(of_tables) if not EVERYWHERE else damage.blocks_of(made):
        if start < first_of_all:
            continue
        path = spoiled(made, tmp_path, flipped(made, start + 8, start + 3_001))
        done = salvage(path, "ipc-01")
        assert damage.strangers(path, made) == {}, start
        assert check(path).is_sound
        samples = [part for part in done.lost if part.table == "samples"]
        if not any(part.table == "series" for part in done.lost):
            gone = sum(part.last - part.first + 1 for part in samples)
            assert damage.rows_of(path) + gone == damage.rows_of(made)
        lost.update(part.table for part in done.lost)
    assert {"samples", "series", "health", "marks"} <= lost


def test_what_was_cut_is_a_gap_and_is_taken_again(made: Path, tmp_path: Path) -> None:
    """What the agents still have comes again; what is there is told from what is not by series and
    time."""
    path = spoiled(made, tmp_path, flipped(made, *_of_samples(made)))
    with closing(duckdb.connect(str(made), read_only=True)) as connection:
        ((former,),) = connection.execute("select id from store_id").fetchall()
    done = salvage(path, "ipc-01")
    assert not done.marks_kept
    assert done.store_id != former
    with closing(DuckDbStore(path, agent="ipc-01")) as store:
        assert store.store_id == done.store_id
        assert store.marks() == {}
        (gap,) = store.gaps(0, 2**62)
        assert gap["reason"] == "store_damaged"
        assert T0 <= gap["from_t"] < gap["to_t"] <= T0 + 6_050 * damage.SECOND
        assert gap["values"] == gap["to_seq"] - gap["from_seq"] + 1
        assert store.counts().stored == damage.rows_of(made)
        chance = np.random.default_rng(7)
        for first in range(0, 6_000, 500):
            store.write(damage.batch(store, first, first + 500, chance))
        for first in range(6_000, 6_050, 10):
            store.write(damage.batch(store, first, first + 10, chance))
        assert store.marks()[STREAM].pairs() == [(1, 6_050)]
    assert damage.strangers(path, made).keys() <= {"marks", "newest"}, "nothing is there twice"
    assert damage.rows_of(path) == damage.rows_of(made)
    assert damage.rows_of(path, "health") == damage.rows_of(made, "health")


def _of_samples(path: Path) -> tuple[int, int]:
    """Two bytes of a block that has numbers of samples."""
    start = DATA + SIZE * _block_of(path, "samples")
    return start + 8, start + 3_001


def _tellable(path: Path) -> int:
    """A byte among numbers of samples that stands in a word of its own."""
    start = DATA + SIZE * _block_of(path, "samples")
    block = path.read_bytes()[start : start + SIZE]
    for at in range(8_001, SIZE, 808):
        if mended(block[:at] + bytes([block[at] ^ 0x10]) + block[at + 1 :]) == block:
            return start + at
    raise AssertionError("the checksum tells no byte of this block")


def _block_of(path: Path, table: str) -> int:
    """A block that has a part of a table: the second one of a column, where there are several."""
    query = (
        "select block_id from pragma_storage_info(?) where block_id >= 0 order by segment_id > 0 "
        "desc, 1 limit 1"
    )
    with closing(duckdb.connect(str(path), read_only=True)) as connection:
        return int(connection.execute(query, [table]).fetchall()[0][0])


def test_a_damaged_tail_of_the_log_costs_the_tail(made: Path, tmp_path: Path) -> None:
    """In each of its entries, their lengths among it: the engine takes a wrong length for the end
    and says nothing."""
    raw, whole = log_path(made).read_bytes(), damage.rows_of(made)
    head = raw.index(b"\xff\xff") + 2
    costs = set()
    for offset in [
        0,
        head + 1,
        head + 5,
        head + 20,
        *range(head + 30, len(raw), len(raw) // PLACES),
    ]:
        changed = raw[:offset] + bytes([raw[offset] ^ 0x81]) + raw[offset + 1 :]
        path = spoiled_log(made, tmp_path, changed)
        with closing(DuckDbStore(path, agent="ipc-01")) as store:
            gaps = [gap["stream"] for gap in store.gaps(0, 2**62)]
            seqs = store.marks()[STREAM].pairs()
        rows = damage.rows_of(path)
        assert damage.strangers(path, made).keys() <= {"marks", "newest"}, offset
        assert seqs == [(1, rows // 21)], "marks and data agree"
        assert rows >= 6_000 * 21
        (aside,) = path.parent.glob("*.wal.damaged-*")
        assert aside.read_bytes() == changed
        assert gaps == (["store:log"] if rows < whole else []), offset
        costs.add(rows)
    assert len(costs) >= 3


@pytest.mark.parametrize("offset", [7, 12])
def test_a_log_that_is_not_this_files_is_refused_and_costs_the_log(
    made: Path, tmp_path: Path, offset: int
) -> None:
    raw = log_path(made).read_bytes()
    path = spoiled_log(
        made, tmp_path, raw[:offset] + bytes([raw[offset] ^ 0x20]) + raw[offset + 1 :]
    )
    found = outcome(path)
    if isinstance(found, str):
        assert found in NAMED
        done = salvage(path, "ipc-01")
        assert done.log_lost or done.mended
    assert damage.strangers(path, made).keys() <= {"marks", "newest"}
    assert damage.rows_of(path) >= 6_000 * 21


def test_a_log_cut_while_it_was_written_is_taken_up_to_its_last_commit(
    made: Path, tmp_path: Path
) -> None:
    raw = log_path(made).read_bytes()
    for end in [0, 10, *range(39, len(raw), len(raw) // PLACES)]:
        path = spoiled_log(made, tmp_path, raw[:end])
        with closing(DuckDbStore(path, agent="ipc-01")) as store:
            seqs = store.marks()[STREAM].pairs()
            assert store.gaps(0, 2**62) == []
        assert damage.strangers(path, made).keys() <= {"marks", "newest"}
        assert seqs == [(1, damage.rows_of(path) // 21)]
        assert list(path.parent.glob("*damaged*")) == [], "a cut is no damage"


def spoiled_log(made: Path, target: Path, content: bytes) -> Path:
    path = spoiled(made, target, {})
    log_path(path).write_bytes(content)
    return path


def test_a_file_cut_anywhere_is_refused_or_equal(
    made: Path, good: dict[str, list[tuple[int, Any]]], tmp_path: Path
) -> None:
    size = made.stat().st_size
    for end in (
        1,
        11,
        12,
        4_000,
        5_000,
        9_000,
        DATA - 1,
        DATA,
        DATA + 5,
        *range(DATA + SIZE, size, SIZE + 1_000),
    ):
        path = spoiled(made, tmp_path, {})
        with path.open("r+b") as file:
            file.truncate(end)
        found = outcome(path)
        assert found == good or (isinstance(found, str) and found in NAMED), end


def another_programs(path: Path) -> str:
    path.write_bytes(b"SQLite format 3\0" + bytes(20_000))
    return "store-foreign"


def empty(path: Path) -> str:
    path.write_bytes(b"")
    return "store-foreign"


def of_text(path: Path) -> str:
    path.write_text("site: dongguan\n" * 1_000)
    return "store-foreign"


def without_headers(path: Path) -> str:
    damage.write_at(path, {0: bytes(100), 4096: bytes(100), 8192: bytes(100)})
    return "store-foreign"


def with_half_a_header(path: Path) -> str:
    damage.write_at(path, {8: b"\xff" * 60})
    return "store-damaged"


def a_folder(path: Path) -> str:
    path.unlink()
    log_path(path).unlink()
    path.mkdir()
    return "store-unreachable"


@pytest.mark.parametrize(
    "spoil", [another_programs, empty, of_text, without_headers, with_half_a_header, a_folder]
)
def test_what_is_no_store_of_ours_has_one_sentence(
    made: Path, spoil: Callable[[Path], str], tmp_path: Path
) -> None:
    path = spoiled(made, tmp_path, {})
    code = spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(FindingsError) as caught:
        DuckDbStore(path)
    (finding,) = caught.value.findings
    assert finding.code == code
    assert finding.zh.endswith("。")
    assert finding.en.endswith(".")
    if path.is_file():
        assert path.read_bytes() == before


def config_of(path: Path) -> Path:
    config = path.parent / "plant.yaml"
    config.write_text(
        f"agent: {{id: ipc-01, site: dongguan}}\nmqtt: {{url: mqtt://127.0.0.1:1}}\n"
        f"store: {{path: {path.name}}}\ndevices: []\n"
    )
    return config


def test_check_and_salvage_as_commands(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spoiled(made, tmp_path, {})
    config = config_of(path)
    assert main(["store", "check", str(config)]) == 0
    assert "Sound" in capsys.readouterr().out
    damage.write_at(path, flipped(path, *_of_samples(made)))
    assert main(["store", "check", str(config), "--json"]) == 1
    found = orjson.loads(capsys.readouterr().out)
    assert not found["sound"]
    assert "num" in found["tables"]["samples"]
    assert main(["store", "check", str(config)]) == 1
    assert f"edge-agent store salvage {config}" in capsys.readouterr().out
    assert main(["store", "salvage", str(config)]) == 1
    assert "lost samples" in capsys.readouterr().out
    assert main(["store", "check", str(config)]) == 0


def test_a_store_in_use_is_not_salvaged(made: Path, tmp_path: Path) -> None:
    path = spoiled(made, tmp_path, {})
    program = (
        "import sys\nfrom pathlib import Path\nfrom edge_agent.errors import FindingsError\n"
        "from edge_agent.stores.duckdb.salvage import salvage\n"
        "try: salvage(Path(sys.argv[1]))\nexcept FindingsError as e: print(e.findings[0].code)\n"
    )
    with closing(DuckDbStore(path, agent="ipc-01")):
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
        )
    assert done.stdout.strip() == "store-locked", done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.duckdb"]


def test_a_byte_is_put_right_only_where_the_checksum_says_which(made: Path) -> None:
    raw = made.read_bytes()
    chance = random.Random(3)
    right = 0
    for start in range(DATA, len(raw) - SIZE + 1, SIZE):
        block = raw[start : start + SIZE]
        for _ in range(12):
            at = chance.randrange(SIZE)
            changed = block[:at] + bytes([block[at] ^ chance.randrange(1, 256)]) + block[at + 1 :]
            found = mended(changed)
            assert found in (None, block)
            right += found is not None
    assert right >= 10


def test_without_room_for_a_new_file_the_damaged_one_is_left(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spoiled(made, tmp_path, flipped(made, *_of_samples(made)))
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    monkeypatch.setattr("edge_agent.stores.formats._shared", lambda *_: False)
    with pytest.raises(FindingsError) as caught:
        salvage(path)
    assert caught.value.findings[0].code == "store-disk-full"
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.duckdb", "s.duckdb.wal"]
