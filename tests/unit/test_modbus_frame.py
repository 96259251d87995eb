"""Frames against the byte examples of the specifications, and everything an answer may not be."""

from __future__ import annotations

import pytest

from connectors.modbus.frame import ProtocolError, ReadRequest, answer
from connectors.modbus.framing import AsciiFraming, MbapFraming, RtuFraming, crc16

H = bytes.fromhex

# Modbus Application Protocol Specification V1.1b3, examples of 6.1 to 6.4: request PDU, response
# PDU.
SPEC = [
    pytest.param(
        "coil", 0x13, 0x13, "01 0013 0013", "01 03 CD 6B 05", "CD6B05", id="6.1-read-coils"
    ),
    pytest.param(
        "discrete",
        0xC4,
        0x16,
        "02 00C4 0016",
        "02 03 AC DB 35",
        "ACDB35",
        id="6.2-read-discrete-inputs",
    ),
    pytest.param(
        "holding",
        0x6B,
        3,
        "03 006B 0003",
        "03 06 022B 0000 0064",
        "022B00000064",
        id="6.3-read-holding",
    ),
    pytest.param("input", 8, 1, "04 0008 0001", "04 02 000A", "000A", id="6.4-read-input"),
]


@pytest.mark.parametrize(("table", "address", "count", "request_pdu", "response_pdu", "data"), SPEC)
def test_the_examples_of_the_specification(table, address, count, request_pdu, response_pdu, data):
    request = ReadRequest(17, table, address, count)
    assert request.adu == b"\x11" + H(request_pdu)
    assert answer(request, b"\x11" + H(response_pdu)) == H(data)

    framing = MbapFraming()
    assert framing.encode(0, request) == H("0001 0000 0006 11") + H(request_pdu)
    body = b"\x11" + H(response_pdu)
    assert framing.feed(H("0001 0000") + len(body).to_bytes(2, "big") + body) == [(0, H(data))]


def test_the_known_rtu_frame():
    # The request of 6.3 for unit 17 on a serial line; its CRC 0x8776 is sent low byte first.
    framing = RtuFraming()
    assert framing.encode(0, ReadRequest(17, "holding", 0x6B, 3)) == H("11 03 006B 0003 7687")
    assert crc16(H("11 03 006B 0003 7687")) == 0
    reply = H("11 03 06 022B 0000 0064")
    assert framing.feed(reply + crc16(reply).to_bytes(2, "little")) == [(0, H("022B00000064"))]


def test_an_exception_is_its_code():
    request = ReadRequest(1, "holding", 0, 2)
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
        answer(ReadRequest(1, "holding", 0, 2), H(adu))


def mbap(*frames: str) -> list[tuple[int, object]]:
    """What a request for two registers (slot 0) gets from these bytes."""
    framing = MbapFraming()
    framing.encode(0, ReadRequest(1, "holding", 0, 2))
    found = []
    for frame in frames:
        found += framing.feed(H(frame))
    return found


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("0001 0001 0007 01 03 04 00010002", id="protocol-id-1"),
        pytest.param("0001 0000 0000 01 03 04 00010002", id="length-0"),
        pytest.param("0001 0000 0001 01 03 04 00010002", id="length-1"),
        pytest.param("0001 0000 FFFF 01 03 04 00010002", id="huge-length"),
        pytest.param("FFFFFFFFFFFF", id="noise"),
    ],
)
def test_tcp_bytes_that_are_no_frames_end_the_connection(frame):
    with pytest.raises(ProtocolError):
        mbap(frame)


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        ("0001 0000 0004 C0 60 60 00", "BadCommunicationError"),
        ("0001 0000 0007 00 03 04 00010002", "BadCommunicationError"),
        ("0001 0000 0007 01 04 04 00010002", "BadCommunicationError"),
        ("0001 0000 0005 01 03 02 0001", "BadDecodingError"),
        ("0001 0000 0007 01 03 06 00010002", "BadDecodingError"),
        ("0001 0000 0002 01 03", "BadDecodingError"),
        ("0001 0000 0006 01 03 04 000100", "BadDecodingError"),
    ],
)
def test_a_whole_tcp_frame_that_is_wrong_inside_is_the_answer_to_its_request_only(frame, status):
    ((slot, found),) = mbap(frame)
    assert slot == 0
    assert isinstance(found, ProtocolError)
    assert (found.status, found.answered) == (status, True)


