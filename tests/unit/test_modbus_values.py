"""What a register means: exact markers, scale factors in registers, texts with NULs, halves,
denormal floats.

Each case was reported in public by the users of another product; docs/guarantees.md names the
sources.
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import pytest

from connectors.modbus.codec import BlockDecoder
from connectors.modbus.denormal import other_readings
from connectors.modbus.frame import ReadRequest
from connectors.modbus.options import ModbusDevice, ModbusTag
from connectors.modbus.point import resolve
from connectors.modbus.reader import ModbusTableReader
from connectors.modbus.unit import Unit
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.model import STATUS, Batch, Tag, TagTable
from edge_agent.normalise import Normaliser
from edge_agent.sdk import shortest_single
from tests.support.modbus_wire import encode
from tests.support.sites import write

UNCERTAIN, SENSOR = STATUS["Uncertain"], STATUS["BadSensorFailure"]
DEVICE = ModbusDevice(url="tcp://h")


def read(tags: dict[str, dict[str, object]], registers: dict[int, int], **device: object) -> Batch:
    """One read of these tags over these registers, normalised: all that is between the answer and
    the payload."""
    options = ModbusDevice(url="tcp://h", **device)  # type: ignore[arg-type]
    compiled = []
    for name, keys in tags.items():
        common = {
            key: keys[key]
            for key in keys.keys() & {"sentinels", "scale_exponent_from", "scale", "kind"}
        }
        own = {key: value for key, value in keys.items() if key not in common}
        kind = str(common.pop("kind", "int"))
        compiled.append(Tag(name, kind, ModbusTag(**own), **common))  # type: ignore[arg-type]
    table = TagTable("d", 1.0, tuple(compiled))
    reader = ModbusTableReader(table, Unit("d", options))
    wave = reader.first()
    while wave:
        wave = reader.next([answer(request, registers) for request in wave])
    batch = reader.finish(1)
    Normaliser(table).apply(batch)
    return batch


def answer(request: ReadRequest, registers: dict[int, int]) -> bytes:
    addresses = range(request.address, request.address + request.count)
    return b"".join(struct.pack(">H", registers.get(address, 0)) for address in addresses)


# --- markers of "no value" (evcc `uint64nan`, fronius_modbus #109, sunspec-monitor #16) -----------


def test_the_marker_of_a_64_bit_counter_is_compared_exactly() -> None:
    tag = {"address": "holding/10", "type": "uint64", "sentinels": (18446744073709551615,)}
    batch = read({"energy": tag}, dict.fromkeys(range(10, 14), 0xFFFF))
    assert (batch.values, batch.status) == ([None], {0: SENSOR})


@pytest.mark.parametrize(("value", "bad"), [(9007199254740993, False), (9007199254740992, True)])
def test_a_neighbour_of_a_marker_beyond_what_floats_tell_apart_is_a_value(
    value: int, bad: bool
) -> None:
    registers = dict(enumerate(struct.unpack(">4H", struct.pack(">Q", value))))
    tag = {"address": "holding/0", "type": "uint64", "sentinels": (9007199254740992,)}
    batch = read({"x": tag}, registers)
    assert batch.values == [None if bad else value]


@pytest.mark.parametrize("marker", ["18446744073709551615", "0xFFFFFFFFFFFFFFFF"])
def test_a_marker_in_the_file_stays_an_integer(tmp_path: Path, marker: str) -> None:
    path = write(
        tmp_path,
        f"""
        devices:
          - id: d
            connector: modbus
            url: tcp://127.0.0.1
            tags: {{x: {{address: holding/0, type: uint64, sentinels: [{marker}]}}}}
        """,
    )
    (tag,) = plans(load(path))[0].tables[0].tags
    assert tag.sentinels == (2**64 - 1,)
    assert type(tag.sentinels[0]) is int


def test_an_array_with_a_marker_in_it_is_no_value() -> None:
    tag = {
        "address": "holding/0",
        "type": "int16",
        "count": 3,
        "sentinels": (-32768,),
        "kind": "array",
    }
    batch = read({"x": tag}, {0: 1, 1: 0x8000, 2: 3})
    assert (batch.values, batch.status) == ([None], {0: SENSOR})


# --- scale factors in registers (evcc #2162 #15445, SunSpec 101-104, 160) -------------------------

POWER = {
    "power": {
        "address": "holding/100",
        "type": "int16",
        "scale_exponent_from": "power_sf",
        "sentinels": (-32768,),
    },
    "power_sf": {"address": "holding/101", "type": "int16"},
}


@pytest.mark.parametrize(
    ("raw", "power_of_ten", "value"),
    [
        (390, 0, 390.0),
        (3900, -1, 390.0),
        (39, 1, 390.0),
        (1527, -3, 1.527),
        (3, 10, 3e10),
        (-5, -10, -5e-10),
    ],
)
def test_a_scale_factor_in_a_register(raw: int, power_of_ten: int, value: float) -> None:
    batch = read(POWER, {100: raw & 0xFFFF, 101: power_of_ten & 0xFFFF})
    assert batch.values[0] == value
    assert not batch.status


@pytest.mark.parametrize("factor", [0x8000, 11, -11 & 0xFFFF])
def test_a_scale_factor_that_is_not_implemented_gives_no_value(factor: int) -> None:
    batch = read(POWER, {100: 390, 101: factor})
    assert batch.values[0] is None
    assert batch.status == {0: SENSOR}


def test_the_marker_is_looked_for_before_scaling_and_not_after() -> None:
    assert read(POWER, {100: 0x8000, 101: 0}).values[0] is None
    scaled_onto_it = dict(POWER, power={**POWER["power"], "sentinels": (390,)})
    assert read(scaled_onto_it, {100: 3900, 101: 0xFFFF}).values[0] == 390.0


def test_a_value_and_its_scale_factor_come_with_one_request() -> None:
    """In two requests they could belong to two moments, whatever `max_gap` says."""
    tags = {
        "power": {"address": "holding/100", "type": "int16", "scale_exponent_from": "sf"},
        "other": {"address": "holding/110", "type": "int16"},
        "sf": {"address": "holding/120", "type": "int16"},
    }
    compiled = [
        Tag(name, "int", ModbusTag(address=str(keys["address"]), type="int16"),
            scale_exponent_from=keys.get("scale_exponent_from"))
        for name, keys in tags.items()
    ]  # fmt: skip
    table = TagTable("d", 1.0, tuple(compiled))
    options = ModbusDevice(url="tcp://h", max_gap=0)
    reader = ModbusTableReader(table, Unit("d", options))
    requests = [(request.address, request.count) for request in reader.first()]
    assert (100, 21) in requests


def test_a_scale_factor_out_of_reach_of_one_request_is_refused(tmp_path: Path) -> None:
    from edge_agent.errors import ConfigError

    path = write(
        tmp_path,
        """
        devices:
          - id: d
            connector: modbus
            url: tcp://127.0.0.1
            tags:
              power: {address: holding/0, type: int16, scale_exponent_from: sf}
              sf: {address: holding/400, type: int16}
              lost: {address: holding/1, scale_exponent_from: nothing}
              slow: {address: holding/2, scale_exponent_from: late}
              late: {address: holding/3, type: int16, every: 5s}
              scaled: {address: holding/4, scale_exponent_from: tenths}
              tenths: {address: holding/5, scale: 0.1}
        """,
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    found = "\n".join(map(str, caught.value.findings))
    for words in ("one request", "'nothing'", "'late'", "'tenths'"):
        assert words in found, found
    assert len(caught.value.findings) == 4


def test_with_parts_of_a_batch_the_last_power_of_ten_holds() -> None:
    """A subscription sends what changed: mostly the value alone."""
    tags = (
        Tag("power", "float", None, scale_exponent_from="sf"),
        Tag("sf", "int", None),
    )
    table = TagTable("d", 1.0, tags)
    normaliser = Normaliser(table)
    early = Batch(table, 1, [7], columns=[0])
    normaliser.apply(early)
    assert early.status == {0: STATUS["BadWaitingForInitialData"]}
    normaliser.apply(Batch(table, 2, [-1], columns=[1]))
    later = Batch(table, 3, [70], columns=[0])
    normaliser.apply(later)
    assert (later.values, later.status) == ([7.0], {})
    normaliser.apply(Batch(table, 4, [None], {0: STATUS["BadTimeout"]}, columns=[1]))
    lost = Batch(table, 5, [70], columns=[0])
    normaliser.apply(lost)
    assert lost.values == [None]


# --- text (telegraf #14748) -----------------------------------------------------------------------


def text(data: bytes, **keys: object) -> tuple[object, int | None]:
    tag = ModbusTag(address="holding/0", type="string", length=len(data), **keys)  # type: ignore[arg-type]
    values: list[object] = [None]
    status: dict[int, int] = {}
    block = BlockDecoder(0, (len(data) + 1) // 2, [(0, resolve(tag, DEVICE))])
    block.decode(data + bytes(len(data) % 2), values, status)  # type: ignore[arg-type]
    return values[0], status.get(0)


LOW_BYTES = b"\0A\0B\0C\0D"


def test_text_in_the_low_bytes_is_no_silent_cut() -> None:
    assert text(LOW_BYTES) == ("A", UNCERTAIN)
    assert text(LOW_BYTES, nul="skip") == ("ABCD", None)
    assert text(LOW_BYTES, encoding="utf-16-be") == ("ABCD", None)
    assert text(LOW_BYTES, nul="end") == ("A", None)
    assert text(b"A\0B\0C\0D\0", nul="skip") == ("ABCD", None)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"ABC\0\0\0", "ABC"), (b"\0\0ABC", "ABC"), (b"ABC   ", "ABC"), (b"ABC \0\0", "ABC"), (bytes(6), ""),
        (b"ABC\0\xff\xff", "ABC"), (b"ABC\0  ", "ABC"), (b"      ", ""),
    ],
)  # fmt: skip
def test_padding_is_no_text(data: bytes, expected: str) -> None:
    assert text(data) == (expected, None)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "gbk", "utf-16-be", "utf-16-le"])
def test_text_behind_a_nul_is_told_in_every_encoding(encoding: str) -> None:
    data = "AB\0CD".encode(encoding)
    assert text(data, encoding=encoding) == ("AB", UNCERTAIN)
    assert text(data, encoding=encoding, nul="end") == ("AB", None)
    assert text(data, encoding=encoding, nul="skip") == ("ABCD", None)


# --- halves of registers (telegraf #15909 #10269 #18824) ------------------------------------------


def test_the_halves_of_a_register() -> None:
    tags = {
        "low": {"address": "holding/7", "type": "uint8", "byte": "low"},
        "high": {"address": "holding/7", "type": "uint8", "byte": "high"},
        "signed": {"address": "holding/8", "type": "int8", "byte": "high"},
        "whole": {"address": "holding/7", "type": "uint16"},
    }
    batch = read(tags, {7: 0x12FE, 8: 0xFF00})
    assert batch.values == [0xFE, 0x12, -1, 0x12FE]


@pytest.mark.parametrize(
    "keys", ["type: uint8", "type: uint16, byte: low", "type: int8, byte: high, count: 2"]
)
def test_a_half_says_which_and_nothing_else_does(tmp_path: Path, keys: str) -> None:
    from edge_agent.errors import ConfigError

    path = write(
        tmp_path,
        f"""
        devices:
          - {{id: d, connector: modbus, url: tcp://127.0.0.1, tags: {{x: {{address: holding/0, {keys}}}}}}}
        """,
    )
    with pytest.raises(ConfigError, match="byte"):
        load(path)


# --- floats in the wrong word order ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "configured"), [("CDAB", "ABCD"), ("ABCD", "CDAB"), ("DCBA", "BADC")]
)
def test_a_denormal_float_is_uncertain_and_names_the_order_that_reads(
    wire: str, configured: str, caplog: pytest.LogCaptureFixture
) -> None:
    # 43 66 00 00: its low register is empty, as that of many readings
    data = encode(230.0, "float32", wire)
    registers = dict(enumerate(struct.unpack(">2H", data)))
    tag = {"address": "holding/0", "type": "float32", "word_order": configured, "kind": "float"}
    with caplog.at_level(logging.WARNING):
        batch = read({"x": tag}, registers)
    assert batch.status == {0: UNCERTAIN}
    assert isinstance(batch.values[0], float)
    assert f"word_order {wire} would read 230" in caplog.text


@pytest.mark.parametrize("value", [0.0, -0.0, 2.0**-126, -(2.0**-126), 1.5, 2.0**126])
def test_zero_and_every_normal_float_are_good(value: float) -> None:
    registers = dict(enumerate(struct.unpack(">2H", struct.pack(">f", value))))
    batch = read({"x": {"address": "holding/0", "type": "float32", "kind": "float"}}, registers)
    assert (batch.values, batch.status) == ([shortest_single(value)], {})


def test_a_denormal_among_zeros_and_other_types_is_found() -> None:
    tags: dict[str, dict[str, object]] = {
        f"zero{n}": {"address": f"holding/{2 * n}", "type": "float32", "kind": "float"}
        for n in range(5)
    }
    tags["count"] = {"address": "holding/10", "type": "uint32"}
    tags["odd"] = {"address": "holding/13", "type": "float32", "kind": "float"}
    tags["double"] = {"address": "holding/20", "type": "float64", "kind": "float"}
    batch = read(tags, {14: 0x4366, 23: 1})
    assert batch.status == {6: UNCERTAIN, 7: UNCERTAIN}


def test_a_denormal_in_an_array_makes_it_uncertain_and_names_the_order_that_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = b"".join(encode(number, "float32", "CDAB") for number in (0.0, 230.0, 1.5))
    registers = dict(enumerate(struct.unpack(">6H", data)))
    for order, status in (("ABCD", {0: UNCERTAIN}), ("CDAB", {})):
        tag = {"address": "holding/0", "type": "float32", "count": 3, "word_order": order}
        with caplog.at_level(logging.WARNING):
            batch = read({"x": tag}, registers)
        assert batch.status == status
        assert isinstance(batch.values[0], list)
    assert batch.values == [[0.0, 230.0, 1.5]]
    assert caplog.text.count("word_order CDAB would read 230") == 1


def test_the_hint_gives_what_was_on_the_wire() -> None:
    point = resolve(ModbusTag(address="holding/0", type="float32"), DEVICE)
    (value,) = struct.unpack(">f", encode(1526.0, "float32", "CDAB"))
    assert ("CDAB", 1526.0) in other_readings(value, point)
