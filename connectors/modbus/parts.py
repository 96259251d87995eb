"""A number of several registers from a device that gives fewer of them in one request.

Read one after the other, its parts could belong to two different numbers. So all parts but the
least significant are read twice, before and after that one: when both readings are equal, nothing
of them changed in between, and the whole is a number that the device did hold. Otherwise there is
no value in this turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from connectors.modbus.codec import BlockDecoder
from connectors.modbus.frame import ReadRequest
from connectors.modbus.options import ObjectName
from connectors.modbus.plan import AddressSpan
from connectors.modbus.point import Point

_LEAST_FIRST = frozenset({"DCBA", "CDAB"})


class PartRead:
    """The requests for one span, and what they brought in this turn."""

    def __init__(
        self,
        span: AddressSpan,
        part: int,
        request: Callable[[ObjectName, int, int], ReadRequest],
        points: Sequence[tuple[int, Point]],
    ) -> None:
        """`part`: registers in a request; `request` makes one from table, address and size."""
        self.span = span
        self.places = tuple(place for place, _ in points)
        self.block = BlockDecoder(span.start, span.end - span.start, points)
        starts = range(span.start, span.end, part)
        parts = [request(span.table, start, min(part, span.end - start)) for start in starts]
        self._descending = points[0][1].order in _LEAST_FIRST
        if self._descending:  # the most significant one first, in any case
            parts.reverse()
        self._count = len(parts)
        self.requests = [*parts, *parts[:-1]]
        self.whole_request = request(span.table, span.start, span.end - span.start)
        """What would read it at once; for sentences about it."""
        self._got: list[bytes] = []
        self.failed = False
        """Whether one of the requests brought nothing in this turn."""

    def begin(self) -> None:
        """A new turn."""
        self._got = []
        self.failed = False

    @property
    def next(self) -> ReadRequest | None:
        """What is to be asked now; None when there is nothing left to ask."""
        if self.failed or len(self._got) == len(self.requests):
            return None
        return self.requests[len(self._got)]

    def take(self, data: bytes) -> None:
        """The answer to `next`."""
        self._got.append(data)

    def complete_registers(self) -> bytes | None:
        """The registers of the number; None when it changed while it was read."""
        parts = self._got[: self._count]
        again = self._got[self._count :]
        if parts[:-1] != again:
            return None
        return b"".join(reversed(parts) if self._descending else parts)
