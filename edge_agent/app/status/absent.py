"""Messages that never came: holes in what the store has of a stream, which no gap record tells of.

A stream's entries are numbered from 1, and the store knows the numbers it has dealt with. A broker
that acknowledges and then drops, or that had no subscriber yet, leaves a hole of which no agent
knows. An entry that still waits in an outbox, on its way, leaves one too for a while; the store
cannot tell these apart, and says so.

What a stream did before this store first had anything of it is another matter: it went to the store
before, or to none yet. That is before this store's time, and not lost for all it knows. And what an
agent says that it still holds is on its way, wherever in the stream it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge_agent.identity import agent_of
from edge_agent.intervals import IntervalSet
from edge_agent.stores.protocols import MonitoredStore

_EVER: Final = 2**63 - 1

_ZH: Final = (
    "这些消息没有入库，也没有缺口记录（何时的无从得知）：仍在采集代理的发件箱中排队，"
    "或消息服务器确认后又丢弃了"
    "（队列上限；重启未持久化；mosquitto 用 acl_file 且允许匿名时，入库服务离线期间重启；"
    "入库服务首次订阅之前）。"
    "若待送达为 0，则已丢失：请用 mqtt.confirm: store；或用 max_queued_messages 0、persistence "
    "true，并设置"
    " mqtt.username。"
)
_EN: Final = (
    "These messages are not in the store and no gap record tells of them (of what time they are "
    "cannot be known): they"
    " still wait in the agent's outbox, or the broker acknowledged and then dropped them (limit "
    "of its queue; restart"
    " without persistence; restart of a mosquitto with acl_file and anonymous clients while the "
    "store service was away;"
    " before the store service's first subscription). When nothing waits any more they are lost: "
    "use mqtt.confirm:"
    " store, or max_queued_messages 0 and persistence true with a mqtt.username."
)


_BEFORE_ZH: Final = (
    "这些消息早于本库第一次收到该数据流，不算本库的丢失：此前若有别的库，它们在那里。"
    "confirm: store 时采集代理会保留尚未入库的消息，并自动送达（见“待送达”）；"
    "confirm: broker 时，入库服务首次订阅之前发布的消息没有人保留（请先启动 serve 再启动 run，"
    "或用 confirm: store）。"
)
_BEFORE_EN: Final = (
    "These messages are older than the first this store had of the stream, and are no loss of "
    "its own: if there was"
    " another store before, they are there. With confirm: store the agent keeps what no store "
    "has yet, and it arrives"
    " by itself (see `waiting`); with confirm: broker nobody kept what was published before the "
    "store service first"
    " subscribed (start serve before run, or use confirm: store)."
)
_WAITING_ZH: Final = "这些消息还在采集代理的发件箱里，会自动送达并入库，没有丢失。"
_WAITING_EN: Final = (
    "These messages are still in the agent's outbox; they are sent and stored by themselves, and "
    "nothing is lost."
)


@dataclass(frozen=True, slots=True)
class SequenceGaps:
    """All kinds, by stream: `{"agent", "stream", "from_seq", "to_seq", "entries", "zh", "en"}`
    each."""

    absent: list[dict[str, Any]]
    """Between messages that came."""
    before: list[dict[str, Any]]
    """Before the first one that came."""
    waiting: list[dict[str, Any]]
    """Of either place, those that their agent says it still holds."""


def holes(store: MonitoredStore, pending_from: Mapping[str, int] | None = None) -> SequenceGaps:
    """Holes of all time. What comes after the newest entry of a stream cannot be seen.

    `pending_from`: stream -> the first number that its agent still holds, as far as the agents said
    so.
    """
    marks = store.incomplete_marks()
    told: dict[str, IntervalSet] = {}
    # read after the marks: a gap told meanwhile must not look like a hole
    for gap in store.gaps(0, _EVER):
        told.setdefault(gap["stream"], IntervalSet()).add(gap["from_seq"], gap["to_seq"])
    found = SequenceGaps([], [], [])
    for stream, have in sorted(marks.items()):
        pairs = have.pairs()
        if not pairs:
            continue
        known = IntervalSet(pairs)
        known.update(told[stream].pairs() if stream in told else ())
        contact = pairs[0][0]
        oldest_pending = (pending_from or {}).get(stream, _EVER)
        for first, last in known.missing(1, pairs[-1][1]):
            if last >= oldest_pending:
                found.waiting.append(
                    _row(stream, max(first, oldest_pending), last, _WAITING_ZH, _WAITING_EN)
                )
            if first >= oldest_pending:
                continue
            if last < contact:
                found.before.append(
                    _row(stream, first, min(last, oldest_pending - 1), _BEFORE_ZH, _BEFORE_EN)
                )
            else:
                found.absent.append(_row(stream, first, min(last, oldest_pending - 1), _ZH, _EN))
    return found


def _row(stream: str, first: int, last: int, zh: str, en: str) -> dict[str, Any]:
    row = {"agent": agent_of(stream), "stream": stream, "from_seq": first, "to_seq": last}
    return row | {"entries": last - first + 1, "zh": zh, "en": en}
