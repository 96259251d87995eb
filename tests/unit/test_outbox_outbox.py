"""The outbox as its callers see it: order, acknowledgements, bounds, and one owner."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.errors import FindingsError
from edge_agent.outbox import Outbox, OutboxEntry
from edge_agent.outbox.ledger import UndeliveredRange


@contextmanager
def opened(path: Path, max_bytes: int = 2_000_000, fsync_ms: int = 5) -> Iterator[Outbox]:
    outbox = Outbox(path, agent="ipc-01", max_bytes=max_bytes, fsync_ms=fsync_ms)
    try:
        yield outbox
    finally:
        outbox.close_now()


def put(outbox: Outbox, count: int = 1, size: int = 0, values: int = 3) -> list[int]:
    tail = b',"x":"' + b"x" * size + b'"}'
    return [
        outbox.append("edge/a/data", b'{"seq":', tail, 1000 + outbox.last_seq, values)
        for _ in range(count)
    ]


def backlog(outbox: Outbox) -> list[OutboxEntry]:
    return list(iter(outbox.take_backlog, None))


def live(outbox: Outbox) -> list[OutboxEntry]:
    return list(iter(outbox.take_live, None))


def test_the_sequence_number_is_spliced_into_the_payload(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        assert put(outbox, 2) == [1, 2]
        entries = backlog(outbox)
    assert [json.loads(e.payload)["seq"] for e in entries] == [1, 2]
    assert entries[1] == OutboxEntry(outbox.stream, 2, "edge/a/data", b'{"seq":2,"x":""}', 1001, 3)


def test_every_opening_is_a_new_stream_and_old_entries_keep_theirs(tmp_path: Path) -> None:
    streams = []
    for _ in range(3):
        with opened(tmp_path) as outbox:
            streams.append(outbox.stream)
            put(outbox, 2)
    with opened(tmp_path) as outbox:
        found = [(e.stream, e.seq) for e in backlog(outbox)]
        assert outbox.streams() == (*streams, outbox.stream)
    assert found == [(s, n) for s in streams for n in (1, 2)]
    assert len({*streams, outbox.stream}) == 4
    assert outbox.stream.startswith("ipc-01/0/")
    assert len(outbox.stream.rsplit("/", 1)[1]) >= 8


def test_a_second_process_is_refused_with_a_plain_sentence(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(FindingsError) as error:
        Outbox(tmp_path, agent="ipc-01", max_bytes=1_000_000, fsync_ms=5)
    assert error.value.findings[0].code == "outbox-locked"
    with opened(tmp_path):
        pass


def test_an_unusable_folder_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FindingsError) as error:
        Outbox(tmp_path / "file" / "outbox", agent="a", max_bytes=1_000_000, fsync_ms=5)
    assert error.value.findings[0].code == "outbox-folder"


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    with opened(tmp_path / "box") as outbox:
        put(outbox, 3)
        assert stat.S_IMODE((tmp_path / "box").stat().st_mode) == 0o700
        assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "box").iterdir()} == {0o600}


def test_what_is_appended_while_connected_is_live_and_the_rest_is_backlog(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        put(outbox, 3)
        outbox.attach()
        put(outbox, 2)
        assert [e.seq for e in live(outbox)] == [4, 5]
        assert [e.seq for e in backlog(outbox)] == [1, 2, 3]
        put(outbox, 1)
        assert backlog(outbox) == []
        assert [e.seq for e in live(outbox)] == [6]


def test_what_the_live_lane_cannot_hold_becomes_backlog_in_order(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=50_000_000) as outbox:
        outbox.attach()
        put(outbox, 70, size=100_000)
        late = [e.seq for e in live(outbox)]
        assert len(late) < 50
        assert [e.seq for e in backlog(outbox)] + late == list(range(1, 71))


def test_unacknowledged_entries_are_handed_out_again_after_a_connection_ended(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as outbox:
        outbox.attach()
        put(outbox, 4)
        taken = live(outbox)
        outbox.acknowledge([taken[0], taken[2]], release=True)
        outbox.detach()
        outbox.attach()
        assert [e.seq for e in backlog(outbox)] == [2, 4]


def test_confirm_broker_frees_at_the_acknowledgement(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        put(outbox, 3)
        outbox.acknowledge(backlog(outbox), release=True)
        assert outbox.pending == 0
        stats = outbox.stats
    assert (stats.enqueued, stats.acknowledged, stats.confirmed, stats.pending) == (9, 9, 9, 0)
    assert not list(tmp_path.glob("*.seg"))


def test_confirm_store_frees_when_the_watermark_covers_it(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        put(outbox, 5)
        outbox.acknowledge(backlog(outbox), release=False)
        assert (outbox.pending, outbox.unconfirmed) == (5, 5)
        outbox.confirm(outbox.stream, [(1, 2), (4, 4)])
        assert (outbox.pending, outbox.unconfirmed) == (2, 2)
        assert outbox.awaiting() == {outbox.stream: [(3, 3), (5, 5)]}
        assert outbox.stats.confirmed == 9


def test_a_watermark_frees_nothing_that_was_not_written_yet(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        put(outbox, 2)
        outbox.confirm(outbox.stream, [(1, 1000)])
        outbox.confirm("someone/else/1", [(1, 1000)])
        put(outbox, 1)
        assert [e.seq for e in backlog(outbox)] == [3]
        assert outbox.pending == 1


def test_acknowledged_entries_wait_and_can_be_sent_again(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        put(outbox, 4)
        outbox.acknowledge(backlog(outbox), release=False)
        outbox.confirm(outbox.stream, [(2, 2)])
        assert backlog(outbox) == []
        assert outbox.again(outbox.stream, [(1, 3)]) == 2
        assert [e.seq for e in backlog(outbox)] == [1, 3]
        assert outbox.unconfirmed == 1


def test_acknowledgements_survive_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        put(outbox, 6)
        first = outbox.stream
        taken = backlog(outbox)
        outbox.acknowledge(taken[:2], release=True)
        outbox.acknowledge(taken[2:4], release=False)
    with opened(tmp_path) as outbox:
        assert (outbox.pending, outbox.unconfirmed, outbox.stats.pending) == (4, 2, 12)
        assert [(e.stream, e.seq) for e in backlog(outbox)] == [(first, 5), (first, 6)]
        outbox.confirm_acknowledged()
        assert outbox.pending == 2


def test_losing_the_acknowledgements_means_sending_again_and_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        put(outbox, 6)
        outbox.acknowledge(backlog(outbox)[:3], release=True)
    (tmp_path / "acks.log").unlink()
    with opened(tmp_path) as outbox:
        assert [e.seq for e in backlog(outbox)] == [1, 2, 3, 4, 5, 6]
        assert outbox.gaps() == []


def test_the_acknowledgement_log_does_not_grow_without_end(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        for _ in range(4000):
            put(outbox)
            outbox.acknowledge(backlog(outbox), release=True)
        assert (tmp_path / "acks.log").stat().st_size < 200_000


@pytest.mark.parametrize("size", [10, 700, 30_000])
def test_a_full_outbox_drops_the_oldest_and_counts_exactly(tmp_path: Path, size: int) -> None:
    bound = 1_000_000
    with opened(tmp_path, max_bytes=bound) as outbox:
        count = 4 * bound // (size + 110)
        for _ in range(count):
            put(outbox, size=size)
            disk = (
                sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
                if outbox.last_seq % 97 == 0
                else 0
            )
            assert disk <= bound
        left = backlog(outbox)
        gaps, stats = outbox.gaps(), outbox.stats
    lost = count - len(left)
    assert [e.seq for e in left] == list(range(lost + 1, count + 1))
    assert lost < count * 0.8, "more was dropped than the bound demands"
    assert (stats.dropped_entries, stats.dropped, stats.pending_entries) == (
        lost,
        3 * lost,
        len(left),
    )
    assert [(g.from_seq, g.to_seq, g.values, g.acknowledged, g.reason) for g in gaps] == [
        (1, lost, 3 * lost, 0, "full")
    ]
    assert (gaps[0].from_t, gaps[0].to_t) == (1000, 1000 + lost - 1)
    assert gaps[0].stream == outbox.stream


def test_a_smaller_bound_drops_the_oldest_at_once_and_a_larger_one_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=2_000_000) as outbox:
        put(outbox, 1000, 1000)
        held = outbox.stats.bytes
        outbox.resize(held + 10_000)
        assert outbox.stats.dropped_entries == 0
        outbox.resize(600_000)
        stats = outbox.stats
        assert stats.bytes <= outbox.limit == 600_000
        (gap,) = outbox.gaps()
        assert (gap.from_seq, gap.entries, gap.reason) == (1, stats.dropped_entries, "full")
        outbox.resize(5_000_000)
        put(outbox, 3000, 1000)
        assert outbox.stats.dropped_entries == stats.dropped_entries


def test_dropped_entries_the_broker_had_are_counted_apart(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=1_000_000) as outbox:
        outbox.note_ingest()
        put(outbox, 10, size=10_000)
        outbox.acknowledge(backlog(outbox)[:4], release=False)
        outbox.confirm(outbox.stream, [(2, 2)])
        put(outbox, 200, size=10_000)
        gaps, stats = outbox.gaps(), outbox.stats
    assert sum(g.acknowledged for g in gaps) == stats.dropped_acknowledged == 9
    assert sum(g.entries for g in gaps) == stats.dropped_entries
    assert all(not g.from_seq <= 2 <= g.to_seq for g in gaps), (
        "a delivered entry was reported as lost"
    )
    assert stats.unconfirmed_entries == 0


def test_a_gap_speaks_the_language_of_the_health_document(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=1_000_000) as outbox:
        put(outbox, 30, size=60_000)
        gap = outbox.gaps()[0].to_json()
        assert outbox.gaps() == []
    assert gap.keys() >= {
        "stream",
        "from_seq",
        "to_seq",
        "from_t",
        "to_t",
        "values",
        "acknowledged",
    }


def test_a_message_larger_than_the_bound_is_a_gap_and_no_error(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=1_000_000) as outbox:
        put(outbox)
        put(outbox, size=2_000_000)
        put(outbox)
        assert [e.seq for e in backlog(outbox)] == [1, 3]
        assert [(g.from_seq, g.to_seq, g.values) for g in outbox.gaps()] == [(2, 2, 3)]
        assert outbox.stats.pending == 6


def test_a_stream_does_not_return_after_its_folder_was_deleted(tmp_path: Path) -> None:
    with opened(tmp_path / "box") as outbox:
        first = outbox.stream
    shutil.rmtree(tmp_path / "box")
    with opened(tmp_path / "box") as outbox:
        assert outbox.stream != first


def test_the_oldest_pending_time_is_known(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        assert outbox.stats.oldest_t is None
        put(outbox, 4)
        outbox.confirm(outbox.stream, [(1, 2)])
        assert outbox.stats.oldest_t == 1002


def test_everything_is_durable_soon_without_anybody_asking(tmp_path: Path) -> None:
    with opened(tmp_path, fsync_ms=1) as outbox:
        put(outbox, 50)
        outbox.sync()
        assert outbox.durable_seq == 50
    with opened(tmp_path, fsync_ms=10_000) as outbox:
        put(outbox, 3)
    assert outbox.durable_seq == 3, "closing makes everything durable without waiting for the timer"


def tell_gaps(outbox: Outbox) -> None:
    """As the agent does: each hole becomes an entry without values."""
    for gap in outbox.gaps():
        outbox.append(
            "edge/agent/health",
            b'{"seq":',
            b',"gap":' + json.dumps(gap.to_json()).encode() + b"}",
            1,
            0,
        )


def test_a_kill_right_after_a_drop_does_not_forget_the_hole(tmp_path: Path) -> None:
    """The entry that tells of it is written before the append that had the oldest dropped
    returns."""
    with opened(tmp_path / "a", 1_000_000) as outbox:
        outbox.on_dropped = lambda: tell_gaps(outbox)
        while not outbox.stats.dropped:
            put(outbox, size=4000)
        shutil.copytree(tmp_path / "a", tmp_path / "killed")
        dropped = outbox.stats.dropped_entries
    with opened(tmp_path / "killed") as after:
        told = [
            gap
            for entry in backlog(after)
            if (gap := UndeliveredRange.gap_from_document(entry.payload)) is not None
        ]
        assert [(gap.from_seq, gap.to_seq, gap.reason) for gap in told] == [(1, dropped, "full")]
        assert after.gaps() == []


def test_telling_of_drops_that_cause_drops_comes_to_an_end(tmp_path: Path) -> None:
    with opened(tmp_path, 1_000_000) as outbox:
        outbox.on_dropped = lambda: [tell_gaps(outbox), put(outbox, 10, size=4000)]  # type: ignore[func-returns-value]
        put(outbox, 300, size=4000)
        told = [
            gap
            for entry in backlog(outbox)
            if (gap := UndeliveredRange.gap_from_document(entry.payload)) is not None
        ]
        assert sum(gap.values for gap in [*told, *outbox.gaps()]) == outbox.stats.dropped > 0


def test_an_outage_longer_than_the_outbox_is_deep_leaves_no_hole_untold(tmp_path: Path) -> None:
    """The entries that tell of the first holes are dropped too, also in a later life: what they
    told is told again."""
    dropped = 0
    for _ in range(2):
        with opened(tmp_path, 1_000_000) as outbox:
            for _ in range(150):
                put(outbox, 10, size=4000)
                tell_gaps(outbox)
            tell_gaps(outbox)
            dropped += outbox.stats.dropped
            entries = backlog(outbox)
            told = [
                gap
                for entry in entries
                if (gap := UndeliveredRange.gap_from_document(entry.payload)) is not None
            ]
    assert sum(gap.values for gap in told) == dropped > 6 * len(entries)
    numbers = [(gap.stream, n) for gap in told for n in range(gap.from_seq, gap.to_seq + 1)]
    assert len(numbers) == len(set(numbers)), "and none twice"
    last = [n for stream, n in numbers if stream == outbox.stream]
    assert sorted(last) == list(range(1, max(last) + 1))


def test_what_the_store_no_longer_has_waits_for_it_again(tmp_path: Path) -> None:
    """The store was put back to an older copy of itself: what is still here was confirmed, and is
    not there now."""
    with opened(tmp_path) as outbox:
        put(outbox, 20)
        outbox.acknowledge(backlog(outbox), release=False)
        outbox.confirm(outbox.stream, [(1, 20)])
        assert outbox.pending == 0
        assert outbox.pending_from() == {outbox.stream: 21}
        assert outbox.compare(outbox.stream, [(1, 20)]) == 0
        assert outbox.compare(outbox.stream, [(1, 10)]) == 10
        assert outbox.compare(outbox.stream, [(1, 10)]) == 0, "each once"
        assert outbox.compare("another/0/1", [(1, 10)]) == 0
        assert (outbox.pending, outbox.unconfirmed, outbox.stats.confirmed) == (10, 10, 30)
        assert outbox.pending_from() == {outbox.stream: 11}
        assert outbox.awaiting() == {outbox.stream: [(11, 20)]}
        assert outbox.again(outbox.stream, [(11, 20)]) == 10
        assert [entry.seq for entry in backlog(outbox)] == list(range(11, 21))


def test_what_was_dropped_is_not_waited_for_again(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=200_000) as outbox:
        put(outbox, 400, size=1_000)
        outbox.acknowledge(backlog(outbox), release=False)
        first = outbox.pending_from()[outbox.stream]
        assert first > 1
        outbox.confirm(outbox.stream, [(1, 400)])
        outbox.compare(outbox.stream, [(1, 1)])
        assert outbox.pending_from()[outbox.stream] >= first
