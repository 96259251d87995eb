"""`edge-agent status CONFIG`: is every device connected, what is it doing, what is missing and
why."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "status",
        help="查看设备与数据流状态、缺了什么 / how devices and data flow are doing, and what is "
        "missing",
        description="询问正在运行的入库服务与采集代理，并列出这段时间缺了什么、从何时到何时、为什么；"
        "有设备不在线或代理自身故障时退出码为 1。"
        " Asks the running store service and agent of CONFIG, and lists what is missing, from "
        "when to when, and why;"
        " exit status 1 when a device is not online or the agent itself has failed.",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    command.add_argument(
        "--since",
        type=_seconds,
        default=86_400.0,
        metavar="TIME",
        help="回看多久，默认 24h / how far back (24h)",
    )
    command.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    command.add_argument(
        "--wide",
        action="store_true",
        help="完整显示，不按终端裁剪 / print everything whole, whatever the terminal",
    )
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print what the store service and the agent say."""
    from edge_agent.app.status.ask import (
        ask_agent,
        ask_metrics,
        ask_missing,
        ask_serve,
        final_status,
        waiting,
    )
    from edge_agent.config import load

    site = load(args.config, secrets=False)
    agent = _asked(lambda: ask_agent(site))
    store = _asked(lambda: ask_serve(site))
    # A service that does not answer one question will not answer the next.
    missing = store if _silent(store) else _asked(lambda: ask_missing(site, args.since))
    metrics = None if store is None or _silent(store) else _asked(lambda: ask_metrics(site))
    document: dict[str, Any] = {"agent": agent, "serve": store, "missing": missing}
    document["metrics"] = metrics if isinstance(metrics, list) else []
    if agent is None:
        document["last_words"] = final_status(site)
        document["waiting"] = _asked(lambda: waiting(site))
    if args.json:
        print(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        from edge_agent.app.status.view import show

        show(document, site, args.config, whole=args.wide)
    return 0 if _well(agent, store, {device.id for device in site.devices}) else 1


def _asked(question: Callable[[], Any]) -> Any:
    """The answer; None when nobody is there; `{"problem": [...], "zh", "en"}` from one that does
    not, or cannot, answer."""
    from edge_agent.errors import Finding, FindingsError, StoreError

    try:
        return question()
    except FindingsError as error:
        found = error.findings
    except StoreError as error:  # of a store that was opened here, because no service runs
        found = (Finding("store-away", "store", error.cause.zh, error.cause.en),)
    zh = "".join(finding.zh for finding in found)
    en = " ".join(finding.en for finding in found)
    return {"problem": [str(finding) for finding in found], "zh": zh, "en": en}


def _silent(part: dict[str, Any] | None) -> bool:
    return part is not None and "problem" in part and "ne107" not in part


def _seconds(text: str) -> float:
    from pydantic import TypeAdapter, ValidationError

    from edge_agent.config.values import Duration

    try:
        return float(TypeAdapter(Duration).validate_python(_number(text)))
    except ValidationError:
        raise argparse.ArgumentTypeError(
            f"应为时长 / a duration such as 30m, 24h, 7d, or seconds: {text!r}"
        ) from None


def _number(text: str) -> str | float:
    """A bare number means seconds, as in the configuration."""
    try:
        return float(text)
    except ValueError:
        return text


def _well(agent: dict[str, Any] | None, store: dict[str, Any] | None, devices: set[str]) -> bool:
    """Whether all devices of the plant are online (`devices`: those of the configuration, also when
    the store has never heard of them); the store may know others: guests, and former ones."""
    from edge_agent.app.status.status_faults import never_reported, own_rows

    if (agent is None and store is None) or _silent(agent) or _silent(store):
        return False
    if store is None:
        states = [row["state"] for row in agent["devices"]] if agent else []
    else:
        if never_reported(store["devices"], devices):
            return False
        states = [row["connection"] for row in own_rows(store["devices"], devices)]
    failed = any(part is not None and part["ne107"]["name"] == "FAILURE" for part in (agent, store))
    return not failed and all(state == "online" for state in states)
