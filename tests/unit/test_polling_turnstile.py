"""Connections begin in turn: counted in rounds of the event loop, not in time."""

from __future__ import annotations

import asyncio

from edge_agent.clock import Clock
from edge_agent.errors import DeviceError
from edge_agent.model import STATUS, Batch, TagTable
from edge_agent.polling.attempts import RetryBudget
from edge_agent.polling.loop import ConnectionLoop
from edge_agent.polling.start_limiter import StartLimiter
from tests.support.aio import run, until
from tests.unit.test_polling_loop import Scripted, device, good

STEPS = 5
"""Rounds of the event loop that a connection takes here."""


def test_however_many_wait_few_are_under_way_and_none_waits_for_their_end() -> None:
    async def scenario(count: int) -> tuple[int, list[int]]:
        turnstile, under_way, most, passed = StartLimiter(), 0, 0, list[int]()

        async def connect(number: int) -> None:
            nonlocal under_way, most
            await turnstile.turn()
            passed.append(number)
            under_way += 1
            most = max(most, under_way)
            for _ in range(STEPS):
                await asyncio.sleep(0)
            under_way -= 1

        await asyncio.gather(*(connect(number) for number in range(count)))
        return most, passed

    for count in (3, 500):
        most, passed = run(scenario(count))
        assert passed == list(range(count)), "in the order they came"
        assert most <= STEPS + 2


def test_who_gives_up_takes_no_turn_and_a_lone_one_does_not_wait() -> None:
    async def scenario() -> None:
        turnstile = StartLimiter()
        await turnstile.turn()
        tasks = [asyncio.create_task(turnstile.turn()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [task.cancelled() for task in tasks] == [False, True, False]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        turn = turnstile.turn()
        try:
            turn.send(None)
        except StopIteration:
            return
        raise AssertionError("nobody else was there, and yet it waited")

    run(scenario())


class Dark(Scripted):
    """A device that is switched off: connecting to it ends with its time-out alone."""

    async def open(self) -> None:
        self.opened += 1
        await asyncio.Event().wait()


def test_devices_that_are_switched_off_hold_nobody_up() -> None:
    async def scenario() -> None:
        turnstile, got = StartLimiter(), list[Batch]()
        dark = [Dark(good) for _ in range(50)]
        connections = [*dark, Scripted(good)]
        loops = [
            ConnectionLoop(
                f"c{n}", connection, [device(f"d{n}", got)], Clock(), turnstile=turnstile
            )
            for n, connection in enumerate(connections)
        ]
        tasks = [asyncio.create_task(loop.run()) for loop in loops]
        await until(lambda: got, what="the one that is on")
        assert all(one.opened == 1 for one in dark)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(scenario())


def test_before_its_turn_nothing_of_a_device_is_late() -> None:
    """On a slow processor the last of a thousand devices is asked many seconds after the start."""

    class Shut(StartLimiter):
        async def turn(self) -> None:
            await asyncio.Event().wait()

    async def scenario() -> None:
        got = list[Batch]()
        one, clock = device("d", got), Clock()
        task = asyncio.create_task(
            ConnectionLoop("c", Scripted(good), [one], clock, turnstile=Shut()).run()
        )
        await asyncio.sleep(0)
        one.watch(clock.monotonic() + 1000.0, clock.time_ns())
        assert got == []
        assert one.health.state == "starting"
        assert one.health.bad == one.health.due == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario())


def test_a_connection_takes_a_turn_to_begin_and_a_place_in_the_budget_to_begin_again() -> None:
    turns = 0
    places = 0

    class Counted(StartLimiter):
        async def turn(self) -> None:
            nonlocal turns
            turns += 1

    class Budget(RetryBudget):
        def place(self, pause: float = 0.0) -> asyncio.Future[None]:
            nonlocal places
            places += 1
            return super().place(pause)

    def lost(table: TagTable) -> Batch:
        raise DeviceError(STATUS["BadTimeout"], "silent", lost=True)

    async def scenario() -> None:
        connection = Scripted(lost)
        loop = ConnectionLoop(
            "c", connection, [device("d", [])], Clock(), turnstile=Counted(), retries=Budget()
        )
        task = asyncio.create_task(loop.run())
        await until(lambda: connection.opened == 3)
        assert turns == 1
        assert places >= 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario())
