"""Sets of sequence numbers as sorted, disjoint, inclusive intervals: what was acknowledged, what
the store has."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class IntervalSet:
    """A set of integers that is cheap while its members come in runs: O(log n) in the number of
    runs.

    Adjacent intervals are always merged, so two sets with equal members have equal `pairs()`.
    """

    __slots__ = ("_first", "_last", "total")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._first: list[int] = []
        self._last: list[int] = []
        self.total = 0
        """How many integers are in the set."""
        self.update(pairs)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._first, number) - 1
        return at >= 0 and number <= self._last[at]

    def __bool__(self) -> bool:
        return bool(self._first)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, IntervalSet)
            and self._first == other._first
            and self._last == other._last
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"IntervalSet({self.pairs()})"

    def add(self, first: int, last: int | None = None) -> None:
        """Include `first..last` (inclusive; one number without `last`). Raises ValueError when last
        < first."""
        last = first if last is None else last
        if last < first:
            raise ValueError(f"empty interval {first}..{last}")
        if self._last and first == self._last[-1] + 1:  # the usual case: the run goes on
            self._last[-1] = last
            self.total += last - first + 1
            return
        low = bisect_left(self._last, first - 1)  # the first interval that touches or lies behind
        high = bisect_right(self._first, last + 1)
        if low < high:
            first = min(first, self._first[low])
            last = max(last, self._last[high - 1])
        self.total += last - first + 1 - self._size(low, high)
        self._first[low:high] = [first]
        self._last[low:high] = [last]

    def update(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Include every (first, last) of `pairs`."""
        for first, last in pairs:
            self.add(first, last)

    def discard(self, first: int, last: int | None = None) -> None:
        """Take `first..last` out; what is not in the set does not matter."""
        last = first if last is None else last
        low = bisect_left(self._last, first)
        high = bisect_right(self._first, last)
        if low >= high:
            return
        kept = [(self._first[low], first - 1), (last + 1, self._last[high - 1])]
        kept = [(a, b) for a, b in kept if a <= b]
        self.total += sum(b - a + 1 for a, b in kept) - self._size(low, high)
        self._first[low:high] = [a for a, _ in kept]
        self._last[low:high] = [b for _, b in kept]

    def pairs(self) -> list[tuple[int, int]]:
        """The intervals in ascending order."""
        return list(zip(self._first, self._last, strict=True))

    def within(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of `first..last` that are in the set."""
        low = bisect_left(self._last, first)
        high = bisect_right(self._first, last)
        return [(max(first, self._first[i]), min(last, self._last[i])) for i in range(low, high)]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of `first..last` that are not in the set."""
        # the usual case: nothing is known of what is new
        if not self._last or first > self._last[-1]:
            return [(first, last)] if first <= last else []
        found: list[tuple[int, int]] = []
        for a, b in self.within(first, last):
            if a > first:
                found.append((first, a - 1))
            first = b + 1
        if first <= last:
            found.append((first, last))
        return found

    def covers(self, first: int, last: int) -> bool:
        """Whether all of `first..last` is in the set."""
        at = bisect_right(self._first, first) - 1
        return at >= 0 and last <= self._last[at]

    def overlaps(self, other: IntervalSet) -> bool:
        """Whether the two have any number in common."""
        return any(self.within(first, last) for first, last in other.pairs())

    def next_missing(self, number: int) -> int:
        """The smallest integer >= `number` that is not in the set."""
        at = bisect_right(self._first, number) - 1
        return self._last[at] + 1 if at >= 0 and number <= self._last[at] else number

    def _size(self, low: int, high: int) -> int:
        return sum(self._last[low:high]) - sum(self._first[low:high]) + high - low
