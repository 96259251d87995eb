"""Over the wire with a sound device: pipelining, pauses, holes, time stamps, many tables and
devices."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.model import status_name
from edge_agent.sdk import Clock, DeviceError, Pollable
from tests.support.aio import run
from tests.support.modbus_wire import (
    CLIENTS,
    Device,
    connection,
    make_plan,
    make_table,
    mbap,
    sound,
    speak,
    tcp_device,
)


@pytest.fixture(autouse=True, params=CLIENTS)
def client(request, monkeypatch):
    return speak(request.param, monkeypatch)


MANY = {f"r{n}": {"address": f"holding/{200 * n}"} for n in range(12)}


def device() -> Device:
    return Device({200 * n: n + 1 for n in range(12)})


def test_a_connection_is_pollable():
    assert isinstance(connection(make_plan("tcp://h", {"t": {"address": "coil/0"}})), Pollable)


def test_a_pipeline_is_filled_and_its_answers_may_come_in_any_order(client):
    if client == "pymodbus":
        pytest.skip("pymodbus has one request under way at a time")
    waiting: list[bytes] = []
    most = 0

    async def backwards(writer, tid, unit, pdu):
        nonlocal most
        waiting.append(mbap(tid, unit, device().answer(pdu)))
        most = max(most, len(waiting))
        if len(waiting) == 4:
            writer.write(b"".join(reversed(waiting)))
            waiting.clear()

    async def main():
        async with tcp_device(backwards) as url:
            plan = make_plan(url, MANY, pipeline=4, timeout=5)
            conn = connection(plan)
            await conn.open()
            for _ in range(3):
                assert (await conn.read(plan.tables[0])).values == list(range(1, 13))
            assert most == 4
            await conn.close()

    run(main())


@pytest.mark.parametrize("options", [{}, {"pause_ms": 2}])
def test_without_pipeline_one_request_is_under_way_at_a_time(options):
    under_way = most = 0

    async def alone(writer, tid, unit, pdu):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)

        def reply():
            nonlocal under_way
            under_way -= 1
            writer.write(mbap(tid, unit, device().answer(pdu)))

        asyncio.get_running_loop().call_later(0.002, reply)

    async def main():
        async with tcp_device(alone) as url:
            plan = make_plan(url, MANY, timeout=5, **options)
            conn = connection(plan)
            await conn.open()
            assert (await conn.read(plan.tables[0])).values == list(range(1, 13))
            assert (conn.requests, most) == (12, 1)
            await conn.close()

    run(main())


def test_a_pause_may_be_longer_than_the_time_out():
    """The device is asked nothing in a pause, so it cannot be late; and nothing overlaps, whatever
    the pipeline."""

    async def main():
        async with tcp_device(sound(device())) as url:
            few = {name: MANY[name] for name in ("r0", "r1", "r2")}
            plan = make_plan(url, few, timeout=0.2, pause_ms=300, pipeline=4)
            conn = connection(plan)
            await conn.open()
            assert (await conn.read(plan.tables[0])).values == [1, 2, 3]
            await conn.close()

    run(main())


def test_the_time_of_a_batch_is_the_arrival_of_its_last_answer():
    async def main():
        async with tcp_device(sound(device())) as url:
            plan = make_plan(url, MANY)
            conn = connection(plan)
            await conn.open()
            times = [Clock().time_ns()]
            for _ in range(3):
                times.append((await conn.read(plan.tables[0])).t)
            times.append(Clock().time_ns())
            assert times == sorted(times)
            assert len(set(times)) == len(times)
            await conn.close()

    run(main())


def test_a_hole_over_the_wire_is_found_once():
    async def main():
        shown = Device({n: n for n in range(100)})
        shown.holes = {40, 41}
        async with tcp_device(sound(shown)) as url:
            plan = make_plan(
                url, {f"r{n}": {"address": f"holding/{n}"} for n in range(100)}, pipeline=4
            )
            conn = connection(plan)
            await conn.open()
            requests = []
            for _ in range(4):
                before = conn.requests
                batch = await conn.read(plan.tables[0])
                requests.append(conn.requests - before)
                assert [n for n, v in enumerate(batch.values) if v is None] == [40, 41]
                assert {status_name(c) for c in batch.status.values()} == {"BadConfigurationError"}
            assert requests[-1] == 2
            await conn.close()
            shown.holes = set()
            await conn.open()
            assert (await conn.read(plan.tables[0])).values == list(range(100))
            await conn.close()

    run(main())


def test_two_tables_of_two_devices_on_one_connection():
    answers = {1: Device({0: 10, 1: 11}), 2: Device({0: 20, 1: 21})}

    async def by_unit(writer, tid, unit, pdu):
        writer.write(mbap(tid, unit, answers[unit].answer(pdu)))

    async def main():
        async with tcp_device(by_unit) as url:
            plans = [
                make_plan(url, {"a": {"address": "holding/0"}}, f"u{unit}", unit=unit)
                for unit in (1, 2)
            ]
            slow = [
                make_table({"b": {"address": "holding/1"}}, f"u{unit}", 60.0) for unit in (1, 2)
            ]
            conn = connection(*plans)
            await conn.open()
            tables = [plans[0].tables[0], slow[1], plans[1].tables[0], slow[0]]
            assert [(await conn.read(table)).values for table in tables] == [[10], [21], [20], [11]]
            await conn.close()

    run(main())


def test_reading_before_open_and_after_close_is_refused():
    async def main():
        async with tcp_device(sound(device())) as url:
            plan = make_plan(url, MANY)
            conn = connection(plan)
            for _ in range(2):
                with pytest.raises(DeviceError) as caught:
                    await conn.read(plan.tables[0])
                assert (status_name(caught.value.status), caught.value.lost) == (
                    "BadNotConnected",
                    True,
                )
                await conn.open()
                await conn.close()
                await conn.close()

    run(main())


def test_a_hundred_flaps_leave_nothing_behind():
    async def main():
        async with tcp_device(sound(device())) as url:
            plan = make_plan(url, MANY)
            conn = connection(plan)
            for _ in range(100):
                await conn.open()
                assert (await conn.read(plan.tables[0])).values == list(range(1, 13))
                await conn.close()

    run(main())
