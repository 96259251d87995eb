"""The parser's complaints as sentences an integrator can act on."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from edge_agent.config.places import Place

#: A piece of the parser's problem or context; whether its sentence speaks of where the construct began; the sentence.
_SENTENCES: tuple[tuple[str, bool, str, str], ...] = (
    (
        "quoted scalar",
        True,
        "这里开始的引号没有正确结束，请补上引号，双引号里的反斜杠写成 \\\\。",
        "the quote that begins here does not end well; close it, and in double quotes write \\\\ for a backslash.",
    ),
    ("flow sequence", True, "这里的方括号 [ 没有闭合，请补上 ]。", "the bracket [ opened here is not closed; add ]."),
    ("flow mapping", True, "这里的花括号 { 没有闭合，请补上 }。", "the brace { opened here is not closed; add }."),
    (
        "mapping values are not allowed",
        False,
        "这里不能出现冒号：请检查缩进，或给含“: ”的文字加引号。",
        "a colon cannot stand here; check the indentation, or put quotes around text that contains `: `.",
    ),
    (
        "cannot start any token",
        False,
        "这里的字符不能这样用：缩进请用空格而不是制表符，以 @ % ` 开头的文字请加引号。",
        "this character cannot stand here; indent with spaces, not tabs, and quote text that begins with @, % or `.",
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
#: What YAML does not allow in a file (YAML 1.2, production c-printable). libyaml counts its position in bytes.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OTHER = ("这里不是有效的 YAML，请检查这一行和上一行。", "this is not valid YAML; check this line and the one before.")


def explain(path: Path, text: str, error: yaml.YAMLError) -> tuple[Place, str, str]:
    """Where a text stopped being YAML, and what to do, Chinese and English."""
    if isinstance(error, yaml.reader.ReaderError):
        zh, en = "这里有不可见的控制字符，请删除它。", "an invisible control character stands here; remove it."
        return _first_unprintable(path, text), zh, en
    problem = str(getattr(error, "problem", None) or "")
    context = str(getattr(error, "context", None) or "")
    at = getattr(error, "problem_mark", None)
    for piece, at_start, zh, en in _SENTENCES:
        if piece in problem or piece in context:
            mark = (getattr(error, "context_mark", None) if at_start else None) or at
            return _place(path, mark), zh, en
    return _place(path, at), *_OTHER


def _first_unprintable(path: Path, text: str) -> Place:
    match = _UNPRINTABLE.search(text)
    start = match.start() if match else 0
    return Place(path, text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))


def _place(path: Path, mark: yaml.Mark | None) -> Place:
    return Place(path) if mark is None else Place(path, mark.line + 1, mark.column + 1)
