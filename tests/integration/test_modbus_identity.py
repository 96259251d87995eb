"""Two serial buses that changed places (F42), and devices that are not the configured ones: never good in silence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.modbus import endpoint, identity
from connectors.modbus.client import ModbusConnection
from edge_agent.app.status.ask import agent_door
from edge_agent.ingest.api import ask
from edge_agent.model import is_good, status_name
from edge_agent.outbox.survey import export
from edge_agent.sdk import Batch, Confirmable, DeviceError, DevicePlan
from tests.support.agents import configuration, online, running
from tests.support.aio import run, until
from tests.support.modbus_bus import SerialBus, Station, exchange, plugged
from tests.support.modbus_wire import CLIENTS, connection, make_plan, mbap, speak, tcp_device
from tests.support.servers import free_port

ACME, OTHER = ("ACME", "X100", "1.2"), ("ACME", "X200", "1.2")
OTHERS = {"modbus_another_device", "modbus_device_changed"}
TAGS = {"h": {"address": "holding/5"}}


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two names that count as unstable."""
    monkeypatch.setattr(endpoint, "UNSTABLE", (str(tmp_path / "tty"),))
    monkeypatch.setattr(identity, "FIRST_PAUSE", 0.0)
    return tmp_path / "ttyUSB0", tmp_path / "ttyUSB1"


def on(name: Path, unit: int = 1, **options: object) -> DevicePlan:
    """A device that keeps what it learns beside its port."""
    options.setdefault("timeout", 0.2)
    made = make_plan(f"rtu://{name}", TAGS, f"{name.name}-{unit}", unit=unit, **options)
    return DevicePlan(made.id, made.options, made.tables, name.parent / "state")


@contextlib.asynccontextmanager
async def opened(*plans: DevicePlan) -> AsyncIterator[ModbusConnection]:
    """A connection object as a new process makes it."""
    made = connection(*plans)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def read(made: ModbusConnection, plan: DevicePlan) -> Batch | DeviceError:
    """One turn of the polling loop: a lost connection is opened again."""
    try:
        return await made.read(plan.tables[0])
    except DeviceError as error:
        if error.lost:
            await made.close()
            with contextlib.suppress(DeviceError):
                await made.open()
        return error


def good(result: Batch | DeviceError) -> bool:
    return isinstance(result, Batch) and all(is_good(result.status.get(n, 0)) for n in range(len(result.values)))


async def turns(made: ModbusConnection, *plans: DevicePlan, times: int = 4) -> list[Batch | DeviceError]:
    return [await read(made, plan) for _ in range(times) for plan in plans]


def another(result: Batch | DeviceError) -> bool:
    return isinstance(result, DeviceError) and result.cause.name in OTHERS


def two_buses(one: tuple[str, ...] | None = ACME, other: tuple[str, ...] | None = OTHER) -> tuple[SerialBus, SerialBus]:
    return SerialBus({1: Station({0: 1234, 5: 100}, one)}), SerialBus({1: Station({0: 4321, 5: 200}, other)})


# --- two adapters change places ---------------------------------------------------------------------------------------


def test_two_buses_exchanged_while_the_agent_runs_are_bad_with_a_reason(names):
    async def main():
        left, right = two_buses()
        first, second = on(names[0]), on(names[1])
        with plugged((left, names[0]), (right, names[1])):
            async with opened(first) as a, opened(second) as b:
                assert good(await read(a, first))
                assert good(await read(b, second))
                exchange(left, right, names)
                results = await turns(a, first) + await turns(b, second)
                assert not any(good(result) for result in results)
                error = await read(a, first)
                assert isinstance(error, DeviceError)
                assert (status_name(error.status), error.lost) == ("BadConfigurationError", False)
                zh, en = error.cause.zh, error.cause.en
                assert "X100" in en
                assert "X200" in en
                assert "X100" in zh
                assert "by-id" in en
                assert "edge-agent reload" in zh
                exchange(right, left, names)  # back again
                assert any(map(good, await turns(a, first)))
                assert any(map(good, await turns(b, second)))

    run(main())


