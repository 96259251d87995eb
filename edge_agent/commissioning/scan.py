"""`scan`: who answers at the addresses that were named, and which device profile fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_agent.app.values.text import printable
from edge_agent.clock import Clock
from edge_agent.commissioning.endpoints import discovery_of, sentences
from edge_agent.commissioning.evidence import ProfileEvidence, is_clearly_best, ranked
from edge_agent.commissioning.plant_file import FoundDevice
from edge_agent.commissioning.profile_fit import ProfileFit
from edge_agent.commissioning.stub_note import stub_note
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.discovery import BrowseWanted, FoundMachine, Progress, ScanAnswer, ScanWanted
from edge_agent.errors import DeviceError, FindingsError
from edge_agent.words import command

_MANY: Final = 4
"""So many units that all answer alike are probably one device."""
_NOBODY: Final = ("exception 1", "exception 4")
"""Refusals by which servers of many units answer for those that they do not have."""
_MOST_NODES: Final = 20_000
"""Nodes looked at for machines of one server."""


@dataclass(slots=True)
class Scanned:
    """Somebody who answered, with what fits."""

    answer: ScanAnswer
    evidence: list[ProfileEvidence] = field(default_factory=list)
    machines: Sequence[FoundMachine] = ()

    @property
    def matches(self) -> list[ProfileEvidence]:
        """The profiles that fit, the best first."""
        return ranked(self.evidence)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        answer = self.answer
        matches = self.matches
        return {
            "where": answer.where,
            "answers": bool(answer.device),
            "device": dict(answer.device),
            "identification": dict(answer.facts),
            "endpoints": list(answer.offers),
            "profile": matches[0].profile if matches else None,
            "certain": bool(matches) and is_clearly_best(matches),
            "matches": [_match(one) for one in matches],
            "machines": [
                {
                    "name": one.name,
                    "standard": one.standard,
                    "profile": one.profile,
                    "tags": len(one.fitted),
                }
                for one in self.machines
            ],
            "note_zh": answer.zh,
            "note_en": answer.en,
        }


def _match(one: ProfileEvidence) -> dict[str, Any]:
    return {
        "profile": one.profile,
        "score": round(one.score, 2),
        "bits": round(one.bits, 1),
        "supported": list(one.supported),
        "zeros": one.zeros,
        "refused": one.refused,
        "impossible": list(one.impossible),
        "identification": one.identification,
    }


async def scan(
    connector: str,
    wanted: ScanWanted,
    progress: Progress,
    *,
    compare: bool = True,
    plugins: Plugins | None = None,
) -> list[Scanned]:
    """Everybody who answers. `compare`: also find the profiles that fit, which reads some hundred
    registers of each.

    Raises DeviceError when the line cannot be opened, FindingsError for addresses that are none.
    """
    known = plugins_or_installed(plugins)
    discovery = discovery_of(known[connector])
    try:
        found = [Scanned(answer) async for answer in discovery.scan(wanted, progress)]
    except ValueError as error:
        raise FindingsError.one("bad-scan", *sentences(error)) from error
    readable = [one for one in found if one.answer.readable and one.answer.device]
    if compare and readable:
        await _compare(connector, readable, progress, known)
    return found


async def _compare(
    connector: str, found: Sequence[Scanned], progress: Progress, plugins: Plugins
) -> None:
    """Read every profile on everybody who answered."""
    plugin = plugins[connector]
    clock = Clock()
    discovery = discovery_of(plugin)
    fit = ProfileFit(
        connector, {key: found[0].answer.device[key] for key in (plugin.endpoint_key,)}, plugins
    )
    for one in found:
        keys = {key: value for key, value in one.answer.device.items() if key != "connector"}
        keys |= one.answer.reading

        def step(done: int, of: int | None, what: str, where: str = one.answer.where) -> None:
            progress(done, of, f"{where} {what}")

        one.evidence = await fit.fits(keys, one.answer.facts, clock, step)
        if discovery.browse is not None and not one.matches:
            one.machines = await _machines(
                connector, plugin.device_options.model_validate(keys), discovery.browse, progress
            )


async def _machines(
    connector: str, options: Any, browse: Any, progress: Progress
) -> Sequence[FoundMachine]:
    """The machines that a server shows by their types."""
    from edge_agent.commissioning.browse import profile_tags

    wanted = BrowseWanted(limit=_MOST_NODES, profiles=profile_tags(connector))
    try:
        browsed = await browse(options, wanted, progress)
    except DeviceError:
        return ()
    machines: Sequence[FoundMachine] = browsed.machines
    return machines


def all_answers_equal(found: Sequence[Scanned], asked: Sequence[int]) -> bool:
    """Whether every unit asked has answered, in the same way: then it may be one device that
    ignores the unit."""
    if len(asked) < _MANY or len(found) != len(asked):
        return False
    first = found[0]
    return all(
        (one.answer.facts, one.answer.said) == (first.answer.facts, first.answer.said)
        and [e.profile for e in one.matches[:1]] == [e.profile for e in first.matches[:1]]
        for one in found
    )


def absent(found: Sequence[Scanned]) -> list[Scanned]:
    """The units that are probably nobody: many that refuse in the same unusual way beside units
    that do not.

    Some servers answer in the name of every unit. A device that only lacks the register that was
    asked for says so with an exception of its own, and is not among them.
    """
    refusing = [
        one
        for one in found
        if one.answer.said in _NOBODY and not one.answer.facts and not one.matches
    ]
    one_way = len({one.answer.said for one in refusing}) == 1
    return refusing if one_way and _MANY <= len(refusing) < len(found) else []


def device_for_file(one: Scanned, number: int, config: Path) -> FoundDevice:
    """The device that a file gets: with the profile that fits best, else one that waits for its
    tags."""
    keys = dict(one.answer.device)
    connector = keys.pop("connector")
    if one.matches:
        profile = one.matches[0].profile
        doubt = (
            []
            if is_clearly_best(one.matches)
            else ["几个模板同样相符，请按铭牌核对 / compare the name plate"]
        )
        return FoundDevice({"id": f"{profile}-{number:02}", "profile": profile, **keys}, doubt)
    name = f"unit-{keys['unit']:02}" if "unit" in keys else f"{connector}-{number:02}"
    facts = " ".join(one.answer.facts.values())
    commands = [command(*one.answer.look, "--into", config)] if one.answer.look else []
    commands.append(command("tags", "import", "点表.xlsx", "--device", name, "--into", config))
    notes = [f"{one.answer.where} {facts}".rstrip(), *stub_note(commands)]
    return FoundDevice(
        {"id": name, "connector": connector, **keys},
        [clean for note in notes if (clean := printable(note))],
    )


def units(text: str) -> list[int]:
    """`1-32,40` as numbers. Raises FindingsError."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise _bad_units(text)
        first = int(low)
        last = int(high or low)
        if first > last or last > 255:
            raise _bad_units(text)
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


def _bad_units(text: str) -> FindingsError:
    return FindingsError.one(
        "bad-units",
        f"--units {text} 不可用：应写成 1-32 或 1,2,17，站号为 0 到 255。",
        f"--units {text} cannot be used: write 1-32 or 1,2,17, with numbers from 0 to 255.",
    )
