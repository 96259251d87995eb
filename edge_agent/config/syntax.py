"""The parser's complaints as sentences an integrator can act on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from edge_agent.config import width
from edge_agent.config.places import FilePosition

#: A piece of the parser's problem or context; whether its sentence speaks of where the construct
#: began; the sentence.
_SENTENCES: tuple[tuple[str, bool, str, str], ...] = (
    (
        "quoted scalar",
        True,
        "这里开始的引号没有正确结束，请补上引号，双引号里的反斜杠写成 \\\\。",
        "the quote that begins here does not end well; close it, and in double quotes write \\\\ "
        "for a backslash.",
    ),
    (
        "flow sequence",
        True,
        "这里的方括号 [ 没有闭合，请补上 ]。",
        "the bracket [ opened here is not closed; add ].",
    ),
    (
        "flow mapping",
        True,
        "这里的花括号 { 没有闭合，请补上 }。",
        "the brace { opened here is not closed; add }.",
    ),
    (
        "mapping values are not allowed",
        False,
        "这里不能出现冒号：请检查缩进，或给含“: ”的文字加引号。",
        "a colon cannot stand here; check the indentation, or put quotes around text that "
        "contains `: `.",
    ),
    (
        "tab character",
        False,
        "这一行用制表符缩进，请改用空格，并与上面的行对齐。",
        "this line is indented with a tab; use spaces, aligned with the lines above.",
    ),
    (
        "cannot start any token",
        False,
        "这里的字符不能这样用：缩进请用空格而不是制表符，以 @ % ` 开头的文字请加引号。",
        "this character cannot stand here; indent with spaces, not tabs, and quote text that "
        "begins with @, % or `.",
    ),
    (
        "could not find expected ':'",
        False,
        "上一行缺少冒号，请写成“键: 值”。",
        "the line before lacks a colon; write `key: value`.",
    ),
    (
        "block",
        False,
        "缩进与上面的行对不上，请对齐同一层的键和短横线。",
        "the indentation does not fit the lines above; align keys and dashes of one level.",
    ),
)
#: What YAML does not allow in a file (YAML 1.2, production c-printable). libyaml counts its
#: position in bytes.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OTHER = (
    "这里不是有效的 YAML，请检查这一行和上一行。",
    "this is not valid YAML; check this line and the one before.",
)


def explain(path: Path, text: str, error: yaml.YAMLError) -> tuple[FilePosition, str, str]:
    """Where a text stopped being YAML, and what to do, Chinese and English."""
    if isinstance(error, yaml.reader.ReaderError):
        zh, en = (
            "这里有不可见的控制字符，请删除它。",
            "an invisible control character stands here; remove it.",
        )
        return _first_unprintable(path, text), zh, en
    problem = str(getattr(error, "problem", None) or "")
    context = str(getattr(error, "context", None) or "")
    at = getattr(error, "problem_mark", None)
    for piece, at_start, zh, en in _SENTENCES:
        if piece in problem or piece in context:
            mark = (getattr(error, "context_mark", None) if at_start else None) or at
            return _place(path, mark), zh, en
    return _place(path, at), *_OTHER


Position = tuple[int, int]
"""Line and column from 0."""


class Stop(NamedTuple):
    """Where a text stops being YAML, and where the construct began that is not finished."""

    at: Position
    began: Position


Candidate = tuple[int, int, str]
"""Line and column from 0, and the character."""
_MOST_CHARACTERS: Final = 200_000
_MOST_FINDINGS: Final = 20
_MOST_CANDIDATES: Final = 60
_BEFORE: Final = 3
"""A complaint may come so many lines after its cause."""


def causes(
    path: Path, text: str, error: yaml.YAMLError, parsed: Callable[[str], Stop | None]
) -> tuple[list[width.Told], str | None]:
    """The full-width characters at which a text stops being YAML: with plain ones in their place it
    goes on further.

    `parsed` says where a text stops. What only looks suspicious (Chinese text with its own
    punctuation) is not blamed. Also the text with plain ones instead, when that is YAML to its end:
    the rest can be judged by it.
    """
    if len(text) > _MOST_CHARACTERS or isinstance(error, yaml.reader.ReaderError):
        return [], None
    told: list[Candidate] = []
    stop = parsed(text)
    while stop is not None and len(told) < _MOST_FINDINGS:
        blamed, text, after = _cause(text, stop, parsed)
        if not blamed:
            break
        told += blamed
        stop = after
    if any(width.PLAIN[at[2]] == ":" for at in told):
        # in block style the lines after it would only be read as one text with it
        lines = text.split("\n")
        more = [(line, column, "：") for line, column in width.key_like(lines, 0, len(lines))]
        told = told + more
        text = _plain(lines, more)
    findings = [width.finding(at[2], FilePosition(path, at[0] + 1, at[1] + 1)) for at in told]
    return findings, text if findings and parsed(text) is None else None


def _cause(
    text: str, stop: Stop, parsed: Callable[[str], Stop | None]
) -> tuple[list[Candidate], str, Stop | None]:
    """The candidates to blame, the text with them made plain, and where that stops."""
    lines = text.split("\n")
    first = max(0, min(stop.began[0] or stop.at[0], stop.at[0]) - _BEFORE)
    candidates = list(_candidates(lines, first, stop.at[0]))[-_MOST_CANDIDATES:]
    rows = {line: [one for one in candidates if one[0] == line] for line, _, _ in candidates}
    for trial in [*([one] for one in candidates), *rows.values(), candidates]:
        changed = _plain(lines, trial)
        after = parsed(changed)
        if trial and _further(stop, after, trial):
            return trial, changed, after
    return [], text, stop


def _further(stop: Stop, after: Stop | None, trial: list[Candidate]) -> bool:
    """Whether the text is YAML for longer, and not only because something was opened that does not
    end."""
    if after is None:
        return True
    opened = any(
        line == after.began[0] and 0 <= after.began[1] - column <= len(trial)
        for line, column, _ in trial
    )
    return after.at > stop.at and not opened


def _candidates(lines: list[str], first: int, last: int) -> Iterator[Candidate]:
    for line in range(first, min(last + 1, len(lines))):
        for column in width.positions(_outside_quotes(lines[line])):
            yield line, column, lines[line][column]


def _outside_quotes(line: str) -> str:
    """The line with plain-quoted text and its comment as blanks."""
    return _QUOTED.sub(lambda match: "_" * len(match[0]), line)


_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"|(?<!\w)\'(?:[^\']|\'\')*\'|(?:^|(?<=\s))#.*')


def _plain(lines: list[str], candidates: list[Candidate]) -> str:
    changed = dict(enumerate(lines))
    shift: dict[int, int] = {}
    for line, column, character in candidates:
        at = column + shift.get(line, 0)
        row = changed[line]
        want = width.PLAIN[character]
        if want in ":," and row[at + 1 : at + 2] not in ("", " "):
            want += " "
            shift[line] = shift.get(line, 0) + 1
        changed[line] = row[:at] + want + row[at + 1 :]
    return "\n".join(changed.values())


def _first_unprintable(path: Path, text: str) -> FilePosition:
    match = _UNPRINTABLE.search(text)
    start = match.start() if match else 0
    return FilePosition(path, text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))


def _place(path: Path, mark: yaml.Mark | None) -> FilePosition:
    return (
        FilePosition(path) if mark is None else FilePosition(path, mark.line + 1, mark.column + 1)
    )
