"""kill -9 in the middle of commits: what the marks say and what the file holds agree, each time."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from edge_agent.stores.duckdb.store import DuckDbStore

WRITER = """
import sys
from pathlib import Path
import numpy as np
from edge_agent.stores import Chunk, Rows, StreamMark, WriteBatch
from edge_agent.stores.columns import FLOAT
from edge_agent.stores.duckdb.store import DuckDbStore

store = DuckDbStore(Path(sys.argv[1]))
marks = store.marks().get("a/0/1")
seq = marks.pairs()[-1][1] + 1 if marks else 0
kind = np.full(500, FLOAT, np.uint8)
sid = store.catalogue.ids("m1", tuple(f"t{i}" for i in range(500)))
while True:
    chunks = [Chunk(sid, (seq + i) * 1000, np.full(500, float(seq + i)), kind) for i in range(3)]
    health = [{"device": "m1", "t": seq + 1, "good": 1, "scheduled_s": 1.0}]
    store.write(WriteBatch(Rows.of(chunks), seq, health=health, marks=[StreamMark("a/0/1", seq + i, 500) for i in range(3)]))
    seq += 3
    print(seq, flush=True)
"""


def test_marks_and_data_agree_after_every_kill(tmp_path: Path) -> None:
    path, told = tmp_path / "s.duckdb", 0
    chance = random.Random(7)
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        with writer.stdout:
            for _ in range(chance.randint(1, 12)):
                told = int(writer.stdout.readline())
            writer.kill()
            rest = writer.stdout.read().splitlines()
        writer.wait()
        told = int(rest[-1]) if rest else told
        with closing(DuckDbStore(path)) as store:
            (first, last) = store.marks()["a/0/1"].pairs()[0]
            assert first == 0
            assert last + 1 >= told, "what was reported as committed is there"
            got = store.samples("m1", "t250", 0, 2**62)
            assert got.num.tolist() == [float(seq) for seq in range(last + 1)]
            assert store.counts().stored == 500 * (last + 1)
            assert store.health(-1, 2**62)["m1"].good == (last + 1) // 3
            assert store.latest()["m1"]["t0"].value == float(last)
