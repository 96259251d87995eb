"""What users of other products reported of their Modbus devices, each as a small server in bytes.

A test is named after its case. Times are short multiples of the period.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
import time

import pytest

from connectors.modbus import reader
from edge_agent.sdk import DevicePlan
from tests.support.aio import run, until
from tests.support.modbus_field import Polled, asked, listening, logged, poll, question, rtu, same, tcp
from tests.support.modbus_wire import CLIENTS, make_plan, make_table, speak

EVERY = 0.02

#: Seconds. A machine that is busy for longer makes a request fail that is answered at once. Silence has to be waited
#: for often, a hang-up but once: while nothing was ever heard, the other framing is tried.
TIMEOUT = {"silent": 0.15, "hangs-up": 0.5}


@pytest.fixture(autouse=True, params=CLIENTS)
def client(request, monkeypatch):
    return speak(request.param, monkeypatch)


def plan(url: str, *addresses: str, every: float = EVERY, device: str = "d", **options) -> DevicePlan:
    """Tags named by what they read; an address may carry a type or a count: `holding/4 float32`, `coil/0 count 12`."""
    made = make_plan(url, {}, device, **options)
    tags = {}
    for text in addresses:
        address, *more = text.split()
        keys = {"count": int(more[1])} if more[:1] == ["count"] else {"type": more[0]} if more else {}
        tags[address] = {"address": address, **keys}
    return DevicePlan(device, made.options, (make_table(tags, device, every),))


# --- connections -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tags", [["holding/7"], ["holding/7", "holding/900", "input/3"]])
def test_f03_the_device_closes_an_idle_connection_sooner_than_the_period(tags, caplog):
    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        while True:
            async with asyncio.timeout(EVERY / 2):
                tid, unit, pdu = await question(reader)
            writer.write(tcp(tid, unit, same(pdu)))

    async def tolerant(reader, writer):
        with contextlib.suppress(TimeoutError):
            await serve(reader, writer)

    async def main():
        async with listening(tolerant) as url:
            made = await poll(13, plan(url, *tags))
            assert made.good("holding/7") == [7] * len(made.batches["d"])
            assert len(made.batches["d"]) >= 12
            assert made.states["d"] == ["online"]
            assert len(opened) > 5
        assert len(logged(caplog.records, "modbus-connection")) == 1
        assert "connection: per_request" in caplog.text
        assert not logged(caplog.records, "connection-lost")

    run(main())


def test_f03_the_close_and_the_next_request_cross_on_the_wire():
    """The connection goes at the very moment of the poll, each time: the poll is asked once more, at once."""

    async def serve(reader, writer):
        tid, unit, pdu = await question(reader)
        writer.write(tcp(tid, unit, same(pdu)))
        await question(reader)

    async def main():
        async with listening(serve) as url:
            made = await poll(12, plan(url, "holding/7", connection="persistent"))
            assert made.good("holding/7") == [7] * len(made.batches["d"])
            assert made.states["d"] == ["online"]

    run(main())


@pytest.mark.parametrize("way", ["auto", "per_request"])
@pytest.mark.parametrize("tags", [["holding/7"], ["holding/7", "holding/900", "holding/4000", "coil/3"]])
def test_s1_the_gateway_closes_after_each_complete_answer(way, tags, caplog):
    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        tid, unit, pdu = await question(reader)
        writer.write(tcp(tid, unit, same(pdu)))

    async def main():
        async with listening(serve) as url:
            made = await poll(13, plan(url, *tags, connection=way))
            assert all(len(made.good(tag)) == len(made.batches["d"]) >= 12 for tag in tags)
            assert made.states["d"] == ["online"]
            health = made.devices["d"].health
            assert health.totals["covered"] > 8 * EVERY
            # No connection is wasted: one for each request, and those it took to recognise the way of the peer.
            assert len(opened) <= len(tags) * (len(made.batches["d"]) + 1) + 2
        assert len(logged(caplog.records, "modbus-connection")) == (way == "auto")
        assert not logged(caplog.records, "connection-lost")

    run(main())


def test_s1_several_units_behind_a_gateway_that_closes():
    async def serve(reader, writer):
        tid, unit, pdu = await question(reader)
        writer.write(tcp(tid, unit, same(pdu)))

    async def main():
        async with listening(serve) as url:
            plans = [plan(url, "holding/7", "coil/1", device=f"u{unit}", unit=unit) for unit in (1, 2, 3)]
            made = await poll(10, *plans)
            for unit in ("u1", "u2", "u3"):
                assert made.states[unit] == ["online"]
                assert set(made.good("holding/7", unit)) == {7}
                assert not made.reasons("coil/1", unit)

    run(main())


def test_a_device_that_keeps_its_connection_is_asked_on_one():
    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        while True:
            tid, unit, pdu = await question(reader)
            writer.write(tcp(tid, unit, same(pdu)))

    async def main():
        async with listening(serve) as url:
            await poll(12, plan(url, "holding/7", "holding/900"))
            assert len(opened) == 1

    run(main())


def test_a_peer_that_always_hangs_up_is_offline_and_asked_with_pauses():
    asked_for = []

    async def serve(reader, writer):
        asked_for.append(await question(reader))

    async def main():
        async with listening(serve) as url:
            made = await poll(4, plan(url, "holding/7"))
            assert not made.good("holding/7")
            assert made.states["d"] == ["offline BadNoCommunication"]
            assert len(asked_for) <= 2 * made.turns() + 4, "asked once more, and not in a loop"

    run(main())


@pytest.mark.parametrize(("scheme", "tags"), [("tcp", ["holding/7", "holding/12"]), ("rtu-tcp", ["holding/7"])])
def test_f17_the_device_ignores_what_comes_soon_after_connecting(scheme, tags, caplog):
    async def serve(reader, writer):
        deaf_until = time.monotonic() + 0.2
        while True:
            if scheme == "tcp":
                tid, unit, pdu = await question(reader)
                frame = tcp(tid, unit, same(pdu))
            else:
                request = await reader.readexactly(8)
                frame = rtu(request[0], same(request[1:6]))
            if time.monotonic() > deaf_until:
                writer.write(frame)

    async def main():
        async with listening(serve, scheme) as url:
            made = Polled(plan(url, *tags, timeout=0.05))
            async with made.running():
                await until(lambda: len(made.good("holding/7")) >= 5)
            assert set(made.good("holding/7")) == {7}
            assert made.states["d"][-1] == "online"
        assert not logged(caplog.records, "modbus-hole"), "it is not the addresses"

    run(main())


def test_f17_with_the_key_for_a_pause_after_connecting_nothing_is_lost():
    async def serve(reader, writer):
        deaf_until = time.monotonic() + 0.15
        while True:
            tid, unit, pdu = await question(reader)
            if time.monotonic() > deaf_until:
                writer.write(tcp(tid, unit, same(pdu)))

    async def main():
        async with listening(serve) as url:
            made = Polled(plan(url, "holding/7", timeout=0.1, connect_delay="250ms"))
            async with made.running():
                await until(lambda: len(made.good("holding/7")) >= 4)
            assert made.states["d"] == ["online"]
            assert not made.reasons("holding/7")

    run(main())


def test_a_late_answer_costs_its_own_poll_and_not_the_connection():
    opened, count = [], itertools.count()

    async def serve(reader, writer):
        opened.append(writer)
        while True:
            tid, unit, pdu = await question(reader)
            if next(count) % 4 == 3:
                await asyncio.sleep(0.15)  # the delay that is tested
            writer.write(tcp(tid, unit, same(pdu)))

    async def main():
        async with listening(serve) as url:
            made = await poll(8, plan(url, "holding/7", timeout=0.1))
            assert len(opened) == 1
            assert set(made.good("holding/7")) == {7}
            assert len(made.good("holding/7")) >= 4

    run(main())


def test_a_silent_peer_is_given_up_in_the_end_and_asked_on_a_new_connection():
    """The first connection answers for a while and then never again, as after a lost route."""
    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        for _ in range(3) if len(opened) == 1 else itertools.count():
            tid, unit, pdu = await question(reader)
            writer.write(tcp(tid, unit, same(pdu)))
        await reader.read()

    async def main():
        async with listening(serve) as url:
            made = Polled(plan(url, "holding/7", timeout=0.1))
            async with made.running():
                await until(lambda: len(made.good("holding/7")) >= 6)
            assert len(opened) == 2

    run(main())


# --- holes and wrong addresses -----------------------------------------------------------------------------------


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
            assert made.connection.requests - requests <= 2 * 6, "two requests a poll, no more attempts"
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
            good = [batch.table.names.index(right) not in batch.status for batch in made.batches["d"]]
            assert all(good[6:])
            assert not made.good(wrong)
            assert made.states["d"][-1] == "degraded BadConfigurationError"
        assert len(logged(caplog.records, "modbus-costly")) == 1

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
    """A device that gives at most so many registers in one request, and says so in one way or another."""

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
            numbers = [self.registers.get(a, 0) for a in range(address, address + min(count, self.most))]
            data = struct.pack(f">{len(numbers)}H", *numbers)
            writer.write(tcp(tid, unit, bytes([function, len(data)]) + data))

    def hold(self, address: int, data: bytes) -> None:
        for place, (word,) in enumerate(struct.iter_unpack(">H", data)):
            self.registers[address + place] = word


@pytest.mark.parametrize(
    ("how", "word_order"),
    [("refuses", "big"), ("gives-fewer", "little-swapped"), ("configured", "big"), ("configured", "little-swapped")],
)
def test_a_device_that_gives_fewer_registers_than_a_type_needs(how, word_order, caplog):
    meter = Meter(1, "refuses" if how == "configured" else how)
    flip = -1 if word_order == "little-swapped" else 1
    for address, data in ((4, struct.pack(">f", 12.5)), (8, struct.pack(">Q", 0x0001_0002_0003_0004))):
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
            writer.write(tcp(tid, unit, bytes([3, 2]) + struct.pack(">I", now)[2 * address : 2 * address + 2]))

    async def main():
        async with listening(serve) as url:
            made = await poll(25, plan(url, "holding/0 uint32", max_registers=1, every=0.01))
            good = made.good("holding/0")
            assert len(good) >= 15
            assert set(good) <= set(truth)
            assert made.reasons("holding/0") <= {"BadDecodingError"}

    run(main())


# --- frames ------------------------------------------------------------------------------------------------------


def begin(writer: asyncio.StreamWriter, piece: bytes, begun: asyncio.Event) -> None:
    writer.write(piece)
    begun.set()


@pytest.mark.parametrize("whole", [True, False])
def test_f15_each_answer_comes_twice(whole):
    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        loop, rest, begun = asyncio.get_running_loop(), b"", asyncio.Event()
        begun.set()
        while True:
            tid, unit, pdu = await question(reader)
            frame = tcp(tid, unit, same(pdu))
            await begun.wait()  # a busy machine may ask again before the first piece is out
            writer.write(rest + frame)
            if whole:
                loop.call_later(0.03, writer.write, frame)
            else:  # in pieces, of which one comes with the next answer
                rest = frame[5:]
                begun.clear()
                loop.call_later(0.01, begin, writer, frame[:5], begun)

    async def main():
        async with listening(serve) as url:
            made = await poll(10, plan(url, "holding/7"))
            assert made.good("holding/7") == [7] * len(made.batches["d"])
            assert made.states["d"] == ["online"]
            assert len(opened) == 1

    run(main())


@pytest.mark.parametrize("answers_as", [0, 1])
def test_f28_another_unit_answers(answers_as, caplog):
    async def serve(reader, writer):
        while True:
            tid, _, pdu = await question(reader)
            writer.write(tcp(tid, answers_as, same(pdu)))

    async def main():
        async with listening(serve) as url:
            refused = await poll(3, plan(url, "holding/7", unit=5))
            assert not refused.good("holding/7")
            assert all(f"accept_unit: {answers_as}" in text for text in refused.devices["d"].health.detail)
            for accepted in (answers_as, [9, answers_as]):
                made = await poll(5, plan(url, "holding/7", "coil/3", unit=5, accept_unit=accepted))
                assert made.good("holding/7") == [7] * len(made.batches["d"])
                assert not made.reasons("coil/3")
            others = await poll(3, plan(url, "holding/7", unit=5, accept_unit=9))
            assert not others.good("holding/7")

    run(main())


async def raw_rtu(reader, writer, turn):
    """A gateway that passes RTU frames through; `turn(request, answer)` gives the pieces to send."""
    while True:
        buffer = await reader.read(8)
        if not buffer:
            return
        while len(buffer) < 8:
            buffer += await reader.readexactly(8 - len(buffer))
        good = rtu(buffer[0], buffer[1:6]) == buffer
        if not good:  # what is no request on the bus meets silence
            await reader.read()
            return
        for piece in turn(buffer, rtu(buffer[0], same(buffer[1:6]))):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.002)  # so that the pieces arrive one by one


@pytest.mark.parametrize("scheme", ["tcp", "rtu-tcp"])
def test_f29_the_other_framing_is_recognised(scheme, caplog):
    async def tcp_server(reader, writer):
        while True:
            tid, unit, pdu = await question(reader)
            writer.write(tcp(tid, unit, same(pdu)))

    async def rtu_gateway(reader, writer):
        await raw_rtu(reader, writer, lambda _, answer: [answer])

    serve = rtu_gateway if scheme == "tcp" else tcp_server

    async def main():
        async with listening(serve, scheme) as url:
            made = Polled(plan(url, "holding/7", "holding/900", "input/3", timeout=0.1, pipeline=4))
            async with made.running():
                await until(lambda: len(made.good("input/3")) >= 4)
            assert set(made.good("holding/7")) == {7}
            assert set(made.good("holding/900")) == {900}
            assert made.states["d"][-1] == "online"
            (line,) = logged(caplog.records, "modbus-framing")
            right = url.replace(scheme, {"tcp": "rtu-tcp", "rtu-tcp": "tcp"}[scheme], 1)
            assert f"url: {right}" in line

    run(main())


def test_f29_a_peer_that_never_answers_is_not_asked_in_the_other_framing_all_the_time():
    frames = []

    async def serve(reader, writer):
        while data := await reader.read(64):
            frames.append(data)

    async def main():
        async with listening(serve) as url:
            made = await poll(14, plan(url, "holding/7", timeout=0.02))
            assert made.states["d"] == ["offline BadTimeout"]
        others = [data for data in frames if data[:2] == b"\1\3"]
        assert 1 <= len(others) <= 3

    run(main())


# --- RTU: echo, noise and other masters (more of them in tests/unit/test_modbus_frame.py) ------------------------

OTHERS = {
    "f12-echo": lambda request, answer: [request, answer],
    "f12-echo-in-one-piece": lambda request, answer: [request + answer],
    "f12-echo-in-pieces": lambda request, answer: [request[:3], request[3:] + answer[:2], answer[2:]],
    "f13-zeros-around": lambda request, answer: [b"\0" + answer + b"\0"],
    "f13-zeros-apart": lambda request, answer: [b"\0", answer, b"\0"],
    "f13-noise-before": lambda request, answer: [b"\xff\xa5\x01\x03", answer],
    "f13-echo-and-noise": lambda request, answer: [b"\0" + request + b"\xff", answer + b"\xff"],
    "another-master-asks-the-same-unit": lambda request, answer: [
        rtu(1, bytes.fromhex("0300640001")), rtu(1, bytes.fromhex("0302DEAD")), answer],
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_rtu_over_tcp_finds_its_frame_among_others(kind):
    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        await raw_rtu(reader, writer, OTHERS[kind])

    async def main():
        async with listening(serve, "rtu-tcp") as url:
            made = await poll(4, plan(url, "holding/7", timeout=2.0))
            assert made.good("holding/7") == [7] * len(made.batches["d"])
            assert len(opened) == 1

    run(main())


def test_rtu_an_answer_that_came_before_the_request_is_not_its_answer():
    """What another master was told while we were silent is in the buffer when we ask."""
    stale = rtu(1, bytes.fromhex("0302DEAD"))
    tell = []

    async def serve(reader, writer):
        tell.append(writer)
        await raw_rtu(reader, writer, lambda _, answer: [answer])

    async def main():
        async with listening(serve, "rtu-tcp") as url:
            made = Polled(plan(url, "holding/7"))
            async with made.running():
                for turn in range(1, 8):
                    await made.until_turns(turn)
                    tell[0].write(stale)
            assert set(made.good("holding/7")) == {7}

    run(main())


def test_rtu_a_late_answer_is_never_taken_for_the_next_one():
    """A gateway with a queue: answers come 2.5 time-outs late, each of the same size. Never one as another's."""
    queue = []

    async def serve(reader, writer):
        loop = asyncio.get_running_loop()
        while True:
            request = await reader.readexactly(8)
            queue.append(request)
            late = 0.12 if len(queue) < 5 else 0.0
            loop.call_later(late, writer.write, rtu(request[0], same(request[1:6])))

    async def main():
        async with listening(serve, "rtu-tcp") as url:
            made = Polled(plan(url, "holding/7", "holding/500", timeout=0.05))
            async with made.running():
                await until(lambda: len(made.good("holding/500")) >= 3)
            assert set(made.good("holding/7")) <= {7}
            assert set(made.good("holding/500")) == {500}

    run(main())


def test_rtu_a_malformed_answer_costs_its_own_request():
    async def serve(reader, writer):
        await raw_rtu(reader, writer, lambda q, answer: [rtu(q[0], b"\1\1\x5a") if q[1] == 1 else answer])

    async def main():
        async with listening(serve, "rtu-tcp") as url:
            made = await poll(6, plan(url, "holding/7", "coil/0 count 12", "input/9", timeout=0.05))
            assert made.good("holding/7") == [7] * len(made.batches["d"])
            assert made.good("input/9") == [9] * len(made.batches["d"])
            assert made.reasons("coil/0") == {"BadDecodingError"}

    run(main())
