"""How the Modbus devices of other products' users connect, close and keep silent, each as a small
server in bytes.

A test is named after its case. Times are short multiples of the period.
"""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from tests.support.aio import run, until
from tests.support.modbus_field import (
    EVERY,
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


@pytest.mark.parametrize("tags", [["holding/7"], ["holding/7", "holding/900", "input/3"]])
def test_f03_the_device_closes_an_idle_connection_sooner_than_the_period(tags, caplog):
    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        for _ in tags:  # idle from here to the next poll; without a clock, since a busy machine would stretch the poll
            tid, unit, pdu = await question(reader)
            writer.write(tcp(tid, unit, same(pdu)))

    async def main():
        async with listening(serve) as url:
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
    """The connection goes at the very moment of the poll, each time: the poll is asked once more,
    at once."""

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
@pytest.mark.parametrize(
    "tags", [["holding/7"], ["holding/7", "holding/900", "holding/4000", "coil/3"]]
)
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
            # No connection is wasted: one for each request, and those it took to recognise the way
            # of the peer.
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
            plans = [
                plan(url, "holding/7", "coil/1", device=f"u{unit}", unit=unit) for unit in (1, 2, 3)
            ]
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


@pytest.mark.parametrize(
    ("scheme", "tags"), [("tcp", ["holding/7", "holding/12"]), ("rtu-tcp", ["holding/7"])]
)
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
