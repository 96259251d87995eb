"""Whether a silent server still answers at all: it is asked for its state, but only after a
silence.

The keep-alives of a subscription say so too, and with the agent's defaults sooner than this. But a
server may insist on rare ones, and a slow publishing interval makes them rare: then a dead line
would go unnoticed for as long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.faults import is_session_lost
from connectors.opcua.limits import STATE
from connectors.opcua.session import OpcuaSession
from edge_agent.sdk import DeviceError

log = logging.getLogger(__name__)

_LEAST_PATIENCE_S: Final = 0.5


async def watch(session: OpcuaSession, heard: Callable[[], float]) -> None:
    """Never returns; DeviceError(lost=True) at the latest one and a half time-outs after the server
    fell silent.

    `heard` gives the event loop's time of the last message. An answer may take the whole time-out,
    as any other.
    """
    loop = asyncio.get_running_loop()
    timeout = session.options.timeout
    patience = max(_LEAST_PATIENCE_S, timeout / 2)
    answered = loop.time()
    while True:
        left = max(answered, heard()) + patience - loop.time()
        if left > 0:
            await asyncio.sleep(left)
            continue
        asked = loop.time()
        try:
            async with asyncio.timeout(timeout):
                await session.service.read(STATE)
        except UaStatusCodeError as error:
            if is_session_lost(error):
                raise
            # a refusal is an answer
            log.debug("opcua-pulse endpoint=%s answer=%s", session.options.endpoint, error)
        except TimeoutError:
            if heard() <= asked:
                raise DeviceError.of(
                    "opcua_silent", lost=True, where=session.options.endpoint
                ) from None
        answered = loop.time()
