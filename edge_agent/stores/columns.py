"""Samples as parallel columns: what the ingest hands to a store and what a store gives back.

Nothing here is an object per value. A number, a boolean and an integer live in `num`; what a double
cannot hold (texts, arrays, integers beyond 2^53) lives beside it in `texts`, and `kind` says how to
read the pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Codes = npt.NDArray[np.uint32]
Kinds = npt.NDArray[np.uint8]

#: How a sample is to be read. `NONE` is a sample without a value: its status says why.
NONE, BOOL, INT, FLOAT, TEXT, ARRAY = range(6)
KIND_NAMES: Final = ("none", "bool", "int", "float", "text", "array")
KIND_OF: Final[Mapping[type, int]] = {
    type(None): NONE, bool: BOOL, int: INT, float: FLOAT, str: TEXT, list: ARRAY,
}  # fmt: skip

_BAD: Final = 0x80000000


def bad_where_null(kind: Kinds, status: Codes) -> Codes:
    """The codes, where a sample without a value is Bad whatever code it came with: nothing cannot
    be good."""
    nothing = (kind == NONE) & ((status & np.uint32(_BAD)) == 0)
    return np.where(nothing, np.uint32(_BAD), status) if nothing.any() else status


#: In a column of source times: the protocol gave none.
NO_TIME: Final = np.iinfo(np.int64).min
#: Integers from here on are kept as decimal text besides, a double would round them.
EXACT: Final = 2.0**53


@dataclass(slots=True, eq=False)
class Chunk:
    """The samples of one message, aligned; `num` is NaN where the sample has no number."""

    sid: Ints
    t: int
    num: Floats
    kind: Kinds
    status: Codes | None = None
    """None: all good."""
    source: Longs | None = None
    """Nanoseconds, NO_TIME where there is none; None: none at all."""
    texts: dict[int, str] = field(default_factory=dict)
    """Position -> text, JSON of an array, or decimal digits."""

    def __len__(self) -> int:
        return len(self.sid)


@dataclass(slots=True, eq=False)
class Rows:
    """Samples of many messages, aligned: the unit of a commit."""

    sid: Ints
    t: Longs
    num: Floats
    kind: Kinds
    status: Codes
    source: Longs
    texts: dict[int, str]

    def __len__(self) -> int:
        return len(self.sid)

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> Rows:
        """One after the other, in the order given."""
        if not chunks:
            return cls.empty()
        sizes = [len(chunk) for chunk in chunks]
        rows = cls(
            np.concatenate([chunk.sid for chunk in chunks]),
            np.repeat(np.array([chunk.t for chunk in chunks], np.int64), sizes),
            np.concatenate([chunk.num for chunk in chunks]),
            np.concatenate([chunk.kind for chunk in chunks]),
            np.zeros(sum(sizes), np.uint32),
            np.full(sum(sizes), NO_TIME, np.int64),
            {},
        )
        start = 0
        for chunk, size in zip(chunks, sizes, strict=True):
            if chunk.status is not None:
                rows.status[start : start + size] = chunk.status
            if chunk.source is not None:
                rows.source[start : start + size] = chunk.source
            for position, text in chunk.texts.items():
                rows.texts[start + position] = text
            start += size
        return rows

    @classmethod
    def empty(cls) -> Rows:
        none = np.zeros(0, np.int64)
        return cls(
            none.astype(np.int32),
            none,
            np.zeros(0),
            np.zeros(0, np.uint8),
            np.zeros(0, np.uint32),
            none,
            {},
        )

    def without(self, refused: Iterable[int]) -> Rows:
        """The same samples less those at the given positions."""
        keep = np.ones(len(self), bool)
        keep[list(refused)] = False
        moved = np.cumsum(keep) - 1
        texts = {int(moved[i]): text for i, text in self.texts.items() if keep[i]}
        return Rows(
            self.sid[keep],
            self.t[keep],
            self.num[keep],
            self.kind[keep],
            self.status[keep],
            self.source[keep],
            texts,
        )

    def text_column(self) -> npt.NDArray[np.object_]:
        """`texts` as a column of str or None."""
        column = np.full(len(self), None, object)
        for position, text in self.texts.items():
            column[position] = text
        return column


@dataclass(slots=True, eq=False)
class Samples:
    """What a store gives back about one tag, sorted by `t`: aligned columns, one reading per
    row."""

    t: Longs
    num: Floats
    kind: Kinds
    status: Codes
    source: Longs
    stored: Longs
    text: list[str | None]

    def __post_init__(self) -> None:
        self.status = bad_where_null(self.kind, self.status)

    def __len__(self) -> int:
        return len(self.t)

    @classmethod
    def empty(cls) -> Samples:
        none = np.zeros(0, np.int64)
        return cls(none, np.zeros(0), np.zeros(0, np.uint8), np.zeros(0, np.uint32), none, none, [])

    @classmethod
    def joined(cls, parts: Sequence[Samples]) -> Samples:
        """Several series that are one, sorted by `t`."""
        t = np.concatenate([part.t for part in parts])
        order = np.argsort(t, kind="stable")
        texts = [text for part in parts for text in part.text]
        return cls(
            t[order],
            np.concatenate([part.num for part in parts])[order],
            np.concatenate([part.kind for part in parts])[order],
            np.concatenate([part.status for part in parts])[order],
            np.concatenate([part.source for part in parts])[order],
            np.concatenate([part.stored for part in parts])[order],
            [texts[place] for place in order.tolist()],
        )

    def values(self) -> list[Any]:
        """The readings as Python values, equal to what was read; None where a sample has no
        value."""
        return [
            value_of(kind, number, text)
            for kind, number, text in zip(
                self.kind.tolist(), self.num.tolist(), self.text, strict=True
            )
        ]


@dataclass(slots=True, eq=False)
class SampleRuns:
    """One tag as runs of equal readings, sorted: every sample from `first[i]` to `last[i]` was
    `num[i]`, `status[i]`.

    `num` is NaN where the samples carry no number (bad ones, texts).
    """

    first: Longs
    last: Longs
    num: Floats
    status: Codes

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def of(cls, t: Longs, num: Floats, status: Codes) -> SampleRuns:
        """Samples sorted by `t`, as runs."""
        return cls(t, t, num, status).merged()

    @classmethod
    def empty(cls) -> SampleRuns:
        none = np.zeros(0, np.int64)
        return cls(none, none, np.zeros(0), np.zeros(0, np.uint32))

    @classmethod
    def join(cls, parts: Sequence[SampleRuns], *, merged: bool = True) -> SampleRuns:
        """Runs of adjoining windows, in order of time, as one; or as they are, one after the
        other."""
        if not parts:
            return cls.empty()
        together = cls(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.last for part in parts]),
            np.concatenate([part.num for part in parts]),
            np.concatenate([part.status for part in parts]),
        )
        return together.merged() if merged else together

    def merged(self) -> SampleRuns:
        """Neighbours that say the same become one."""
        if not len(self):
            return self
        new = np.ones(len(self), bool)
        a = self.num[1:]
        b = self.num[:-1]
        new[1:] = ((a != b) & ~(np.isnan(a) & np.isnan(b))) | (self.status[1:] != self.status[:-1])
        starts = np.flatnonzero(new)
        ends = np.append(starts[1:], len(self)) - 1
        return SampleRuns(
            self.first[starts], self.last[ends], self.num[starts], self.status[starts]
        )

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Runs that carry a number and are not bad."""
        usable: npt.NDArray[np.bool_] = (self.status & np.uint32(_BAD)) == 0
        return usable & ~np.isnan(self.num)


def value_of(kind: int, number: float, text: str | None) -> Any:
    """One stored sample as the Python value it came from."""
    if kind == FLOAT:
        return number
    if kind == INT:
        return int(number) if text is None else int(text)
    if kind == BOOL:
        return number != 0
    if kind == TEXT:
        return text
    return orjson.loads(text) if kind == ARRAY and text is not None else None
