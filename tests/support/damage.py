"""A small store of everything the ingest writes, and what can be read of it, to compare after
damage."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from edge_agent.errors import FindingsError, StoreError
from edge_agent.stores import Chunk, Rows, StreamMark, WriteBatch
from edge_agent.stores.columns import FLOAT, TEXT
from edge_agent.stores.duckdb.check import NO_NETWORK
from edge_agent.stores.duckdb.store import DuckDbStore

SECOND = 1_000_000_000
T0 = 1_763_900_000 * SECOND
TAGS = tuple(f"tag-{number}" for number in range(20))
STREAM = "ipc-01/0/9f3c"
SIZE = 262_144
DATA = 12_288


def make_store(path: Path, messages: int, *, logged: int = 0, per_commit: int = 500) -> None:
    """Messages of 20 random values and a text, a second apart, each with its mark and each ten with
    a row of health; the last `logged` commits of ten messages stay in the log."""
    chance = np.random.default_rng(7)
    store = DuckDbStore(path, agent="ipc-01")
    for first in range(0, messages, per_commit):
        store.write(batch(store, first, min(messages, first + per_commit), chance))
    store._connection.execute("checkpoint")
    for first in range(messages, messages + 10 * logged, 10):
        store.write(batch(store, first, first + 10, chance))
    store._connection.execute("set checkpoint_threshold = '1TB'")
    kept = path.with_name("kept")
    kept.mkdir()
    for file in (path, Path(f"{path}.wal")):
        if file.exists():
            shutil.copy(file, kept / file.name)
    store._connection.close()
    for file in kept.iterdir():
        shutil.move(file, path.parent / file.name)
    kept.rmdir()


def batch(store: DuckDbStore, first: int, end: int, chance: np.random.Generator) -> WriteBatch:
    """The messages `first` to `end`, as one commit."""
    sids = store.catalogue.ids("m1", (*TAGS, "program"))
    kinds = np.array([FLOAT] * len(TAGS) + [TEXT], np.uint8)
    chunks, marks, health = [], [], []
    for number in range(first, end):
        t = T0 + number * SECOND
        numbers = np.append(chance.random(len(TAGS)) * 100, np.nan)
        chunks.append(Chunk(sids, t, numbers, kinds, texts={len(TAGS): f"O{number % 97:04d}"}))
        marks.append(StreamMark(STREAM, number + 1, len(sids)))
        if number % 10 == 0:
            row = {
                "device": "m1",
                "t": t,
                "period_s": 5.0,
                "scheduled_s": 10.0,
                "covered_s": 10.0,
                "due": 10,
            }
            health.append(
                row
                | {
                    "done": 10,
                    "good": 210,
                    "bad": 0,
                    "values": 210,
                    "state": "online",
                    "last_good_t": t,
                }
            )
    return WriteBatch(Rows.of(chunks), T0 + end * SECOND, health=health, marks=marks)


def strangers(path: Path, whole: Path) -> dict[str, int]:
    """Table -> rows of a store that the other one does not have; gap records are left out, and when
    it was stored."""
    found = {}
    with closing(duckdb.connect(config=NO_NETWORK)) as connection:
        connection.execute(f"attach '{path}' as part (read_only)")
        connection.execute(f"attach '{whole}' as whole (read_only)")
        tables = "select table_name from duckdb_tables() where database_name = 'whole'"
        for (table,) in connection.execute(tables).fetchall():
            if table not in ("store_id", "salvages", "gaps"):
                what = "* exclude (stored)" if table in ("samples", "health") else "*"
                both = (
                    f"select {what} from part.{table} except all select {what} from whole.{table}"
                )
                found[table] = connection.execute(f"select count(*) from ({both})").fetchall()[0][0]
    return {table: count for table, count in found.items() if count}


def rows_of(path: Path, table: str = "samples") -> int:
    """How many there are."""
    with closing(duckdb.connect(str(path), read_only=True, config=NO_NETWORK)) as connection:
        return int(connection.execute(f"select count(*) from {table}").fetchall()[0][0])


def read_through_the_store(path: Path) -> dict[str, list[tuple[int, Any]]]:
    """Every series by the store's own reading; FindingsError or StoreError where it cannot."""
    with closing(DuckDbStore(path, agent="ipc-01")) as store:
        samples = {}
        for tag in (*TAGS, "program"):
            found = store.samples("m1", tag, 0, 2**62)
            samples[tag] = list(zip(found.t.tolist(), found.values(), strict=True))
        store.marks()
        store.health(0, 2**62)
        return samples


def spoiled(path: Path, target: Path, changes: dict[int, bytes]) -> Path:
    """A copy of a store in a folder of its own, with other bytes at these offsets."""
    target.mkdir(parents=True, exist_ok=True)
    copy = target / path.name
    for file in target.iterdir():
        file.unlink()
    shutil.copy(path, copy)
    if Path(f"{path}.wal").exists():
        shutil.copy(f"{path}.wal", f"{copy}.wal")
    write_at(copy, changes)
    return copy


def write_at(path: Path, changes: dict[int, bytes]) -> None:
    with path.open("r+b") as file:
        for offset, content in changes.items():
            file.seek(offset)
            file.write(content)


def flipped(path: Path, *offsets: int) -> dict[int, bytes]:
    """Each of these bytes changed, no two of them in the same bits: DuckDB's checksum does not see
    two equal changes in the highest bytes of two words."""
    raw = path.read_bytes()
    return {
        offset: bytes([raw[offset] ^ (0x10 + 0x13 * place)]) for place, offset in enumerate(offsets)
    }


def outcome(path: Path) -> dict[str, list[tuple[int, Any]]] | str:
    """What somebody reading the store gets: all series, or the name of the refusal."""
    try:
        return read_through_the_store(path)
    except FindingsError as error:
        (finding,) = error.findings
        return finding.code
    except StoreError as error:
        return error.cause.name


def blocks_of(path: Path) -> Iterator[int]:
    """Offsets at which headers and blocks begin."""
    yield from range(0, DATA, 4096)
    yield from range(DATA, path.stat().st_size - SIZE + 1, SIZE)
