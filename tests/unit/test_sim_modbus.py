"""The simulated Modbus units without a socket: bytes, memory blocks, answers, framings, value
faults."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from simulators.clock import SimClock
from simulators.device import SimulatedDevice
from simulators.modbus.answer import UnitBus
from simulators.modbus.encode import NumberCodec, arrange, encode_text
from simulators.modbus.frames import AsciiServerFraming, MbapServerFraming, RtuServerFraming, crc16
from simulators.modbus.image import RegisterImage, modulus
from simulators.spec import FaultSpec, SpecError, TagSpec, parse
from simulators.world import World


def tag(name: str = "x", **where: Any) -> TagSpec:
    scale, offset = where.get("scale", 1.0), where.get("offset", 0.0)
    return TagSpec(
        name,
        "float",
        "",
        None,
        None,
        {},
        scale,
        offset,
        {"object": "holding", "address": 0, **where},
    )


def device(tags: dict[str, dict[str, Any]], name: str = "dev-1", **more: Any) -> SimulatedDevice:
    item = {"id": name, "protocol": "modbus", "unit": 1, "tags": tags, **more}
    spec = parse({"devices": [item], "epoch_ns": 0})
    return SimulatedDevice(spec.devices[0], World(spec, SimClock(1.0, 0)), 1)


def holding(address: int, kind: str = "uint16", **more: Any) -> dict[str, Any]:
    return {"object": "holding", "address": address, "type": kind, **more}


def ask(dev: SimulatedDevice, function: int, address: int, count: int) -> bytes:
    answer = UnitBus({1: RegisterImage(dev)}, gateway=True).answer(
        1, struct.pack(">BHH", function, address, count)
    )
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("order", "wire"),
    [("ABCD", "42f6e979"), ("DCBA", "79e9f642"), ("BADC", "f64279e9"), ("CDAB", "e97942f6")],
)
def test_a_float_in_the_four_orders(order: str, wire: str) -> None:
    assert NumberCodec(tag(type="float32", word_order=order), False).encode(123.456).hex() == wire


@pytest.mark.parametrize(
    ("order", "wire"),
    [
        ("ABCD", "0102030405060708"),
        ("DCBA", "0807060504030201"),
        ("BADC", "0201040306050807"),
        ("CDAB", "0708050603040102"),
    ],
)
def test_64_bits_in_the_four_orders(order: str, wire: str) -> None:
    assert arrange(bytes(range(1, 9)), order).hex() == wire


@pytest.mark.parametrize(
    ("kind", "value", "wire"),
    [
        ("int16", -2, "fffe"), ("uint16", 65535, "ffff"), ("int32", -2, "fffffffe"), ("uint32", 70000, "00011170"),
        ("int64", -1, "f" * 16), ("float64", 1.0, "3ff0000000000000"), ("bcd16", 1234, "1234"),
        ("bcd32", 12345678, "12345678"), ("int16", 99999, "7fff"), ("uint16", -5, "0000"),
    ],
)  # fmt: skip
def test_numbers_and_their_limits(kind: str, value: float, wire: str) -> None:
    assert NumberCodec(tag(type=kind), False).encode(value).hex() == wire


def test_scale_and_offset_are_undone_and_a_counter_wraps() -> None:
    assert (
        NumberCodec(tag(type="int16", scale=0.1, offset=-40.0), False).encode(25.5).hex()
        == f"{655:04x}"
    )
    assert NumberCodec(tag(type="uint16"), True).encode(65536 + 7).hex() == "0007"


def test_text_is_padded_cut_at_a_whole_character_and_swapped() -> None:
    assert encode_text("法兰", 6, "gbk", "ABCD") == "法兰".encode("gbk") + b"\0\0"
    assert encode_text("法兰盘", 5, "gbk", "ABCD") == "法兰".encode("gbk") + b"\0\0"
    assert encode_text("ABC", 4, "ascii", "BADC") == b"BA\0C"


def test_the_crc_and_the_frame_of_a_published_example() -> None:
    # 01 04 02 FF FF -> B8 80 (low byte first), the usual worked example of CRC-16/MODBUS.
    assert crc16(bytes.fromhex("010402ffff")).to_bytes(2, "little").hex() == "b880"
    buffer = bytearray(b"\xff\x00\x11\x03" + _rtu("110300060003"))
    (request,) = RtuServerFraming().split(buffer)
    assert (request.unit, request.pdu.hex(), bytes(buffer)) == (0x11, "0300060003", b"")


def _rtu(body: str) -> bytes:
    data = bytes.fromhex(body)
    return data + crc16(data).to_bytes(2, "little")


def test_mbap_splits_two_requests_and_keeps_the_rest() -> None:
    one = bytes.fromhex("000100000006010300000001")
    buffer = bytearray(one + bytes.fromhex("000200000006020400050002") + one[:5])
    first, second = MbapServerFraming().split(buffer)
    assert (first.tag, first.unit, second.tag, second.unit, second.pdu.hex()) == (
        1,
        1,
        2,
        2,
        "0400050002",
    )
    assert bytes(buffer) == one[:5]
    assert MbapServerFraming().wrap(second, b"\x84\x02").hex() == "000200000003028402"


def test_ascii_frames_carry_an_lrc_and_noise_is_skipped() -> None:
    buffer = bytearray(b"noise:zz\r\n:010300000001FB\r\n:0103")
    (request,) = AsciiServerFraming().split(buffer)
    assert request.pdu.hex() == "0300000001"
    assert (
        AsciiServerFraming().wrap(request, bytes.fromhex("03020005")) == b":010302000" + b"5F5\r\n"
    )
    assert bytes(buffer) == b":0103"


def test_small_gaps_read_as_zero_unless_the_device_is_strict() -> None:
    tags = {"level": holding(10, range=[5, 6]), "speed": holding(20, range=[5, 6])}
    assert ask(device(tags), 3, 10, 11)[:2] == bytes((3, 22))
    assert ask(device(tags, strict=True), 3, 10, 11) == bytes((0x83, 2))
    assert ask(device(tags), 3, 9, 2) == bytes((0x83, 2))
    assert ask(device(tags), 3, 300, 1) == bytes((0x83, 2))


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [("0300000000", "8303"), ("030000007e", "8303"), ("0600000001", "8601"), ("1000000001020001", "9001"),
     ("2b0e0100", "ab01"), ("0300", "8303"), ("", "8001")],
)  # fmt: skip
def test_what_is_not_a_proper_read_is_refused(pdu: str, answer: str) -> None:
    bus = UnitBus({1: RegisterImage(device({"level": holding(0)}))}, gateway=True)
    got = bus.answer(1, bytes.fromhex(pdu))
    assert got is not None
    assert got.hex() == answer


def test_an_unknown_unit_is_a_gateway_error_on_tcp_and_silence_on_a_line() -> None:
    image, read = RegisterImage(device({"level": holding(0)})), bytes.fromhex("0300000001")
    assert UnitBus({1: image}, gateway=True).answer(9, read) == bytes((0x83, 0x0B))
    assert UnitBus({1: image}, gateway=False).answer(9, read) is None
    assert UnitBus({1: image}, gateway=True).answer(255, read) is not None


def test_bits_in_registers_and_in_coils() -> None:
    tags = {
        "a": {"object": "holding", "address": 0, "type": "bool", "bit": 0, "kind": "bool"},
        "running": {"object": "holding", "address": 0, "type": "bool", "bit": 9, "kind": "bool"},
        "fault": {"object": "coil", "address": 3, "type": "bool", "kind": "bool"},
        "emergency_stop": {"object": "coil", "address": 12, "type": "bool", "kind": "bool"},
    }
    dev = device(tags, "lathe-1")
    values = dict(zip(tags, dev.values(), strict=True))
    register = struct.unpack(">H", ask(dev, 3, 0, 1)[2:])[0]
    assert register == bool(values["a"]) | bool(values["running"]) << 9
    coils = ask(dev, 1, 3, 10)
    assert coils[1] == 2
    assert coils[2] & 1 == bool(values["fault"])


def test_an_array_tag_fills_its_registers() -> None:
    dev = device(
        {
            "curve": {
                "object": "input",
                "address": 4,
                "type": "int16",
                "count": 5,
                "kind": "array",
                "range": [100, 200],
            }
        }
    )
    data = struct.unpack(">5h", ask(dev, 4, 4, 5)[2:])
    assert all(100 <= value <= 200 for value in data)
    assert len(set(data)) > 1


def test_float32_energy_shows_the_resolution_of_a_real_meter() -> None:
    codec = NumberCodec(tag("import", type="float32"), True)
    (shown,) = struct.unpack(">f", codec.encode(1_000_000.03))
    assert shown == 1_000_000.0
    (shown,) = struct.unpack(">f", codec.encode(1_000_000.05))
    assert shown == 1_000_000.0625


def _fault(dev: SimulatedDevice, kind: str, *tags: str) -> None:
    dev.board.add(FaultSpec(kind, tags=frozenset(tags)))
    dev.board.update(0.0)


def test_value_faults_on_the_wire() -> None:
    tags = {
        "temp": holding(0, "float32", range=[30, 31]),
        "level": holding(2, "int16", range=[30, 31]),
        "raw": holding(3),
    }
    dev = device(tags)
    normal = ask(dev, 3, 0, 2)[2:]
    _fault(dev, "word_swap", "temp")
    assert ask(dev, 3, 0, 2)[2:] == normal[2:] + normal[:2]
    dev = device(tags)
    _fault(dev, "sentinel")
    assert ask(dev, 3, 2, 2)[2:].hex() == "7fffffff"
    dev = device(tags)
    _fault(dev, "nan", "temp")
    assert math.isnan(struct.unpack(">f", ask(dev, 3, 0, 2)[2:])[0])
    _fault(dev, "illegal_address", "level")
    assert ask(dev, 3, 2, 1) == bytes((0x83, 2))
    assert len(ask(dev, 3, 3, 1)) == 4
    _fault(dev, "slave_timeout")
    assert ask(dev, 3, 3, 1) == bytes((0x83, 0x0B))
    _fault(dev, "timeout")
    assert (
        UnitBus({1: RegisterImage(dev)}, gateway=True).answer(1, bytes.fromhex("0300030001"))
        is None
    )


def test_frozen_values_stand_still_and_come_back() -> None:
    dev = device({"temp": holding(0, "float32", range=[0, 100])})
    _fault(dev, "frozen")
    first = ask(dev, 3, 0, 2)
    dev.world.advance(40.0)
    assert ask(dev, 3, 0, 2) == first
    dev.board.add(FaultSpec("clear"))
    dev.board.update(0.0)
    assert ask(dev, 3, 0, 2) != first


def test_counters_reset_and_roll_over() -> None:
    tags = {
        "parts_total": holding(0, "uint32"),
        "part_count": holding(2),
        "spindle_speed": holding(3),
    }
    dev = device(tags, "lathe-1")

    def counts() -> tuple[int, int]:
        return struct.unpack(">IH", ask(dev, 3, 0, 3)[2:])

    dev.bend(FaultSpec("counter_reset", tags=frozenset({"parts_total"})), modulus)
    assert counts()[0] == 0
    dev.bend(FaultSpec("rollover", tags=frozenset({"part_count"})), modulus)
    assert counts()[1] == 65536 - 5
    seen = []
    for t in range(0, 4000, 20):
        dev.world.advance(float(t), budget_s=60.0)
        seen.append(counts()[1])
    assert min(seen) < 5
    assert counts()[0] > 0


def test_equal_units_on_one_bus_and_bad_tags_are_refused() -> None:
    from simulators.modbus.server import ModbusPort

    with pytest.raises(SpecError, match="unit 1 twice"):
        ModbusPort([device({"a": holding(0)}), device({"a": holding(0)}, "dev-2")])
    with pytest.raises(SpecError, match="complex128"):
        RegisterImage(device({"a": holding(0, "complex128")}))
    with pytest.raises(SpecError, match="65535"):
        RegisterImage(device({"a": holding(65535, "uint32")}))
