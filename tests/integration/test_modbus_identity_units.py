"""Which units answer on a bus, and constants that are written down: devices that are not the
configured ones."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from connectors.modbus import identity
from connectors.modbus.client import ModbusConnection
from edge_agent.model import status_name
from edge_agent.sdk import Batch, DeviceError, DevicePlan
from tests.support.aio import run
from tests.support.modbus_bus import SerialBus, Station, exchange, plugged
from tests.support.modbus_identity import (
    ACME,
    OTHER,
    TAGS,
    another,
    good,
    on,
    opened,
    read,
    turns,
    two_buses,
    unstable_names,
)
from tests.support.modbus_wire import CLIENTS, make_plan, mbap, speak, tcp_device


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two names that count as unstable."""
    return unstable_names(tmp_path, monkeypatch)


# --- which units answer ---------------------------------------------------------------------------


def bus(*units: int) -> SerialBus:
    return SerialBus({unit: Station({5: unit}) for unit in units})


def uncertain(result: Batch | DeviceError) -> bool:
    return (
        isinstance(result, Batch)
        and status_name(result.status.get(0, 0)) == "UncertainConfigurationError"
    )


@pytest.mark.parametrize("running", [True, False])
def test_a_bus_on_which_other_units_answer_is_uncertain_until_all_answer_again(names, running):
    async def main():
        left, right = bus(1, 2, 3), bus(1)
        plans = [on(names[0], unit, timeout=0.06) for unit in (1, 2, 3)]
        with plugged((left, names[0])):
            async with opened(*plans) as a:
                assert all(map(good, await turns(a, *plans, times=2)))
                if running:
                    left.unplug()
                    right.plug(names[0])
                    await turns(a, plans[0], times=1)
                    await doubted(a, right, plans)
                    right.unplug()
        if not running:
            with plugged((right, names[0])):
                async with opened(*plans) as a:
                    await doubted(a, right, plans)

    async def doubted(a: ModbusConnection, right: SerialBus, plans: list[DevicePlan]) -> None:
        results = await turns(a, *plans)
        assert not any(map(good, results))
        assert any(map(uncertain, results))
        (last,) = await turns(a, plans[0], times=1)
        why = last.causes[0]
        zh, en = why.zh, why.en
        assert "2, 3 silent" in en
        assert "2、3" in zh
        right.stations[2] = Station({5: 2})
        results = await turns(a, *plans, times=2)
        assert not any(map(good, results)), "until all answer again"
        right.stations[3] = Station({5: 3})
        results = await turns(a, *plans, times=4)
        assert all(map(good, results[-3:]))

    run(main())


def test_reload_confirms_the_units_that_answer(names):
    async def main():
        plans = [on(names[0], unit, timeout=0.06) for unit in (1, 2, 3)]
        with plugged((bus(1, 2, 3), names[0])):
            async with opened(*plans) as a:
                await turns(a, *plans, times=2)
        with plugged((bus(1), names[0])):
            async with opened(*plans) as a:
                assert not any(map(good, await turns(a, *plans)))
                assert a.confirm() == [plans[0].id]
                assert all(map(good, await turns(a, plans[0])))
            async with opened(*plans) as a:
                assert all(map(good, await turns(a, plans[0])))

    run(main())


def test_one_dead_unit_makes_nobody_uncertain(names):
    """It died while the others answered, or while nobody looked."""

    async def main():
        plans = [on(names[0], unit, timeout=0.06) for unit in (1, 2, 3)]
        whole = bus(1, 2, 3)
        with plugged((whole, names[0])):
            async with opened(*plans) as a:
                assert all(map(good, await turns(a, *plans, times=2)))
        whole.stations[3].silent = True
        with plugged((whole, names[0])):
            async with opened(*plans) as a:
                assert all(map(good, await turns(a, *plans[:2], times=2)))
                await turns(a, *plans, times=3)
        whole.stations[2].silent = True  # and another one, while unit 1 answers
        with plugged((whole, names[0])):
            async with opened(*plans[:2]) as a:
                whole.stations[2].silent = False
                assert all(map(good, await turns(a, *plans[:2], times=2)))
                whole.stations[2].silent = True
                await turns(a, *plans[:2], times=4)
                whole.unplug()
                whole.plug(names[0])
                results = await turns(a, *plans[:2], times=4)
                assert not any(map(uncertain, results))
                assert any(map(good, results))

    run(main())


