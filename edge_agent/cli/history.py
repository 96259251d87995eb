"""`edge-agent history CONFIG DEVICE/TAG ...`: what the values were."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from edge_agent.app.values.history import History, HistoryTag, Progress
    from edge_agent.config.models import Site
    from edge_agent.errors import FindingsError

_SECOND: Final = 1_000_000_000
#: Readings of one tag in an answer; more are shown in steps.
_MOST_LINES: Final = 400
_MOST_JSON: Final = 5000
#: Lines of a plot beside its picture, and of its picture at least and at the most.
_AROUND: Final = 6
_LEAST: Final = 6
_GREATEST: Final = 24
#: Readings between two signs of life.
_TOLD_ROWS: Final = 100_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "history",
        help="查看历史值：表格、曲线、CSV、Parquet / values of the past: table, plot, CSV, Parquet",
        description="从时序库取变量的历史值。入库服务在运行时向它询问，否则直接打开数据库。"
        "时间按站点时区；"
        "只写日期表示当天 00:00。默认最近 8 小时。"
        " Values of the past from whichever store: asked of the store service while it runs, "
        "else read from the store"
        " itself. Times are the site's; a date alone is its first moment. The last 8 hours by "
        "default.",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    command.add_argument(
        "names",
        nargs="+",
        metavar="DEVICE/TAG",
        help="变量，可用 * ? / tags, * and ? allowed; a device: all its tags",
    )
    span = command.add_argument_group("时间 / window")
    span.add_argument("--since", metavar="8h", help="回看多久 / how far back: 30m, 8h, 7d")
    span.add_argument(
        "--from", dest="begin", metavar="T", help="从何时 / from when: '2026-11-30 08:00', ISO 8601"
    )
    span.add_argument(
        "--to", dest="until", metavar="T", help="到何时，默认现在 / until when; now by default"
    )
    span.add_argument(
        "--every",
        metavar="1m",
        help="每步给出最小、最大、平均 / in steps: min, max, mean by time, last",
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument(
        "--csv",
        type=Path,
        metavar="F",
        help="全部读数写入 CSV，- 为标准输出 / all readings; - is stdout",
    )
    form.add_argument(
        "--parquet",
        type=Path,
        metavar="F",
        help="全部读数写入 Parquet，- 为标准输出 / all readings as Parquet",
    )
    form.add_argument("--json", action="store_true", help="输出 JSON / print JSON")
    form.add_argument("--plot", action="store_true", help="在终端画曲线 / draw it in the terminal")
    command.set_defaults(func=run)


@dataclass(frozen=True, slots=True)
class _Output:
    """Where an answer goes, and what it needs."""

    history: History
    tags: Sequence[HistoryTag]
    every: int | None
    zone: ZoneInfo
    progress: Progress
    clear: Callable[[], None]


def run(args: argparse.Namespace) -> int:
    """Print or write the past; status 1 when a tag has nothing in the window."""
    from edge_agent.app.values.history import History
    from edge_agent.app.values.source import opened
    from edge_agent.app.values.span import seconds, window
    from edge_agent.clock import Clock
    from edge_agent.config.plugins import plugins_or_installed

    logging.getLogger().addHandler(logging.NullHandler())
    site = _site(args.config)
    zone = ZoneInfo(site.agent.timezone)
    begin, until = window(
        args.since, args.begin, args.until, zone, Clock.from_environment().time_ns()
    )
    every = None if args.every is None else max(1, int(seconds(args.every) * _SECOND))
    if args.parquet is not None and every is not None:
        raise _parquet_has_readings()
    offset = datetime.fromtimestamp(begin // _SECOND, zone).utcoffset()
    with opened(site) as source, _progress() as (progress, clear):
        ahead = 0 if offset is None else int(offset.total_seconds()) * _SECOND
        history = History(site, plugins_or_installed(None), source, begin, until, ahead)
        output = _Output(history, history.tags(args.names), every, zone, progress, clear)
        if args.csv is not None:
            return _write(output, args.csv, parquet=False)
        if args.parquet is not None:
            return _write(output, args.parquet, parquet=True)
        if args.json:
            return _print_json(output)
        return _plot(output) if args.plot else _print_tables(output)


def _site(config: Path) -> Site:
    """The site; of its secrets only the store's, and only when the store has to be opened here."""
    from edge_agent.app.status.ask import serve_socket
    from edge_agent.config import load
    from edge_agent.control.client import running

    site = load(config, secrets=False)
    if not running(serve_socket(site)):
        site.require_store_secrets()
    return site


