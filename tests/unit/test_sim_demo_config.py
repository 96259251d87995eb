"""configs/demo.yaml: the twenty devices, no tag simulated by guess, each machine's state as its
simulator means it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.app.demo import rehearse
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.config.models import Site
from edge_agent.model import Batch
from edge_agent.normalise.state import StateMachine
from edge_agent.sdk import DevicePlan
from simulators.behaviours.base import MachineryItemState, MachineryOperationMode
from simulators.clock import SimClock
from simulators.device import SimulatedDevice
from simulators.signals import ALIASES
from simulators.spec import Spec, parse
from simulators.world import World

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
DEVICES = {
    "ML1": "lathe-01 lathe-02 vmc-01 vmc-02 dtc-01 dtc-02 edm-01 robot-01 cmm-01 meter-ml1 vfd-ml1",
    "PL1": "polish-01 polish-02 polish-03 belt-01 fan-01 washer-01 vision-01 agv-01 meter-pl1",
}
#: SINUMERIK's mode switch has no word for a break: the machine stays in AUTO.
NO_BREAK = {"vmc-02"}


@pytest.fixture(scope="module")
def site() -> Site:
    return load(DEMO)


@pytest.fixture(scope="module")
def compiled(site: Site) -> list[DevicePlan]:
    return plans(site)


@pytest.fixture(scope="module")
def spec(site: Site, compiled: list[DevicePlan]) -> Spec:
    return parse(rehearse.spec(site, compiled, Clock(1.0, 0), seed=3))


def test_the_demo_has_exactly_its_two_lines(site: Site, compiled: list[DevicePlan]) -> None:
    found = {
        line: {device.id for device in site.devices if device.line == line} for line in DEVICES
    }
    assert found == {line: set(ids.split()) for line, ids in DEVICES.items()}
    assert 250 <= sum(len(table) for plan in compiled for table in plan.tables) <= 360
    for device in site.devices:
        assert device.name, device.id
        assert (device.state is not None) == (not device.id.startswith("meter-")), device.id


def test_every_tag_of_the_demo_is_a_signal_of_its_machine(spec: Spec) -> None:
    world = World(spec, SimClock(1.0, 0))
    for device in spec.devices:
        offered = world.behaviours[device.id].signals()
        guessed = [
            tag.name
            for tag in device.tags
            if ALIASES.get(tag.name, tag.name) not in offered and tag.name not in offered
        ]
        assert guessed == [], device.id


def test_the_derived_states_are_what_the_machines_are_doing(
    site: Site, compiled: list[DevicePlan], spec: Spec
) -> None:
    """Through a night, a morning and a working hour, for every device with state rules."""
    world = World(spec, SimClock(1.0, 0))
    states = {device.id: device.state for device in site.devices}
    machines = []
    for plan, item in zip(compiled, spec.devices, strict=True):
        machine = StateMachine.compile(states[plan.id], plan.tables, frozenset())
        if machine is not None:
            machines.append((plan.tables[0], machine, SimulatedDevice(item, world, 3)))
    seen: dict[str, set[tuple[MachineryItemState, MachineryOperationMode]]] = {}
    for t in [*range(0, 3 * 3600, 4), *range(10 * 3600, 24 * 3600, 97)]:
        world.advance(float(t), budget_s=60.0)
        for table, machine, device in machines:
            name = device.spec.id
            state = world.behaviours[name].state
            assert state is not None
            machine.observe(Batch(table, t, list(device.values())))
            derived = [number for number, _ in machine.evaluate()]
            assert derived[0] == state.item, (name, t, state)
            mode = (
                MachineryOperationMode.Processing
                if name in NO_BREAK and state.mode is MachineryOperationMode.NONE
                else state.mode
            )
            if len(derived) > 1:
                assert derived[1] == mode, (name, t, state)
            seen.setdefault(name, set()).add((state.item, state.mode))
    assert all(len(found) >= 2 for found in seen.values()), seen
