"""F5, F7, F8: the disk is full, its bytes are damaged, the outbox is at its bound."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge_agent.outbox import Outbox
from edge_agent.outbox.segment import parts, read_trailer
from faults import writer
from faults.audit import audit
from faults.brokers import Broker
from faults.power import small_disk
from faults.result import FaultResult
from faults.rig import RigProcess, RigSite, plc_device, plcs, wait_for

_BALLAST = "ballast"


def full_disk(times: int, folder: Path) -> FaultResult:
    """F5: the outbox's disk is full for a while, with the broker away, again and again; the agent
    stays alive."""
    result, pids = FaultResult(times), set()
    recovered: list[float] = []
    with (
        small_disk(folder, 4096) as small,
        _Plant(folder, small / "outbox") as (site, broker, service),
    ):
        agent = site.agent_up()
        for _ in range(times):
            _fill(small / _BALLAST)
            site.more_notes(60, 30)
            (small / _BALLAST).unlink()
            recovered.append(_wait_said(agent, "outbox-disk-takes-again", len(recovered)))
            pids.add(agent.pid if agent.alive else 0)
        said = agent.said()
        broker.start()
        freed = time.monotonic()
        site.settle(60)
        result.within("store complete after s", time.monotonic() - freed, 30)
        site.finish(agent, service)
        verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures()
    result.figures["times the disk refused"] = said.count("outbox-disk-refuses")
    result.within("recovered after s, worst", max(recovered), 5)
    result.must(pids == {agent.pid}, "the agent ended")
    result.must(
        verdict.lost == verdict.reported,
        f"{verdict.lost - verdict.reported} lost without a gap record",
    )
    result.must(verdict.lost == 0, f"{verdict.lost} lost although memory had room for them")
    result.must(verdict.doubled + verdict.altered + verdict.foreign == 0, f"{verdict}")
    return result


def _wait_said(child: RigProcess, word: str, before: int) -> float:
    return wait_for(lambda: child.said().count(word) > before, 30, f"its word: {word}")


class _Plant:
    """A site whose broker is away. It was there once, so it knows the service's session and keeps
    what comes for it."""

    def __init__(
        self, folder: Path, outbox: Path, max_bytes: int = 50_000_000, tags: int = 5
    ) -> None:
        self._folder, self._outbox, self._tags = folder, outbox, tags
        self._changes = {"outbox": {"max_bytes": max_bytes}}

    def __enter__(self) -> tuple[RigSite, Broker, RigProcess]:
        self._plcs = plcs(self._folder, 2)
        _, ports = self._plcs.__enter__()
        self._broker = Broker(self._folder / "broker")
        listed = [plc_device(n, port, "20ms", self._tags) for n, port in enumerate(ports)]
        self._site = RigSite(self._folder, self._broker.port, listed, self._outbox, self._changes)
        self._broker.start()
        service = self._site.service_up()
        self._broker.stop()
        return self._site, self._broker, service

    def __exit__(self, *_: object) -> None:
        self._site.__exit__()
        self._broker.stop()
        self._plcs.__exit__(None, None, None)


def _fill(path: Path) -> None:
    """Write until nothing fits any more."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def full_disk_beyond_memory(times: int, folder: Path) -> FaultResult:
    """F5: the disk is full for longer than memory lasts: what is lost is counted to the entry, the
    rest arrives."""
    result = FaultResult(times)
    lost = counted = kept = 0
    for turn in range(times):
        place = folder / f"{turn}"
        place.mkdir()
        with small_disk(place, 512) as small:
            box = Outbox(small / "outbox", agent="w", max_bytes=50_000_000, fsync_ms=5)
            box.attach()
            total = 15_000
            for seq in range(1, total + 1):
                writer.append(box, seq)
            taken = {entry.seq for entry in iter(box.take_backlog, None)}
            taken |= {entry.seq for entry in iter(box.take_live, None)}
            gaps, dropped = box.gaps(), box.stats.dropped_entries
            box.close_now()
        gone = {n for gap in gaps for n in range(gap.from_seq, gap.to_seq + 1)}
        lost += total - len(taken)
        counted += len(gone)
        kept += len(taken)
        result.must(dropped == len(gone), "counter and gap records differ")
        result.must(not gone & taken, "delivered and reported as lost")
        result.must(taken | gone == set(range(1, total + 1)), "neither delivered nor reported")
    result.figures |= {"kept": kept, "lost": lost, "lost as counted": counted}
    result.must(lost == counted, f"lost {lost}, counted {counted}")
    return result


def at_its_bound(times: int, folder: Path) -> FaultResult:
    """F8: the broker is away until the outbox is full; the oldest go, counted, and the gap reaches
    the store."""
    result, share = FaultResult(times), 0.0
    bound = 1_000_000
    site_plant = _Plant(folder, folder / "outbox", bound, 40)
    with site_plant as (site, broker, service):
        for _ in range(times):
            agent = site.agent_up()
            while "outbox-full" not in agent.said():
                share = max(share, _bytes(site.outbox) / bound)
                time.sleep(0.2)  # poll interval: until the oldest had to go
            agent.stop()
        broker.start()
        # room for what comes while the backlog goes
        site.changes["outbox"]["max_bytes"] = 50 * bound
        agent = site.agent_up()
        site.finish(agent, service)
        verdict = audit(site.witness, site.database)
        gaps = site.witness  # the values the gaps name are compared below
        named, real = _values(site), _lost_values(site, gaps.read())
    result.figures |= verdict.figures() | {
        "reported": verdict.reported,
        "values in gap records": named,
        "values lost": real,
    }
    result.figures["disk / bound"] = round(share, 3)
    result.must(verdict.lost > 0, "nothing had to go")
    result.must(
        verdict.lost == verdict.reported,
        f"{verdict.lost - verdict.reported} lost without a gap record",
    )
    result.must(named == real, f"gap records name {named} values, {real} are lost")
    result.must(share <= 1.0, f"the outbox took {share:.3f} of its bound")
    return result


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _values(site: RigSite) -> int:
    import duckdb

    with duckdb.connect(str(site.database), read_only=True) as connection:
        row = connection.execute('select coalesce(sum("values"), 0)::bigint from gaps').fetchone()
    return int(row[0]) if row else 0


