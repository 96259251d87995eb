"""Noise, echoes and frames of others around the answer on an RTU line: only the right frame is ever
returned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.modbus.frame import ReadRequest
from connectors.modbus.framing import AsciiFraming, Framing, RtuFraming, crc16

REQUEST = ReadRequest(5, "holding", 0x0203, 2)
DATA = bytes.fromhex("12345678")


def rtu(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


def ascii_(body: bytes) -> bytes:
    return b":" + (body + bytes([-sum(body) & 0xFF])).hex().upper().encode() + b"\r\n"


FRAMED = {"rtu": (RtuFraming, rtu), "ascii": (AsciiFraming, ascii_)}

#: Bodies of frames that are no answer to the request: other units, other functions, other sizes,
#: requests, its echo.
OTHERS = st.one_of(
    st.builds(
        lambda unit, function, data: bytes([unit, function, len(data)]) + data,
        st.integers(0, 255).filter(lambda unit: unit != REQUEST.unit),
        st.integers(1, 4),
        st.binary(max_size=30),
    ),
    st.builds(
        lambda function, data: bytes([REQUEST.unit, function, len(data)]) + data,
        st.sampled_from([1, 2, 4]),
        st.binary(max_size=30),
    ),
    st.builds(
        lambda unit, function, rest: bytes([unit, function]) + rest,
        st.integers(0, 255).filter(lambda unit: unit != REQUEST.unit),
        st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16]),
        st.binary(min_size=4, max_size=4),
    ),
    st.builds(
        lambda unit, code: bytes([unit, 0x83, code]), st.integers(6, 255), st.integers(0, 255)
    ),
    st.just(REQUEST.adu),
)
NOISE = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"\0", b"\xff", b"\5\3", b"\5\3\4", b"\5\3\4\x12", b":"]),
)


def pieces(draw: st.DataObject, stream: bytes) -> list[bytes]:
    cuts = sorted(draw.draw(st.sets(st.integers(0, len(stream)), max_size=5)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def searched(framing: Framing, chunks: list[bytes]) -> list[object]:
    """All that is taken for an answer, before the time is over and then."""
    framing.encode(0, REQUEST)
    found = [answer for chunk in chunks for _, answer in framing.feed(chunk)]
    last = framing.end_wait()
    return found + ([last] if isinstance(last, bytes | int) else [])


@pytest.mark.parametrize("kind", FRAMED)
@given(st.lists(st.one_of(NOISE, OTHERS.map(lambda body: [body])), max_size=6), st.data())
def test_the_answer_is_found_and_nothing_else(kind, parts, data):
    framing, frame = FRAMED[kind]
    around = [frame(part[0]) if isinstance(part, list) else part for part in parts]
    right = frame(bytes([REQUEST.unit, 3, 4]) + DATA)
    place = data.draw(st.integers(0, len(around)))
    # noise without an end of line would belong to the answer's line
    newline = b"\n" if kind == "ascii" else b""
    stream = b"".join([*around[:place], newline, right, *around[place:]])
    assert searched(framing(), pieces(data, stream)) == [DATA]


@pytest.mark.parametrize("kind", FRAMED)
@given(st.lists(st.one_of(NOISE, OTHERS.map(lambda body: [body])), max_size=8), st.data())
def test_without_the_answer_nothing_is_taken_for_it(kind, parts, data):
    framing, frame = FRAMED[kind]
    stream = b"".join(frame(part[0]) if isinstance(part, list) else part for part in parts)
    assert searched(framing(), pieces(data, stream)) == []


@given(st.integers(0, 8), st.integers(0, 255), st.data())
def test_a_damaged_frame_before_the_right_one_is_not_it(position, byte, data):
    right = rtu(bytes([REQUEST.unit, 3, 4]) + DATA)
    damaged = bytearray(right)
    damaged[position] = byte
    assert searched(RtuFraming(), pieces(data, bytes(damaged) + right)) == [DATA]
