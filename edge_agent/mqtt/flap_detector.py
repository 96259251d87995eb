"""A broker that takes us and soon hangs up, again and again: told as such, and met with
patience."""

from __future__ import annotations

from typing import Final

from edge_agent.errors import Finding

SHORT_S: Final = 10.0
"""A connection that ends sooner did not hold."""
MANY: Final = 3
LONGEST_S: Final = 5.0
"""Seconds between attempts then. Two clients of one name would otherwise throw each other out all
the time."""


class FlapDetector:
    """Counts connections in a row that were accepted and did not hold.

    A broker that is away between them is none of these: then no connection is accepted.
    """

    def __init__(self) -> None:
        self.short = 0

    @property
    def now(self) -> bool:
        """Whether it is more than chance."""
        return self.short >= MANY

    def ended(self, lasted: float) -> None:
        """A connection that the broker had accepted is over; it held for so many seconds."""
        self.short = self.short + 1 if lasted < SHORT_S else 0

    def refused(self) -> None:
        """An attempt failed: the broker is away, or says why."""
        self.short = 0

    def wait(self, seconds: float) -> float:
        """How long to wait instead of `seconds`."""
        return (
            max(seconds, LONGEST_S * min(1.0, 0.2 * (self.short - MANY + 1)))
            if self.now
            else seconds
        )


def flapping(client_id: str, url: str, last: Finding) -> Finding:
    """What to look at when connections do not hold; `last`: how the last of them ended."""
    zh = last.zh.rstrip("。")
    en = last.en.rstrip(".")
    return Finding(
        "mqtt-restless",
        url,
        f"消息服务器接受连接后很快又断开，已连续多次（最近一次：{zh}）。"
        f"是否有另一个程序使用同样的 client_id {client_id!r}"
        "（例如复制的配置）？或者消息服务器不接受某条消息（大小、权限，或不支持保留消息："
        "mqtt.retain: false）"
        "？请查看消息服务器的日志。",
        "The broker accepts the connection and soon ends it, several times in a row (the last "
        f"time: {en}). Does"
        f" another program use the client id {client_id!r} (a copied configuration)? Or does the "
        "broker dislike a"
        " message (its size, permissions, or any retained message: `mqtt.retain: false`)? See "
        "its log.",
    )
