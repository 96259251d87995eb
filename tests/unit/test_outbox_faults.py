"""Disks that are full, that fail to sync, and that give back other bytes than they were given (F5,
F6, F7)."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from edge_agent.outbox import Outbox, OutboxEntry, UndeliveredRange, journal
from edge_agent.outbox.acks import Ack, AckKind, pack
from edge_agent.outbox.record import FOOTER_SIZE, SegmentIndex, parse_trailer, trailer_length
from edge_agent.outbox.survey import verify


@contextmanager
def opened(path: Path, max_bytes: int = 4_000_000) -> Iterator[Outbox]:
    outbox = Outbox(path, agent="a", max_bytes=max_bytes, fsync_ms=1)
    try:
        yield outbox
    finally:
        outbox.close_now()


def put(outbox: Outbox, count: int, size: int = 50) -> None:
    for _ in range(count):
        outbox.append("t", b"h", b":" + b"x" * size, time.time_ns(), 2)


def backlog(outbox: Outbox) -> list[OutboxEntry]:
    return list(iter(outbox.take_backlog, None))


def wait(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "not within 20 s"
        time.sleep(0.005)  # poll interval of this waiter


def lost(gaps: list[UndeliveredRange]) -> set[int]:
    return {n for gap in gaps for n in range(gap.from_seq, gap.to_seq + 1)}


class Disk:
    """Lets writes through, refuses them, or takes only a part of each."""

    def __init__(self) -> None:
        self.full = False
        self.partial = False
        self._writev = os.writev

    def writev(self, fd: int, buffers: tuple[bytes, ...]) -> int:
        if self.partial:
            self.partial, self.full = False, True
            return self._writev(fd, (buffers[0][:20],))
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._writev(fd, buffers)


@pytest.mark.parametrize("partial", [False, True], ids=["refused", "partly-written"])
def test_a_full_disk_is_bridged_in_memory_and_recovers_by_itself(
    tmp_path: Path, partial: bool
) -> None:
    disk = Disk()
    with opened(tmp_path) as outbox, patch("os.writev", disk.writev):
        put(outbox, 10)
        disk.partial, disk.full = partial, not partial
        put(outbox, 20)
        assert [e.seq for e in backlog(outbox)] == list(range(1, 31)), (
            "what is in memory can be sent"
        )
        outbox.detach()
        disk.full = False
        wait(lambda: outbox.tick() or not list(outbox._journal.unsynced_records))
        put(outbox, 5)
    with opened(tmp_path) as outbox:
        assert [e.seq for e in backlog(outbox)] == list(range(1, 36))
        assert outbox.gaps() == []
        assert outbox.stats.quarantined_bytes == 0


def test_what_memory_cannot_bridge_is_counted_exactly(tmp_path: Path) -> None:
    disk = Disk()
    with (
        opened(tmp_path) as outbox,
        patch("os.writev", disk.writev),
        patch.object(journal, "_BUFFER", 10_000),
    ):
        put(outbox, 5)
        disk.full = True
        put(outbox, 50, size=1000)
        disk.full = False
        wait(lambda: outbox.tick() or not list(outbox._journal.unsynced_records))
        put(outbox, 5)
        gaps, stats = outbox.gaps(), outbox.stats
        arrived = {e.seq for e in backlog(outbox)}
    assert lost(gaps) == set(range(1, 61)) - arrived
    assert {g.reason for g in gaps} == {"disk"}
    assert len(lost(gaps)) == stats.dropped_entries > 30
    assert sum(g.values for g in gaps) == stats.dropped == 2 * stats.dropped_entries
    assert stats.pending_entries == len(arrived)
    with opened(tmp_path) as outbox:
        assert {e.seq for e in backlog(outbox)} == arrived
        assert outbox.gaps() == [], "a gap is told once"


def test_what_the_disk_refuses_to_the_end_is_counted_and_told_at_the_next_start(
    tmp_path: Path,
) -> None:
    disk = Disk()
    with patch("os.writev", disk.writev):
        outbox = Outbox(tmp_path, agent="a", max_bytes=4_000_000, fsync_ms=1)
        put(outbox, 10)
        disk.full = True
        put(outbox, 20)
        sent = [entry for entry in backlog(outbox) if entry.seq > 28]
        outbox.acknowledge(sent, release=True)
        outbox.close_now()
        assert (outbox.stats.dropped_entries, outbox.stats.dropped) == (18, 36), (
            "what was delivered is not lost"
        )
        stream = outbox.stream
        disk.full = False
        with opened(tmp_path) as again:
            (gap,) = again.gaps()
            assert (gap.stream, gap.from_seq, gap.to_seq, gap.reason) == (stream, 11, 28, "missing")
            assert [e.seq for e in backlog(again)] == list(range(1, 11))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(mount)], check=False
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs: needs root")
def test_a_file_system_full_to_the_end_leaves_room_to_tell(small: Path) -> None:
    with opened(small / "box") as outbox:
        put(outbox, 400, size=1000)
        held = len(list(outbox._journal.unsynced_records))
        assert held
    with opened(small / "box") as outbox:
        assert sum(gap.entries for gap in outbox.gaps()) == held


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs: needs root")
def test_a_really_full_file_system(small: Path) -> None:
    with opened(small / "box") as outbox:
        put(outbox, 600, size=1000)
        arrived = backlog(outbox)
        assert {e.seq for e in arrived} | lost(outbox.gaps()) == set(range(1, 601))
        outbox.acknowledge(arrived, release=True)
        outbox.sync()
        wait(lambda: outbox.tick() or not list(outbox._journal.unsynced_records))
        put(outbox, 3)
        assert outbox.pending == 3


class FailingSync:
    """fdatasync fails so many times; like the kernel, it fails once and then forgets the lost
    pages."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self._sync = os.fdatasync

    def __call__(self, fd: int) -> None:
        if self.left > 0:
            self.left -= 1
            raise OSError(errno.EIO, "Input/output error")
        self._sync(fd)


