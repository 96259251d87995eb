"""A simulated machine without an interface: what the rules conclude from its lamps is what it is
doing."""

from __future__ import annotations

from pathlib import Path

from edge_agent.app.demo import rehearse
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.model import Batch
from edge_agent.normalise.state import StateMachine
from simulators.behaviours.base import MachineryItemState
from simulators.clock import SimClock
from simulators.device import SimulatedDevice
from simulators.lines import behaviour_for
from simulators.spec import parse
from simulators.world import World

EXAMPLE = Path(__file__).parents[2] / "configs" / "examples" / "tower-light.yaml"


def test_the_state_concluded_from_a_tower_light_is_what_the_machine_does() -> None:
    site = load(EXAMPLE)
    compiled = plans(site)
    spec = parse(rehearse.spec(site, compiled, Clock(1.0, 0), seed=5))
    assert behaviour_for(spec.devices[0]) == "lamps"
    world = World(spec, SimClock(1.0, 0))
    (table,) = compiled[0].tables
    machine = StateMachine.compile(
        site.devices[0].state, compiled[0].tables, frozenset(), derived=True
    )
    assert machine is not None
    device, seen = SimulatedDevice(spec.devices[0], world, 5), set()
    for t in [*range(0, 2 * 3600, 7), *range(11 * 3600, 24 * 3600, 61)]:
        world.advance(float(t), budget_s=60.0)
        state = world.behaviours["press-01"].state
        assert state is not None
        machine.observe(Batch(table, t, list(device.values())))
        (found,) = machine.evaluate()
        assert found == (state.item, 0)
        seen.add(state.item)
    assert seen == {
        MachineryItemState.OutOfService,
        MachineryItemState.NotExecuting,
        MachineryItemState.Executing,
    }


def test_the_yellow_lamp_flashes_in_set_up_and_is_steady_while_the_machine_waits() -> None:
    site = load(EXAMPLE)
    world = World(parse(rehearse.spec(site, plans(site), Clock(1.0, 0), seed=5)), SimClock(1.0, 0))
    press = world.behaviours["press-01"]
    changes: dict[str, set[object]] = {}
    for t in range(2 * 3600):
        world.advance(float(t), budget_s=60.0)
        signals = press.signals()
        assert press.state is not None
        if not signals["lamp_red"] and not signals["lamp_green"] and signals["input_5"]:
            changes.setdefault(press.state.mode.name, set()).add(signals["lamp_yellow"])
    assert changes["Setup"] == {True, False}
    assert changes["Processing"] == {True}
