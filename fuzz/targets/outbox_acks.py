"""The acknowledgement log after damage: only what was written comes out, and all of it that was not
hit."""

from __future__ import annotations

from collections.abc import Iterable

from edge_agent.outbox import acks
from fuzz.target import FuzzInput, FuzzTarget, demand
from fuzz.targets._outbox import STREAM, damaged


def ack_log(data: bytes) -> None:
    """Only records that were written come out of a damaged log, in their order; an undamaged one
    comes out whole."""
    feed = FuzzInput(data)
    written = [
        acks.Ack(1 + feed.number(3), STREAM[: feed.number(17)], n, n + feed.number(256))
        for n in range(feed.number(9))
    ]
    sound = b"".join(map(acks.pack, written))
    raw, hit = damaged(sound, feed)
    got = list(acks.parse(raw))
    left = iter(written)
    demand(all(ack in left for ack in got), got, "from", written)
    at = 0
    for ack in written:
        end = at + len(acks.pack(ack))
        if end <= len(raw) and hit.isdisjoint(range(at, end)):
            demand(ack in got, ack, "is whole and was not found")
        at = end


def _ack_seeds() -> Iterable[bytes]:
    for damage in (b"", bytes((0, 9, 0, 1)), bytes((0, 40, 4)), bytes((0, 50, 7))):
        yield bytes((4,)) + bytes((0, 16, 3, 1, 16, 9, 2, 5, 0, 0, 9, 9)) + damage


TARGETS = (FuzzTarget("outbox-acks", ack_log, _ack_seeds, 350_000, longest=160),)
