"""`probe`: registers in every type and order, again and again, with what changes between two
looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from edge_agent.commissioning.endpoints import DeviceTarget, at_address, sentences
from edge_agent.commissioning.tag_names import clean
from edge_agent.discovery import Plausible, ProbeLook, Prober, ProbeWanted
from edge_agent.errors import FindingsError

#: Real seconds between two looks.
LOOK_S: Final = 1.0


@dataclass(slots=True)
class ChangedRegisters:
    """Which places have changed: since the look before, and ever since the first."""

    now: set[str] = field(default_factory=set)
    ever: set[str] = field(default_factory=set)
    looks: int = 0
    _before: dict[str, int | None] = field(default_factory=dict)

    def note(self, look: ProbeLook) -> None:
        """Compare a look with the one before."""
        current = {place.address: place.raw for place in look.places}
        self.now = {
            at for at, raw in current.items() if at in self._before and self._before[at] != raw
        }
        self.ever |= self.now
        self._before = current
        self.looks += 1


def device_at(url: str, unit: int, timeout: float) -> DeviceTarget:
    """The device at an address. Raises FindingsError for an address that is none, or has no
    registers."""
    endpoint = at_address(url)
    if endpoint.discovery.probe is None:
        raise _no_registers(endpoint)
    return at_address(url, unit=unit, timeout=timeout)


def _no_registers(endpoint: DeviceTarget) -> FindingsError:
    return FindingsError.one(
        "cannot-probe",
        f"{endpoint.plugin.name} 的变量有名称和类型，不必试读寄存器：请用 browse。",
        f"Tags of {endpoint.plugin.name} have names and types: use `browse`, there are no "
        "registers to try.",
    )


async def opened(endpoint: DeviceTarget, wanted: ProbeWanted) -> Prober:
    """Raises FindingsError for what cannot be asked, DeviceError when the device cannot be
    reached."""
    if endpoint.discovery.probe is None:
        raise _no_registers(endpoint)
    try:
        return await endpoint.discovery.probe(endpoint.options, wanted)
    except ValueError as error:
        raise FindingsError.one("bad-probe", *sentences(error)) from error


async def look_once(endpoint: DeviceTarget, wanted: ProbeWanted) -> ProbeLook:
    """One look; the connection is closed when it returns. Raises as `opened`."""
    prober = await opened(endpoint, wanted)
    try:
        return await prober.look()
    finally:
        await prober.close()


async def looks(endpoint: DeviceTarget, wanted: ProbeWanted) -> AsyncGenerator[ProbeLook]:
    """Again each second until closed. Raises as `opened`."""
    prober = await opened(endpoint, wanted)
    try:
        while True:
            yield await prober.look()
            await asyncio.sleep(LOOK_S)
    finally:
        await prober.close()


def document(look: ProbeLook, changes: ChangedRegisters | None = None) -> dict[str, Any]:
    """As JSON."""
    places = []
    for place in look.places:
        row = asdict(place)
        if changes is not None:
            row["changed"] = place.address in changes.now
        places.append(row)
    return {"places": places, "plausible": [asdict(one) for one in look.plausible]}


def well(look: ProbeLook, wanted: ProbeWanted) -> bool:
    """Whether something can be read, and what was expected is among it."""
    readable = any(place.raw is not None for place in look.places)
    return readable and (wanted.expect is None or bool(look.plausible))


def chosen(wanted: ProbeWanted, look: ProbeLook) -> Sequence[Plausible]:
    """The readings that a file may have as tags: those that are certain, or the best where one was
    expected."""
    return (
        look.plausible[:1]
        if wanted.expect is not None
        else [one for one in look.plausible if one.certain]
    )


def device_for_file(
    endpoint: DeviceTarget, readings: Sequence[Plausible], name: str | None = None
) -> dict[str, Any]:
    """A device with readings as tags. `name`: of the one tag."""
    tags = {name or clean(one.address.replace("/", "_")): dict(one.keys) for one in readings}
    usual = type(endpoint.options).model_fields
    keys = {
        key: value
        for key, value in endpoint.keys.items()
        if key == "unit" or usual[key].default != value
    }
    return {
        "id": f"{endpoint.plugin.name}-01",
        "connector": endpoint.plugin.name,
        **keys,
        "tags": tags,
    }