def test_a_device_with_constants_stays_good_on_a_bus_with_other_units(names):
    async def main():
        sure = on(names[0], 1, timeout=0.06, identify=[{"address": "holding/5", "equals": 1}])
        others = [on(names[0], unit, timeout=0.06) for unit in (2, 3, 4)]
        with plugged((bus(1, 2, 3, 4), names[0])):
            async with opened(sure, *others) as a:
                assert all(map(good, await turns(a, sure, *others, times=2)))
        with plugged((bus(1, 2), names[0])):
            async with opened(sure, *others) as a:
                results = await turns(a, sure, others[0])
                assert all(good(result) for result in results[::2] if isinstance(result, Batch))
                assert any(map(good, results[::2]))
                assert any(map(uncertain, results[1::2]))
                assert not any(map(good, results[1::2]))

    run(main())


# --- constants that are written down --------------------------------------------------------------


@pytest.mark.parametrize(
    "constants",
    [
        [{"address": "holding/0", "type": "uint16", "equals": 1234}],
        [{"vendor": "ACME", "product": "X1*"}],
        [{"address": "holding/0", "equals": 1234}, {"revision": "1.?"}, {"product": "X100"}],
    ],
)
def test_constants_are_asked_after_each_opening_and_not_in_between(names, constants):
    async def main():
        left, right = two_buses()
        left.stations[1].parts = True
        plan = on(names[0], identify=constants)
        with plugged((left, names[0]), (right, names[1])):
            async with opened(plan) as a:
                assert all(map(good, await turns(a, plan, times=3)))
                asked = len(left.stations[1].asked) + left.stations[1].identified
                assert asked == a.requests
                await turns(a, plan, times=3)
                assert a.requests == asked + 3
                exchange(left, right, names)
                results = await turns(a, plan)
                assert not any(map(good, results))
                assert another(results[-1])
                assert a.confirm() == [], "what is written is changed in the file"
                assert not any(map(good, await turns(a, plan)))
                assert "`identify`" in (await read(a, plan)).detail
                exchange(right, left, names)
                assert any(map(good, await turns(a, plan)))
                assert a.requests > asked

    run(main())


def test_a_wrong_device_is_looked_at_again_more_and_more_seldom(names, monkeypatch):
    async def main():
        monkeypatch.setattr(identity, "FIRST_PAUSE", 30.0)
        station = Station({0: 4321, 5: 200})
        wrong = on(names[0], 1, identify=[{"address": "holding/0", "equals": 1234}])
        other = on(names[0], 2)
        with plugged((SerialBus({1: station, 2: Station({5: 7})}), names[0])):
            async with opened(wrong, other) as a:
                results = await turns(a, wrong, other)
                assert all(map(another, results[::2]))
                assert all(map(good, results[1::2])), "the others on the bus are not disturbed"
                assert station.asked == [(3, 0, 1)], (
                    "asked once until the pause is over, and never for its values"
                )

    run(main())


@pytest.mark.parametrize("client", CLIENTS)
def test_constants_of_a_tcp_device(client, monkeypatch):
    client = speak(client, monkeypatch)
    station = Station({0: 1234, 5: 100}, ACME)

    async def script(writer, tid, unit, pdu):
        writer.write(mbap(tid, unit, station.respond(pdu)))

    async def main():
        for constant, fits in (
            ({"vendor": "ACME", "product": "X1*"}, True),
            ({"vendor": "Acme"}, False),
            ({"address": "holding/0", "equals": 1234}, True),
            ({"address": "holding/0", "type": "uint32", "equals": 1234}, False),
            ({"address": "holding/99", "equals": 1}, False),
        ):
            station.holes = {99}
            async with tcp_device(script) as url:
                plan = make_plan(url, TAGS, identify=[constant])
                async with opened(plan) as a:
                    result = await read(a, plan)
                    assert (good(result), another(result)) == (fits, not fits)

    run(main())


def test_an_identification_over_rtu_frames_on_tcp_in_pieces(monkeypatch):
    monkeypatch.setenv("EDGE_AGENT_STOCK", "0")
    from connectors.modbus.framing import crc16

    station = Station({5: 100}, ACME)

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(2)
                request = head + await reader.readexactly(5 if head[1] == 0x2B else 6)
                frame = request[:1] + station.respond(request[1:-2])
                frame += crc16(frame).to_bytes(2, "little")
                for at in range(0, len(frame), 3):
                    writer.write(frame[at : at + 3])
                    await writer.drain()
                    await asyncio.sleep(0)
        writer.close()

    async def main():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            plan = make_plan(f"rtu-tcp://127.0.0.1:{port}", TAGS, identify=[{"product": "X100"}])
            async with opened(plan) as a:
                assert good(await read(a, plan))
            station.texts = OTHER
            async with opened(plan) as a:
                assert another(await read(a, plan))
                station.texts = None
                monkeypatch.setattr(identity, "FIRST_PAUSE", 0.0)
            async with opened(plan) as a:
                result = await read(a, plan)
                assert "no identification" in result.detail
            await asyncio.sleep(0)

    run(main())