def test_two_buses_exchanged_while_the_agent_is_stopped_are_bad_until_a_person_confirms(names):
    async def main():
        left, right = two_buses()
        first = on(names[0])
        with plugged((left, names[0]), (right, names[1])):
            async with opened(first) as a:
                assert good(await read(a, first))
        with plugged((left, names[1]), (right, names[0])):
            async with opened(first) as a:
                assert all(map(another, await turns(a, first)))
            async with opened(first) as a:  # another restart confirms nothing
                assert all(map(another, await turns(a, first)))
                assert isinstance(a, Confirmable)
                assert a.confirm() == [first.id]
                assert all(map(good, await turns(a, first)))
            async with opened(first) as a:
                assert good(await read(a, first))
                assert a.confirm() == []

    run(main())


def test_a_connection_made_anew_by_a_reload_accepts_what_it_finds(names):
    async def main():
        left, right = two_buses()
        first = on(names[0])
        with plugged((left, names[0])):
            async with opened(first) as a:
                assert good(await read(a, first))
        with plugged((right, names[0])):
            a = connection(first)
            assert a.confirm() == []
            await a.open()
            assert good(await read(a, first))
            await a.close()
        with plugged((left, names[0])):
            async with opened(first) as a:
                assert another(await read(a, first)), "what was accepted is what it shall be"

    run(main())


def test_a_unit_with_an_identification_in_the_place_of_one_without_is_another(names):
    async def main():
        for mute in (False, True):
            left, right = two_buses(None, OTHER)
            left.stations[1].ignores_identification = mute
            plan = on(names[0], timeout=0.03)
            for gone in (names[0].parent / "state").glob("*"):
                gone.unlink()
            with plugged((left, names[0])):
                async with opened(plan) as a:
                    assert all(map(good, await turns(a, plan)))
            with plugged((right, names[0])):
                async with opened(plan) as a:
                    assert all(map(another, await turns(a, plan)))
            with plugged((left, names[0])):
                async with opened(plan) as a:
                    assert good(await read(a, plan))

    run(main())


def test_a_unit_that_lost_its_identification_is_another_but_not_for_one_lost_frame(names):
    async def main():
        station = Station({5: 100}, ACME)
        plan = on(names[0], timeout=0.03)
        with plugged((SerialBus({1: station}), names[0])):
            async with opened(plan) as a:
                assert good(await read(a, plan))
            async with opened(plan) as a:
                station.ignores_identification = True
                result = await read(a, plan)
                assert not good(result)
                assert not another(result)
                station.ignores_identification = False
                assert any(map(good, await turns(a, plan, times=3)))
            async with opened(plan) as a:
                station.ignores_identification = True
                results = await turns(a, plan)
                assert not any(map(good, results))
                assert another(results[-1])

    run(main())


def test_a_unit_without_identification_is_asked_for_it_once_and_never_again(names):
    async def main():
        refusing, mute = Station({5: 1}), Station({5: 2})
        mute.ignores_identification = True
        one, two = on(names[0], 1, timeout=0.03), on(names[0], 2, timeout=0.03)
        with plugged((SerialBus({1: refusing, 2: mute}), names[0])):
            async with opened(one, two) as a:
                assert all(map(good, await turns(a, one, two)))
                assert (refusing.identified, mute.identified) == (1, identity.NEW_SILENCES)
            async with opened(one, two) as a:
                assert all(map(good, await turns(a, one, two)))
                assert (refusing.identified, mute.identified) == (2, identity.NEW_SILENCES + 1)
                requests = a.requests
                await turns(a, one, two, times=5)
                assert a.requests == requests + 10, "nothing is asked on the way but the values"

    run(main())


def test_names_that_stay_the_same_are_not_asked_for_an_identification(names, tmp_path):
    async def main():
        station = Station({5: 1}, ACME)
        plan = on(tmp_path / "by-id")
        with plugged((SerialBus({1: station}), tmp_path / "by-id")):
            async with opened(plan) as a:
                assert good(await read(a, plan))
                assert (station.identified, a.requests) == (0, 1)
        assert not (tmp_path / "state").exists()

    run(main())


# --- which units answer -----------------------------------------------------------------------------------------------


def bus(*units: int) -> SerialBus:
    return SerialBus({unit: Station({5: unit}) for unit in units})


