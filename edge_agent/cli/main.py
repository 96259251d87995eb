"""`edge-agent COMMAND ...`: finds the command, runs it, and turns refusals into plain sentences.

Exit status: 0 fine, 1 the thing asked about is not well, 2 wrong use or configuration.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version

from edge_agent.errors import Finding, FindingsError, StoreError
from edge_agent.reasons import words_of
from edge_agent.words import command, with_file

COMMANDS = (
    "demo",
    "check",
    "schema",
    "profiles",
    "browse",
    "probe",
    "scan",
    "read",
    "run",
    "reload",
    "serve",
    "simulate",
    "history",
    "status",
    "doctor",
    "metrics",
    "register",
    "report",
    "verify",
    "outbox",
    "quarantine",
    "forget",
    "tags",
    "convert",
    "init",
    "store",
    "backup",
    "restore",
)

_DESCRIPTION = (
    "车间数据采集网关：OPC UA / Modbus → 持久化 → MQTT → 时序库 → 关键工序数控化率与设备联网率。"
    " Shop-floor edge agent: from PLCs and CNCs to durable data and the two policy rates."
)
_EPILOG = (
    "退出码 / exit status: 0 正常 fine · 1 所查对象不正常 not well · 2 用法或配置有误 wrong use "
    "or configuration"
)


def parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line with the given commands; a command's module is imported only when it is
    needed."""
    root = argparse.ArgumentParser(prog=command(), description=_DESCRIPTION, epilog=_EPILOG)
    root.add_argument("--version", action="version", version=version("shopfloor-edge-agent"))
    subparsers = root.add_subparsers(metavar="COMMAND", required=True)
    for name in commands:
        import_module(f"edge_agent.cli.{name}").add(subparsers)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or pipe whose encoding lacks our letters gets question marks, not a
            # traceback.
            stream.reconfigure(errors="replace")
    words = list(sys.argv[1:] if argv is None else argv)
    known = words[:1] if words and words[0] in COMMANDS else COMMANDS
    args = parser(known).parse_args(words)
    try:
        status: int = args.func(args)
    except FindingsError as error:
        config = getattr(args, "config", None)
        _report(error.findings, config)
        return 2
    except StoreError as error:  # of a store that is opened here, because no service runs
        _report([Finding("store-away", "store", error.cause.zh, error.cause.en)])
        return 2
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (
        FileNotFoundError,
        IsADirectoryError,
        NotADirectoryError,
        PermissionError,
        FileExistsError,
    ) as error:
        if error.filename is None:
            raise
        zh, en = words_of(error)
        _report(
            [
                Finding(
                    "unusable-file",
                    str(error.filename),
                    f"无法使用（{zh}）。",
                    f"cannot be used ({en}).",
                )
            ]
        )
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _report(findings: Sequence[Finding], config: object = None) -> None:
    """Print them to standard error, their commands with the configuration file that was given."""
    from edge_agent.commissioning.terminal import printer

    screen = printer(stderr=True)
    for finding in findings:
        zh, en = (
            text if config is None else with_file(text, config) for text in (finding.zh, finding.en)
        )
        screen.finding(replace(finding, zh=zh, en=en))
