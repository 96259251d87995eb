"""However a stream of packets is cut into pieces, the same packets come out; and no bytes are a
surprise."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.mqtt import packets

BODIES = st.binary(max_size=300)
PACKETS = st.lists(st.tuples(st.integers(0x10, 0xFF), BODIES), max_size=20)


def walk(data: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """The packets of a buffer, and where the first incomplete one begins."""
    found, at = [], 0
    while True:
        start, end = packets.span(data, at)
        if not end:
            return found, at
        assert at < start <= end <= len(data) or (start == at and end == len(data))
        found.append((data[at], data[start:end]))
        at = end


@given(PACKETS, st.lists(st.integers(0, 7000), max_size=10))
def test_pieces_do_not_matter(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(bytes([first]) + packets._length(len(body)) + body for first, body in sent)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    buffer, received = b"", []
    for start, end in pairwise(edges):
        buffer += stream[start:end]
        found, at = walk(buffer)
        received += found
        buffer = buffer[at:]
    assert received == sent
    assert buffer == b""


@given(st.binary(max_size=200))
def test_any_bytes_end_somewhere(data: bytes) -> None:
    found, at = walk(data)
    assert at <= len(data)
    assert len(found) <= len(data)