def _parquet_has_readings() -> FindingsError:
    from edge_agent.errors import FindingsError

    return FindingsError.one(
        "parquet-and-every",
        "--parquet 写出全部读数，不能与 --every 同用；分步结果请用 --csv 或 --json。",
        "--parquet writes every reading and does not go with --every; steps are given by --csv "
        "and --json.",
    )


@contextlib.contextmanager
def _progress() -> Iterator[tuple[Progress, Callable[[], None]]]:
    """A count on a terminal while it takes long, and how to take it away before something is
    printed."""
    shown = 0
    total = 0

    def count(rows: int) -> None:
        nonlocal shown, total
        total += rows
        if total - shown >= _TOLD_ROWS:
            shown = total
            print(f"\r{total} 条读数 readings …", end="", file=sys.stderr, flush=True)

    def clear() -> None:
        if shown:
            print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)

    def silent(_: int) -> None:
        """Nobody looks."""

    try:
        yield (count if sys.stderr.isatty() else silent), clear
    finally:
        clear()


def _write(output: _Output, target: Path, *, parquet: bool) -> int:
    from edge_agent.app.values.export import write_csv, write_parquet, write_step_csv

    history = output.history
    tags = output.tags
    if parquet:
        written = write_parquet(history, tags, target, output.progress)
    elif output.every is not None:
        written = write_step_csv(history, tags, output.every, target, output.zone, output.progress)
    else:
        written = write_csv(history, tags, target, output.zone, output.progress)
    output.clear()
    if not written:
        for tag in tags:
            print("\n    ".join(_why(output, tag)), file=sys.stderr)
    if str(target) != "-":
        print(f"{target}: {written} 行 rows", file=sys.stderr)
    return 0 if written else 1


def _print_json(output: _Output) -> int:
    from edge_agent.cli.history_view import document

    history = output.history
    entries = []
    empty = 0
    for tag in output.tags:
        found = history.read(tag, every=output.every, most=_MOST_JSON, progress=output.progress)
        entry = document(found, history.begin, history.until, output.zone)
        if not found.count:
            empty += 1
            entry["reason_zh"], entry["reason_en"] = _why(output, tag)
        entries.append(entry)
    output.clear()
    print(json.dumps({"history": entries}, ensure_ascii=False, indent=1))
    return 1 if empty else 0


def _print_tables(output: _Output) -> int:
    from edge_agent.cli.history_view import table_lines, title

    history = output.history
    empty = 0
    for tag in output.tags:
        found = history.read(tag, every=output.every, most=_MOST_LINES, progress=output.progress)
        output.clear()
        if not found.count:
            empty += 1
            print("\n    ".join(_why(output, tag)))
            continue
        print(title(tag, history.begin, history.until, output.zone))
        for line in table_lines(found, output.zone):
            print(line)
        print()
    return 1 if empty else 0


def _plot(output: _Output) -> int:
    from edge_agent.cli.history_view import plot_text
    from edge_agent.cli.plot import plot_columns

    history = output.history
    empty = 0
    terminal = shutil.get_terminal_size()
    together = len(output.tags)
    height = min(_GREATEST, max(_LEAST, (terminal.lines - 1) // min(together, 2) - _AROUND))
    for tag in output.tags:
        steps = history.columns(tag, plot_columns(terminal.columns), output.progress)
        found = steps.finish()
        output.clear()
        if not any(step.readings for step in found):
            empty += 1
            print("\n    ".join(_why(output, tag)))
        elif all(step.low is None for step in found):
            print(f"{tag.shown}/{tag.tag}：没有可画的数字，请不用 --plot 查看。")
            print(f"    {tag.shown}/{tag.tag}: no numbers to draw; look at it without --plot.")
        else:
            print(
                "\n".join(plot_text(tag, steps, history.begin, history.until, output.zone, height))
            )
    return 1 if empty else 0


def _why(output: _Output, tag: HistoryTag) -> tuple[str, str]:
    """Why there is nothing, in both languages."""
    from edge_agent.app.values.history import why_empty
    from edge_agent.cli.history_view import clock

    newest = output.history.newest(tag)
    return why_empty(tag, None if newest is None else clock(newest, output.zone))
