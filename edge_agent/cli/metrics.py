"""`edge-agent metrics show CONFIG` and `edge-agent metrics evaluate`: the two policy rates and
their companions."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.words import command

if TYPE_CHECKING:
    from rich.text import Text

    from edge_agent.app.status.terminal import Terminal
    from edge_agent.config.models import StoreSection
    from edge_agent.errors import Finding
    from edge_agent.metrics.live import LiveEvidence
    from edge_agent.register.model import Register


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its two parts."""
    command = commands.add_parser(
        "metrics",
        help="关键工序数控化率、设备联网率等指标 / the NC rate, the networking rate and their "
        "companions",
        description="查看或计算指标。"
        " Show the metrics of a running plant, or compute them from files.",
    )
    parts = command.add_subparsers(metavar="ACTION", required=True)
    _add_show(parts)
    _add_evaluate(parts)


def _add_show(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = parts.add_parser(
        "show",
        help="查看正在运行的服务的指标 / the metrics of the running store service",
        description="询问 CONFIG 的入库服务；服务未运行时读取内置库的文件。"
        " Asks the store service of CONFIG; when none runs, reads the embedded store's file.",
    )
    show.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    show.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    show.add_argument(
        "--wide",
        action="store_true",
        help="完整显示，不按终端裁剪 / print everything whole, whatever the terminal",
    )
    show.set_defaults(func=run_show)


def _add_evaluate(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = parts.add_parser(
        "evaluate",
        help="不需网关，从台账直接计算 / compute from the register, without any gateway",
        description="从设备台账、工序表和（可选）实时数据文件计算全部指标。"
        " Computes every register-based metric from the equipment register, the process list "
        "and, if there are any,"
        ' live facts: {"device": {"last_good_age_h": 0.5, "coverage": 0.98}, ...}.',
    )
    evaluate.add_argument(
        "--register", type=Path, required=True, metavar="R", help="设备台账 / equipment (CSV, XLSX)"
    )
    evaluate.add_argument(
        "--processes", type=Path, metavar="P", help="工序表 / process list (CSV, XLSX)"
    )
    evaluate.add_argument("--live", type=Path, metavar="L", help="实时数据 / live facts (JSON)")
    evaluate.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    evaluate.add_argument(
        "--robot-is-nc",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="机器人是否计为数控 / whether a robot counts as numerically controlled (M-01, M-02)",
    )
    evaluate.set_defaults(func=run_evaluate)


def run_show(args: argparse.Namespace) -> int:
    """Print what the store service computed last; status 1 when there is no result to be had."""
    from edge_agent.config import load

    site = load(args.config, secrets=False)
    try:
        metrics = _newest(site.store, site.agent.id)
    except ConnectionError:
        start = command("serve", args.config)
        print(
            f"入库服务未运行，请先启动：{start}\n    the store service does not run; start it: "
            f"{start}"
        )
        return 1
    if args.json:
        print(json.dumps(metrics, ensure_ascii=False, indent=1))
    elif metrics:
        _print_table(
            metrics, whole=args.wide, more=command("metrics", "show", args.config, "--wide")
        )
    else:
        from edge_agent.app.status.rates_view import no_rates

        print("\n    ".join(no_rates(register=site.register_.equipment is not None, serving=True)))
    return 0 if metrics else 1


def _newest(store: StoreSection, agent: str) -> list[dict[str, Any]]:
    """From the running service, or from the embedded store when none runs. Raises ConnectionError
    for neither."""
    from edge_agent.control.client import ask, socket_path
    from edge_agent.control.store_questions import open_or_ask

    metrics: list[dict[str, Any]]
    try:
        metrics = ask(socket_path(store.path), "metrics")
    except ConnectionError:
        if store.kind != "duckdb" or not store.path.is_file():
            raise
        metrics = open_or_ask(store, "metrics", agent=agent)
    return metrics


def run_evaluate(args: argparse.Namespace) -> int:
    """Compute and print; a register that cannot be used raises RegisterError (status 2)."""
    from edge_agent.clock import Clock
    from edge_agent.metrics.evaluate import evaluate

    live, register, notes = _inputs(args)
    document = evaluate(
        register,
        live,
        computed_at=Clock.from_environment().time_ns(),
        robot_is_nc=args.robot_is_nc,
        findings=notes,
        zone=datetime.now().astimezone().tzinfo or UTC,
    )
    if args.json:
        print(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        _print_document(document)
    return 0


def _inputs(args: argparse.Namespace) -> tuple[LiveEvidence | None, Register, tuple[Finding, ...]]:
    """The files of an assessment. Raises FindingsError with what is wrong in any of them."""
    from edge_agent.errors import FindingsError
    from edge_agent.metrics.live import read_live
    from edge_agent.register.importing import load

    wrong: list[Finding] = []
    live = None
    try:
        live = read_live(args.live) if args.live else None
    except FindingsError as error:
        wrong += error.findings
    try:
        register, notes = load(args.register, args.processes, live.devices.keys() if live else None)
    except FindingsError as error:
        raise FindingsError([*wrong, *error.findings]) from error
    if wrong:
        raise FindingsError(wrong)
    return live, register, notes


def _print_document(document: Mapping[str, Any]) -> None:
    _print_table(document["results"].values(), whole=True)
    for key, zh in (("not_effective", "申报但未有效联网"), ("live_not_declared", "在线但未申报")):
        if document[key]:
            print(f"{zh} / {key.replace('_', ' ')}: {', '.join(document[key])}")
    for finding in document["findings"]:
        print(f"{finding['where']}: {finding['zh']}\n    {finding['en']}")
    print(f"台账版本 / register version: sha256 {document['register_version']}")


def _counted(rest: int, more: str, terminal: Terminal) -> list[Text]:
    """How many figures are not shown, and the command that prints them."""
    if not rest:
        return []
    from rich.text import Text

    from edge_agent.app.status.terminal import wrapped

    told = f"{terminal.say(f'… 另有 {rest} 项', f'… {rest} more', ' / ')}: {more}"
    return [Text(line, "bright_black") for line in wrapped(told, terminal.width)]


def _print_table(metrics: Iterable[Mapping[str, Any]], *, whole: bool, more: str = "") -> None:
    """The two rates, then the other figures; on a terminal as many as it has lines for, and `more`
    prints the rest."""
    from rich.console import Console
    from rich.text import Text

    from edge_agent.app.status.rates_view import headlines, others
    from edge_agent.app.status.terminal import Terminal

    console = Console(highlight=False, markup=False, soft_wrap=True)
    terminal = Terminal.of(console, whole=whole)
    rows = list(metrics)
    lines = [*headlines(rows, terminal), Text("")]
    rest = others(rows, terminal)
    while rest and terminal.has_room([*lines, *rest[0], *_counted(len(rest) - 1, more, terminal)]):
        lines += rest.pop(0)
    lines += _counted(len(rest), more, terminal)
    for line in lines:
        console.print(line)
