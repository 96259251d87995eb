"""Past hours of health are rolled up while the service runs: read beside the ingest, kept between
two commits."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from edge_agent.clock import Clock
from edge_agent.errors import PoisonError, StoreError
from edge_agent.ingest.service import Ingest
from edge_agent.stores.protocols import HealthRollup

log = logging.getLogger(__name__)

#: Between two looks: seconds of the clock, but (with `--speed`) never fewer real ones than LEAST_S,
#: nor fewer than so many times what the last look took. An old store's years wait their turn behind
#: what comes in.
EVERY_S: Final = 20.0
LEAST_S: Final = 1.0
SHARE: Final = 10.0
#: Hours read at a time.
AT_ONCE: Final = 4


async def keep_hours(store: HealthRollup, ingest: Ingest, clock: Clock) -> None:
    """Until cancelled."""
    pause = LEAST_S
    while True:
        await asyncio.sleep(pause)
        began = time.monotonic()
        read = 0
        try:
            hours = await asyncio.to_thread(store.read_open_hours, clock.time_ns(), AT_ONCE)
            read = len(hours)
            if hours:
                await ingest.call(store.keep_hours, hours)
        except (StoreError, PoisonError) as error:
            log.warning("health-hours-postponed reason=%s", error)
        except Exception:  # reason: a strange health row must never stop the storing
            log.exception("health-hours-failed")
        wait = LEAST_S if read == AT_ONCE else max(LEAST_S, clock.real(EVERY_S))
        pause = max(wait, SHARE * (time.monotonic() - began))
