"""Words of sentences that people read: how many of what, and a command as it can be typed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
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
    """`edge-agent` with these words as a shell takes them: by the name that whoever reads it can
    type here."""
    return " ".join(
        [
            os.environ.get(COMMAND_VARIABLE) or "edge-agent",
            *(shlex.quote(str(word)) for word in words),
        ]
    )


#: A word as `shlex.quote` leaves it.
_SHELL_WORD: Final = r"""(?:'[^']*'|"'"|[\w@%+=:,./~-])+"""
#: How the commands begin that sentences name: this program however it was typed, and the few of the
#: system.
_PROGRAM: Final = (
    r"(?:(?:'[^']*run'|[\w./~+-]*\brun) )?(?:[\w./~+-]*/)?\bedge-agent(?= )"
    r"|\binstall(?= -)|\bchmod(?= [augo0-7])|\bchown(?= )|\bsudo(?= )|\bsystemctl(?= )"
)
_COMMAND: Final = re.compile(rf"`[^`]*`|(?:{_PROGRAM})(?: {_SHELL_WORD})*", re.ASCII)


def commands_in(text: str) -> Iterator[tuple[int, int]]:
    """Where commands stand in a sentence, as (start, end), in order: what must be kept in one piece
    to be copied.

    What English sentences put between backticks counts as one, with them.
    """
    for found in _COMMAND.finditer(text):
        end = found.end()
        if text[found.start()] != "`":
            while text[end - 1] in ".,:":  # the sentence's own, and not the command's
                end -= 1
        yield found.start(), end


#: Commands of this program that take the configuration file and nothing else.
_OF_A_FILE: Final = re.compile(
    r"(?<= )(?:run|serve|status|reload|outbox verify|quarantine list|store (?:check|salvage))$"
)


def with_file(text: str, config: object) -> str:
    """A sentence whose commands name the configuration file, as they have to be typed.

    Who makes a sentence does not always know from which file it was started, or where it will be
    read.
    """
    parts = []
    at = 0
    for start, end in commands_in(text):
        found = text[start:end].strip("`")
        if _OF_A_FILE.search(found) and _COMMAND.fullmatch(found):
            mark = "`" if text[start] == "`" else ""
            parts += [text[at:start], f"{mark}{found} {shlex.quote(str(config))}{mark}"]
            at = end
    return "".join([*parts, text[at:]])
