"""A configuration with what was found, as a file that `check` accepts and `run` reads; a line for each tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edge_agent.config.dump import inline
from edge_agent.errors import FindingsError

_HEAD: Final = (
    "# 由 {made} 写成。agent 和 mqtt 请按现场修改；也可只把 devices 下的内容抄到已有的文件里。\n"
    "# Written by `{made}`. Change agent and mqtt to yours, or copy what is under devices to a file you have.\n"
)

#: Stands in a file that nobody has given an agent and a broker yet.
_TOP: Final[Mapping[str, Any]] = {"agent": {"id": "ipc-01"}, "mqtt": {"url": "mqtt://127.0.0.1:1883"}}


def write(
    path: Path,
    devices: Sequence[Mapping[str, Any]],
    made: str,
    top: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """A new file with these devices. `top`: the other sections; default: an agent and a broker on this machine.
    `notes`: comments behind the devices.

    Raises FindingsError for a file that is there already: it may hold somebody's work.
    """
    lines = [_HEAD.format(made=made).rstrip("\n")]
    lines += [f"{key}: {inline(value)}" for key, value in (top or _TOP).items() if value]
    lines.append("devices:" if devices else "devices: []")
    for device in devices:
        lines += device_lines(device)
    lines += [f"  # {note}" for note in notes]
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    except FileExistsError:
        raise FindingsError.one(
            "file-exists",
            "文件已存在，没有改动它：请换一个文件名，或先把它移走。",
            "The file exists and was left as it is: use another name, or move it away first.",
            str(path),
        ) from None


def device_lines(device: Mapping[str, Any]) -> list[str]:
    """One item of `devices`, its tags one in a line."""
    lines: list[str] = []
    for key, value in device.items():
        begin = "    " if lines else "  - "
        if key != "tags":
            lines.append(f"{begin}{key}: {inline(value)}")
    tags = device.get("tags") or {}
    if tags:
        lines.append("    tags:")
    lines += [f"      {inline(name)}: {inline(keys)}" for name, keys in tags.items()]
    return lines
