"""Words of sentences that people read: how many of what, and a command as it can be typed."""

from __future__ import annotations

import os
import shlex
from typing import Final

COMMAND_VARIABLE: Final = "EDGE_AGENT_COMMAND"
"""What was typed to start this program, set by `./run`; child processes inherit it."""


def number_of(count: int, thing: str, things: str = "") -> str:
    """`1 device`, `2,000 devices`; `things` for a plural that is not formed with an s."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def verb(count: int, one: str, many: str) -> str:
    """`is` after one thing, `are` after several."""
    return one if count == 1 else many


def command(*words: object) -> str:
    """`edge-agent` with these words as a shell takes them: by the name that whoever reads it can type here."""
    return " ".join([os.environ.get(COMMAND_VARIABLE) or "edge-agent", *(shlex.quote(str(word)) for word in words)])
