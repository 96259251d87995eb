"""The two demo lines, stepped through a simulated shift without a clock: invariants, coupling,
determinism."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from simulators.behaviours.base import MachineryItemState, MachineryOperationMode
from simulators.behaviours.cells import BeltGrinder
from simulators.behaviours.machine import SimulatedMachine
from simulators.behaviours.meter import Meter
from simulators.behaviours.packml import (
    ABORT_BRANCH,
    ACTING,
    COMMANDS,
    Pack,
    PolishingRobot,
    UnitMode,
    machine_state,
)
from simulators.behaviours.script import Phase, ScriptedMachine
from simulators.behaviours.vfd import DustFan
from simulators.calendar import Duty, ShiftCalendar
from simulators.clock import SimClock
from simulators.spec import Spec, parse
from simulators.world import World

pytestmark = pytest.mark.slow

ML1 = [
    "lathe-01",
    "lathe-02",
    "vmc-01",
    "vmc-02",
    "dtc-01",
    "dtc-02",
    "edm-01",
    "robot-01",
    "cmm-01",
    "vfd-ml1",
    "meter-ml1",
]
PL1 = [
    "polish-01",
    "polish-02",
    "polish-03",
    "belt-01",
    "fan-01",
    "washer-01",
    "vision-01",
    "agv-01",
    "meter-pl1",
]
SHIFT = 10 * 3600
GROWING = (
    "parts_total",
    "parts_scrap",
    "parts_good",
    "power_on_time",
    "cutting_time",
    "energy",
    "import",
)


def lines(seed: int = 7, **more: object) -> Spec:
    devices = [
        {"id": i, "line": "ML1" if i in ML1 else "PL1", "protocol": "modbus", "tags": {}}
        for i in (*ML1, *PL1)
    ]
    return parse({"seed": seed, "epoch_ns": 1_700_000_000_000_000_000, "devices": devices, **more})


def world(spec: Spec) -> World:
    return World(spec, SimClock(1.0, spec.epoch_ns))


class History:
    """One shift of both lines, with what has to hold checked at every step."""

    def __init__(self) -> None:
        self.world = world(lines())
        self.phases: dict[str, set[Phase]] = {}
        self.packs: list[tuple[str, Pack, Pack]] = []
        self.items: dict[str, set[MachineryItemState]] = {}
        self.integral: dict[str, float] = {name: b.kwh for name, b in self.world.behaviours.items()}
        for t in range(1, SHIFT + 1):
            before = {b.name: b.pack for b in self.robots()}
            self.world.advance(float(t))
            self._observe(before)

    def robots(self) -> list[PolishingRobot]:
        return [b for b in self.world.behaviours.values() if isinstance(b, PolishingRobot)]

    def _observe(self, before: dict[str, Pack]) -> None:
        for name, behaviour in self.world.behaviours.items():
            self.integral[name] += behaviour.kw / 3600.0
            assert behaviour.kw >= 0.0
            if isinstance(behaviour, ScriptedMachine):
                self.phases.setdefault(name, set()).add(behaviour.phase)
            if behaviour.state is not None:
                self.items.setdefault(name, set()).add(behaviour.state.item)
            if isinstance(behaviour, PolishingRobot) and behaviour.pack is not before[name]:
                self.packs.append((name, before[name], behaviour.pack))
        for line in self.world.lines:
            members = [*line.drives, *line.machines]
            assert line.state.kw == pytest.approx(sum(member.kw for member in members))
            assert all(
                0 <= buffer.level <= buffer.capacity for buffer in line.state.buffers.values()
            )


@pytest.fixture(scope="module")
def history() -> History:
    return History()


def test_energy_is_the_integral_of_power_for_every_device(history: History) -> None:
    for name, behaviour in history.world.behaviours.items():
        assert behaviour.kwh == pytest.approx(history.integral[name], rel=1e-9), name
        assert behaviour.kwh > 0.5, name


def test_the_line_meter_counts_what_its_machines_and_its_base_load_draw(history: History) -> None:
    for line in history.world.lines:
        (meter,) = line.meters
        machines = sum(member.kwh for member in (*line.drives, *line.machines))
        hours = (SHIFT + 900) / 3600
        assert meter.kwh == pytest.approx(machines + meter.base_kw * hours, rel=1e-6)


def test_every_machine_makes_parts_and_one_to_three_percent_are_scrap(history: History) -> None:
    for name, behaviour in history.world.behaviours.items():
        if isinstance(behaviour, SimulatedMachine) and not name.startswith("agv"):
            assert behaviour.parts_made > 10, name
            assert 0.01 <= behaviour.scrap_rate <= 0.03
            assert behaviour.scrap_made <= behaviour.parts_made * 0.06 + 3, name


def test_parts_are_not_invented_downstream(history: History) -> None:
    made = {
        name: b.parts_made
        for name, b in history.world.behaviours.items()
        if isinstance(b, SimulatedMachine)
    }
    start = 6  # parts in a buffer at the beginning
    assert made["robot-01"] <= made["lathe-01"] + made["lathe-02"] + start
    assert made["cmm-01"] <= made["dtc-01"] + made["dtc-02"] + start
    assert made["vision-01"] <= made["washer-01"] + start


def test_machines_see_the_whole_script_in_a_shift(history: History) -> None:
    seen = set().union(*history.phases.values())
    wanted = {
        Phase.SETUP,
        Phase.WAIT,
        Phase.LOAD,
        Phase.RUN,
        Phase.TOOL_CHANGE,
        Phase.HOLD,
        Phase.ALARM,
        Phase.RESTART,
    }
    assert wanted | {Phase.BREAK} <= seen
    assert all(MachineryItemState.Executing in items for items in history.items.values())


def test_packml_takes_only_transitions_of_the_state_model(history: History) -> None:
    assert len({after for _, _, after in history.packs}) >= 10
    for name, before, after in history.packs:
        ends = {ACTING[before][1]} if before in ACTING else set()
        allowed = (
            ends
            | COMMANDS.get(before, set())
            | (set() if before in ABORT_BRANCH else {Pack.Aborting})
        )
        assert after in allowed, (name, before, after)


def test_the_dust_interlock_aborts_polishing_and_stops_the_belt() -> None:
    here = world(lines())
    fan, belt = here.behaviours["fan-01"], here.behaviours["belt-01"]
    assert isinstance(fan, DustFan)
    assert isinstance(belt, BeltGrinder)
    fan.tripped_s = 400.0
    here.advance(200.0)
    robots = [b for b in here.behaviours.values() if isinstance(b, PolishingRobot)]
    assert fan.line.dust_alarm
    assert all(robot.pack in ABORT_BRANCH for robot in robots)
    assert all(robot.state.item is MachineryItemState.OutOfService for robot in robots)
    assert belt.phase is not Phase.RUN
    here.advance(1800.0, budget_s=60.0)
    assert not fan.line.dust_alarm
    assert any(robot.state.item is MachineryItemState.Executing for robot in robots)


def test_upstream_starvation_suspends_the_polishing_robots() -> None:
    here = world(lines())
    line = next(line for line in here.lines if line.state.name == "PL1")
    seen = set()
    for t in range(1, 600):
        line.state.buffers["raw"].level = 0
        here.advance(float(t))
        seen |= {b.pack for b in here.behaviours.values() if isinstance(b, PolishingRobot)}
    assert Pack.Suspended in seen


def test_belt_current_rises_with_wear_and_a_new_belt_resets_the_life() -> None:
    here = world(lines())
    belt = here.behaviours["belt-01"]
    assert isinstance(belt, BeltGrinder)
    lives, loads = [], {}
    for t in range(1, 5 * 3600):
        here.advance(float(t))
        lives.append(belt.belt_s)
        if belt.phase is Phase.RUN:
            loads.setdefault(round(belt.wear, 1), []).append(belt.load())
    assert any(after < before for before, after in itertools.pairwise(lives))
    means = {wear: sum(values) / len(values) for wear, values in loads.items()}
    assert means[max(means)] > means[min(means)] + 0.1


def test_counters_never_run_backwards_except_the_one_that_resets_at_its_target() -> None:
    here = world(lines(seed=11))
    names = [name for name, b in here.behaviours.items() if isinstance(b, SimulatedMachine | Meter)]
    last: dict[tuple[str, str], float] = {}
    for t in range(60, 4 * 3600, 60):
        here.advance(float(t), budget_s=60.0)
        for name in names:
            signals = here.behaviours[name].signals()
            for key in (key for key in GROWING if key in signals):
                value = float(str(signals[key]))
                assert value >= last.get((name, key), value), (name, key)
                last[name, key] = value
            if "part_count" in signals:
                assert (
                    0 <= int(str(signals["part_count"])) <= int(str(signals["parts_required"])) + 20
                )


def test_equal_seeds_give_equal_histories_however_time_is_sliced() -> None:
    one, two, other = world(lines(seed=3)), world(lines(seed=3)), world(lines(seed=4))
    one.advance(1800.0, budget_s=60.0)
    for t in range(7, 1800, 7):
        two.advance(float(t), budget_s=60.0)
    two.advance(1800.0, budget_s=60.0)
    other.advance(1800.0, budget_s=60.0)
    shown = [{name: b.signals() for name, b in w.behaviours.items()} for w in (one, two, other)]
    assert shown[0] == shown[1]
    assert shown[0] != shown[2]


def test_reading_signals_changes_nothing() -> None:
    one, two = world(lines(seed=5)), world(lines(seed=5))
    for t in range(1, 300):
        one.advance(float(t))
        for behaviour in one.behaviours.values():
            behaviour.signals()
    two.advance(299.0, budget_s=60.0)
    assert {n: b.signals() for n, b in one.behaviours.items()} == {
        n: b.signals() for n, b in two.behaviours.items()
    }


def test_at_night_machines_stand_still_and_warm_up_in_the_morning() -> None:
    here = world(lines(start_hour=3.5))
    here.advance(2 * 3600.0, budget_s=60.0)  # 5:30
    machines = [b for b in here.behaviours.values() if isinstance(b, SimulatedMachine)]
    assert all(
        machine.state.item is not MachineryItemState.Executing
        for machine in machines
        if machine.name != "edm-01"
    )
    night = sum(machine.kw for machine in machines)
    here.advance(4.6 * 3600.0, budget_s=60.0)  # 8:06
    warming = [m for m in machines if isinstance(m, ScriptedMachine) and m.phase is Phase.WARM_UP]
    assert len(warming) >= 8
    assert all(m.state.mode is MachineryOperationMode.Setup for m in warming)
    assert sum(machine.kw for machine in machines) > 3 * night


@pytest.mark.parametrize(
    ("hour", "duty"),
    [(9.0, Duty.WORK), (12.25, Duty.BREAK), (17.99, Duty.WORK), (22.1, Duty.BREAK), (3.99, Duty.WORK), (4.0, Duty.OFF),
     (7.99, Duty.OFF), (8.0, Duty.WARM_UP), (8.2, Duty.WORK), (0.0, Duty.WORK)],
)  # fmt: skip
def test_the_calendar_names_one_duty_for_each_hour(hour: float, duty: Duty) -> None:
    assert ShiftCalendar(9.0).at((hour - 9.0) * 3600.0) is duty


def test_packml_states_in_the_common_vocabulary() -> None:
    assert machine_state(Pack.Execute, UnitMode.Produce).item is MachineryItemState.Executing
    assert machine_state(Pack.Suspended, UnitMode.Produce).item is MachineryItemState.NotExecuting
    assert machine_state(Pack.Aborted, UnitMode.Produce).item is MachineryItemState.OutOfService
    assert (
        machine_state(Pack.Stopped, UnitMode.Maintenance).mode is MachineryOperationMode.Maintenance
    )
    assert len(Pack) == 17


def test_the_truth_log_tells_transitions_parts_and_energy(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    here = world(lines(truth=str(path)))
    here.advance(1800.0, budget_s=60.0)
    here.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    epoch = 1_700_000_000_000_000_000
    assert all(epoch <= row["t"] <= epoch + 1800 * 10**9 for row in rows)
    for name, behaviour in here.behaviours.items():
        mine = [row for row in rows if row["device"] == name]
        energies = [row["kwh"] for row in mine if row["event"] == "energy"]
        assert energies == sorted(energies)
        assert energies[-1] == pytest.approx(behaviour.kwh)
        if behaviour.state is not None:
            states = [row for row in mine if row["event"] == "state"]
            assert states[0]["t"] == epoch
            assert states[-1]["item_state"] == behaviour.state.item
        if isinstance(behaviour, SimulatedMachine):
            assert [row for row in mine if row["event"] == "parts"][-1][
                "made"
            ] == behaviour.parts_made
