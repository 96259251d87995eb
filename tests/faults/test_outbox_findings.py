"""What the fault matrix found in the outbox, each as the smallest case."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from unittest.mock import patch

from edge_agent.outbox import Outbox
from edge_agent.outbox.ledger import StreamState
from edge_agent.outbox.segment import Writer
from faults import writer


def opened(path: Path, max_bytes: int = 1_000_000) -> Outbox:
    return Outbox(path, agent="w", max_bytes=max_bytes, fsync_ms=10_000)


def test_damage_at_the_very_beginning_of_the_unfinished_segment_is_reported(tmp_path: Path) -> None:
    box = opened(tmp_path / "live")
    for seq in range(1, 121):
        writer.append(box, seq)
    shutil.copytree(tmp_path / "live", tmp_path / "killed")
    box.close_now()
    last = max((tmp_path / "killed").glob("*.seg"))
    raw = bytearray(last.read_bytes())
    raw[40] ^= 0xFF  # in the first record
    last.write_bytes(raw)
    again = opened(tmp_path / "killed")
    gaps = again.gaps()
    again.attach()
    taken = {entry.seq for entry in iter(again.take_backlog, None)}
    again.close_now()
    gone = {seq for gap in gaps for seq in range(gap.from_seq, gap.to_seq + 1)}
    assert len(gone) == 1
    assert taken | gone == set(range(1, 121))


def test_draining_what_a_full_disk_left_in_memory_takes_a_bounded_number_of_steps_each(
    tmp_path: Path,
) -> None:
    box = opened(tmp_path)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with patch.object(Writer, "append", side_effect=full):
        for seq in range(1, 2001):
            writer.append(box, seq)
        with patch.object(
            StreamState, "next_open", autospec=True, side_effect=StreamState.next_open
        ) as steps:
            assert [entry.seq for entry in iter(box.take_backlog, None)] == list(range(1, 2001))
        assert steps.call_count <= 10 * 2001
    box.close_now()
