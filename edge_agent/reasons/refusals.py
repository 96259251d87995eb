"""Why a message or a tag was set aside: the reasons of the quarantine, in both languages with the
next step.

What is kept beside an entry and counted by is the short English reason, which is stable.
`refusal_sentence` says it to people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

_SENDER_ZH: Final = "请检查是谁向这个主题发布，或升级发送方的采集代理。"
_SENDER_EN: Final = "See who publishes to this topic, or update the agent that does."
_KEPT_ZH: Final = "其余变量照常入库。"
_KEPT_EN: Final = "The other tags were stored."

#: Reason, `{}` standing for whatever it names -> (Chinese, English), the fact; `{0}` is what was
#: named.
_MALFORMED: Final[Mapping[str, tuple[str, str]]] = {
    "not JSON": ("内容不是 JSON", "The content is no JSON"),
    "not a JSON object": ("内容不是 JSON 对象", "The content is no JSON object"),
    "nested too deep": ("JSON 嵌套过深", "The JSON is nested too deep"),
    "unknown version": (
        "消息格式的版本（v）不认识",
        "The version of the message's format (v) is not known",
    ),
    "the device is not the topic's": (
        "消息中的设备与主题不符",
        "The device in the message is not that of the topic",
    ),
    "the agent is not a name": (
        "采集代理的名称不合法",
        "The agent's name is none that an agent can have",
    ),
    "a tag has no name": ("有一个变量没有名称", "A tag has no name"),
    "a name {}": (
        "变量名或设备名不合法（{0}）",
        "The name of a tag or a device is no name: it {0}",
    ),
    "a value is neither number, boolean, text nor list": (
        "有一个值既不是数值、布尔、文本，也不是列表",
        "A value is neither number, boolean, text nor list",
    ),
    "an array holds something other than numbers, booleans or texts": (
        "数组中有数值、布尔、文本以外的内容",
        "An array holds something other than numbers, booleans or texts",
    ),
    "quality is not a status code": (
        "quality 中有不认识的状态码",
        "A status code in `quality` is not known",
    ),
    "a source time is not an integer of milliseconds": (
        "source 中的时间不是整数毫秒",
        "A time in `source` is no integer of milliseconds",
    ),
    "last_good_t is not a time": ("last_good_t 不是时间", "`last_good_t` is no time"),
    "tag_transitions is not a list of objects": (
        "tag_transitions 不是对象的列表",
        "`tag_transitions` is no list of objects",
    ),
    "{} holds something other than texts": (
        "{0} 中有文本以外的内容",
        "`{0}` holds something other than texts",
    ),
    "tags is not an object of objects by name": (
        "tags 不是以变量名为键的对象",
        "`tags` is no object of objects by name",
    ),
    "{} is not a name": ("{0} 缺失，或不是名称", "`{0}` is missing or no name"),
    "{} is not a 64-bit integer from 0": (
        "{0} 缺失，或不是 0 以上的 64 位整数",
        "`{0}` is missing or no 64-bit integer from 0",
    ),
    "{} is not an object": ("{0} 不是对象", "`{0}` is no object"),
    "{} is not a number": ("{0} 不是数值", "`{0}` is no number"),
    "{} is not a text": ("{0} 不是文本", "`{0}` is no text"),
    "{} is not a list": ("{0} 不是列表", "`{0}` is no list"),
}

#: The same of single tags that the store would refuse or drop.
_TAGS: Final[Mapping[str, tuple[str, str]]] = {
    "bad-name": (
        "数据库写不了这个设备名或变量名，请改名后用 quarantine replay 重新写入",
        "The store cannot have this name of a device or tag: rename it, then store it with "
        "quarantine replay",
    ),
    "timestamp-out-of-bounds": (
        "时间超出数据库的范围，请校准采集代理的时钟",
        "The time is outside of what the store takes: set the clock of the agent's machine",
    ),
    "not-finite": (
        "数据库写不了无穷大或非数（NaN），请核对变量的 type 和 word_order",
        "The store has no infinity and no NaN: check type and word_order of the tag",
    ),
    "text-too-long": (
        "文本超出数据库的长度上限，请改读较短的变量，或换用内置数据库",
        "The text is longer than the store takes: read a shorter tag, or use the embedded store",
    ),
}

_STORE_ZH: Final = (
    "数据库拒绝了它（{0}）。请查看数据库的日志；修好后用 quarantine replay 重新写入。"
)
_STORE_EN: Final = (
    "The store refuses it ({0}). See the store's log; when it is mended, use quarantine replay."
)
_INTERNAL_ZH: Final = (
    "程序内部错误（{0}），已记入日志。请把日志发给维护者；升级后用 quarantine replay 重新写入。"
)
_INTERNAL_EN: Final = (
    "A fault of the program itself ({0}), written to the log. Send the log to the maintainers; "
    "after an update, use"
    " quarantine replay."
)


def _table() -> dict[str, tuple[str, str]]:
    found = {
        "the store refuses it: {}": (_STORE_ZH, _STORE_EN),
        "internal error: {}": (_INTERNAL_ZH, _INTERNAL_EN),
    }
    for reason, (zh, en) in _MALFORMED.items():
        found[reason] = f"{zh}。{_SENDER_ZH}", f"{en}. {_SENDER_EN}"
    for reason, (zh, en) in _TAGS.items():
        found[reason] = f"{zh}。{_KEPT_ZH}", f"{en}. {_KEPT_EN}"
    return found


_SENTENCES: Final = [
    (re.compile(re.escape(reason).replace(r"\{\}", "(.*)"), re.DOTALL), zh, en)
    for reason, (zh, en) in _table().items()
]


@lru_cache(maxsize=1024)
def refusal_sentence(reason: str) -> tuple[str, str]:
    """(zh, en) of a reason of the quarantine; one of another version's as it is."""
    for pattern, zh, en in _SENTENCES:
        found = pattern.fullmatch(reason)
        if found is not None:
            return zh.format(*found.groups()), en.format(*found.groups())
    return f"消息没有入库（{reason}）。{_SENDER_ZH}", f"It was not stored ({reason}). {_SENDER_EN}"
