"""The loop's promises, over a scripted connection: one at a time, on the grid, a dead unit delays
nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from edge_agent.clock import Clock
from edge_agent.errors import DeviceError
from edge_agent.health import DeviceHealth
from edge_agent.model import STATUS, Batch, Tag, TagTable, status_name
from edge_agent.normalise import Normaliser
from edge_agent.polling.attempts import RetryBudget
from edge_agent.polling.device import PolledDevice
from edge_agent.polling.loop import ConnectionLoop
from edge_agent.polling.poll_timer import PollTimer
from edge_agent.sdk import DevicePlan, Options
from tests.support.aio import run, until

TIMEOUT, NO_COMMUNICATION = STATUS["BadTimeout"], STATUS["BadNoCommunication"]
FAST = Clock(speed=20.0)


class Scripted:
    """A pollable connection whose answers are given by a function of the table's device."""

    def __init__(self, answer: Callable[[TagTable], Batch]) -> None:
        self.answer = answer
        self.opened = self.closed = self.reading = 0
        self.refuse = False

    async def open(self) -> None:
        self.opened += 1
        if self.refuse:
            raise DeviceError(NO_COMMUNICATION, "refused", lost=True)

    async def close(self) -> None:
        self.closed += 1

    async def read(self, table: TagTable) -> Batch:
        assert self.reading == 0, "two polls of one connection at once"
        self.reading += 1
        try:
            await asyncio.sleep(0)
            return self.answer(table)
        finally:
            self.reading -= 1


def device(
    name: str, got: list[Batch], every: float = 1.0, tags: Sequence[str] = ("a",)
) -> PolledDevice:
    """Each tag is a table of its own."""
    tables = tuple(TagTable(name, every, (Tag(tag, "float", None),)) for tag in tags)
    health = DeviceHealth(name, len(tags), len(tags) / every, FAST.monotonic())
    normalisers = {table: Normaliser(table) for table in tables}
    return PolledDevice(
        DevicePlan(name, Options(), tables), normalisers, health, got.append, _nothing
    )


def _nothing(_: PolledDevice) -> None:
    return None


async def looping(
    connection: Scripted, devices: list[PolledDevice], done: Callable[[], object]
) -> None:
    loop = ConnectionLoop("test", connection, devices, FAST)
    task = asyncio.create_task(loop.run())
    try:
        await until(done)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert connection.closed >= 1


def good(table: TagTable) -> Batch:
    return Batch(table, FAST.time_ns(), [1.0])


def test_every_device_of_a_connection_is_read_in_turn() -> None:
    got: list[Batch] = []
    devices = [device(f"d{i}", got) for i in range(5)]
    run(looping(Scripted(good), devices, lambda: len(got) >= 50))
    counts = {
        one.plan.id: sum(batch.table.device == one.plan.id for batch in got) for one in devices
    }
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_silent_unit_is_bad_once_and_set_aside_while_the_others_go_on() -> None:
    got: list[Batch] = []

    def answer(table: TagTable) -> Batch:
        if table.device == "dead":
            raise DeviceError(TIMEOUT, "silent", lost=True)
        return good(table)

    connection = Scripted(answer)
    devices = [device("dead", got), *(device(f"d{i}", got) for i in range(4))]
    run(looping(connection, devices, lambda: len(got) >= 41))
    dead = [batch for batch in got if batch.table.device == "dead"]
    assert [batch.status for batch in dead] == [{0: TIMEOUT}]
    assert devices[0].breaker.is_open
    assert devices[0].health.state == "offline"
    assert connection.opened < 10, "probes must be rare"
    assert all(one.health.state == "online" for one in devices[1:])


def test_a_silent_table_of_a_unit_that_answers_is_set_aside_and_the_rest_goes_on() -> None:
    """A gateway that knows the unit and not one of its blocks: nobody waits for it, and its unit is
    not away."""
    got: list[Batch] = []
    asked = 0

    def answer(table: TagTable) -> Batch:
        nonlocal asked
        if table.tags[0].name == "mute":
            asked += 1
            raise DeviceError(TIMEOUT, "silent", lost=True)
        return good(table)

    class Slow(Scripted):
        async def open(self) -> None:
            await super().open()
            await asyncio.sleep(0.03)  # 0.6 s of the fast clock

    half, other = device("half", got, tags=("a", "mute")), device("other", got)
    told: list[str] = []
    half._tell = lambda one: told.append(one.health.row(0.0)["transition"]["to"])
    run(
        looping(
            Slow(answer),
            [half, other],
            lambda: sum(one.table.device == "other" for one in got) >= 41,
        )
    )
    mute = [batch for batch in got if batch.table.tags[0].name == "mute"]
    assert [batch.status for batch in mute] == [{0: TIMEOUT}] * 2
    assert asked < 10, "probes must be rare"
    assert (half.health.state, half.health.reason) == ("degraded", "BadTimeout")
    assert (other.health.state, half.breaker.is_open) == ("online", False)
    assert told == ["online", "offline", "degraded", "offline", "degraded"], (
        "two failures, and then it is known"
    )


