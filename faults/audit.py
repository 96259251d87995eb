"""The comparison everything rests on: what the outbox accepted against what the store has."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import orjson

from edge_agent.intervals import IntervalSet

Pairs = Sequence[Sequence[int]]


class WitnessLine(NamedTuple):
    """One line of the witness."""

    stream: str
    seq: int
    at: int
    """Monotonic, ns, the same clock in all processes."""
    durable: int
    """Known to be on the medium when this was written."""
    document: dict[str, Any]

    @property
    def is_data(self) -> bool:
        return isinstance(self.document.get("values"), dict)


class Witness:
    """Reads the file `faults.witness` writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._rest = b""
        self.notes: list[WitnessLine] = []
        self._seen: dict[str, IntervalSet] = {}
        self._at: dict[tuple[str, int], int] = {}

    def add(self, stream: str, seq: int, payload: bytes) -> None:
        """Note something that was accepted before any agent ran."""
        with self.path.open("ab") as file:
            file.write(
                b"%b %d %d %d %b\n" % (stream.encode(), seq, time.monotonic_ns(), seq, payload)
            )

    def size(self) -> int:
        """How many notes there are."""
        return len(self.read())

    def read(self) -> list[WitnessLine]:
        """All notes so far."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
            self._read += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                stream, seq, at, durable, text = line.split(b" ", 4)
                note = WitnessLine(
                    stream.decode(), int(seq), int(at), int(durable), orjson.loads(text)
                )
                self.notes.append(note)
                self._seen.setdefault(note.stream, IntervalSet()).add(note.seq)
                self._at[note.stream, note.seq] = note.at
        return self.notes

    def after(self, monotonic: float) -> list[WitnessLine]:
        """The notes made after this moment of the monotonic clock, in seconds."""
        return [note for note in reversed(self.read()) if note.at > monotonic * 1e9][::-1]

    def missing(self, marks: Mapping[str, Pairs], gaps: Mapping[str, Pairs], before: float) -> int:
        """How many entries accepted before this moment (monotonic seconds) neither marks nor gaps
        cover."""
        self.read()
        lacking = 0
        for stream, seen in self._seen.items():
            have = IntervalSet((a, b) for known in (marks, gaps) for a, b in known.get(stream, ()))
            gone = [
                n for pair in seen.pairs() for a, b in have.missing(*pair) for n in range(a, b + 1)
            ]
            lacking += sum(self._at[stream, seq] < before * 1e9 for seq in gone)
        return lacking

    def promised(self) -> dict[str, int]:
        """Per stream, the last number that was known to be on the medium."""
        best: dict[str, int] = defaultdict(int)
        for note in self.read():
            best[note.stream] = max(best[note.stream], note.durable)
        return best


@dataclass
class Verdict:
    """Entries are messages of the agent, values single tags of them. All of these but `accepted`
    should be 0."""

    accepted: int
    """Entries of data that count as promised."""
    lost: int = 0
    """Of them, how many are not in the store with all their values."""
    reported: int = 0
    """Of the lost, how many a gap record in the store names."""
    doubled: int = 0
    """Values that are in the store more than once."""
    altered: int = 0
    """Values in the store that differ from what was accepted."""
    foreign: int = 0
    """Values in the store that nobody ever accepted (entries the witness could not note before a
    kill excepted)."""
    holes: int = 0
    """Numbers missing inside a stream, below its last one in the store, that no gap record
    names."""
    backwards: int = 0
    """Neighbours in a device's sequence whose read times run backwards."""

    def figures(self) -> dict[str, int]:
        """For the table."""
        return {
            "accepted": self.accepted,
            "lost": self.lost,
            "doubled": self.doubled,
            "altered": self.altered,
        }


Key = tuple[str, str, int]


