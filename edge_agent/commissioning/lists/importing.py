"""A point list into a device of a configuration: read, judged by `check` with every problem at its
row, written."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from edge_agent.commissioning.file_changes import BOM, changed_file, load_draft
from edge_agent.commissioning.lists import spreadsheet
from edge_agent.commissioning.lists.addresses import UNSTATED, AddressCounting
from edge_agent.commissioning.lists.editing import (
    Edited,
    NotEditableError,
    device_node,
    insert,
    refuse,
)
from edge_agent.commissioning.lists.points import ListedTag, ListTarget, PointList, parse, units
from edge_agent.config import load
from edge_agent.config.dump import inline
from edge_agent.config.files import read_site
from edge_agent.config.findings import Findings, advice
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.places import YamlMapping, YamlSequence
from edge_agent.config.plugins import Plugins, plugins_or_installed, tag_model
from edge_agent.config.shape import keys as yaml_keys
from edge_agent.errors import ConfigError, Finding, FindingsError

_PLACE: Final = re.compile(r"(?P<path>.*):(?P<line>\d+):(?P<column>\d+)", re.DOTALL)


@dataclass(slots=True)
class Imported:
    """What an import did, or would do: names of tags, the notes, and the lines of the device's
    `tags`."""

    device: str
    points: list[ListedTag]
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    file: Path | None = None
    """The file that was edited; None: nothing was."""

    def lines(self) -> list[str]:
        """The tags as they stand below `tags:` of a device."""
        return [f"{inline(point.name)}: {inline(dict(point.keys))}" for point in self.points]


def import_list(
    file: Path,
    device: str,
    config: Path | None,
    *,
    counting: AddressCounting = UNSTATED,
    encoding: str | None = None,
    connector: str | None = None,
    replace: bool = False,
    plugins: Plugins | None = None,
) -> Imported:
    """Read a list and, with `config`, write its tags into that device. `connector`: of a device
    that has no file yet; `encoding`: of a CSV, where somebody has stated it.

    Raises FindingsError with everything that is wrong, in the order of the rows; then nothing was
    written.
    """
    known = plugins_or_installed(plugins)
    sheets = spreadsheet.read(file, encoding)
    if config is None:
        return _alone(sheets, device, connector or _connector_of(sheets, known), counting, known)
    configured = _configured(load_draft(config, known), device)
    plugin = known[configured.connector]
    target = ListTarget(
        frozenset(yaml_keys(tag_model(plugin))),
        unit=getattr(configured, "unit", None),
        counting=counting,
    )
    found = parse(sheets, target, device)
    model = tag_model(plugin)
    wanted: dict[str, ListedTag] = {}
    result = Imported(device, found.points, notes=found.notes)
    for point in found.points:
        old = configured.tags.get(point.name)
        if old is not None and _same(model, point.keys, old):
            result.unchanged.append(point.name)
            continue
        wanted[point.name] = point
        if old is not None and not replace:
            zh = f"设备上已有变量 {point.name!r}，内容不同；要改成表中的内容请加 --replace。"
            en = (
                f"the device has a tag {point.name!r} that differs; use --replace to make it as "
                "in the list."
            )
            found.problems.append(
                Finding("differs", found.at(point.row, point.columns["tag"]), zh, en)
            )
    _write(config, device, wanted, found, result, known)
    return result


def _same(model: Any, keys: Mapping[str, Any], old: object) -> bool:
    try:
        return bool(model.model_validate(dict(keys)) == old)
    except ValidationError:
        return False


def _configured(site: Site, device: str) -> DeviceCommon:
    for each in site.devices:
        if each.id == device:
            return each
    zh, en = advice(device, [each.id for each in site.devices])
    raise FindingsError.one(
        "unknown-device",
        f"配置里没有设备 {device!r}；{zh}",
        f"the configuration has no device {device!r}; {en}",
    )


def _connector_of(sheets: list[spreadsheet.SheetRows], known: Plugins) -> str:
    """What a list without a configuration is for: OPC UA when an address is a node id, Modbus
    otherwise."""
    from edge_agent.commissioning.lists.cells import is_node

    nodes = any(is_node(cell) for rows in sheets for _, row in rows.rows[1:50] for cell in row)
    wanted = "opcua" if nodes else "modbus"
    return wanted if wanted in known else next(iter(known))


def _alone(
    sheets: list[spreadsheet.SheetRows],
    device: str,
    connector: str,
    counting: AddressCounting,
    known: Plugins,
) -> Imported:
    """A list without a configuration, judged by a file made for it."""
    if connector not in known:
        zh, en = advice(connector, known)
        raise FindingsError.one(
            "unknown-connector",
            f"没有连接器 {connector!r}；{zh}",
            f"no connector {connector!r}; {en}",
        )
    plugin = known[connector]
    target = ListTarget(frozenset(yaml_keys(tag_model(plugin))), counting=counting)
    found = parse(sheets, target, device)
    named = list(units(found.points))
    if len(named) > 1:
        zh = f"点表里有多个站号（{'、'.join(map(str, named))}），每台设备一个站号；请按站号分开。"
        en = (
            f"the list has several unit numbers ({', '.join(map(str, named))}), and a device has "
            "one; split it."
        )
        found.problems.append(Finding("other-unit", found.place, zh, en))
    endpoint = (
        "opc.tcp://127.0.0.1:4840" if plugin.endpoint_key == "endpoint" else "tcp://127.0.0.1"
    )
    text = (
        "agent: {id: trial}\nmqtt: {url: mqtt://127.0.0.1}\ndevices:\n"
        f"  - id: {inline(device)}\n    connector: {connector}\n    {plugin.endpoint_key}: "
        f"{endpoint}\n"
    )
    points = {point.name: point for point in found.points}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.yaml"
        edited = insert(text, device, {name: point.keys for name, point in points.items()})
        path.write_text(edited.text, encoding="utf-8")
        found.problems += _judged(path, path, edited, points, found, known)
    _raise(found)
    return Imported(device, found.points, added=list(points), notes=found.notes)


def _write(
    config: Path,
    device: str,
    wanted: Mapping[str, ListedTag],
    found: PointList,
    result: Imported,
    known: Plugins,
) -> None:
    if not wanted:
        _raise(found)
        return
    file = file_of(config, device)
    data = file.read_bytes()
    text = data.removeprefix(BOM).decode("utf-8")
    try:
        edited = insert(text, device, {name: point.keys for name, point in wanted.items()})
    except NotEditableError as error:
        found.problems += refuse(error, str(file)).findings
        _raise(found)
        return
    fresh = (BOM if data.startswith(BOM) else b"") + edited.text.encode("utf-8")
    with changed_file(file, fresh, data, trial=file.samefile(config)) as path:
        judged = _judged(config if path == file else path, path, edited, wanted, found, known)
        found.problems += [_in_file(finding, path, file) for finding in judged]
        _raise(found)
    result.added = edited.added
    result.replaced = edited.replaced
    result.file = file


def file_of(config: Path, device: str) -> Path:
    """The file that has the device: the main one, or one that it includes."""
    devices = read_site(config, Findings(config)).get("devices")
    for item in devices if isinstance(devices, YamlSequence) else ():
        if isinstance(item, YamlMapping) and str(item.get("id")) == device:
            return item.place.file
    for item in devices if isinstance(devices, YamlSequence) else ():
        text = (
            item.place.file.read_text(encoding="utf-8-sig") if isinstance(item, YamlMapping) else ""
        )
        if text and device_node(text, device) is not None:
            return item.place.file  # type: ignore[no-any-return]
    return config


def _judged(
    config: Path,
    file: Path,
    edited: Edited,
    points: Mapping[str, ListedTag],
    found: PointList,
    known: Plugins,
) -> list[Finding]:
    """What `check` finds wrong with the edited file, at the rows and columns that it comes from."""
    try:
        load(config, known, secrets=False)
    except ConfigError as error:
        lines = edited.text.splitlines()
        return [
            _at_its_row(finding, file, edited, lines, points, found)
            for finding in error.findings
            if finding.code != "no-tags"  # of another device, whose turn has not come
        ]
    return []


def _in_file(finding: Finding, trial: Path, file: Path) -> Finding:
    """What is said of the trial, said of the file that it would become."""
    where = finding.where
    if where.startswith(str(trial)):
        where = str(file) + where.removeprefix(str(trial))
    return Finding(finding.code, where, finding.zh, finding.en)


def _at_its_row(
    finding: Finding,
    file: Path,
    edited: Edited,
    lines: list[str],
    points: Mapping[str, ListedTag],
    found: PointList,
) -> Finding:
    match = _PLACE.fullmatch(finding.where)
    if match is None or Path(match["path"]) != file:
        return finding
    number = int(match["line"])
    column = int(match["column"])
    point = points.get(edited.lines.get(number, ""))
    if point is None:
        return finding
    key = _key_at(lines[number - 1], column, point.keys)
    where = found.at(point.row, point.columns.get(key or "tag", key))
    return Finding(finding.code, where, finding.zh, finding.en)


def _key_at(line: str, column: int, keys: Mapping[str, Any]) -> str:
    """The key whose value is at a column (from 1) of a tag's line."""
    places = [(at, key) for key in keys if 0 <= (at := line.find(f"{key}: ")) < column]
    return max(places)[1] if places else ""


def _raise(found: PointList) -> None:
    """Everything that is wrong, in the order of the rows; a list without a point is."""
    if not found.problems and not found.points:
        zh = "表中没有可导入的点。"
        en = "the list has no point to import."
        found.problems.append(Finding("no-points", found.place, zh, en))
    if not found.problems:
        return

    def order(finding: Finding) -> tuple[int, str]:
        row = finding.where.removeprefix(found.place).lstrip(":").partition(":")[0]
        return (int(row) if row.isdecimal() else 0, finding.where)

    raise FindingsError(sorted(found.problems, key=order))
