"""Kinds of machines, a reviewed table: which count as numerically controlled by nature, for what
reason, after whom.

The table is `kinds.csv` beside this module. A plant names the kind of a machine in its register
(`machine_kind`, or `is_robot` for robots); nothing is inferred from a machine's name. A kind with
`nc = N` says nothing: then the control class of the register decides.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from functools import cache
from importlib import resources
from typing import Final

#: The kind of a machine with `is_robot = Y`.
ROBOT: Final = "industrial_robot"
#: Control classes of a machine that something controls; of the others no kind makes a numerically
#: controlled machine.
CONTROLLED: Final = frozenset({"cnc", "robot", "plc", "dcs", "pcs"})


@dataclass(frozen=True, slots=True)
class MachineKind:
    """One row of the table."""

    kind: str
    zh: str
    en: str
    also: tuple[str, ...]
    """Further words for it in registers."""
    nc: bool
    """It counts as numerically controlled by nature."""
    reason_zh: str
    reason_en: str
    source: str
    reviewed_on: str

    def names(self, title: str) -> bool:
        """Whether a machine's title has one of the words of this kind: a hint for a person, never
        an inference."""
        return any(word.lower() in title.lower() for word in (self.zh, self.en, *self.also))


class MachineKinds(Mapping[str, MachineKind]):
    """The table, by kind."""

    def __init__(self, rows: Iterable[MachineKind] = ()) -> None:
        self._rows = {row.kind: row for row in rows}

    def __getitem__(self, kind: str) -> MachineKind:
        return self._rows[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __hash__(self) -> int:
        return hash(tuple(self._rows.values()))

    @classmethod
    def read(cls, content: bytes) -> MachineKinds:
        """From the bytes of a CSV file. Raises ValueError or KeyError for one of another shape."""
        found = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        return cls(_kind(row) for row in found)

    def to_csv(self) -> bytes:
        """The same again, as an evidence pack holds it."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(field.name for field in fields(MachineKind))
        for row in self._rows.values():
            cells = dict(
                zip((field.name for field in fields(MachineKind)), astuple(row), strict=True)
            )
            cells |= {"also": ";".join(row.also), "nc": "Y" if row.nc else "N"}
            writer.writerow(cells.values())
        return text.getvalue().encode("utf-8-sig")

    def words(self) -> dict[str, tuple[str, ...]]:
        """Kind -> its words in registers, the Chinese one first."""
        return {row.kind: (row.zh, row.en, *row.also) for row in self._rows.values()}


def _kind(row: Mapping[str, str]) -> MachineKind:
    if row["nc"] not in ("Y", "N") or None in row:
        raise ValueError(f"kinds: {row['kind']}")
    return MachineKind(
        row["kind"],
        row["zh"],
        row["en"],
        tuple(word for word in row["also"].split(";") if word),
        row["nc"] == "Y",
        row["reason_zh"],
        row["reason_en"],
        row["source"],
        row["reviewed_on"],
    )


@cache
def published() -> MachineKinds:
    """The table of this version."""
    return MachineKinds.read(resources.files(__package__).joinpath("kinds.csv").read_bytes())
