"""What worker processes of a former version have left is delivered by the agent, beside its own.
Real programs."""

from __future__ import annotations

import socket
import struct
import time
import urllib.request
from pathlib import Path

import duckdb

from edge_agent import payload
from edge_agent.app.status.ask import final_status
from edge_agent.config import load
from edge_agent.outbox import Outbox
from edge_agent.outbox.folders import folder_of, outboxes
from edge_agent.outbox.survey import verify
from faults.rig import RigProcess, RigSite, module, plant, wait_for
from tests.support.aio import run
from tests.support.servers import free_port

READINGS = 40
_DATA = "edge/enterprise/site/area/L1/old/data"


def leave(path: Path, worker: int, first: int) -> str:
    """An outbox as worker `worker` left it: numbered readings of a device from `first` on. Its
    stream."""

    async def fill() -> str:
        box = Outbox(
            folder_of(path, worker), agent="ipc-01", worker=worker, max_bytes=1_000_000, fsync_ms=10
        )
        head, start = payload.head("old", box.stream), time.time_ns()
        for number in range(first, first + READINGS):
            t = start + number * 1_000_000
            box.append(
                _DATA,
                head,
                payload.document_tail(t, {"values": {"n": number}, "quality": {}}),
                t,
                1,
            )
        await box.close(5)
        return box.stream

    return run(fill())


def agent_of(site: RigSite, **environment: str) -> RigProcess:
    return site.start(module("edge_agent", "run", site.config()), "agent.log", environment)


def numbers(site: RigSite) -> list[int]:
    with duckdb.connect(str(site.database), read_only=True) as connection:
        rows = connection.execute(
            "select num from samples join series using (sid) where tag = 'n'"
        ).fetchall()
    return sorted(int(number) for (number,) in rows)


def test_all_of_it_arrives_once_also_when_the_agent_is_killed_meanwhile(tmp_path: Path) -> None:
    with plant(tmp_path, devices=1) as (site, _):
        streams = {
            leave(site.outbox, worker, READINGS * place) for place, worker in enumerate((1, 3))
        }
        assert {stream.split("/")[1] for stream in streams} == {"1", "3"}
        agent = agent_of(site)  # without a service nothing may be freed: confirm is store
        wait_for(lambda: agent.said().count("leftover-open") == 2, 60, "both outboxes to be opened")
        wait_for(lambda: "mqtt-connected" in agent.said(), 60, "the broker")
        agent.kill()
        service = site.service_up()
        agent = agent_of(site)
        wait_for(lambda: agent.said().count("leftover-empty") == 2, 60, "both outboxes to be empty")
        agent.stop()
        words = final_status(load(site.folder / "site.yaml"))
        assert words is not None
        assert words["counters"]["acknowledged"] >= 2 * READINGS, "what others left is counted"
        service.stop()
        assert numbers(site) == list(range(2 * READINGS))
        assert {verify(folder).pending_entries for folder in outboxes(site.outbox)[1:]} == {0}


def test_the_service_manager_hears_of_the_start_and_the_pages_answer(tmp_path: Path) -> None:
    port, notify = free_port(), tmp_path / "notify"
    with plant(tmp_path, devices=1, agent={"listen": f"127.0.0.1:{port}"}) as (site, _):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            manager.bind(str(notify))
            manager.settimeout(60)
            agent = agent_of(site, NOTIFY_SOCKET=str(notify), WATCHDOG_USEC="60000000")
            heard = [manager.recvmsg(100, 100) for _ in range(2)]
            assert [message for message, *_ in heard] == [b"READY=1", b"WATCHDOG=1"]
            assert {struct.unpack("3i", more[0][2])[0] for _, more, *_ in heard} == {agent.pid}
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                assert 'edge_agent_device_up{device="plc-00"}' in answer.read().decode()
        agent.stop()
