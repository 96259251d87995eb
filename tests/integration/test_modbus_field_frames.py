"""Frames that users of other products met on their Modbus lines: twice, foreign, late, in pieces,
amid noise.

A test is named after its case; each device is a small server in bytes.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.support.aio import run, until
from tests.support.modbus_field import (
    Polled,
    listening,
    logged,
    plan,
    poll,
    question,
    rtu,
    same,
    tcp,
)
from tests.support.modbus_wire import CLIENTS, speak


@pytest.fixture(autouse=True, params=CLIENTS)
def client(request, monkeypatch):
    return speak(request.param, monkeypatch)


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


@pytest.mark.parametrize("pieces", [1, 5, 9])
def test_a_frame_that_stops_midway_is_told_as_such_in_both_languages(pieces):
    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        while True:
            tid, unit, pdu = await question(reader)
            frame = tcp(tid, unit, same(pdu))
            # the poll is asked once more
            writer.write(frame if len(opened) > 2 else frame[:pieces])

    async def main():
        async with listening(serve) as url:
            made = Polled(plan(url, "holding/7", timeout=0.1))
            async with made.running():
                await until(lambda: made.good("holding/7"))
            (why,) = made.causes["d"]
            assert why.name == "modbus_unfinished"
            assert f"first {pieces} bytes" in why.en
            assert f"前 {pieces} 字节" in why.zh
            assert made.states["d"] == ["offline BadCommunicationError", "online"]
            assert set(made.good("holding/7")) == {7}

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
            assert all(
                f"accept_unit: {answers_as}" in text for text in refused.devices["d"].health.detail
            )
            for accepted in (answers_as, [9, answers_as]):
                made = await poll(5, plan(url, "holding/7", "coil/3", unit=5, accept_unit=accepted))
                assert made.good("holding/7") == [7] * len(made.batches["d"])
                assert not made.reasons("coil/3")
            others = await poll(3, plan(url, "holding/7", unit=5, accept_unit=9))
            assert not others.good("holding/7")

    run(main())


async def raw_rtu(reader, writer, turn):
    """A gateway that passes RTU frames through; `turn(request, answer)` gives the pieces to
    send."""
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
            assert set(made.states["d"]) == {"offline BadTimeout"}
        others = [data for data in frames if data[:2] == b"\1\3"]
        assert 1 <= len(others) <= 3

    run(main())


# --- RTU: echo, noise and other masters (more of them in tests/unit/test_modbus_frame.py) ---------

OTHERS = {
    "f12-echo": lambda request, answer: [request, answer],
    "f12-echo-in-one-piece": lambda request, answer: [request + answer],
    "f12-echo-in-pieces": lambda request, answer: [
        request[:3],
        request[3:] + answer[:2],
        answer[2:],
    ],
    "f13-zeros-around": lambda request, answer: [b"\0" + answer + b"\0"],
    "f13-zeros-apart": lambda request, answer: [b"\0", answer, b"\0"],
    "f13-noise-before": lambda request, answer: [b"\xff\xa5\x01\x03", answer],
    "f13-echo-and-noise": lambda request, answer: [b"\0" + request + b"\xff", answer + b"\xff"],
    "another-master-asks-the-same-unit": lambda request, answer: [
        rtu(1, bytes.fromhex("0300640001")),
        rtu(1, bytes.fromhex("0302DEAD")),
        answer,
    ],
}


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
    """A gateway with a queue: answers come 2.5 time-outs late, each of the same size. Never one as
    another's."""
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
        await raw_rtu(
            reader, writer, lambda q, answer: [rtu(q[0], b"\1\1\x5a") if q[1] == 1 else answer]
        )

    async def main():
        async with listening(serve, "rtu-tcp") as url:
            made = await poll(6, plan(url, "holding/7", "coil/0 count 12", "input/9", timeout=0.05))
            assert made.good("holding/7") == [7] * len(made.batches["d"])
            assert made.good("input/9") == [9] * len(made.batches["d"])
            assert made.reasons("coil/0") == {"BadDecodingError"}

    run(main())
