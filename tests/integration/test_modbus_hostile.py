"""Devices that answer wrongly, late, in pieces or not at all: never a wrong value as good, and
sound again after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from connectors.modbus.framing import crc16
from edge_agent.model import is_bad, status_name
from edge_agent.sdk import DeviceError
from tests.support.aio import run, until
from tests.support.modbus_wire import (
    CLIENTS,
    Device,
    connection,
    make_plan,
    make_table,
    mbap,
    once,
    sound,
    speak,
    tcp_device,
)


@pytest.fixture(autouse=True, params=CLIENTS)
def client(request, monkeypatch, caplog):
    yield speak(request.param, monkeypatch)
    noise = [
        record
        for record in caplog.get_records("call")
        if record.name.startswith(("pymodbus", "asyncio"))
    ]
    assert not noise, (
        "what a device does wrong is an error of ours, and nobody else's line in the log"
    )


TAGS = {f"r{n}": {"address": f"holding/{n}"} for n in range(4)}
TRUTH = [0x1110, 0x2221, 0x3332, 0x4443]
LIE = bytes.fromhex("DEAD" * 4)
GOOD = bytes([3, 8]) + b"".join(v.to_bytes(2, "big") for v in TRUTH)

#: What comes for the request (transaction id, unit): every register in these answers is wrong or
#: belongs elsewhere.
WRONG: dict[str, Callable[[int, int], bytes]] = {
    "transaction-id-0": lambda t, u: mbap(0, u, bytes([3, 8]) + LIE),
    "foreign-transaction-id": lambda t, u: mbap(t + 1, u, bytes([3, 8]) + LIE),
    "transaction-id-byte-swapped": lambda t, u: mbap(t << 8 | 1, u, bytes([3, 8]) + LIE),
    "another-unit": lambda t, u: mbap(t, u + 1, bytes([3, 8]) + LIE),
    "unit-0": lambda t, u: mbap(t, 0, bytes([3, 8]) + LIE),
    "another-function": lambda t, u: mbap(t, u, bytes([4, 8]) + LIE),
    "function-of-a-write": lambda t, u: mbap(t, u, bytes([16, 0, 0, 0, 4])),
    "exception-of-another-function": lambda t, u: mbap(t, u, bytes([0x84, 2])),
    "three-registers-for-four": lambda t, u: mbap(t, u, bytes([3, 6]) + LIE[:6]),
    "seven-registers-for-four": lambda t, u: mbap(t, u, bytes([3, 14]) + LIE + LIE[:6]),
    "odd-byte-count": lambda t, u: mbap(t, u, bytes([3, 7]) + LIE[:7]),
    "byte-count-too-small": lambda t, u: mbap(t, u, bytes([3, 6]) + LIE),
    "byte-count-too-large": lambda t, u: mbap(t, u, bytes([3, 10]) + LIE),
    "byte-count-0": lambda t, u: mbap(t, u, bytes([3, 0])),
    "truncated": lambda t, u: mbap(t, u, bytes([3, 8]) + LIE)[:-3],
    "header-only": lambda t, u: mbap(t, u, b"", length=11),
    "length-0": lambda t, u: mbap(t, u, bytes([3, 8]) + LIE, length=0),
    "length-1": lambda t, u: mbap(t, u, bytes([3, 8]) + LIE, length=1),
    "length-one-short": lambda t, u: mbap(t, u, bytes([3, 8]) + LIE, length=10),
    "length-one-long": lambda t, u: mbap(t, u, bytes([3, 8]) + LIE, length=12),
    "huge-length": lambda t, u: mbap(t, u, bytes([3, 8]) + LIE, length=0xFFFF),
    "protocol-id-1": lambda t, u: mbap(t, u, bytes([3, 8]) + LIE, protocol=1),
    "protocol-id-0xffff": lambda t, u: mbap(t, u, bytes([3, 8]) + LIE, protocol=0xFFFF),
    "answered-twice-with-two-values": lambda t, u: (
        mbap(t, u, GOOD) + mbap(t, u, bytes([3, 8]) + LIE)
    ),
    "answer-and-a-stranger": lambda t, u: mbap(t, u, GOOD) + mbap(t + 7, u, bytes([3, 8]) + LIE),
    "a-stranger-and-the-answer": lambda t, u: (
        mbap(t + 7, u, bytes([3, 8]) + LIE) + mbap(t, u, GOOD)
    ),
    "the-next-transaction-id-first": lambda t, u: mbap(t + 1, u, bytes([3, 8]) + LIE) * 3,
    "noise-in-a-frame": lambda t, u: mbap(t, 0xC0, b"\x60\x60\x00"),
    "garbage": lambda t, u: b"\xff" * 64,
    "garbage-before-the-answer": lambda t, u: b"\0" + mbap(t, u, GOOD),
    "text": lambda t, u: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "an-rtu-frame": lambda t, u: bytes([u]) + GOOD + crc16(bytes([u]) + GOOD).to_bytes(2, "little"),
    "the-request-echoed": lambda t, u: mbap(t, u, bytes([3, 0, 0, 0, 4])),
    "nothing": lambda t, u: b"",
}


def device() -> Device:
    return Device(dict(enumerate(TRUTH)))


#: Where a whole frame came: it costs its own request at most, and the connection stays.
KEPT = {
    "transaction-id-0": "BadTimeout",
    "foreign-transaction-id": "BadTimeout",
    "transaction-id-byte-swapped": "BadTimeout",
    "another-unit": "BadCommunicationError",
    "unit-0": "BadCommunicationError",
    "another-function": "BadCommunicationError",
    "function-of-a-write": "BadCommunicationError",
    "exception-of-another-function": "BadCommunicationError",
    "three-registers-for-four": "BadDecodingError",
    "seven-registers-for-four": "BadDecodingError",
    "odd-byte-count": "BadDecodingError",
    "byte-count-too-small": "BadDecodingError",
    "byte-count-too-large": "BadDecodingError",
    "byte-count-0": "BadDecodingError",
    "the-request-echoed": "BadDecodingError",
    "nothing": "BadTimeout",
    "noise-in-a-frame": "BadCommunicationError",
    "the-next-transaction-id-first": "BadTimeout",
}

#: The right answer is there, with something beside it.
RIGHT = {"answered-twice-with-two-values", "answer-and-a-stranger", "a-stranger-and-the-answer"}

#: What is no frame, or only a part of one, ends the connection, and the poll is asked once more at
#: once.
ASKED_AGAIN = {
    "length-0",
    "length-1",
    "huge-length",
    "protocol-id-1",
    "protocol-id-0xffff",
    "garbage",
    "text",
    "an-rtu-frame",
    "garbage-before-the-answer",
    "truncated",
    "header-only",
    "length-one-long",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_answer_is_no_value_and_what_follows_is_sound(kind):
    opened = []

    async def bad(writer, tid, unit, pdu):
        writer.write(WRONG[kind](tid, unit))

    async def main():
        script = once(bad, sound(device()))

        async def counted(writer, tid, unit, pdu):
            if writer not in opened:
                opened.append(writer)
            await script(writer, tid, unit, pdu)

        async with tcp_device(counted) as url:
            plan = make_plan(url, TAGS, timeout=0.15, unit=5)
            conn = connection(plan)
            await conn.open()
            if kind in RIGHT | ASKED_AGAIN:
                assert (await conn.read(plan.tables[0])).values == TRUTH
            else:
                with pytest.raises(DeviceError) as caught:
                    await conn.read(plan.tables[0])
                if kind in KEPT:
                    assert (status_name(caught.value.status), caught.value.lost) == (
                        KEPT[kind],
                        False,
                    )
                assert is_bad(caught.value.status)
            for _ in range(3):
                batch = await conn.read(plan.tables[0])
                assert (batch.values, batch.status) == (TRUTH, {})
            assert len(opened) == (1 if kind in KEPT or kind in RIGHT else 2)
            await conn.close()

    run(main())


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 7, 8, 0x63, 0xFF, 0])
def test_an_exception_makes_its_tags_bad_and_keeps_the_connection(code):
    async def refuse(writer, tid, unit, pdu):
        if pdu[0] == 3:
            writer.write(mbap(tid, unit, bytes([0x83, code])))
        else:
            await sound(device())(writer, tid, unit, pdu)

    async def main():
        async with tcp_device(refuse) as url:
            plan = make_plan(
                url, {"a": {"address": "holding/0"}, "b": {"address": "input/1"}}, timeout=5
            )
            conn = connection(plan)
            await conn.open()
            for _ in range(3):
                batch = await conn.read(plan.tables[0])
                assert batch.values == [None, TRUTH[1]]
                expected = "BadConfigurationError" if code in (1, 2, 3) else "BadDeviceFailure"
                assert {n: status_name(c) for n, c in batch.status.items()} == {0: expected}
            await conn.close()

    run(main())


def test_an_answer_in_pieces_is_one_answer():
    async def pieces(writer, tid, unit, pdu):
        for byte in mbap(tid, unit, device().answer(pdu)):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)  # lets the reader poll between two bytes

    async def main():
        async with tcp_device(pieces) as url:
            plan = make_plan(url, TAGS)
            conn = connection(plan)
            await conn.open()
            assert (await conn.read(plan.tables[0])).values == TRUTH
            await conn.close()

    run(main())


def test_a_late_answer_is_never_taken_for_the_next_one():
    """The device keeps the first answer back and sends it when it is asked again, before the right
    one."""
    late: list[bytes] = []

    async def script(writer, tid, unit, pdu):
        if not late:
            late.append(mbap(tid, unit, bytes([3, 8]) + LIE))
            return
        writer.write(late[0] + mbap(tid, unit, device().answer(pdu)))
        late[0] = b""

    async def main():
        async with tcp_device(script) as url:
            plan = make_plan(url, TAGS, timeout=0.1)
            conn = connection(plan)
            seen = []
            for _ in range(3):
                await conn.close()
                await conn.open()
                try:
                    seen.append((await conn.read(plan.tables[0])).values)
                except DeviceError as error:
                    assert is_bad(error.status)  # noqa: PT017
            assert seen
            assert all(values == TRUTH for values in seen)
            await conn.close()

    run(main())


def test_a_drip_of_bytes_does_not_extend_the_timeout():
    async def drip(writer, tid, unit, pdu):
        while not writer.is_closing():
            writer.write(mbap(tid, unit, GOOD)[:1])
            await asyncio.sleep(0.02)  # poll interval of a device that sends something all the time

    async def main():
        async with tcp_device(drip) as url:
            plan = make_plan(url, TAGS, timeout=0.1)
            conn = connection(plan)
            await conn.open()
            with pytest.raises(DeviceError):
                await conn.read(plan.tables[0])
            await conn.close()

    run(main())


def test_frames_that_come_unasked_are_nobodys_and_the_connection_stays():
    opened = []

    async def chatty(writer, tid, unit, pdu):
        if writer not in opened:
            opened.append(writer)
        writer.write(mbap(tid, unit, GOOD))
        await writer.drain()
        writer.write(mbap(tid + 2, unit, bytes([3, 8]) + LIE))

    async def main():
        async with tcp_device(chatty) as url:
            plan = make_plan(url, TAGS, timeout=1)
            conn = connection(plan)
            await conn.open()
            for _ in range(4):
                assert (await conn.read(plan.tables[0])).values == TRUTH
                # lets the unasked bytes arrive: the poll interval of this loop
                await asyncio.sleep(0.01)
            assert len(opened) == 1
            await conn.close()

    run(main())


def test_bytes_that_come_unasked_and_are_no_frame_cost_the_connection_and_no_poll():
    async def chatty(writer, tid, unit, pdu):
        writer.write(mbap(tid, unit, GOOD))
        await writer.drain()
        writer.write(b"\xde\xad" * 8)

    async def main():
        async with tcp_device(chatty) as url:
            plan = make_plan(url, TAGS, timeout=1)
            conn = connection(plan)
            await conn.open()
            for _ in range(3):
                assert (await conn.read(plan.tables[0])).values == TRUTH
                # lets the unasked bytes arrive: the poll interval of this loop
                await asyncio.sleep(0.01)
            await conn.close()

    run(main())


def test_a_peer_that_closes_is_noticed_and_asked_once_more():
    async def hang_up(writer, tid, unit, pdu):
        writer.close()

    async def main():
        async with tcp_device(once(hang_up, sound(device()))) as url:
            plan = make_plan(url, TAGS, timeout=5)
            conn = connection(plan)
            await conn.open()
            assert (await conn.read(plan.tables[0])).values == TRUTH
            await conn.close()
        async with tcp_device(hang_up) as url:
            plan = make_plan(url, TAGS, timeout=5)
            conn = connection(plan)
            await conn.open()
            with pytest.raises(DeviceError) as caught:
                await conn.read(plan.tables[0])
            assert (status_name(caught.value.status), caught.value.lost) == (
                "BadNoCommunication",
                True,
            )
            await conn.close()

    run(main())


def test_nobody_listens():
    async def main():
        async with tcp_device(sound(device())) as url:
            pass
        conn = connection(make_plan(url, TAGS))
        with pytest.raises(DeviceError) as caught:
            await conn.open()
        assert caught.value.lost
        assert url in str(caught.value)
        await conn.close()
        await conn.close()

    run(main())


def test_a_missing_serial_port_is_named():
    async def main():
        conn = connection(make_plan("rtu:///dev/no-such-port", TAGS))
        with pytest.raises(DeviceError, match="no-such-port") as caught:
            await conn.open()
        assert (status_name(caught.value.status), caught.value.lost) == ("BadNotFound", True)
        await conn.close()

    run(main())


def test_a_cancelled_read_leaves_nothing_to_be_mistaken():
    asked = []

    async def silent(writer, tid, unit, pdu):
        asked.append(pdu)

    async def main():
        async with tcp_device(once(silent, sound(device()))) as url:
            plan = make_plan(url, TAGS, timeout=30)
            conn = connection(plan)
            await conn.open()
            task = asyncio.create_task(conn.read(plan.tables[0]))
            await until(lambda: asked)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await conn.close()
            await conn.open()
            assert (await conn.read(plan.tables[0])).values == TRUTH
            await conn.close()

    run(main())


# --- several units on one connection --------------------------------------------------------------


def test_a_silent_unit_behind_a_gateway_costs_one_timeout_and_the_others_stay_good():
    asked = []

    async def gateway(writer, tid, unit, pdu):
        asked.append(unit)
        if unit != 2:
            await sound(device())(writer, tid, unit, pdu)

    async def main():
        async with tcp_device(gateway) as url:
            plans = [make_plan(url, TAGS, f"u{unit}", unit=unit, timeout=0.1) for unit in (1, 2, 3)]
            many = {f"r{n}": {"address": f"holding/{200 * n}"} for n in range(5)}
            silent = make_table(many, "u2")
            conn = connection(*plans)
            await conn.open()
            assert (await conn.read(plans[0].tables[0])).values == TRUTH
            with pytest.raises(DeviceError) as caught:
                await conn.read(silent)
            assert (status_name(caught.value.status), caught.value.lost) == ("BadTimeout", False)
            assert asked == [1, 2]
            assert (await conn.read(plans[2].tables[0])).values == TRUTH
            await conn.close()

    run(main())


@pytest.mark.parametrize("code", [0x0A, 0x0B])
def test_a_gateway_that_reports_a_silent_unit_keeps_the_connection(code):
    asked = []

    async def gateway(writer, tid, unit, pdu):
        asked.append(unit)
        if unit == 2:
            writer.write(mbap(tid, unit, bytes([pdu[0] | 0x80, code])))
        else:
            await sound(device())(writer, tid, unit, pdu)

    async def main():
        async with tcp_device(gateway) as url:
            plans = [make_plan(url, TAGS, f"u{unit}", unit=unit, timeout=5) for unit in (1, 2)]
            many = make_table({f"r{n}": {"address": f"holding/{200 * n}"} for n in range(5)}, "u2")
            conn = connection(*plans)
            await conn.open()
            with pytest.raises(DeviceError) as caught:
                await conn.read(many)
            assert (status_name(caught.value.status), caught.value.lost) == (
                "BadNoCommunication",
                False,
            )
            assert asked == [2]
            assert (await conn.read(plans[0].tables[0])).values == TRUTH
            await conn.close()

    run(main())


# --- RTU over TCP ---------------------------------------------------------------------------------


def rtu_frame(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


async def serve_rtu(script) -> asyncio.Server:
    async def serve(reader, writer):
        try:
            while True:
                request = await reader.readexactly(8)
                writer.write(script(request[0], request[1:6]))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda u: bytes([u]) + GOOD + b"\0\0", id="check-sum"),
        pytest.param(lambda u: rtu_frame(bytes([u, 3, 6]) + LIE[:6]), id="fewer-registers"),
        pytest.param(lambda u: rtu_frame(bytes([u, 4, 8]) + LIE), id="another-function"),
        pytest.param(lambda u: rtu_frame(bytes([u + 1, 3, 8]) + LIE), id="another-unit"),
        pytest.param(lambda u: rtu_frame(bytes([u]) + GOOD)[:-1], id="truncated"),
        pytest.param(lambda u: b"\xa5" * 40, id="garbage"),
        pytest.param(lambda u: b"", id="nothing"),
    ],
)
def test_rtu_over_tcp_wrong_once_then_sound(wrong):
    answers = []

    def script(unit, pdu):
        answers.append(unit)
        return wrong(unit) if len(answers) == 1 else rtu_frame(bytes([unit]) + device().answer(pdu))

    async def main():
        server = await serve_rtu(script)
        url = f"rtu-tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        plan = make_plan(url, TAGS, timeout=0.1, pipeline=8)
        conn = connection(plan)
        await conn.open()
        with pytest.raises(DeviceError) as caught:
            await conn.read(plan.tables[0])
        assert is_bad(caught.value.status)
        assert (await conn.read(plan.tables[0])).values == TRUTH
        await conn.close()
        server.close()
        await server.wait_closed()

    run(main())
