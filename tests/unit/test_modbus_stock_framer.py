"""pymodbus' framers with our judgement: the specification's frames, and everything an answer may
not be."""

from __future__ import annotations

import pytest

from connectors.modbus.frame import ProtocolError, ReadRequest
from connectors.modbus.framing import crc16
from connectors.modbus.pymodbus_framer import (
    FRAMERS,
    AsciiFramer,
    DatagramFramer,
    Judged,
    MbapFramer,
    RtuFramer,
    StrictFramer,
)

H = bytes.fromhex
ASKED = ReadRequest(1, "holding", 0, 1)


def framer(
    kind: type[StrictFramer], request: ReadRequest | None = ASKED, tid: int = 1
) -> tuple[StrictFramer, list[ProtocolError]]:
    """A framer with a request under way, and what it said of bytes that are no frames."""
    broken: list[ProtocolError] = []
    made = kind(broken.append)
    if request is not None:
        ask(made, request, tid)
    return made, broken


def ask(made: StrictFramer, request: ReadRequest, tid: int = 1) -> None:
    """As pymodbus sends a request."""
    made.ask(request)
    made.encode(request.adu[1:], request.unit, tid)


def fed(made: StrictFramer, data: bytes, tid: int = 1) -> object:
    """As pymodbus feeds a framer; the verdict, None without one. All bytes are always used."""
    used, pdu = made.handleFrame(data, 1, tid)
    assert used == len(data)
    assert pdu is None or isinstance(pdu, Judged)
    return None if pdu is None else pdu.verdict


def lrc(data: bytes) -> bytes:
    """Data with its longitudinal redundancy check, as an ASCII frame (serial line V1.02,
    2.5.2.2)."""
    return b":" + (data + bytes([-sum(data) & 0xFF])).hex().upper().encode() + b"\r\n"


def rtu(text: str) -> bytes:
    return H(text) + crc16(H(text)).to_bytes(2, "little")


# Modbus Application Protocol Specification V1.1b3, 6.3: unit 17 reads three holding registers from
# 0x6B.
SPEC = ReadRequest(17, "holding", 0x6B, 3)
BODY = H("11 03 06 022B 0000 0064")


@pytest.mark.parametrize(
    ("kind", "tid", "frame"),
    [
        pytest.param(MbapFramer, 9, H("0009 0000 0009") + BODY, id="mbap"),
        pytest.param(DatagramFramer, 9, H("0009 0000 0009") + BODY, id="datagram"),
        pytest.param(RtuFramer, 0, rtu("11 03 06 022B 0000 0064"), id="rtu"),
        pytest.param(AsciiFramer, 0, b":110306022B0000006455\r\n", id="ascii"),
    ],
)
def test_the_example_of_the_specification(kind, tid, frame):
    made, _ = framer(kind, SPEC, tid)
    pieces = [frame] if kind is DatagramFramer else [frame[n : n + 1] for n in range(len(frame))]
    verdicts = [fed(made, piece, tid) for piece in pieces]
    assert verdicts == [None] * (len(pieces) - 1) + [H("022B00000064")]
    assert fed(made, frame, tid) is None, "once"


@pytest.mark.parametrize("kind", [RtuFramer, AsciiFramer])
def test_requests_are_built_as_the_specification_has_them(kind):
    from pymodbus.pdu.register_message import ReadHoldingRegistersRequest

    made, _ = framer(kind)
    built = made.buildFrame(ReadHoldingRegistersRequest(address=0x6B, count=3, dev_id=17))
    assert (
        built == {RtuFramer: H("11 03 006B 0003 7687"), AsciiFramer: b":1103006B00037E\r\n"}[kind]
    )


def test_every_scheme_has_a_framer():
    assert FRAMERS.keys() == {"tcp", "tls", "udp", "rtu-tcp", "rtu", "ascii"}


@pytest.mark.parametrize("kind", [MbapFramer, DatagramFramer])
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("0001 0000 0004 01 83 02 00", id="a-byte-behind-an-exception"),
        pytest.param("0001 0000 0005 01 04 02 0001", id="another-function"),
        pytest.param("0001 0000 0005 02 03 02 0001", id="another-unit"),
        pytest.param("0001 0000 0007 01 03 04 00010002", id="more-registers"),
        pytest.param("0001 0000 0004 01 03 01 00", id="odd"),
        pytest.param("0001 0000 0005 01 03 04 0001", id="byte-count-of-another-length"),
    ],
)
def test_tcp_and_udp_frames_that_are_refused(kind, frame):
    made, broken = framer(kind)
    assert isinstance(fed(made, H(frame)), ProtocolError)
    assert not broken


