"""Any bytes at all, in any pieces, into pymodbus' framers with our judgement: nothing raises,
nothing wrong is good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.modbus.frame import ReadRequest
from connectors.modbus.framing import crc16
from connectors.modbus.pymodbus_framer import FRAMERS, Judged

TID = 0x0102
REQUESTS = [
    ReadRequest(5, "holding", 0, 4),
    ReadRequest(5, "coil", 0, 20),
    ReadRequest(0, "input", 7, 1),
]


def frames(scheme: str, adu: bytes, tid: int = TID) -> bytes:
    """Unit and PDU as they come on the wire."""
    if scheme in ("rtu", "rtu-tcp"):
        return adu + crc16(adu).to_bytes(2, "little")
    if scheme == "ascii":
        return b":" + (adu + bytes([-sum(adu) & 0xFF])).hex().upper().encode() + b"\r\n"
    return tid.to_bytes(2, "big") + b"\0\0" + len(adu).to_bytes(2, "big") + adu


def right(request: ReadRequest, data: bytes) -> bytes:
    return bytes([request.unit, request.function, len(data)]) + data


def feed(scheme: str, request: ReadRequest, chunks: list[bytes]) -> list[object]:
    """As pymodbus' transport does: the bytes that come, once each, until the connection is given
    up."""
    broken: list[object] = []
    framer = FRAMERS[scheme](broken.append)
    tid = 0 if scheme in ("rtu", "rtu-tcp", "ascii") else TID
    framer.ask(request)
    framer.encode(request.adu[1:], request.unit, tid)
    verdicts = []
    for chunk in chunks:
        used, pdu = framer.handleFrame(chunk, request.unit, tid)
        assert used == len(chunk)
        if broken:
            break
        if isinstance(pdu, Judged):
            verdicts.append(pdu.verdict)
    return verdicts


@pytest.mark.parametrize("scheme", FRAMERS)
@given(
    st.sampled_from(REQUESTS),
    st.lists(
        st.one_of(st.binary(max_size=40), st.binary(max_size=9).map(lambda b: b"\1\2\0\0" + b)),
        max_size=6,
    ),
)
def test_no_bytes_raise_and_a_value_has_the_size_asked_for(scheme, request_, chunks):
    for verdict in feed(scheme, request_, chunks):
        assert not isinstance(verdict, bytes) or len(verdict) == request_.size


@pytest.mark.parametrize("scheme", FRAMERS)
@given(st.sampled_from(REQUESTS), st.data())
def test_a_right_answer_in_any_pieces_is_taken_once(scheme, request_, data):
    body = data.draw(st.binary(min_size=request_.size, max_size=request_.size))
    frame = frames(scheme, right(request_, body))
    cuts = (
        sorted(data.draw(st.sets(st.integers(1, len(frame) - 1), max_size=4)))
        if scheme != "udp"
        else []
    )
    chunks = [frame[a:b] for a, b in zip([0, *cuts], [*cuts, len(frame)], strict=True)]
    assert feed(scheme, request_, chunks) == [body]


@pytest.mark.parametrize("scheme", FRAMERS)
@given(st.sampled_from(REQUESTS), st.integers(0, 2**8 - 1), st.data())
def test_one_wrong_byte_in_the_head_is_never_a_value(scheme, request_, byte, data):
    """Unit, function code and byte count, with check sums that are right for what is wrong."""
    adu = bytearray(right(request_, bytes(request_.size)))
    place = data.draw(st.integers(0, 2))
    if adu[place] != byte:
        adu[place] = byte
        assert not any(
            isinstance(v, bytes) for v in feed(scheme, request_, [frames(scheme, bytes(adu))])
        )


@pytest.mark.parametrize("scheme", FRAMERS)
@given(st.integers(0, 30), st.integers(0, 255))
def test_a_damaged_answer_is_never_a_wrong_value(scheme, position, byte):
    """One byte of a sound answer changed: refused or waited for. (MBAP has no check sum: its data
    may change.)"""
    body = bytes(range(40, 48))
    frame = bytearray(frames(scheme, right(REQUESTS[0], body)))
    frame[position % (9 if scheme in ("tcp", "tls", "udp") else len(frame))] = byte
    values = [v for v in feed(scheme, REQUESTS[0], [bytes(frame)]) if isinstance(v, bytes)]
    assert values in ([], [body])
