"""The two lines sped up, and the figures from the store held against what the simulated machines
really did.

In `./run test` a shift of 20 minutes at 60 times the speed, read every 10 s of its time (167 ms of
ours). With `EDGE_AGENT_WEEK=1` (`./run week`) a simulated week at 600 times the speed, read every
two minutes of its time (200 ms of ours), with the simulators' own shift calendar.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any, Final

import numpy as np
import pytest

from edge_agent.app.status.ask import serve_socket
from edge_agent.clock import Clock
from edge_agent.config.models import Site
from edge_agent.control.client import ask
from edge_agent.metrics.calendar import Calendar, load_calendar
from edge_agent.metrics.planned import planned
from edge_agent.metrics.timemodel import (
    Bucket,
    ItemState,
    OperationMode,
    Timeline,
    Totals,
    Track,
    classify,
    planned_busy,
    spans,
    totals,
)
from edge_agent.production.facts import BEFORE_NS
from edge_agent.production.live_rates import LiveRates
from edge_agent.production.signals import PlantSignals
from edge_agent.production.store_source import AFTER_NS, StoreFacts
from edge_agent.production.window_document import production
from edge_agent.register.importing import load as load_register
from edge_agent.register.model import Register
from edge_agent.stores import Samples, Store, open_store
from tests.support.aio import run, until
from tests.support.rehearsal import CALENDAR, SECOND, ZONE, Rehearsal, Truth
from tests.support.replay import Floats, Longs, Replay, held, replay

WEEK: Final = bool(os.environ.get("EDGE_AGENT_WEEK"))
SPEED: Final = 600.0 if WEEK else 60.0
EVERY_S: Final = 120.0 if WEEK else 10.0
#: The simulators move their values on every 0.1 s of our time.
TICK_S: Final = 0.1 * SPEED
MINUTE: Final = 60 * SECOND
DAY: Final = 86_400 * SECOND
HOUR: Final = 3600 * SECOND
NEVER: Final = 2**62
#: kWh per step of the meters' registers: float32 near 10^5.., and a scale of 0.4.
RESOLUTION: Final = {"meter-ml1": 1 / 32, "meter-pl1": 0.4}
#: kW per step of the coarsest power tag of a machine.
POWER_STEP: Final = 0.01
#: Two seconds of ours: what a device shows is not older, however busy this machine.
LATE_S: Final = 2 * SPEED

pytestmark = pytest.mark.timeout(3600 if WEEK else 240)


@dataclass
class Story:
    """What one rehearsal left behind."""

    site: Site
    store: Store
    truth: Truth
    register: Register
    calendar: Calendar
    start: int
    end: int
    counters: dict[str, int]
    newest: list[dict[str, Any]]
    replay: Replay

    @cached_property
    def current(self) -> dict[str, list[tuple[int, int]]]:
        return StoreFacts(self.store).known(self.start - BEFORE_NS, self.end + AFTER_NS)

    @cached_property
    def links(self) -> PlantSignals:
        return PlantSignals(self.site, self.register)

    def known(self, device: str) -> list[tuple[int, int]]:
        """When in the window the device's values were current (ns)."""
        spans = [(max(a, self.start), min(b, self.end)) for a, b in self.current.get(device, [])]
        return [(a, b) for a, b in spans if a < b]

    def readings(self, device: str, tag: str, after: int = 0) -> tuple[Longs, Floats]:
        """All up to `after` (ns) behind the window; NaN where a reading has no number."""
        found = self.store.samples(device, tag, self.replay.epoch, self.end + after)
        return found.t, found.num

    def site_tags(self, device: str) -> set[str]:
        return next(set(each.tags) for each in self.site.devices if each.id == device)

    def figures(self, start: int | None = None, end: int | None = None) -> dict[str, Any]:
        window = self.start if start is None else start, self.end if end is None else end
        return production(self.store, self.site, self.register, self.calendar, *window)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    epoch = time.time_ns()
    rehearsal = Rehearsal(tmp_path_factory.mktemp("week"), Clock(SPEED, epoch), EVERY_S)
    window: list[int] = []

    def calendar(now: int) -> str:
        start, end, text = week(now) if WEEK else short_shift(now)
        window.extend((start, end))
        return text

    rehearsal.calendar = calendar
    rehearsal.start_hour = hour_of(epoch) if WEEK else 9.0
    words, newest = run(rehearse(rehearsal, window), timeout=3500 if WEEK else 200)
    start, end = window
    register_file = rehearsal.site.register_
    assert register_file.equipment is not None
    assert register_file.calendar is not None
    ids = [device.id for device in rehearsal.site.devices]
    register, _ = load_register(register_file.equipment, register_file.processes, ids)
    with contextlib.closing(open_store(rehearsal.site.store, rehearsal.site.agent.id)) as store:
        yield Story(
            rehearsal.site,
            store,
            Truth(rehearsal.truth),
            register,
            load_calendar(register_file.calendar),
            start,
            end,
            words["counters"],
            newest,
            replay(rehearsal.spec, end),
        )


