"""Which windows have lost readings to the store's retention: what was said of them then is not
computed again."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from edge_agent.config.models import Site
from edge_agent.metrics.definitions import Text
from edge_agent.stores.base import AROUND_NS

_DAY_NS: Final = 86_400_000_000_000
_S: Final = 1_000_000_000
#: Stores that keep what their server keeps; all others delete by `store.retention.days`.
_OWN_RETENTION: Final = frozenset({"influxdb", "influxdb1", "line"})


def readings_from(site: Site, now_ns: int) -> int:
    """A window that begins earlier than this (ns) may lack readings, its own or those beside its
    start. Servers keep what they are told to keep, which nobody here knows: 0."""
    if site.store.kind in _OWN_RETENTION:
        return 0
    return now_ns - int(site.store.retention.days * _DAY_NS) + AROUND_NS


def readings_gone(site: Site, start_ns: int, now_ns: int) -> Text | None:
    """What is said of a window that begins at `start_ns` where its readings may be gone; None while
    they are there."""
    since = readings_from(site, now_ns)
    if start_ns >= since:
        return None
    day = datetime.fromtimestamp(since // _S, ZoneInfo(site.agent.timezone)).strftime(
        "%Y-%m-%d %H:%M"
    )
    return Text(
        f"{day} 以前的读数已按 store.retention.days 删除，本窗口不能再完整计算。",
        f"Readings before {day} have been deleted (store.retention.days): this window cannot be "
        "computed in full any"
        " more.",
    )
