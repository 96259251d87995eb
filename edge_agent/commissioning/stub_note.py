"""The comment before a device that waits for its tags: which commands write them. It goes when the
tags have come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_HEAD: Final = (
    "没有相符的设备模板：用下面一条写进变量 / no profile fits; one of these writes its tags:"
)
_COMMAND: Final = "  "
"""Before each command, behind the sign of the comment and a blank."""


def stub_note(commands: Iterable[str]) -> list[str]:
    """The lines of the comment, without their `# `."""
    return [_HEAD, *(_COMMAND + command for command in commands)]


def without_stub_note(lines: list[str], device: int) -> int:
    """Take the comment away that stands before the line (from 0) of a device: how many lines that
    was.

    Only lines that are as `stub_note` has them go; what people wrote between them, before or
    behind, stays.
    """
    above = device
    while above and lines[above - 1].lstrip().startswith("#"):
        above -= 1
    found = [at for at in range(above, device) if lines[at].strip() == f"# {_HEAD}"]
    if not found:
        return 0
    first = end = found[-1]
    end += 1
    while end < device and lines[end].lstrip().startswith(f"# {_COMMAND}"):
        end += 1
    del lines[first:end]
    return end - first
