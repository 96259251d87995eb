"""Full-width punctuation and digits, as Chinese input methods type them, where YAML or a value
wants plain ones."""

from __future__ import annotations

import re
from typing import Final

from edge_agent.config.places import FilePosition

#: What an input method types, and what YAML wants in its place.
PLAIN: Final[dict[str, str]] = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | {
    "\u3000": " ", "\u00a0": " ", "、": ",", "。": ".", "【": "[", "】": "]",
    "“": '"', "”": '"', "„": '"', "「": '"', "」": '"', "‘": "'", "’": "'",
}  # fmt: skip
_TABLE: Final = str.maketrans(PLAIN)
_FOUND: Final = re.compile("[" + re.escape("".join(PLAIN)) + "]")
_NAMES: Final[dict[str, tuple[str, str]]] = {
    ",": ("逗号", "comma"),
    ":": ("冒号", "colon"),
    ";": ("分号", "semicolon"),
    ".": ("句点", "full stop"),
    "{": ("花括号", "brace"),
    "}": ("花括号", "brace"),
    "[": ("方括号", "bracket"),
    "]": ("方括号", "bracket"),
    '"': ("引号", "quotation mark"),
    "'": ("引号", "quotation mark"),
    " ": ("空格", "space"),
    "#": ("井号", "hash"),
    "-": ("短横线", "dash"),
    "/": ("斜杠", "slash"),
}
_AFTER_COLON: Final = ("，后面空一格", " with a space after it")

_KEY: Final = re.compile(r"\s*(?:- )?[A-Za-z_][A-Za-z0-9_.\-]*：")

CODE: Final = "full-width"
Told = tuple[str, FilePosition, str, str]


def plain(text: str) -> str:
    """The text with full-width characters as plain ones."""
    return text.translate(_TABLE)


def positions(text: str) -> list[int]:
    """Where full-width characters stand in a text."""
    return [match.start() for match in _FOUND.finditer(text)]


def key_like(lines: list[str], first: int, last: int) -> list[tuple[int, int]]:
    """Where lines `first..last` look like `key：value`: line and column of the colon, from 0."""
    matches = ((line, _KEY.match(lines[line])) for line in range(first, min(last + 1, len(lines))))
    return [(line, match.end() - 1) for line, match in matches if match is not None]


def full_width(text: str, at: FilePosition, *, key: bool = False) -> Told | None:
    """The finding for the first full-width character of an unquoted text that begins at `at`; None
    without one.

    `key`: the text became a key, so that a colon in it was meant to end the key.
    """
    match = _FOUND.search(text)
    if match is None:
        return None
    return finding(
        match[0], FilePosition(at.file, at.line, at.column + match.start()), ends_key=key
    )


def finding(character: str, at: FilePosition, *, ends_key: bool = True) -> Told:
    """The finding for one full-width character at its own place: code, place, Chinese, English."""
    want = PLAIN[character]
    zh, en = _NAMES.get(want, ("数字", "digit") if want.isdigit() else ("字符", "character"))
    shown = "U+3000" if character == "\u3000" else "U+00A0" if character == "\u00a0" else character
    if want == " ":
        return CODE, at, f"这里是全角或特殊空格（{shown}），请改成普通空格。", (
            f"a full-width or unusual space ({shown}) stands here; write an ordinary space."
        )  # fmt: skip
    after = _AFTER_COLON if want == ":" and ends_key else ("", "")
    return (
        CODE,
        at,
        f"这里是全角{zh} {shown}，请改成半角 {want}{after[0]}。",
        f"a full-width {en} {shown} stands here; write {want}{after[1]}.",
    )
