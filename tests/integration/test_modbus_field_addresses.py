"""Holes, wrong addresses and short answers of Modbus devices as users reported them, each as a
small server in bytes.

A test is named after its case.
"""

from __future__ import annotations

import itertools
import struct

import pytest

from connectors.modbus import reader
from tests.support.aio import run, until
from tests.support.modbus_field import (
    Polled,
    asked,
    listening,
    logged,
    plan,
    poll,
    question,
    same,
    tcp,
)
from tests.support.modbus_wire import CLIENTS, speak

#: Seconds. A machine that is busy for longer makes a request fail that is answered at once. Silence
#: has to be waited for often, a hang-up but once: while nothing was ever heard, the other framing
#: is tried.
TIMEOUT = {"silent": 0.15, "hangs-up": 0.5}


@pytest.fixture(autouse=True, params=CLIENTS)
def client(request, monkeypatch):
    return speak(request.param, monkeypatch)


def existing(pdu: bytes, *ranges: range) -> bool:
    _, address, count = asked(pdu)
    return any(address in span and address + count - 1 in span for span in ranges)


def partly_mapped(how: str, *ranges: range):
    """A device that hangs up or is silent when a request touches a register outside these."""

    async def serve(reader, writer):
        while True:
            tid, unit, pdu = await question(reader)
            if existing(pdu, *ranges):
                writer.write(tcp(tid, unit, same(pdu)))
            elif how == "hangs-up":
                return

    return serve


@pytest.mark.parametrize(
    ("how", "tags"),
    [
        ("hangs-up", ["holding/2", "holding/12"]),
        ("silent", ["holding/0 int32", "holding/2", "holding/10 uint32", "holding/12"]),
    ],
)
def test_f05_a_hole_of_the_map_is_learned(how, tags, caplog):
    async def main():
        async with listening(partly_mapped(how, range(4), range(10, 14))) as url:
            made = await poll(9, plan(url, *tags, timeout=TIMEOUT[how]))
            bad = [n for n, batch in enumerate(made.batches["d"]) if batch.status]
            assert len(bad) <= 3
            assert not made.batches["d"][-1].status
            assert made.states["d"][-1] == "online"
            requests = made.connection.requests
            async with made.running():
                await made.until_turns(made.turns() + 4)
            assert made.connection.requests - requests <= 2 * 6, (
                "two requests a poll, no more attempts"
            )
        (line,) = logged(caplog.records, "modbus-hole")
        assert "max_gap: 0" in line

    run(main())


@pytest.mark.parametrize(
    ("how", "right", "wrong"),
    [
        ("hangs-up", "holding/2", "holding/500"),
        ("silent", "holding/500", "holding/2"),
        ("hangs-up", "holding/2", "holding/1"),
    ],
)
def test_f07_one_wrong_address_costs_the_others_nothing(how, right, wrong, caplog):
    table, address = right.split("/")
    function = {"holding": 3, "input": 4}[table]

    async def serve(reader, writer):
        while True:
            tid, unit, pdu = await question(reader)
            if asked(pdu) == (function, int(address), 1):
                writer.write(tcp(tid, unit, same(pdu)))
            elif how == "hangs-up":
                return

    async def main():
        async with listening(serve) as url:
            made = await poll(14, plan(url, right, wrong, timeout=TIMEOUT[how]))
            good = [
                batch.table.names.index(right) not in batch.status for batch in made.batches["d"]
            ]
            assert all(good[6:])
            assert not made.good(wrong)
            assert made.states["d"][-1] == "degraded BadConfigurationError"
        (line,) = logged(caplog.records, "modbus-costly")
        assert "or is silent when it is asked for this address" in line, (
            "why it is asked seldom, not the last failure"
        )

    run(main())


def test_f07_a_wrong_address_is_tried_again_and_comes_back(monkeypatch):
    monkeypatch.setattr(reader, "PROBE_S", 0.3)
    ranges = [range(4)]

    async def serve(reader, writer):
        await partly_mapped("hangs-up", *ranges)(reader, writer)

    async def main():
        async with listening(serve) as url:
            made = Polled(plan(url, "holding/2", "holding/500", timeout=0.1))
            async with made.running():
                await until(lambda: made.reasons("holding/500") >= {"BadConfigurationError"})
                ranges.append(range(500, 501))
                await until(lambda: made.good("holding/500"))
            assert made.good("holding/500")[0] == 500

    run(main())


