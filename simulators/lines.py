"""The two demo lines: which behaviour a device gets, and how the machines of a line feed one
another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from simulators.behaviours import cells, cnc, lamps, stations, vfd
from simulators.behaviours.base import Behaviour
from simulators.behaviours.machine import SimulatedMachine
from simulators.behaviours.meter import Meter
from simulators.behaviours.packml import PolishingRobot
from simulators.flow import Buffer, LineState
from simulators.spec import DeviceSpec, SpecError

Maker = Callable[[str, int, LineState], Behaviour]

KINDS: Final[dict[str, Maker]] = {
    "lathe": lambda name, seed, line: cnc.Cnc(name, seed, line, cnc.LATHE),
    "cnc": lambda name, seed, line: cnc.Cnc(name, seed, line, cnc.MILL),
    "drill-tap": lambda name, seed, line: cnc.Cnc(name, seed, line, cnc.DRILL_TAP),
    "edm": stations.Edm,
    "robot": stations.Robot,
    "cmm": stations.Cmm,
    "lamps": lamps.TowerLight,
    "packml": PolishingRobot,
    "belt": cells.BeltGrinder,
    "washer": cells.Washer,
    "vision": cells.Vision,
    "agv": cells.Agv,
    "vfd": vfd.Drive,
    "fan": vfd.DustFan,
    "meter": Meter,
}
GENERIC: Final = "generic"

#: Beginning of a device id -> kind.
_BY_ID: Final = (
    ("lathe", "lathe"),
    ("vmc", "cnc"),
    ("cnc", "cnc"),
    ("mill", "cnc"),
    ("dtc", "drill-tap"),
    ("edm", "edm"),
    ("robot", "robot"),
    ("cmm", "cmm"),
    ("polish", "packml"),
    ("belt", "belt"),
    ("washer", "washer"),
    ("vision", "vision"),
    ("agv", "agv"),
    ("vfd", "vfd"),
    ("fan", "fan"),
    ("meter", "meter"),
)

#: Tag names that give a device of any id away; all of one set must be there.
_BY_TAGS: Final = (
    ({"packml_state"}, "packml"),
    ({"spindle_speed", "feed_override"}, "cnc"),
    ({"program_status"}, "cnc"),
    ({"channel_state"}, "cnc"),
    ({"output_frequency"}, "vfd"),
    ({"voltage_l1"}, "meter"),
    ({"power", "import"}, "meter"),
    ({"voltage", "frequency"}, "meter"),
    ({"input_1", "input_8"}, "lamps"),
    ({"lamp_red", "lamp_green"}, "lamps"),
)


@dataclass(frozen=True, slots=True)
class _Route:
    """From which buffer a kind of machine takes its material, and into which its parts go."""

    source: str | None
    target: str | None


#: The flow of material, by kind. ML1: lathes -> robot -> VMCs -> drill-tap -> CMM (the EDM works
#: alone); PL1: AGV -> polishing -> belt -> washer -> vision.
_ROUTES: Final = {
    "lathe": _Route(None, "turned"),
    "robot": _Route("turned", "loaded"),
    "cnc": _Route("loaded", "milled"),
    "drill-tap": _Route("milled", "drilled"),
    "cmm": _Route("drilled", None),
    "agv": _Route(None, "raw"),
    "packml": _Route("raw", "polished"),
    "belt": _Route("polished", "ground"),
    "washer": _Route("ground", "clean"),
    "vision": _Route("clean", None),
}


def behaviour_for(device: DeviceSpec) -> str:
    """The kind of a device: as its SPEC says, else by its id, else by its tags, else generic.
    Raises SpecError."""
    if device.behaviour is not None:
        if device.behaviour not in KINDS and device.behaviour != GENERIC:
            known = ", ".join((*KINDS, GENERIC))
            raise SpecError(
                f"{device.id}：没有 {device.behaviour} 这种行为，可用：{known} / "
                f"{device.id}: no behaviour {device.behaviour}, known are {known}"
            )
        return device.behaviour
    for prefix, kind in _BY_ID:
        if device.id.lower().startswith(prefix):
            return kind
    names = {tag.name for tag in device.tags}
    return next((kind for wanted, kind in _BY_TAGS if wanted <= names), GENERIC)


class ProductionLine:
    """The machines of one line, in the order in which they step: drives and machines first, then
    the meters."""

    def __init__(self, name: str, members: Iterable[tuple[str, str]], seed: int) -> None:
        """`members`: (device id, kind) of each device, generic ones left out."""
        self.state = LineState(name)
        self.kinds = dict(members)
        made = {
            device: KINDS[kind](device, seed, self.state) for device, kind in self.kinds.items()
        }
        self.drives = [item for item in made.values() if isinstance(item, vfd.Drive)]
        self.meters = [item for item in made.values() if isinstance(item, Meter)]
        self.machines = [item for item in made.values() if isinstance(item, SimulatedMachine)]
        self._couple()

    def behaviours(self) -> list[Behaviour]:
        """All of them, in stepping order."""
        return [*self.drives, *self.machines, *self.meters]

    def _couple(self) -> None:
        """Connect what has a producer on this line; a machine whose producer is not simulated never
        starves."""
        kinds = set(self.kinds.values())
        for target in {
            route.target for kind, route in _ROUTES.items() if kind in kinds and route.target
        }:
            self.state.buffers[target] = Buffer()
        for machine in self.machines:
            route = _ROUTES.get(self.kinds[machine.name], _Route(None, None))
            machine.intake = self.state.buffers.get(route.source or "")
            machine.outlet = self.state.buffers.get(route.target or "")