RIGHT = "0001 0000 0007 01 03 04 00010002"


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(["0000 0000 0007 01 03 04 DEADDEAD", RIGHT], id="transaction-id-0"),
        pytest.param(["0002 0000 0007 01 03 04 DEADDEAD" + RIGHT], id="foreign-transaction-id"),
        pytest.param(
            ["0002 0000 0007 01 03", "04 DEADDEAD 0001", "0000 0007 01 03 04 00010002"],
            id="in-pieces",
        ),
        pytest.param([RIGHT + "0001 0000 0007 01 03 04 DEADDEAD"], id="answered-twice"),
        pytest.param([RIGHT + "00"], id="a-byte-too-many"),
        pytest.param([RIGHT + "FFFFFFFFFFFF"], id="noise-behind"),
    ],
)
def test_tcp_frames_that_answer_nothing_under_way_are_passed_over(frames):
    assert mbap(*frames) == [(0, H("00010002"))]


def test_noise_behind_an_answer_ends_the_connection_with_the_next_bytes():
    framing = MbapFraming()
    framing.encode(0, ReadRequest(1, "holding", 0, 2))
    assert framing.feed(H(RIGHT) + b"\xff" * 9) == [(0, H("00010002"))]
    framing.encode(0, ReadRequest(1, "holding", 0, 2))
    with pytest.raises(ProtocolError):
        framing.feed(H("0002 0000 0007 01 03 04 00010002"))


def test_giving_up_says_what_came_instead():
    request = ReadRequest(1, "holding", 0, 2)
    framing = MbapFraming()
    framing.encode(0, request)
    assert framing.end_wait() is None
    framing.encode(0, request)
    framing.feed(H("0000 0000 0007 01 03 04 DEADDEAD"))
    instead = framing.end_wait()
    assert isinstance(instead, ProtocolError)
    assert "Transaction id 0" in str(instead)
    framing.encode(0, request)
    framing.feed(H("0003 0000 0007 01"))
    with pytest.raises(ProtocolError, match="first 7 bytes") as midway:
        framing.end_wait()
    assert midway.value.cause.name == "modbus_unfinished"
    assert "前 7 字节" in midway.value.cause.zh


@pytest.mark.parametrize(
    ("adu", "name", "words"),
    [
        ("01 01", "modbus_short_answer", ("2 bytes", "2 字节")),
        ("01 01 01 5A", "modbus_wrong_length", ("1 data bytes instead of 2", "1 字节数据，应为 2")),
        (
            "01 01 03 5A 5A",
            "modbus_wrong_length",
            ("3 data bytes instead of 2", "3 字节数据，应为 2"),
        ),
        (
            "01 01 02 5A 5A 5A",
            "modbus_wrong_length",
            ("3 data bytes instead of 2", "3 字节数据，应为 2"),
        ),
    ],
)
def test_an_answer_of_another_size_says_what_came_in_both_languages(adu, name, words):
    with pytest.raises(ProtocolError) as wrong:
        answer(ReadRequest(1, "coil", 0, 12), H(adu))
    why = wrong.value.cause
    assert (why.name, wrong.value.answered) == (name, True)
    assert words[0] in why.en
    assert words[1] in why.zh


@pytest.mark.parametrize(
    ("header", "zh"),
    [("0001 0005 0005", "协议标识为 5"), ("0001 0000 0400", "长度为 1024，应为 2 至 254")],
)
def test_bytes_that_are_no_modbus_say_why_in_both_languages(header, zh):
    framing = MbapFraming()
    framing.encode(0, ReadRequest(1, "holding", 0, 1))
    with pytest.raises(ProtocolError) as foreign:
        framing.feed(H(header))
    assert foreign.value.cause.name == "modbus_not_modbus"
    assert zh in foreign.value.cause.zh


