"""Messages that never came: holes in what the store has of a stream, which no gap record tells of.

A stream's entries are numbered from 1, and the store knows the numbers it has dealt with. A broker that acknowledges
and then drops, or that had no subscriber yet, leaves a hole of which no agent knows. An entry that still waits in an
outbox, on its way, leaves one too for a while; the store cannot tell these apart, and says so.
"""

from __future__ import annotations

from typing import Any, Final

from edge_agent.intervals import IntervalSet
from edge_agent.stores.base import Store

_EVER: Final = 2**63 - 1

_ZH: Final = (
    "这些消息没有入库，也没有缺口记录（何时的无从得知）：仍在采集代理的发件箱中排队，或消息服务器确认后又丢弃了"
    "（队列上限；重启未持久化；mosquitto 用 acl_file 且允许匿名时，入库服务离线期间重启；入库服务首次订阅之前）。"
    "若待送达为 0，则已丢失：请用 mqtt.confirm: store；或用 max_queued_messages 0、persistence true，并设置"
    " mqtt.username。"
)
_EN: Final = (
    "These messages are not in the store and no gap record tells of them (of what time they are cannot be known): they"
    " still wait in the agent's outbox, or the broker acknowledged and then dropped them (limit of its queue; restart"
    " without persistence; restart of a mosquitto with acl_file and anonymous clients while the store service was away;"
    " before the store service's first subscription). When nothing waits any more they are lost: use mqtt.confirm:"
    " store, or max_queued_messages 0 and persistence true with a mqtt.username."
)


def absent(store: Store) -> list[dict[str, Any]]:
    """Holes of all time, by stream: `{"stream", "from_seq", "to_seq", "entries", "zh", "en"}`.

    What comes after the newest entry of a stream cannot be seen.
    """
    marks = store.marks()
    told: dict[str, IntervalSet] = {}
    for gap in store.gaps(0, _EVER):  # read after the marks: a gap told meanwhile must not look like a hole
        told.setdefault(gap["stream"], IntervalSet()).add(gap["from_seq"], gap["to_seq"])
    found = []
    for stream, have in sorted(marks.items()):
        pairs = have.pairs()
        if not pairs:
            continue
        known = IntervalSet(pairs)
        known.update(told[stream].pairs() if stream in told else ())
        for first, last in known.missing(1, pairs[-1][1]):
            row = {"stream": stream, "from_seq": first, "to_seq": last, "entries": last - first + 1}
            found.append(row | {"zh": _ZH, "en": _EN})
    return found
