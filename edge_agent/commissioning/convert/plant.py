"""Devices on their way from another program's file to a plant file that `check` accepts."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_agent import names
from edge_agent.config import load
from edge_agent.config.dump import inline
from edge_agent.config.plugins import Plugins
from edge_agent.errors import ConfigError, Finding

_ROUNDS: Final = 8
"""Each takes away what `check` refuses; a fault of one key seldom hides another."""
_PLACE: Final = re.compile(r".*:(?P<line>\d+):\d+", re.DOTALL)
_OTHER_FORM: Final = ("不是文档所说的格式。", "it is not of the documented form.")
_NOT_IN_LEVELS: Final = re.compile(r"[\s/+#\\:]+")


@dataclass(slots=True)
class Draft:
    """One device: its keys, its tags, and where in the other file each of them stands."""

    id: str
    keys: dict[str, Any]
    where: str = ""
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    """Name of a tag -> its place."""


@dataclass(slots=True)
class ConvertedPlant:
    """What a file of another program says, as far as it can be said here."""

    devices: list[Draft] = field(default_factory=list)
    left_out: list[Finding] = field(default_factory=list)
    """What was not carried over, where it stands and why."""
    notes: list[Finding] = field(default_factory=list)
    """What was carried over and wants a look."""

    def leave_out(self, where: str, what: str, zh: str, en: str) -> None:
        """List something that has no counterpart; `what` names it."""
        self.left_out.append(Finding("left-out", where, f"{what}：{zh}", f"{what}: {en}"))

    def note(self, where: str, zh: str, en: str) -> None:
        """List something to compare."""
        self.notes.append(Finding("compare", where, zh, en))

    def objects(
        self, table: Mapping[str, Any], key: str, at: Callable[[str], str]
    ) -> list[dict[str, Any]]:
        """The objects of a list that may be absent; what is no object is listed."""
        value = table.get(key)
        items = value if isinstance(value, list) else [] if value is None else [value]
        found = [item for item in items if isinstance(item, dict)]
        if len(found) < len(items):
            self.leave_out(at(key), key, *_OTHER_FORM)
        return found

    def attempt(self, where: str, what: str, make: Callable[[], object]) -> None:
        """Do what one entry of the file says; an entry of another form than documented is listed,
        and no more."""
        try:
            make()
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError):
            self.leave_out(where, what, *_OTHER_FORM)

    def device(self, name: str, keys: Mapping[str, Any], where: str) -> Draft:
        """A new device, under a name that is allowed and not taken."""
        draft = Draft(self._free_id(name), dict(keys), where)
        self.devices.append(draft)
        return draft

    def _free_id(self, name: str) -> str:
        plain = _NOT_IN_LEVELS.sub("-", name).strip("-.$") or "device"
        if names.level_fault(plain) is not None:
            plain = re.sub(r"[^\w.\-]+", "-", plain).strip("-.") or "device"
        taken = {device.id for device in self.devices}
        unique = plain
        number = 2
        while unique in taken:
            unique = f"{plain}-{number}"
            number = number + 1
        return unique

    def tag(self, device: Draft, name: str, keys: Mapping[str, Any], where: str) -> None:
        """A tag of a device; one whose name is taken gets a number, one that cannot be a name is
        left out."""
        if (fault := names.fault(name)) is not None:
            self.leave_out(
                where, repr(name), f"变量名{fault[0]}。", f"the name of a tag {fault[1]}."
            )
            return
        unique = name
        number = 2
        while unique in device.tags:
            unique = f"{name}_{number}"
            number = number + 1
        if unique != name:
            zh, en = (
                f"变量名 {name} 已有，改为 {unique}。",
                f"the name {name} is taken, so this became {unique}.",
            )
            self.note(where, zh, en)
        device.tags[unique] = dict(keys)
        device.places[unique] = where


@dataclass(slots=True)
class _PlantText:
    """A plant file, and what each of its lines holds: a device and one of its keys or tags."""

    lines: list[str]
    holds: dict[int, tuple[Draft, str, bool]] = field(default_factory=dict)
    """Line (from 1) -> (device, key or tag, whether it is a tag)."""


def _text(devices: Sequence[Draft], head: Sequence[str]) -> _PlantText:
    made = _PlantText(list(head))
    for device in devices:
        for position, (key, value) in enumerate({"id": device.id, **device.keys}.items()):
            made.lines.append(f"{'    ' if position else '  - '}{key}: {inline(value)}")
            made.holds[len(made.lines)] = device, key, False
        made.lines.append("    tags:")
        for name, keys in device.tags.items():
            made.lines.append(f"      {inline(name)}: {inline(keys)}")
            made.holds[len(made.lines)] = device, name, True
    return made


def checked(plant: ConvertedPlant, head: Sequence[str], plugins: Plugins) -> list[str]:
    """The lines of a plant file that `check` accepts: what it refuses is left out, with its reason.

    Empty when no device is left.
    """
    for _ in range(_ROUNDS):
        for device in [device for device in plant.devices if not device.tags]:
            plant.devices.remove(device)
            zh, en = (
                "没有一个变量可以照搬，整台设备未写入。",
                "none of its tags could be carried over; it was left out.",
            )
            plant.leave_out(device.where, device.id, zh, en)
        if not plant.devices:
            return []
        made = _text(plant.devices, head)
        refused = _refused(made, plugins)
        if not refused:
            return made.lines
        for finding in refused:
            _remove_device(plant, made, finding)
    return []


def _refused(made: _PlantText, plugins: Plugins) -> Sequence[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plant.yaml"
        path.write_text("\n".join(made.lines) + "\n", encoding="utf-8")
        try:
            load(path, plugins)
        except ConfigError as error:
            return error.findings
    return ()


def _remove_device(plant: ConvertedPlant, made: _PlantText, finding: Finding) -> None:
    match = _PLACE.fullmatch(finding.where)
    held = None if match is None else made.holds.get(int(match["line"]))
    if held is None:
        return
    device, name, is_tag = held
    if is_tag and device.tags.pop(name, None) is not None:
        plant.leave_out(device.places.get(name, ""), name, finding.zh, finding.en)
    elif not is_tag and name in ("id", "connector", "url", "endpoint"):
        device.tags.clear()
        plant.leave_out(device.where, f"{device.id} {name}", finding.zh, finding.en)
    elif not is_tag and device.keys.pop(name, None) is not None:
        plant.leave_out(device.where, f"{device.id} {name}", finding.zh, finding.en)


def as_comments(findings: Sequence[Finding]) -> Iterator[str]:
    """Findings as comments of a file, in both languages."""
    for finding in findings:
        for line in (f"{finding.where} {finding.zh}", f"  {finding.en}"):
            yield "# " + " ".join(line.split())