def uncertain(result: Batch | DeviceError) -> bool:
    return isinstance(result, Batch) and status_name(result.status.get(0, 0)) == "UncertainConfigurationError"


@pytest.mark.parametrize("running", [True, False])
def test_a_bus_on_which_other_units_answer_is_uncertain_until_all_answer_again(names, running):
    async def main():
        left, right = bus(1, 2, 3), bus(1)
        plans = [on(names[0], unit, timeout=0.03) for unit in (1, 2, 3)]
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
        plans = [on(names[0], unit, timeout=0.03) for unit in (1, 2, 3)]
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
        plans = [on(names[0], unit, timeout=0.03) for unit in (1, 2, 3)]
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
        sure = on(names[0], 1, timeout=0.03, identify=[{"address": "holding/5", "equals": 1}])
        others = [on(names[0], unit, timeout=0.03) for unit in (2, 3, 4)]
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


# --- constants that are written down ----------------------------------------------------------------------------------


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
                assert station.asked == [(3, 0, 1)], "asked once until the pause is over, and never for its values"

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


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_damaged_file_is_begun_anew_with_a_line_in_the_log(names, caplog):
    async def main():
        left, _ = two_buses()
        plan = on(names[0])
        with plugged((left, names[0])):
            async with opened(plan) as a:
                assert good(await read(a, plan))
            (file,) = (names[0].parent / "state").iterdir()
            assert file.stat().st_mode & 0o777 == 0o600
            whole = file.read_bytes()
            for damaged in (b"", whole[:-7], b"[]", b"\xff\xfe", b'{"version": 9}', b"[" * 100_000):
                file.write_bytes(damaged)
                caplog.clear()
                with caplog.at_level(logging.WARNING):
                    async with opened(plan) as a:
                        assert good(await read(a, plan))
                assert "modbus-known-units-unreadable" in caplog.text
                assert file.read_bytes() == whole
            assert [path.name for path in file.parent.iterdir()] == [file.name]

    run(main())


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_memory(names, caplog):
    async def main():
        left, right = two_buses()
        plan = on(names[0])
        (names[0].parent / "state").write_text("not a folder")
        with plugged((left, names[0]), (right, names[1])):
            async with opened(plan) as a:
                assert good(await read(a, plan))
                exchange(left, right, names)
                assert not any(map(good, await turns(a, plan)))
        assert "modbus-known-units-not-saved" in caplog.text

    run(main())


# --- the whole agent --------------------------------------------------------------------------------------------------


def test_the_agent_says_what_it_expected_and_reload_confirms(names, tmp_path):
    async def main():
        left, right = two_buses()
        path = configuration(
            tmp_path,
            free_port(),  # no broker: what is read waits in the outbox
            {"meter": f"url: 'rtu://{names[0]}', every: 100ms, tags: {{h: {{address: holding/5}}}}"},
        )
        with plugged((left, names[0])):
            async with running(path) as agent:
                await until(online(agent, "meter"))
        with plugged((right, names[0])):
            async with running(path) as agent:
                await until(lambda: agent.devices[0].health.state == "offline")
                (row,) = agent.status()["devices"]
                (notice,) = row["ne107"]["notices"]
                assert (notice["health"], notice["reason"]) == ("FAILURE", "BadConfigurationError")
                assert "应为 vendor 'ACME', product 'X100'" in notice["zh"]
                assert "answered vendor 'ACME', product 'X200'" in notice["en"]
                assert not agent.devices[0].health.values_total
                outcome = await asyncio.to_thread(ask, agent_door(agent.site), "reload")
                assert outcome["confirmed"] == ["meter"]
                await until(online(agent, "meter"))
        documents = [json.loads(line) for line in export(tmp_path / "data" / "outbox", everything=True)]
        documents = [document for document in documents if document["topic"].endswith("/data")]
        values = [document["payload"].get("values", {}).get("h") for document in documents]
        first = values.index(200)
        assert 100 in values[:first]
        assert 100 not in values[first:]
        assert {"h": "BadConfigurationError"} in [document["payload"].get("quality") for document in documents[:first]]
        (file,) = (tmp_path / "data" / "outbox" / "devices" / "modbus").iterdir()
        assert "X200" in file.read_text()

    run(main())
