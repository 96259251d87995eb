"""A file of another program, read by what it is, and written as a plant file that `check`
accepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.commissioning.convert import json_text, neuron, tag_table, telegraf, thingsboard
from edge_agent.commissioning.convert.plant import ConvertedPlant, as_comments, checked
from edge_agent.commissioning.file_changes import write_new
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.errors import Finding, FindingsError

SOURCES: Final = ("telegraf", "neuron", "kepware", "thingsboard")
_MOST_BYTES: Final = 64_000_000


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written: devices with their numbers of tags, and what was not carried over."""

    devices: dict[str, int]
    left_out: Sequence[Finding]
    notes: Sequence[Finding]


def convert(
    source: str,
    file: Path,
    out: Path,
    *,
    name: str = "",
    url: str | None = None,
    unit: int | None = None,
    encoding: str | None = None,
    plugins: Plugins | None = None,
) -> Conversion:
    """Write `out`. `name`, `url`, `unit`: of a device whose file says none of them; `encoding`: of
    a CSV, where somebody has stated it.

    Raises FindingsError for a file that cannot be read, or of which nothing can be carried over.
    """
    known = plugins_or_installed(plugins)
    plant = ConvertedPlant()
    if source == "kepware" or (source == "neuron" and file.suffix.lower() in (".csv", ".xlsx")):
        tag_table.read(file, plant, known, name or file.stem, url, unit, encoding)
    elif source == "telegraf":
        telegraf.read(file, _text(file), plant)
    else:
        document = _json(file)
        (neuron if source == "neuron" else thingsboard).read(file, document, plant)
    lines = checked(plant, _head(source, file), known)
    if not lines:
        raise FindingsError(
            [Finding("nothing-carried-over", str(file), *_nothing(source)), *plant.left_out]
        )
    plant.left_out.sort(key=_line)
    plant.notes.sort(key=_line)
    if plant.left_out:
        lines += ["# 没有照搬 / not carried over:", *as_comments(plant.left_out)]
    if plant.notes:
        lines += ["# 请核对 / compare:", *as_comments(plant.notes)]
    write_new(out, ("\n".join(lines) + "\n").encode())
    return Conversion(
        {device.id: len(device.tags) for device in plant.devices}, plant.left_out, plant.notes
    )


def _line(finding: Finding) -> tuple[int, str]:
    """The line a finding names, for their order."""
    numbers = [int(part) for part in finding.where.split(":") if part.isdecimal()]
    return numbers[0] if numbers else 0, finding.where


def _nothing(source: str) -> tuple[str, str]:
    return (
        f"没有可以照搬的设备；请确认这是 {source} 的文件。",
        f"no device could be carried over; make sure that this is a file of {source}.",
    )


def _head(source: str, file: Path) -> list[str]:
    return [
        f"# 由 {file.name}（{source}）转换而来；agent 和 mqtt 请按现场修改，"
        "文件末尾列出没有照搬的内容。",
        f"# Converted from {file.name} ({source}); change agent and mqtt to yours.",
        "# What was not carried over is listed at the end.",
        "agent: {id: ipc-01}",
        "mqtt: {url: mqtt://127.0.0.1:1883}",
        "devices:",
    ]


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise FindingsError.one(
                "too-large", "文件超过 64 MB。", "the file is larger than 64 MB.", str(file)
            )
        return data.decode("utf-8-sig")
    except OSError as error:
        raise FindingsError.one(
            "unreadable-file",
            f"读不到文件（{error.strerror}），请检查路径和权限。",
            f"the file cannot be read ({error.strerror}); check the path and the permissions.",
            str(file),
        ) from error
    except UnicodeDecodeError as error:
        raise FindingsError.one(
            "not-utf8", "文件不是 UTF-8 编码。", "the file is not UTF-8.", str(file)
        ) from error


def _json(file: Path) -> object:
    try:
        return json_text.parse(_text(file))
    except ValueError as error:
        raise FindingsError.one(
            "bad-json",
            f"不是有效的 JSON（{error}）。",
            f"this is no valid JSON ({error}).",
            str(file),
        ) from error