def audit(
    witness: Witness, database: Path, *, durable_only: bool = False, since: int = 0
) -> Verdict:
    """Compare. `durable_only`: a power cut may take what was not yet synced, so only the rest
    counts as promised.

    `since` (ns): what the store has of the time before was there from the start.
    """
    notes = [note for note in witness.read() if note.is_data]
    promised = witness.promised()
    wanted = [n for n in notes if not durable_only or n.seq <= promised[n.stream]]
    stored, counts, marks, gaps = _store(database, since)
    verdict = Verdict(len(wanted))
    verdict.doubled = sum(count - 1 for count in counts.values())
    everything: set[Key] = set()
    for note in notes:
        everything.update(_keys(note))
    for note in wanted:
        values = note.document["values"]
        keys = _keys(note)
        lost = not all(key in stored for key in keys)
        verdict.lost += lost
        verdict.reported += lost and note.seq in gaps.get(note.stream, ())
        verdict.altered += sum(
            key in stored and not _same(stored[key], values[key[1]]) for key in keys
        )
    noted = {note.document["t"] for note in notes}
    ends = _ends(notes)
    verdict.foreign = sum(key not in everything and key[2] in noted for key in stored) + _strays(
        stored, noted, ends
    )
    verdict.holes = _holes(marks, gaps)
    verdict.backwards = _backwards(notes)
    return verdict


def _keys(note: WitnessLine) -> list[Key]:
    device, t = note.document["device"], note.document["t"]
    return [(device, tag, t) for tag in note.document["values"]]


def _same(stored: Any, accepted: Any) -> bool:
    return isinstance(stored, float) and math.isclose(stored, accepted, rel_tol=1e-12)


def _store(
    database: Path, since: int
) -> tuple[dict[Key, Any], Counter[Key], dict[str, IntervalSet], dict[str, IntervalSet]]:
    """Good values by (device, tag, t), how often each is there, and the intervals of marks and
    gaps."""
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.execute(
            "select device, tag, t, num from samples join series using (sid) where num is not "
            "null and t >= ?",
            [since],
        ).fetchall()
        marks = _intervals(connection.execute("select stream, first, last from marks").fetchall())
        gaps = _intervals(
            connection.execute("select stream, from_seq, to_seq from gaps").fetchall()
        )
    counts: Counter[Key] = Counter((device, tag, t) for device, tag, t, _ in rows)
    return {(device, tag, t): num for device, tag, t, num in rows}, counts, marks, gaps


def _intervals(rows: Iterable[tuple[str, int, int]]) -> dict[str, IntervalSet]:
    found: dict[str, IntervalSet] = {}
    for stream, first, last in rows:
        found.setdefault(stream, IntervalSet()).add(first, last)
    return found


def _ends(notes: Iterable[WitnessLine]) -> Counter[str]:
    """How many lives (streams) each device was read in: at the end of each, one entry may be
    without its note."""
    return Counter(
        device for device, _ in {(note.document["device"], note.stream) for note in notes}
    )


def _strays(stored: Mapping[Key, Any], noted: set[int], lives: Counter[str]) -> int:
    """Reads in the store that have no note, beyond the one per life that a kill may have left
    without."""
    reads = Counter(
        device for device, t in {(device, t) for device, _, t in stored} if t not in noted
    )
    return sum(max(0, count - lives[device]) for device, count in reads.items())


def _holes(marks: Mapping[str, IntervalSet], gaps: Mapping[str, IntervalSet]) -> int:
    holes = 0
    for stream, have in marks.items():
        for first, last in have.missing(1, have.pairs()[-1][1]):
            told = gaps.get(stream, IntervalSet())
            holes += sum(b - a + 1 for a, b in told.missing(first, last))
    return holes


def _backwards(notes: Iterable[WitnessLine]) -> int:
    newest: dict[tuple[str, str], int] = {}
    count = 0
    for note in notes:
        key = (note.stream, note.document["device"])
        count += note.document["t"] <= newest.get(key, -1)
        newest[key] = note.document["t"]
    return count