def test_a_tcp_answer_may_come_byte_by_byte_and_several_at_once_in_any_order():
    framing = MbapFraming()
    first, second = ReadRequest(1, "holding", 0, 1), ReadRequest(1, "holding", 9, 1)
    framing.encode(0, first)
    framing.encode(1, second)
    replies = H("0002 0000 0005 01 03 02 0009") + H("0001 0000 0005 01 03 02 0001")
    assert framing.feed(replies) == [(1, H("0009")), (0, H("0001"))]
    framing.encode(5, first)
    got = [framing.feed(bytes([byte])) for byte in H("0003 0000 0005 01 03 02 000A")]
    assert got == [[]] * 10 + [[(5, H("000A"))]]


def test_transaction_ids_wrap_round_and_skip_zero():
    framing = MbapFraming()
    request = ReadRequest(1, "holding", 0, 1)
    ids = set()
    for _ in range(0x10000):
        ids.add(framing.encode(0, request)[:2])
        framing.end_wait()
    assert b"\0\0" not in ids
    assert len(ids) == 0xFFFF


def _rtu(text: str) -> bytes:
    return H(text) + crc16(H(text)).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("frame", "status", "answered"),
    [
        pytest.param(b"", None, False, id="nothing"),
        pytest.param(H("01 03 02 0001 0000"), "BadCommunicationError", False, id="wrong-check-sum"),
        pytest.param(_rtu("01 03 04 00010002"), "BadDecodingError", True, id="more-registers"),
        pytest.param(_rtu("01 04 02 0001"), "BadCommunicationError", False, id="another-function"),
        pytest.param(_rtu("02 03 02 0001"), "BadCommunicationError", False, id="another-unit"),
        pytest.param(H("FF FF FF FF"), "BadCommunicationError", False, id="noise"),
        pytest.param(
            _rtu("01 03 0000 0001"), "BadCommunicationError", False, id="nothing-but-the-echo"
        ),
        pytest.param(_rtu("01 03 02 0001")[:-1], "BadCommunicationError", False, id="truncated"),
    ],
)
def test_rtu_what_is_no_answer_is_not_taken_and_named_when_the_time_is_over(
    frame, status, answered
):
    framing = RtuFraming()
    framing.encode(0, ReadRequest(1, "holding", 0, 1))
    assert framing.feed(frame) == []
    instead = framing.end_wait()
    if status is None:
        assert instead is None
    else:
        assert isinstance(instead, ProtocolError)
        assert (instead.status, instead.answered) == (status, answered)


ANSWER, ECHO = _rtu("01 03 02 0007"), _rtu("01 03 0007 0001")

AMONG = {
    "f12-echo": [ECHO, ANSWER],
    "f12-echo-in-one-piece": [ECHO + ANSWER],
    "f13-zeros": [b"\0" + ANSWER + b"\0"],
    "noise": [H("FF A5 01 03"), ANSWER],
    "noise-like-a-head": [H("01 03 02"), ANSWER],
    "noise-like-a-head-and-no-more-bytes": [H("01 03 02") + ANSWER[:-3], ANSWER[-3:]],
    "echo-and-noise": [b"\0" + ECHO + b"\xff", ANSWER],
    "half-an-answer-then-all-of-it": [ANSWER[:4], ANSWER],
    "wrong-check-sum-then-right": [ANSWER[:-1] + bytes([ANSWER[-1] ^ 1]), ANSWER],
    "another-unit-answers": [_rtu("09 03 02 DEAD"), ANSWER],
    "another-master-asks-another-unit": [_rtu("09 03 0064 0001"), _rtu("09 03 02 DEAD"), ANSWER],
    "another-master-asks-the-same-unit": [_rtu("01 03 0064 0001"), _rtu("01 03 02 DEAD"), ANSWER],
    "another-master-reads-more": [_rtu("01 03 0064 0002"), _rtu("01 03 04 DEADBEEF"), ANSWER],
    "another-master-is-refused": [_rtu("01 03 0064 0009"), _rtu("01 83 02"), ANSWER],
    "another-master-writes": [_rtu("01 06 0064 DEAD") * 2, _rtu("01 10 0064 0001"), ANSWER],
    "a-frame-within-a-frame": [_rtu("09 03 08 00" + _rtu("01 03 02 DEAD").hex()), ANSWER],
}


