"""Findings while they are gathered: in the order of the files, each once however often it is
met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from edge_agent.config.places import FilePosition
from edge_agent.errors import ConfigError, Finding

_SHOWN = 12
#: Where one of these is told of a value, whatever else is said of the same value only follows from
#: it.
_CAUSES = {
    "unknown-variable",
    "bad-format",
    "unknown-tag",
    "empty-tag",
    "missing-secret",
    "full-width",
}


@dataclass(slots=True)
class _Entry:
    code: str
    place: FilePosition
    zh: str
    en: str
    more: int = 0

    def finding(self) -> Finding:
        zh = self.zh
        en = self.en
        if self.more:
            zh += f"（另有 {self.more} 处由此展开，问题相同）"
            en += f" (The same holds for {self.more} more expanded from here.)"
        return Finding(self.code, str(self.place), zh, en)


class Findings:
    """Everything wrong with one configuration.

    A template used by a hundred devices is written once, so its fault is told once: findings with
    the same code, place and subject are counted, not repeated.
    """

    def __init__(self, main: Path) -> None:
        self._main = main
        self._entries: dict[tuple[str, FilePosition, str], _Entry] = {}
        self._causes: dict[FilePosition, str] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, code: str, place: FilePosition, zh: str, en: str, subject: str = "") -> None:
        """`subject` (a key's path) stands for the text where the text differs from device to
        device."""
        if self._causes.setdefault(place, code if code in _CAUSES else "") not in ("", code):
            return
        if code == "full-width" and any(known[:2] == (code, place) for known in self._entries):
            return  # one character is told once, whatever it spoils
        entry = self._entries.setdefault(
            (code, place, subject or en), _Entry(code, place, zh, en, -1)
        )
        entry.more += 1

    def sorted(self) -> list[Finding]:
        """The main file first, then the others by name; inside a file by line."""
        entries = sorted(
            self._entries.values(), key=lambda entry: (entry.place.file != self._main, entry.place)
        )
        return [entry.finding() for entry in entries]

    def check(self) -> None:
        """Raise ConfigError with everything found so far, if anything was."""
        if self._entries:
            self.fail()

    def fail(self) -> NoReturn:
        """Raise ConfigError: there is nothing to go on with."""
        raise ConfigError(self.sorted())


def nearest(word: object, known: Iterable[object], alike: float = 0.6) -> str | None:
    """The known word that a typo most likely meant; `alike`: how much of it must be the same, up to
    1."""
    return _nearest(str(word).casefold()[:80], tuple(sorted({str(name) for name in known})), alike)


@lru_cache(maxsize=1024)  # a slip in a template comes back with every device made from it
def _nearest(word: str, known: tuple[str, ...], alike: float) -> str | None:
    by_fold = {name.casefold(): name for name in known}
    close = get_close_matches(word, list(by_fold), n=1, cutoff=alike)
    return by_fold[close[0]] if close else None


def advice(word: object, known: Iterable[object]) -> tuple[str, str]:
    """The next step after an unknown word, Chinese and English: the nearest one, or the list to
    choose from."""
    names = sorted({str(name) for name in known})
    if (near := nearest(word, names)) is not None:
        return f"是不是 {near!r}？", f"did you mean {near!r}?"
    if not names:
        return "这里还没有可用的名称。", "nothing of that kind is defined yet."
    listed = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    if more > 0:
        return f"可用：{listed} 等 {len(names)} 个。", f"use one of: {listed} and {more} more."
    return f"可用：{listed}。", f"use one of: {listed}."
