"""Every type in every order comes back as it was sent, alone and in the company of others."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.modbus.codec import BlockDecoder
from connectors.modbus.frame import ProtocolError, ReadRequest, answer
from connectors.modbus.framing import Framing, MbapFraming, RtuFraming, crc16
from connectors.modbus.options import ModbusDevice, ModbusTag
from connectors.modbus.point import resolve
from edge_agent.model import STATUS
from tests.support.exploration import examples
from tests.support.modbus_wire import Device, bits, encode, load

ORDERS = ["ABCD", "DCBA", "BADC", "CDAB"]
FLOAT32 = st.floats(width=32, allow_nan=False, allow_subnormal=False)
ASCII = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)

VALUES = {
    "int16": st.integers(-(2**15), 2**15 - 1), "uint16": st.integers(0, 2**16 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1), "uint32": st.integers(0, 2**32 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1), "uint64": st.integers(0, 2**64 - 1),
    "float32": FLOAT32, "float64": st.floats(allow_nan=False, allow_subnormal=False),
    "bcd16": st.integers(0, 9999), "bcd32": st.integers(0, 99_999_999),
}  # fmt: skip


def decode(start, size, points, data):
    values, status = [None] * len(points), {}
    BlockDecoder(start, size, list(enumerate(points))).decode(data, values, status)
    return values, status


@st.composite
def tags(draw):
    """(tag keys without the address, the value, its bytes on the wire)"""
    type_ = draw(st.sampled_from([*VALUES, "string"]))
    order = draw(st.sampled_from(ORDERS))
    if type_ == "string":
        value = draw(ASCII)
        keys = {"type": type_, "word_order": order, "length": 13}
        return keys, value, encode(value, type_, order, length=13)
    count = draw(st.integers(1, 3))
    items = draw(st.lists(VALUES[type_], min_size=count, max_size=count))
    wire = b"".join(encode(item, type_, order) for item in items)
    return (
        {"type": type_, "word_order": order, "count": count},
        items if count > 1 else items[0],
        wire,
    )


@given(st.lists(st.tuples(tags(), st.integers(0, 3)), min_size=1, max_size=8), st.randoms())
@settings(max_examples=examples(200))
def test_a_block_of_anything_round_trips(items, random):
    device, points, expected, address = Device(), [], [], 10
    for (keys, value, wire), gap in items:
        address += gap
        load(device, address, wire)
        points.append(
            resolve(ModbusTag(address=f"holding/{address}", **keys), ModbusDevice(url="tcp://h"))
        )
        expected.append(value)
        address += len(wire) // 2
    order = list(range(len(points)))
    random.shuffle(order)
    size = address - 8
    data = b"".join(device.registers.get(8 + n, 0xABCD).to_bytes(2, "big") for n in range(size))
    values, status = decode(8, size, [points[n] for n in order], data)
    assert values == [expected[n] for n in order]
    assert [type(v) for v in values] == [type(expected[n]) for n in order]
    assert not status


@given(st.lists(st.booleans(), min_size=1, max_size=70), st.data())
def test_coils_round_trip(states, data):
    points = [
        resolve(ModbusTag(address=f"coil/{100 + n}"), ModbusDevice(url="tcp://h"))
        for n in range(len(states))
    ]
    first = data.draw(st.integers(0, len(states) - 1))
    count = data.draw(st.integers(1, len(states) - first))
    points.append(
        resolve(ModbusTag(address=f"coil/{100 + first}", count=count), ModbusDevice(url="tcp://h"))
    )
    values, _ = decode(100, len(states), points, bits(states))
    some = states[first : first + count]
    assert values == [*states, some if count > 1 else some[0]]


@given(st.lists(st.integers(0, 0xFFFF), min_size=3, max_size=3), st.sampled_from(ORDERS))
def test_bits_of_registers_share_their_register(words, order):
    wire = b"".join(encode(word, "uint16", order) for word in words)
    device = ModbusDevice(url="tcp://h", word_order=order)
    keys = [{"address": f"holding/{n}.{b}"} for n in range(3) for b in range(16)]
    keys += [{"address": f"holding/{n}"} for n in range(3)]
    keys += [{"address": "holding/0.5", "count": 40}, {"address": "holding/1", "type": "bool"}]
    values, _ = decode(0, 3, [resolve(ModbusTag(**k), device) for k in keys], wire)
    flat = [bool(word >> b & 1) for word in words for b in range(16)]
    assert values == [*flat, *words, flat[5:45], words[1] != 0]


@given(st.binary(min_size=8, max_size=8), st.sampled_from(ORDERS))
def test_overlapping_views_of_the_same_registers(data, order):
    device = ModbusDevice(url="tcp://h", word_order=order)
    types = ["uint64", "uint32", "uint16", "float64"]
    values, _ = decode(
        0, 4, [resolve(ModbusTag(address="holding/0", type=t), device) for t in types], data
    )
    for type_, value in zip(types[:3], values, strict=False):
        wire = encode(value, type_, order)
        assert wire == data[: len(wire)]
    assert math.isnan(values[3]) or encode(values[3], "float64", order) == data


@pytest.mark.parametrize(
    ("order", "wire"),
    [("ABCD", "42F6E979"), ("DCBA", "79E9F642"), ("BADC", "F64279E9"), ("CDAB", "E97942F6")],
)
def test_the_four_orders_of_123_456(order, wire):
    point = resolve(
        ModbusTag(address="holding/0", type="float32", word_order=order),
        ModbusDevice(url="tcp://h"),
    )
    assert decode(0, 2, [point], bytes.fromhex(wire)) == (
        [struct.unpack("f", struct.pack("f", 123.456))[0]],
        {},
    )


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("gbk", "主轴".encode("gbk") + b"\0\0\xff\xff", "主轴"),
        ("utf-8", "刀具 7".encode() + b"  ", "刀具 7"),
        ("utf-16-be", "报警".encode("utf-16-be") + b"\0\0\0\0", "报警"),
        ("ascii", b"\0\0AB\0\0\xff\xff", "AB"),
        ("ascii", b"\0" * 8, ""),
    ],
)
def test_text_without_its_padding(encoding, data, expected):
    tag = ModbusTag(address="holding/0", type="string", length=len(data), encoding=encoding)
    point = resolve(tag, ModbusDevice(url="tcp://h"))
    assert decode(0, point.size, [point], data.ljust(2 * point.size, b"x")) == ([expected], {})


@pytest.mark.parametrize(
    ("keys", "data"),
    [
        ({"type": "string", "length": 2}, "FFFE"),
        ({"type": "string", "length": 2, "encoding": "gbk"}, "81FF"),
        ({"type": "bcd16"}, "12A4"),
        ({"type": "bcd32"}, "1234567F"),
        ({"type": "bcd16", "count": 2}, "1234F000"),
    ],
)
def test_what_cannot_be_decoded_has_no_value(keys, data):
    point = resolve(ModbusTag(address="holding/0", **keys), ModbusDevice(url="tcp://h"))
    beside = resolve(ModbusTag(address="holding/0"), ModbusDevice(url="tcp://h"))
    values, status = decode(0, point.size, [point, beside], bytes.fromhex(data))
    assert values == [None, int(data[:4], 16)]
    assert status == {0: STATUS["BadDecodingError"]}


# --- arbitrary bytes ------------------------------------------------------------------------------


@given(st.sampled_from([MbapFraming, RtuFraming]), st.lists(st.binary(max_size=40)))
def test_no_bytes_crash_a_framing_or_are_taken_for_an_answer(framing_type, chunks):
    framing: Framing = framing_type()
    request = ReadRequest(1, "holding", 100, 4)
    framing.encode(0, request)
    for chunk in chunks:
        try:
            answers = framing.feed(chunk)
        except ProtocolError:
            break
        # Noise that by chance is a whole answer with its id or check sum in order cannot be told
        # from one.
        assert all(not isinstance(a, bytes) or len(a) == request.size for _, a in answers)


@given(st.binary(max_size=300), st.integers(1, 125))
def test_an_answer_is_taken_only_when_all_of_it_fits(adu, count):
    request = ReadRequest(7, "holding", 0, count)
    try:
        got = answer(request, adu)
    except ProtocolError:
        return
    if isinstance(got, int):
        assert adu == bytes([7, 0x83, got])
    else:
        assert adu == bytes([7, 3, 2 * count]) + got
        assert len(got) == 2 * count


@given(st.integers(0, 250), st.integers(0, 255), st.sampled_from([MbapFraming, RtuFraming]))
def test_a_damaged_answer_is_never_a_wrong_value(position, byte, framing_type):
    """One byte of a sound answer changed: refused or waited for. (MBAP has no check sum: its data
    may change.)"""
    data = bytes(range(40, 48))
    body = bytes([1, 3, 8]) + data
    framing = framing_type()
    sent = framing.encode(0, ReadRequest(1, "holding", 100, 4))
    if framing_type is MbapFraming:
        frame = bytearray(sent[:2] + b"\0\0" + len(body).to_bytes(2, "big") + body)
        position %= 9
    else:
        frame = bytearray(body + crc16(body).to_bytes(2, "little"))
    frame[position % len(frame)] = byte
    try:
        answers = framing.feed(bytes(frame))
    except ProtocolError:
        return
    assert [found for found in answers if not isinstance(found[1], ProtocolError)] in (
        [],
        [(0, data)],
    )
