"""systemd's service protocol (sd_notify): ready, stopping, and a watchdog fed only by real
progress."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)


def notify(state: str) -> bool:
    """Tell systemd, and never wait for it; False when it was not told.

    That is so without `NOTIFY_SOCKET` (the service manager did not ask), or when nobody takes what
    is sent there.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    # an abstract socket is written with an @
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            door.connect(address)
            door.send(state.encode(), socket.MSG_DONTWAIT)
    except OSError as error:
        log.warning("notify-failed state=%s error=%s", state, error)
        return False
    return True


def interval() -> float | None:
    """Seconds between two signs of life: half of what the unit's `WatchdogSec` allows; None without
    a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdigit() and int(microseconds) else None


async def feed(stalled: Callable[[], list[str]]) -> None:
    """Feed the watchdog while `stalled` names nothing. A loop that hangs is thus restarted by
    systemd."""
    pause = interval()
    if pause is None:
        return
    while True:
        stuck = stalled()
        if stuck:
            log.error("stalled loops=%s", ",".join(stuck))
        else:
            notify("WATCHDOG=1")
        await asyncio.sleep(pause)
