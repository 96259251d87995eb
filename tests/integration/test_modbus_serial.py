"""A serial line: libmodbus at its other end, pymodbus for ASCII, and devices silent, late, noisy or
unplugged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tty
from pathlib import Path

import pytest

from connectors.modbus.framing import crc16
from edge_agent.model import status_name
from edge_agent.sdk import DeviceError
from tests.support.aio import run, until
from tests.support.modbus_foreign import (
    HOLDING,
    LIBMODBUS_TAGS,
    LIBMODBUS_VALUES,
    PYMODBUS_TAGS,
    PYMODBUS_VALUES,
    pymodbus_server,
    read_once,
    running,
    serial_pair,
)
from tests.support.modbus_wire import (
    Device,
    connection,
    make_plan,
)


@contextlib.contextmanager
def rtu_server(program: Path, port: Path, unit: int):
    with running([program, "rtu", port, unit], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process


def test_libmodbus_on_a_serial_line(libmodbus_server, tmp_path):
    with serial_pair(tmp_path) as (ours, theirs, _), rtu_server(libmodbus_server, theirs, 7):

        async def main():
            plan = make_plan(f"rtu://{ours}?baudrate=19200&parity=E", LIBMODBUS_TAGS, unit=7)
            conn = connection(plan)
            for _ in range(2):
                await conn.open()
                for _ in range(3):
                    batch = await conn.read(plan.tables[0])
                    assert (batch.values, batch.status) == (LIBMODBUS_VALUES, {})
                await conn.close()

        run(main())


@contextlib.asynccontextmanager
async def serial_device(answer):
    """A device on a pty; `answer(unit, pdu)` gives the bytes to send. Yields the path of our
    end."""
    master, slave = os.openpty()
    tty.setraw(slave)
    loop = asyncio.get_running_loop()

    def serve() -> None:
        request = os.read(master, 256)
        os.write(master, answer(request[0], request[1:6]))

    loop.add_reader(master, serve)
    try:
        yield os.ttyname(slave)
    finally:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)


def rtu(unit: int, pdu: bytes) -> bytes:
    body = bytes([unit]) + pdu
    return body + crc16(body).to_bytes(2, "little")


def test_a_silent_unit_on_a_serial_bus_does_not_cost_the_port():
    device = Device({0: 42})

    async def main():
        async with serial_device(
            lambda unit, pdu: rtu(unit, device.answer(pdu)) if unit == 1 else b""
        ) as path:
            tags = {"h": {"address": "holding/0"}}
            one = make_plan(f"rtu://{path}", tags, "one", unit=1)
            two = make_plan(f"rtu://{path}", tags, "two", unit=2, timeout=0.1)
            conn = connection(one, two)
            await conn.open()
            for _ in range(3):
                with pytest.raises(DeviceError) as caught:
                    await conn.read(two.tables[0])
                assert (status_name(caught.value.status), caught.value.lost) == (
                    "BadTimeout",
                    False,
                )
                assert (await conn.read(one.tables[0])).values == [42]
            with pytest.raises(DeviceError):
                await conn.read(two.tables[0])
            with pytest.raises(DeviceError) as caught:  # the second failure in a row
                await conn.read(two.tables[0])
            assert caught.value.lost
            await conn.close()
            await conn.open()
            assert (await conn.read(one.tables[0])).values == [42]
            await conn.close()

    run(main())


def test_a_late_answer_on_a_serial_bus_is_never_taken_for_the_next_one():
    """Unit 1 answers its first request only when the bus speaks again, with what was right then."""
    held: list[bytes] = []
    truth = iter([1, 2, 3, 4, 5, 6])

    def answer(unit: int, pdu: bytes) -> bytes:
        if unit == 1 and not held:
            held.append(rtu(1, bytes([3, 2, 0xDE, 0xAD])))
            return b""
        late, held[0] = held[0], b""
        return late + rtu(unit, bytes([3, 2, 0, next(truth)]))

    async def main():
        async with serial_device(answer) as path:
            tags = {"h": {"address": "holding/0"}}
            one = make_plan(f"rtu://{path}", tags, "one", unit=1, timeout=0.1)
            two = make_plan(f"rtu://{path}", tags, "two", unit=2)
            conn = connection(one, two)
            await conn.open()
            with pytest.raises(DeviceError):
                await conn.read(one.tables[0])
            assert (await conn.read(two.tables[0])).values == [1]
            assert (await conn.read(one.tables[0])).values == [2]
            await conn.close()

    run(main())


ANSWER = rtu(1, bytes([3, 2, 0, 42]))
ECHO = rtu(1, bytes([3, 0, 0, 0, 1]))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(ECHO + ANSWER, id="f12-echo"),
        pytest.param(b"\0" + ANSWER + b"\0", id="f13-stray-zeros"),
        pytest.param(
            rtu(1, bytes([3, 0, 9, 0, 1])) + rtu(1, bytes([3, 2, 0xDE, 0xAD])) + ANSWER,
            id="another-master",
        ),
        pytest.param(
            rtu(9, bytes([3, 2, 0xDE, 0xAD])) + b"\xff" + ANSWER, id="another-unit-and-noise"
        ),
        pytest.param(ANSWER[:3] + ANSWER, id="a-beginning-twice"),
    ],
)
def test_an_answer_on_a_serial_line_is_found_among_other_bytes(line):
    async def main():
        async with serial_device(lambda unit, pdu: line) as path:
            plan = make_plan(f"rtu://{path}", {"h": {"address": "holding/0"}}, timeout=2)
            conn = connection(plan)
            await conn.open()
            for _ in range(3):
                assert (await conn.read(plan.tables[0])).values == [42]
            await conn.close()

    run(main())


def test_a_hundred_flaps_of_a_port_leave_nothing_behind():
    device = Device({0: 42})

    async def main():
        async with serial_device(lambda unit, pdu: rtu(unit, device.answer(pdu))) as path:
            plan = make_plan(f"rtu://{path}", {"h": {"address": "holding/0"}})
            conn = connection(plan)
            await conn.open()
            await conn.close()
            before = os.listdir("/proc/self/fd")
            for n in range(100):
                await conn.open()
                if n % 2:
                    assert (await conn.read(plan.tables[0])).values == [42]
                await conn.close()
            assert len(os.listdir("/proc/self/fd")) == len(before)

    run(main())


def test_a_cancelled_read_on_a_serial_bus_leaves_nothing_to_be_mistaken():
    asked = []

    def answer(unit: int, pdu: bytes) -> bytes:
        asked.append(unit)
        return b"" if len(asked) == 1 else rtu(unit, bytes([3, 2, 0, 42]))

    async def main():
        async with serial_device(answer) as path:
            plan = make_plan(f"rtu://{path}", {"h": {"address": "holding/0"}}, timeout=0.2)
            conn = connection(plan)
            await conn.open()
            task = asyncio.create_task(conn.read(plan.tables[0]))
            await until(lambda: asked)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await conn.read(plan.tables[0])).values == [42]
            await conn.close()

    run(main())


def test_opening_may_be_cancelled_at_any_step():
    async def main():
        async with serial_device(lambda unit, pdu: b"") as path:
            conn = connection(make_plan(f"rtu://{path}", {"h": {"address": "holding/0"}}))
            before = os.listdir("/proc/self/fd")
            for steps in range(4):
                task = asyncio.create_task(conn.open())
                for _ in range(steps):
                    await asyncio.sleep(0)  # one step of the task: no poll, and nothing to wait for
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await conn.close()
                assert len(os.listdir("/proc/self/fd")) == len(before)

    run(main())


def test_what_was_answered_before_a_bus_failed_stays_good():
    device = Device({0: 7, 900: 9})

    def answer(unit: int, pdu: bytes) -> bytes:
        return b"" if pdu[1:3] == (900).to_bytes(2, "big") else rtu(unit, device.answer(pdu))

    async def main():
        async with serial_device(answer) as path:
            plan = make_plan(
                f"rtu://{path}",
                {"a": {"address": "holding/0"}, "b": {"address": "holding/900"}},
                timeout=0.1,
            )
            conn = connection(plan)
            await conn.open()
            batch = await conn.read(plan.tables[0])
            assert batch.values == [7, None]
            assert {n: status_name(c) for n, c in batch.status.items()} == {1: "BadTimeout"}
            await conn.close()

    run(main())


def test_noise_on_a_serial_line(libmodbus_server, tmp_path):
    with serial_pair(tmp_path) as (ours, theirs, _), rtu_server(libmodbus_server, theirs, 7):

        async def main():
            plan = make_plan(f"rtu://{ours}", LIBMODBUS_TAGS, unit=7, timeout=0.3)
            conn = connection(plan)
            await conn.open()
            good = 0
            with theirs.open("wb", buffering=0) as line:
                for n in range(12):
                    line.write(bytes([0xFF, n, 7, 3, 0]) if n < 6 else b"")
                    try:
                        batch = await conn.read(plan.tables[0])
                    except DeviceError as error:
                        if error.lost:
                            await conn.close()
                            await conn.open()
                        continue
                    assert all(
                        v == t
                        for v, t in zip(batch.values, LIBMODBUS_VALUES, strict=True)
                        if v is not None
                    )
                    good += not batch.status
            assert good >= 4
            await conn.close()

        run(main())


def test_a_serial_line_unplugged_and_plugged_in_again(libmodbus_server, tmp_path):
    async def broken(conn, plan):
        with pytest.raises(DeviceError) as caught:
            await conn.read(plan.tables[0])
        assert caught.value.lost

    async def main():
        plan = make_plan(
            f"rtu://{tmp_path}/ours", {"h": {"address": "holding/3"}}, unit=7, timeout=1
        )
        conn = connection(plan)
        for _ in range(2):
            async with contextlib.AsyncExitStack() as stack:
                # Started apart, for the waiters in these helpers run loops of their own.
                entered = await asyncio.to_thread(stack.enter_context, serial_pair(tmp_path))
                await asyncio.to_thread(
                    stack.enter_context, rtu_server(libmodbus_server, entered[1], 7)
                )
                await conn.open()
                assert (await conn.read(plan.tables[0])).values == [HOLDING[3]]
                entered[2].kill()
                entered[2].wait()
                await broken(conn, plan)
                await conn.close()
        with pytest.raises(DeviceError):
            await conn.open()
        await conn.close()

    run(main())


def test_pymodbus_ascii_on_a_serial_line(tmp_path):
    from pymodbus import FramerType

    with serial_pair(tmp_path) as (ours, theirs, _):

        async def main():
            async with pymodbus_server(
                "Serial", framer=FramerType.ASCII, port=str(theirs), baudrate=19200
            ):
                url = f"ascii://{ours}?baudrate=19200&bytesize=8&parity=N"
                batch = await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5))
                assert (batch.values, batch.status) == (PYMODBUS_VALUES, {})

        run(main())


def test_a_port_in_use_is_said_so(tmp_path):
    with serial_pair(tmp_path) as (ours, _, _):

        async def main():
            first = connection(make_plan(f"rtu://{ours}", PYMODBUS_TAGS))
            second = connection(make_plan(f"rtu://{ours}?baudrate=9600", PYMODBUS_TAGS))
            await first.open()
            with pytest.raises(DeviceError, match="Another program uses the serial port"):
                await second.open()
            await first.close()
            await second.open()
            await second.close()

        run(main())