@pytest.mark.parametrize(
    "bytes_", ["0001 0000 0000 01 03 02 0001", "FFFF FFFF FFFF", "0001 0007 0005 01 03 02 0001"]
)
def test_what_is_no_frame_ends_a_connection_and_is_passed_over_in_a_datagram(bytes_):
    for kind, ends in ((MbapFramer, 1), (DatagramFramer, 0)):
        made, broken = framer(kind)
        assert fed(made, H(bytes_)) is None
        assert len(broken) == ends


@pytest.mark.parametrize("tid", [0, 2, 0x0100])
@pytest.mark.parametrize("kind", [MbapFramer, DatagramFramer])
def test_the_answer_to_another_question_is_passed_over(kind, tid):
    made, broken = framer(kind)
    assert fed(made, tid.to_bytes(2, "big") + H("0000 0005 01 03 02 0BAD")) is None
    assert fed(made, H("0001 0000 0005 01 03 02 0001")) == H("0001")
    assert not broken


@pytest.mark.parametrize("datagram", ["", "0001", "0001 0000 0005 01 03 02"])
def test_no_datagram_is_continued_by_the_next_one(datagram):
    made, _ = framer(DatagramFramer)
    assert fed(made, H(datagram)) is None
    assert fed(made, H("0001 0000 0005 01 03 02 0001")) == H("0001")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(H("01 03 02 0001 0000"), id="wrong-check-sum"),
        pytest.param(rtu("01 03 04 00010002"), id="more-registers"),
        pytest.param(rtu("01 04 02 0001"), id="another-function"),
        pytest.param(rtu("01 03 0000 0001"), id="echo"),
        pytest.param(b"\0", id="a-byte-of-noise"),
    ],
)
def test_rtu_frames_that_are_passed_over(frame):
    made, broken = framer(RtuFramer)
    assert fed(made, frame) is None
    assert fed(made, rtu("01 03 02 0001")) == H("0001")
    assert not broken


def test_a_late_rtu_answer_of_another_unit_is_passed_over():
    made, _ = framer(RtuFramer, ReadRequest(2, "holding", 0, 1))
    late, right = rtu("01 03 02 0BAD"), rtu("02 03 02 0001")
    assert fed(made, late + right[:3]) is None
    assert fed(made, right[3:] + b"\xff") == H("0001")
    ask(made, ReadRequest(2, "holding", 0, 1))
    assert fed(made, rtu("02 83 02")) == 2


@pytest.mark.parametrize(
    "line",
    [
        b":0103020001F8\r\n", b":010302000\r\n", b":01 03 02\r\n", b":\r\n", b"noise\r\n", b":0103040001F7\r\n",
        b"x" * 500, b":zz03020001F9\r\n", b":\xff\xff03020001F9\r\n",
    ],
)  # fmt: skip
def test_ascii_frames_that_are_no_answer(line):
    made, broken = framer(AsciiFramer)
    assert fed(made, line) is None
    assert fed(made, b"\r\n" + lrc(H("01 03 02 0001"))) == H("0001")
    assert not broken


def test_an_ascii_frame_begins_at_its_colon():
    made, _ = framer(AsciiFramer)
    assert fed(made, lrc(H("02 03 02 0BAD")) + b"\xff\xff" + lrc(H("01 03 02 0001"))) == H("0001")


@pytest.mark.parametrize("kind", [MbapFramer, DatagramFramer, RtuFramer, AsciiFramer])
def test_bytes_that_nobody_asked_for_are_forgotten(kind):
    made, broken = framer(kind, None)
    unasked = {RtuFramer: rtu("01 03 02 0BAD"), AsciiFramer: lrc(H("01 03 02 0BAD"))}.get(
        kind, H("0009 0000 0005 01 03 02 0BAD")
    )
    assert fed(made, unasked) is None
    ask(made, ASKED, 9)
    assert fed(made, b"") is None
    assert not broken
    assert made.heard == 2


def test_a_request_that_was_cancelled_answers_no_later_one():
    made, _ = framer(MbapFramer, ASKED, 1)
    ask(made, ReadRequest(1, "holding", 9, 1), 2)
    assert fed(made, H("0001 0000 0005 01 03 02 0BAD"), 2) is None
    assert fed(made, H("0002 0000 0005 01 03 02 0001"), 2) == H("0001")