@pytest.mark.parametrize("failures", [1, 3])
def test_a_failed_sync_is_never_taken_for_durable(tmp_path: Path, failures: int) -> None:
    with opened(tmp_path) as outbox:
        put(outbox, 10)
        wait(lambda: outbox.durable_seq == 10)
        before = set(tmp_path.glob("*.seg"))
        with patch("os.fdatasync", FailingSync(failures)) as failing:
            put(outbox, 10)
            while failing.left:
                assert outbox.durable_seq == 10
                outbox.tick()
                time.sleep(0.005)  # poll interval of this waiter
            wait(lambda: outbox.tick() or outbox.durable_seq == 20)
        fresh = set(tmp_path.glob("*.seg")) - before
        assert fresh, "what was not durable is written again, to a fresh segment"
        assert [e.seq for e in backlog(outbox)] == list(range(1, 21))
        put(outbox, 5)
    with opened(tmp_path) as outbox:
        assert [e.seq for e in backlog(outbox)] == list(range(1, 26))
        assert outbox.gaps() == []
        assert (outbox.pending, outbox.stats.pending) == (25, 50)


def test_more_unsynced_data_than_memory_keeps_is_read_back(tmp_path: Path) -> None:
    with patch.object(journal, "_BUFFER", 2_000), opened(tmp_path) as outbox:
        with patch("os.fdatasync", FailingSync(1)) as failing:
            put(outbox, 60, size=500)
            wait(lambda: failing.left == 0)
            wait(lambda: outbox.tick() or outbox.durable_seq == 60)
        assert [e.seq for e in backlog(outbox)] == list(range(1, 61))


def filled(path: Path, count: int = 40) -> bytes:
    """A cleanly closed outbox with one segment; returns that segment's bytes."""
    with opened(path) as outbox:
        put(outbox, count)
    return (path / "0000000001.seg").read_bytes()


def outcome(path: Path) -> tuple[list[OutboxEntry], list[UndeliveredRange], Outbox]:
    with opened(path) as outbox:
        entries = backlog(outbox)
        return entries, outbox.gaps(), outbox


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_costs_only_its_own_records(tmp_path: Path, seed: int) -> None:
    raw = bytearray(filled(tmp_path))
    rng = random.Random(seed)
    originals = {e.seq: e for e in outcome(tmp_path)[0]}
    hit = rng.sample(range(len(raw)), rng.randint(1, 16))
    for at in hit:
        raw[at] ^= rng.randint(1, 255)
    (tmp_path / "0000000001.seg").write_bytes(raw)
    entries, gaps, _ = outcome(tmp_path)
    assert all(originals[e.seq] == e for e in entries), "an altered payload was delivered"
    assert {e.seq for e in entries} ^ lost(gaps) == set(range(1, 41)), (
        "neither delivered nor reported, or both"
    )
    assert len(lost(gaps)) <= len(hit)


def test_truncation_at_every_offset(tmp_path: Path) -> None:
    raw = filled(tmp_path / "whole", 6)
    for length in range(0, len(raw), 7):
        path = tmp_path / str(length)
        path.mkdir()
        (path / "acks.log").write_bytes((tmp_path / "whole" / "acks.log").read_bytes())
        (path / "0000000001.seg").write_bytes(raw[:length])
        entries, gaps, outbox = outcome(path)
        assert [e.seq for e in entries] == list(range(1, len(entries) + 1))
        assert lost(gaps) == set(range(len(entries) + 1, 7))
        assert outbox.stats.quarantined_entries == len(lost(gaps))


def test_a_page_of_zeros_in_the_middle(tmp_path: Path) -> None:
    raw = bytearray(filled(tmp_path, 200))
    raw[4096:8192] = bytes(4096)
    (tmp_path / "0000000001.seg").write_bytes(raw)
    entries, gaps, outbox = outcome(tmp_path)
    assert {e.seq for e in entries} ^ lost(gaps) == set(range(1, 201))
    assert 0 < len(lost(gaps)) <= 4096 // 110 + 2
    assert outbox.stats.quarantined == 2 * len(lost(gaps)), "the trailer still knows the values"
    assert (
        sum(p.stat().st_size for p in (tmp_path / "quarantine").iterdir())
        == outbox.stats.quarantined_bytes
    )