def test_probes_cost_what_the_new_connection_costs_too() -> None:
    """Else a unit whose silence costs a reconnection each time would take far more than its share
    of the bus."""
    got: list[Batch] = []

    class SlowToOpen(Scripted):
        async def open(self) -> None:
            await super().open()
            # 0.6 s of the fast clock; the pause between probes is then 11.4 s
            await asyncio.sleep(0.03)

    def answer(table: TagTable) -> Batch:
        if table.device == "dead":
            raise DeviceError(TIMEOUT, "silent", lost=True)
        return good(table)

    connection = SlowToOpen(answer)
    devices = [device("dead", got), *(device(f"d{i}", got) for i in range(4))]
    run(looping(connection, devices, lambda: len(got) >= 161))
    assert connection.opened <= 10, (
        "40 s of the fast clock: the first connection, two failures, four probes"
    )


def test_a_lost_device_is_told_before_its_dead_line_is_left() -> None:
    got: list[Batch] = []

    def answer(table: TagTable) -> Batch:
        raise DeviceError(TIMEOUT, "silent", lost=True)

    async def case() -> None:
        left = asyncio.Event()

        class SlowToLeave(Scripted):
            async def close(self) -> None:
                await left.wait()
                await super().close()

        one = device("d", got)

        def told() -> bool:
            if one.health.state == "offline":
                left.set()
            return left.is_set()

        await looping(SlowToLeave(answer), [one], told)

    run(case())
    assert [batch.status for batch in got] == [{0: TIMEOUT}]


def test_a_lone_device_is_back_after_its_connection_returns() -> None:
    got: list[Batch] = []
    connection = Scripted(good)
    connection.refuse = True
    one = device("d", got)

    def seen() -> bool:
        if one.health.state == "offline":
            connection.refuse = False
        return one.health.state == "online"

    run(looping(connection, [one], seen))
    assert [status_name(code) for code in got[0].status.values()] == ["BadNoCommunication"]
    assert got[-1].values == [1.0]


def test_a_device_alone_on_its_line_is_never_set_aside() -> None:
    got: list[Batch] = []
    asked = 0

    def answer(table: TagTable) -> Batch:
        nonlocal asked
        asked += 1
        raise DeviceError(TIMEOUT, "silent")

    one = device("d", got, every=0.1)
    run(looping(Scripted(answer), [one], lambda: asked >= 10))
    assert not one.breaker.is_open
    assert not one.breaker.moved()


def test_an_error_in_a_connector_is_a_bad_device_and_not_the_end_of_the_task() -> None:
    got: list[Batch] = []
    calls = 0

    def answer(table: TagTable) -> Batch:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ZeroDivisionError("a bug")
        return good(table)

    one = device("d", got)
    run(looping(Scripted(answer), [one], lambda: len(got) >= 4))
    reasons = [status_name(code) for batch in got for code in batch.status.values()]
    assert reasons == ["BadInternalError"]


def test_turns_missed_while_a_read_takes_too_long_are_counted_as_overruns() -> None:
    got: list[Batch] = []
    one = device("d", got, every=0.1)

    class Slow(Scripted):
        async def read(self, table: TagTable) -> Batch:
            await asyncio.sleep(FAST.real(0.35))
            return good(table)

    run(looping(Slow(good), [one], lambda: len(got) >= 5))
    assert one.health.overruns >= 10
    assert one.health.due >= one.health.overruns + 5
    assert one.health.bad == one.health.overruns


def test_connections_that_begin_at_different_moments_have_their_turns_together() -> None:
    got: list[Batch] = []

    async def scenario() -> None:
        metronome, every = PollTimer(), 1.0
        loops, tasks = [], []
        for number in range(4):
            one = device(f"d{number}", got, every)
            loops.append(ConnectionLoop(one.plan.id, Scripted(good), [one], FAST, metronome))
            tasks.append(asyncio.create_task(loops[-1].run()))
            await asyncio.sleep(FAST.real(0.37))  # so far apart do they begin
        await until(lambda: len(got) >= 20)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        due = [loop._turns[0].due / every for loop in loops]
        assert [(moment - due[0]) % 1.0 for moment in due] == pytest.approx([0.0] * 4, abs=1e-6)

    run(scenario())
    assert {batch.table.device for batch in got} == {f"d{number}" for number in range(4)}


