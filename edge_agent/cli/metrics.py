"""`edge-agent metrics show CONFIG` and `edge-agent metrics evaluate`: the two policy rates and their companions."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_agent.words import command

if TYPE_CHECKING:
    from edge_agent.config.models import Store
    from edge_agent.errors import Finding
    from edge_agent.metrics.live import Live
    from edge_agent.register.model import Register

_WIDTH: Final = 120
"""Columns of the table when it does not go to a terminal."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its two parts."""
    command = commands.add_parser(
        "metrics",
        help="关键工序数控化率、设备联网率等指标 / the NC rate, the networking rate and their companions",
        description="查看或计算指标。 Show the metrics of a running plant, or compute them from files.",
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
    show.add_argument("config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file")
    show.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    show.set_defaults(func=run_show)


def _add_evaluate(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = parts.add_parser(
        "evaluate",
        help="不需网关，从台账直接计算 / compute from the register, without any gateway",
        description="从设备台账、工序表和（可选）实时数据文件计算全部指标。"
        " Computes every register-based metric from the equipment register, the process list and, if there are any,"
        ' live facts: {"device": {"last_good_age_h": 0.5, "coverage": 0.98}, ...}.',
    )
    evaluate.add_argument("--register", type=Path, required=True, metavar="R", help="设备台账 / equipment (CSV, XLSX)")
    evaluate.add_argument("--processes", type=Path, metavar="P", help="工序表 / process list (CSV, XLSX)")
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
        print(
            f"入库服务未运行，请先启动：{command('serve', args.config)}\n"
            f"    the store service does not run; start it: {command('serve', args.config)}"
        )
        return 1
    if args.json:
        print(json.dumps(metrics, ensure_ascii=False, indent=1))
    elif metrics:
        _print_table(metrics)
    else:
        print("还没有指标，请检查配置中的 register。\n    no metrics yet; check `register` in the configuration.")
    return 0 if metrics else 1


def _newest(store: Store, agent: str) -> list[dict[str, Any]]:
    """From the running service, or from the embedded store when none runs. Raises ConnectionError for neither."""
    from edge_agent.ingest.api import ask, open_or_ask, socket_path

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
    )
    if args.json:
        print(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        _print_document(document)
    return 0


def _inputs(args: argparse.Namespace) -> tuple[Live | None, Register, tuple[Finding, ...]]:
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
    _print_table(document["results"].values())
    for key, zh in (("not_effective", "申报但未有效联网"), ("live_not_declared", "在线但未申报")):
        if document[key]:
            print(f"{zh} / {key.replace('_', ' ')}: {', '.join(document[key])}")
    for finding in document["findings"]:
        print(f"{finding['where']}: {finding['zh']}\n    {finding['en']}")
    print(f"台账版本 / register version: sha256 {document['register_version']}")


def _print_table(metrics: Iterable[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    table = Table(title="智能化改造指标 / intelligent-upgrade metrics", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("编号 id", no_wrap=True)
    table.add_column("指标 metric", overflow="fold")
    table.add_column("值 value", justify="right", overflow="fold")
    table.add_column("分子/分母", justify="right", no_wrap=True)
    table.add_column("证据", no_wrap=True)
    table.add_column("目标、评分 target, band", overflow="fold")
    for metric in metrics:
        table.add_row(*_row(metric))
    console.print(table)


def _row(metric: Mapping[str, Any]) -> tuple[str, ...]:
    name = f"{metric['name_zh']}\n{metric['name_en']}"
    if metric["value"] is None:
        reason = metric.get("reason") or {"zh": "", "en": ""}
        return metric["id"], name, "—", "", "", f"{reason['zh']}\n{reason['en']}"
    figure = f"{100 * metric['value']:.2f} %" if metric.get("unit", "1") == "1" else f"{metric['value']:g}"
    if metric.get("value_pct") is not None:
        figure = f"{metric['value_pct']:.2f} %"
    if metric.get("provisional"):
        figure += "\n暂定 provisional"
    fraction = f"{_short(metric['numerator'])}/{_short(metric['denominator'])}"
    return metric["id"], name, figure, fraction, metric["grade"] or "", _judged(metric)


def _judged(metric: Mapping[str, Any]) -> str:
    from edge_agent.metrics import bands

    lines = []
    if target := metric.get("target"):
        sign = "达到 met" if target["met"] else "未达到 not met"
        lines.append(f"> {100 * target['above']:g} %: {sign}")
    if metric["id"] in ("M-03", "M-04a-declared", "M-04a-effective"):
        rate = Fraction(metric["numerator"], metric["denominator"])
        lines.append(f"{bands.NAME} {bands.band(rate)} %: {float(bands.points(rate)):g} 分 points")
    return "\n".join(lines)


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}".rstrip("0").rstrip(".")