def test_a_deleted_file_is_a_gap(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=1_000_000) as outbox:
        put(outbox, 300, size=500)
        stream = outbox.stream
    files = sorted(tmp_path.glob("*.seg"))
    assert len(files) > 3
    files[1].unlink()
    entries, gaps, _ = outcome(tmp_path)
    assert {e.seq for e in entries} ^ lost(gaps) == set(range(1, 301))
    assert [(g.stream, g.reason) for g in gaps] == [(stream, "missing")]
    assert gaps[0].from_t < gaps[0].to_t
    assert outcome(tmp_path)[1] == [], "a gap is told once"


def test_a_torn_end_is_no_damage(tmp_path: Path) -> None:
    raw = filled(tmp_path / "whole", 5)
    record = (raw.index(b"\xf5\xc1\xffR", 20) - 8) if raw else 0
    path = tmp_path / "torn"
    path.mkdir()
    (path / "0000000001.seg").write_bytes(raw[: 8 + 3 * record + record // 2])
    survey = verify(path)
    assert (survey.damaged_bytes, survey.torn_bytes) == (0, record // 2)
    entries, gaps, outbox = outcome(path)
    assert ([e.seq for e in entries], gaps, outbox.stats.quarantined_bytes) == ([1, 2, 3], [], 0)


def unfinished(path: Path, count: int) -> tuple[bytes, list[int]]:
    """What a kill leaves of `count` entries: a segment without its trailer; its bytes and where its
    records begin."""
    whole = filled(path.with_name("whole"), count)
    index = parse(whole)
    path.mkdir()
    return whole[: index.data_end], list(index.offsets)


def parse(whole: bytes) -> SegmentIndex:
    length = trailer_length(whole[-FOOTER_SIZE:]) + FOOTER_SIZE
    index = parse_trailer(whole[-length:], len(whole))
    assert index is not None
    return index


@pytest.mark.parametrize("at", [0, 5, 8, 13, 17, 40, 80])
def test_a_damaged_last_record_of_an_unfinished_segment_is_a_gap(tmp_path: Path, at: int) -> None:
    """Its number is that after the last one that can be read, whatever of it is damaged."""
    path = tmp_path / "killed"
    raw, begins = unfinished(path, 5)
    damaged = bytearray(raw)
    # at 8, the length: a greater one looks like a record cut short
    damaged[begins[4] + at] ^= raw[begins[4] + at] or 1
    (path / "0000000001.seg").write_bytes(damaged)
    entries, gaps, outbox = outcome(path)
    assert [entry.seq for entry in entries] == [1, 2, 3, 4]
    assert [(gap.from_seq, gap.to_seq, gap.reason) for gap in gaps] == [(5, 5, "damaged")]
    assert gaps[0].from_t == entries[3].t, "the nearest entry that is left"
    assert outbox.stats.quarantined_entries == 1
    assert outcome(path)[1] == [], "a gap is told once"


def test_several_damaged_records_at_the_end_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "killed"
    raw, begins = unfinished(path, 6)
    damaged = bytearray(raw)
    for begin in begins[2:]:
        damaged[begin + 60] ^= 1
    (path / "0000000001.seg").write_bytes(damaged)
    assert [(gap.from_seq, gap.to_seq) for gap in outcome(path)[1]] == [(3, 6)]


def test_acknowledgements_tell_of_entries_that_are_nowhere(tmp_path: Path) -> None:
    """The log of them is in the page cache as the segment is; a power cut may keep it and cut the
    segment."""
    path = tmp_path / "cut"
    raw, begins = unfinished(path, 6)
    (path / "0000000001.seg").write_bytes(raw[: begins[3] + 20])
    stream = parse((tmp_path / "whole" / "0000000001.seg").read_bytes()).stream
    (path / "acks.log").write_bytes(
        pack(Ack(AckKind.ACKED, stream, 2, 2)) + pack(Ack(AckKind.ACKED, stream, 6, 6))
    )
    entries, gaps, outbox = outcome(path)
    assert [entry.seq for entry in entries] == [1, 3]
    assert [(gap.from_seq, gap.to_seq, gap.reason) for gap in gaps] == [(4, 5, "missing")]
    assert outbox.unconfirmed == 1
    assert outcome(path)[1] == [], "a gap is told once"


def test_a_folder_full_of_rubbish_opens(tmp_path: Path) -> None:
    rng = random.Random(5)
    (tmp_path / "0000000001.seg").write_bytes(rng.randbytes(5000))
    (tmp_path / "0000000002.seg").write_bytes(b"")
    (tmp_path / "0000000003.seg").write_bytes(b"\xf5\xc1\xffR" * 500)
    (tmp_path / "notes.seg").write_text("not ours")
    (tmp_path / "acks.log").write_bytes(rng.randbytes(5000))
    with opened(tmp_path) as outbox:
        put(outbox, 3)
        assert [e.seq for e in backlog(outbox)] == [1, 2, 3]
