"""Several processes told as one agent: figures, facts, rows; and the talk between them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from edge_agent.app.agent.whole import absent, added, ended, together
from edge_agent.app.status.exposition import agent_metrics
from edge_agent.app.workers.channel import Asker, GoneError, RefusedError, answer, first, framed
from edge_agent.errors import Finding
from edge_agent.health.agent import Facts, notices
from edge_agent.health.ne107 import judged
from tests.support.aio import run
from tests.unit.test_app_exposition import parsed, status


def figures(read: int, pending: int, oldest: int | None) -> dict[str, Any]:
    one = status()
    counters = one["counters"] | {"read": read}
    outbox = one["outbox"] | {"pending_values": pending, "oldest_t": oldest}
    return {"counters": counters, "entries": one["entries"], "outbox": outbox}


def test_figures_are_added_and_of_the_oldest_values_the_oldest_counts() -> None:
    whole = added([figures(10, 1, None), figures(5, 2, 700), figures(1, 3, 600)])
    assert (whole["counters"]["read"], whole["outbox"]["pending_values"], whole["outbox"]["oldest_t"]) == (16, 6, 600)
    assert whole.keys() == {"counters", "entries", "outbox"}
    assert added([figures(1, 0, None)])["outbox"]["oldest_t"] is None


def test_a_life_that_is_over_has_counted_and_holds_nothing() -> None:
    over = ended(figures(10, 7, 700))
    assert over["counters"]["read"] == 10
    assert (over["outbox"]["pending_values"], over["outbox"]["bytes"], over["outbox"]["oldest_t"]) == (0, 0, None)


def test_what_one_worker_lacks_the_agent_lacks() -> None:
    away = Finding("broker-away", "", "离开。", "It is away.")
    own = Facts(refused="line 3", outbox_limit=10, workers_down=[2])
    workers = [
        Facts(devices=2, offline=2, dropping=3, dropped=4, outbox_limit=10, outbox_bytes=9),
        Facts(devices=2, broker=away, connected=False, stalled=["tcp://a"], unsynced_s=7.0, dropping=1, dropped=1),
    ]
    facts = together(own, workers)
    assert (facts.connected, facts.broker, facts.dropping, facts.dropped) == (False, away, 4, 5)
    assert (facts.devices, facts.offline, facts.stalled, facts.unsynced_s) == (4, 2, ["tcp://a"], 7.0)
    judgement = judged(notices(facts))
    assert judgement.reasons[:4] == ["outbox_dropping", "disk", "loop_stalled", "worker_down"]
    assert {"broker_away", "reload_refused"} <= set(judgement.reasons)
    assert "all_devices_offline" not in judgement.reasons
    assert judged(notices(together(Facts(), [Facts(), Facts()]))).reasons == []


def test_a_device_whose_worker_is_away_is_listed_as_offline_with_what_was_last_known() -> None:
    (known, _) = status()["devices"]
    row = absent("vmc-01", known | {"state": "online"}, down=True)
    assert (row["state"], row["reason"], row["values"]) == ("offline", "worker_down", 7)
    assert row["ne107"]["name"] == "FAILURE"
    assert "started again" in row["ne107"]["notices"][0]["en"]
    fresh = absent("new", None, down=False)
    assert fresh.keys() == row.keys()
    assert (fresh["state"], fresh["ne107"]["name"]) == ("starting", "CHECK_FUNCTION")
    workers = [{"worker": 1, "state": "down", "restarts": 2, "devices": 2, "pending_values": 9}]
    found = parsed(agent_metrics(status() | {"devices": [row, fresh], "workers": workers}))
    assert found['edge_agent_device_up{device="vmc-01"}'] == 0
    assert found['edge_agent_worker_up{worker="1"}'] == 0
    assert found['edge_agent_worker_restarts_total{worker="1"}'] == 2


def test_questions_are_answered_side_by_side_and_none_waits_for_ever() -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        gate = asyncio.Event()

        async def double(number: int) -> int:
            return 2 * number

        async def slow() -> str:
            await gate.wait()
            return "at last"

        async def broken() -> None:
            raise ValueError("no")

        theirs.setblocking(False)
        worker = asyncio.create_task(answer(theirs, {"double": double, "slow": slow, "broken": broken}))
        asker = Asker(*await asyncio.open_connection(sock=ours))
        listening = asyncio.create_task(asker.listen())
        waiting = asyncio.create_task(asker.ask("slow"))
        assert await asker.ask("double", 21) == 42
        for operation in ("broken", "unknown"):
            with pytest.raises(RefusedError):
                await asker.ask(operation)
        gate.set()
        assert await waiting == "at last"
        gate.clear()
        waiting = asyncio.create_task(asker.ask("slow"))
        assert await asker.ask("double", 1) == 2
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        theirs.close()
        await listening
        with pytest.raises(GoneError):
            await waiting
        with pytest.raises(GoneError):
            await asker.ask("double", 1)

    run(scenario())


def test_a_worker_without_a_supervisor_does_not_begin() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(framed(("part", b"x" * 100_000))[:50_000])
        with pytest.raises(GoneError):
            first(theirs)
