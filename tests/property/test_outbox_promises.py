"""Any sequence of appending, delivering, crashing and damaging keeps what CONTRACT section 4
promises.

A kill keeps the page cache: the folder as it is. A power cut keeps what was synced and an arbitrary
prefix of the rest. Damage flips bytes in a folder at rest. After each of them the outbox opens by
itself, and every entry it had promised to keep is delivered unaltered or reported in a gap, and
never both.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_agent.outbox import Outbox, OutboxEntry
from edge_agent.outbox.acks import AckLog
from edge_agent.outbox.segment import Segment
from tests.support.exploration import examples

BOUND = 200_000
Key = tuple[str, int]
SHARE = st.floats(0, 1)


class Promises(RuleBasedStateMachine):
    """The model: what was appended, seen, freed, reported, and what a power cut was allowed to
    take."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="outbox-promises-"))
        self.lives = 0
        self.payloads: dict[Key, bytes] = {}
        self.delivered: set[Key] = set()
        self.freed: set[Key] = set()
        self.gapped: set[Key] = set()
        self.excused: set[Key] = set()
        self.certain = True
        self.taken: list[OutboxEntry] = []
        self.acks_synced: dict[Path, int] = {}
        self._sync, self._rewritten = AckLog.sync, AckLog.rewrite
        self.patches: list[Any] = [
            patch.object(AckLog, "sync", lambda acks: self._sync_acks(acks)),
            patch.object(AckLog, "rewrite", lambda acks, state: self._rewrite(acks, state)),
        ]
        for active in self.patches:
            active.start()

    @initialize()
    def first_life(self) -> None:
        self.open()

    def open(self) -> None:
        self.box = Outbox(self.folder, agent="a", max_bytes=BOUND, fsync_ms=10_000)
        self.box.note_ingest()
        self.box.attach()
        self.taken = []
        self._collect_gaps()

    @property
    def folder(self) -> Path:
        return self.root / str(self.lives)

    @rule(count=st.integers(1, 15), size=st.sampled_from([0, 50, 3000]))
    def append(self, count: int, size: int) -> None:
        for _ in range(count):
            tail = b":" + b"v" * size
            seq = self.box.append("t/data", b"head:", tail, 7, 2)
            self.payloads[self.box.stream, seq] = b"head:%d" % seq + tail

    @rule(count=st.integers(1, 40), live=st.booleans())
    def deliver(self, count: int, live: bool) -> None:
        order: dict[str, int] = {}
        for _ in range(count):
            entry = self.box.take_live() if live else self.box.take_backlog()
            if entry is None:
                break
            key = (entry.stream, entry.seq)
            self._collect_gaps()
            assert entry.payload == self.payloads[key], "altered"
            assert key not in self.gapped, "delivered after it was reported as lost"
            assert entry.seq > order.get(entry.stream, 0), "out of order within a lane"
            order[entry.stream] = entry.seq
            self.delivered.add(key)
            self.taken.append(entry)

    @rule(share=SHARE, release=st.booleans())
    def acknowledge(self, share: float, release: bool) -> None:
        count = round(share * len(self.taken))
        acked, self.taken = self.taken[:count], self.taken[count:]
        self.box.acknowledge(acked, release=release)
        if release:
            self.freed |= {(e.stream, e.seq) for e in acked}

    @rule(share=SHARE)
    def confirm(self, share: float) -> None:
        for stream, pairs in self.box.awaiting().items():
            for first, last in pairs:
                middle = first + round(share * (last - first))
                self.box.confirm(stream, [(first, middle)])
                self.freed |= {(stream, n) for n in range(first, middle + 1)}

    @rule()
    def reconnect(self) -> None:
        self.box.detach()
        self.box.attach()
        self.taken = []

    @rule()
    def sync(self) -> None:
        self.box.sync()

    @rule()
    def close_and_open(self) -> None:
        self.box.close_now()
        self.open()

    @rule()
    def kill(self) -> None:
        self._leave(self._copy())
        self.open()

    @rule(share=SHARE, zeros=st.booleans())
    def power_cut(self, share: float, zeros: bool) -> None:
        box, stream, durable = self.box, self.box.stream, self.box.durable_seq
        segments = list(box._journal.of(stream))
        ends = [
            (s.path.name, _end_of_durable(s, durable), s.size)
            for s in segments
            if not s.sealed or s.last > durable
        ]
        acks = self.acks_synced.get(self.folder / "acks.log", 0)
        copy = self._copy()
        for name, kept, size in ends:
            _cut(copy / name, kept + round(share * (size - kept)), size if zeros else 0)
        _cut(
            copy / "acks.log", acks + round(share * ((copy / "acks.log").stat().st_size - acks)), 0
        )
        self.excused |= {key for key in self.payloads if key[0] == stream and key[1] > durable}
        self.certain = False
        self._leave(copy)
        self.open()

    @rule(share=SHARE, width=st.integers(1, 400), flip=st.integers(1, 255))
    def damage(self, share: float, width: int, flip: int) -> None:
        self.box.close_now()
        files = sorted(self.folder.glob("*.seg"))
        if files:
            path = files[round(share * (len(files) - 1))]
            raw = bytearray(path.read_bytes())
            start = round((share * 7919) % 1 * (len(raw) - 1))
            raw[start : start + width] = bytes(b ^ flip for b in raw[start : start + width])
            path.write_bytes(raw)
        self.open()

    @invariant()
    def pending_is_exact(self) -> None:
        if not hasattr(self, "box"):
            return
        self._collect_gaps()
        if self.certain:
            assert self.box.pending == len(self.payloads.keys() - self.freed - self.gapped)
            assert (
                self.box.stats.pending == 2 * self.box.pending or self.box.stats.quarantined_entries
            )

    def teardown(self) -> None:
        if hasattr(self, "box"):
            self.close_and_open()
            for _ in iter(self.box.take_backlog, None):
                self.delivered.add((_.stream, _.seq))
                assert _.payload == self.payloads[_.stream, _.seq]
            self._collect_gaps()
            lost = self.payloads.keys() - self.delivered - self.freed - self.gapped - self.excused
            self.box.close_now()
            assert not lost, f"lost without a word: {sorted(lost)[:5]}"
        for active in self.patches:
            active.stop()
        shutil.rmtree(self.root)

    def _collect_gaps(self) -> None:
        for gap in self.box.gaps():
            self.gapped |= {(gap.stream, n) for n in range(gap.from_seq, gap.to_seq + 1)}

    def _copy(self) -> Path:
        copy = self.root / f"copy-{self.lives}"
        shutil.copytree(self.folder, copy)
        return copy

    def _leave(self, copy: Path) -> None:
        """The old life ends without being asked; what it does from now on happens in a folder
        nobody looks at."""
        self._collect_gaps()
        synced = self.acks_synced.get(self.folder / "acks.log", 0)
        self.box.close_now()
        shutil.rmtree(self.folder)
        self.lives += 1
        copy.rename(self.folder)
        self.acks_synced[self.folder / "acks.log"] = min(
            synced, (self.folder / "acks.log").stat().st_size
        )

    def _sync_acks(self, acks: AckLog) -> None:
        self._sync(acks)
        self.acks_synced[acks._path] = acks.size

    def _rewrite(self, acks: AckLog, state: object) -> None:
        self._rewritten(acks, state)  # type: ignore[arg-type]
        self.acks_synced[acks._path] = 0


def _end_of_durable(segment: Segment, durable: int) -> int:
    """The end of the last synced record."""
    later = [o for n, o in enumerate(segment.index.offsets, segment.first) if n > durable]
    return min(later, default=segment.index.data_end)


def _cut(path: Path, length: int, size: int) -> None:
    """Keep a prefix; a file system that extends before it writes leaves zeros up to `size`."""
    raw = path.read_bytes()[:length]
    path.write_bytes(raw + bytes(max(0, size - len(raw))))


TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
