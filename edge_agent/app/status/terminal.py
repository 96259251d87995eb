"""Where something is shown: how wide and high, in which language, and how a sentence is laid out
there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from edge_agent.words import commands_in

Language = Literal["zh", "en", "both"]

#: A line nobody would call too long to keep whole.
_UNBOUNDED: Final = 10_000
_NEUTRAL: Final = ("", "C", "POSIX")


def language(environment: Mapping[str, str] | None = None) -> Language:
    """That of the locale; both where the locale names none."""
    known = os.environ if environment is None else environment
    name = next((known[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if known.get(key)), "")
    word = name.partition(".")[0]
    if word in _NEUTRAL:
        return "both"
    return "zh" if word.lower().startswith("zh") else "en"


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal that has to be enough (`width` columns, `height` lines), or one in which
    everything stands whole."""

    width: int
    height: int | None
    """None: there is no end to it."""
    language: Language

    @classmethod
    def of(cls, console: Console, *, whole: bool = False) -> Terminal:
        """That of a console; everything is whole where it is asked for, and where nobody looks at a
        screen."""
        if whole or not console.is_terminal:
            return cls(_UNBOUNDED, None, "both")
        return cls(console.width, max(10, console.height - 1), language())

    @property
    def whole(self) -> bool:
        return self.height is None

    def rows(self, lines: Iterable[Text]) -> int:
        """How many rows of the terminal these lines take; one that is too wide goes on in the next
        row."""
        return sum([max(1, -(-line.cell_len // self.width)) for line in lines])

    def has_room(self, lines: Iterable[Text]) -> bool:
        """Whether these lines fit."""
        return self.height is None or self.rows(lines) <= self.height

    def say(self, zh: str, en: str, between: str = " ") -> str:
        """A word or a short phrase; both languages on one line where the locale asks for none."""
        if self.language == "both":
            return f"{zh}{between}{en}"
        return zh if self.language == "zh" else en

    def sentences(self, zh: str, en: str) -> tuple[str, ...]:
        """A sentence in each language it is to be read in."""
        return {"zh": (zh,), "en": (en,), "both": (zh, en)}[self.language]

    def lines(self, zh: str, en: str, indent: int = 0, style: str = "") -> list[Text]:
        """A sentence as lines, each language beginning a new one."""
        found = []
        for text in self.sentences(zh, en):
            found += [
                Text(" " * indent + line, style) for line in wrapped(text, self.width - indent)
            ]
        return found


def wrapped(text: str, width: int, first: int | None = None) -> list[str]:
    """Broken between Latin words and between Chinese letters; no line is wider than `width`
    columns, none is lost. `first`: the width of the first line, where that is another one.

    A command is not broken. One that is too wide stands alone on its line, which the terminal
    itself continues on the next: what is copied from there is the command as it has to be typed.
    """
    lines: list[str] = []
    line = ""
    rest = width
    width = width if first is None else first
    for piece in _pieces(text):
        if cell_len(line) + cell_len(piece.rstrip()) > width and line:
            lines.append(line.rstrip())
            line = ""
            width = rest
        if (
            cell_len(piece.rstrip()) > width
            and (found := next(commands_in(piece), None)) is not None
        ):
            before, command, piece = (
                piece[: found[0]],
                piece[found[0] : found[1]],
                piece[found[1] :],
            )
            lines += [before] if before else []
            lines.append(command.strip("`"))
            width = rest
            piece = piece.lstrip(_ENDING)
        while cell_len(piece.rstrip()) > width:
            head = _head(piece, width)
            lines.append(head)
            piece = piece[len(head) :]
            width = rest
        line += piece if line else piece.lstrip()
    return [*lines, line.rstrip()] if line.rstrip() or not lines else lines


def _pieces(text: str) -> Iterable[str]:
    """What may not be broken: a Latin word with the space behind it, a Chinese letter with the
    marks that follow it, a command."""
    piece = ""
    for sign in _signs(text):
        wide = cell_len(sign[0]) == 2
        starts = (
            piece
            and (piece[-1] == " " or wide or cell_len(piece[-1]) == 2)
            and sign not in _FOLLOWING
            and sign != " "
        )
        if starts:
            yield piece
            piece = ""
        piece += sign
    if piece:
        yield piece


def _signs(text: str) -> Iterable[str]:
    """The letters of a text, each command as one."""
    at = 0
    for start, end in commands_in(text):
        yield from text[at:start]
        yield text[start:end]
        at = end
    yield from text[at:]


#: What ends a sentence; behind a command on a line of its own it would be copied with it.
_ENDING: Final = "。.，,；;"
#: Signs that do not begin a line.
_FOLLOWING: Final = frozenset("，。：；、）》」？！”’】%,.;:)")


def _head(piece: str, width: int) -> str:
    end = 1
    while end < len(piece) and cell_len(piece[: end + 1]) <= width:
        end += 1
    return piece[:end]


def cut(text: str, width: int) -> str:
    """At most `width` columns; an ellipsis says that it is longer."""
    return text if cell_len(text) <= width else _head(text, max(1, width - 1)) + "…"


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` columns."""
    room = " " * (width - cell_len(text))
    return room + text if right else text + room
