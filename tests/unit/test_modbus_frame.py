"""Frames against the byte examples of the specifications, and everything an answer may not be."""

from __future__ import annotations

import pytest

from connectors.modbus.frame import ProtocolError, Request, answer
from connectors.modbus.framing import MbapFraming, RtuFraming, crc16

H = bytes.fromhex

# Modbus Application Protocol Specification V1.1b3, examples of 6.1 to 6.4: request PDU, response PDU.
SPEC = [
    pytest.param("coil", 0x13, 0x13, "01 0013 0013", "01 03 CD 6B 05", "CD6B05", id="6.1-read-coils"),
    pytest.param("discrete", 0xC4, 0x16, "02 00C4 0016", "02 03 AC DB 35", "ACDB35", id="6.2-read-discrete-inputs"),
    pytest.param("holding", 0x6B, 3, "03 006B 0003", "03 06 022B 0000 0064", "022B00000064", id="6.3-read-holding"),
    pytest.param("input", 8, 1, "04 0008 0001", "04 02 000A", "000A", id="6.4-read-input"),
]


@pytest.mark.parametrize(("table", "address", "count", "request_pdu", "response_pdu", "data"), SPEC)
def test_the_examples_of_the_specification(table, address, count, request_pdu, response_pdu, data):
    request = Request(17, table, address, count)
    assert request.adu == b"\x11" + H(request_pdu)
    assert answer(request, b"\x11" + H(response_pdu)) == H(data)

    framing = MbapFraming()
    assert framing.encode(0, request) == H("0001 0000 0006 11") + H(request_pdu)
    body = b"\x11" + H(response_pdu)
    assert framing.feed(H("0001 0000") + len(body).to_bytes(2, "big") + body) == [(0, H(data))]


def test_the_known_rtu_frame():
    # The request of 6.3 for unit 17 on a serial line; its CRC 0x8776 is sent low byte first.
    framing = RtuFraming()
    assert framing.encode(0, Request(17, "holding", 0x6B, 3)) == H("11 03 006B 0003 7687")
    assert crc16(H("11 03 006B 0003 7687")) == 0
    reply = H("11 03 06 022B 0000 0064")
    assert framing.feed(reply + crc16(reply).to_bytes(2, "little")) == [(0, H("022B00000064"))]


def test_an_exception_is_its_code():
    request = Request(1, "holding", 0, 2)
    assert answer(request, H("01 83 02")) == 2
    assert answer(request, H("01 83 77")) == 0x77


@pytest.mark.parametrize(
    "adu",
    [
        pytest.param("", id="empty"),
        pytest.param("01 03", id="no-byte-count"),
        pytest.param("02 03 04 00010002", id="another-unit"),
        pytest.param("00 03 04 00010002", id="unit-0"),
        pytest.param("01 04 04 00010002", id="another-function"),
        pytest.param("01 84 02", id="exception-of-another-function"),
        pytest.param("01 03 03 000100", id="odd"),
        pytest.param("01 03 02 0001", id="fewer-registers"),
        pytest.param("01 03 06 000100020003", id="more-registers"),
        pytest.param("01 03 04 0001", id="shorter-than-its-byte-count"),
        pytest.param("01 03 04 000100020003", id="longer-than-its-byte-count"),
        pytest.param("01 03 02 00010002", id="byte-count-of-another-length"),
        pytest.param("01 03 00", id="no-data"),
        pytest.param("01 83 02 00", id="long-exception"),
    ],
)
def test_what_is_no_answer_is_refused(adu):
    with pytest.raises(ProtocolError):
        answer(Request(1, "holding", 0, 2), H(adu))


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("0000 0000 0007 01 03 04 00010002", id="transaction-id-0"),
        pytest.param("0002 0000 0007 01 03 04 00010002", id="foreign-transaction-id"),
        pytest.param("0001 0001 0007 01 03 04 00010002", id="protocol-id-1"),
        pytest.param("0001 0000 0000 01 03 04 00010002", id="length-0"),
        pytest.param("0001 0000 0002 01 03 04 00010002", id="length-2"),
        pytest.param("0001 0000 FFFF 01 03 04 00010002", id="huge-length"),
        pytest.param("0001 0000 0006 01 03 04 00010002", id="length-one-short"),
        pytest.param("0001 0000 0007 01 03 04 00010002 0001 0000 0007 01 03 04 00010002", id="answered-twice"),
        pytest.param("0001 0000 0007 01 03 04 00010002 00", id="a-byte-too-many"),
        pytest.param("FFFFFFFFFFFF", id="noise"),
    ],
)
def test_tcp_frames_that_are_refused(frame):
    framing = MbapFraming()
    framing.encode(0, Request(1, "holding", 0, 2))
    with pytest.raises(ProtocolError):
        framing.feed(H(frame))


def test_a_tcp_answer_may_come_byte_by_byte_and_several_at_once_in_any_order():
    framing = MbapFraming()
    first, second = Request(1, "holding", 0, 1), Request(1, "holding", 9, 1)
    framing.encode(0, first)
    framing.encode(1, second)
    replies = H("0002 0000 0005 01 03 02 0009") + H("0001 0000 0005 01 03 02 0001")
    assert framing.feed(replies) == [(1, H("0009")), (0, H("0001"))]
    framing.encode(5, first)
    got = [framing.feed(bytes([byte])) for byte in H("0003 0000 0005 01 03 02 000A")]
    assert got == [[]] * 10 + [[(5, H("000A"))]]


def test_transaction_ids_wrap_round_and_skip_zero():
    framing = MbapFraming()
    request = Request(1, "holding", 0, 1)
    ids = set()
    for _ in range(0x10000):
        ids.add(framing.encode(0, request)[:2])
        framing.reset()
    assert b"\0\0" not in ids
    assert len(ids) == 0xFFFF


def _rtu(text: str) -> bytes:
    return H(text) + crc16(H(text)).to_bytes(2, "little")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(H("01 03 02 0001 0000"), id="wrong-check-sum"),
        pytest.param(_rtu("01 03 04 00010002"), id="more-registers"),
        pytest.param(_rtu("01 04 02 0001"), id="another-function"),
        pytest.param(H("FF FF FF FF"), id="noise"),
        pytest.param(b"\0" + _rtu("01 03 02 0001"), id="a-byte-of-noise-before"),
    ],
)
def test_rtu_frames_that_are_refused(frame):
    framing = RtuFraming()
    framing.encode(0, Request(1, "holding", 0, 1))
    with pytest.raises(ProtocolError):
        framing.feed(frame)


def test_a_late_rtu_answer_of_another_unit_is_passed_over():
    framing = RtuFraming()
    framing.encode(0, Request(2, "holding", 0, 1))
    assert framing.feed(_rtu("01 03 02 0BAD") + _rtu("02 03 02 0001")[:3]) == []
    assert framing.feed(_rtu("02 03 02 0001")[3:] + b"\xff") == [(0, H("0001"))]
    assert framing.feed(_rtu("02 03 02 0BAD")) == []
    framing.encode(0, Request(2, "holding", 0, 1))
    assert framing.feed(_rtu("02 83 02")) == [(0, 2)]