def hour_of(t: int) -> float:
    local = datetime.fromtimestamp(t // SECOND, ZONE)
    return local.hour + local.minute / 60 + local.second / 3600


def short_shift(now: int) -> tuple[int, int, str]:
    """Twenty minutes, half an hour from now (30 s, for service and agent to start); two of them are
    a planned stop."""
    first = (now // MINUTE + 30) * MINUTE
    last, stop = first + 20 * MINUTE, first + 10 * MINUTE
    edges = (first, last, stop, stop + 2 * MINUTE)
    clock = [datetime.fromtimestamp(t // SECOND, ZONE).strftime("%H:%M") for t in edges]
    text = (
        "timezone: Asia/Shanghai\nschedules:\n  two-shift:\n"
        f"    shifts: [{{name: short, start: '{clock[0]}', end: '{clock[1]}'}}]\n"
        f"    breaks: [{{start: '{clock[2]}', end: '{clock[3]}'}}]\n"
    )
    return first, last, text


def week(now: int) -> tuple[int, int, str]:
    """Seven days from a full hour on."""
    first = (now // (60 * MINUTE) + 2) * 60 * MINUTE
    return first, first + 7 * DAY, CALENDAR


async def rehearse(
    rehearsal: Rehearsal, window: list[int]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run until the window is over and its figures are published; the agent's last words, and these
    figures."""
    async with rehearsal.running():
        start, end = window
        assert rehearsal.clock.time_ns() < start, "the machine was too slow to start in time"
        left = rehearsal.clock.real((end - rehearsal.clock.time_ns()) / SECOND)

        def wanted(row: dict[str, Any]) -> bool:
            return WEEK or row["period"]["from_ns"] == start

        def closed() -> list[dict[str, Any]]:
            found = ask(serve_socket(rehearsal.site), "production_metrics")
            return [
                row
                for row in found
                if row["complete"] and row["period"]["kind"] == "shift" and wanted(row)
            ]

        newest = await until(
            lambda: asyncio.to_thread(closed), left + 60, "the shift's figures are kept"
        )
        while rehearsal.clock.time_ns() < end + 5 * MINUTE:
            await asyncio.sleep(0.1)  # poll interval of this waiter
        return await rehearsal.settle(), newest


def truth_timeline(story: Story, device: str, schedule: str) -> Timeline:
    """The time model of what the machine really did."""
    rows = story.truth.states[device]
    t = [row[0] for row in rows]
    item, mode = (
        Track(t, [ItemState(row[1]) for row in rows]),
        Track(t, [OperationMode(row[2]) for row in rows]),
    )
    plan = story.calendar.plan(schedule, t[0], story.end)
    return classify(spans(t[0], story.end, item, mode, None, plan))


def truth_totals(story: Story, device: str, schedule: str) -> tuple[Totals, int]:
    """Its sums in the window, and how often the machine changed."""
    changes = sum(story.start < row[0] < story.end for row in story.truth.states[device])
    return totals(truth_timeline(story, device, schedule), story.start, story.end), changes


def truth_made(
    story: Story, device: str, busy: list[tuple[int, int]], lag: int
) -> list[tuple[int, int]]:
    """(least, most) of parts produced, and of scrap, in these spans: what is made in the `lag`
    before an edge may be read on either side of it."""
    made = [
        [story.truth.made(device, start + a, end + b) for a in (-lag, 0) for b in (-lag, 0)]
        for start, end in busy
    ]
    columns = [[[row[i] for row in span] for span in made] for i in (0, 1)]
    return [(sum(map(min, spans_)), sum(map(max, spans_))) for spans_ in columns]


def unvouched(story: Story, device: str, edges: Iterable[int]) -> float:
    """Parts of the steps across edges at which nothing vouched for the device: how many on either
    side nobody knows."""
    signal = story.links.devices[device].roles["produced"]
    t, number = story.readings(*signal.name, NEVER)
    t, number = t[~np.isnan(number)], number[~np.isnan(number)]
    places = [
        int(np.searchsorted(t, edge))
        for edge in edges
        if not any(a <= edge <= b for a, b in story.known(device))
    ]
    return sum(
        float(number[place] - number[place - 1]) for place in set(places) if 0 < place < len(t)
    )


def test_the_machine_kept_up(story: Story) -> None:
    counters = story.counters
    assert counters["enqueued"] == counters["acknowledged"] == story.store.counts().stored
    assert counters["dropped"] == 0


def test_times_agree_within_one_poll_period_per_transition(story: Story) -> None:
    figures = story.figures()
    assert len(figures["machines"]) == 16
    seen = {}
    for key, machine in figures["machines"].items():
        expected, changes = truth_totals(story, machine["device"], "two-shift")
        allowed = changes * (EVERY_S + TICK_S) + machine["seconds"]["unknown"] + EVERY_S + TICK_S
        seconds = machine["seconds"]
        assert seconds["PBT"] == expected.pbt / SECOND
        assert seconds["APT"] + seconds["ASUT"] + seconds["ADET"] + seconds[
            "ADOT"
        ] == pytest.approx(seconds["PBT"])
        off = {}
        for bucket in (Bucket.APT, Bucket.ASUT, Bucket.ADET, Bucket.PLANNED, Bucket.OVERTIME):
            off[bucket.value] = seconds[bucket.value] - expected.bucket(bucket) / SECOND
            assert abs(off[bucket.value]) <= allowed, (key, bucket, off, changes, seconds)
        seen[key] = (
            changes,
            {name: round(each, 1) for name, each in off.items()},
            round(seconds["unknown"], 1),
        )
        assert machine["unknown_share"] < 0.1, (key, seconds)
    print(json.dumps(seen, indent=1))


def test_parts_agree(story: Story) -> None:
    for key, machine in story.figures()["machines"].items():
        device, found = machine["device"], machine["parts"]
        # Of planned time: the planned stop's parts stand apart.
        busy = planned_busy(truth_timeline(story, device, "two-shift"), story.start, story.end)
        assert len(busy) > 1
        if found["produced"] is None:
            assert device == "agv-01"
            continue
        batch = 10 if device == "washer-01" else 1
        slack = batch + unvouched(story, device, chain.from_iterable(busy))
        made, scrap = truth_made(story, device, busy, int((EVERY_S + TICK_S + 5) * SECOND))
        print(key, found["produced"], made, found["good"], scrap, slack)
        assert made[0] - slack <= found["produced"] <= made[1] + slack, (key, found, made)
        whole, _ = truth_made(
            story, device, [(story.start, story.end)], int((EVERY_S + TICK_S + 5) * SECOND)
        )
        every = found["produced"] + found["produced_outside_planned"]
        assert whole[0] - slack <= every <= whole[1] + slack, (key, found, whole)
        if found["good"] is not None:
            assert scrap[0] - slack <= found["produced"] - found["good"] <= scrap[1] + slack, (
                key,
                found,
                scrap,
            )


def test_the_replay_is_the_same_history(story: Story) -> None:
    for device, column in story.replay.kwh.items():
        begun = column[0]
        rows = [(t, kwh) for t, kwh in story.truth.kwh[device] if t <= story.end]
        assert len(rows) > 20
        for t, kwh in rows:
            second = round((t - story.replay.epoch) / SECOND)
            assert column[second] - begun == pytest.approx(kwh - rows[0][1], abs=1e-6), (
                device,
                second,
            )


def test_readings_of_power_and_energy_are_what_the_devices_showed(story: Story) -> None:
    """To the step of the tag, at some time in the `LATE_S` before the reading."""
    for device, column in story.replay.kw.items():
        t, number = story.readings(device, "power")
        good = ~np.isnan(number)
        assert good.any() == ("power" in story.site_tags(device)), device
        for moment, kw in zip(t[good].tolist(), number[good].tolist(), strict=True):
            near = story.replay.shown(column, moment, LATE_S)
            assert np.abs(near - kw).min() <= POWER_STEP / 2 + 1e-6, (device, moment, kw, near)
    for meter, step in RESOLUTION.items():
        t, number = story.readings(meter, "import")
        good = ~np.isnan(number)
        assert good.sum() > 50
        for moment, kwh in zip(t[good].tolist(), number[good].tolist(), strict=True):
            near = story.replay.shown(story.replay.kwh[meter], moment, LATE_S)
            assert near[0] - step <= kwh <= near[-1] + step, (meter, moment, kwh, near)


def test_a_machines_energy_is_its_readings_each_held_until_the_next(story: Story) -> None:
    """Exactly, whatever was read, wherever the machine's evidence vouches for the reading."""
    integrated = 0
    for key, machine in story.figures()["machines"].items():
        device, energy = machine["device"], machine["energy"]
        if energy["kwh"] is None:
            assert not story.site_tags(device) & {"power", "energy", "import"}
            continue
        assert energy["source"] == f"{device} integrated", (
            "a machine with a counter of its own is to be tested as one"
        )
        expected = held(*story.readings(device, "power"), story.known(device))
        assert energy["kwh"] == pytest.approx(expected, abs=1e-6), key
        integrated += 1
    assert integrated == len(
        [device for device in story.replay.kw if "power" in story.site_tags(device)]
    )


def test_a_lines_energy_agrees_within_the_meters_resolution(story: Story) -> None:
    figures = story.figures()
    assert set(RESOLUTION) == set(story.replay.kwh) - set(story.replay.kw)
    lag = int((EVERY_S + TICK_S) * SECOND)
    for line, meter in (("ML1", "meter-ml1"), ("PL1", "meter-pl1")):
        energy = figures["lines"][line]["energy"]
        used = story.replay.used(meter, story.start, story.end)
        assert energy["meters"] == [meter]
        # One step at each edge of the window, where what was read is late by the simulators' tick
        # and our own.
        stale = max(story.replay.used(meter, edge - lag, edge) for edge in (story.start, story.end))
        assert energy["kwh"] == pytest.approx(used, abs=2 * RESOLUTION[meter] + stale), line
        assert figures["lines"][line]["results"]["M-19"]["value"] == pytest.approx(
            used * 0.1229 / 1000, rel=0.1
        )
        # Of the readings themselves, straight between any two of them, it is exact.
        t, number = story.readings(meter, "import", after=2 * lag)
        t, number = t[~np.isnan(number)], number[~np.isnan(number)]
        first, last = np.interp([story.start - t[0], story.end - t[0]], t - t[0], number)
        assert energy["kwh"] == pytest.approx(last - first, abs=1e-6), line
        print(line, energy["kwh"], used)


def test_a_machines_energy_agrees_as_well_as_a_power_read_now_and_then_can(story: Story) -> None:
    """Within five standard deviations of what such readings of this very history get wrong; all
    together likewise."""
    seen, off, variance, slack = {}, 0.0, 0.0, 0.0
    for machine in story.figures()["machines"].values():
        device, kwh = machine["device"], machine["energy"]["kwh"]
        if kwh is None:
            continue
        used = story.replay.used(device, story.start, story.end)
        bias, deviation = story.replay.scatter(device, story.start, story.end, EVERY_S, TICK_S)
        rounded = POWER_STEP / 2 * (story.end - story.start) / HOUR
        # What was held while nothing vouched for it is not counted, and nobody knows it.
        power = story.readings(device, "power")
        unknown = held(*power, [(story.start, story.end)]) - held(*power, story.known(device))
        wrong, allowed = kwh - used - bias, 5 * deviation + rounded + unknown
        seen[device] = {
            name: f"{100 * each / used:.2f} %"
            for name, each in (("off", wrong), ("allowed", allowed))
        }
        assert abs(wrong) <= allowed, (device, kwh, used, bias, deviation, unknown)
        off, variance, slack = off + wrong, variance + deviation**2, slack + rounded + unknown
    print(json.dumps(seen, indent=1))
    assert abs(off) <= 5 * variance**0.5 + slack, seen


def test_networking_and_coverage_are_exact(story: Story) -> None:
    """Time online is of the time the calendar plans; how much of it is 1 depends on how busy this
    machine is."""
    metrics = {row["id"]: row for row in story.store.metrics() if "period" not in row}
    counted = [machine for machine in story.register.equipment if machine.counted]
    linked = {
        machine.equipment_id: machine.gateway_device
        for machine in counted
        if machine.gateway_device
    }
    effective, online, acquired = (metrics[name] for name in ("M-04a-effective", "M-04d", "M-05"))
    declared = {machine.equipment_id for machine in counted if machine.networked_declared}
    assert set(effective["numerator_ids"]) == declared & set(linked)
    assert effective["value"] == len(declared & set(linked)) / len(counted)
    start, end = (
        round(datetime.fromisoformat(online["window"][edge]).timestamp()) * SECOND
        for edge in ("from", "to")
    )
    plan = story.calendar.plan("two-shift", start, end)
    hours = planned(zip(plan.times, plan.values, strict=True), end)
    assert (
        online["denominator"]
        == len(linked) * hours.within(max(start, story.replay.epoch), end) / SECOND
    )
    facts = LiveRates(story.site).live(story.store, end).devices
    last_row = 6 * EVERY_S / (hours.within(max(start, story.replay.epoch), end) / SECOND)
    for row, part, whole in ((online, "online_s", "scheduled_s"), (acquired, "good", "expected")):
        assert set(row["denominator_ids"]) == set(linked)
        sums = [
            sum(getattr(facts[device], name) for device in linked.values())
            for name in (part, whole)
        ]
        # By now the store may have a health row more of a device than it had when this was
        # computed.
        assert row["value"] == pytest.approx(float(sums[0] / sums[1]), abs=last_row)
        assert 0.5 < row["value"] <= 1
    print({row["id"]: row["value"] for row in (effective, online, acquired)})


def test_coverage_and_good_readings_are_those_of_the_reads(story: Story) -> None:
    """Of every polled device, over the whole rehearsal: two reads cover what lies between them, up
    to a period and a half; and what was counted as good is what the store has of good samples. A
    device that a busy machine kept waiting has bad ones besides: nothing is covered from the last
    good read to the next."""
    polled = [device for device in story.site.devices if device.connector == "modbus"]
    assert len(polled) > 10
    for device in polled:
        health = story.store.health(0, NEVER)[device.id]
        reads = story.store.samples(device.id, min(device.tags), 0, NEVER)
        good = usable(reads)
        apart = np.diff(reads.t)[good[1:] & good[:-1]] / SECOND
        assert health.covered_s == pytest.approx(
            np.minimum(apart, 1.5 * EVERY_S).sum(), rel=1e-3, abs=EVERY_S / 2
        ), device.id
        tags = story.store.latest(device.id)[device.id]
        stored = [story.store.samples(device.id, tag, 0, NEVER) for tag in tags]
        assert health.good == sum(int(usable(each).sum()) for each in stored), device.id


def usable(samples: Samples) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of them are good, or uncertain: what a health row counts as good."""
    return (samples.status & np.uint32(0x8000_0000)) == 0


def test_the_shifts_figures_are_kept_and_are_those_of_the_store(story: Story) -> None:
    kept = {row["id"]: row for row in story.newest}
    shift = kept["M-11/shift/ML1"]
    period = shift["period"]
    figures = story.figures(period["from_ns"], period["to_ns"])
    again = figures["lines"]["ML1"]["results"]["M-11"]
    assert shift["numerator_ids"] == again["numerator_ids"]
    assert shift["value"] == pytest.approx(again["value"], abs=0.01)
    assert shift["details"]["losses"]
    assert {row["scope"]["id"] for row in kept.values()} == {"ML1", "PL1", "site"}
    assert {"M-12", "M-13", "M-14", "M-15", "M-18", "M-19", "M-20", "M-21-p95"} <= {
        row["metric"] for row in kept.values()
    }
    stored = [
        row
        for row in story.store.metrics(period["to_ns"], period["to_ns"] + 1)
        if row["id"] == shift["id"]
    ]
    assert stored


def test_windows_add_up(story: Story) -> None:
    middle = (story.start + story.end) // 2
    whole, *halves = (
        story.figures(*w)
        for w in ((story.start, story.end), (story.start, middle), (middle, story.end))
    )
    for key, machine in whole["machines"].items():
        for name in ("APT", "ASUT", "ADET", "planned_down", "PBT", "unknown"):
            parts = sum(half["machines"][key]["seconds"][name] for half in halves)
            assert parts == pytest.approx(machine["seconds"][name], abs=1e-6), (key, name)
    energy = sum(half["site"]["energy"]["kwh"] for half in halves)
    assert energy == pytest.approx(whole["site"]["energy"]["kwh"], abs=1e-6)
