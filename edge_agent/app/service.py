"""How a long-running command lives: logs, signals, an event loop, an orderly end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from edge_agent.app import logs
from edge_agent.process import raise_descriptor_limit
from edge_agent.tasks import cancel_and_wait

#: Objects that may come into being beyond those that go before the collector looks for cycles among
#: the young ones (Python's own limit is 700, which a read of some hundred devices at once passes
#: several times).
YOUNG_OBJECTS = 10_000

#: How often all cycles are looked for, in seconds. A lost connection leaves some (an exception, its
#: traceback, a task): megabytes would gather before Python looks by itself, because so few of the
#: young objects survive.
COLLECT_S = 60.0


class Service(Protocol):
    """Something that works until `stop` is set."""

    async def run(self, stop: asyncio.Event) -> None: ...


@runtime_checkable
class Reloadable(Service, Protocol):
    """A service that reads its configuration again on SIGHUP."""

    def request_reload(self) -> None: ...


def run_service(build: Callable[[], Service], level: str) -> int:
    """Build the service, run it until SIGTERM or SIGINT, return the exit status."""
    logs.configure(level)
    raise_descriptor_limit()
    # What is built lives as long as the process: keep the collector from walking it again and
    # again.
    gc.disable()
    service = build()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    gc.enable()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_signal(service))
    finally:
        gc.unfreeze()  # so that the interpreter's end finds what is to be released
    return 0


async def _until_signal(service: Service) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if isinstance(service, Reloadable):
        loop.add_signal_handler(signal.SIGHUP, service.request_reload)
    collector = asyncio.create_task(_collect(), name="collector")
    try:
        await service.run(stop)
    finally:
        await cancel_and_wait([collector])


async def _collect() -> None:
    while True:
        await asyncio.sleep(COLLECT_S)
        gc.collect()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where the extra is installed and asked for, else asyncio's own."""
    if not os.environ.get("EDGE_AGENT_UVLOOP"):
        return None
    import uvloop  # type: ignore[import-not-found,unused-ignore]

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