def _lost_values(site: RigSite, notes: list) -> int:  # type: ignore[type-arg]
    import duckdb

    with duckdb.connect(str(site.database), read_only=True) as connection:
        rows = connection.execute(
            "select distinct device, t from samples join series using (sid)"
        ).fetchall()
    have = set(rows)
    return sum(
        len(note.document["values"])
        for note in notes
        if note.is_data and (note.document["device"], note.document["t"]) not in have
    )


Harm = Callable[[Path, random.Random], None]


def corrupted(times: int, folder: Path) -> FaultResult:
    """F7: 1..16 random bytes, a zero page, a truncation, a deleted file, `times` seeds each; then
    every offset."""
    result = FaultResult(times)
    model = _Model(folder / "model")
    counts = {"undamaged lost": 0, "altered": 0, "unreported": 0, "delivered": 0, "damaged": 0}
    cases = 0
    for seed in range(times):
        for harm in (_flip, _zero_page, _truncate, _delete):
            _one(model, folder / "case", random.Random(seed * 7 + len(harm.__name__)), harm, counts)
            cases += 1
    small = _Model(folder / "small", entries=6)
    for cut in range(small.segments[-1].stat().st_size):
        _one(small, folder / "case", random.Random(cut), partial(_cut_at, cut), counts, last=True)
        cases += 1
    result.figures |= {"cases": cases} | counts
    for name in ("undamaged lost", "altered", "unreported"):
        result.must(counts[name] == 0, f"{name}: {counts[name]}")
    return result


class _Model:
    """An outbox as a killed agent leaves it: some segments finished, the last one not."""

    def __init__(self, folder: Path, entries: int = 120) -> None:
        self.folder = folder
        source = folder.with_name(folder.name + "-live")
        box = Outbox(source, agent="w", max_bytes=1_000_000, fsync_ms=1)
        self.stream, self.entries = box.stream, entries
        for seq in range(1, entries + 1):
            writer.append(box, seq)
        box.sync()
        shutil.copytree(source, folder)  # the state a kill leaves: nothing closed
        box.close_now()

    @property
    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.seg"))


def _one(
    model: _Model,
    case: Path,
    chance: random.Random,
    harm: Harm,
    counts: dict[str, int],
    *,
    last: bool = False,
) -> None:
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(model.folder, case)
    segments = sorted(case.glob("*.seg"))
    victim = segments[-1] if last else chance.choice(segments)
    before = _records(victim)
    original = victim.read_bytes()
    harm(victim, chance)
    after = victim.read_bytes() if victim.exists() else b""
    damaged = {
        seq for seq, (start, end) in before.items() if after[start:end] != original[start:end]
    }
    box = Outbox(case, agent="w", max_bytes=1_000_000, fsync_ms=1)
    box.attach()
    taken = {entry.seq: entry.payload for entry in iter(box.take_backlog, None)}
    gone = {n for gap in box.gaps() for n in range(gap.from_seq, gap.to_seq + 1)}
    box.close_now()
    everything = set(range(1, model.entries + 1))
    counts["altered"] += sum(
        payload != writer.payload(model.stream, seq) for seq, payload in taken.items()
    )
    counts["undamaged lost"] += len(everything - damaged - taken.keys())
    # at the end of what a kill left, a record cut short and one never written look the same
    tail = {n for n in everything if n > max(taken, default=0)}
    counts["unreported"] += len(everything - taken.keys() - gone - tail)
    counts["delivered"] += len(taken)
    counts["damaged"] += len(damaged)


def _records(path: Path) -> dict[int, tuple[int, int]]:
    """Where each entry lies in a segment."""
    raw = path.read_bytes()
    index = read_trailer(path)
    heads, _ = parts(raw, len(raw) if index is None else index.data_end)
    return {head.seq: (head.offset, head.offset + head.size) for head in heads}


def _flip(path: Path, chance: random.Random) -> None:
    raw = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 16)):
        raw[chance.randrange(len(raw))] ^= chance.randint(1, 255)
    path.write_bytes(raw)


def _zero_page(path: Path, chance: random.Random) -> None:
    raw = bytearray(path.read_bytes())
    page = 4096 * chance.randrange(1 + (len(raw) - 1) // 4096)
    raw[page : page + 4096] = bytes(len(raw[page : page + 4096]))
    path.write_bytes(raw)


def _truncate(path: Path, chance: random.Random) -> None:
    _cut(path, chance.randrange(path.stat().st_size))


def _cut_at(length: int, path: Path, _: random.Random) -> None:
    _cut(path, length)


def _cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def _delete(path: Path, chance: random.Random) -> None:
    path.unlink()