def test_a_lone_device_that_is_silent_takes_its_place_among_the_dead() -> None:
    """Nothing is asked of it while the process has no attempt left, and that is no fault of its
    loop."""
    got: list[Batch] = []
    asked = 0
    silent = True

    def answer(table: TagTable) -> Batch:
        nonlocal asked
        asked += 1
        if silent:
            raise DeviceError(TIMEOUT, "silent")
        return good(table)

    async def case() -> None:
        nonlocal silent
        one = device("d", got, tags=("a", "b"))
        budget = RetryBudget(rate=0.001, burst=3)  # the bucket does not fill within this test
        loop = ConnectionLoop("test", Scripted(answer), [one], FAST, retries=budget)
        task = asyncio.create_task(loop.run())
        await until(lambda: budget.waiting)
        assert asked == 2 + 3, "once for each table, and then as often as the process may"
        loop._patience = -1.0
        assert not loop.stalled()
        silent = False
        budget.refund()
        await until(lambda: one.health.state != "offline")
        # before turns in which this machine itself may be late
        overruns = one.health.overruns_total
        await until(lambda: one.health.state == "online")
        assert loop.stalled()
        before = asked
        await until(lambda: asked >= before + 6)  # one that answers needs no leave
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert overruns == 0, (
            "turns that were passed over are missed, but the device is not too slow"
        )
        assert one.health.totals["due"] >= asked

    run(case())


def test_a_mute_table_of_a_lone_device_does_not_make_the_others_wait() -> None:
    got: list[Batch] = []
    asked = 0

    def answer(table: TagTable) -> Batch:
        nonlocal asked
        if table.tags[0].name == "mute":
            asked += 1
            raise DeviceError(TIMEOUT, "silent")
        return good(table)

    async def case() -> None:
        one = device("d", got, tags=("a", "mute"))
        budget = RetryBudget(rate=0.001, burst=1)
        loop = ConnectionLoop("test", Scripted(answer), [one], FAST, retries=budget)
        task = asyncio.create_task(loop.run())
        await until(lambda: asked >= 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not budget.waiting
        assert sum(not batch.status for batch in got) >= 4

    run(case())


def test_units_of_which_none_answers_take_their_place_among_the_dead() -> None:
    """A bus or gateway behind which nobody answers is probed at the rate of the process, one unit
    at a time; who answers again is read in its turns, and needs no leave."""
    got: list[Batch] = []
    asked: list[str] = []
    silent = {"d0", "d1", "d2"}

    def answer(table: TagTable) -> Batch:
        asked.append(table.device)
        if table.device in silent:
            raise DeviceError(TIMEOUT, "silent", lost=True)
        return good(table)

    async def case() -> None:
        devices = [device(f"d{number}", got) for number in range(3)]
        budget = RetryBudget(rate=0.001, burst=4)  # the bucket does not fill within this test
        loop = ConnectionLoop("test", Scripted(answer), devices, FAST, retries=budget)
        task = asyncio.create_task(loop.run())
        await until(lambda: len(asked) == 2 * 3 + 4 and budget.waiting)
        assert set(asked[-4:]) == silent, "the one that was asked least lately is probed first"
        loop._patience = -1.0
        assert not loop.stalled()
        silent.remove("d1")
        for one in devices:
            one.breaker.retry()
        for _ in range(3):
            budget.refund()
        loop.retry()
        await until(lambda: devices[1].health.state == "online")
        overruns = [one.health.overruns_total for one in devices]
        before = len(asked)
        await until(lambda: len(asked) >= before + 6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [one.health.state for one in devices] == ["offline", "online", "offline"]
        assert overruns == [0, 0, 0], (
            "turns that were passed over are missed, but no device is too slow"
        )

    run(case())


def test_of_an_optional_tag_that_is_absent_no_missed_turn_counts_a_reading() -> None:
    """The device is away and comes back: only the tags that it has are missed, and both are said to
    be bad once."""
    got: list[Batch] = []
    dead = False
    absent = STATUS["BadNodeIdUnknown"]

    def answer(table: TagTable) -> Batch:
        if dead:
            raise DeviceError(TIMEOUT, "silent", lost=True)
        return Batch(table, FAST.time_ns(), [1.0, None], {1: absent})

    table = TagTable(
        "d", 1.0, (Tag("a", "float", None), Tag("extra", "float", None, optional=True))
    )
    health = DeviceHealth("d", 2, 2.0, FAST.monotonic())
    one = PolledDevice(
        DevicePlan("d", Options(), (table,)),
        {table: Normaliser(table)},
        health,
        got.append,
        _nothing,
    )

    async def case() -> None:
        nonlocal dead
        task = asyncio.create_task(ConnectionLoop("test", Scripted(answer), [one], FAST).run())
        await until(lambda: health.done >= 2)
        before = health.row(FAST.monotonic())
        assert (before["state"], before["good"], before["bad"]) == ("online", before["done"], 0)
        dead = True
        await until(lambda: health.due >= health.done + 3)
        dead = False
        await until(lambda: health.state == "online")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(case())
    row = health.row(FAST.monotonic())
    missed = row["due"] - row["done"]
    assert missed >= 3
    assert (row["good"], row["bad"]) == (row["done"], missed), "one reading in each turn, not two"
    away = [batch for batch in got if batch.status.get(0) == TIMEOUT]
    assert [batch.status for batch in away] == [{0: TIMEOUT, 1: TIMEOUT}]
    assert health.tags.absent_tags() == ["extra"]
