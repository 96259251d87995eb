"""`edge-agent simulate [CONFIG]`: rehearse a site in the office, without its machines."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from edge_agent.cli.numbers import positive
from edge_agent.words import command, number_of

T = TypeVar("T")

_DESCRIPTION = (
    "为 CONFIG 里的每台设备在本机启动一个模拟器，并写出指向它们的配置；不给 CONFIG "
    "时运行自带的两条产线。"
    "写出的配置使用自己的主题前缀、缓存和存储文件，演练数据不会混进正式数据。"
    " Starts a simulator on this machine for every device of CONFIG and writes the configuration "
    "that points there;"
    " without CONFIG the two bundled lines. The file written has a topic prefix, an outbox and a "
    "store of its own, so"
    " rehearsal data never mixes with the real."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "simulate",
        help="为配置里的每台设备启动模拟器 / stand in for every device",
        description=_DESCRIPTION,
    )
    command.add_argument(
        "config",
        type=Path,
        nargs="?",
        metavar="CONFIG",
        help="YAML 配置文件 / the configuration file",
    )
    command.add_argument(
        "--speed", type=positive, default=1.0, metavar="N", help="加速倍数 / N times as fast"
    )
    command.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="随机种子，同种子同过程 / same seed, same history",
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="写到哪里，默认 NAME.simulated.yaml / where to write the file",
    )
    command.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="DEVICE:KIND[:SECONDS]",
        help="从一开始注入故障，可多次给出 / a fault from the start, for SECONDS or to the end; "
        "may be repeated;"
        " KIND: offline, timeout, half_open, frozen, nan, server_restart, counter_reset, "
        "rollover, gbk_names;"
        " Modbus: slave_timeout, illegal_address, word_swap, sentinel; OPC UA: bad_status, "
        "uncertain_status,"
        " clock_jump, session_drop",
    )
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Until Ctrl-C or SIGTERM; 1 when the simulators end by themselves."""
    return asyncio.run(_rehearse(args))


def _fault(text: str) -> tuple[str, dict[str, Any]]:
    """`vmc-02:frozen:30` -> the device and the fault as the simulators take it."""
    device, _, rest = text.partition(":")
    kind, _, seconds = rest.partition(":")
    if not device or not kind:
        raise argparse.ArgumentTypeError(
            f"{text}: 应写作 DEVICE:KIND[:SECONDS] / write DEVICE:KIND[:SECONDS]"
        )
    return device, {"kind": kind} | ({"for": positive(seconds)} if seconds else {})


async def _rehearse(args: argparse.Namespace) -> int:
    from edge_agent.app.demo import rehearse
    from edge_agent.clock import Clock
    from edge_agent.config import load
    from edge_agent.config.compile import plans
    from edge_agent.config.resources import configs

    config = args.config or configs() / "demo.yaml"
    out = args.out or (args.config or Path("demo.yaml")).with_suffix(".simulated.yaml")
    site = load(config, secrets=False)
    clock = Clock(args.speed)
    faults: dict[str, list[dict[str, Any]]] = {}
    for device, fault in args.fault:
        faults.setdefault(device, []).append(fault)
    simulation = rehearse.SimulatorProcess()
    stop = _stop_signal()
    try:
        starting = simulation.start(
            rehearse.spec(site, plans(site), clock, args.seed, faults=faults)
        )
        endpoints = await _unless(stop, starting)
        if endpoints is None:
            return 0
        text = rehearse.redirect(
            config,
            endpoints,
            rehearse.apart(site, config, out),
            certificates=simulation.certificates,
        )
        await asyncio.to_thread(rehearse.save, out, text)
        _announce(endpoints, out, clock.to_environment() if args.speed != 1 else {})
        if await _unless(stop, simulation.wait()) is None:
            return 0
    finally:
        await simulation.stop()
    print(
        "模拟器自行结束了，原因见上面的输出。\n    the simulators ended by themselves; see their "
        "output above.",
        file=sys.stderr,
    )
    return 1


def _stop_signal() -> asyncio.Event:
    """Set by SIGINT and SIGTERM, also while the simulators are starting."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None when the signal comes first, which ends it."""
    from edge_agent.tasks import cancel_and_wait

    task = asyncio.create_task(work, name="simulators")
    signalled = asyncio.create_task(stop.wait(), name="signal")
    try:
        await asyncio.wait((task, signalled), return_when=asyncio.FIRST_COMPLETED)
        return None if stop.is_set() else task.result()
    finally:
        await cancel_and_wait((task, signalled))


def _announce(endpoints: dict[str, str], out: Path, environment: dict[str, str]) -> None:
    width = max(map(len, endpoints), default=0)
    print(f"已模拟 {len(endpoints)} 台设备 / {number_of(len(endpoints), 'device')} simulated:")
    for device, url in endpoints.items():
        print(f"  {device.ljust(width)}  {url}")
    clock = "".join(f"{name}={value} " for name, value in environment.items())
    print(f"配置已写到 / configuration written to: {out}")
    print("在另一个终端里 / in another terminal:")
    print(f"  {clock}{command('run', out)}")
    print(f"  {clock}{command('serve', out)}")
    print("Ctrl-C 结束 / ends", flush=True)
