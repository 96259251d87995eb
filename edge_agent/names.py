"""What a name is: of an agent, a place, a device, a tag. One decision for the file, the wire and
every store.

A name is shown to people, stands in topics, in JSON and in line protocol, and is asked for in three
query languages. What does not come through all of them unchanged is refused where it is written,
with its reason, and not where the value would be lost. Bounds: `MAX_BYTES` of UTF-8.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

MAX_BYTES: Final = 256
AGENT_LINE: Final = "_agent"
"""The level of a topic at which an agent's own health stands where devices have their line."""

Sentence = tuple[str, str]
"""What a name must not be, Chinese and English; it continues a sentence that begins with the name's
key."""

#: Change the direction of what is written around them: two different names look the same.
_DIRECTION: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
#: Seen as nothing or as a blank although Unicode counts them as letters, marks or symbols
#: (Default_Ignorable_Code_Point and the empty Braille pattern).
_UNSEEN: Final = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
#: Full-width letters and digits, as an input method leaves them behind.
_FULL_WIDTH: Final = frozenset(
    map(chr, (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B)))
)
_TOPIC_SIGNS: Final = frozenset("/+#")


class NotANameError(ValueError):
    """A text that arrived as a name and is none; its text is the reason in English."""


def require(name: str) -> None:
    """Raise NotANameError for a text that is no name."""
    if (found := fault(name)) is not None:
        raise NotANameError(f"a name {found[1]}")


@lru_cache(
    maxsize=65_536
)  # a thousand equal devices have the same tags, and every message names its device
def fault(name: str) -> Sentence | None:
    """Why a text cannot be a name at all; None when it can. A tag's name has no other condition."""
    if not name:
        return "不能为空", "must not be empty"
    if name.isspace():
        return "不能只有空白", "must not be blank"
    for position, character in enumerate(name, 1):
        if (found := _character(character)) is not None:
            zh, en = found
            return (
                f"不能含有{zh}（第 {position} 个字符）",
                f"must not contain {en} (character {position})",
            )
    if name != name.strip():
        return "首尾不能有空格", "must not begin or end with a blank"
    if (size := len(name.encode())) > MAX_BYTES:
        return (
            f"最长 {MAX_BYTES} 字节，这里是 {size} 字节",
            f"takes at most {MAX_BYTES} bytes, and this has {size}",
        )
    return None


@lru_cache(maxsize=65_536)
def level_fault(name: str) -> Sentence | None:
    """Why a name cannot be a level of a topic (enterprise, site, area, line, device, prefix); None
    when it can."""
    if (found := fault(name)) is not None:
        return found
    if " " in name:
        return "是主题的一级，不能含有空格", "is a level of a topic and must not contain a blank"
    for sign in name:
        if sign in _TOPIC_SIGNS:
            return (
                f"是主题的一级，不能含有 {sign}",
                f"is a level of a topic and must not contain {sign}",
            )
    if name in ("*", ">"):  # nats-server, the broker that comes with the agent, reads them so
        return (
            f"是主题的一级，不能只有通配符 {name}",
            f"is a level of a topic and must not be the wildcard {name}",
        )
    if name[0] in ".$":
        return (
            f"是主题的一级，不能以 {name[0]} 开头",
            f"is a level of a topic and must not begin with {name[0]}",
        )
    return None


def line_fault(name: str) -> Sentence | None:
    """Why a name cannot be a production line; None when it can. The agent's own health has a place
    among the lines."""
    if name == AGENT_LINE:
        return (
            f"不能是 {AGENT_LINE}，它留给采集器自己",
            f"must not be {AGENT_LINE}, which is kept for the agent itself",
        )
    return level_fault(name)


def agent_fault(name: str) -> Sentence | None:
    """Why a name cannot be an agent's id; None when it can. `agent:device` is split at the first
    colon."""
    if ":" in name:
        zh = "不能含有冒号：“采集器:设备”从第一个冒号分开"
        en = "must not contain a colon, at which `agent:device` is split"
        return level_fault(name) or (zh, en)
    return level_fault(name)


def form_fault(name: str) -> Sentence | None:
    """Why a name must be written otherwise, although it can be one: of the forms in which Unicode
    writes the same characters only the composed one is taken, so that two files cannot mean one
    name and have two."""
    composed = unicodedata.normalize("NFC", name)
    if composed == name:
        return None
    codes = " ".join(f"U+{ord(character):04X}" for character in composed if character not in name)
    zh = (
        f"应写成组合形式（Unicode NFC：{composed}，含 {codes}）：同样的字形写成几种编码，"
        "就成了几个名称"
    )
    en = (
        f"must be in composed form (Unicode NFC: {composed}, with {codes}): looks alike, and "
        "would be another name"
    )
    return zh, en


def level_form_fault(name: str) -> Sentence | None:
    """The same of a level of a topic, which the files of several agents and services must write
    alike."""
    for position, character in enumerate(name, 1):
        if character in _FULL_WIDTH:
            plain = look(character)
            zh = f"是主题的一级，应写半角 {plain}，不要写全角 {character}（第 {position} 个字符）"
            en = (
                f"is a level of a topic: write {plain}, not the full-width {character} "
                f"(character {position})"
            )
            return zh, en
    return form_fault(name)


def look(name: str) -> str:
    """Equal for names that look alike: those that differ by a compatibility form alone, as
    full-width letters do."""
    return unicodedata.normalize("NFKC", name)


def _character(character: str) -> Sentence | None:
    """Why no name can contain a character."""
    code = f"U+{ord(character):04X}"
    if character == "\\":
        return (
            "反斜杠 \\（时序库读不准它）",
            "a backslash, which time-series stores read in different ways",
        )
    if character in _DIRECTION:
        return f"改变书写方向的字符 {code}", f"{code}, which changes the direction of writing"
    if character in _UNSEEN:
        return f"看不见的字符 {code}", f"the invisible character {code}"
    if character.isprintable():
        return None
    category = unicodedata.category(character)
    if category == "Cf":
        return f"看不见的字符 {code}", f"the invisible character {code}"
    if category == "Cs":
        return f"半个字符 {code}（代理码）", f"half a character, the surrogate {code}"
    if category == "Zs":
        return f"特殊空格 {code}，请用普通空格", f"the unusual blank {code}; use an ordinary one"
    if category in ("Cn", "Co"):
        return f"没有定义的字符 {code}", f"the undefined character {code}"
    return f"控制字符 {code}", f"the control character {code}"
