"""pymodbus' framers with our judgement: the specification's frames, and everything an answer may not be."""

from __future__ import annotations

import pytest

from connectors.modbus.frame import ProtocolError, Request
from connectors.modbus.framing import crc16
from connectors.modbus.stock_framer import FRAMERS, Ascii, Datagram, Judged, Mbap, Rtu, Strict

H = bytes.fromhex
ASKED = Request(1, "holding", 0, 1)


def framer(kind: type[Strict], request: Request | None = ASKED) -> tuple[Strict, list[int]]:
    """A framer with a request under way, and the sizes of what came unasked."""
    unasked: list[int] = []
    made = kind(unasked.append)
    made.request = request
    return made, unasked


def fed(made: Strict, data: bytes, tid: int = 1) -> object:
    """As pymodbus feeds a framer: (bytes to forget, verdict)."""
    assert made.request is not None
    used, pdu = made.handleFrame(data, made.request.unit, tid)
    assert pdu is None or isinstance(pdu, Judged)
    return used, None if pdu is None else pdu.verdict


def lrc(data: bytes) -> bytes:
    """Data with its longitudinal redundancy check, as an ASCII frame (serial line V1.02, 2.5.2.2)."""
    return b":" + (data + bytes([-sum(data) & 0xFF])).hex().upper().encode() + b"\r\n"


def rtu(text: str) -> bytes:
    return H(text) + crc16(H(text)).to_bytes(2, "little")


# Modbus Application Protocol Specification V1.1b3, 6.3: unit 17 reads three holding registers from 0x6B.
SPEC = Request(17, "holding", 0x6B, 3)
BODY = H("11 03 06 022B 0000 0064")


@pytest.mark.parametrize(
    ("kind", "tid", "frame"),
    [
        pytest.param(Mbap, 9, H("0009 0000 0009") + BODY, id="mbap"),
        pytest.param(Datagram, 9, H("0009 0000 0009") + BODY, id="datagram"),
        pytest.param(Rtu, 0, rtu("11 03 06 022B 0000 0064"), id="rtu"),
        pytest.param(Ascii, 0, b":110306022B0000006455\r\n", id="ascii"),
    ],
)
def test_the_example_of_the_specification(kind, tid, frame):
    made, _ = framer(kind, SPEC)
    pieces = [fed(made, frame[:n], tid)[1] for n in range(1, len(frame))] if kind is not Datagram else []
    assert not any(pieces)
    assert fed(made, frame, tid) == (len(frame), H("022B00000064"))
    assert made.request is None


@pytest.mark.parametrize("kind", [Rtu, Ascii])
def test_requests_are_built_as_the_specification_has_them(kind):
    from pymodbus.pdu.register_message import ReadHoldingRegistersRequest

    made, _ = framer(kind)
    built = made.buildFrame(ReadHoldingRegistersRequest(address=0x6B, count=3, dev_id=17))
    assert built == {Rtu: H("11 03 006B 0003 7687"), Ascii: b":1103006B00037E\r\n"}[kind]


def test_every_scheme_has_a_framer():
    assert FRAMERS.keys() == {"tcp", "tls", "udp", "rtu-tcp", "rtu", "ascii"}


@pytest.mark.parametrize("kind", [Mbap, Datagram])
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("0001 0000 0003 01 83 02 00", id="a-byte-behind-an-exception"),
        pytest.param("0001 0000 0005 01 04 02 0001", id="another-function"),
        pytest.param("0001 0000 0005 02 03 02 0001", id="another-unit"),
        pytest.param("0001 0000 0007 01 03 04 00010002", id="more-registers"),
        pytest.param("0001 0000 0004 01 03 01 00", id="odd"),
        pytest.param("0001 0000 0005 01 03 04 0001", id="byte-count-of-another-length"),
        pytest.param("0001 0000 0000 01 03 02 0001", id="length-0"),
        pytest.param("0001 0000 0005 01 03 02 0001 FF", id="a-byte-too-many"),
    ],
)
def test_tcp_and_udp_frames_that_are_refused(kind, frame):
    made, _ = framer(kind)
    _, verdict = fed(made, H(frame))
    assert isinstance(verdict, ProtocolError)


@pytest.mark.parametrize("tid", [0, 2, 0x0100])
def test_the_answer_to_another_question(tid):
    frame = tid.to_bytes(2, "big") + H("0000 0005 01 03 02 0BAD")
    made, _ = framer(Mbap)
    assert isinstance(fed(made, frame)[1], ProtocolError)
    made, _ = framer(Datagram)
    assert fed(made, frame) == (len(frame), None)
    assert fed(made, H("0001 0000 0005 01 03 02 0001")) == (11, H("0001"))


@pytest.mark.parametrize("datagram", ["", "0001", "0001 0000 0005 01 03 02", "0001 0007 0005 01 03 02 0001"])
def test_no_datagram_is_continued_by_the_next_one(datagram):
    made, _ = framer(Datagram)
    assert fed(made, H(datagram)) == (len(H(datagram)), None)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(H("01 03 02 0001 0000"), id="wrong-check-sum"),
        pytest.param(rtu("01 03 04 00010002"), id="more-registers"),
        pytest.param(rtu("01 04 02 0001"), id="another-function"),
        pytest.param(b"\0" + rtu("01 03 02 0001"), id="a-byte-of-noise-before"),
    ],
)
def test_rtu_frames_that_are_refused(frame):
    made, _ = framer(Rtu)
    _, verdict = fed(made, frame)
    assert not isinstance(verdict, bytes | int)


def test_a_late_rtu_answer_of_another_unit_is_passed_over():
    made, _ = framer(Rtu, Request(2, "holding", 0, 1))
    late, right = rtu("01 03 02 0BAD"), rtu("02 03 02 0001")
    assert fed(made, late) == (7, None)
    assert fed(made, late + right[:3]) == (7, None)
    assert fed(made, late + right + b"\xff") == (15, H("0001"))
    made.request = Request(2, "holding", 0, 1)
    assert fed(made, rtu("02 83 02")) == (5, 2)


@pytest.mark.parametrize(
    "line",
    [
        b":0103020001F8\r\n", b":010302000\r\n", b":01 03 02\r\n", b":\r\n", b"noise\r\n", b":0103040001F7\r\n",
        b"x" * 500, b":zz03020001F9\r\n", b":\xff\xff03020001F9\r\n",
    ],
)  # fmt: skip
def test_ascii_frames_that_are_no_answer(line):
    made, _ = framer(Ascii)
    _, verdict = fed(made, line)
    assert not isinstance(verdict, bytes | int)


def test_an_ascii_frame_begins_at_its_colon():
    made, _ = framer(Ascii)
    assert fed(made, lrc(H("02 03 02 0BAD")) + b"\xff\xff" + lrc(H("01 03 02 0001")))[1] == H("0001")


@pytest.mark.parametrize("kind", [Mbap, Datagram, Rtu, Ascii])
def test_bytes_that_nobody_asked_for_are_told_and_forgotten(kind):
    made, unasked = framer(kind, None)
    assert made.handleFrame(b"late", 1, 1) == (4, None)
    assert unasked == [4]


def test_whatever_a_framer_of_pymodbus_raises_is_a_refusal(monkeypatch):
    for error in (IndexError("x"), ValueError("x"), NotImplementedError("x")):

        def stumble(self, data, error=error):
            raise error

        monkeypatch.setattr(Ascii, "decode", stumble)
        made, _ = framer(Ascii)
        assert isinstance(fed(made, b":")[1], ProtocolError)