@pytest.mark.parametrize("answers", [bytes([1, 1, 0x5A]), bytes([1])])
def test_f18_a_malformed_answer_costs_its_own_request(answers):
    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        while True:
            tid, unit, pdu = await question(reader)
            writer.write(tcp(tid, unit, answers if pdu[0] == 1 else same(pdu)))

    async def main():
        async with listening(serve) as url:
            made = await poll(10, plan(url, "holding/7", "coil/0 count 12", "input/9"))
            assert made.good("holding/7") == [7] * len(made.batches["d"])
            assert made.good("input/9") == [9] * len(made.batches["d"])
            assert made.reasons("coil/0") == {"BadDecodingError"}
            name = "modbus_wrong_length" if len(answers) > 1 else "modbus_short_answer"
            assert made.devices["d"].health.cause.name == name
            assert not made.good("coil/0")
            assert made.states["d"][-1] == "degraded BadDecodingError"
            assert len(opened) == 1

    run(main())


def test_f37_noise_in_place_of_a_frame():
    opened, count = [], itertools.count(1)

    async def serve(reader, writer):
        opened.append(writer)
        while True:
            tid, unit, pdu = await question(reader)
            noise = tid + bytes.fromhex("0000 0004 C0 60 60 00")
            writer.write(noise if next(count) % 4 == 0 else tcp(tid, unit, same(pdu)))

    async def main():
        async with listening(serve) as url:
            made = await poll(21, plan(url, "holding/7"))
            assert len(made.good("holding/7")) >= 15
            assert set(made.good("holding/7")) == {7}
            assert len(opened) == 1

    run(main())


class Meter:
    """A device that gives at most so many registers in one request, and says so in one way or
    another."""

    def __init__(self, most: int, how: str) -> None:
        self.registers: dict[int, int] = {}
        self.most = most
        self.how = how
        self.asked = 0

    async def serve(self, reader, writer):
        while True:
            tid, unit, pdu = await question(reader)
            function, address, count = asked(pdu)
            self.asked += 1
            if count > self.most and self.how == "refuses":
                writer.write(tcp(tid, unit, bytes([function | 0x80, 3])))
                continue
            numbers = [
                self.registers.get(a, 0) for a in range(address, address + min(count, self.most))
            ]
            data = struct.pack(f">{len(numbers)}H", *numbers)
            writer.write(tcp(tid, unit, bytes([function, len(data)]) + data))

    def hold(self, address: int, data: bytes) -> None:
        for place, (word,) in enumerate(struct.iter_unpack(">H", data)):
            self.registers[address + place] = word


@pytest.mark.parametrize(
    ("how", "word_order"),
    [
        ("refuses", "big"),
        ("gives-fewer", "little-swapped"),
        ("configured", "big"),
        ("configured", "little-swapped"),
    ],
)
def test_a_device_that_gives_fewer_registers_than_a_type_needs(how, word_order, caplog):
    meter = Meter(1, "refuses" if how == "configured" else how)
    flip = -1 if word_order == "little-swapped" else 1
    for address, data in (
        (4, struct.pack(">f", 12.5)),
        (8, struct.pack(">Q", 0x0001_0002_0003_0004)),
    ):
        words = [data[n : n + 2] for n in range(0, len(data), 2)]
        meter.hold(address, b"".join(words[::flip]))
    meter.hold(20, b"\0\x2a")

    async def main():
        async with listening(meter.serve) as url:
            options = {"max_registers": 1} if how == "configured" else {}
            tags = ("holding/4 float32", "holding/8 uint64", "holding/20")
            made = Polled(plan(url, *tags, word_order=word_order, **options))
            async with made.running():
                await until(lambda: made.batches["d"] and not made.batches["d"][-1].status)
                last = made.batches["d"][-1]
                assert last.values == [12.5, 0x0001_0002_0003_0004, 42]
                asked_before, turns = meter.asked, made.turns()
                await made.until_turns(turns + 4)
            assert not made.batches["d"][-1].status
            assert (meter.asked - asked_before) <= (1 + 3 + 7) * (made.turns() - turns + 1)
        assert len(logged(caplog.records, "modbus-parts")) == (0 if how == "configured" else 2)

    run(main())


def test_a_number_that_changes_while_its_parts_are_read_is_never_wrong():
    """A counter that runs over from the low into the high register between any two requests."""
    counter = itertools.count(0x0001_FFF0, 3)
    truth = []

    async def serve(reader, writer):
        while True:
            tid, unit, pdu = await question(reader)
            _, address, _ = asked(pdu)
            now = next(counter)
            truth.append(now)
            writer.write(
                tcp(
                    tid, unit, bytes([3, 2]) + struct.pack(">I", now)[2 * address : 2 * address + 2]
                )
            )

    async def main():
        async with listening(serve) as url:
            made = await poll(25, plan(url, "holding/0 uint32", max_registers=1, every=0.01))
            good = made.good("holding/0")
            assert len(good) >= 15
            assert set(good) <= set(truth)
            assert made.reasons("holding/0") <= {"BadDecodingError"}

    run(main())
