"""Commands as they are printed for people to run."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(*words: str | Path) -> str:
    """`edge-agent WORDS`, quoted for a shell; a word in capitals such as CONFIG stands as it is."""
    return shlex.join(["edge-agent", *map(str, words)])