@pytest.mark.parametrize("kind", AMONG)
@pytest.mark.parametrize("bytewise", [False, True])
def test_rtu_the_answer_is_found_among_other_bytes(kind, bytewise):
    if bytewise and kind == "a-frame-within-a-frame":
        pytest.skip(
            "a frame that is whole within an unfinished one cannot be told from an answer behind "
            "noise"
        )
    framing = RtuFraming()
    assert framing.encode(0, ReadRequest(1, "holding", 7, 1)) == ECHO
    pieces = [bytes([byte]) for byte in b"".join(AMONG[kind])] if bytewise else AMONG[kind]
    found = []
    for piece in pieces:
        found += framing.feed(piece)
    assert found == [(0, H("0007"))]


def test_rtu_an_answer_behind_what_looks_like_one_is_found_when_the_time_is_over():
    framing = RtuFraming()
    framing.encode(0, ReadRequest(1, "holding", 0, 60))
    head, right = H("01 03 78"), H("01 03 78") + bytes(range(120))
    whole = right + crc16(right).to_bytes(2, "little")
    assert framing.feed(head + whole[:-3]) == []
    assert framing.feed(whole[-3:]) == [(0, bytes(range(120)))]
    framing.encode(0, ReadRequest(1, "holding", 0, 60))
    assert framing.feed(head + _rtu("01 83 02")) == []
    assert framing.end_wait() == 2


@pytest.mark.parametrize("address", range(0x0200, 0x0300))
def test_rtu_no_part_of_an_echo_is_an_answer(address):
    """Requests whose address has the byte count of the answer in front look like the beginning of
    one."""
    framing = RtuFraming()
    echo = framing.encode(0, ReadRequest(1, "holding", address, 1))
    for byte in echo:
        assert framing.feed(bytes([byte])) == []


def test_rtu_endless_noise_is_given_up():
    framing = RtuFraming()
    framing.encode(0, ReadRequest(1, "holding", 0, 1))
    assert framing.feed(b"\xa5" * 4000) == []
    with pytest.raises(ProtocolError):
        framing.feed(b"\xa5" * 100)


def test_rtu_bytes_from_before_the_request_are_no_answer():
    framing = RtuFraming()
    assert framing.feed(ANSWER[:5]) == []
    framing.encode(0, ReadRequest(1, "holding", 7, 1))
    assert framing.feed(ANSWER[5:]) == []
    framing.end_wait()
    framing.encode(0, ReadRequest(1, "holding", 7, 1))
    framing.feed(ANSWER[:5])
    framing.encode(0, ReadRequest(1, "holding", 9, 1))
    assert framing.feed(ANSWER[5:]) == []


def test_another_unit_is_accepted_where_it_is_named():
    request = ReadRequest(5, "holding", 0, 1, frozenset({0, 1}))
    assert answer(request, H("00 03 02 0007")) == answer(request, H("01 03 02 0007")) == H("0007")
    assert answer(request, H("00 83 02")) == 2
    with pytest.raises(ProtocolError, match="accept_unit: 2"):
        answer(request, H("02 03 02 0007"))


def test_ascii_the_answer_is_found_among_other_lines():
    framing = AsciiFraming()
    assert framing.encode(0, ReadRequest(1, "holding", 7, 1)) == b":010300070001F4\r\n"
    lines = (
        b":010300070001F4\r\n"
        + b"\xff:0103020BADxx\r\n"
        + b":0203020BAD41\r\n"
        + b":0103020BAD43\r\n"
    )
    assert framing.feed(lines) == []
    assert framing.feed(b"\0:01030") == []
    assert framing.feed(b"20007F3\r\n") == [(0, H("0007"))]


def test_a_late_rtu_answer_of_another_unit_is_passed_over():
    framing = RtuFraming()
    framing.encode(0, ReadRequest(2, "holding", 0, 1))
    assert framing.feed(_rtu("01 03 02 0BAD") + _rtu("02 03 02 0001")[:3]) == []
    assert framing.feed(_rtu("02 03 02 0001")[3:] + b"\xff") == [(0, H("0001"))]
    assert framing.feed(_rtu("02 03 02 0BAD")) == []
    framing.encode(0, ReadRequest(2, "holding", 0, 1))
    assert framing.feed(_rtu("02 83 02")) == [(0, 2)]
