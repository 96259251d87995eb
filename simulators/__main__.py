"""`python -m simulators SPEC.json`: serve simulated devices until SIGTERM, SIGINT or the end of
stdin."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

from simulators.faults import KINDS
from simulators.runner import Simulation
from simulators.spec import SpecError, load

_LOG = logging.getLogger("simulators")

_DESCRIPTION = """\
用仿真设备回答 Modbus 与 OPC UA 请求；全部端口就绪后在标准输出打印一行 JSON。
Serve simulated devices over Modbus and OPC UA; prints one JSON line when every port listens."""

_EPILOG = f"""\
SPEC.json: {{"speed": 1.0, "seed": 1, "devices": [{{"id": "meter-1", "protocol": "modbus",
  "transport": "tcp", "unit": 1,
  "tags": {{"power": {{"object": "input", "address": 52, "type": "float32", "unit": "W"}}}}}}]}}
故障可在运行中从标准输入按行注入 / faults at run time, one JSON line each on stdin:
  {{"device": "meter-1", "kind": "timeout", "for": 10}}
  kind: {", ".join(sorted(KINDS))}, clear"""


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 ended as asked, 2 wrong use or input that cannot be simulated."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "spec", nargs="?", type=Path, metavar="SPEC.json", help="设备清单 / what to serve"
    )
    parser.add_argument("--verbose", action="store_true", help="更多日志 / more log lines")
    arguments = parser.parse_args(argv)
    if arguments.spec is None:
        parser.print_help(sys.stderr)
        return 2
    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING,
        format="%(levelname)s %(name)s %(message)s",
    )
    # asyncua warns about open endpoints and clients' timeouts, which are both meant here.
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    try:
        asyncio.run(serve(Simulation(load(arguments.spec))))
    except SpecError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"无法监听：{error} / cannot listen: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the signals had handlers
        return 130
    return 0


async def serve(simulation: Simulation) -> None:
    """Serve until a signal or the end of stdin."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    ready = await simulation.start()
    try:
        if stopping.is_set() or not _announced(ready):
            return
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(simulation.run(), name="world"),
                group.create_task(_commands(simulation, stopping), name="stdin"),
            ]
            await stopping.wait()
            for task in tasks:
                task.cancel()
    finally:
        await simulation.stop()


def _announced(ready: dict[str, Any]) -> bool:
    """Print the line of readiness; False when who started us has ended meanwhile."""
    try:
        print(json.dumps(ready, ensure_ascii=False), flush=True)
    except BrokenPipeError:
        # the interpreter flushes once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


async def _commands(simulation: Simulation, stopping: asyncio.Event) -> None:
    """Faults from stdin; its end stops the simulation, so that no simulator outlives the program
    that started it.

    Only a pipe, a socket or a terminal is watched: /dev/null says nothing about a parent.
    """
    mode = os.fstat(sys.stdin.fileno()).st_mode if sys.stdin is not None else 0
    if not (
        stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (sys.stdin is not None and sys.stdin.isatty())
    ):
        return
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    with contextlib.closing(transport):
        while line := await reader.readline():
            try:
                simulation.inject(line.decode("utf-8", "replace"))
            except SpecError as error:
                print(error, file=sys.stderr, flush=True)
    stopping.set()


if __name__ == "__main__":
    sys.exit(main())
