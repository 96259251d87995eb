"""Two serial buses that changed places (F42): never good in silence, until a person confirms."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from connectors.modbus import identity
from edge_agent.app.status.ask import agent_socket
from edge_agent.control.client import ask
from edge_agent.model import status_name
from edge_agent.outbox.survey import export
from edge_agent.sdk import Confirmable, DeviceError
from tests.support.agents import configuration, online, running
from tests.support.aio import run, until
from tests.support.modbus_bus import SerialBus, Station, exchange, plugged
from tests.support.modbus_identity import (
    ACME,
    OTHER,
    another,
    good,
    on,
    opened,
    read,
    turns,
    two_buses,
    unstable_names,
)
from tests.support.modbus_wire import connection
from tests.support.servers import free_port


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two names that count as unstable."""
    return unstable_names(tmp_path, monkeypatch)


# --- two adapters change places -------------------------------------------------------------------


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
            plan = on(names[0], timeout=0.06)
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
        plan = on(names[0], timeout=0.06)
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
        one, two = on(names[0], 1, timeout=0.15), on(names[0], 2, timeout=0.15)
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


# --- the file -------------------------------------------------------------------------------------


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


# --- the whole agent ------------------------------------------------------------------------------


def test_the_agent_says_what_it_expected_and_reload_confirms(names, tmp_path):
    async def main():
        left, right = two_buses()
        path = configuration(
            tmp_path,
            free_port(),  # no broker: what is read waits in the outbox
            {
                "meter": f"url: 'rtu://{names[0]}', every: 100ms, tags: {{h: {{address: holding/5}}}}"
            },
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
                outcome = await asyncio.to_thread(ask, agent_socket(agent.site), "reload")
                assert outcome["confirmed"] == ["meter"]
                await until(online(agent, "meter"))
        documents = [
            json.loads(line) for line in export(tmp_path / "data" / "outbox", everything=True)
        ]
        documents = [document for document in documents if document["topic"].endswith("/data")]
        values = [document["payload"].get("values", {}).get("h") for document in documents]
        first = values.index(200)
        assert 100 in values[:first]
        assert 100 not in values[first:]
        assert {"h": "BadConfigurationError"} in [
            document["payload"].get("quality") for document in documents[:first]
        ]
        (file,) = (tmp_path / "data" / "outbox" / "devices" / "modbus").iterdir()
        assert "X200" in file.read_text()

    run(main())
